package normalizers_test

// otherProviders says who must be detected where the corpus's own name for it
// is not ours.
var otherProviders = map[string]string{
	"azure-devops":           "azure_devops",
	"bitbucket-cloud":        "bitbucket",
	"bitbucket-server":       "bitbucket",
	"docker-hub":             "docker_hub",
	"github-audit-log":       "github_audit_log",
	"harness-code":           "harness",
	"pagerduty-change-event": "pagerduty",
	"pagerduty-webhook-v3":   "pagerduty",
	"terraform-cloud":        "terraform",
}

var otherConformance = conformance{
	dir: "other",
	provider: func(e entry) string {
		if name, ok := otherProviders[e.Provider]; ok {
			return name
		}
		return e.Provider
	},
	ignored: func(e entry, _ map[string]any) bool { return e.text("action") == "git.clone" },
	facts: factTable{
		"action": "metadata.action", "actor": "changed_by", "repository": "repository", "ref": "metadata.ref",
		"before": "metadata.before", "after": "metadata.after", "pusher": "changed_by", "ref_type": "metadata.ref_type",
		"pr_number": "pr_number", "pr_id": "pr_number", "tag": "version",

		"azure-devops/id": "external_id", "azure-devops/eventType": "action", "azure-devops/publisherId": "metadata.publisherId",
		"azure-devops/createdDate": "metadata.createdDate", "azure-devops/project": "account", "azure-devops/pr_status": "metadata.resource.status",
		"azure-devops/new_sha": "commit_sha", "azure-devops/old_sha": "metadata.resource.refUpdates.0.oldObjectId",
		"azure-devops/ref": "metadata.resource.refUpdates.0.name", "azure-devops/pushed_by": "changed_by",

		"bitbucket-cloud/actor": "actor.name", "bitbucket-cloud/actor_name": "metadata.actor_name",
		"bitbucket-cloud/branch": "branch", "bitbucket-cloud/new_sha": "commit_sha", "bitbucket-cloud/old_sha": "metadata.before",
		"bitbucket-cloud/pr_state": "metadata.pr_state", "bitbucket-cloud/pr_title": "metadata.pr_title",

		"bitbucket-server/date": "occurred_at", "bitbucket-server/eventKey": "metadata.event", "bitbucket-server/ref": "metadata.ref",
		"bitbucket-server/from_sha": "metadata.before", "bitbucket-server/to_sha": "metadata.after",
		"bitbucket-server/pr_title": "metadata.pr_title", "bitbucket-server/project": "metadata.project",
		"bitbucket-server/repository": "metadata.repository_slug",

		"context.id": "external_id", "context.source": "metadata.context.source", "context.specversion": "metadata.context.specversion",
		"context.timestamp": "occurred_at", "context.type": "action", "subject.id": "resource.id",
		"artifactId": "metadata.subject.content.artifactId", "environment.id": "environment", "outcome": "metadata.subject.content.outcome",

		"cloudevents/id": "external_id", "cloudevents/source": "metadata.source", "cloudevents/type": "action", "cloudevents/time": "occurred_at",
		"specversion": "metadata.specversion", "datacontenttype": "metadata.datacontenttype", "data": "metadata.data",
		"comexampleextension1": "metadata.comexampleextension1",

		"gitea/pr_merged": "metadata.pr_merged", "gitea/pr_title": "metadata.pr_title",
		"gogs/pr_title": "metadata.pr_title",

		"github-audit-log/action": "action", "_document_id": "external_id", "created_at": "occurred_at", "org": "account",
		"repo": "repository", "user": "metadata.user",

		"harness-code/ref": "metadata.ref.name", "old_sha": "metadata.old_sha", "sha": "commit_sha", "harness-code/trigger": "action",

		"link": "pipeline_url", "source": "changed_by", "summary": "metadata.payload.summary", "timestamp": "occurred_at",
		"agent": "changed_by", "data.id": "resource.id", "event_type": "action", "occurred_at": "occurred_at",
		"pagerduty-webhook-v3/id": "metadata.event.id",

		"notification_configuration_id": "metadata.notification_configuration_id", "organization_name": "account",
		"payload_version": "metadata.payload_version", "run_created_at": "metadata.run_created_at", "run_created_by": "changed_by",
		"run_id": "external_id", "run_message": "metadata.run_message", "run_status": "metadata.notifications.0.run_status",
		"run_url": "pipeline_url", "workspace_id": "resource.id", "workspace_name": "resource.name",
		"terraform-cloud/trigger": "action",
	},
}
