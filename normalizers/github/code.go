package github

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-github/v60/github"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// zeros stand for no commit: before a ref is created and after it is deleted.
const zeros = "0000000000000000000000000000000000000000"

// Limits of what is looked at for what a push is about.
const (
	manyCommits = 20
	manyFiles   = 20
	manyLines   = 500
	maxPaths    = 64
)

// push says what was pushed. GitHub gives no time for it: the head commit's is
// when it was written, which may be weeks before.
func (b *builder) push(p *github.PushEvent) {
	ref, after, head := p.GetRef(), p.GetAfter(), p.GetHeadCommit()
	p.Commits = slices.DeleteFunc(p.Commits, func(c *github.HeadCommit) bool { return c == nil })
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	tag, isTag := strings.CutPrefix(ref, "refs/tags/")
	deleted := p.GetDeleted() || after == zeros
	created := p.GetCreated() || p.GetBefore() == zeros

	if b.c.ChangedBy == "" {
		b.c.ChangedBy = p.GetPusher().GetName()
		b.c.Actor = change.Actor{Name: b.c.ChangedBy, Type: "user"}
	}
	b.c.CommitMessage = head.GetMessage()
	if !deleted {
		b.c.CommitSHA = after
		b.c.CorrelationID = b.correlation("commit", after)
	}
	b.pushMeta(p)

	name := branch
	switch {
	case isTag:
		name = tag
		b.c.Version = tag
		b.resource("tag", ref, tag, p.GetCompare())
	case isBranch:
		b.c.Branch = branch
	default:
		name = ref
	}
	switch {
	case deleted:
		b.c.Action = refKind(isTag) + ".deleted"
		b.c.Summary = fmt.Sprintf("%s deleted %s %s%s", b.actor(), refKind(isTag), name, b.where())
		if isTag || b.isLasting(branch) {
			b.hint(normalizers.HintDestructive)
		}
		return
	case isTag:
		b.c.Action = "tag.created"
		b.c.Summary = fmt.Sprintf("%s pushed tag %s%s", b.actor(), tag, b.where())
		if !created {
			b.c.Action = "tag.moved"
			b.c.Summary = fmt.Sprintf("%s moved tag %s%s", b.actor(), tag, b.where())
		}
	case created:
		b.c.Action = "branch.created"
		b.c.Summary = fmt.Sprintf("%s created branch %s%s", b.actor(), name, b.where())
	default:
		b.c.Action = "push"
		verb := "pushed"
		if p.GetForced() {
			verb = "force-pushed"
		}
		if n := len(p.Commits); n > 0 {
			verb += " " + count(n, "commit")
		}
		b.c.Summary = b.actor() + " " + verb + " to " + name + b.where()
		if title := pushTitle(head.GetMessage()); title != "" {
			b.c.Summary += ": " + title
		}
	}
	b.pushHints(p, isBranch && branch == b.defaultBranch && !created)
	b.c.Type = normalizers.Upgrade(change.Code, pushTexts(p, name)...)
	b.rollback(isTag || b.defaultBranch == "" || b.isLasting(branch))
}

func (b *builder) pushMeta(p *github.PushEvent) {
	b.meta.Set("ref", p.GetRef())
	b.meta.Set("before", p.GetBefore())
	b.meta.Set("after", p.GetAfter())
	b.meta.Set("created", p.GetCreated())
	b.meta.Set("deleted", p.GetDeleted())
	b.meta.Set("forced", p.GetForced())
	b.meta.Set("compare", p.GetCompare())
	b.meta.Set("commit_count", len(p.Commits))
	b.meta.Set("pusher", p.GetPusher().GetName())
	if head := p.GetHeadCommit(); head != nil {
		b.meta.Set("head_commit_id", head.GetID())
		b.meta.Set("head_commit_timestamp", head.GetTimestamp().Time)
		b.meta.Set("head_commit_author", head.GetAuthor().GetName())
	}
}

func (b *builder) pushHints(p *github.PushEvent, toDefault bool) {
	if p.GetForced() {
		b.hint(normalizers.HintForcePush)
	}
	if toDefault && !merged(p.GetHeadCommit()) {
		b.hint(normalizers.HintDirectPush)
	}
	files := 0
	for _, c := range p.Commits {
		files += len(c.Added) + len(c.Modified) + len(c.Removed)
	}
	if len(p.Commits) > manyCommits || files > manyFiles {
		b.hint(normalizers.HintLargeChange)
	}
}

// merged reports whether GitHub itself made the commit out of a pull request,
// by merging or by squashing it.
func merged(head *github.HeadCommit) bool {
	title := normalizers.FirstLine(head.GetMessage())
	if strings.HasPrefix(title, mergePrefix) {
		return true
	}
	i := strings.LastIndex(title, " (#")
	if i < 0 || !strings.HasSuffix(title, ")") {
		return false
	}
	_, err := strconv.Atoi(title[i+len(" (#") : len(title)-1])
	return err == nil
}

