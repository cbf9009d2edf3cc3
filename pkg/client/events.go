package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"whatchanged/pkg/change"
)

// NewChangeEvent is a change in the short form that CI jobs send. Only Title is
// required.
type NewChangeEvent struct {
	Title       string            `json:"title" doc:"What changed, one line" minLength:"1" maxLength:"200" example:"Deploy v2.4.1 to production"`
	Description string            `json:"description,omitempty" doc:"Detailed description" maxLength:"16384" example:"Rolled out new session recording features"`
	Type        string            `json:"type,omitempty" doc:"Kind of change; default deployment" enum:"deployment,config_change,rollback,scaling,maintenance,access_change" example:"deployment"`
	Environment string            `json:"environment,omitempty" doc:"Target environment; default production" maxLength:"200" example:"production"`
	Source      string            `json:"source,omitempty" doc:"Source system; default api" maxLength:"200" example:"github-actions"`
	Author      string            `json:"author,omitempty" doc:"Name or email of who made the change" maxLength:"320" example:"deploy-bot"`
	Version     string            `json:"version,omitempty" doc:"Version that was deployed" maxLength:"200" example:"v2.4.1"`
	CommitSHA   string            `json:"commit_sha,omitempty" doc:"Git commit SHA" maxLength:"200" example:"abc123def456"`
	Repository  string            `json:"repository,omitempty" doc:"Repository, as owner/name" maxLength:"1024" example:"onepam/webapp"`
	Tags        map[string]string `json:"tags,omitempty" doc:"Names and values; a name has no colon"`
	ServiceID   string            `json:"service_id,omitempty" doc:"The service that changed; it must exist" maxLength:"64" example:"svc_abc123"`
	Metadata    map[string]any    `json:"metadata,omitempty" doc:"Anything else worth keeping, at most 64 KiB"`
	OccurredAt  *change.Time      `json:"occurred_at,omitempty" doc:"When it happened; default now"`
}

// NewEvent is a change as who did what to what. Only ActorID and Action are
// required.
type NewEvent struct {
	ActorID      string         `json:"actor_id" doc:"Who did it" minLength:"1" maxLength:"320" example:"ci_github_actions"`
	ActorName    string         `json:"actor_name,omitempty" doc:"As people know them" maxLength:"320" example:"GitHub Actions"`
	ActorType    string         `json:"actor_type,omitempty" doc:"Default user" enum:"user,service,bot,system,ci_system,engineer,secret_manager,alerting" example:"ci_system"`
	Action       string         `json:"action" doc:"Dotted verb; its first part decides the kind of change" minLength:"1" maxLength:"200" example:"deployment.started"`
	Resource     string         `json:"resource,omitempty" doc:"Kind of thing it was done to" maxLength:"200" example:"service"`
	ResourceID   string         `json:"resource_id,omitempty" doc:"Which; else metadata.service, secret_path or incident_id says" maxLength:"1024" example:"api-gateway"`
	ResourceName string         `json:"resource_name,omitempty" doc:"As people know it" maxLength:"1024" example:"API Gateway"`
	SessionID    string         `json:"session_id,omitempty" doc:"Session in which it was done" maxLength:"1024" example:"sess_b2c3d4e5"`
	Metadata     map[string]any `json:"metadata,omitempty" doc:"Anything worth keeping, at most 64 KiB; never the value of a secret"`
	OccurredAt   *change.Time   `json:"occurred_at,omitempty" doc:"When it happened; default now"`
	ServiceID    string         `json:"service_id,omitempty" doc:"The service that changed; it must exist" maxLength:"64" example:"svc_abc123"`
}

// Common is what a change event and an event call the same as a change does.
type Common struct {
	ServiceID     string            `json:"service_id,omitempty"`
	ServiceName   string            `json:"service_name,omitempty"`
	Status        change.Status     `json:"status,omitempty"`
	Description   string            `json:"description,omitempty"`
	Source        string            `json:"source,omitempty"`
	Environment   string            `json:"environment,omitempty"`
	Risk          change.Risk       `json:"risk_level,omitempty"`
	RiskHints     []string          `json:"risk_hints,omitempty" nullable:"false"`
	Repository    string            `json:"repository,omitempty"`
	CommitSHA     string            `json:"commit_sha,omitempty"`
	CommitMessage string            `json:"commit_message,omitempty"`
	Branch        string            `json:"branch,omitempty"`
	Version       string            `json:"version,omitempty"`
	PRNumber      string            `json:"pr_number,omitempty"`
	PRURL         string            `json:"pr_url,omitempty"`
	PipelineURL   string            `json:"pipeline_url,omitempty"`
	Account       string            `json:"account,omitempty"`
	Region        string            `json:"region,omitempty"`
	ExternalID    string            `json:"external_id,omitempty"`
	CorrelationID string            `json:"correlation_id,omitempty"`
	SessionID     string            `json:"session_id,omitempty"`
	OccurredAt    change.Time       `json:"occurred_at" doc:"When it happened"`
	CreatedAt     change.Time       `json:"created_at" doc:"When it was accepted"`
	Provenance    change.Provenance `json:"provenance,omitzero" doc:"Which delivery it came from and who made it"`
}

