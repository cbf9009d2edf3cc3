package normalizers

import (
	"strings"

	"github.com/tidwall/gjson"
)

// shape is a form of JSON that tells who made it. The zero shape tells nothing.
type shape struct {
	provider string
	name     string
	items    string // the member with the records inside, where there are several
}

func (s shape) by() string {
	if s.name == "" {
		return "shape:unknown"
	}
	return "shape:" + s.name
}

// unknown is what nobody's rule fits.
var unknown = shape{}

// members are an object's, compared exactly: CloudTrail's Records and Azure's
// records are not the same.
type members map[string]gjson.Result

// maxMembers is how many members are looked at: nobody's shape has more.
const maxMembers = 1000

// membersOf returns an object's members less those that are there twice.
// Readers of JSON disagree on which of the two counts, so none may decide.
func membersOf(v gjson.Result) members {
	m := make(members, 16)
	var twice []string
	v.ForEach(func(key, value gjson.Result) bool {
		if _, again := m[key.Str]; again {
			twice = append(twice, key.Str)
		}
		m[key.Str] = value
		return len(m) < maxMembers
	})
	for _, name := range twice {
		delete(m, name)
	}
	return m
}

// has reports whether all the names are there.
func (m members) has(names ...string) bool {
	for _, name := range names {
		if !m[name].Exists() {
			return false
		}
	}
	return true
}

func (m members) str(name string) string {
	if v := m[name]; v.Type == gjson.String {
		return v.Str
	}
	return ""
}

func (m members) object(name string) bool { return m[name].IsObject() }
func (m members) array(name string) bool  { return m[name].IsArray() }

// shapeOf says what form v has.
func shapeOf(v gjson.Result) shape {
	switch {
	case v.IsObject():
		return membersOf(v).shape()
	case v.IsArray():
		return shapeOfArray(v)
	}
	return unknown
}

// shapeOfArray goes by the first item; the others are looked at one by one
// when they become records.
func shapeOfArray(v gjson.Result) shape {
	first := firstItem(v)
	if !first.IsObject() {
		return unknown
	}
	switch kind := shapeOf(first); kind.name {
	case "eventgrid-event":
		return shape{"azure", "eventgrid", "@this"}
	case "cloudevents":
		return shape{kind.provider, "cloudevents-batch", "@this"}
	case "logentry":
		return shape{"gcp", "logentries", "@this"}
	case "cloudtrail-record":
		return shape{"cloudtrail", "cloudtrail-array", "@this"}
	case "azure-record", "azure-activity":
		return shape{"azure", "azure-array", "@this"}
	}
	return unknown
}

func firstItem(array gjson.Result) (first gjson.Result) {
	array.ForEach(func(_, item gjson.Result) bool {
		first = item
		return false
	})
	return first
}

// shape goes through the rules for objects; the families do not overlap, and
// within one the more telling rule stands first.
func (m members) shape() shape {
	for _, rule := range []func(members) shape{aws, azure, gcp, forges, others} {
		if kind := rule(m); kind != unknown {
			return kind
		}
	}
	return unknown
}

func aws(m members) shape {
	switch {
	case m.has("TopicArn", "MessageId"):
		switch m.str("Type") {
		case "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation":
			return shape{"aws", "sns", ""}
		}
	case m.str("requestId") != "" && m.array("records") && isFirehoseData(firstItem(m["records"]).Get("data")):
		return shape{"aws", "firehose", "records"}
	case m.has("detail-type", "source", "id") && m.object("detail"):
		return shape{"aws", "eventbridge", ""}
	case m.array("Records"):
		return awsRecords(m)
	case m.str("Service") == "Amazon S3" && m.str("Event") == "s3:TestEvent":
		return shape{"aws", "s3-test", ""}
	case m.str("s3Bucket") != "" && m.array("s3ObjectKey"):
		return shape{"aws", "cloudtrail-notice", ""}
	case m.has("logGroup", "logEvents") && (m.str("messageType") == "DATA_MESSAGE" || m.str("messageType") == "CONTROL_MESSAGE"):
		return shape{"aws", "cloudwatch-logs", "logEvents"}
	case m["awslogs"].Get("data").Type == gjson.String:
		return shape{"aws", "awslogs", ""}
	case isCloudTrail(m):
		return shape{"cloudtrail", "cloudtrail-record", ""}
	case m.has("AlarmName", "NewStateValue"):
		return shape{"aws", "cloudwatch-alarm", ""}
	}
	return unknown
}

// awsRecords tells apart the three that put their records into Records. S3's
// have the same members as CloudTrail's: only the source and the s3 object
// tell.
func awsRecords(m members) shape {
	first := firstItem(m["Records"])
	if !first.Exists() {
		return shape{"cloudtrail", "cloudtrail-records", "Records"} // an empty log file
	}
	item := membersOf(first)
	switch {
	case item.str("eventSource") == "aws:s3" && item["s3"].Get("bucket.name").Exists():
		return shape{"aws", "s3-records", "Records"}
	case item.str("EventSource") == "aws:sns" && item.object("Sns"):
		return shape{"aws", "sns-records", "Records"}
	case isCloudTrail(item):
		return shape{"cloudtrail", "cloudtrail-records", "Records"}
	}
	return unknown
}

