package generic

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// alerters are who says that something is wrong, or keeps notes beside graphs.
var alerters = map[string]*provider{
	"alertmanager": &alerts, "grafana": &alerts,
	"pagerduty": {
		fallback: change.Incident,
		kinds: []kind{
			{"incident.", change.Incident}, {"service.", change.ConfigChange}, {"change", change.Deployment}, {"", change.Incident},
		},
		profile: profile{
			key: "event.id", time: "event.occurred_at payload.timestamp created_on", actor: "event.agent.summary event.client.name payload.source",
			actorID: "event.agent.id", action: "event.event_type event_action event type =change", headline: "event.data.title event.data.summary payload.summary incident.title data.incident.trigger_summary_data.subject",
			status: "event.data.status incident.status", link: "event.data.html_url links.0.href client_url incident.html_url", service: "event.data.service.summary payload.component incident.service.name",
			resource: "event.data.id incident.id payload.source", name: "event.data.title event.data.summary incident.title payload.source", kind: "event.resource_type",
			external: "event.data.id dedup_key incident.id", correlation: "event.data.incident_key event.data.id dedup_key incident.incident_key", pipeline: "links.0.href",
			typ: "@",
		},
		tell: tellPagerDuty,
	},
	"opsgenie": {
		fallback: change.Incident,
		profile: profile{
			key: "action alert.alertId alert.updatedAt", time: "alert.updatedAt alert.createdAt", actor: "alert.username", action: "action",
			headline: "alert.message", description: "alert.description", resource: "alert.entity alert.alertId", name: "alert.entity alert.alias",
			external: "alert.alertId", correlation: "alert.alertId alert.alias", status: "@",
		},
		tell: tellOpsgenie,
	},
	"datadog": {
		fallback: change.Other,
		kinds: []kind{
			{"deploy", change.Deployment}, {"metric_alert", change.Incident}, {"event_alert", change.Incident}, {"query_alert", change.Incident}, {"service_check", change.Incident},
			{"log_alert", change.Incident}, {"monitor", change.Incident}, {"incident", change.Incident}, {"feature_flag", change.FeatureFlag}, {"configuration", change.ConfigChange},
		},
		titled: true,
		profile: profile{
			time:  "date date_happened data.attributes.finished_at data.attributes.started_at data.attributes.timestamp last_updated",
			actor: "data.attributes.attributes.author.name user username author", action: "event_type data.attributes.attributes.changed_resource.type data.attributes.category source_type_name alert_type =event",
			headline: "title data.attributes.title event_title", description: "body text event_msg data.attributes.message", status: "@",
			service: "data.attributes.service service", environment: "data.attributes.env env", version: "data.attributes.version version",
			commit: "data.attributes.git.commit_sha", repository: "data.attributes.git.repository_url", account: "org.name",
			resource: "data.attributes.attributes.changed_resource.name aggregation_key data.attributes.aggregation_key host", name: "data.attributes.attributes.changed_resource.name host",
			kind: "data.attributes.attributes.changed_resource.type", external: "data.attributes.id id", correlation: "aggregation_key data.attributes.aggregation_key alert_id", link: "url link",
			typ: "@",
		},
		tell: tellDatadog,
	},
	"sentry": {
		fallback: change.Incident,
		kinds:    []kind{{"installation", change.AccessChange}, {"", change.Incident}},
		profile: profile{
			time: "data.event.datetime data.issue.lastSeen data.metric_alert.date_detected event.datetime", actor: "actor.name", actorID: "actor.id", action: "action",
			headline: "data.event.title data.issue.title data.description_title data.error.title message", status: "@",
			environment: "data.event.environment event.environment", version: "data.event.release event.release", link: "data.event.web_url data.issue.web_url data.issue.permalink data.web_url url",
			service: "data.issue.project.slug project_slug project_name", repository: "@", resource: "data.issue.id data.event.issue_id data.metric_alert.id", name: "data.issue.shortId data.event.title data.issue.title",
			kind: "=issue", external: "data.event.event_id data.issue.id data.metric_alert.id", correlation: "data.event.issue_id data.issue.id data.metric_alert.id", typ: "@", commit: "@",
		},
		tell: tellSentry,
	},
	"statuspage": {
		fallback: change.Incident,
		profile: profile{
			key: "incident.id incident.updated_at", time: "incident.updated_at component_update.created_at incident.created_at", action: "=incident", headline: "incident.name component.name",
			status: "@", link: "incident.shortlink page.url", resource: "incident.id component.id", name: "incident.name component.name", kind: "=incident",
			external: "incident.id component_update.id", correlation: "incident.id component.id", account: "page.id", typ: "@", actor: "@", description: "incident.incident_updates.0.body",
		},
		tell: tellStatuspage,
	},
}

