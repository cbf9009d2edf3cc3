package generic

import (
	"strings"

	"whatchanged/pkg/change"
)

// git are the actions of places where code lives.
var git = []kind{
	{"deploy", change.Deployment}, {"pipeline", change.Deployment}, {"build", change.Deployment}, {"release", change.Deployment},
	{"member", change.AccessChange}, {"team", change.AccessChange},
	{"", change.Code},
}

// codeHosts are where code lives.
var codeHosts = map[string]*provider{
	"harness": {
		fallback: change.Code,
		kinds:    append([]kind{{"stage", change.Deployment}, {"step", change.Deployment}}, git...),
		profile: profile{
			actor: "principal.display_name principal.uid eventData.triggeredBy.name eventData.triggeredBy.email", actorID: "principal.uid eventData.triggeredBy.email",
			action: "trigger eventData.eventType", time: "head_commit.committer.when commit.committer.when pull_req.merged pull_req.updated eventData.endTs eventData.startTs",
			headline: "pull_req.title head_commit.message commit.message ref.name eventData.pipelineName eventData.pipelineIdentifier", repository: "repo.path",
			branch: "target_ref.name ref.name", commit: "sha", message: "head_commit.message commit.message",
			pr: "pull_req.number", prURL: "pull_req.pr_url", resource: "repo.id eventData.pipelineIdentifier", name: "repo.path eventData.pipelineName", kind: "@",
			pipeline: "eventData.executionUrl", correlation: "eventData.planExecutionId", external: "eventData.planExecutionId", account: "eventData.projectIdentifier",
			link: "repo.git_url eventData.executionUrl",
		},
		tell: tellHarness,
	},
	"github_audit_log": {
		fallback: change.Other,
		kinds: []kind{
			{"workflows.", change.Deployment}, {"org.", change.AccessChange}, {"team.", change.AccessChange}, {"repo.", change.ConfigChange},
			{"protected_branch.", change.ConfigChange}, {"organization_moderators.", change.AccessChange}, {"personal_access_token", change.AccessChange},
			{"git.push", change.Code}, {"git.", change.Other}, {"pull_request.", change.Code}, {"environment.", change.ConfigChange}, {"", change.ConfigChange},
		},
		profile: profile{
			key: "_document_id", time: "created_at at_sign_timestamp @timestamp", actor: "actor", actorID: "actor_id", action: "action",
			headline: "name repo user team", repository: "repo", account: "org", external: "_document_id",
			resource: "repo user team org", name: "repo user team org", branch: "head_branch", commit: "head_sha", status: "conclusion",
		},
	},
}

// tellHarness reads both of Harness's: its code hosting, and its pipelines.
func tellHarness(t *telling) string {
	event := t.get("eventData")
	if !event.IsObject() {
		t.c.Resource.Type = "repository"
		return ""
	}
	t.c.Resource.Type = "pipeline"
	words := strings.Fields(unCamel(t.c.Action)) // PipelineSuccess, StageFailed, PipelineEnd
	state := ""
	if len(words) > 0 {
		state = words[len(words)-1]
	}
	if t.c.Status = statusOf(state); state == "start" {
		t.c.Status = change.Started
	}
	t.say("Harness pipeline", t.headline, orElse(stateWord(t.c.Status), state), with("in", t.c.Account), with("by", t.c.ChangedBy))
	return ""
}
