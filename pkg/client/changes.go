package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"whatchanged/pkg/change"
)

// WriteOptions says how to log a change; the zero value is fine.
type WriteOptions struct {
	// Wait is how long the server waits until the change can be queried, at most 10 s.
	Wait time.Duration
	// IdempotencyKey names this change, so that sending it again records it
	// once. Empty: the client makes one, for its own retries.
	IdempotencyKey string
}

// Logged is a change as it was recorded.
type Logged struct {
	change.Change
	// Visible reports whether the change could be queried when the answer was sent.
	// It is known only when Wait was set.
	Visible bool
}

// LogChange records a change.
func (c *Client) LogChange(ctx context.Context, in NewChange, opt WriteOptions) (Logged, error) {
	return c.log(ctx, "/api/v1/changes", in, opt)
}

// LogServiceChange records a change of one service.
func (c *Client) LogServiceChange(ctx context.Context, serviceID string, in NewChange, opt WriteOptions) (Logged, error) {
	return c.log(ctx, "/api/v1/services/"+url.PathEscape(serviceID)+"/changes", in, opt)
}

func (c *Client) log(ctx context.Context, path string, in NewChange, opt WriteOptions) (Logged, error) {
	out, visible, err := send[change.Change](ctx, c, path, in, opt)
	return Logged{Change: out, Visible: visible}, err
}

// ChangeFilter selects changes; empty fields select all.
type ChangeFilter struct {
	ServiceID     string
	Type          string // one, or several with commas between, as of Risk and Status
	Source        string
	Environment   string
	Start, End    time.Time // of occurred_at, half-open
	Query         string    // words of the summary
	Actor         string    // name, email or id
	ActorID       string
	Action        string // * stands for any characters
	ResourceID    string // id or name
	Repository    string
	Branch        string
	Version       string
	CommitSHA     string // or its beginning
	Risk          string
	Status        string
	Tag           string
	Account       string
	Region        string
	Provider      string
	SessionID     string
	CorrelationID string
	ExternalID    string
	DeliveryID    string
	Limit         int // 1-100, default 25
	Offset        int // at most 10,000
	Cursor        string
	Sort          string // desc (newest first, the default) or asc
	AsOf          time.Time
	Fields        []string // what to return of each; empty is everything
}

// selectors is the filter without its times and paging.
func (f ChangeFilter) selectors() query {
	q := query{}
	q.text("service_id", f.ServiceID)
	q.text("change_type", f.Type)
	q.text("source", f.Source)
	q.text("environment", f.Environment)
	q.text("q", f.Query)
	q.text("actor", f.Actor)
	q.text("actor_id", f.ActorID)
	q.text("action", f.Action)
	q.text("resource_id", f.ResourceID)
	q.text("repository", f.Repository)
	q.text("branch", f.Branch)
	q.text("version", f.Version)
	q.text("commit_sha", f.CommitSHA)
	q.text("account", f.Account)
	q.text("region", f.Region)
	q.text("provider", f.Provider)
	q.text("session_id", f.SessionID)
	q.text("correlation_id", f.CorrelationID)
	q.text("external_id", f.ExternalID)
	q.text("risk_level", f.Risk)
	q.text("status", f.Status)
	q.text("tag", f.Tag)
	q.text("delivery_id", f.DeliveryID)
	return q
}

func (f ChangeFilter) values() url.Values {
	q := f.selectors()
	q.selection(f)
	q.number("limit", f.Limit)
	q.number("offset", f.Offset)
	q.text("cursor", f.Cursor)
	q.text("sort", f.Sort)
	return url.Values(q)
}

// selection adds the filter's times and fields.
func (q query) selection(f ChangeFilter) {
	q.time("start_date", f.Start)
	q.time("end_date", f.End)
	q.time("as_of", f.AsOf)
	q.text("fields", strings.Join(f.Fields, ","))
}

// Changes lists changes, newest first.
func (c *Client) Changes(ctx context.Context, f ChangeFilter) (Page[change.Change], error) {
	var out Page[change.Change]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/changes", query: f.values(), out: &out})
	return out, err
}

// ServiceChanges lists the changes of one service.
func (c *Client) ServiceChanges(ctx context.Context, serviceID string, f ChangeFilter) (Page[change.Change], error) {
	var out Page[change.Change]
	path := "/api/v1/services/" + url.PathEscape(serviceID) + "/changes"
	_, err := c.do(ctx, call{method: http.MethodGet, path: path, query: f.values(), out: &out})
	return out, err
}

// AllChanges goes through every change that matches, page by page.
func (c *Client) AllChanges(ctx context.Context, f ChangeFilter) iter.Seq2[change.Change, error] {
	return func(yield func(change.Change, error) bool) {
		for {
			page, err := c.Changes(ctx, f)
			if err != nil {
				yield(change.Change{}, err)
				return
			}
			for _, ch := range page.Data {
				if !yield(ch, nil) {
					return
				}
			}
			if !page.Meta.HasMore || page.Meta.NextCursor == "" {
				return
			}
			f.Cursor, f.Offset = page.Meta.NextCursor, 0
		}
	}
}

// Change returns one change.
func (c *Client) Change(ctx context.Context, id change.ID) (change.Change, error) {
	var out data[change.Change]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/changes/" + id.String(), out: &out})
	return out.Data, err
}

// query builds a query string out of what is set.
type query url.Values

func (q query) text(name, value string) {
	if value != "" {
		url.Values(q).Set(name, value)
	}
}

func (q query) number(name string, value int) {
	if value != 0 {
		url.Values(q).Set(name, strconv.Itoa(value))
	}
}

func (q query) time(name string, value time.Time) {
	if !value.IsZero() {
		url.Values(q).Set(name, value.UTC().Format(time.RFC3339Nano))
	}
}