var alerts = provider{
	fallback: change.Incident,
	profile: profile{
		time: "alerts.0.endsAt alerts.0.startsAt", action: "status", headline: "commonAnnotations.summary commonLabels.alertname title alerts.0.labels.alertname groupLabels.alertname",
		description: "commonAnnotations.description message", status: "status", link: "externalURL", correlation: "groupKey",
		service: "commonLabels.service commonLabels.job", environment: "commonLabels.environment commonLabels.env",
		resource: "commonLabels.instance groupKey", name: "commonLabels.alertname commonLabels.instance", risk: "@",
	},
	tell: tellAlerts,
}

// tellAlerts says how many fire; while some do, endsAt says nothing.
func tellAlerts(t *telling) string {
	if t.text("commonLabels.alertname") == "TestAlert" && t.text("commonLabels.instance") == "Grafana" {
		return "Grafana's test notification"
	}
	n, latest := 0, ""
	firing := t.c.Status != change.Succeeded
	t.get("alerts").ForEach(func(_, alert gjson.Result) bool {
		n++
		at := alert.Get(pick(firing, "startsAt", "endsAt")).String()
		if _, ok := normalizers.ParseTime(at); ok && at > latest {
			latest = at
		}
		return n < 10_000
	})
	if at, ok := normalizers.ParseTime(latest); ok && at.Year() > 1990 {
		t.c.OccurredAt = change.At(at)
	}
	count := ""
	if n > 1 {
		count = "(" + itoa(n) + " alerts)"
	}
	t.say(pick(firing, "Firing:", "Resolved:"), normalizers.FirstLine(t.headline), count, with("on", t.c.ServiceName), with("in", t.c.Environment))
	return ""
}

func tellPagerDuty(t *telling) string {
	if t.c.Action == "pagey.ping" {
		return "ping"
	}
	who, what := t.c.ChangedBy, quoted(t.headline)
	noun, verb, ok := strings.Cut(t.c.Action, ".")
	switch {
	case t.get("payload").IsObject():
		t.say(normalizers.FirstLine(t.headline)) // a change event or an alert says it itself
		if t.text("event_action") == "resolve" {
			t.c.Status = change.Succeeded
		}
		return ""
	case !ok:
		return ""
	case t.get("incident").IsObject() || t.get("data.incident").IsObject():
		verb += pick(strings.HasSuffix(verb, "e"), "d", "ed") // version 2 says trigger, acknowledge, resolve
		if verb == "triggered" {
			t.c.Status = change.Started
		}
		t.key = t.text("id")
	}
	if n := t.text("event.data.number", "incident.incident_number"); n != "" && noun == "incident" {
		noun += " #" + n
	}
	verb = strings.ReplaceAll(verb, "_", " ")
	if who == "" || strings.ContainsAny(verb, " .") {
		t.say(upperFirst(noun), verb+":", strings.Trim(what, "'"), with("on", t.c.ServiceName))
		return ""
	}
	t.say(who, verb, noun, what, with("on", t.c.ServiceName))
	return ""
}

func tellOpsgenie(t *telling) string {
	switch t.c.Action {
	case "Create":
		t.c.Status = change.Started
	case "Close":
		t.c.Status = change.Succeeded
	}
	t.say("Opsgenie alert", quoted(t.headline)+":", unCamel(t.c.Action), with("by", t.c.ChangedBy))
	return ""
}