// isFirehoseData takes base64, and what stands for it in samples and tests:
// the CloudWatch Logs message itself.
func isFirehoseData(data gjson.Result) bool {
	return data.Type == gjson.String || data.Get("messageType").Exists()
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

func azure(m members) shape {
	switch {
	case m.str("schemaId") == "azureMonitorCommonAlertSchema":
		return shape{"azure", "azure-common-alert", ""}
	case m.str("schemaId") == "Microsoft.Insights/activityLogs", m.str("schemaId") == "AzureMonitorMetricAlert":
		return shape{"azure", "azure-alert", ""}
	case m.str("publisherId") != "" && m.str("eventType") != "" && m.has("resource") && m.has("resourceContainers"):
		return shape{"azure_devops", "azure-devops", ""}
	case m.array("records"):
		item := membersOf(firstItem(m["records"]))
		if isAzureRecord(item) {
			return shape{"azure", "azure-records", "records"}
		}
	case isAzureRecord(m):
		return shape{"azure", "azure-record", ""}
	case m.has("eventTimestamp", "operationName") && (m.has("eventDataId") || m.has("resourceId")):
		return shape{"azure", "azure-activity", ""}
	case m.str("eventType") != "" && m.has("eventTime") && (m.has("subject") || m.has("cloudEventsVersion")) && m.has("data"):
		return shape{"azure", "eventgrid-event", ""}
	}
	return unknown
}

func isAzureRecord(m members) bool {
	return m.has("operationName", "time") && (m.has("resourceId") || m.has("ResourceId")) ||
		m.has("operationName", "category", "properties") && m.has("time")
}

func gcp(m members) shape {
	switch {
	case isLogEntry(m):
		return shape{"gcp", "logentry", ""}
	case m.array("entries"):
		if isLogEntry(membersOf(firstItem(m["entries"]))) {
			return shape{"gcp", "logentries", "entries"}
		}
	case m.object("message") && isSubscription(m.str("subscription")):
		message := m["message"]
		if message.Get("messageId").Exists() || message.Get("message_id").Exists() {
			return shape{"gcp", "pubsub", ""}
		}
	case m.has("notificationConfigName") && m.object("finding"):
		return shape{"gcp", "scc-finding", ""}
	}
	return unknown
}

func isLogEntry(m members) bool {
	return m.str("logName") != "" && (m.has("protoPayload") || m.has("jsonPayload") || m.has("textPayload")) ||
		m.object("protoPayload") && m.has("insertId")
}

func isSubscription(name string) bool {
	return strings.HasPrefix(name, "projects/") && strings.Contains(name, "/subscriptions/")
}

// forges are where code lives.
func forges(m members) shape {
	switch {
	case m.str("object_kind") != "", m.str("event_name") != "" && (m.has("project_id") || m.has("group_id") || m.has("user_id")):
		return shape{"gitlab", "gitlab", ""}
	case m.has("hook_id", "zen") && m.object("hook"):
		return shape{"github", "github", ""}
	case m.str("trigger") != "" && m.object("repo") && m.object("principal"):
		return shape{"harness", "harness", ""}
	case m.object("repository") && m.object("push_data") && m.has("callback_url"):
		return shape{"docker_hub", "docker-hub", ""}
	case m.object("repository") && m.object("sender") &&
		m["repository"].Get("full_name").Exists() && m["sender"].Get("login").Exists():
		return shape{"github", "github", ""}
	case m["sender"].Get("login").Exists() && m["sender"].Get("site_admin").Exists() && (m.object("organization") || m.object("installation")):
		return shape{"github", "github", ""} // about an organization or app: no repository
	case m.str("event_name") != "" && m.has("username", "created_at", "updated_at"):
		return shape{"gitlab", "gitlab", ""} // about a user's key
	case m.has("_document_id") && m.str("action") != "":
		return shape{"github_audit_log", "github-audit-log", ""}
	}
	return unknown
}

func others(m members) shape {
	event, alert, context := m["event"], m["alert"], m["context"]
	switch {
	case m.str("specversion") != "" && m.has("id", "source") && m.str("type") != "":
		return shape{cloudEventProvider(m.str("type"), m.str("source")), "cloudevents", ""}
	case strings.HasPrefix(context.Get("type").Str, "dev.cdevents."):
		return shape{"cdevents", "cdevents", ""}
	case event.Get("event_type").Exists() && event.Get("resource_type").Exists() && event.Get("occurred_at").Exists():
		return shape{"pagerduty", "pagerduty", ""}
	case m.has("routing_key") && m["payload"].Get("summary").Exists():
		return shape{"pagerduty", "pagerduty-event", ""}
	case m.str("version") == "4" && m.has("groupKey") && m.array("alerts"):
		return shape{"alertmanager", "alertmanager", ""}
	case m.str("version") == "1" && m.has("groupKey") && m.array("alerts"):
		return shape{"grafana", "grafana", ""}
	case m.str("action") != "" && alert.Get("alertId").Exists() && m.has("integrationId"):
		return shape{"opsgenie", "opsgenie", ""}
	case m.has("payload_version", "notification_configuration_id"):
		return shape{"terraform", "terraform", ""}
	}
	return unknown
}
