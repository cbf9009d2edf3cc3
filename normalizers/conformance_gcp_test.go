package normalizers_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestConformance_GCP(t *testing.T) {
	gcpConformance.run(t, filepath.Join(corpus(t), gcpConformance.dir))
}

var gcpConformance = conformance{
	dir:      "gcp",
	provider: func(entry) string { return "gcp" },
	ignored:  gcpIgnored,
	facts: factTable{
		"insertId":                 "external_id",
		"timestamp":                "occurred_at",
		"logName":                  "metadata.logName",
		"severity":                 "metadata.severity",
		"receiveTimestamp":         "metadata.receiveTimestamp",
		"resource.type":            "resource.type",
		"methodName":               "action",
		"serviceName":              "metadata.serviceName",
		"resourceName":             "resource.id",
		"principalEmail":           "metadata.authenticationInfo.principalEmail",
		"principalSubject":         "metadata.authenticationInfo.principalSubject",
		"project_id":               "account",
		"callerIp":                 "metadata.requestMetadata.callerIp",
		"authorization.permission": "metadata.authorizationInfo.0.permission",
		"authorization.granted":    "metadata.authorizationInfo.0.granted",
		"operation.id":             "correlation_id",
		"operation.first":          "metadata.operation.first",
		"operation.last":           "metadata.operation.last",
		"status.code":              "metadata.status.code",
		"status.message":           "metadata.status.message",

		"subscription": "metadata.subscription", "messageId": "external_id", "publishTime": "occurred_at",
		"data_base64": "metadata.data", "attributes.attr1": "metadata.attributes.attr1",

		"ce.time": "occurred_at", "ce.id": "metadata.ce-id", "ce.source": "metadata.ce-source", "ce.type": "metadata.ce-type",

		"finding.name": "external_id", "finding.category": "metadata.finding.category", "finding.resourceName": "resource.id",
		"finding.eventTime": "occurred_at", "finding.severity": "metadata.finding.severity",
	},
}

var gcpReadMethod = regexp.MustCompile(`(?i)(^|\.)(get|list|aggregatedlist|search|sign)[a-z]*$`)

// gcpIgnored says what the reference says of an entry: reads, data access,
// denials and the runs of queries change nothing.
func gcpIgnored(e entry, facts map[string]any) bool {
	str := func(name string) string { s, _ := facts[name].(string); return s }
	log, method := str("logName"), str("methodName")
	return strings.HasSuffix(log, "data_access") || strings.HasSuffix(log, "policy") ||
		gcpReadMethod.MatchString(method) || strings.HasSuffix(method, "JobService.InsertJob") ||
		(strings.HasPrefix(str("principalEmail"), "system:") && strings.HasPrefix(method, "io.k8s."))
}
