package normalizers

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// IncidentDraft is what a record says of one incident, before the delivery's
// own facts are added.
type IncidentDraft struct {
	change.IncidentReport
	// Incident is the provider's own key of the incident, the same in all that is
	// said of it. Empty: what the delivery says is an incident of its own.
	Incident string
	// Event is the key of what is said. Empty: the status and since when.
	Event    string
	Resource change.Resource // that the org's services may be mapped to
	Tags     []string        // that may name the environment
}

// maxIncidents is how many incidents one record may report.
const maxIncidents = 10_000

// IncidentRequest is what the API's own deliveries about incidents hold: what
// is said, and for the change that the timeline shows, what of.
type IncidentRequest struct {
	Title       string                `json:"title,omitempty"`
	Description string                `json:"description,omitempty"`
	Severity    change.Risk           `json:"severity,omitempty"`
	Status      change.IncidentStatus `json:"status,omitempty"`
	ServiceID   string                `json:"service_id,omitempty"` // the delivery's own service is what counts
	Environment string                `json:"environment,omitempty"`
	Source      string                `json:"source,omitempty"`
	ExternalID  string                `json:"external_id,omitempty"`
	URL         string                `json:"url,omitempty"`
	ChangedBy   string                `json:"changed_by,omitempty"`
	StartedAt   *change.Time          `json:"started_at,omitempty"`
	ResolvedAt  *change.Time          `json:"resolved_at,omitempty"`
	Metadata    json.RawMessage       `json:"metadata,omitempty"`
	Kept        json.RawMessage       `json:"kept,omitempty"`
	// About is the incident as it is known, when the request is not its first.
	About *IncidentAbout `json:"about,omitempty"`
}

// IncidentAbout is the part of an incident that its changes show.
type IncidentAbout struct {
	Title       string         `json:"title,omitempty"`
	Environment string         `json:"environment,omitempty"`
	URL         string         `json:"url,omitempty"`
	Service     change.Service `json:"service,omitzero"`
}

// incidents adds to what a record of a delivery about incidents makes what it
// says of incidents. The changes are those that it would make anywhere, but
// that they are of incidents.
func (s Set) incidents(d *change.Delivery, r *Record) (Result, error) {
	if r.Provider == apiProvider {
		return requestedIncident(d, r)
	}
	made, err := s.normalize(r)
	if err != nil || made.Ignored != "" {
		return made, err
	}
	made.Incidents = incidentsOf(r, made.Drafts)
	if len(made.Incidents) > maxIncidents {
		return Result{}, fmt.Errorf("%w: more than %d incidents in a record", change.ErrMalformed, maxIncidents)
	}
	if len(made.Incidents) > 0 {
		for i := range made.Drafts {
			made.Drafts[i].Type = change.Incident
		}
	}
	return made, nil
}

// requestedIncident reads what the API was asked.
func requestedIncident(d *change.Delivery, r *Record) (Result, error) {
	var in IncidentRequest
	if err := json.Unmarshal(r.JSON, &in); err != nil {
		return Result{}, fmt.Errorf("%w: not a request about an incident: %w", change.ErrMalformed, err)
	}
	draft := IncidentDraft{IncidentReport: change.IncidentReport{
		At: d.ReceivedAt, Status: in.Status, Title: in.Title, Description: in.Description, Severity: in.Severity,
		ServiceID: d.Service.ID, ServiceName: d.Service.Name, Environment: in.Environment,
		Source: in.Source, ExternalID: in.ExternalID, URL: in.URL, ChangedBy: in.ChangedBy,
		Metadata: in.Metadata, Kept: in.Kept,
	}, Event: d.ID.String()}
	if in.ChangedBy != "" {
		draft.Actor = change.Actor{ID: in.ChangedBy, Name: in.ChangedBy, Type: "user"}
	}
	if in.About == nil {
		if draft.Event = d.Identity; draft.Event == "" {
			draft.Event = d.ID.String()
		}
		draft.Source = cmp.Or(in.Source, apiProvider)
		draft.At = change.Time{} // when it was first received
		if in.StartedAt != nil {
			draft.StartedAt, draft.At = *in.StartedAt, *in.StartedAt
		}
	}
	if in.ResolvedAt != nil {
		draft.At = *in.ResolvedAt
	}
	made := Result{Incidents: []IncidentDraft{draft}}
	if in.Status != "" {
		made.Drafts = []Draft{{Change: requestedChange(d, &draft, in.About)}}
	}
	return made, nil
}

