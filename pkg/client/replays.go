package client

import (
	"context"
	"net/http"
	"net/url"

	"whatchanged/pkg/change"
)

// NewReplay says which stored deliveries to normalize again: those received in a
// range of time, perhaps of one source or provider, or some by their ids.
type NewReplay struct {
	Start      *change.Time `json:"start_date,omitempty" doc:"Deliveries received from then on; needed unless deliveries are named"`
	End        *change.Time `json:"end_date,omitempty" doc:"And before then; default all that were received when this is asked for"`
	SourceID   string       `json:"source_id,omitempty" doc:"Only what came by this source or key" maxLength:"64"`
	Provider   string       `json:"provider,omitempty" doc:"Only what this provider sent" maxLength:"64"`
	Deliveries []string     `json:"deliveries,omitempty" doc:"These deliveries, and nothing else of the above" maxItems:"500" nullable:"false" example:"[\"dlv_01kjx2v5c0qj3m8z4n6r7t9w1y\"]"`
	DryRun     bool         `json:"dry_run,omitempty" doc:"Only find out what would change"`
}

// Replay is one replay, and how far it has come.
type Replay struct {
	ID         string       `json:"id" example:"rpl_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	State      string       `json:"state" doc:"One that was cancelled or has failed can be resumed" enum:"queued,running,done,failed,cancelled"`
	Error      string       `json:"error,omitempty" doc:"Why it failed" example:"something went wrong on our side; the server's log has the details"`
	DryRun     bool         `json:"dry_run" doc:"Whether it only finds out what would change"`
	Start      change.Time  `json:"start_date,omitzero"`
	End        change.Time  `json:"end_date,omitzero"`
	SourceID   string       `json:"source_id,omitempty"`
	Provider   string       `json:"provider,omitempty"`
	Run        int          `json:"run,omitempty" doc:"The number that rows written by it carry; a higher one replaces a lower one"`
	Total      int64        `json:"total" doc:"Deliveries to go through"`
	Counts     ReplayCounts `json:"counts"`
	By         string       `json:"by,omitempty" doc:"The key or session that asked for it" example:"key_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	CreatedAt  change.Time  `json:"created_at"`
	StartedAt  change.Time  `json:"started_at,omitzero"`
	UpdatedAt  change.Time  `json:"updated_at,omitzero"`
	FinishedAt change.Time  `json:"finished_at,omitzero"`
}

// Over reports whether nothing more comes of the replay.
func (r Replay) Over() bool { return r.State != "queued" && r.State != "running" }

// ReplayCounts is what a replay has found so far.
type ReplayCounts struct {
	Deliveries  int64             `json:"deliveries" doc:"Gone through"`
	Missing     int64             `json:"missing,omitempty" doc:"Of them, those whose payload is not kept any more: nothing is changed for them"`
	Failed      int64             `json:"failed,omitempty" doc:"Of them, those that were processed once and cannot be now: what there is stays"`
	Outcomes    int64             `json:"outcomes,omitempty" doc:"Of them, those that end in another way"`
	Added       int64             `json:"added" doc:"Changes that were not there"`
	Removed     int64             `json:"removed" doc:"Changes that are not made any more"`
	Changed     int64             `json:"changed" doc:"Changes with other values"`
	Same        int64             `json:"same" doc:"Changes as they were"`
	Differences int64             `json:"differences" doc:"How many differences can be listed; beyond 100,000 they are only counted"`
	Kinds       []ReplayKindCount `json:"kinds,omitempty" doc:"The same by normalizer and action, most first" nullable:"false"`
}

// ReplayKindCount counts the differences of one normalizer and action.
type ReplayKindCount struct {
	Normalizer string `json:"normalizer"`
	Action     string `json:"action,omitempty"`
	Added      int64  `json:"added,omitempty"`
	Removed    int64  `json:"removed,omitempty"`
	Changed    int64  `json:"changed,omitempty"`
}

// ReplayDifference is one thing that a replay changed, or would.
type ReplayDifference struct {
	DeliveryID change.DeliveryID `json:"delivery_id"`
	ChangeID   string            `json:"change_id,omitempty" doc:"The change; empty for the delivery itself" example:"chg_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	Kind       string            `json:"kind" doc:"outcome: the delivery ends in another way; failed: it cannot be processed now, and what there is stays" enum:"added,removed,changed,outcome,failed"`
	Provider   string            `json:"provider,omitempty"`
	Summary    string            `json:"summary,omitempty" doc:"Of the change, or why the delivery ends as it does" example:"Deploy v2.1.0 to production"`
	Fields     []FieldChange     `json:"fields,omitempty" doc:"What differs" nullable:"false"`
}

// FieldChange is a field with another value.
type FieldChange struct {
	Name string `json:"name" example:"environment"`
	Old  any    `json:"old,omitempty" doc:"Its value; none when it had none, its size when it is large" example:"\"staging\""`
	New  any    `json:"new,omitempty" doc:"Its value now" example:"\"production\""`
}

// StartReplay asks for a replay. When one that is not over asks for the same,
// that one is returned.
func (c *Client) StartReplay(ctx context.Context, in NewReplay) (Replay, error) {
	return object[Replay](ctx, c, http.MethodPost, "/api/v1/replays", in)
}

// ReplayDelivery asks for a replay of one delivery.
func (c *Client) ReplayDelivery(ctx context.Context, id change.DeliveryID) (Replay, error) {
	return object[Replay](ctx, c, http.MethodPost, item("deliveries", id.String())+"/replay", nil)
}

// Replays lists replays, newest first: those that are not over, and the last 20
// that are.
func (c *Client) Replays(ctx context.Context) ([]Replay, error) {
	var out Page[Replay]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/replays", query: url.Values{"limit": {"100"}}, out: &out})
	return out.Data, err
}

// Replay returns one replay.
func (c *Client) Replay(ctx context.Context, id string) (Replay, error) {
	return object[Replay](ctx, c, http.MethodGet, item("replays", id), nil)
}

// ReplayDifferences lists what a replay changed, or would; kind may be empty.
func (c *Client) ReplayDifferences(ctx context.Context, id, kind string, limit int, cursor string) (Page[ReplayDifference], error) {
	q := query{}
	q.text("kind", kind)
	q.number("limit", limit)
	q.text("cursor", cursor)
	var out Page[ReplayDifference]
	_, err := c.do(ctx, call{method: http.MethodGet, path: item("replays", id) + "/differences", query: url.Values(q), out: &out})
	return out, err
}

// CancelReplay ends a replay. What it has changed stays so.
func (c *Client) CancelReplay(ctx context.Context, id string) (Replay, error) {
	return object[Replay](ctx, c, http.MethodDelete, item("replays", id), nil)
}

// ResumeReplay lets a replay that was cancelled or has failed go on.
func (c *Client) ResumeReplay(ctx context.Context, id string) (Replay, error) {
	return object[Replay](ctx, c, http.MethodPost, item("replays", id)+"/resume", nil)
}
