package normalizers_test

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestConformance_Azure(t *testing.T) {
	azureConformance.run(t, filepath.Join(corpus(t), azureConformance.dir))
}

var azureConformance = conformance{
	dir:      "azure",
	provider: func(entry) string { return "azure" },
	ignored:  azureIgnored,
	facts: factTable{
		// The Activity Log, streamed and as the REST API shows it.
		"time":              "occurred_at",
		"eventTimestamp":    "occurred_at",
		"operationName":     "metadata.operationName",
		"category":          "metadata.category",
		"resultType":        "metadata.resultType",
		"resultSignature":   "metadata.resultSignature",
		"resourceId":        "resource.id",
		"correlationId":     "correlation_id",
		"callerIpAddress":   "metadata.callerIpAddress",
		"tenantId":          "metadata.tenantId",
		"location":          "metadata.location",
		"level":             "metadata.level",
		"status":            "metadata.status",
		"eventDataId":       "external_id",
		"resourceGroupName": "metadata.resourceGroupName",
		"resourceType":      "resource.type",
		"subscriptionId":    "account",
		"id":                "metadata.id",
		"eventName":         "metadata.eventName",
		"caller":            "metadata.caller",

		"resourceProviderName":       "metadata.resourceProviderName",
		"authorization.action":       "metadata.authorization.action",
		"authorization.scope":        "metadata.authorization.scope",
		"identity.action":            "metadata.authorization.action",
		"identity.scope":             "metadata.authorization.scope",
		"identity.principalType":     "metadata.authorization.evidence.principalType",
		"identity.claims.name":       "metadata.claims.name",
		"identity.claims.upn":        "metadata.claims.upn",
		"identity.claims.appid":      "metadata.claims.appid",
		"identity.claims.spn":        "metadata.claims.spn",
		"record_count":               "@records",
		"aad-diagnostic-record/time": "occurred_at",

		"aad-diagnostic-record/resourceId": "metadata.resourceId",

		// Alerts.
		"schemaId": "metadata.schemaId", "alertId": "metadata.alertId", "alertRule": "metadata.alertRule", "severity": "metadata.severity",
		"signalType": "metadata.signalType", "monitorCondition": "metadata.monitorCondition", "monitoringService": "metadata.monitoringService",
		"originAlertId": "metadata.originAlertId", "firedDateTime": "metadata.firedDateTime", "resolvedDateTime": "metadata.resolvedDateTime",
		"alertTargetID":                     "metadata.alertTargetID",
		"monitor-activitylog-alert/status":  "metadata.alertStatus",
		"alertContext.operationName":        "metadata.operationName",
		"alertContext.correlationId":        "metadata.correlationId",
		"alertContext.eventTimestamp":       "occurred_at",
		"alertContext.eventDataId":          "external_id",
		"alertContext.eventSource":          "metadata.eventSource",
		"alertContext.level":                "metadata.level",
		"alertContext.status":               "metadata.status",
		"alertContext.caller":               "changed_by",
		"alertContext.authorization.action": "metadata.authorization.action",
		"alertContext.authorization.scope":  "metadata.authorization.scope",
		"activityLog.operationName":         "metadata.operationName",
		"activityLog.correlationId":         "metadata.correlationId",
		"activityLog.eventTimestamp":        "occurred_at",
		"activityLog.eventDataId":           "external_id",
		"activityLog.eventSource":           "metadata.eventSource",
		"activityLog.level":                 "metadata.level",
		"activityLog.status":                "metadata.status",
		"activityLog.subscriptionId":        "account",
		"activityLog.resourceId":            "resource.id",
		"activityLog.resourceGroupName":     "metadata.resourceGroupName",
		"activityLog.resourceType":          "resource.type",
		"activityLog.caller":                "changed_by",
		"activityLog.authorization.action":  "metadata.authorization.action",
		"activityLog.authorization.scope":   "metadata.authorization.scope",

		// Event Grid.
		"event_count": "@records", "eventgrid-schema/id": "external_id", "eventType": "metadata.eventType", "subject": "metadata.subject",
		"eventTime": "occurred_at", "topic": "metadata.topic",
		"data.operationName": "metadata.operationName", "data.status": "metadata.status", "data.resourceUri": "resource.id",
		"data.resourceProvider": "metadata.resourceProviderName", "data.correlationId": "correlation_id", "data.tenantId": "metadata.tenantId",
		"data.authorization.action": "metadata.authorization.action", "data.claims.name": "metadata.claims.name", "data.claims.upn": "metadata.claims.upn",
		"data.action": "metadata.data.action", "data.target.digest": "metadata.data.target.digest", "data.key": "metadata.data.key",
		"data.actor.name": "changed_by", "data.target.repository": "resource.name", "data.target.tag": "version",
	},
}

// azureIgnored says what the reference says of a record: reads, data events
// and resource logs change nothing.
func azureIgnored(e entry, facts map[string]any) bool {
	str := func(name string) string { s, _ := facts[name].(string); return s }
	kind := str("eventType")
	switch {
	case e.Shape == "storage-diagnostic-record":
		return true
	case kind != "":
		return strings.HasPrefix(kind, "Microsoft.Storage.Blob") || strings.HasPrefix(kind, "Microsoft.ServiceBus.") ||
			kind == "Microsoft.EventGrid.SubscriptionValidationEvent"
	}
	return strings.HasSuffix(strings.ToLower(str("operationName")), "/read")
}
