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
		"principalEmail":           inMetadata("authenticationInfo.principalEmail"),
		"principalSubject":         inMetadata("authenticationInfo.principalSubject"),
		"project_id":               "account",
		"callerIp":                 inMetadata("requestMetadata.callerIp"),
		"authorization.permission": inMetadata("authorizationInfo.0.permission"),
		"authorization.granted":    inMetadata("authorizationInfo.0.granted"),
		"operation.id":             "correlation_id",
		"operation.first":          inMetadata("operation.first"),
		"operation.last":           inMetadata("operation.last"),
		"status.code":              inMetadata("status.code"),
		"status.message":           inMetadata("status.message"),

		"subscription": "metadata.subscription", "messageId": "external_id", "publishTime": "occurred_at",
		"data_base64": "metadata.data", "attributes.attr1": inMetadata("attributes.attr1"),

		"ce.time": "occurred_at", "ce.id": "metadata.ce-id", "ce.source": "metadata.ce-source", "ce.type": "metadata.ce-type",

		"finding.name": "external_id", "finding.category": inMetadata("finding.category"), "finding.resourceName": "resource.id",
		"finding.eventTime": "occurred_at", "finding.severity": inMetadata("finding.severity"),
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
