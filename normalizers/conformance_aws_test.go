package normalizers_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestConformance_AWS(t *testing.T) {
	awsConformance.run(t, filepath.Join(corpus(t), awsConformance.dir))
}

var awsConformance = conformance{
	dir: "aws",
	provider: func(e entry) string {
		switch {
		case strings.HasPrefix(e.Shape, "cloudtrail-"), e.Shape == "eventbridge-cloudtrail",
			e.Shape == "cloudwatch-logs-subscription" && e.Expect["records"] != nil:
			return "cloudtrail"
		}
		return "aws"
	},
	ignored: awsIgnored,
	facts:   awsFacts(),
}

// awsFacts says where each fact belongs: in CloudTrail's records, in those that
// EventBridge brings, and in the services' own events and messages.
func awsFacts() factTable {
	facts := factTable{
		"eventID":            "external_id",
		"eventTime":          "occurred_at",
		"awsRegion":          "region",
		"recipientAccountId": "account",
		"eventName":          "metadata.eventName",
		"eventSource":        "metadata.eventSource",
		"eventType":          "metadata.eventType",
		"eventCategory":      "metadata.eventCategory",
		"managementEvent":    "metadata.managementEvent",
		"readOnly":           "metadata.readOnly",
		"sourceIPAddress":    "metadata.sourceIPAddress",
		"errorCode":          "metadata.errorCode",
		"errorMessage":       "metadata.errorMessage",

		"userIdentity.arn":         "actor.id",
		"userIdentity.userName":    "metadata.userIdentity.userName",
		"userIdentity.type":        "metadata.userIdentity.type",
		"userIdentity.principalId": "metadata.userIdentity.principalId",
		"userIdentity.accountId":   "metadata.userIdentity.accountId",
		"userIdentity.invokedBy":   "metadata.userIdentity.invokedBy",
		"sessionIssuer.arn":        "metadata.userIdentity.sessionContext.sessionIssuer.arn",
		"sessionIssuer.userName":   "metadata.userIdentity.sessionContext.sessionIssuer.userName",

		"record_count": "@records",

		// EventBridge: a CloudTrail record inside an event.
		"eventbridge-cloudtrail/id":          "metadata.envelopeId",
		"eventbridge-cloudtrail/detail-type": "metadata.detail-type",
		"eventbridge-cloudtrail/account":     "account",
		"eventbridge-cloudtrail/region":      "region",
		"eventbridge-cloudtrail/time":        "occurred_at",
		"detail.eventID":                     "external_id",
		"detail.eventTime":                   "occurred_at",
		"detail.awsRegion":                   "region",
		"detail.recipientAccountId":          "account",
		"detail.eventName":                   "metadata.eventName",
		"detail.eventSource":                 "metadata.eventSource",
		"detail.eventType":                   "metadata.eventType",
		"detail.eventCategory":               "metadata.eventCategory",
		"detail.managementEvent":             "metadata.managementEvent",
		"detail.readOnly":                    "metadata.readOnly",
		"detail.sourceIPAddress":             "metadata.sourceIPAddress",
		"detail.userIdentity.arn":            "actor.id",
		"detail.userIdentity.userName":       "metadata.userIdentity.userName",
		"detail.userIdentity.type":           "metadata.userIdentity.type",
		"detail.userIdentity.accountId":      "metadata.userIdentity.accountId",
		"detail.userIdentity.principalId":    "metadata.userIdentity.principalId",
		"detail.sessionIssuer.arn":           "metadata.userIdentity.sessionContext.sessionIssuer.arn",
		"detail.sessionIssuer.userName":      "metadata.userIdentity.sessionContext.sessionIssuer.userName",

		// EventBridge: the services' own events.
		"id": "external_id", "detail-type": "metadata.detail-type", "source": "metadata.source", "account": "account",
		"time": "occurred_at", "region": "region", "resources": "metadata.resources",

		"Type": "metadata.Type", "MessageId": "external_id", "TopicArn": "metadata.TopicArn", "Subject": "summary",
		"Timestamp": "occurred_at", "message_is_json": "metadata.message_is_json",

		"requestId": "external_id", "timestamp": "occurred_at",
	}
	for _, name := range []string{
		"ActivityId", "AutoScalingGroupName", "Description", "EC2InstanceId", "EndTime", "RequestId", "StartTime", "StatusCode",
		"StatusMessage", "a", "accountId", "action-type", "actionDescription", "actionName", "application", "arn", "createdAt",
		"deploymentGroup", "deploymentId", "description", "endTime", "eventArn", "eventName", "eventType", "eventTypeCategory",
		"eventTypeCode", "eventVersion", "execution-id", "executionArn", "id", "image-digest", "image-tag", "input", "instance-id",
		"instanceGroupId", "messageType", "name", "notificationCreationTime", "partition", "pipeline", "reason", "recordVersion",
		"region", "repository-name", "result", "schemaVersion", "service", "severity", "startDate", "startTime", "state",
		"stateMachineArn", "status", "stopDate", "title", "type", "updatedAt", "version",
	} {
		facts["eventbridge-service-event/detail."+name] = "metadata.detail." + name
	}
	return facts
}

var readOnlyEventName = regexp.MustCompile(`^(Get|List|Describe|Head|Lookup|Search|Assume|Decrypt|Generate)([A-Z0-9]|$)`)

// awsIgnored says what the reference says of a record: reads, insights, data
// events, failed calls and noise change nothing.
func awsIgnored(e entry, facts map[string]any) bool {
	fact := func(name string) any {
		if v, ok := facts["detail."+name]; ok {
			return v
		}
		return facts[name]
	}
	str := func(name string) string { s, _ := fact(name).(string); return s }
	switch e.Shape {
	case "sns-unsubscribeconfirmation":
		return true
	case "sns-notification":
		return false
	case "eventbridge-service-event":
		return str("detail-type") == "Scheduled Event"
	case "firehose-http":
		return strings.HasPrefix(e.File, "awsdocs-httpdelivery") // a sample that is no Firehose record
	case "cloudwatch-logs-subscription":
		if facts["eventName"] == nil {
			return true // log lines
		}
	}
	service := strings.TrimSuffix(str("eventSource"), ".amazonaws.com")
	noise := map[string][]string{
		"ssm":            {"UpdateInstanceInformation", "UpdateInstanceAssociationStatus", "PutInventory", "PutComplianceItems", "OpenDataChannel"},
		"logs":           {"CreateLogStream"},
		"signin":         {"ConsoleLogin", "CheckMfa"},
		"secretsmanager": {"StartSecretVersionDelete", "EndSecretVersionDelete"},
		"ec2":            {"SharedSnapshotVolumeCreated"},
	}
	switch {
	case str("eventType") == "AwsCloudTrailInsight", str("eventCategory") == "Insight":
		return true
	case fact("readOnly") == true:
		return true
	case fact("readOnly") == nil && readOnlyEventName.MatchString(str("eventName")):
		return true
	case str("eventCategory") == "Data", str("eventCategory") == "NetworkActivity":
		return true
	case fact("managementEvent") == false && fact("eventCategory") == nil:
		return true
	case service == "sts", slices.Contains(noise[service], str("eventName")):
		return true
	}
	return str("errorCode") != ""
}
