package normalizers

import (
	"cmp"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// incidentsOf returns what a record says of incidents: by the tool's own form,
// else by the changes that it makes.
func incidentsOf(r *Record, drafts []Draft) []IncidentDraft {
	v := gjson.ParseBytes(r.JSON)
	switch r.Provider {
	case "pagerduty":
		return pagerDutyIncidents(v)
	case "alertmanager", "grafana":
		return alertIncidents(v)
	case "opsgenie":
		return opsgenieIncidents(v)
	case Generic:
		return plainIncidents(v)
	}
	return incidentsOfChanges(drafts)
}

func oneIncident(i IncidentDraft) []IncidentDraft { return []IncidentDraft{i} }

// pagerDutyIncidents reads webhooks of version 3
// (https://developer.pagerduty.com/docs/webhooks-overview), messages of version
// 2, and events as they are sent to PagerDuty.
func pagerDutyIncidents(v gjson.Result) []IncidentDraft {
	event := v.Get("event")
	data := event.Get("data")
	switch {
	case data.Get("type").Str == "incident" || data.Get("incident.id").Exists() || strings.HasPrefix(event.Get("event_type").Str, "incident.") && data.Get("id").Exists():
		i := pagerDutyIncident(data)
		if data.Get("type").Exists() && data.Get("type").Str != "incident" { // a note or a responder: it names the incident
			about := data.Get("incident")
			i = IncidentDraft{Incident: about.Get("id").String()}
			i.Title, i.URL, i.ExternalID = firstText(about, "summary", "title"), firstText(about, "html_url"), i.Incident
		}
		if i.Incident == "" {
			return nil
		}
		i.Event, i.At = event.Get("id").String(), firstTime(event, "occurred_at")
		switch event.Get("event_type").Str { // the status of the data may be that of when it was sent
		case "incident.triggered", "incident.reopened", "incident.unacknowledged":
			i.Status = change.Open
		case "incident.acknowledged":
			i.Status = change.Acknowledged
		case "incident.resolved":
			i.Status = change.Resolved
		}
		agent := event.Get("agent")
		i.Actor = change.Actor{ID: firstText(agent, "id"), Name: firstText(agent, "summary"), Type: strings.TrimSuffix(firstText(agent, "type"), "_reference")}
		i.ChangedBy = i.Actor.Name
		return oneIncident(i)
	case v.Get("incident").IsObject(): // version 2
		i := pagerDutyIncident(v.Get("incident"))
		i.Event, i.At = firstText(v, "id"), firstTime(v, "created_on")
		if s := statusOf(strings.TrimPrefix(firstText(v, "event"), "incident.")); s != "" {
			i.Status = s
		}
		return oneIncident(i)
	case v.Get("event_action").Exists():
		i := IncidentDraft{Incident: firstText(v, "dedup_key")}
		i.Status = statusOf(firstText(v, "event_action"))
		i.Title, i.Severity = firstText(v, "payload.summary"), severityOf(firstText(v, "payload.severity"))
		i.ServiceName, i.At, i.URL = firstText(v, "payload.component"), firstTime(v, "payload.timestamp"), firstText(v, "links.0.href", "client_url")
		i.ExternalID, i.Resource = i.Incident, change.Resource{ID: firstText(v, "payload.source"), Name: i.ServiceName}
		i.Metadata = redact.JSON(v.Get("payload.custom_details"))
		return oneIncident(i)
	}
	return nil
}

func pagerDutyIncident(data gjson.Result) IncidentDraft {
	i := IncidentDraft{Incident: firstText(data, "id")}
	i.ExternalID, i.Title, i.Description = i.Incident, firstText(data, "title", "summary", "description"), firstText(data, "body.details")
	i.Status, i.StartedAt, i.URL = statusOf(firstText(data, "status")), firstTime(data, "created_at"), firstText(data, "html_url")
	i.Severity = severityOf(firstText(data, "priority.summary", "priority.name"), firstText(data, "urgency"))
	i.ServiceName = firstText(data, "service.summary", "service.name")
	i.Resource = change.Resource{Type: "service", ID: firstText(data, "service.id"), Name: i.ServiceName}
	var meta Meta
	meta.Set("number", firstText(data, "number", "incident_number"))
	meta.Set("incident_key", firstText(data, "incident_key"))
	meta.Set("urgency", firstText(data, "urgency"))
	meta.Set("priority", firstText(data, "priority.summary"))
	meta.Set("escalation_policy", firstText(data, "escalation_policy.summary"))
	meta.Set("assignees", summaries(data.Get("assignees")))
	meta.Set("teams", summaries(data.Get("teams")))
	i.Metadata = meta.JSON()
	return i
}

func summaries(list gjson.Result) (names []string) {
	list.ForEach(func(_, item gjson.Result) bool {
		if name := firstText(item, "summary", "name"); name != "" {
			names = append(names, name)
		}
		return len(names) < 50
	})
	return names
}

// alertIncidents reads the webhooks of Alertmanager
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config)
// and of Grafana, which have the same form. Each alert is an incident from when
// it started to fire: a group has no beginning of its own, since alerts come
// and go in it.
func alertIncidents(v gjson.Result) []IncidentDraft {
	var all []IncidentDraft
	common := v.Get("commonLabels")
	v.Get("alerts").ForEach(func(_, alert gjson.Result) bool {
		labels := alert.Get("labels")
		label := func(names ...string) string { return cmp.Or(firstText(labels, names...), firstText(common, names...)) }
		note := func(name string) string {
			return cmp.Or(firstText(alert, "annotations."+name), firstText(v, "commonAnnotations."+name))
		}
		i := IncidentDraft{}
		i.StartedAt = firstTime(alert, "startsAt")
		i.ExternalID = cmp.Or(firstText(alert, "fingerprint"), labels.Raw)
		i.Incident = i.ExternalID + "|" + i.StartedAt.String()
		i.Status, i.At = change.Open, i.StartedAt
		if statusOf(cmp.Or(firstText(alert, "status"), firstText(v, "status"))) == change.Resolved {
			i.Status, i.At = change.Resolved, firstTime(alert, "endsAt")
		}
		i.Title = cmp.Or(note("summary"), note("title"), label("alertname"), firstText(v, "title"))
		i.Description = cmp.Or(note("description"), note("message"))
		i.Severity = severityOf(label("severity"), label("priority"), label("level"))
		i.ServiceName = label("service", "app", "application", "job")
		i.Environment = label("environment", "env", "stage")
		i.URL = cmp.Or(firstText(alert, "generatorURL", "panelURL", "dashboardURL"), firstText(v, "externalURL"))
		i.Resource = change.Resource{ID: i.ServiceName, Name: label("instance")}
		i.Actor = change.Actor{Type: "alerting"}
		var meta Meta
		meta.Set("labels", redact.JSON(labels))
		meta.Set("annotations", redact.JSON(alert.Get("annotations")))
		meta.Set("group_key", firstText(v, "groupKey"))
		meta.Set("receiver", firstText(v, "receiver"))
		i.Metadata = meta.JSON()
		all = append(all, i)
		return len(all) <= maxIncidents
	})
	return all
}