func tellDatadog(t *telling) string {
	a := t.get("data.attributes")
	switch {
	case a.Get("started_at").Exists(): // a deployment of DORA metrics
		t.c.Type, t.c.Action, t.c.Status = change.Deployment, "deployment", change.Started
		if a.Get("finished_at").Exists() {
			t.c.Status = change.Succeeded
		}
		t.say("Deployed", t.c.ServiceName, t.c.Version, with("at", normalizers.ShortSHA(t.c.CommitSHA)), with("to", t.c.Environment))
		return ""
	case a.Exists():
		inner := a.Get("attributes")
		t.oldAndNew(inner.Get("prev_value"), inner.Get("new_value"))
		if service := inner.Get(`impacted_resources.#(type=="service").name`); service.Type == gjson.String {
			t.c.ServiceName = orElse(t.c.ServiceName, service.Str)
		}
		t.c.Tags = append(t.c.Tags, tags(a.Get("tags"))...)
		return ""
	}
	title := t.headline
	switch {
	case strings.HasPrefix(title, "[Triggered"), strings.HasPrefix(title, "[Warn"), strings.HasPrefix(title, "[No data"):
		t.c.Type, t.c.Status = change.Incident, change.Started
	case strings.HasPrefix(title, "[Recovered"):
		t.c.Type, t.c.Status = change.Incident, change.Succeeded
	case t.text("alert_type") == "error":
		t.c.Status = change.Failed
	case t.c.Type == change.Other && strings.Contains(strings.ToLower(title), "deploy"):
		t.c.Type = change.Deployment
	}
	return ""
}

// tellSentry reads issues, alerts, and the releases and deploys that a script
// tells Sentry of as well.
func tellSentry(t *telling) string {
	switch form := t.record.DetectedBy; form {
	case "shape:sentry-release", "shape:sentry-deploy":
		t.c.Type, t.c.Action = change.Deployment, pick(form == "shape:sentry-deploy", "deploy", "release")
		t.c.Version = t.text("version", "release", "name")
		t.c.Environment = t.text("environment")
		t.c.Status = change.Succeeded
		t.c.ServiceName = t.text("projects.0.slug", "projects.0", "project")
		if at, ok := normalizers.ParseTime(t.text("dateFinished", "dateReleased", "dateStarted", "dateCreated")); ok {
			t.c.OccurredAt = change.At(at)
		}
		t.c.CommitSHA = commit(t.text("refs.0.commit", "ref", "commits.0.id"))
		t.c.Repository = t.text("refs.0.repository", "commits.0.repository")
		t.say(pick(form == "shape:sentry-deploy", "Deployed", "Released"), pick(strings.HasPrefix(t.c.Version, t.c.ServiceName+"@"), "", t.c.ServiceName), t.c.Version, with("to", t.c.Environment))
		return ""
	}
	resource := t.record.Event
	action := strings.TrimPrefix(t.c.Action, resource+".")
	switch resource {
	case "installation":
		return "about the integration itself"
	case "comment":
		return "a comment"
	}
	t.c.Status = map[string]change.Status{"created": change.Started, "triggered": change.Started, "critical": change.Started, "warning": change.Started, "unresolved": change.Started, "resolved": change.Succeeded}[action]
	t.get("data.event.tags").ForEach(func(_, pair gjson.Result) bool {
		if t.c.Environment == "" && pair.Get("0").Str == "environment" {
			t.c.Environment = pair.Get("1").String()
		}
		return true
	})
	rule := t.text("data.triggered_rule", "data.metric_alert.title")
	who := ""
	if kind := t.text("actor.type"); kind == "user" {
		who = t.c.ChangedBy
	}
	t.say("Sentry", pick(rule != "", "alert "+quoted(rule), orElse(strings.ReplaceAll(resource, "_", " "), "issue")), action+":",
		normalizers.FirstLine(t.headline), with("in", t.c.ServiceName), with("by", who))
	t.hide("data", "event")
	return ""
}

func tellStatuspage(t *telling) string {
	if update := t.get("component_update"); update.IsObject() {
		t.c.Action, t.c.Resource.Type = "component.updated", "component"
		t.oldAndNew(update.Get("old_status"), update.Get("new_status"))
		t.c.Status = pick2(update.Get("new_status").Str == "operational", change.Succeeded, change.Started)
		t.key = update.Get("id").String()
		t.say("Status of", t.headline, "went", with("from", plainWords(update.Get("old_status").String())), with("to", plainWords(update.Get("new_status").String())))
		return ""
	}
	status := t.text("incident.status")
	t.c.Action = "incident." + status
	switch status {
	case "resolved", "completed", "postmortem":
		t.c.Status = change.Succeeded
	case "scheduled":
	default:
		t.c.Status = change.Started
	}
	noun := "Incident"
	if t.text("incident.impact") == "maintenance" || status == "scheduled" {
		t.c.Type, noun = change.Maintenance, "Maintenance"
	}
	t.say(noun, quoted(t.headline)+":", plainWords(status))
	return ""
}

func plainWords(s string) string { return strings.ReplaceAll(s, "_", " ") }

func pick2(when bool, yes, no change.Status) change.Status {
	if when {
		return yes
	}
	return no
}
