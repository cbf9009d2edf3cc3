package gitea

import (
	"fmt"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// largeDiff is how many lines or files are a large change.
const (
	largeDiff  = 500
	largeFiles = 20
)

// pullRequest says what became of a pull request; merged is what counts.
func (b *builder) pullRequest() {
	pr := b.Body.Object("pull_request")
	action, number := b.Text("action"), forge.First(b.ID("number"), pr.Text("number"))
	if b.Ignored = noise[action]; b.Ignored != "" {
		return
	}
	title := normalizers.OneLine(pr.Text("title"))
	merged := action == "closed" && pr.Bool("merged")
	b.Change.Description = pr.Text("body")
	b.Change.Branch = pr.First("base.ref", "base_branch")
	b.Change.PRNumber = number
	b.Change.PRURL = pr.Text("html_url")
	b.Change.ExternalID = b.ID("pull_request.id")
	b.Change.CommitSHA = pr.Text("head.sha")
	b.At("pull_request.updated_at", "pull_request.created_at")
	b.Copy("pr_title=pull_request.title", "pr_state=pull_request.state", "pr_merged=pull_request.merged", "pr_draft=pull_request.draft",
		"pr_author=pull_request.user.login", "head_branch=pull_request.head.ref", "base_branch=pull_request.base.ref",
		"head_sha=pull_request.head.sha", "merge_commit_sha=pull_request.merge_commit_sha", "merged_at=pull_request.merged_at",
		"additions=pull_request.additions", "deletions=pull_request.deletions", "changed_files=pull_request.changed_files",
		"before", "after", "changes", "review_type=review.type")

	texts := []string{title, pr.First("head.ref", "head_branch")}
	pr.Get("labels").ForEach(func(_, l gjson.Result) bool {
		if label := l.Get("name"); label.Type == gjson.String && label.Str != "" {
			b.Change.Tags = append(b.Change.Tags, label.Str)
			texts = append(texts, label.Str)
		}
		return true
	})
	b.Upgrade(change.Code, texts...)
	request := fmt.Sprintf("#%s '%s'", number, title)
	if !merged {
		b.Change.Action, b.Change.Summary = b.became(action, request)
		b.Change.Summary = b.Who() + " " + b.Change.Summary + b.Where()
		return
	}
	b.At("pull_request.merged_at", "pull_request.updated_at")
	b.Change.CommitSHA = pr.First("merge_commit_sha", "head.sha")
	b.Change.CorrelationID = b.correlation("commit", b.Change.CommitSHA)
	b.Change.Action = "pull_request.merged"
	b.Change.Status = change.Succeeded
	b.Change.Summary = fmt.Sprintf("%s merged %s into %s%s", b.Who(), request, b.Change.Branch, b.Where())
	if isLarge(pr) {
		b.Hint(normalizers.HintLargeChange)
	}
}

func isLarge(pr *fields.Object) bool {
	return pr.Get("changed_files").Int() > largeFiles || pr.Get("additions").Int()+pr.Get("deletions").Int() > largeDiff
}

// noise are the actions that change nothing in the code, which older servers
// and Gogs send as pull_request as well.
var noise = map[string]string{
	"assigned": "who looks at a pull request", "unassigned": "who looks at a pull request",
	"review_requested": "who looks at a pull request", "review_request_removed": "who looks at a pull request",
	"label_updated": "labels of a pull request", "label_cleared": "labels of a pull request",
	"milestoned": "milestone of a pull request", "demilestoned": "milestone of a pull request",
}

// became says what somebody did to a pull request, short of merging it.
func (b *builder) became(action, request string) (name, says string) {
	switch {
	case b.kind == "pull_request_approved" || b.kind == "pull_request_review_approved":
		return "pull_request.approved", "approved " + request
	case b.kind == "pull_request_rejected" || b.kind == "pull_request_review_rejected":
		return "pull_request.rejected", "asked for changes to " + request
	case action == "synchronized":
		return "pull_request.synchronized", "pushed to " + request
	case action == "edited" && b.Text("changes.ref.from") != "":
		return "pull_request.edited", fmt.Sprintf("moved %s from %s to %s", request, b.Text("changes.ref.from"), b.Change.Branch)
	case action == "edited" && b.Text("changes.title.from") != "":
		return "pull_request.edited", fmt.Sprintf("renamed %s from '%s'", request, normalizers.OneLine(b.Text("changes.title.from")))
	case action == "opened", action == "closed", action == "reopened", action == "edited", action == "deleted", action == "reviewed":
		return "pull_request." + action, action + " " + request
	}
	return forge.Dotted("pull_request", action), "updated " + request
}
