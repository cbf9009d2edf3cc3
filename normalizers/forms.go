package normalizers

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// form is how one tells a shape: by members that nobody else has all of.
type form struct {
	shape
	asks []string           // members that must be there
	when func(members) bool // what they must hold besides; nil: nothing
	says string             // the same in words, for the documents
	who  func(members) string
}

// forms are the shapes that are known, the first that fits wins: where one
// could be taken for another, the more telling one stands first.
var forms = ready(slices.Concat(amazon, azure, google, forges, delivery, alerting, kubernetes, records, recordLists))

// plain are those of records that anyone may send.
var plain = ready(records)

// readyForm is a form whose names have their bits.
type readyForm struct {
	form
	names names // of asks
}

func ready(forms []form) []readyForm {
	out := make([]readyForm, len(forms))
	for i, f := range forms {
		out[i].form = f
		for _, name := range f.asks {
			out[i].names.add(bit(name))
		}
	}
	return out
}

var amazon = []form{
	{shape{"aws", "sns", ""}, []string{"TopicArn", "MessageId", "Type"}, func(m members) bool {
		switch m.str("Type") {
		case "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation":
			return true
		}
		return false
	}, "one of SNS's three types", nil},
	{shape{"aws", "firehose", "records"}, []string{"requestId", "records"}, func(m members) bool {
		return m.str("requestId") != "" && isFirehoseData(firstItem(m.get("records")).Get("data"))
	}, "records[].data in base64", nil},
	{shape{"aws", "eventbridge", ""}, []string{"detail-type", "source", "id", "detail"}, func(m members) bool { return m.object("detail") }, "detail is an object", nil},
	// S3's records have the same members as CloudTrail's: only the source and the s3 object tell.
	{shape{"aws", "s3-records", "Records"}, []string{"Records"}, func(m members) bool {
		item := firstItem(m.get("Records"))
		return item.Get("eventSource").Str == "aws:s3" && item.Get("s3.bucket.name").Exists()
	}, "Records[] from aws:s3 with s3.bucket", nil},
	{shape{"aws", "sns-records", "Records"}, []string{"Records"}, func(m members) bool {
		item := firstItem(m.get("Records"))
		return item.Get("EventSource").Str == "aws:sns" && item.Get("Sns").IsObject()
	}, "Records[] from aws:sns with Sns", nil},
	{shape{"cloudtrail", "cloudtrail-records", "Records"}, []string{"Records"}, func(m members) bool {
		first := firstItem(m.get("Records"))
		return m.array("Records") && (!first.Exists() || isCloudTrail(membersOf(first))) // a log file may be empty
	}, "Records[] as below", nil},
	{shape{"aws", "s3-record", ""}, []string{"eventSource", "s3"}, func(m members) bool { return m.str("eventSource") == "aws:s3" }, "one of those records", nil},
	{shape{"aws", "s3-test", ""}, []string{"Service", "Event"}, func(m members) bool {
		return m.str("Service") == "Amazon S3" && m.str("Event") == "s3:TestEvent"
	}, "S3's test event", nil},
	{shape{"aws", "cloudtrail-notice", ""}, []string{"s3Bucket", "s3ObjectKey"}, func(m members) bool {
		return m.str("s3Bucket") != "" && m.array("s3ObjectKey")
	}, "s3ObjectKey is a list", nil},
	{shape{"aws", "cloudtrail-digest", ""}, []string{"digestStartTime", "digestS3Bucket", "logFiles"}, nil, "", nil},
	{shape{"aws", "cloudwatch-logs", "logEvents"}, []string{"logGroup", "logEvents", "messageType"}, func(m members) bool {
		return m.str("messageType") == "DATA_MESSAGE" || m.str("messageType") == "CONTROL_MESSAGE"
	}, "one of the two message types", nil},
	{shape{"aws", "awslogs", ""}, []string{"awslogs"}, func(m members) bool { return m.at("awslogs", "data").Type == gjson.String }, "awslogs.data is text", nil},
	{shape{"cloudtrail", "cloudtrail-record", ""}, nil, isCloudTrail, "eventName, eventVersion, eventSource and userIdentity or eventID; or insightDetails", nil},
	{shape{"aws", "cloudwatch-alarm", ""}, []string{"AlarmName", "NewStateValue"}, nil, "", nil},
}