// requestedChange is what the timeline shows of a request.
func requestedChange(d *change.Delivery, i *IncidentDraft, about *IncidentAbout) change.Change {
	if about == nil {
		about = &IncidentAbout{}
	}
	title := cmp.Or(i.Title, about.Title)
	c := change.Change{
		Type: change.Incident, Action: "incident." + string(i.Status), Summary: "Incident " + string(i.Status) + ": " + title,
		Description: i.Description, Source: i.Source, Environment: cmp.Or(i.Environment, about.Environment),
		ChangedBy: i.ChangedBy, Actor: i.Actor, OccurredAt: i.At, ExternalID: i.ExternalID,
		Resource: change.Resource{Type: "incident", ID: incidentID(d, i, apiProvider, 0, 0).String(), Name: title, URL: cmp.Or(i.URL, about.URL)},
	}
	c.CorrelationID = c.Resource.ID
	if d.Service == (change.Service{}) {
		c.ServiceID, c.ServiceName = about.Service.ID, about.Service.Name
	}
	switch i.Status {
	case change.Open:
		c.Status = change.Started
	case change.Resolved:
		c.Status = change.Succeeded
	}
	return c
}

// incidentID returns the id of what the n-th draft of a record is about. What
// nobody known calls "1" is another thing at each source.
func incidentID(d *change.Delivery, draft *IncidentDraft, provider string, index, nth int) change.IncidentID {
	if id, err := change.ParseIncidentID(d.Header.Get(change.HeaderIncident)); err == nil {
		return id
	}
	key := draft.Incident
	switch {
	case key == "":
		key = d.SourceID + "\n" + cmp.Or(d.Identity, d.ID.String()) + "\n" + strconv.Itoa(index) + "\n" + strconv.Itoa(nth)
	case provider == Generic:
		key = d.SourceID + "\n" + key
	}
	return change.NewIncidentID(d.Org, provider, key)
}

// finishIncidents returns the reports of a record. What happened to one service
// alone is a change of that service, too, unless the change says otherwise.
func (f *finisher) finishIncidents(r *Record, made *Result) []change.IncidentReport {
	var reports []change.IncidentReport
	for n := range made.Incidents {
		reports = append(reports, f.finishIncident(r, &made.Incidents[n], n))
	}
	if len(reports) == 0 {
		return nil
	}
	service := change.Service{ID: reports[0].ServiceID, Name: reports[0].ServiceName}
	for _, report := range reports {
		if report.ServiceID != service.ID {
			return reports
		}
	}
	for n := range made.Drafts {
		if c := &made.Drafts[n].Change; c.ServiceID == "" && service.ID != "" {
			c.ServiceID, c.ServiceName = service.ID, service.Name
		}
	}
	return reports
}

// finishIncident turns the n-th draft of a record into a report that can be
// stored. What a change has of the same, it gets in the same way.
func (f *finisher) finishIncident(r *Record, draft *IncidentDraft, nth int) change.IncidentReport {
	d, i := f.delivery, &draft.IncidentReport
	c := change.Change{
		Type: change.Incident, Summary: OneLine(i.Title), Description: i.Description, ServiceID: i.ServiceID, ServiceName: i.ServiceName,
		Environment: i.Environment, Source: cmp.Or(i.Source, r.Provider), ExternalID: i.ExternalID, ChangedBy: i.ChangedBy,
		Actor: i.Actor, Resource: draft.Resource, Metadata: i.Metadata, PipelineURL: i.URL, Tags: draft.Tags,
	}
	if r.Provider != apiProvider { // there, what is not said stays as it is
		f.setService(&c)
		if c.Resource.Name == "" {
			c.Resource.Name = c.ServiceName
		}
		f.setEnvironment(&c)
	} else {
		c.Source = i.Source
	}
	if len(c.Metadata) > 0 && !gjson.ParseBytes(c.Metadata).IsObject() {
		c.Metadata = nil
	}
	named := c.Summary != ""
	clean(&c)
	if !named {
		c.Summary = ""
	}
	i.ID = incidentID(d, draft, r.Provider, r.Index, nth)
	i.Org, i.CreatedAt = d.Org, d.ReceivedAt
	i.Title, i.Description, i.ServiceID, i.ServiceName, i.Environment = c.Summary, c.Description, c.ServiceID, c.ServiceName, c.Environment
	i.Source, i.ExternalID, i.ChangedBy, i.Actor, i.Metadata, i.URL = c.Source, c.ExternalID, c.ChangedBy, c.Actor, c.Metadata, c.PipelineURL
	i.At, i.StartedAt = f.past(i.At), f.past(i.StartedAt)
	if i.At.IsZero() {
		i.At = change.At(f.first)
	}
	if r.Provider == apiProvider && d.Header.Get(change.HeaderIncident) == "" && i.StartedAt.IsZero() {
		i.StartedAt = i.At
	}
	i.Key = change.ReportKey(i.ID, cmp.Or(draft.Event, string(i.Status)+"|"+i.At.String()))
	i.Provenance = change.Provenance{
		SourceID: d.SourceID, DeliveryID: d.ID, Index: r.Index, Provider: r.Provider, DetectedBy: r.DetectedBy,
	}
	return *i
}

