package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// The functions here look into the parameters of calls whose name alone does
// not tell the type. They belong to rows of operations.

// ecsUpdate tells a new task definition from a changed number of tasks.
func ecsUpdate(r *record) (change.Type, string) {
	if !r.has("taskDefinition") && !r.has("forceNewDeployment") && r.has("desiredCount") {
		return change.Scaling, ""
	}
	return "", ""
}

func eksConfig(r *record) (change.Type, string) {
	for _, log := range r.request.Get("logging.clusterLogging").Array() {
		if enabled := log.Get("enabled"); enabled.IsBool() && !enabled.Bool() {
			return "", noAudit
		}
	}
	return "", ""
}

// codeDeploy finds the deployments that CodeDeploy makes to go back.
func codeDeploy(r *record) (change.Type, string) {
	if r.request.Get("creator").String() == "codeDeployRollback" {
		return change.Rollback, rollback
	}
	return "", ""
}

func instanceAttribute(r *record) (change.Type, string) {
	if r.has("instanceType") {
		return change.Scaling, ""
	}
	return "", ""
}

// weighted finds traffic moved between target groups: blue and green.
func weighted(r *record) (change.Type, string) {
	if strings.Contains(r.request.Raw, `"weight"`) {
		return change.Deployment, ""
	}
	return "", ""
}

func modifyDB(r *record) (change.Type, string) {
	hint := ""
	if r.has("masterUserPassword") {
		hint = secrets
	}
	switch {
	case r.has("engineVersion"):
		return change.Maintenance, hint
	case r.has("dBInstanceClass"), r.has("allocatedStorage"):
		return change.Scaling, hint
	}
	return "", hint
}

func throughput(r *record) (change.Type, string) {
	if r.has("provisionedThroughput") || r.has("billingMode") {
		return change.Scaling, ""
	}
	return "", ""
}

// bucketLogging finds the call without a target, which is how logging is switched off.
func bucketLogging(r *record) (change.Type, string) {
	if r.has("BucketLoggingStatus") && !r.has("BucketLoggingStatus.LoggingEnabled") {
		return "", noAudit
	}
	return "", ""
}

func detector(r *record) (change.Type, string) {
	if r.is("enable", false) {
		return "", noAudit
	}
	return "", ""
}

// parameter takes a parameter for a feature flag when its name says so.
func parameter(r *record) (change.Type, string) {
	name := strings.ToLower(r.request.Get("name").String())
	if strings.Contains(name, "flag") || strings.Contains(name, "feature") {
		return change.FeatureFlag, ""
	}
	if r.request.Get("type").String() == "SecureString" {
		return "", secrets
	}
	return "", ""
}

func alsoDestructive(*record) (change.Type, string) { return "", destructive }

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

// dangers are signs in the parameters, whatever the call.
func (r *record) dangers() []string {
	var hints []string
	add := func(when bool, hint string) {
		if when {
			hints = append(hints, hint)
		}
	}
	raw := r.request.Raw
	granting := !strings.HasPrefix(r.name, "Revoke") && !strings.HasPrefix(r.name, "Remove") &&
		!strings.HasPrefix(r.name, "Delete") && !strings.HasPrefix(r.name, "Detach")
	if granting && raw != "" {
		add(r.service == "ec2" && (strings.Contains(r.name, "SecurityGroup") || strings.Contains(r.name, "NetworkAclEntry")) &&
			r.request.Get("ruleAction").String() != "deny" &&
			(strings.Contains(raw, `"0.0.0.0/0"`) || strings.Contains(raw, `"::/0"`)), public)
		add(r.service == "ec2" && strings.HasSuffix(r.name, "Attribute") && strings.Contains(raw, `"add"`) && strings.Contains(raw, `"all"`), public)
		add(r.service == "rds" && strings.HasSuffix(r.name, "SnapshotAttribute") && strings.Contains(raw, `"all"`), public)
		add(r.is("publiclyAccessible", true), public)
		add(r.is("resourcesVpcConfig.endpointPublicAccess", true), public)
		add(strings.Contains(raw, "AllUsers") || strings.Contains(raw, `"public-read`) || r.request.Get("principal").String() == "*", public)
		add(r.is("PublicAccessBlockConfiguration.BlockPublicAcls", false) || r.is("PublicAccessBlockConfiguration.BlockPublicPolicy", false), public)
		add(r.service == "lambda" && r.request.Get("authType").String() == "NONE", public)
		add(r.policyAllows("Principal"), public)
		add(strings.Contains(raw, "policy/AdministratorAccess") || strings.Contains(raw, "policy/PowerUserAccess") ||
			strings.Contains(raw, "policy/IAMFullAccess") || r.policyAllows("Action"), privilege)
	}
	// What is new has not lost a protection that it never had.
	fresh := strings.HasPrefix(r.name, "Create") || strings.HasPrefix(r.name, "Run") || strings.HasPrefix(r.name, "Restore")
	add(!fresh && (r.is("deletionProtection", false) || r.is("disableApiTermination", false) || r.is("enableTerminationProtection", false)), noProtect)
	add(r.is("skipFinalSnapshot", true) || r.is("forceDeleteWithoutRecovery", true), destructive)
	add(r.fromMFALess(), noMFA)
	return hints
}

// policyKeys are where requests have a policy.
var policyKeys = []string{
	"policyDocument", "policy", "policyInJson", "bucketPolicy", "resourcePolicy", "assumeRolePolicyDocument",
	"attributes.Policy", "attributeValue",
}

// policyAllows reports whether a policy in the request allows everything
// ("Action") or everybody ("Principal"), without a condition. Policies come as
// JSON in a string, or as an object.
func (r *record) policyAllows(member string) bool {
	for _, key := range policyKeys {
		policy := r.request.Get(key)
		if policy.Type == gjson.String && strings.HasPrefix(strings.TrimSpace(policy.Str), "{") {
			policy = gjson.Parse(policy.Str)
		}
		statements := policy.Get("Statement")
		if statements.IsObject() && allows(statements, member) {
			return true
		}
		found := false
		statements.ForEach(func(_, statement gjson.Result) bool {
			found = allows(statement, member)
			return !found
		})
		if found {
			return true
		}
	}
	return false
}

// allows reports whether one statement of a policy does.
func allows(statement gjson.Result, member string) bool {
	if statement.Get("Effect").String() != "Allow" || statement.Get("Condition").Exists() {
		return false
	}
	v := statement.Get(member)
	return anything(v) || anything(v.Get("AWS"))
}

// anything reports whether a value, or one of a list, is a star.
func anything(v gjson.Result) bool {
	if v.Type == gjson.String {
		return v.Str == "*" || v.Str == "*:*"
	}
	star := false
	if v.IsArray() {
		v.ForEach(func(_, item gjson.Result) bool {
			star = item.Type == gjson.String && (item.Str == "*" || item.Str == "*:*")
			return !star
		})
	}
	return star
}

// fromMFALess reports whether a person in the console went without a second
// factor; for keys and services the field says nothing.
func (r *record) fromMFALess() bool {
	return r.fromConsole && r.identity.Get("sessionContext.attributes.mfaAuthenticated").String() == "false" &&
		r.identity.Get("type").String() != "AssumedRole"
}