// mergedTitle returns the title of the pull request that a commit merges: it
// stands below GitHub's own first line.
func mergedTitle(message string) string {
	if !strings.HasPrefix(message, mergePrefix) {
		return ""
	}
	_, rest, _ := strings.Cut(message, "\n")
	return normalizers.FirstLine(rest)
}

// pushTitle says what a commit is about; a merge as if it had been squashed.
func pushTitle(message string) string {
	title := mergedTitle(message)
	if title == "" {
		return normalizers.FirstLine(message)
	}
	number, _, _ := strings.Cut(message[len(mergePrefix):], " ")
	return title + " (#" + number + ")"
}

// mergePrefix is how GitHub's own message of a merge starts.
const mergePrefix = "Merge pull request #"

// pushTexts are the texts that may tell what a push is about.
func pushTexts(p *github.PushEvent, branch string) []string {
	texts := make([]string, 0, 16)
	texts = append(texts, branch, normalizers.FirstLine(p.GetHeadCommit().GetMessage()), mergedTitle(p.GetHeadCommit().GetMessage()))
	for _, c := range p.Commits {
		for _, paths := range [][]string{c.Added, c.Modified, c.Removed} {
			if room := maxPaths - len(texts); len(paths) > room {
				return append(texts, paths[:room]...)
			}
			texts = append(texts, paths...)
		}
	}
	return texts
}

func (b *builder) createRef(p *github.CreateEvent) {
	b.meta.Set("master_branch", p.GetMasterBranch())
	b.ref(p.GetRefType(), p.GetRef(), "created")
}

func (b *builder) deleteRef(p *github.DeleteEvent) { b.ref(p.GetRefType(), p.GetRef(), "deleted") }

// ref says that a branch or tag was created or deleted.
func (b *builder) ref(kind, name, action string) {
	if kind == "" {
		kind = "ref"
	}
	b.c.Action = kind + "." + action
	b.meta.Set("ref", name)
	b.meta.Set("ref_type", kind)
	switch kind {
	case "branch":
		b.c.Branch = name
	case "tag":
		b.c.Version = name
	}
	b.c.Summary = fmt.Sprintf("%s %s %s %s%s", b.actor(), action, kind, name, b.where())
	if kind == "repository" {
		b.c.Type = change.ConfigChange
		b.c.Summary = fmt.Sprintf("%s %s repository %s", b.actor(), action, b.repo)
		return
	}
	b.resource(kind, name, name, "")
	if action == "deleted" && (kind == "tag" || b.isLasting(name)) {
		b.hint(normalizers.HintDestructive)
	}
}

// rollback takes the word of titles and names that something is a rollback
// only when it is done: who proposes one in a branch or in an open pull request
// has not taken anything back yet.
func (b *builder) rollback(done bool) {
	switch {
	case b.c.Type != change.Rollback:
	case done:
		b.hint(normalizers.HintRollback)
	default:
		b.c.Type = change.Code
	}
}

// isLasting tells the branches that releases come from; the others are deleted
// every day, when they are merged.
func (b *builder) isLasting(branch string) bool {
	switch branch {
	case b.defaultBranch, "main", "master", "develop", "production", "prod", "staging":
		return true
	}
	return strings.HasPrefix(branch, "release/") || strings.HasPrefix(branch, "releases/")
}

func (b *builder) pullRequestEvent(p *github.PullRequestEvent) { b.pullRequest(p.GetPullRequest()) }
func (b *builder) pullRequestTarget(p *github.PullRequestTargetEvent) {
	b.pullRequest(p.GetPullRequest())
}

// pullRequest says what became of a pull request; merged is what counts.
func (b *builder) pullRequest(pr *github.PullRequest) {
	if pr == nil {
		pr = new(github.PullRequest)
	}
	number := "a pull request"
	title := normalizers.OneLine(pr.GetTitle())
	base := pr.GetBase().GetRef()
	isMerged := b.action == "closed" && pr.GetMerged()

	b.c.Description = pr.GetBody()
	b.c.Branch = base
	b.c.PRURL = pr.GetHTMLURL()
	b.c.ExternalID = idOf(pr.GetID())
	if pr.GetNumber() != 0 {
		b.c.PRNumber = strconv.Itoa(pr.GetNumber())
		number = "#" + b.c.PRNumber
	}
	b.at(pr.GetUpdatedAt())
	b.pullRequestMeta(pr)

	texts := []string{pr.GetTitle(), pr.GetHead().GetRef()}
	for _, l := range pr.Labels {
		texts = append(texts, l.GetName())
		b.c.Tags = append(b.c.Tags, l.GetName())
	}
	b.c.Type = normalizers.Upgrade(change.Code, texts...)
	b.rollback(isMerged)
	if !isMerged {
		b.c.CommitSHA = pr.GetHead().GetSHA()
		b.c.Action = dotted("pull_request", b.action)
		b.c.Summary = fmt.Sprintf("%s %s %s '%s'%s", b.actor(), pullRequestVerb(b.action), number, title, b.where())
		if label := b.get("label.name").String(); label != "" {
			b.c.Summary += " (" + normalizers.OneLine(label) + ")"
		}
		return
	}
	if login := pr.GetMergedBy().GetLogin(); login != "" {
		b.meta.Set("sender", b.sender)
		b.setActor(pr.GetMergedBy())
	}
	b.at(pr.GetMergedAt())
	b.c.CommitSHA = pr.GetMergeCommitSHA()
	b.c.CorrelationID = b.correlation("commit", pr.GetMergeCommitSHA())
	b.c.Action = "pull_request.merged"
	b.c.Status = change.Succeeded
	b.c.Summary = fmt.Sprintf("%s merged %s '%s' into %s%s", b.actor(), number, title, base, b.where())
	if unreviewed(pr) {
		b.hint(normalizers.HintUnreviewedMerge)
	}
	if pr.GetChangedFiles() > manyFiles || pr.GetAdditions()+pr.GetDeletions() > manyLines {
		b.hint(normalizers.HintLargeChange)
	}
}

