package aws

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// parameter takes a parameter for a feature flag when its name says so, as the
// API call does.
var parameter = look{"`feature_flag` when the name says flag or feature; a `SecureString`: `secrets`; labels are ignored", func(e *event, c *change.Change) string {
	name := strings.ToLower(e.detail.Get("name").String())
	if strings.Contains(name, "flag") || strings.Contains(name, "feature") {
		c.Type = change.FeatureFlag
	}
	if e.detail.Get("type").String() == "SecureString" {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintSecrets)
	}
	switch op := e.detail.Get("operation").String(); op {
	case "Create", "Update", "Delete":
		e.did = strings.ToLower(op) + "d"
	default:
		return "a label on a parameter"
	}
	return ""
}}

// item has what Config saw of a thing before and after.
// https://docs.aws.amazon.com/config/latest/developerguide/example-sns-notification.html
var item = look{"what changed, with old and new values; deletions are `destructive`", func(e *event, c *change.Change) string {
	ci := e.detail.Get("configurationItem")
	diff := e.detail.Get("configurationItemDiff")
	if !diff.Exists() {
		diff = e.detail.Get("configurationItemSummary")
	}
	c.Account = orElse(ci.Get("awsAccountId").String(), c.Account)
	c.Region = orElse(ci.Get("awsRegion").String(), c.Region)
	c.Resource.Type = orElse(ci.Get("resourceType").String(), orElse(e.detail.Get("configurationItemSummary.resourceType").String(), "config"))
	e.tags(ci.Get("tags"))
	switch diff.Get("changeType").String() {
	case "CREATE":
		e.did = "created"
	case "DELETE":
		e.did = "deleted"
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	case "NONE":
		return reading
	default:
		e.did = "updated"
	}
	var names []string
	diff.Get("changedProperties").ForEach(func(key, change gjson.Result) bool {
		name := strings.TrimPrefix(key.Str, "Configuration.")
		if len(names) >= 20 {
			return false
		}
		names = append(names, name)
		if !redact.Secret(name) {
			e.old.SetRaw(name, redact.Raw(change.Get("previousValue")))
			e.now.SetRaw(name, redact.Raw(change.Get("updatedValue")))
		}
		return true
	})
	if e.did == "updated" && len(names) > 0 {
		e.did += ": " + strings.Join(names[:min(len(names), 4)], ", ")
	}
	return ""
}}

var compliance = look{"`NON_COMPLIANT` has started, `COMPLIANT` after that has succeeded; other results are ignored", func(e *event, c *change.Change) string {
	now, old := e.find("newEvaluationResult.complianceType"), e.find("oldEvaluationResult.complianceType")
	c.Resource.Type = orElse(e.detail.Get("resourceType").String(), "config")
	switch {
	case now == "NON_COMPLIANT":
		c.Status = change.Started
	case now == "COMPLIANT" && old == "NON_COMPLIANT":
		c.Status = change.Succeeded
	default:
		return "no rule is broken"
	}
	e.state = now
	return ""
}}

var health = look{"`issue`: `incident`; `accountNotification`: `other`", func(e *event, c *change.Change) string {
	switch e.detail.Get("eventTypeCategory").String() {
	case "issue", "investigation":
		c.Type = change.Incident
	case "accountNotification":
		c.Type = change.Other
	}
	if e.state == "upcoming" {
		c.Status = ""
	}
	return ""
}}

var onlyFailures = look{"only those that failed", func(_ *event, c *change.Change) string {
	if c.Status != change.Failed && c.Status != change.Cancelled {
		return routine
	}
	return ""
}}

const alarmChange = "CloudWatch Alarm State Change"

var alarm = look{"`ALARM` has started, `OK` has succeeded; too little data is ignored", func(e *event, c *change.Change) string {
	if e.state == "INSUFFICIENT_DATA" {
		return "an alarm has too little data"
	}
	c.Actor, c.ChangedBy = change.Actor{ID: "cloudwatch", Name: "CloudWatch", Type: "alerting"}, "CloudWatch"
	return ""
}}

var alarmConfig = look{"deletions are `destructive`", func(e *event, c *change.Change) string {
	if e.detail.Get("operation").String() == "delete" {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	}
	for _, name := range []string{"threshold", "evaluationPeriods", "datapointsToAlarm", "comparisonOperator", "actionsEnabled", "treatMissingData"} {
		e.transition(name, e.find("previousConfiguration."+name), e.find("configuration."+name))
	}
	return ""
}}

// finding takes GuardDuty's severity, from 1 to 10, for the risk.
var finding = look{"the risk by its severity: 7 and more high, 9 and more critical, 4 and more medium", func(e *event, c *change.Change) string {
	switch severity := e.detail.Get("severity").Float(); {
	case severity >= 9:
		c.Risk = change.Critical
	case severity >= 7:
		c.Risk = change.High
	case severity >= 4:
		c.Risk = change.Medium
	}
	c.Status = change.Started
	return ""
}}

var securityHub = look{"the risk by its severity; resolved and archived has succeeded; passed checks are ignored", func(e *event, c *change.Change) string {
	f := e.detail.Get("findings.0")
	if f.Get("Compliance.Status").String() == "PASSED" && strings.HasSuffix(e.detailType, "Imported") {
		return "a check that passed"
	}
	c.Risk = riskOf(orElse(f.Get("Severity.Label").String(), f.Get("FindingProviderFields.Severity.Label").String()))
	c.Status = change.Started
	if f.Get("RecordState").String() == "ARCHIVED" || f.Get("Workflow.Status").String() == "RESOLVED" {
		c.Status = change.Succeeded
	}
	return ""
}}

var inspected = look{"the risk by its severity; closed has succeeded", func(e *event, c *change.Change) string {
	c.Risk = riskOf(e.detail.Get("severity").String())
	c.Status = change.Started
	if e.detail.Get("status").String() == "CLOSED" {
		c.Status = change.Succeeded
	}
	return ""
}}

var analyzed = look{"public: `public_exposure`; resolved has succeeded", func(e *event, c *change.Change) string {
	c.Status = change.Started
	if s := e.detail.Get("status").String(); s == "RESOLVED" || s == "ARCHIVED" {
		c.Status = change.Succeeded
	} else if e.detail.Get("isPublic").Bool() {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintPublicExposure)
	}
	return ""
}}

var advice = look{"only warnings and errors", func(e *event, _ *change.Change) string {
	switch e.detail.Get("status").String() {
	case "WARN", "ERROR":
		return ""
	}
	return "a check without a finding"
}}

var machine = look{"", func(e *event, c *change.Change) string {
	e.did = lastPart(e.detail.Get("stateMachineArn").String())
	return ""
}}

func riskOf(severity string) change.Risk {
	switch strings.ToUpper(severity) {
	case "CRITICAL":
		return change.Critical
	case "HIGH":
		return change.High
	case "MEDIUM":
		return change.Medium
	}
	return change.Low
}