// isFirehoseData takes base64, and what stands for it in samples and tests:
// the CloudWatch Logs message itself.
func isFirehoseData(data gjson.Result) bool {
	return data.Type == gjson.String || data.IsObject() && data.Get("messageType").Exists()
}

// isCloudTrail asks for what every CloudTrail record has: version 1.0 had no
// eventID, and an insight has its name and source in its details.
func isCloudTrail(m members) bool {
	if m.object("insightDetails") && m.str("eventID") != "" {
		return true
	}
	return m.str("eventName") != "" && m.has("eventVersion") &&
		(m.object("userIdentity") || m.str("eventID") != "") &&
		!strings.HasPrefix(m.str("eventSource"), "aws:") && m.str("eventSource") != ""
}

var azure = []form{
	{shape{"azure", "azure-common-alert", ""}, []string{"schemaId"}, func(m members) bool { return m.str("schemaId") == "azureMonitorCommonAlertSchema" }, "the common alert schema", nil},
	{shape{"azure", "azure-alert", ""}, []string{"schemaId"}, func(m members) bool {
		return m.str("schemaId") == "Microsoft.Insights/activityLogs" || m.str("schemaId") == "AzureMonitorMetricAlert"
	}, "an alert of before the common schema", nil},
	{shape{"azure_devops", "azure-devops", ""}, []string{"publisherId", "eventType", "resource"}, func(m members) bool {
		return m.str("publisherId") != "" && m.str("eventType") != "" && (m.has("resourceContainers") || m.has("message", "createdDate"))
	}, "resourceContainers, or message and createdDate", nil},
	{shape{"azure", "azure-records", "records"}, []string{"records"}, func(m members) bool { return isAzureRecord(membersOf(firstItem(m.get("records")))) }, "records[] as below", nil},
	{shape{"azure", "azure-record", ""}, []string{"operationName", "time"}, isAzureRecord, "resourceId, or category and properties", nil},
	{shape{"azure", "azure-activity", ""}, []string{"eventTimestamp", "operationName"}, func(m members) bool { return m.hasOne("eventDataId", "resourceId") }, "eventDataId or resourceId", nil},
	{shape{"azure", "eventgrid-event", ""}, []string{"eventType", "eventTime", "data"}, func(m members) bool {
		return m.str("eventType") != "" && m.hasOne("subject", "cloudEventsVersion")
	}, "subject", nil},
}

func isAzureRecord(m members) bool {
	return m.has("operationName", "time") && (m.hasOne("resourceId", "ResourceId") || m.has("category", "properties"))
}

var google = []form{
	{shape{"gcp", "logentry", ""}, nil, isLogEntry, "logName and a payload, or protoPayload and insertId", nil},
	{shape{"gcp", "logentries", "entries"}, []string{"entries"}, func(m members) bool { return isLogEntry(membersOf(firstItem(m.get("entries")))) }, "entries[] as above", nil},
	{shape{"gcp", "pubsub", ""}, []string{"message", "subscription"}, func(m members) bool {
		return isSubscription(m.str("subscription")) && (m.at("message", "messageId").Exists() || m.at("message", "message_id").Exists())
	}, "message.messageId and projects/.../subscriptions/...", nil},
	{shape{"gcp", "scc-finding", ""}, []string{"notificationConfigName", "finding"}, func(m members) bool { return m.object("finding") }, "", nil},
	{shape{"gcp", "gcp-incident", ""}, []string{"incident"}, func(m members) bool {
		return m.at("incident", "incident_id").Exists() && m.at("incident", "policy_name").Exists()
	}, "incident.incident_id and incident.policy_name", nil},
	{shape{"gcp", "gcp-asset", ""}, []string{"asset", "window"}, func(m members) bool { return m.at("asset", "assetType").Exists() }, "asset.assetType", nil},
	{shape{"gcp", "cloud-build", ""}, []string{"id", "projectId", "status"}, func(m members) bool {
		return m.has("buildTriggerId") || m.has("logUrl", "steps")
	}, "buildTriggerId, or logUrl and steps", nil},
}

