package gitlab

import (
	"fmt"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// mergeRequest says what became of a merge request; merged is what counts.
func (b *builder) mergeRequest() {
	mr := b.Body.Object("object_attributes")
	number, action := b.ID("object_attributes.iid"), mr.Text("action")
	title := normalizers.OneLine(mr.Text("title"))
	b.Change.Description = mr.Text("description")
	b.Change.Branch = mr.Text("target_branch")
	b.Change.PRURL = mr.Text("url")
	b.Change.PRNumber = number
	b.Change.ExternalID = b.ID("object_attributes.id")
	b.Change.CommitSHA = mr.Text("last_commit.id")
	b.Change.CommitMessage = mr.Text("last_commit.message")
	b.At("object_attributes.updated_at", "object_attributes.created_at")
	b.Copy("mr_title=object_attributes.title", "mr_state=object_attributes.state", "merge_status=object_attributes.merge_status",
		"detailed_merge_status=object_attributes.detailed_merge_status", "source_branch=object_attributes.source_branch",
		"target_branch=object_attributes.target_branch", "created_at=object_attributes.created_at",
		"updated_at=object_attributes.updated_at", "merge_commit_sha=object_attributes.merge_commit_sha",
		"last_commit_id=object_attributes.last_commit.id", "target_repository=object_attributes.target.path_with_namespace",
		"draft=object_attributes.draft", "oldrev=object_attributes.oldrev", "system_action=object_attributes.system_action", "changes")
	if b.Change.ExternalID != "" {
		changes := b.Body.Get("changes").Raw
		b.fact = fmt.Sprintf("merge_request %s %s %s %s %s", b.Change.ExternalID, action, mr.Text("updated_at"), b.Change.CommitSHA, hash([]byte(changes))[:16])
	}

	texts := []string{mr.Text("title"), mr.Text("source_branch")}
	b.Body.Get("labels").ForEach(func(_, l gjson.Result) bool {
		if label := l.Get("title"); label.Type == gjson.String && label.Str != "" {
			b.Change.Tags = append(b.Change.Tags, label.Str)
			texts = append(texts, label.Str)
		}
		return true
	})
	b.Upgrade(change.Code, texts...)
	b.Change.Action = forge.Dotted("merge_request", action)
	request := fmt.Sprintf("!%s '%s'", number, title)
	if action != "merge" {
		b.Change.Summary = b.Who() + " " + b.became(mr, action, request) + b.Where()
		return
	}
	b.Change.CommitSHA = mr.First("merge_commit_sha", "squash_commit_sha", "last_commit.id")
	b.Change.CorrelationID = b.correlation("commit", b.Change.CommitSHA)
	b.Change.Action = "merge_request.merged"
	b.Change.Status = change.Succeeded
	b.Change.Summary = fmt.Sprintf("%s merged %s into %s%s", b.Who(), request, mr.Text("target_branch"), b.Where())
	if mr.Text("detailed_merge_status") == "not_approved" {
		b.Hint(normalizers.HintUnreviewedMerge)
	}
}

// became says what somebody did to a merge request, short of merging it.
func (b *builder) became(mr *fields.Object, action, request string) string {
	switch action {
	case "open":
		return "opened " + request
	case "close":
		return "closed " + request
	case "reopen":
		return "reopened " + request
	case "approval", "approved":
		return "approved " + request
	case "unapproval", "unapproved":
		if mr.Text("system_action") == "approvals_reset_on_push" {
			return "pushed to " + request + " and so reset its approvals"
		}
		return "withdrew the approval of " + request
	}
	return b.updated(mr, request)
}

// updated tells the update by what it changed, the most telling first.
func (b *builder) updated(mr *fields.Object, request string) string {
	changes := b.Body.Object("changes")
	was := func(what string) string { return normalizers.OneLine(changes.Text(what + ".previous")) }
	is := func(what string) string { return normalizers.OneLine(changes.Text(what + ".current")) }
	switch {
	case mr.Text("oldrev") != "":
		return "pushed to " + request
	case is("target_branch") != "":
		return fmt.Sprintf("moved %s from %s to %s", request, was("target_branch"), is("target_branch"))
	case was("draft") == "true" && is("draft") == "false":
		return "marked " + request + " as ready"
	case was("draft") == "false" && is("draft") == "true":
		return "marked " + request + " as a draft"
	case is("title") != "":
		return fmt.Sprintf("renamed %s from '%s'", request, was("title"))
	case changes.Get("reviewers").Exists():
		return "changed the reviewers of " + request
	case changes.Get("assignees").Exists():
		return "changed the assignees of " + request
	case changes.Get("labels").Exists():
		return "changed the labels of " + request
	case changes.Get("milestone_id").Exists():
		return "changed the milestone of " + request
	case changes.Get("description").Exists():
		return "changed the description of " + request
	}
	return "updated " + request
}
