package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"whatchanged/pkg/change"
)

// AuditEvent is a record of what was done to an object.
type AuditEvent struct {
	ID          change.AuditID `json:"id" example:"aud_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	Date        change.Time    `json:"date" doc:"When it was done"`
	Action      string         `json:"action" doc:"create, update, delete, or info for what is none of them" example:"update"`
	Description string         `json:"description" doc:"What was done, with old and new values" example:"Updated service 'api': name changed from 'gateway' to 'api'"`
	User        AuditUser      `json:"user" doc:"Who did it"`
	Object      AuditObject    `json:"object" doc:"What it was done to"`
	Outcome     string         `json:"outcome,omitempty" doc:"unknown when the server ended while it was being done; else absent"`
}

// AuditUser is who did something.
type AuditUser struct {
	ID    string `json:"id" example:"key_abc123"`
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	KeyID string `json:"key_id,omitempty" doc:"The key that was used"`
}

// AuditObject is what something was done to.
type AuditObject struct {
	Type string `json:"type" example:"service"`
	ID   string `json:"id" example:"svc_abc123"`
	Name string `json:"name" doc:"What it is called now; empty once it is deleted" example:"api"`
}

// UserAction is an entry of the log of user actions.
type UserAction struct {
	ID        string      `json:"_id"`
	UserID    string      `json:"user_id" doc:"Who did it"`
	UserEmail string      `json:"user_email" doc:"Their address"`
	Type      string      `json:"type" doc:"The area" example:"pipeline"`
	Action    string      `json:"action" doc:"What was done" example:"update"`
	TargetID  string      `json:"target_id" doc:"What it was done to"`
	Account   string      `json:"account" doc:"The organisation"`
	CreatedAt change.Time `json:"createdAt"`
	UpdatedAt change.Time `json:"updatedAt"`
	V         int         `json:"__v"`
}

// TokenUse is an entry of the log of key uses.
type TokenUse struct {
	ID        string      `json:"_id"`
	TokenID   string      `json:"token_id" doc:"The key"`
	Scope     string      `json:"scope" doc:"Its scopes, with spaces between them" example:"api"`
	Target    string      `json:"target" doc:"The path that was called, relative to /api" example:"/v1/logs/user/tokens"`
	UserID    string      `json:"user_id" doc:"Whose key it is"`
	Account   string      `json:"account" doc:"The organisation"`
	CreatedAt change.Time `json:"createdAt"`
	UpdatedAt change.Time `json:"updatedAt"`
	V         int         `json:"__v"`
}

// Records is the form in which the two logs are answered.
type Records[T any] struct {
	Count int `json:"count" doc:"How many there are in data"`
	Data  []T `json:"data" nullable:"false"`
}

// AuditFilter selects audit events; empty fields select all.
type AuditFilter struct {
	ObjectType string
	ObjectID   string
	Action     string
	User       string // id, name or address
	ServiceID  string // of the service, its versions and variables
	PipelineID string // of the pipeline, its objects and attachments
	Start, End time.Time
	Limit      int
	Offset     int
	Cursor     string
	Sort       string
}

func (f AuditFilter) values() url.Values {
	q := query{}
	q.text("object_type", f.ObjectType)
	q.text("object_id", f.ObjectID)
	q.text("action", f.Action)
	q.text("user", f.User)
	q.text("service_id", f.ServiceID)
	q.text("pipeline_id", f.PipelineID)
	q.time("start_date", f.Start)
	q.time("end_date", f.End)
	q.number("limit", f.Limit)
	q.number("offset", f.Offset)
	q.text("cursor", f.Cursor)
	q.text("sort", f.Sort)
	return url.Values(q)
}

// AuditEvents lists what was done to objects, newest first.
func (c *Client) AuditEvents(ctx context.Context, f AuditFilter) (Page[AuditEvent], error) {
	var out Page[AuditEvent]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/audit-events", query: f.values(), out: &out})
	return out, err
}

// UserActions returns the log of user actions, newest first, at most 1000: of a
// day (UTC), or without one of the last 7 days. An empty area is all of them.
func (c *Client) UserActions(ctx context.Context, day time.Time, area string) (Records[UserAction], error) {
	var out Records[UserAction]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/logs/user/actions", query: records(day, "type", area), out: &out})
	return out, err
}

// TokenUses returns the log of key uses, as UserActions does; scope selects keys
// that have it.
func (c *Client) TokenUses(ctx context.Context, day time.Time, scope string) (Records[TokenUse], error) {
	var out Records[TokenUse]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/logs/user/tokens", query: records(day, "scope", scope), out: &out})
	return out, err
}

func records(day time.Time, name, value string) url.Values {
	q := query{}
	if !day.IsZero() {
		q.text("date", day.UTC().Format(time.DateOnly))
	}
	q.text(name, value)
	return url.Values(q)
}
