package bitbucket

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// cloudPullRequest says what became of a pull request in Cloud.
func (b *builder) cloudPullRequest() {
	pr := b.Body.Object("pullrequest")
	b.Change.Description = pr.Text("description")
	b.Change.Branch = pr.Text("destination.branch.name")
	b.Change.PRURL = pr.Text("links.html.href")
	b.Change.CommitSHA = pr.Text("source.commit.hash")
	b.At("pullrequest.updated_on", "pullrequest.created_on")
	b.Copy("pr_title=pullrequest.title", "pr_state=pullrequest.state", "pr_author=pullrequest.author.nickname",
		"source_branch=pullrequest.source.branch.name", "target_branch=pullrequest.destination.branch.name",
		"source_repository=pullrequest.source.repository.full_name", "merge_commit_sha=pullrequest.merge_commit.hash",
		"reason=pullrequest.reason", "created_at=pullrequest.created_on", "updated_at=pullrequest.updated_on")
	b.request(pr.Text("id"), pr.Text("title"), pr.Text("source.branch.name"))
	if b.kind == "pullrequest:fulfilled" {
		b.merged(pr.First("merge_commit.hash", "source.commit.hash"), pr.Get("participants"))
	}
	if why := normalizers.OneLine(pr.Text("reason")); why != "" && b.kind == "pullrequest:rejected" {
		b.Change.Summary += ": " + why
	}
}

// pullRequest says what became of a pull request in a Data Center.
func (b *builder) pullRequest() {
	pr := b.Body.Object("pullRequest")
	b.Change.Description = pr.Text("description")
	b.Change.Branch = pr.Text("toRef.displayId")
	b.Change.PRURL = pr.Get("links.self").Get("0.href").String()
	b.Change.CommitSHA = pr.Text("fromRef.latestCommit")
	if b.Change.OccurredAt.IsZero() {
		b.At("pullRequest.updatedDate", "pullRequest.createdDate")
	}
	b.Copy("pr_title=pullRequest.title", "pr_state=pullRequest.state", "pr_author=pullRequest.author.user.name",
		"source_branch=pullRequest.fromRef.displayId", "target_branch=pullRequest.toRef.displayId",
		"merge_commit_sha=pullRequest.properties.mergeCommit.id", "previous_title=previousTitle", "previous_target=previousTarget.displayId",
		"previous_commit=previousFromHash", "previous_status=previousStatus")
	b.request(pr.Text("id"), pr.Text("title"), pr.Text("fromRef.displayId"))
	if b.kind == "pr:merged" {
		b.merged(pr.First("properties.mergeCommit.id", "fromRef.latestCommit"), pr.Get("reviewers"))
	}
}

// request is what every event of a pull request has in common.
func (b *builder) request(number, title, source string) {
	title = normalizers.OneLine(title)
	b.Change.PRNumber = number
	b.Change.ExternalID = number
	b.Upgrade(change.Code, title, source)
	name := fmt.Sprintf("#%s '%s'", number, title)
	action, says := b.became(name)
	b.Change.Action = "pull_request." + action
	b.Change.Summary = fmt.Sprintf("%s %s%s", b.Who(), says, b.Where())
}

// merged says that it was merged, and whether anybody had approved.
func (b *builder) merged(commit string, reviewers gjson.Result) {
	b.Change.CommitSHA = commit
	b.Change.CorrelationID = b.correlation("commit", commit)
	b.Change.Status = change.Succeeded
	approved := false
	reviewers.ForEach(func(_, who gjson.Result) bool {
		approved = who.Get("approved").Bool()
		return !approved
	})
	if reviewers.IsArray() && !approved {
		b.Hint(normalizers.HintUnreviewedMerge)
	}
}

// became says what somebody did to a pull request.
func (b *builder) became(name string) (action, says string) {
	_, what, _ := strings.Cut(b.kind, ":")
	switch what {
	case "created", "opened":
		return "opened", "opened " + name
	case "fulfilled", "merged":
		return "merged", "merged " + name + " into " + b.Change.Branch
	case "rejected", "declined":
		return "declined", "declined " + name
	case "deleted":
		return "deleted", "deleted " + name
	case "approved", "reviewer:approved":
		return "approved", "approved " + name
	case "unapproved", "reviewer:unapproved":
		return "unapproved", "withdrew the approval of " + name
	case "changes_request_created", "reviewer:needs_work", "reviewer:changes_requested":
		return "changes_requested", "asked for changes to " + name
	case "changes_request_removed":
		return "changes_request_removed", "no longer asks for changes to " + name
	case "from_ref_updated":
		return "synchronized", "pushed to " + name
	case "modified":
		if was := b.Text("previousTarget.displayId"); was != "" && was != b.Change.Branch {
			return "moved", fmt.Sprintf("moved %s from %s to %s", name, was, b.Change.Branch)
		}
		if was := normalizers.OneLine(b.Text("previousTitle")); was != "" && was != normalizers.OneLine(b.Text("pullRequest.title")) {
			return "renamed", fmt.Sprintf("renamed %s from '%s'", name, was)
		}
	}
	return forge.First(strings.ReplaceAll(what, ":", "."), "updated"), "updated " + name
}
