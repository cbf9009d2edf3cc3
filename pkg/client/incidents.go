package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"whatchanged/pkg/change"
)

// Incident is something that went wrong, as all that was said of it adds up.
type Incident struct {
	ID             change.IncidentID `json:"id" example:"inc_5q8n2v7k4m1p9r3s6t0w8x2y4z" doc:"The same incident has the same id, whatever is said of it"`
	Title          string            `json:"title" example:"Checkout is down"`
	Description    string            `json:"description,omitempty"`
	Severity       change.Risk       `json:"severity" example:"high"`
	Status         string            `json:"status" enum:"open,acknowledged,resolved" example:"open"`
	ServiceID      string            `json:"service_id,omitempty" example:"svc_abc123"`
	ServiceName    string            `json:"service_name,omitempty" example:"API Gateway"`
	Environment    string            `json:"environment,omitempty" example:"production"`
	StartedAt      change.Time       `json:"started_at" doc:"When it began"`
	AcknowledgedAt change.Time       `json:"acknowledged_at,omitzero" doc:"When somebody first took it on"`
	ResolvedAt     change.Time       `json:"resolved_at,omitzero" doc:"When it was over; absent unless it is resolved"`
	Source         string            `json:"source,omitempty" doc:"Who says so: the request's own word, else the provider" example:"pagerduty"`
	Provider       string            `json:"provider,omitempty" example:"pagerduty"`
	ExternalID     string            `json:"external_id,omitempty" doc:"The provider's id of it" example:"PGR0VU2"`
	URL            string            `json:"url,omitempty" doc:"Where the provider shows it"`
	ChangedBy      string            `json:"changed_by,omitempty" doc:"Who did the last thing to it" example:"jane.doe"`
	Actor          change.Actor      `json:"actor,omitzero" doc:"The full form of changed_by"`
	Metadata       json.RawMessage   `json:"metadata,omitempty"`
	CreatedAt      change.Time       `json:"created_at" doc:"When we were first told of it"`
	UpdatedAt      change.Time       `json:"updated_at" doc:"When we were last told of it"`
}

// NewIncident is an incident to record. Only Title is required.
type NewIncident struct {
	Title       string         `json:"title" doc:"What is wrong, one line" minLength:"1" maxLength:"200" example:"Checkout is down"`
	Description string         `json:"description,omitempty" maxLength:"16384"`
	Severity    string         `json:"severity,omitempty" doc:"How bad it is; default medium" enum:"low,medium,high,critical" example:"high"`
	Status      string         `json:"status,omitempty" doc:"Default open" enum:"open,acknowledged,resolved"`
	ServiceID   string         `json:"service_id,omitempty" doc:"The service in trouble; it must exist" maxLength:"64" example:"svc_abc123"`
	Environment string         `json:"environment,omitempty" maxLength:"200" example:"production"`
	StartedAt   *change.Time   `json:"started_at,omitempty" doc:"When it began; default now"`
	ResolvedAt  *change.Time   `json:"resolved_at,omitempty" doc:"When it was over, of one that is recorded afterwards; status must be resolved"`
	Source      string         `json:"source,omitempty" doc:"Who says so; default api" maxLength:"200"`
	ExternalID  string         `json:"external_id,omitempty" doc:"ID in the external system" maxLength:"1024"`
	URL         string         `json:"url,omitempty" doc:"Where it is shown" maxLength:"1024"`
	ChangedBy   string         `json:"changed_by,omitempty" doc:"Name or email of who reports it" maxLength:"320" example:"jane.doe"`
	Metadata    map[string]any `json:"metadata,omitempty" doc:"Anything else worth keeping, at most 64 KiB"`
}

// IncidentPatch changes what it names of an incident. What is left out, or
// empty, stays as it is.
type IncidentPatch struct {
	Title       string         `json:"title,omitempty" maxLength:"200"`
	Description string         `json:"description,omitempty" maxLength:"16384"`
	Severity    string         `json:"severity,omitempty" enum:"low,medium,high,critical"`
	Status      string         `json:"status,omitempty" enum:"open,acknowledged,resolved" example:"acknowledged"`
	ServiceID   string         `json:"service_id,omitempty" doc:"It must exist" maxLength:"64"`
	Environment string         `json:"environment,omitempty" maxLength:"200"`
	ExternalID  string         `json:"external_id,omitempty" maxLength:"1024"`
	URL         string         `json:"url,omitempty" maxLength:"1024"`
	ChangedBy   string         `json:"changed_by,omitempty" doc:"Name or email of who does it" maxLength:"320" example:"jane.doe"`
	Metadata    map[string]any `json:"metadata,omitempty" doc:"Replaces all of it; at most 64 KiB"`
}

