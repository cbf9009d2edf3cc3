package gitlab

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/xanzy/go-gitlab"

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
func (b *builder) push(p *gitlab.PushEvent) {
	branch, isBranch := strings.CutPrefix(p.Ref, "refs/heads/")
	tag, isTag := strings.CutPrefix(p.Ref, "refs/tags/")
	deleted, created := p.After == zeros, p.Before == zeros
	b.c.Type = change.Code
	b.actor(idOf(p.UserID), p.UserUsername, p.UserName)
	b.copy("ref", "before", "after", "checkout_sha", "ref_protected", "total_commits_count", "message")
	title := b.headCommit(p)
	if !deleted {
		b.c.CommitSHA = first(p.CheckoutSHA, p.After)
		b.c.CorrelationID = b.correlation("commit", b.c.CommitSHA)
	}
	name, kind := branch, "branch"
	switch {
	case isTag:
		name, kind = tag, "tag"
		b.c.Version = tag
		b.resource("tag", p.Ref, tag, "")
	case isBranch:
		b.c.Branch = branch
	default:
		name = p.Ref
	}
	switch {
	case deleted:
		b.c.Action = kind + ".deleted"
		b.c.Summary = fmt.Sprintf("%s deleted %s %s%s", b.who(), kind, name, b.where())
		if isTag || b.body.Get("ref_protected").Bool() || branch == b.defaultBranch {
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
		b.c.Summary = fmt.Sprintf("%s pushed %sto %s%s", b.who(), commits(p.TotalCommitsCount), name, b.where())
		if title != "" {
			b.c.Summary += ": " + title
		}
	}
	if isBranch && branch == b.defaultBranch && !strings.HasPrefix(title, "Merge branch '") {
		b.hint(normalizers.HintDirectPush)
	}
	if p.TotalCommitsCount > manyCommits {
		b.hint(normalizers.HintLargeChange)
	}
	b.upgrade(change.Code, pushTexts(p, name, title)...)
}

// headCommit keeps the commit the ref now points to, and returns its title.
// The list is the oldest first, and may not have it.
func (b *builder) headCommit(p *gitlab.PushEvent) (title string) {
	b.meta.Set("commit_count", max(p.TotalCommitsCount, len(p.Commits))) // the list has the newest 20
	if len(p.Commits) == 0 || p.Commits[len(p.Commits)-1] == nil {
		return ""
	}
	head := p.Commits[len(p.Commits)-1]
	for _, c := range p.Commits {
		if c != nil && c.ID == p.After {
			head = c
		}
	}
	b.c.CommitMessage = head.Message
	b.meta.Set("last_commit_id", head.ID)
	b.meta.Set("last_commit_author", head.Author.Name)
	if head.Timestamp != nil {
		b.meta.Set("last_commit_timestamp", *head.Timestamp)
	}
	return normalizers.FirstLine(first(head.Title, head.Message))
}

func pushTexts(p *gitlab.PushEvent, texts ...string) []string {
	for _, c := range p.Commits {
		if c == nil {
			continue
		}
		for _, paths := range [][]string{c.Added, c.Modified, c.Removed} {
			if room := maxPaths - len(texts); len(paths) > room {
				return append(texts, paths[:room]...)
			}
			texts = append(texts, paths...)
		}
	}
	return texts
}

// upgrade sets the type, or the one that the texts tell.
func (b *builder) upgrade(t change.Type, texts ...string) {
	b.c.Type = normalizers.Upgrade(t, texts...)
	if b.c.Type == change.Rollback {
		b.hint(normalizers.HintRollback)
	}
}

// repositoryUpdate is what a system hook says about a push of many refs.
func (b *builder) repositoryUpdate() {
	b.c.Type = change.Code
	b.actor(b.get("user_id"), b.get("user_username"), b.get("user_name"))
	b.copy("changes", "refs")
	b.c.Action = "repository.updated"
	b.c.Summary = fmt.Sprintf("%s pushed to %s%s", b.who(), count(int(b.body.Get("refs.#").Int()), "ref"), b.where())
}

// mergeRequest says what became of a merge request; merged is what counts.
func (b *builder) mergeRequest(p *gitlab.MergeEvent) {
	mr := p.ObjectAttributes
	number := "!" + strconv.Itoa(mr.IID)
	title := normalizers.OneLine(mr.Title)
	b.c.Description = mr.Description
	b.c.Branch = mr.TargetBranch
	b.c.PRURL = mr.URL
	if mr.IID != 0 {
		b.c.PRNumber = strconv.Itoa(mr.IID)
	}
	b.c.ExternalID = idOf(mr.ID)
	b.c.CommitSHA = mr.LastCommit.ID
	b.c.CommitMessage = mr.LastCommit.Message
	b.at(mr.CreatedAt)
	b.at(mr.UpdatedAt)
	b.copy("mr_title=object_attributes.title", "mr_state=object_attributes.state", "merge_status=object_attributes.merge_status",
		"detailed_merge_status=object_attributes.detailed_merge_status", "source_branch=object_attributes.source_branch",
		"target_branch=object_attributes.target_branch", "created_at=object_attributes.created_at",
		"updated_at=object_attributes.updated_at", "merge_commit_sha=object_attributes.merge_commit_sha",
		"last_commit_id=object_attributes.last_commit.id", "target_repository=object_attributes.target.path_with_namespace",
		"draft=object_attributes.draft", "oldrev=object_attributes.oldrev", "changes")

	texts := []string{mr.Title, mr.SourceBranch}
	for _, l := range p.Labels {
		if l != nil && l.Title != "" {
			b.c.Tags = append(b.c.Tags, l.Title)
			texts = append(texts, l.Title)
		}
	}
	b.upgrade(change.Code, texts...)
	if mr.Action != "merge" {
		b.c.Action = strings.TrimSuffix("merge_request."+mr.Action, ".")
		b.c.Summary = fmt.Sprintf("%s %s %s '%s'%s", b.who(), verb(mr.Action), number, title, b.where())
		return
	}
	b.c.CommitSHA = first(mr.MergeCommitSHA, mr.LastCommit.ID)
	b.c.CorrelationID = b.correlation("commit", b.c.CommitSHA)
	b.c.Action = "merge_request.merged"
	b.c.Status = change.Succeeded
	b.c.Summary = fmt.Sprintf("%s merged %s '%s' into %s%s", b.who(), number, title, mr.TargetBranch, b.where())
}

// verb writes a merge request's action in the past.
func verb(action string) string {
	switch action {
	case "open":
		return "opened"
	case "close":
		return "closed"
	case "reopen":
		return "reopened"
	case "approval", "approved":
		return "approved"
	case "unapproval", "unapproved":
		return "withdrew the approval of"
	}
	return "updated"
}

// release says what became of a release; a new one is a deployment.
func (b *builder) release(p *gitlab.ReleaseEvent) {
	b.c.Type = change.Code
	b.c.Version = p.Tag
	b.c.Description = p.Description
	b.c.CommitSHA = p.Commit.ID
	b.c.CommitMessage = p.Commit.Message
	b.c.ExternalID = idOf(p.ID)
	b.at(p.CreatedAt)
	if p.Action == "create" || b.c.OccurredAt.IsZero() {
		b.at(p.ReleasedAt)
	}
	b.resource("release", idOf(p.ID), p.Tag, p.URL)
	b.copy("action", "release_name=name", "created_at", "released_at")
	b.c.Action = "release." + past(p.Action)
	b.c.Summary = fmt.Sprintf("release %s %s%s", p.Tag, past(p.Action), b.where())
	switch p.Action {
	case "create":
		b.upgrade(change.Deployment, p.Name, p.Tag)
		b.c.Status = change.Succeeded
	case "delete":
		b.hint(normalizers.HintDestructive)
	}
}

// past writes create, update and delete in the past.
func past(action string) string {
	if strings.HasSuffix(action, "e") {
		return action + "d"
	}
	return first(action, "changed")
}

func idOf(id int) string {
	if id == 0 {
		return ""
	}
	return strconv.Itoa(id)
}

// commits writes how many commits there are, where that is said.
func commits(n int) string {
	if n <= 0 {
		return ""
	}
	return count(n, "commit") + " "
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
