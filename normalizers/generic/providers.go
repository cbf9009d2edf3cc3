package generic

import "whatchanged/pkg/change"

// provider is somebody without a normalizer of their own.
type provider struct {
	profile
	fallback change.Type
	// kinds tell the type by how the action starts; the first match wins.
	kinds []kind
}

type kind struct {
	start string
	typ   change.Type
}

// git are the actions of places where code lives.
var git = []kind{
	{"deploy", change.Deployment}, {"pipeline", change.Deployment}, {"build", change.Deployment}, {"release", change.Deployment},
	{"member", change.AccessChange}, {"team", change.AccessChange},
	{"", change.Code},
}

// providers are those we know well enough to name their fields. What a
// provider is not asked for here is looked for under the usual names.
var providers = map[string]provider{
	"gitea": giteaLike, "forgejo": giteaLike, "gogs": giteaLike,
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
		fallback: change.Code, kinds: git,
		profile: profile{
			actor: "principal.display_name principal.uid", actorID: "principal.uid", action: "trigger",
			time:     "head_commit.committer.when commit.committer.when pull_req.merged pull_req.updated",
			headline: "pull_req.title head_commit.message commit.message ref.name", repository: "repo.path",
			branch: "target_ref.name ref.name", commit: "sha", message: "head_commit.message commit.message",
			pr: "pull_req.number", prURL: "pull_req.pr_url", resource: "repo.id", name: "repo.path", kind: "=repository",
		},
	},
	"docker_hub": {
		fallback: change.Deployment,
		profile: profile{
			time: "push_data.pushed_at", actor: "push_data.pusher", version: "push_data.tag",
			action: "=image.pushed", headline: "repository.repo_name", resource: "repository.repo_name", name: "repository.repo_name",
			kind: "=container_image", link: "repository.repo_url", repository: "repository.repo_name",
		},
	},
	"pagerduty": {
		fallback: change.Incident,
		kinds: []kind{
			{"incident.", change.Incident}, {"service.", change.ConfigChange}, {"change", change.Deployment}, {"", change.Incident},
		},
		profile: profile{
			key: "event.id", time: "event.occurred_at payload.timestamp", actor: "event.agent.summary event.client.name payload.source",
			actorID: "event.agent.id", action: "event.event_type event_action =change", headline: "event.data.title event.data.summary payload.summary",
			status: "event.data.status", link: "event.data.html_url links.0.href client_url", service: "event.data.service.summary payload.component",
			resource: "event.data.id payload.source", name: "event.data.title event.data.summary payload.source", kind: "event.resource_type",
			external: "event.data.id dedup_key", correlation: "event.data.incident_key event.data.id dedup_key", pipeline: "links.0.href",
		},
	},
	"cdevents": {
		fallback: change.Other,
		kinds: []kind{
			{"dev.cdevents.service.rolledback", change.Rollback}, {"dev.cdevents.service", change.Deployment}, {"dev.cdevents.environment", change.Infrastructure},
			{"dev.cdevents.artifact", change.Deployment}, {"dev.cdevents.build", change.Deployment}, {"dev.cdevents.pipelinerun", change.Deployment},
			{"dev.cdevents.taskrun", change.Deployment}, {"dev.cdevents.repository", change.Code}, {"dev.cdevents.branch", change.Code},
			{"dev.cdevents.change", change.Code}, {"dev.cdevents.incident", change.Incident}, {"dev.cdevents.ticket", change.Incident},
		},
		profile: profile{
			key: "context.source context.id", time: "context.timestamp", action: "context.type", external: "context.id",
			actor: "subject.content.user subject.content.owner subject.content.creator", headline: "subject.content.name subject.content.pipelineName subject.content.taskName subject.content.summary subject.id",
			description: "subject.content.description", status: "subject.content.outcome", environment: "subject.content.environment.id",
			version: "subject.content.artifactId", repository: "subject.content.repository.id subject.content.repository.name",
			resource: "subject.id", name: "subject.content.name subject.id", kind: "subject.type", correlation: "context.chainId",
			pipeline: "subject.content.url subject.content.uri", service: "subject.content.service.id", link: "subject.content.uri subject.content.url",
		},
	},
	"cloudevents": {
		fallback: change.Other,
		profile: profile{
			key: "source id", time: "time", action: "type", external: "id", resource: "subject source", name: "subject source", kind: "@",
			headline: "data.summary data.title data.message subject", correlation: "traceparent", actor: "data.actor data.user",
		},
	},
	"terraform": {
		fallback: change.Infrastructure,
		profile: profile{
			time: "notifications.0.run_updated_at run_created_at", actor: "run_created_by notifications.0.run_updated_by",
			action: "notifications.0.trigger", headline: "run_message notifications.0.message", status: "notifications.0.run_status",
			pipeline: "run_url", resource: "workspace_id", name: "workspace_name", kind: "=workspace", external: "run_id", correlation: "run_id",
			account: "organization_name", key: "run_id notifications.0.trigger notifications.0.run_status notifications.0.run_updated_at",
		},
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
	"alertmanager": alerts, "grafana": alerts,
	"launchdarkly": {
		fallback: change.FeatureFlag,
		profile: profile{
			key: "_id", time: "date", actor: "member.email token.name", actorID: "member._id", action: "accesses.0.action kind",
			headline: "title titleVerb name", description: "description comment", external: "_id", resource: "_links.canonical.href name",
			name: "name", kind: "kind", environment: "target.resources.0.environment",
		},
	},
	"circleci": {
		fallback: change.Deployment,
		profile: profile{
			key: "id", time: "happened_at", actor: "pipeline.trigger.actor.login pipeline.vcs.commit.author.name", action: "type",
			headline: "workflow.name job.name", status: "job.status workflow.status", pipeline: "workflow.url",
			repository: "project.slug", branch: "pipeline.vcs.branch", commit: "pipeline.vcs.revision", message: "pipeline.vcs.commit.subject",
			version: "pipeline.vcs.tag", external: "workflow.id", correlation: "workflow.id", resource: "workflow.id", name: "workflow.name",
			kind: "=workflow", account: "organization.name", link: "workflow.url",
		},
	},
	"buildkite": {
		fallback: change.Deployment,
		profile: profile{
			time: "build.finished_at build.started_at build.created_at job.finished_at job.started_at", actor: "build.creator.name sender.name",
			actorID: "build.creator.id sender.id", action: "event", headline: "build.message pipeline.name", status: "job.state build.state",
			pipeline: "build.web_url", repository: "pipeline.repository", branch: "build.branch", commit: "build.commit", message: "build.message",
			version: "build.tag", external: "build.id", correlation: "build.id", resource: "build.id", name: "pipeline.name", kind: "=build",
			account: "organization.slug", link: "build.web_url",
		},
	},
	"opsgenie": {
		fallback: change.Incident,
		profile: profile{
			key: "action alert.alertId alert.updatedAt", time: "alert.updatedAt alert.createdAt", actor: "alert.username", action: "action",
			headline: "alert.message", description: "alert.description", resource: "alert.entity alert.alertId", name: "alert.entity alert.alias",
			external: "alert.alertId", correlation: "alert.alertId alert.alias", status: "@",
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

var alerts = provider{
	fallback: change.Incident,
	profile: profile{
		time: "alerts.0.endsAt alerts.0.startsAt", action: "status", headline: "commonAnnotations.summary commonLabels.alertname title alerts.0.labels.alertname groupLabels.alertname",
		description: "commonAnnotations.description message", status: "status", link: "externalURL", correlation: "groupKey",
		service: "commonLabels.service commonLabels.job", environment: "commonLabels.environment commonLabels.env",
		resource: "commonLabels.instance groupKey", name: "commonLabels.alertname commonLabels.instance", risk: "@",
	},
}