// past keeps a time within what can be: nothing is told before it happens. A
// clock that is ahead must not make a report the last word for a while.
func (f *finisher) past(t change.Time) change.Time {
	switch earliest := time.UnixMilli(1); {
	case t.IsZero():
		return t
	case t.Before(earliest):
		return change.At(earliest)
	case t.After(f.first):
		return change.At(f.first)
	default:
		return change.At(t.Time)
	}
}

// severityOf reads what tools call severity, priority, urgency or level.
func severityOf(words ...string) change.Risk {
	for _, word := range words {
		if level, ok := severities[strings.ToLower(strings.TrimSpace(word))]; ok {
			return level
		}
	}
	return ""
}

var severities = map[string]change.Risk{
	"critical": change.Critical, "crit": change.Critical, "page": change.Critical, "emergency": change.Critical, "fatal": change.Critical, "disaster": change.Critical,
	"p1": change.Critical, "sev1": change.Critical, "sev0": change.Critical, "sev-1": change.Critical, "sev-0": change.Critical, "p0": change.Critical, "blocker": change.Critical,
	"high": change.High, "error": change.High, "major": change.High, "p2": change.High, "sev2": change.High, "sev-2": change.High, "urgent": change.High,
	"medium": change.Medium, "warning": change.Medium, "warn": change.Medium, "moderate": change.Medium, "average": change.Medium, "p3": change.Medium, "sev3": change.Medium, "sev-3": change.Medium,
	"low": change.Low, "minor": change.Low, "info": change.Low, "information": change.Low, "informational": change.Low, "notice": change.Low, "none": change.Low,
	"p4": change.Low, "p5": change.Low, "sev4": change.Low, "sev5": change.Low, "sev-4": change.Low, "sev-5": change.Low,
}

// statusOf reads what tools call an incident's status, state or action.
func statusOf(word string) change.IncidentStatus {
	return incidentWords[strings.ToLower(strings.TrimSpace(word))]
}

var incidentWords = map[string]change.IncidentStatus{
	"open": change.Open, "opened": change.Open, "reopen": change.Open, "reopened": change.Open, "trigger": change.Open, "triggered": change.Open, "firing": change.Open,
	"alerting": change.Open, "active": change.Open, "new": change.Open, "create": change.Open, "created": change.Open, "started": change.Open, "investigating": change.Open,
	"problem": change.Open, "down": change.Open, "unacknowledged": change.Open, "unacknowledge": change.Open, "failed": change.Open, "ongoing": change.Open, "alarm": change.Open,
	"acknowledge": change.Acknowledged, "acknowledged": change.Acknowledged, "ack": change.Acknowledged, "acked": change.Acknowledged, "identified": change.Acknowledged,
	"in_progress": change.Acknowledged, "in progress": change.Acknowledged, "assigned": change.Acknowledged, "monitoring": change.Acknowledged,
	"resolve": change.Resolved, "resolved": change.Resolved, "close": change.Resolved, "closed": change.Resolved, "delete": change.Resolved, "ok": change.Resolved,
	"recovered": change.Resolved, "recovery": change.Resolved, "up": change.Resolved, "completed": change.Resolved, "fixed": change.Resolved, "done": change.Resolved,
	"postmortem": change.Resolved, "cancelled": change.Resolved, "canceled": change.Resolved, "normal": change.Resolved,
}

// firstText is the first of the paths that has a string, or a number.
func firstText(v gjson.Result, paths ...string) string {
	for _, path := range paths {
		if found := v.Get(path); (found.Type == gjson.String || found.Type == gjson.Number) && found.String() != "" {
			return found.String()
		}
	}
	return ""
}

func firstTime(v gjson.Result, paths ...string) change.Time {
	for _, path := range paths {
		if t, ok := ParseTime(firstText(v, path)); ok && t.Year() > 1 {
			return change.At(t)
		}
	}
	return change.Time{}
}
