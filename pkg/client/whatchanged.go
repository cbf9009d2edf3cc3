package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"whatchanged/pkg/change"
)

// WhatChanged answers "what changed?": the changes before a moment, the most
// suspicious first, and up to when the record is complete.
type WhatChanged struct {
	At           change.Time  `json:"at" doc:"The moment that was asked about"`
	Start        change.Time  `json:"start" doc:"Where the window before it begins; both ends are within it"`
	ServiceID    string       `json:"service_id,omitempty" example:"svc_abc123"`
	ServiceName  string       `json:"service_name,omitempty" example:"API Gateway"`
	Environment  string       `json:"environment,omitempty" example:"production"`
	Suspects     []Suspect    `json:"suspects" doc:"The most suspicious first; of the same score, the latest" nullable:"false"`
	Considered   int          `json:"considered" doc:"How many changes of the window were scored; steps of one thing count once" example:"12"`
	Truncated    bool         `json:"truncated" doc:"More changes are in the window than are scored: narrow it, or name a service"`
	Completeness Completeness `json:"completeness" doc:"How far the record can be trusted, above all when there are no suspects"`
}

// Suspect is a change with the reasons to suspect it.
type Suspect struct {
	Score  int           `json:"score" doc:"The sum of its parts" example:"87"`
	Parts  []SuspectPart `json:"parts" doc:"Why; the largest share first" nullable:"false"`
	Change change.Change `json:"change"`
	Steps  []SuspectStep `json:"steps,omitempty" doc:"Where the window has several steps of one thing (started, succeeded): all of them, oldest first. The change is the last" nullable:"false"`
}

// SuspectPart is one part of a suspect's score.
type SuspectPart struct {
	Name   string `json:"name" enum:"service,dependency,environment,time,risk,type,rollback,status,actor" example:"service"`
	Points int    `json:"points" example:"40"`
	Reason string `json:"reason" doc:"For people" example:"it is a change of API Gateway"`
}

// SuspectStep is one step of what was done.
type SuspectStep struct {
	ID         change.ID     `json:"id" example:"chg_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	Status     change.Status `json:"status,omitempty"`
	OccurredAt change.Time   `json:"occurred_at"`
}

// Completeness says up to when the record has everything that happened.
type Completeness struct {
	Complete      bool                 `json:"complete" doc:"Whether the whole window is complete, as far as one can know: no source is silent, behind, or has lost a delivery in it"`
	CompleteUntil change.Time          `json:"complete_until,omitzero" doc:"The earliest of the sources' own; absent when no source has delivered lately"`
	InFlightSince change.Time          `json:"in_flight_since,omitzero" doc:"When the oldest delivery was taken in that is not recorded yet; absent when none has waited for 10 seconds"`
	Note          string               `json:"note,omitempty" doc:"What keeps this from being known"`
	Sources       []SourceCompleteness `json:"sources" doc:"Every source that is enabled" nullable:"false"`
}

// SourceCompleteness is how far the record of one source can be trusted.
type SourceCompleteness struct {
	SourceID      string      `json:"source_id" example:"src_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	Name          string      `json:"name" example:"GitHub, acme"`
	Provider      string      `json:"provider,omitempty" example:"github"`
	LastDelivery  change.Time `json:"last_delivery,omitzero" doc:"Of the last 7 days; absent when there is none"`
	Deliveries    int64       `json:"deliveries" doc:"Taken in during the last 7 days" example:"340"`
	Dead          int64       `json:"dead" doc:"Deliveries taken in from the window's start to a day after its end that could not be processed; see /api/v1/dead" example:"0"`
	UsualLag      Lag         `json:"usual_lag" doc:"From when something happens to when we are told, over the last 7 days"`
	LongestPause  int         `json:"longest_pause_seconds" doc:"Between two deliveries, over the last 7 days, to 5 minutes" example:"25200"`
	QuietFor      int         `json:"quiet_for_seconds" doc:"Since the last delivery" example:"42"`
	Silent        bool        `json:"silent" doc:"Quiet much longer than usual: it may have stopped telling us"`
	CompleteUntil change.Time `json:"complete_until,omitzero" doc:"What happened before is recorded; absent when nothing is known of the source"`
	Note          string      `json:"note,omitempty" doc:"What to know about it, for people"`
}

// Lag is how long a source usually takes.
type Lag struct {
	Median float64 `json:"median_seconds" example:"1.2"`
	P95    float64 `json:"p95_seconds" doc:"19 of 20 are told within this" example:"4.8"`
}

// WhatChangedQuery asks what changed; empty fields are the server's defaults.
type WhatChangedQuery struct {
	At          time.Time     // default now
	ServiceID   string        // what is in trouble; its changes and those of what it depends on come first
	Environment string        // where; changes of it come first
	Window      time.Duration // how far back; default an hour, at most 7 days
	Limit       int           // suspects, 1 to 100; default 10
}

// WhatChanged ranks the changes before a moment, the most suspicious first.
func (c *Client) WhatChanged(ctx context.Context, in WhatChangedQuery) (WhatChanged, error) {
	q := query{}
	q.time("at", in.At)
	q.text("service_id", in.ServiceID)
	q.text("environment", in.Environment)
	q.span("window", in.Window)
	q.number("limit", in.Limit)
	var out data[WhatChanged]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/what-changed", query: url.Values(q), out: &out})
	return out.Data, err
}

// ChangeWindow is the time around a change, and what else changed in it. Start
// and End filter any other stream of activity: half-open, as start_date and
// end_date are.
type ChangeWindow struct {
	Change  change.Change   `json:"change"`
	Start   change.Time     `json:"start"`
	End     change.Time     `json:"end"`
	Changes []change.Change `json:"changes" doc:"What changed in the window, itself included: one page" nullable:"false"`
	Links   WindowLinks     `json:"links"`
}

// WindowLinks are paths of this API.
type WindowLinks struct {
	Change      string `json:"change" doc:"The change" example:"/api/v1/changes/chg_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	Changes     string `json:"changes" doc:"The list of all changes in the window"`
	WhatChanged string `json:"what_changed" doc:"What may have led to it"`
	Next        string `json:"next,omitempty" doc:"The next page of changes"`
}

// ChangeWindowPage is a change's window with where its page of changes stands.
type ChangeWindowPage struct {
	Data ChangeWindow `json:"data"`
	Meta Meta         `json:"meta"`
}

// ChangeWindowQuery asks for the window around a change. ChangeFilter's Start
// and End are not used.
type ChangeWindowQuery struct {
	ChangeFilter
	Before, After time.Duration // default 15 minutes each, at most 7 days; negative: none
}

// ChangeWindow returns the time around a change, and what else changed in it.
func (c *Client) ChangeWindow(ctx context.Context, id change.ID, in ChangeWindowQuery) (ChangeWindowPage, error) {
	in.Start, in.End = time.Time{}, time.Time{}
	q := query(in.ChangeFilter.values())
	q.span("before", in.Before)
	q.span("after", in.After)
	var out ChangeWindowPage
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/changes/" + id.String() + "/window", query: url.Values(q), out: &out})
	return out, err
}

// span sets a length of time: what is negative is none.
func (q query) span(name string, value time.Duration) {
	if value != 0 {
		url.Values(q).Set(name, max(value, 0).String())
	}
}
