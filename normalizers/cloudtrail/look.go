package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// look is a closer look into the parameters of calls whose name alone does not
// tell. What at returns goes before what the row says; "" keeps it.
type look struct {
	says string // for the documents
	at   func(*record) (change.Type, string)
}

// ecsUpdate tells a new task definition from a changed number of tasks.
var ecsUpdate = look{"`scaling` when only `desiredCount` changes", func(r *record) (change.Type, string) {
	if !r.has("taskDefinition") && !r.has("forceNewDeployment") && r.has("desiredCount") {
		return change.Scaling, ""
	}
	return "", ""
}}

var stoppedDeployment = look{"`rollback` unless `stopType` is `ABORT`", func(r *record) (change.Type, string) {
	if r.request.Get("stopType").String() == "ABORT" {
		return "", ""
	}
	return change.Rollback, ""
}}

var eksConfig = look{"a log type switched off: `audit_logging_disabled`", func(r *record) (change.Type, string) {
	off := false
	r.request.Get("logging.clusterLogging").ForEach(func(_, log gjson.Result) bool {
		off = isFalse(log.Get("enabled"))
		return !off
	})
	return "", when(off, noAudit)
}}

// codeDeploy finds the deployments that CodeDeploy makes to go back.
var codeDeploy = look{"`rollback` when CodeDeploy made it to go back", func(r *record) (change.Type, string) {
	if r.request.Get("creator").String() == "codeDeployRollback" || r.is("autoRollbackEnabled", true) && r.name == "StopDeployment" {
		return change.Rollback, ""
	}
	return "", ""
}}

var beanstalk = look{"`config_change` without a new version", func(r *record) (change.Type, string) {
	if !r.has("versionLabel") && (r.has("optionSettings") || r.has("optionsToRemove")) {
		return change.ConfigChange, ""
	}
	return "", ""
}}

var instanceAttribute = look{"`scaling` when the instance type changes, `config_change` for groups and user data", func(r *record) (change.Type, string) {
	switch {
	case r.has("instanceType"):
		return change.Scaling, ""
	case r.has("groupSet"), r.has("userData"), r.has("sourceDestCheck"):
		return change.ConfigChange, when(!r.has("userData"), network)
	}
	return "", ""
}}

// weighted finds traffic moved between target groups: blue and green.
var weighted = look{"`deployment` when it weighs target groups", func(r *record) (change.Type, string) {
	if strings.Contains(r.request.Raw, `"weight"`) {
		return change.Deployment, ""
	}
	return "", ""
}}

var loadBalancer = look{"access logs off: `audit_logging_disabled`; deletion protection off: `deletion_protection_disabled`", func(r *record) (change.Type, string) {
	hint := ""
	r.request.Get("attributes").ForEach(func(_, a gjson.Result) bool {
		if a.Get("value").String() == "false" {
			switch a.Get("key").String() {
			case "access_logs.s3.enabled":
				hint = noAudit
			case "deletion_protection.enabled":
				hint = noProtect
			}
		}
		return hint == ""
	})
	return "", hint
}}

var modifyDB = look{"`maintenance` for a new engine version, `scaling` for class and storage; a new master password: `secrets`", func(r *record) (change.Type, string) {
	hint := when(r.has("masterUserPassword") || r.is("rotateMasterUserPassword", true), secrets)
	switch {
	case r.has("engineVersion"):
		return change.Maintenance, hint
	case r.has("dBInstanceClass"), r.has("dBClusterInstanceClass"), r.has("allocatedStorage"), r.has("serverlessV2ScalingConfiguration"):
		return change.Scaling, hint
	}
	return "", hint
}}

var throughput = look{"`scaling` for throughput and billing mode", func(r *record) (change.Type, string) {
	if r.has("provisionedThroughput") || r.has("billingMode") {
		return change.Scaling, ""
	}
	return "", ""
}}

// bucketLogging finds the call without a target, which is how logging is switched off.
var bucketLogging = look{"without a target: `audit_logging_disabled`", func(r *record) (change.Type, string) {
	return "", when(r.has("BucketLoggingStatus") && !r.has("BucketLoggingStatus.LoggingEnabled"), noAudit)
}}

var bucketVersioning = look{"suspended, or MFA delete off: `deletion_protection_disabled`", func(r *record) (change.Type, string) {
	status := r.request.Get("VersioningConfiguration")
	return "", when(status.Get("Status").String() == "Suspended" || status.Get("MfaDelete").String() == "Disabled", noProtect)
}}

var trail = look{"fewer regions or no management events any more: `audit_logging_disabled`", func(r *record) (change.Type, string) {
	off := r.is("isMultiRegionTrail", false) || r.is("includeGlobalServiceEvents", false) || r.is("enableLogFileValidation", false)
	r.request.Get("eventSelectors").ForEach(func(_, selector gjson.Result) bool {
		off = off || isFalse(selector.Get("includeManagementEvents"))
		return !off
	})
	return "", when(off, noAudit)
}}

var detector = look{"switched off: `audit_logging_disabled`", func(r *record) (change.Type, string) {
	return "", when(r.is("enable", false), noAudit)
}}

// parameter takes a parameter for a feature flag when its name says so.
var parameter = look{"`feature_flag` when the name says flag or feature; a `SecureString`: `secrets`", func(r *record) (change.Type, string) {
	hint := when(r.request.Get("type").String() == "SecureString", secrets)
	name := strings.ToLower(r.request.Get("name").String())
	if strings.Contains(name, "flag") || strings.Contains(name, "feature") {
		return change.FeatureFlag, hint
	}
	return "", hint
}}

func when(is bool, hint string) string {
	if is {
		return hint
	}
	return ""
}

// has reports whether the request sets something.
func (r *record) has(path string) bool {
	v := r.request.Get(path)
	return v.Exists() && v.Raw != "null"
}

// is reports whether a flag of the request has this value, given as such or
// wrapped as EC2 does: {"disableApiTermination": {"value": false}}.
func (r *record) is(path string, want bool) bool {
	v := r.request.Get(path)
	if v.IsObject() {
		v = v.Get("value")
	}
	switch v.String() {
	case "true":
		return want
	case "false":
		return !want
	}
	return false
}

func isFalse(v gjson.Result) bool { return v.Exists() && v.String() == "false" }
