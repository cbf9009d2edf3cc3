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
	"gitea": &giteaLike, "forgejo": &giteaLike, "gogs": &giteaLike,
	"bitbucket": {
		fallback: change.Code, kinds: git,
		profile: profile{
			time:  "date pullrequest.updated_on push.changes.0.new.target.date comment.created_on commit_status.updated_on",
			actor: "actor.nickname actor.username actor.display_name actor.name", actorID: "actor.uuid actor.account_id actor.id",
			action:   "eventKey",
			headline: "pullrequest.title pullRequest.title push.changes.0.new.target.message commit_status.name changes.0.refId",
			status:   "commit_status.state", repository: "repository.full_name pullRequest.toRef.repository.slug repository.slug",
			branch:  "push.changes.0.new.name pullrequest.destination.branch.name pullRequest.toRef.displayId changes.0.ref.displayId push.changes.0.old.name",
			commit:  "push.changes.0.new.target.hash pullrequest.merge_commit.hash pullrequest.source.commit.hash pullRequest.properties.mergeCommit.id pullRequest.fromRef.latestCommit changes.0.toHash",
			message: "push.changes.0.new.target.message",
			pr:      "pullrequest.id pullRequest.id", prURL: "pullrequest.links.html.href pullRequest.links.self.0.href",
			resource: "repository.uuid repository.id pullRequest.toRef.repository.id", name: "repository.full_name repository.slug", kind: "=repository",
			link: "repository.links.html.href",
		},
	},
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

var giteaLike = provider{
	fallback: change.Code, kinds: git,
	profile: profile{
		time:  "head_commit.timestamp commits.0.timestamp pull_request.merged_at pull_request.updated_at release.published_at",
		actor: "sender.login sender.username pusher.login pusher.username pull_request.user.login", actorID: "sender.id pusher.id",
		action: "action", headline: "pull_request.title release.name head_commit.message commits.0.message issue.title ref",
		repository: "repository.full_name", branch: "pull_request.base.ref ref", commit: "after pull_request.merge_commit_sha pull_request.head.sha sha",
		message: "head_commit.message commits.0.message", pr: "pull_request.number", prURL: "pull_request.html_url",
		version: "release.tag_name", link: "release.html_url compare_url repository.html_url",
		resource: "repository.full_name", name: "repository.full_name", kind: "=repository", environment: "@",
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