// ChangeEvent is a change in the short form.
type ChangeEvent struct {
	ID     change.ID         `json:"id" example:"chg_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	Title  string            `json:"title" example:"Deploy v2.4.1 to production"`
	Type   change.Type       `json:"type" example:"deployment"`
	Author string            `json:"author,omitempty" example:"deploy-bot"`
	Tags   map[string]string `json:"tags,omitempty" doc:"A tag without a value has an empty one"`
	// TagList is there when Tags cannot say it all.
	TagList  []string        `json:"tag_list,omitempty" doc:"All tags, where an object cannot say them: one without a colon, or two with one name" nullable:"false"`
	Action   string          `json:"action,omitempty"`
	Actor    change.Actor    `json:"actor,omitzero"`
	Resource change.Resource `json:"resource,omitzero"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Common
}

// Event is a change as who did what to what.
type Event struct {
	ID           change.ID       `json:"id" example:"chg_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	ActorID      string          `json:"actor_id" example:"ci_github_actions"`
	ActorName    string          `json:"actor_name" example:"GitHub Actions"`
	ActorType    string          `json:"actor_type,omitempty" example:"ci_system"`
	Action       string          `json:"action" doc:"Where a change names none, what its kind stands for" example:"deployment.started"`
	Resource     string          `json:"resource" doc:"Kind of thing it was done to" example:"service"`
	ResourceID   string          `json:"resource_id" example:"api-gateway"`
	ResourceName string          `json:"resource_name,omitempty" example:"API Gateway"`
	ResourceURL  string          `json:"resource_url,omitempty"`
	Metadata     json.RawMessage `json:"metadata"`
	Type         change.Type     `json:"change_type" example:"deployment"`
	Summary      string          `json:"summary" example:"deployment started: API Gateway v2.14.0"`
	ChangedBy    string          `json:"changed_by,omitempty" example:"GitHub Actions"`
	Tags         []string        `json:"tags,omitempty" nullable:"false"`
	Common
}

// WrittenChangeEvent is a change event as it was recorded.
type WrittenChangeEvent struct {
	ChangeEvent
	// Visible reports whether it could be queried when the answer was sent. It is
	// known only when Wait was set.
	Visible bool
}

// WrittenEvent is an event as it was recorded.
type WrittenEvent struct {
	Event
	// Visible reports whether it could be queried when the answer was sent. It is
	// known only when Wait was set.
	Visible bool
}

// EventFilter selects change events and events: as changes are selected, and by
// what those have besides.
type EventFilter struct {
	ChangeFilter
	Action     string // with *, a pattern: deployment.*
	ActorID    string
	ResourceID string // the resource's id or name
	SessionID  string
}

func (f EventFilter) values() url.Values {
	q := query(f.ChangeFilter.values())
	q.text("action", f.Action)
	q.text("actor_id", f.ActorID)
	q.text("resource_id", f.ResourceID)
	q.text("session_id", f.SessionID)
	return url.Values(q)
}

// SendChangeEvent records a change in the short form.
func (c *Client) SendChangeEvent(ctx context.Context, in NewChangeEvent, opt WriteOptions) (WrittenChangeEvent, error) {
	out, visible, err := send[ChangeEvent](ctx, c, "/api/v1/change-events", in, opt)
	return WrittenChangeEvent{out, visible}, err
}

// ChangeEvents lists changes in the short form, newest first.
func (c *Client) ChangeEvents(ctx context.Context, f EventFilter) (Page[ChangeEvent], error) {
	var out Page[ChangeEvent]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/change-events", query: f.values(), out: &out})
	return out, err
}

// ChangeEvent returns one change in the short form.
func (c *Client) ChangeEvent(ctx context.Context, id change.ID) (ChangeEvent, error) {
	var out data[ChangeEvent]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/change-events/" + id.String(), out: &out})
	return out.Data, err
}

// SendEvent records who did what to what.
func (c *Client) SendEvent(ctx context.Context, in NewEvent, opt WriteOptions) (WrittenEvent, error) {
	out, visible, err := send[Event](ctx, c, "/api/v1/events", in, opt)
	return WrittenEvent{out, visible}, err
}

// Events lists changes as events, newest first.
func (c *Client) Events(ctx context.Context, f EventFilter) (Page[Event], error) {
	var out Page[Event]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/events", query: f.values(), out: &out})
	return out, err
}

// Event returns one change as an event.
func (c *Client) Event(ctx context.Context, id change.ID) (Event, error) {
	var out data[Event]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/events/" + id.String(), out: &out})
	return out.Data, err
}

// send posts something new, with a key for its own retries.
func send[T any](ctx context.Context, c *Client, path string, in any, opt WriteOptions) (T, bool, error) {
	var out data[T]
	h, err := c.post(ctx, path, in, &out, opt)
	return out.Data, err == nil && opt.Wait > 0 && h.Get("X-Whatchanged-Visible") != "false", err
}

func (c *Client) post(ctx context.Context, path string, in, out any, opt WriteOptions) (http.Header, error) {
	key := opt.IdempotencyKey
	if key == "" {
		key = NewIdempotencyKey()
	}
	query := url.Values{}
	if opt.Wait > 0 {
		query.Set("wait", opt.Wait.Round(time.Millisecond).String())
	}
	return c.do(ctx, call{method: http.MethodPost, path: path, query: query, body: in, key: key, out: out, longer: opt.Wait})
}

// BulkChange, BulkChangeEvent and BulkEvent are items of a bulk request. One
// with an IdempotencyKey is recorded once, in whichever request it comes.
type BulkChange struct {
	NewChange
	IdempotencyKey string `json:"idempotency_key,omitempty" doc:"Names this change, so that sending it again within a day records it once" maxLength:"255"`
}

// BulkChangeEvent is an item of a bulk request: see BulkChange.
type BulkChangeEvent struct {
	NewChangeEvent
	IdempotencyKey string `json:"idempotency_key,omitempty" doc:"Names this change, so that sending it again within a day records it once" maxLength:"255"`
}

// BulkEvent is an item of a bulk request: see BulkChange.
type BulkEvent struct {
	NewEvent
	IdempotencyKey string `json:"idempotency_key,omitempty" doc:"Names this change, so that sending it again within a day records it once" maxLength:"255"`
}

// BulkItem is what became of one item.
type BulkItem struct {
	Status int          `json:"status" doc:"201, or 400 when the item was refused" example:"201"`
	Data   *BulkID      `json:"data,omitempty" doc:"When it was recorded, or was known already"`
	Error  *BulkRefusal `json:"error,omitempty" doc:"When it was refused"`
}

// BulkID names what was made of an item.
type BulkID struct {
	ID change.ID `json:"id" example:"chg_01kjx2v5c0qj3m8z4n6r7t9w1y"`
}

// BulkRefusal says why an item was refused.
type BulkRefusal struct {
	Title  string `json:"title" example:"Malformed request"`
	Status int    `json:"status" example:"400"`
	Detail string `json:"detail" example:"summary: is required"`
	Reason string `json:"reason" example:"invalid_summary"`
	Field  string `json:"field,omitempty" example:"summary"`
}

// BulkResult has what became of every item, in order.
type BulkResult struct {
	Data   []BulkItem `json:"data" nullable:"false"`
	Counts BulkCounts `json:"counts"`
}

// BulkCounts counts.
type BulkCounts struct {
	Accepted int `json:"accepted" doc:"Recorded, or known already"`
	Refused  int `json:"refused"`
}

// BulkChanges records up to 1,000 changes with one request. An item that is
// refused does not keep the others from being recorded.
func (c *Client) BulkChanges(ctx context.Context, items []BulkChange, opt WriteOptions) (BulkResult, error) {
	return bulk(ctx, c, "/api/v1/changes/bulk", items, opt)
}

// BulkChangeEvents is BulkChanges for the short form.
func (c *Client) BulkChangeEvents(ctx context.Context, items []BulkChangeEvent, opt WriteOptions) (BulkResult, error) {
	return bulk(ctx, c, "/api/v1/change-events/bulk", items, opt)
}

// BulkEvents is BulkChanges for events.
func (c *Client) BulkEvents(ctx context.Context, items []BulkEvent, opt WriteOptions) (BulkResult, error) {
	return bulk(ctx, c, "/api/v1/events/bulk", items, opt)
}

func bulk[T any](ctx context.Context, c *Client, path string, items []T, opt WriteOptions) (BulkResult, error) {
	var out BulkResult
	_, err := c.post(ctx, path, data[[]T]{items}, &out, opt)
	return out, err
}
