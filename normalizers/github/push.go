package github

import (
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/tidwall/gjson"
)

// decodePush reads a push into go-github's type without encoding/json: pushes
// are most of what comes, and most of a push is URLs that nobody reads. It
// reads what the normalizer uses; TestDecodePush_ReadsWhatGoGitHubReads keeps
// the two the same.
func decodePush(body []byte) *github.PushEvent {
	p := new(github.PushEvent)
	gjson.ParseBytes(body).ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "action":
			p.Action = str(v)
		case "ref":
			p.Ref = str(v)
		case "before":
			p.Before = str(v)
		case "after":
			p.After = str(v)
		case "compare":
			p.Compare = str(v)
		case "created":
			p.Created = boolean(v)
		case "deleted":
			p.Deleted = boolean(v)
		case "forced":
			p.Forced = boolean(v)
		case "commits":
			p.Commits = commits(v)
		case "head_commit":
			p.HeadCommit = commit(v)
		case "pusher":
			p.Pusher = author(v)
		case "repository":
			p.Repo = pushRepository(v)
		case "sender":
			p.Sender = user(v)
		case "organization":
			if v.IsObject() {
				p.Organization = &github.Organization{Login: str(v.Get("login"))}
			}
		case "installation":
			if v.IsObject() {
				p.Installation = &github.Installation{ID: integer(v.Get("id"))}
			}
		}
		return true
	})
	return p
}

func commits(v gjson.Result) []*github.HeadCommit {
	if !v.IsArray() {
		return nil
	}
	var list []*github.HeadCommit
	v.ForEach(func(_, item gjson.Result) bool {
		if c := commit(item); c != nil {
			list = append(list, c)
		}
		return true
	})
	return list
}

func commit(v gjson.Result) *github.HeadCommit {
	if !v.IsObject() {
		return nil
	}
	c := new(github.HeadCommit)
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "id":
			c.ID = str(v)
		case "message":
			c.Message = str(v)
		case "timestamp":
			if t, err := time.Parse(time.RFC3339, v.Str); err == nil {
				c.Timestamp = &github.Timestamp{Time: t}
			}
		case "author":
			c.Author = author(v)
		case "added":
			c.Added = texts(v)
		case "removed":
			c.Removed = texts(v)
		case "modified":
			c.Modified = texts(v)
		}
		return true
	})
	return c
}

func pushRepository(v gjson.Result) *github.PushEventRepository {
	if !v.IsObject() {
		return nil
	}
	r := new(github.PushEventRepository)
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "id":
			r.ID = integer(v)
		case "full_name":
			r.FullName = str(v)
		case "html_url":
			r.HTMLURL = str(v)
		case "default_branch":
			r.DefaultBranch = str(v)
		}
		return true
	})
	return r
}

func author(v gjson.Result) *github.CommitAuthor {
	if !v.IsObject() {
		return nil
	}
	return &github.CommitAuthor{Name: str(v.Get("name"))}
}

func user(v gjson.Result) *github.User {
	if !v.IsObject() {
		return nil
	}
	return &github.User{Login: str(v.Get("login")), ID: integer(v.Get("id")), Type: str(v.Get("type"))}
}

func str(v gjson.Result) *string {
	if v.Type != gjson.String {
		return nil
	}
	return &v.Str
}

func boolean(v gjson.Result) *bool {
	if !v.IsBool() {
		return nil
	}
	b := v.Bool()
	return &b
}

func integer(v gjson.Result) *int64 {
	if v.Type != gjson.Number {
		return nil
	}
	n := v.Int()
	return &n
}

func texts(v gjson.Result) []string {
	if !v.IsArray() {
		return nil
	}
	var list []string
	v.ForEach(func(_, item gjson.Result) bool {
		list = append(list, item.String())
		return true
	})
	return list
}
