package generic

import (
	"strings"

	"whatchanged/pkg/change"
)

// harness has code and pipelines, which send different things.
var harness = provider{
	fallback: change.Code,
	kinds: []kind{
		{"stage", change.Deployment}, {"step", change.Deployment}, {"pipeline", change.Deployment},
		{"", change.Code},
	},
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