// unreviewed reports whether an author merged without waiting: those who were
// asked for a review have not answered, or they would no longer be listed, and
// nobody commented on the code. Whether anybody approved is not in the payload.
func unreviewed(pr *github.PullRequest) bool {
	return pr.GetMergedBy().GetLogin() != "" && pr.GetMergedBy().GetLogin() == pr.GetUser().GetLogin() &&
		len(pr.RequestedReviewers)+len(pr.RequestedTeams) > 0 && pr.GetReviewComments() == 0
}

func (b *builder) pullRequestMeta(pr *github.PullRequest) {
	b.meta.Set("pr_title", pr.GetTitle())
	b.meta.Set("pr_state", pr.GetState())
	b.meta.Set("pr_author", pr.GetUser().GetLogin())
	b.meta.Set("pr_draft", pr.GetDraft())
	b.meta.Set("pr_merged", pr.GetMerged())
	b.meta.Set("pr_created_at", pr.GetCreatedAt().Time)
	b.meta.Set("pr_updated_at", pr.GetUpdatedAt().Time)
	b.meta.Set("pr_closed_at", pr.GetClosedAt().Time)
	b.meta.Set("merge_commit_sha", pr.GetMergeCommitSHA())
	b.meta.Set("head_branch", pr.GetHead().GetRef())
	b.meta.Set("head_sha", pr.GetHead().GetSHA())
	b.copy("changed_files=pull_request.changed_files", "additions=pull_request.additions",
		"deletions=pull_request.deletions", "label=label.name")
	b.changes("pull_request")
}

// pullRequestVerb writes an action so that a number can follow.
func pullRequestVerb(action string) string {
	switch action {
	case "synchronize":
		return "pushed to"
	case "review_requested":
		return "asked for a review of"
	case "review_request_removed":
		return "withdrew a review request of"
	case "converted_to_draft":
		return "made a draft of"
	case "ready_for_review":
		return "asked for reviews of"
	case "auto_merge_enabled":
		return "turned on auto-merge of"
	case "auto_merge_disabled":
		return "turned off auto-merge of"
	case "enqueued":
		return "queued the merge of"
	case "dequeued":
		return "took out of the merge queue"
	case "milestoned":
		return "set the milestone of"
	case "demilestoned":
		return "removed the milestone of"
	case "":
		return "changed"
	}
	return words(action)
}

// mergeGroup says how far the merge queue has come with a group of pull
// requests.
func (b *builder) mergeGroup() {
	b.c.CommitSHA = b.get("merge_group.head_sha").String()
	b.c.CorrelationID = b.correlation("commit", b.c.CommitSHA)
	b.c.Branch = strings.TrimPrefix(b.get("merge_group.base_ref").String(), "refs/heads/")
	b.copy("head_ref=merge_group.head_ref", "base_ref=merge_group.base_ref", "base_sha=merge_group.base_sha", "reason=reason")
	sha := normalizers.ShortSHA(b.c.CommitSHA)
	switch reason := b.get("reason").String(); {
	case b.action == "checks_requested":
		b.c.Summary = fmt.Sprintf("merge queue of %s%s checks %s", b.c.Branch, b.where(), sha)
	case reason != "":
		b.c.Summary = fmt.Sprintf("merge queue of %s%s is done with %s: %s", b.c.Branch, b.where(), sha, reason)
	default:
		b.c.Summary = fmt.Sprintf("merge queue of %s%s: %s %s", b.c.Branch, b.where(), words(b.action), sha)
	}
}

// correlation ties changes about one thing of a repository together.
func (b *builder) correlation(kind, id string) string {
	if id == "" || id == "0" || b.repoID == 0 {
		return ""
	}
	return "github:" + idOf(b.repoID) + ":" + kind + ":" + id
}

func refKind(isTag bool) string {
	if isTag {
		return "tag"
	}
	return "branch"
}

// count writes a number of things.
func count(n int, thing string) string { return counted(n, thing, thing+"s") }

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
