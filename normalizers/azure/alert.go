package azure

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// fromCommonAlert reads an alert in the common schema. One about the Activity
// Log has the event itself inside, and that is the change; any other is a sign
// of an incident, which opens and closes.
// https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
func fromCommonAlert(v gjson.Result) normalizers.Result {
	essentials := v.Get("data.essentials")
	inner := v.Get("data.alertContext")
	service := essentials.Get("monitoringService").String()
	var m normalizers.Meta
	m.Set("schemaId", v.Get("schemaId").String())
	essentials.ForEach(func(key, v gjson.Result) bool {
		m.SetRaw(key.Str, redact.Raw(v))
		return true
	})
	m.Set("alertTargetID", essentials.Get("alertTargetIDs.0").String())
	if inner.Get("operationName").Exists() && inner.Get("eventTimestamp").Exists() {
		e := activityLog(inner)
		if rest, ok := strings.CutPrefix(service, "Activity Log - "); ok {
			e.category = rest
		} else if service != "" {
			e.category = strings.ReplaceAll(service, " ", "")
		}
		if e.resourceID == "" {
			e.resourceID = essentials.Get("alertTargetIDs.0").String()
		}
		return fromActivityLog(e.complete(), &m)
	}
	m.SetRaw("alertContext", redact.Raw(inner))
	m.SetRaw("customProperties", redact.Raw(v.Get("data.customProperties")))
	a := alert{
		id:        essentials.Get("alertId").String(),
		rule:      essentials.Get("alertRule").String(),
		condition: essentials.Get("monitorCondition").String(),
		time:      essentials.Get("firedDateTime").String(),
		target:    essentials.Get("alertTargetIDs.0").String(),
		severity:  essentials.Get("severity").String(),
		text:      essentials.Get("description").String(),
		url:       essentials.Get("investigationLink").String(),
	}
	if a.condition == "Resolved" {
		a.time = first(essentials.Get("resolvedDateTime").String(), a.time)
	}
	return normalizers.One(a.change(&m), a.key())
}

// fromLegacyAlert reads the schemas from before the common one.
func fromLegacyAlert(v gjson.Result) normalizers.Result {
	var m normalizers.Meta
	m.Set("schemaId", v.Get("schemaId").String())
	m.Set("alertStatus", v.Get("data.status").String())
	m.SetRaw("alertProperties", redact.Raw(v.Get("data.properties")))
	ctx := v.Get("data.context")
	if log := ctx.Get("activityLog"); log.IsObject() {
		return fromActivityLog(activityLog(log), &m)
	}
	m.SetRaw("context", redact.Raw(ctx))
	a := alert{
		id:        first(ctx.Get("id").String(), ctx.Get("resourceId").String()),
		rule:      ctx.Get("name").String(),
		condition: v.Get("data.status").String(),
		time:      ctx.Get("timestamp").String(),
		target:    ctx.Get("resourceId").String(),
		severity:  ctx.Get("severity").String(),
		text:      ctx.Get("description").String(),
		url:       ctx.Get("portalLink").String(),
	}
	return normalizers.One(a.change(&m), a.key())
}

// alert is what an alert says about a metric or a log.
type alert struct {
	id, rule, condition, time, target, severity, text, url string
}

func (a alert) change(m *normalizers.Meta) change.Change {
	c := change.Change{
		Type:          change.Incident,
		Action:        "alert." + strings.ToLower(first(a.condition, "fired")),
		Description:   a.text,
		ExternalID:    lastSegment(a.id),
		CorrelationID: a.id,
		Account:       segmentAfter(first(a.target, a.id), "subscriptions"),
		Actor:         change.Actor{ID: "azure_monitor", Name: "Azure Monitor", Type: "alerting"},
		ChangedBy:     "Azure Monitor",
		Resource:      change.Resource{ID: a.target, Type: typeOf(a.target), Name: lastSegment(a.target), URL: httpURL(a.url)},
	}
	switch strings.ToLower(a.condition) {
	case "fired", "activated":
		c.Status = change.Started
	case "resolved", "deactivated":
		c.Status = change.Succeeded
	}
	c.Summary = "Alert " + strings.ToLower(first(a.condition, "fired")) + ": " + first(a.rule, a.id)
	if c.Resource.Name != "" {
		c.Summary += " on " + c.Resource.Name
	}
	if a.severity != "" {
		c.Summary += " (" + a.severity + ")"
	}
	switch strings.ToLower(a.severity) {
	case "sev0", "0":
		c.Risk = change.Critical
	case "sev1", "1":
		c.Risk = change.High
	case "sev2", "2":
		c.Risk = change.Medium
	}
	if t, ok := normalizers.ParseTime(a.time); ok {
		c.OccurredAt = change.At(t)
	}
	if env, ok := normalizers.Environment(c.Resource.Name, segmentAfter(a.target, "resourcegroups")); ok {
		c.Environment = env
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
	}
	c.Metadata = m.JSON()
	return c
}

// key ties the same alert's deliveries through several action groups.
func (a alert) key() string {
	return strings.ToLower("alert|" + a.id + "|" + a.condition + "|" + a.time)
}