func isLogEntry(m members) bool {
	return m.str("logName") != "" && m.hasOne("protoPayload", "jsonPayload", "textPayload") ||
		m.object("protoPayload") && m.has("insertId")
}

func isSubscription(name string) bool {
	return strings.HasPrefix(name, "projects/") && strings.Contains(name, "/subscriptions/")
}

// forges are where code lives.
var forges = []form{
	{shape{"gitlab", "gitlab", ""}, nil, func(m members) bool {
		return m.str("object_kind") != "" || m.str("event_name") != "" && m.hasOne("project_id", "group_id", "user_id")
	}, "object_kind, or event_name with project_id, group_id or user_id", nil},
	{shape{"github", "github", ""}, []string{"hook_id", "zen", "hook"}, nil, "", nil},
	{shape{"harness", "harness", ""}, []string{"trigger", "repo", "principal"}, func(m members) bool {
		return m.str("trigger") != "" && m.object("repo") && m.object("principal")
	}, "", nil},
	{shape{"docker_hub", "docker-hub", ""}, []string{"repository", "push_data", "callback_url"}, func(m members) bool { return m.object("push_data") }, "", nil},
	{shape{"bitbucket", "bitbucket", ""}, nil, isBitbucket, "eventKey with actor; or actor and repository with push, pullrequest or commit_status", nil},
	// Gitea and its family write a user as login and username; GitHub has no username there.
	{shape{"gitea", "gitea", ""}, []string{"repository", "sender"}, func(m members) bool {
		return m.at("repository", "full_name").Exists() && m.at("sender", "login").Exists() && m.at("sender", "username").Exists()
	}, "repository.full_name, sender.login and sender.username", nil},
	{shape{"github", "github", ""}, []string{"repository", "sender"}, func(m members) bool {
		return m.at("repository", "full_name").Exists() && m.at("sender", "login").Exists()
	}, "repository.full_name and sender.login", nil},
	{shape{"github", "github", ""}, []string{"sender"}, func(m members) bool { // about an organization or app: no repository
		return m.at("sender", "login").Exists() && m.at("sender", "site_admin").Exists() && (m.object("organization") || m.object("installation"))
	}, "sender.site_admin, and organization or installation", nil},
	{shape{"github", "github", ""}, []string{"action"}, func(m members) bool {
		return m.at("sender", "login").Exists() && m.at("sender", "site_admin").Exists() || m.at("security_advisory", "ghsa_id").Exists()
	}, "sender.site_admin, or security_advisory.ghsa_id", nil},
	{shape{"gitlab", "gitlab", ""}, []string{"event_name", "username", "created_at", "updated_at"}, nil, "about a user's key", nil},
	{shape{"github_audit_log", "github-audit-log", ""}, []string{"_document_id", "action"}, nil, "", nil},
}

func isBitbucket(m members) bool {
	if !m.object("actor") {
		return false
	}
	return strings.Contains(m.str("eventKey"), ":") ||
		m.object("repository") && m.at("repository", "links").Exists() && (m.at("push", "changes").Exists() || m.object("pullrequest") || m.object("commit_status"))
}

