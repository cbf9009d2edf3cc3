package gitlab

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// push says what was pushed; tags come in the same form. GitLab gives no time
// for it, and the newest commit's is when it was written.
func (b *builder) push() {
	ref, after := b.Text("ref"), b.Text("after")
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	tag, isTag := strings.CutPrefix(ref, "refs/tags/")
	deleted, created := forge.IsZeros(after), forge.IsZeros(b.Text("before"))
	b.Change.Type = change.Code
	b.actor(b.ID("user_id"), b.Text("user_username"), b.Text("user_name"))
	b.Copy("ref", "before", "after", "checkout_sha", "ref_protected", "total_commits_count", "message")
	head, paths := b.commits(after)
	if !deleted {
		b.Change.CommitSHA = forge.First(b.Text("checkout_sha"), after)
		b.Change.CorrelationID = b.correlation("commit", b.Change.CommitSHA)
	}
	name, kind := branch, "branch"
	switch {
	case isTag:
		name, kind = tag, "tag"
		b.Change.Version = tag
		b.Resource("tag", ref, tag, "")
	case isBranch:
		b.Change.Branch = branch
	default:
		name = ref
	}
	total := b.Body.Get("total_commits_count").Int()
	switch {
	case deleted:
		b.Change.Action = kind + ".deleted"
		b.Change.Summary = fmt.Sprintf("%s deleted %s %s%s", b.Who(), kind, name, b.Where())
		if isTag || b.Body.Bool("ref_protected") || branch == b.defaultBranch {
			b.Hint(normalizers.HintDestructive)
		}
		return
	case isTag:
		b.Change.Action = "tag.created"
		b.Change.Summary = fmt.Sprintf("%s pushed tag %s%s", b.Who(), tag, b.Where())
	case created:
		b.Change.Action = "branch.created"
		b.Change.Summary = fmt.Sprintf("%s created branch %s%s", b.Who(), name, b.Where())
	default:
		b.Change.Action = "push"
		b.Change.Summary = fmt.Sprintf("%s pushed %sto %s%s", b.Who(), forge.Commits(total), name, b.Where())
		if head.title != "" {
			b.Change.Summary += ": " + head.title
		}
	}
	if isBranch && branch == b.defaultBranch && !head.merges() {
		b.Hint(normalizers.HintDirectPush)
	}
	if total > forge.ManyCommits {
		b.Hint(normalizers.HintLargeChange)
	}
	b.Upgrade(change.Code, append(paths, name, head.title)...)
}

// commit is one of those that were pushed.
type commit struct {
	id, title, message, timestamp string
	author                        string // JSON
}

// merges reports whether the commit is what GitLab makes to merge a request, by
// its own templates of merge and squash commits.
func (c commit) merges() bool {
	return strings.HasPrefix(c.title, "Merge branch '") || strings.Contains(c.message, "See merge request ")
}

// commits keeps the commit the ref now points to, and returns it with the
// paths that were changed. The list is the oldest first, and may not have it.
func (b *builder) commits(after string) (head commit, paths []string) {
	n := int64(0)
	b.Body.Get("commits").ForEach(func(_, item gjson.Result) bool {
		n++
		if !item.IsObject() {
			return true
		}
		var c commit
		c, paths = readCommit(item, paths)
		if head.id != after || after == "" {
			head = c
		}
		return true
	})
	b.Meta.Set("commit_count", max(b.Body.Get("total_commits_count").Int(), n)) // the list has the newest 20
	b.Change.CommitMessage = head.message
	b.Meta.Set("last_commit_id", head.id)
	b.Meta.Set("last_commit_author", gjson.Get(head.author, "name").String())
	if t, ok := normalizers.ParseTime(head.timestamp); ok {
		b.Meta.Set("last_commit_timestamp", t)
	}
	head.title = normalizers.FirstLine(forge.First(head.title, head.message))
	return head, paths
}

// readCommit goes through a commit once, and adds the first of its paths.
func readCommit(item gjson.Result, paths []string) (commit, []string) {
	var c commit
	item.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "id":
			c.id = value.Str
		case "title":
			c.title = value.Str
		case "message":
			c.message = value.Str
		case "timestamp":
			c.timestamp = value.Str
		case "author":
			c.author = value.Raw
		case "added", "modified", "removed":
			if len(paths) < forge.MaxPaths {
				value.ForEach(func(_, path gjson.Result) bool {
					paths = append(paths, path.Str)
					return len(paths) < forge.MaxPaths
				})
			}
		}
		return true
	})
	return c, paths
}

// repositoryUpdate is what a system hook says about a push of many refs.
func (b *builder) repositoryUpdate() {
	b.Change.Type = change.Code
	b.actor(b.ID("user_id"), b.Text("user_username"), b.Text("user_name"))
	b.Copy("changes", "refs")
	b.Change.Action = "repository.updated"
	refs, n := "", int64(0)
	b.Body.Get("refs").ForEach(func(_, ref gjson.Result) bool {
		n++
		refs = ref.Str
		return true
	})
	refs = strings.TrimPrefix(strings.TrimPrefix(refs, "refs/heads/"), "refs/tags/")
	if n != 1 || refs == "" {
		refs = forge.Count(n, "ref")
	}
	b.Change.Summary = fmt.Sprintf("%s pushed to %s%s", b.Who(), refs, b.Where())
}