// Resolution says how an incident ended; all of it may be left out.
type Resolution struct {
	ChangedBy   string `json:"changed_by,omitempty" doc:"Name or email of who resolved it" maxLength:"320" example:"jane.doe"`
	Description string `json:"description,omitempty" doc:"What it was" maxLength:"16384"`
}

// IncidentChanges is what changed before an incident.
type IncidentChanges struct {
	WhatChanged
	IncidentID change.IncidentID `json:"incident_id" example:"inc_5q8n2v7k4m1p9r3s6t0w8x2y4z"`
	// Kept reports whether the incident is resolved, and this answer stays as it is.
	Kept bool `json:"kept" doc:"The incident is resolved, and this answer stays as it is"`
}

// IncidentFilter selects incidents; empty fields select all.
type IncidentFilter struct {
	Status      string // open, acknowledged or resolved
	Severity    string
	ServiceID   string
	Environment string
	Start, End  time.Time // of started_at, half-open
	Limit       int       // 1-100, default 25
	Offset      int       // at most 10,000
	Cursor      string
	Sort        string // desc (newest first, the default) or asc
}

func (f IncidentFilter) values() url.Values {
	q := query{}
	q.text("status", f.Status)
	q.text("severity", f.Severity)
	q.text("service_id", f.ServiceID)
	q.text("environment", f.Environment)
	q.time("start_date", f.Start)
	q.time("end_date", f.End)
	q.number("limit", f.Limit)
	q.number("offset", f.Offset)
	q.text("cursor", f.Cursor)
	q.text("sort", f.Sort)
	return url.Values(q)
}

// Incidents lists incidents, by when they started, newest first.
func (c *Client) Incidents(ctx context.Context, f IncidentFilter) (Page[Incident], error) {
	var out Page[Incident]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/incidents", query: f.values(), out: &out})
	return out, err
}

// Incident returns one incident.
func (c *Client) Incident(ctx context.Context, id change.IncidentID) (Incident, error) {
	return object[Incident](ctx, c, http.MethodGet, item("incidents", id.String()), nil)
}

// CreateIncident records an incident. The same IdempotencyKey records it once.
func (c *Client) CreateIncident(ctx context.Context, in NewIncident, opt WriteOptions) (Incident, error) {
	if opt.IdempotencyKey == "" {
		opt.IdempotencyKey = NewIdempotencyKey()
	}
	return c.writeIncident(ctx, call{method: http.MethodPost, path: "/api/v1/incidents", body: in, key: opt.IdempotencyKey}, opt)
}

// UpdateIncident changes what the patch names. Only Wait of the options counts.
func (c *Client) UpdateIncident(ctx context.Context, id change.IncidentID, in IncidentPatch, opt WriteOptions) (Incident, error) {
	return c.writeIncident(ctx, call{method: http.MethodPatch, path: item("incidents", id.String()), body: in}, opt)
}

// ResolveIncident says that an incident is over. One that is resolved already
// stays as it is. Only Wait of the options counts.
func (c *Client) ResolveIncident(ctx context.Context, id change.IncidentID, in Resolution, opt WriteOptions) (Incident, error) {
	return c.writeIncident(ctx, call{method: http.MethodPost, path: item("incidents", id.String()) + "/resolve", body: in}, opt)
}

func (c *Client) writeIncident(ctx context.Context, req call, opt WriteOptions) (Incident, error) {
	if opt.Wait > 0 {
		req.query, req.longer = url.Values{"wait": {opt.Wait.String()}}, opt.Wait
	}
	var out data[Incident]
	req.out = &out
	_, err := c.do(ctx, req)
	return out.Data, err
}

// IncidentChanges returns what changed before an incident, the most suspicious
// first. Once it is resolved, the answer stays as it is.
func (c *Client) IncidentChanges(ctx context.Context, id change.IncidentID) (IncidentChanges, error) {
	return object[IncidentChanges](ctx, c, http.MethodGet, item("incidents", id.String())+"/changes", nil)
}