// delivery are what builds and deploys.
var delivery = []form{
	{shape{"cloudevents", "cloudevents", ""}, []string{"specversion", "id", "source", "type"}, func(m members) bool {
		return m.str("specversion") != "" && m.str("type") != ""
	}, "whose type may be CDEvents', Google's or Microsoft's", func(m members) string { return cloudEventProvider(m.str("type"), m.str("source")) }},
	{shape{"cdevents", "cdevents", ""}, []string{"context", "subject"}, func(m members) bool {
		return strings.HasPrefix(m.at("context", "type").Str, "dev.cdevents")
	}, "context.type starts with dev.cdevents", nil},
	{shape{"terraform", "terraform", ""}, []string{"payload_version", "notification_configuration_id"}, nil, "", nil},
	{shape{"circleci", "circleci", ""}, []string{"type", "id", "happened_at", "webhook"}, func(m members) bool { return m.object("webhook") }, "", nil},
	{shape{"buildkite", "buildkite", ""}, []string{"event", "pipeline"}, func(m members) bool {
		return strings.HasPrefix(m.at("pipeline", "url").Str, "https://api.buildkite.com/")
	}, "pipeline.url is Buildkite's", nil},
	{shape{"jenkins", "jenkins", ""}, []string{"name", "build"}, func(m members) bool {
		return m.at("build", "phase").Type == gjson.String && m.at("build", "number").Exists()
	}, "build.phase and build.number", nil},
	{shape{"jenkins", "jenkins-outbound", ""}, []string{"buildName", "buildUrl", "event"}, nil, "", nil},
	{shape{"harness", "harness-pipeline", ""}, []string{"eventData"}, func(m members) bool {
		return m.at("eventData", "planExecutionId").Exists() || m.at("eventData", "pipelineIdentifier").Exists()
	}, "eventData.planExecutionId", nil},
	{shape{"spinnaker", "spinnaker", ""}, []string{"details", "content"}, func(m members) bool { return isSpinnaker(m.get("details")) }, "details.type starts with orca:, or of another of its services", nil},
	{shape{"spinnaker", "spinnaker", "payload"}, []string{"payload", "eventName"}, func(m members) bool { return isSpinnaker(m.at("payload", "details")) }, "the same inside payload", nil},
	{shape{"octopus", "octopus", ""}, []string{"EventType", "Payload"}, func(m members) bool {
		return m.str("EventType") == "SubscriptionPayload" && m.at("Payload", "Event").IsObject()
	}, "EventType SubscriptionPayload, and Payload.Event", nil},
	{shape{"argocd", "argocd", ""}, nil, func(m members) bool {
		if isArgoResource(m.str("kind"), m.str("apiVersion")) {
			return true
		}
		if app := m.get("app"); app.IsObject() {
			return isArgoResource(app.Get("kind").Str, app.Get("apiVersion").Str)
		}
		return (m.str("app") != "" || m.str("application") != "") &&
			(m.hasOne("sync_status", "syncStatus", "operation_phase", "operationPhase") || m.has("sync", "health"))
	}, "an Application of argoproj.io, itself or as app; or app with sync_status or operation_phase", nil},
	{shape{"flux", "flux", ""}, []string{"involvedObject", "severity", "reason", "reportingController"}, nil, "", nil},
	{shape{"launchdarkly", "launchdarkly", ""}, []string{"_links", "accesses", "titleVerb"}, nil, "", nil},
	{shape{"unleash", "unleash", ""}, []string{"type", "createdBy", "createdAt"}, func(m members) bool {
		return m.hasOne("featureName", "preData") && strings.ContainsRune(m.str("type"), '-')
	}, "featureName or preData, and a type such as feature-environment-enabled", nil},
}

func isSpinnaker(details gjson.Result) bool {
	if !details.IsObject() {
		return false
	}
	service, _, ok := strings.Cut(details.Get("type").Str, ":")
	return ok && (service == "orca" || service == "echo" || service == "igor" || service == "gate" || service == "front50")
}

