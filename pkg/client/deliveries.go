package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"whatchanged/pkg/change"
)

// DeliveryFilter selects deliveries; empty fields select all.
type DeliveryFilter struct {
	SourceID   string
	Provider   string
	DetectedBy string
	Outcome    string
	Identity   string
	Start, End time.Time // of received_at, half-open
	Limit      int
	Offset     int
	Cursor     string
	Sort       string
}

func (f DeliveryFilter) values() url.Values {
	q := query{}
	q.text("source_id", f.SourceID)
	q.text("provider", f.Provider)
	q.text("detected_by", f.DetectedBy)
	q.text("outcome", f.Outcome)
	q.text("identity", f.Identity)
	q.time("start_date", f.Start)
	q.time("end_date", f.End)
	q.number("limit", f.Limit)
	q.number("offset", f.Offset)
	q.text("cursor", f.Cursor)
	q.text("sort", f.Sort)
	return url.Values(q)
}

// Deliveries lists what was taken in, newest first.
func (c *Client) Deliveries(ctx context.Context, f DeliveryFilter) (Page[Delivery], error) {
	var out Page[Delivery]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/deliveries", query: f.values(), out: &out})
	return out, err
}

// Delivery returns one delivery. It is known up to a second after it was accepted.
func (c *Client) Delivery(ctx context.Context, id change.DeliveryID) (Delivery, error) {
	return object[Delivery](ctx, c, http.MethodGet, item("deliveries", id.String()), nil)
}

// Payload returns a delivery's body, byte for byte.
func (c *Client) Payload(ctx context.Context, id change.DeliveryID) (Payload, error) {
	var out Payload
	h, err := c.do(ctx, call{method: http.MethodGet, path: item("deliveries", id.String()) + "/payload", out: &out.Body})
	out.ContentType = h.Get("Content-Type")
	return out, err
}

// StatsFilter says what to count.
type StatsFilter struct {
	ChangeFilter               // without its paging
	Bucket       time.Duration // 0: no buckets
	By           []string      // source, type, service, environment, actor, repository, risk, status, account, region, provider, action
	Top          int           // groups to keep, the largest; the rest is one row, Other
	Compare      bool          // with as long a time just before
}

// Stats counts changes by time and by what they have in common. Without times
// it counts the last 7 days.
func (c *Client) Stats(ctx context.Context, f StatsFilter) ([]StatsRow, error) {
	q := f.selectors()
	q.time("start_date", f.Start)
	q.time("end_date", f.End)
	if f.Bucket > 0 {
		q.text("bucket", f.Bucket.String())
	}
	q.text("by", strings.Join(f.By, ","))
	q.number("top", f.Top)
	q.time("as_of", f.AsOf)
	if f.Compare {
		q.text("compare", "previous")
	}
	var out data[[]StatsRow]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/stats", query: url.Values(q), out: &out})
	return out.Data, err
}

// AccountFilter says which part of the account to show.
type AccountFilter struct {
	SourceID   string
	Start, End time.Time // of received_at; without them the last hour
	Bucket     time.Duration
}

// Account says what became of everything that was received, by source and
// bucket.
func (c *Client) Account(ctx context.Context, f AccountFilter) ([]AccountRow, error) {
	out, err := c.WholeAccount(ctx, f)
	return out.Data, err
}

// WholeAccount is Account with the totals.
func (c *Client) WholeAccount(ctx context.Context, f AccountFilter) (Account, error) {
	q := query{}
	q.text("source_id", f.SourceID)
	q.time("start_date", f.Start)
	q.time("end_date", f.End)
	if f.Bucket > 0 {
		q.text("bucket", f.Bucket.String())
	}
	var out Account
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/account", query: url.Values(q), out: &out})
	return out, err
}
