package gitea

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// push says what was pushed. The payload has no time of its own, and the
// newest commit's is when it was written.
func (b *builder) push() {
	ref, after := b.Text("ref"), b.Text("after")
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	tag, isTag := strings.CutPrefix(ref, "refs/tags/")
	b.actor(b.Body.Object("pusher"))
	b.Copy("ref", "before", "after", "compare_url", "total_commits")
	b.Change.Type = change.Code
	paths := b.commits()
	title := normalizers.FirstLine(b.Change.CommitMessage)
	total := b.Body.Get("total_commits").Int()
	if n := b.Body.Get("commits").Get("#").Int(); total == 0 {
		total = n
	}
	kind, name := "branch", branch
	switch {
	case isTag:
		kind, name = "tag", tag
		b.Change.Version = tag
		b.Resource("tag", ref, tag, "")
	case isBranch:
		b.Change.Branch = branch
	default:
		name = ref
	}
	if after != "" && after == b.Text("before") {
		b.Ignored = "a test of the webhook" // which pushes nothing
		return
	}
	if forge.IsZeros(after) {
		b.deleted(kind, name)
		return
	}
	b.Change.CommitSHA = after
	b.Change.CorrelationID = b.correlation("commit", after)
	b.Change.Action = "push"
	switch {
	case isTag:
		b.Change.Action = "tag.pushed"
		b.Change.Summary = fmt.Sprintf("%s pushed tag %s%s", b.Who(), tag, b.Where())
	case forge.IsZeros(b.Text("before")):
		b.Change.Summary = fmt.Sprintf("%s pushed %sto the new branch %s%s", b.Who(), forge.Commits(total), name, b.Where())
	default:
		b.Change.Summary = fmt.Sprintf("%s pushed %sto %s%s", b.Who(), forge.Commits(total), name, b.Where())
	}
	if title != "" && !isTag {
		b.Change.Summary += ": " + title
	}
	if isBranch && branch == b.defaultBranch && !merges(b.Change.CommitMessage) {
		b.Hint(normalizers.HintDirectPush)
	}
	if total > forge.ManyCommits {
		b.Hint(normalizers.HintLargeChange)
	}
	b.Upgrade(change.Code, append(paths, name, title)...)
}

// merges reports whether a commit is what merging a pull request makes: every
// style but rebasing leaves a trace in the message.
func merges(message string) bool {
	return strings.HasPrefix(message, "Merge pull request ") || strings.Contains(message, "\nReviewed-on: ")
}

// commits keeps the commit the ref now points to, and returns the paths that
// were changed. Gogs has no head_commit, and lists the newest commit first.
func (b *builder) commits() (paths []string) {
	head := b.Body.Object("head_commit")
	first := true
	b.Body.Get("commits").ForEach(func(_, item gjson.Result) bool {
		if first && head.Text("id") == "" {
			b.headCommit(item.Get("id").String(), item.Get("message").String(), item.Get("timestamp").String())
		}
		first = false
		item.ForEach(func(key, value gjson.Result) bool {
			switch key.Str {
			case "added", "modified", "removed":
				value.ForEach(func(_, path gjson.Result) bool {
					paths = append(paths, path.Str)
					return len(paths) < forge.MaxPaths
				})
			}
			return len(paths) < forge.MaxPaths
		})
		return len(paths) < forge.MaxPaths
	})
	if head.Text("id") != "" {
		b.headCommit(head.Text("id"), head.Text("message"), head.Text("timestamp"))
	}
	return paths
}

func (b *builder) headCommit(id, message, timestamp string) {
	b.Change.CommitMessage = strings.TrimRight(message, "\n")
	b.Meta.Set("head_commit_id", id)
	b.Meta.Set("head_commit_timestamp", timestamp)
}

// create says that a branch or tag is new. A push that makes one comes as both.
func (b *builder) create() {
	kind, name := b.ref()
	b.Change.CommitSHA = b.Text("sha")
	b.Change.CorrelationID = b.correlation("commit", b.Change.CommitSHA)
	b.Change.Action = kind + ".created"
	b.Change.Summary = fmt.Sprintf("%s created %s %s%s", b.Who(), kind, name, b.Where())
	b.Upgrade(change.Code, name)
}

// delete says that a branch or tag is gone.
func (b *builder) delete() { b.deleted(b.ref()) }

func (b *builder) deleted(kind, name string) {
	b.Change.Type = change.Code
	b.Change.Action = kind + ".deleted"
	b.Change.Summary = fmt.Sprintf("%s deleted %s %s%s", b.Who(), kind, name, b.Where())
	if kind == "tag" || name != "" && name == b.defaultBranch {
		b.Hint(normalizers.HintDestructive)
	}
}

// ref is what a create or delete is about.
func (b *builder) ref() (kind, name string) {
	kind, name = forge.First(b.Text("ref_type"), "ref"), b.Text("ref")
	b.Copy("ref", "ref_type", "pusher_type")
	b.Change.Type = change.Code
	switch kind {
	case "tag":
		name = strings.TrimPrefix(name, "refs/tags/")
		b.Change.Version = name
		b.Resource("tag", "refs/tags/"+name, name, "")
	case "branch":
		name = strings.TrimPrefix(name, "refs/heads/")
		b.Change.Branch = name
	}
	return kind, name
}
