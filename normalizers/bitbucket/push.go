package bitbucket

import (
	"fmt"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// push says what became of one ref in a push to Cloud, which lists the newest
// five commits.
func (b *builder) push() {
	ref := b.ref
	is, was := ref.Object("new"), ref.Object("old")
	kind, name := is.First("type"), is.Text("name")
	if name == "" {
		kind, name = was.Text("type"), was.Text("name")
	}
	n := ref.Get("commits").Get("#").Int()
	ref.Copy(&b.Meta, "forced", "truncated", "old_name=old.name", "new_name=new.name", "before=old.target.hash", "after=new.target.hash",
		"commit_timestamp=new.target.date", "compare_url=links.html.href")
	b.Meta.Set("commit_count", n)
	b.Change.CommitMessage = strings.TrimRight(is.Text("target.message"), "\n")
	p := pushed{
		kind: kind, name: name, commit: is.Text("target.hash"), commits: n, forced: ref.Bool("forced"),
		created: is.Text("name") != "" && was.Text("name") == "", deleted: is.Text("name") == "" && was.Text("name") != "",
	}
	if ref.Bool("truncated") {
		p.more = true
	}
	b.pushed(p)
}

// refChanged says the same of a Data Center, which since 7.14 says what the
// newest commit is and lists the others.
func (b *builder) refChanged() {
	ref := b.ref
	kind := strings.ToLower(ref.Text("ref.type"))
	name := ref.First("ref.displayId", "ref.id", "refId")
	before, after := ref.Text("fromHash"), ref.Text("toHash")
	ref.Copy(&b.Meta, "ref=ref.id", "ref=refId", "before=fromHash", "after=toHash", "change=type")
	n := int64(0)
	if b.alone && b.Body.Text("toCommit.id") == after { // with several refs, nobody says whose they are
		b.Change.CommitMessage = strings.TrimRight(b.Body.Text("toCommit.message"), "\n")
		n = b.Body.Get("commits").Get("#").Int()
	}
	b.pushed(pushed{
		kind: kind, name: name, commit: after, commits: n,
		created: ref.Text("type") == "ADD" || forge.IsZeros(before), deleted: ref.Text("type") == "DELETE" || forge.IsZeros(after),
	})
}

// pushed is what became of a ref.
type pushed struct {
	kind, name       string // "branch", or "tag"
	commit           string
	commits          int64
	more             bool // than are counted
	forced           bool
	created, deleted bool
}

func (b *builder) pushed(p pushed) {
	p.kind = forge.First(p.kind, "ref")
	b.Change.Type = change.Code
	if p.kind == "tag" {
		b.Change.Version = p.name
		b.Resource("tag", "refs/tags/"+p.name, p.name, "")
	} else {
		b.Change.Branch = p.name
	}
	if p.deleted {
		b.Change.Action = p.kind + ".deleted"
		b.Change.Summary = fmt.Sprintf("%s deleted %s %s%s", b.Who(), p.kind, p.name, b.Where())
		if p.kind == "tag" || b.isMain(p.name) {
			b.Hint(normalizers.HintDestructive)
		}
		return
	}
	b.Change.CommitSHA = p.commit
	b.Change.CorrelationID = b.correlation("commit", p.commit)
	title := normalizers.FirstLine(b.Change.CommitMessage)
	count := forge.Commits(p.commits)
	if p.more {
		count = "more than " + count
	}
	verb := "pushed"
	if p.forced {
		verb = "force-pushed"
		b.Hint(normalizers.HintForcePush)
	}
	switch {
	case p.kind == "tag":
		b.Change.Action = "tag.created"
		b.Change.Summary = fmt.Sprintf("%s %s tag %s%s", b.Who(), verb, p.name, b.Where())
	case p.created:
		b.Change.Action = "branch.created"
		b.Change.Summary = fmt.Sprintf("%s created branch %s%s", b.Who(), p.name, b.Where())
	default:
		b.Change.Action = "push"
		b.Change.Summary = fmt.Sprintf("%s %s %sto %s%s", b.Who(), verb, count, p.name, b.Where())
		if title != "" {
			b.Change.Summary += ": " + title
		}
	}
	if p.kind == "branch" && b.isMain(p.name) && title != "" && !merges(title) {
		b.Hint(normalizers.HintDirectPush)
	}
	if p.commits > forge.ManyCommits {
		b.Hint(normalizers.HintLargeChange)
	}
	b.Upgrade(change.Code, p.name, title)
}

// isMain reports whether a branch is the main one. Few payloads say which that
// is; then it is the one with the usual name.
func (b *builder) isMain(branch string) bool {
	if b.mainBranch != "" {
		return branch == b.mainBranch
	}
	return branch == "main" || branch == "master"
}

// merges reports whether a commit is what merging a pull request makes, by the
// titles that Cloud and the versions of Data Center write.
func merges(title string) bool {
	return strings.HasPrefix(title, "Merged in ") || strings.HasPrefix(title, "Pull request #") || strings.HasPrefix(title, "Merge pull request #")
}