// opsgenieIncidents reads what Opsgenie's webhook integration sends
// (https://support.atlassian.com/opsgenie/docs/opsgenie-edge-connector-alert-action-data/).
func opsgenieIncidents(v gjson.Result) []IncidentDraft {
	alert := v.Get("alert")
	i := IncidentDraft{Incident: firstText(alert, "alertId")}
	if i.Incident == "" {
		return nil
	}
	action := firstText(v, "action")
	i.Status, i.StartedAt = statusOf(action), firstTime(alert, "createdAt")
	i.At = firstTime(alert, "updatedAt", "createdAt")
	if action == "Create" {
		i.At = i.StartedAt
	}
	i.Event = action + "|" + i.At.String()
	i.ExternalID, i.Title, i.Description = i.Incident, firstText(alert, "message"), firstText(alert, "description")
	i.Severity = severityOf(firstText(alert, "priority"))
	i.ServiceName, i.Environment = firstText(alert, "details.service"), firstText(alert, "details.environment", "details.env")
	i.Resource = change.Resource{ID: firstText(alert, "entity"), Name: firstText(alert, "alias")}
	i.ChangedBy = firstText(alert, "username")
	i.Actor = change.Actor{ID: firstText(alert, "userId", "username"), Name: i.ChangedBy}
	if i.ChangedBy != "" {
		i.Actor.Type = "user"
	}
	alert.Get("tags").ForEach(func(_, tag gjson.Result) bool {
		i.Tags = append(i.Tags, tag.String())
		if name, ok := strings.CutPrefix(tag.String(), "service:"); ok && i.ServiceName == "" {
			i.ServiceName = name
		}
		return len(i.Tags) < maxTags
	})
	var meta Meta
	meta.Set("alias", firstText(alert, "alias"))
	meta.Set("priority", firstText(alert, "priority"))
	meta.Set("team", firstText(alert, "team"))
	meta.Set("tags", i.Tags)
	meta.Set("details", redact.JSON(alert.Get("details")))
	i.Metadata = meta.JSON()
	return oneIncident(i)
}