func isArgoResource(kind, version string) bool {
	return strings.HasPrefix(version, "argoproj.io/") && (kind == "Application" || kind == "Rollout" || kind == "ApplicationSet")
}

// alerting are who says that something is wrong, and those who keep notes beside their graphs.
var alerting = []form{
	{shape{"pagerduty", "pagerduty", ""}, []string{"event"}, func(m members) bool {
		return m.at("event", "event_type").Exists() && m.at("event", "resource_type").Exists() && m.at("event", "occurred_at").Exists()
	}, "event.event_type, event.resource_type and event.occurred_at", nil},
	{shape{"pagerduty", "pagerduty-event", ""}, []string{"routing_key", "payload"}, func(m members) bool { return m.at("payload", "summary").Exists() }, "payload.summary", nil},
	{shape{"pagerduty", "pagerduty-v2", "messages"}, []string{"messages"}, func(m members) bool {
		item := firstItem(m.get("messages"))
		return strings.HasPrefix(item.Get("event").Str, "incident.") && item.Get("incident").IsObject() ||
			strings.HasPrefix(item.Get("type").Str, "incident.") && item.Get("data.incident").IsObject()
	}, "messages[] with an event such as incident.trigger, and the incident", nil},
	{shape{"grafana", "grafana", ""}, []string{"groupKey", "alerts", "orgId"}, func(m members) bool { return m.array("alerts") }, "", nil},
	{shape{"alertmanager", "alertmanager", ""}, []string{"version", "groupKey", "alerts"}, func(m members) bool {
		return m.str("version") == "4" && m.array("alerts")
	}, "version 4", nil},
	{shape{"grafana", "grafana", ""}, []string{"version", "groupKey", "alerts"}, func(m members) bool {
		return m.str("version") == "1" && m.array("alerts")
	}, "version 1", nil},
	{shape{"grafana", "grafana-annotation", ""}, []string{"text", "tags"}, func(m members) bool {
		return m.array("tags") && m.hasOne("time", "dashboardUID", "dashboardId", "panelId") && len(m.list) <= 10 && !m.hasOne("title", "type", "event")
	}, "a note: text, tags and time, or the dashboard", nil},
	{shape{"grafana", "grafana-graphite", ""}, []string{"what", "when"}, func(m members) bool { return m.str("what") != "" }, "", nil},
	{shape{"opsgenie", "opsgenie", ""}, []string{"action", "alert", "integrationId"}, func(m members) bool { return m.at("alert", "alertId").Exists() }, "alert.alertId", nil},
	{shape{"datadog", "datadog-dora", ""}, []string{"data"}, func(m members) bool {
		a := m.at("data", "attributes")
		return a.IsObject() && a.Get("service").Exists() && a.Get("started_at").Exists() && len(m.list) <= 2
	}, "data.attributes.service and data.attributes.started_at", nil},
	{shape{"datadog", "datadog-event", ""}, []string{"data"}, func(m members) bool {
		a := m.at("data", "attributes")
		return a.IsObject() && a.Get("category").Exists() && a.Get("title").Exists() && len(m.list) <= 2
	}, "data.attributes.category and data.attributes.title", nil},
	{shape{"datadog", "datadog", ""}, []string{"event_type", "last_updated", "org", "title"}, func(m members) bool { return m.object("org") }, "", nil},
	{shape{"datadog", "datadog-v1", ""}, []string{"title", "text"}, func(m members) bool {
		return m.hasOne("date_happened", "alert_type", "aggregation_key", "source_type_name")
	}, "date_happened, alert_type, aggregation_key or source_type_name", nil},
	{shape{"sentry", "sentry", ""}, []string{"action", "data", "installation"}, func(m members) bool { return m.at("installation", "uuid").Exists() }, "installation.uuid", nil},
	{shape{"sentry", "sentry-release", ""}, []string{"version", "projects"}, func(m members) bool {
		return m.array("projects") && m.hasOne("refs", "ref", "commits", "dateReleased", "dateCreated")
	}, "refs, commits or dateReleased", nil},
	{shape{"sentry", "sentry-deploy", ""}, []string{"environment", "dateFinished"}, nil, "", nil},
	{shape{"sentry", "sentry-alert", ""}, []string{"project_slug", "event", "culprit"}, nil, "", nil},
	{shape{"statuspage", "statuspage", ""}, []string{"page"}, func(m members) bool {
		return m.at("page", "id").Exists() && (m.object("incident") || m.object("component_update"))
	}, "page.id, and incident or component_update", nil},
}

