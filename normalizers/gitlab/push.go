package gitlab

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// zeros stand for no commit: before a ref is created and after it is deleted.
const zeros = "0000000000000000000000000000000000000000"

const (
	manyCommits = 20
	maxPaths    = 64
)

// push says what was pushed; tags come in the same form. GitLab gives no time
// for it, and the newest commit's is when it was written.
func (b *builder) push() {
	ref, after := b.get("ref"), b.get("after")
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	tag, isTag := strings.CutPrefix(ref, "refs/tags/")
	deleted, created := after == zeros, b.get("before") == zeros
	b.c.Type = change.Code
	b.actor(b.id("user_id"), b.get("user_username"), b.get("user_name"))
	b.copy("ref", "before", "after", "checkout_sha", "ref_protected", "total_commits_count", "message")
	head, paths := b.commits(after)
	if !deleted {
		b.c.CommitSHA = first(b.get("checkout_sha"), after)
		b.c.CorrelationID = b.correlation("commit", b.c.CommitSHA)
	}
	name, kind := branch, "branch"
	switch {
	case isTag:
		name, kind = tag, "tag"
		b.c.Version = tag
		b.resource("tag", ref, tag, "")
	case isBranch:
		b.c.Branch = branch
	default:
		name = ref
	}
	total := b.body.Get("total_commits_count").Int()
	switch {
	case deleted:
		b.c.Action = kind + ".deleted"
		b.c.Summary = fmt.Sprintf("%s deleted %s %s%s", b.who(), kind, name, b.where())
		if isTag || b.body.Bool("ref_protected") || branch == b.defaultBranch {
			b.hint(normalizers.HintDestructive)
		}
		return
	case isTag:
		b.c.Action = "tag.created"
		b.c.Summary = fmt.Sprintf("%s pushed tag %s%s", b.who(), tag, b.where())
	case created:
		b.c.Action = "branch.created"
		b.c.Summary = fmt.Sprintf("%s created branch %s%s", b.who(), name, b.where())
	default:
		b.c.Action = "push"
		b.c.Summary = fmt.Sprintf("%s pushed %sto %s%s", b.who(), commits(total), name, b.where())
		if head.title != "" {
			b.c.Summary += ": " + head.title
		}
	}
	if isBranch && branch == b.defaultBranch && !head.merges() {
		b.hint(normalizers.HintDirectPush)
	}
	if total > manyCommits {
		b.hint(normalizers.HintLargeChange)
	}
	b.upgrade(change.Code, append(paths, name, head.title)...)
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
	b.body.Get("commits").ForEach(func(_, item gjson.Result) bool {
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
	b.meta.Set("commit_count", max(b.body.Get("total_commits_count").Int(), n)) // the list has the newest 20
	b.c.CommitMessage = head.message
	b.meta.Set("last_commit_id", head.id)
	b.meta.Set("last_commit_author", gjson.Get(head.author, "name").String())
	if t, ok := normalizers.ParseTime(head.timestamp); ok {
		b.meta.Set("last_commit_timestamp", t)
	}
	head.title = normalizers.FirstLine(first(head.title, head.message))
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
			if len(paths) < maxPaths {
				value.ForEach(func(_, path gjson.Result) bool {
					paths = append(paths, path.Str)
					return len(paths) < maxPaths
				})
			}
		}
		return true
	})
	return c, paths
}

// commits writes how many commits there are, where that is said.
func commits(n int64) string {
	if n <= 0 {
		return ""
	}
	return count(n, "commit") + " "
}

// repositoryUpdate is what a system hook says about a push of many refs.
func (b *builder) repositoryUpdate() {
	b.c.Type = change.Code
	b.actor(b.id("user_id"), b.get("user_username"), b.get("user_name"))
	b.copy("changes", "refs")
	b.c.Action = "repository.updated"
	refs, n := "", int64(0)
	b.body.Get("refs").ForEach(func(_, ref gjson.Result) bool {
		n++
		refs = ref.Str
		return true
	})
	refs = strings.TrimPrefix(strings.TrimPrefix(refs, "refs/heads/"), "refs/tags/")
	if n != 1 || refs == "" {
		refs = count(n, "ref")
	}
	b.c.Summary = fmt.Sprintf("%s pushed to %s%s", b.who(), refs, b.where())
}