// plainIncidents reads JSON that nobody known made, by the names of its
// members; what is around it may be called incident, alert or data, and an event
// in the form of an actor, an action and a resource has most in its metadata.
func plainIncidents(v gjson.Result) []IncidentDraft {
	for _, path := range []string{"incident", "alert", "data.incident", "data"} {
		if inner := v.Get(path); inner.IsObject() {
			v = inner
			break
		}
	}
	meta := v.Get("metadata")
	text := func(names ...string) string { return cmp.Or(firstText(v, names...), firstText(meta, names...)) }
	when := func(names ...string) change.Time {
		if t := firstTime(v, names...); !t.IsZero() {
			return t
		}
		return firstTime(meta, names...)
	}
	i := IncidentDraft{Incident: text("external_id", "incident_id", "incidentId", "incident_key", "dedup_key", "alert_id", "alertId", "id", "key", "number", "resource_id")}
	i.ExternalID = i.Incident
	i.Title = text("title", "summary", "name", "message", "subject", "text")
	i.Description = text("description", "details", "body")
	said := text("status", "state", "event", "action", "event_type")
	_, verb, dotted := strings.Cut(said, "incident.")
	if !dotted {
		verb = said
	}
	if i.Status = statusOf(verb); said == "" {
		i.Status = change.Open
	}
	i.Severity = severityOf(text("severity"), text("priority"), text("urgency"), text("level"), text("impact"))
	i.ServiceName = text("service", "service_name", "serviceName", "service.name", "service.summary", "component", "app", "affected_services.0", "services.0")
	i.Environment = text("environment", "env")
	i.Resource = change.Resource{ID: text("service_id", "service.id", "host"), Name: i.ServiceName}
	i.StartedAt = when("started_at", "startedAt", "start_time", "triggered_at", "created_at", "createdAt")
	switch i.Status {
	case change.Resolved:
		i.At = when("resolved_at", "resolvedAt", "closed_at", "closedAt", "ended_at", "end_time", "updated_at", "updatedAt", "occurred_at", "timestamp", "time")
	case change.Acknowledged:
		i.At = when("acknowledged_at", "acknowledgedAt", "updated_at", "updatedAt", "occurred_at", "timestamp", "time")
	default:
		i.At = when("updated_at", "updatedAt", "occurred_at", "timestamp", "time", "started_at", "startedAt", "created_at", "createdAt")
	}
	i.URL = text("url", "html_url", "link", "permalink")
	i.ChangedBy = text("changed_by", "actor_name", "actor.name", "actor", "user.name", "user", "by", "created_by")
	if i.ChangedBy != "" {
		i.Actor = change.Actor{ID: cmp.Or(text("actor_id", "actor.id"), i.ChangedBy), Name: i.ChangedBy, Type: cmp.Or(text("actor_type", "actor.type"), "user")}
	}
	i.Metadata = redact.JSON(v)
	return oneIncident(i)
}

// incidentsOfChanges reads incidents from the changes that a tool's own
// normalizer makes of them: alarms of clouds, issues, monitors.
func incidentsOfChanges(drafts []Draft) []IncidentDraft {
	var all []IncidentDraft
	for k := range drafts {
		c := &drafts[k].Change
		if c.Type != change.Incident {
			continue
		}
		i := IncidentDraft{Incident: cmp.Or(c.CorrelationID, c.ExternalID, c.Resource.ID), Event: drafts[k].Key, Resource: c.Resource, Tags: c.Tags}
		i.At, i.Title, i.Description, i.Severity = c.OccurredAt, c.Summary, c.Description, c.Risk
		i.ServiceID, i.ServiceName, i.Environment = c.ServiceID, c.ServiceName, c.Environment
		i.ExternalID, i.URL, i.ChangedBy, i.Actor, i.Metadata = i.Incident, c.Resource.URL, c.ChangedBy, c.Actor, c.Metadata
		switch c.Status {
		case change.Succeeded, change.Cancelled:
			i.Status = change.Resolved
		default:
			i.Status = change.Open
		}
		all = append(all, i)
	}
	return all
}
