package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"
)

// notAChange says why a record changes nothing, or "" for one that does. The
// order matters: what the record says about itself goes before its name.
func (r *record) notAChange() string {
	switch {
	case r.eventType == "AwsCloudTrailInsight", r.eventCategory == "Insight":
		return "insight event"
	case r.readOnly.Exists() && r.readOnly.Bool():
		return "read-only call"
	case !r.readOnly.Exists() && readOnlyName(r.service, r.name):
		return "read-only call"
	case r.eventCategory == "Data", r.managementEvent.Exists() && !r.managementEvent.Bool() && r.eventCategory == "":
		return "data event"
	case r.eventCategory == "NetworkActivity":
		return "network activity event"
	case r.noise():
		return strings.TrimSuffix("noise: "+plain(r.service+":"+r.name), ": ")
	}
	if code := r.failure(); code != "" {
		return strings.TrimSuffix("failed call: "+plain(code), ": ")
	}
	if dryRun := r.request.Get("dryRun"); dryRun.IsBool() && dryRun.Bool() {
		return "dry run"
	}
	return ""
}

// plain returns a code or name to be shown, or nothing when it looks like
// anything else: reasons are not searched for secrets.
func plain(s string) string {
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '.' && r != ':' && r != '-'
	}) {
		return ""
	}
	return s
}

// readOnlyPrefixes are the verbs of calls that only look, for the records
// (before version 1.08, mostly) that do not say so themselves.
var readOnlyPrefixes = []string{
	"Get", "List", "Describe", "Head", "Lookup", "Search", "Select", "Query", "Scan",
	"BatchGet", "BatchDescribe", "BatchCheck", "Check", "Test", "Validate", "Preview", "Simulate",
	"Estimate", "View", "Download", "Export", "Decode", "Decrypt", "Verify", "Assume", "Detect",
	"Discover", "Generate",
}

func readOnlyName(service, name string) bool {
	if service == "iam" && strings.HasPrefix(name, "Generate") && strings.HasSuffix(name, "Key") {
		return false
	}
	for _, p := range readOnlyPrefixes {
		// A verb ends where the next word starts: "Testify..." is another one.
		if rest, ok := strings.CutPrefix(name, p); ok && (rest == "" || rest[0] < 'a' || rest[0] > 'z') {
			return true
		}
	}
	return false
}

// noise are calls that CloudTrail calls writes though nobody would call them a
// change: agents reporting, log streams, sign-ins. A name "*" is all of the
// service's. Sign-in events are for the audit of access, not of change.
var noise = map[string][]string{
	"ssm": {
		"UpdateInstanceInformation", "UpdateInstanceAssociationStatus", "PutInventory", "PutComplianceItems",
		"SendHeartbeat", "OpenDataChannel", "OpenControlChannel", "CreateDataChannel", "CreateControlChannel",
	},
	"ssmmessages":          {"*"},
	"ec2messages":          {"*"},
	"logs":                 {"CreateLogStream", "PutLogEvents"},
	"signin":               {"ConsoleLogin", "CheckMfa", "SwitchRole", "ExitRole", "RenewRole", "GetSigninToken", "CredentialChallenge", "UserAuthentication"},
	"sts":                  {"*"},
	"secretsmanager":       {"StartSecretVersionDelete", "EndSecretVersionDelete"},
	"ec2":                  {"SharedSnapshotVolumeCreated"},
	"elasticloadbalancing": {"RegisterTargets", "DeregisterTargets", "RegisterInstancesWithLoadBalancer", "DeregisterInstancesFromLoadBalancer"},
	"autoscaling":          {"CompleteLifecycleAction", "RecordLifecycleActionHeartbeat"},
	"ecs":                  {"SubmitTaskStateChange", "SubmitTaskStateChanges", "SubmitContainerStateChange", "SubmitAttachmentStateChanges", "RegisterContainerInstance", "DiscoverPollEndpoint"},
	"monitoring":           {"PutMetricData"},
	"health":               {"*"},
}

func (r *record) noise() bool {
	for _, name := range noise[r.service] {
		if name == "*" || name == r.name {
			return true
		}
	}
	// Services grant themselves the use of a key whenever they start something.
	if r.service == "kms" && (r.name == "CreateGrant" || r.name == "RetireGrant") {
		return r.byService()
	}
	return false
}

// failure returns the error of a call that failed. Some services put it into
// the answer instead of its own field.
func (r *record) failure() string {
	if r.errorCode != "" {
		return r.errorCode
	}
	for _, path := range []string{"errorCode", "error.code", "_return.errorCode"} {
		if v := r.response.Get(path); v.Type == gjson.String && v.Str != "" {
			return v.Str
		}
	}
	return ""
}