var kubernetes = []form{
	{shape{"kubernetes", "kubernetes-list", "items"}, []string{"kind", "apiVersion", "items"}, func(m members) bool {
		return m.str("kind") == "EventList" && isEventVersion(m.str("apiVersion"))
	}, "an EventList of v1, events.k8s.io or audit.k8s.io", nil},
	{shape{"kubernetes", "kubernetes-audit", ""}, []string{"auditID", "verb", "stage"}, nil, "", nil},
	{shape{"kubernetes", "kubernetes-event", ""}, []string{"kind", "apiVersion"}, func(m members) bool {
		return m.str("kind") == "Event" && isEventVersion(m.str("apiVersion"))
	}, "an Event of v1 or events.k8s.io", nil},
	{shape{"kubernetes", "kubernetes-event", ""}, []string{"involvedObject", "reason", "metadata"}, func(m members) bool {
		return m.object("involvedObject") && m.hasOne("firstTimestamp", "lastTimestamp", "eventTime")
	}, "the same as exporters send it, without kind", nil},
}

func isEventVersion(v string) bool {
	return v == "v1" || strings.HasPrefix(v, "events.k8s.io/") || strings.HasPrefix(v, "audit.k8s.io/")
}

// records are what anyone may send: what a script posts, and the forms
// in which other products keep such records.
var records = []form{
	{shape{Generic, "change-event", ""}, []string{"title", "type"}, func(m members) bool {
		return isType(m.str("type")) && m.hasOne("environment", "source", "author", "version", "commit_sha", "repository", "tags", "description")
	}, "a type of ours, and environment, version, commit_sha or the like", nil},
	{shape{Generic, "change", ""}, []string{"summary", "change_type"}, nil, "", nil},
	{shape{Generic, "user-action", ""}, []string{"user_id", "type", "action", "target_id"}, nil, "", nil},
	{shape{Generic, "token-use", ""}, []string{"token_id", "scope", "target", "user_id"}, nil, "", nil},
	{shape{Generic, "infrastructure-event", ""}, []string{"actor_id", "action", "resource"}, nil, "", nil},
	{shape{Generic, "audit-event", ""}, []string{"action", "user", "date"}, isAuditEvent, "an action of create, update, delete or info, and what was done", nil},
}

var recordLists = []form{
	{shape{Generic, "list", "data"}, []string{"data"}, func(m members) bool { return isPlain(firstItem(m.get("data"))) }, "data[] of the above", nil},
	{shape{Generic, "list", "events"}, []string{"events"}, func(m members) bool { return isPlain(firstItem(m.get("events"))) }, "events[] of the above", nil},
	{shape{Generic, "list", "changes"}, []string{"changes"}, func(m members) bool { return isPlain(firstItem(m.get("changes"))) }, "changes[] of the above", nil},
}

// isPlain reports whether an object is one of the plain records.
func isPlain(v gjson.Result) bool {
	return v.IsObject() && shapeAmong(plain, v) != unknown
}

// isAuditEvent takes records of the kind "user U did create on object O".
func isAuditEvent(m members) bool {
	switch m.str("action") {
	case "create", "update", "delete", "info":
		return m.hasOne("object_name", "object", "object_type") && m.hasOne("event", "description")
	}
	return false
}

func isType(s string) bool { return slices.Contains(change.Types(), change.Type(s)) }
