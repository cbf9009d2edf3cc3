package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"whatchanged/pkg/change"
)

// DeadLetter is something that could not be processed.
type DeadLetter struct {
	ID         string            `json:"id" example:"ded_0f4ad3ff7c1b2e9d8a6c5b4e3f"`
	Stage      string            `json:"stage" doc:"Where it failed" enum:"frame,normalize,insert,fetch,alert,forward" example:"normalize"`
	SourceID   string            `json:"source_id,omitempty"`
	Provider   string            `json:"provider,omitempty"`
	DeliveryID change.DeliveryID `json:"delivery_id,omitzero"`
	Whole      bool              `json:"whole,omitempty" doc:"The delivery as a whole failed, not only one of its records" example:"true"`
	Index      int               `json:"index" doc:"Place of the record in its delivery"`
	Reason     string            `json:"reason" example:"push has no repository"`
	Attempts   int               `json:"attempts" doc:"How often it was tried, re-drives included"`
	FirstError string            `json:"first_error,omitempty"`
	LastError  string            `json:"last_error,omitempty"`
	FirstAt    change.Time       `json:"first_at" doc:"When it first failed: lists go by it"`
	At         change.Time       `json:"at" doc:"When it last failed"`
	Bytes      int               `json:"bytes,omitempty" doc:"How many bytes are kept with it, because they are nowhere else; else they are the delivery's payload"`
	Chain      string            `json:"chain,omitempty" doc:"Chain, frame and place say where on the bus it was"`
	Frame      uint64            `json:"frame,omitempty"`
	Place      int               `json:"place"`
	Discarded  *DeadDiscard      `json:"discarded,omitempty" doc:"That it was given up"`
}

// DeadDiscard says who gave a dead letter up, when and why.
type DeadDiscard struct {
	By     string      `json:"by" example:"jane.doe@example.com"`
	At     change.Time `json:"at"`
	Reason string      `json:"reason" example:"test traffic of the old exporter"`
}

// DeadSelection selects dead letters; empty fields select all.
type DeadSelection struct {
	Stage      string      `json:"stage,omitempty" enum:"frame,normalize,insert,fetch,alert,forward" example:"normalize"`
	SourceID   string      `json:"source_id,omitempty" maxLength:"64"`
	Provider   string      `json:"provider,omitempty" maxLength:"64"`
	DeliveryID string      `json:"delivery_id,omitempty" maxLength:"64"`
	Start      change.Time `json:"start_date,omitzero" doc:"Last failed from this time on"`
	End        change.Time `json:"end_date,omitzero" doc:"Last failed before this time"`
}

// DeadFilter selects a page of dead letters.
type DeadFilter struct {
	DeadSelection
	Discarded    bool // those that were given up
	Installation bool // those that concern no org; on the server's machine only
	Limit        int
	Cursor       string
}

func (f DeadFilter) values() url.Values {
	q := query{}
	q.text("stage", f.Stage)
	q.text("source_id", f.SourceID)
	q.text("provider", f.Provider)
	q.text("delivery_id", f.DeliveryID)
	q.time("start_date", f.Start.Time)
	q.time("end_date", f.End.Time)
	if f.Discarded {
		q.text("discarded", "true")
	}
	if f.Installation {
		q.text("installation", "true")
	}
	q.number("limit", f.Limit)
	q.text("cursor", f.Cursor)
	return url.Values(q)
}

// DeadBatch says which dead letters are to be dealt with: IDs, or a Filter.
type DeadBatch struct {
	IDs          []string       `json:"ids,omitempty" doc:"These, at most 100" maxItems:"100" nullable:"false" example:"[\"ded_0f4ad3ff7c1b2e9d8a6c5b4e3f\"]"`
	Filter       *DeadSelection `json:"filter,omitempty" doc:"Or those that match, the latest first; {} is all. Give end_date to leave out what fails again meanwhile"`
	Limit        int            `json:"limit,omitempty" doc:"With filter: the most to deal with now; default 100" minimum:"1" maximum:"100"`
	Reason       string         `json:"reason,omitempty" doc:"Why they are given up; to discard it is required" maxLength:"500" example:"test traffic of the old exporter"`
	Installation bool           `json:"installation,omitempty" doc:"Those that concern no org: for operators, on the server's own machine" example:"false"`
}

// DeadReason is why one dead letter is given up.
type DeadReason struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" example:"test traffic of the old exporter"`
}

// DeadResult is what became of one dead letter.
type DeadResult struct {
	ID         string            `json:"id" example:"ded_0f4ad3ff7c1b2e9d8a6c5b4e3f"`
	Status     string            `json:"status" enum:"redriven,dead,discarded,gone,refused" doc:"redriven: it is over; dead: it failed again; discarded: it is given up; gone: there is no such letter, or not any more; refused: nothing was done, see detail" example:"redriven"`
	DeliveryID change.DeliveryID `json:"delivery_id,omitzero"`
	Index      int               `json:"index"`
	Outcome    string            `json:"outcome,omitempty" doc:"Of its delivery" example:"stored"`
	Reason     string            `json:"reason,omitempty" doc:"Why it is dead, ignored or a duplicate"`
	Stored     bool              `json:"stored,omitempty" doc:"The outcome can be queried already" example:"true"`
	Detail     string            `json:"detail,omitempty" doc:"Why nothing was done" example:"the delivery's payload is not kept any more, so it cannot be done again"`
}

// DeadResults is what became of many: one result each, in order.
type DeadResults struct {
	Data []DeadResult `json:"data" nullable:"false"`
	Meta DeadCounts   `json:"meta"`
}

// DeadCounts sums results up.
type DeadCounts struct {
	Redriven  int `json:"redriven"`
	Dead      int `json:"dead"`
	Discarded int `json:"discarded"`
	Gone      int `json:"gone"`
	Refused   int `json:"refused"`
	Left      int `json:"left" doc:"How many more matched the filter and were not looked at"`
}

// deadLonger is how much longer than usual dealing with dead letters may take.
const deadLonger = 30 * time.Second

// Dead lists dead letters, the latest to fail for the first time on top.
func (c *Client) Dead(ctx context.Context, f DeadFilter) (Page[DeadLetter], error) {
	var out Page[DeadLetter]
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/dead", query: f.values(), out: &out})
	return out, err
}

// DeadLetter returns one dead letter, also one that was discarded.
func (c *Client) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	return c.deadLetter(ctx, id, nil)
}

// InstallationDeadLetter is DeadLetter of one that concerns no org; on the server's machine only.
func (c *Client) InstallationDeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	return c.deadLetter(ctx, id, ofInstallation())
}

func (c *Client) deadLetter(ctx context.Context, id string, q url.Values) (DeadLetter, error) {
	var out data[DeadLetter]
	_, err := c.do(ctx, call{method: http.MethodGet, path: item("dead", id), query: q, out: &out})
	return out.Data, err
}

func ofInstallation() url.Values { return url.Values{"installation": {"true"}} }

// DeadPayload returns the bytes that could not be processed.
func (c *Client) DeadPayload(ctx context.Context, id string) (Payload, error) {
	return c.deadPayload(ctx, id, nil)
}

// InstallationDeadPayload is DeadPayload of one that concerns no org; on the server's machine only.
func (c *Client) InstallationDeadPayload(ctx context.Context, id string) (Payload, error) {
	return c.deadPayload(ctx, id, ofInstallation())
}

func (c *Client) deadPayload(ctx context.Context, id string, q url.Values) (Payload, error) {
	var out Payload
	h, err := c.do(ctx, call{method: http.MethodGet, path: item("dead", id) + "/payload", query: q, out: &out.Body})
	out.ContentType = h.Get("Content-Type")
	return out, err
}

// Redrive takes one dead letter through the pipeline again.
func (c *Client) Redrive(ctx context.Context, id string) (DeadResult, error) {
	var out data[DeadResult]
	_, err := c.do(ctx, call{method: http.MethodPost, path: item("dead", id) + "/redrive", out: &out, longer: deadLonger})
	return out.Data, err
}

// RedriveMany takes dead letters through the pipeline again.
func (c *Client) RedriveMany(ctx context.Context, b DeadBatch) (DeadResults, error) {
	var out DeadResults
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/api/v1/dead/redrive", body: b, out: &out, longer: deadLonger})
	return out, err
}

// Discard gives one dead letter up.
func (c *Client) Discard(ctx context.Context, id, reason string) (DeadResult, error) {
	var out data[DeadResult]
	_, err := c.do(ctx, call{method: http.MethodPost, path: item("dead", id) + "/discard", body: DeadReason{reason}, out: &out, longer: deadLonger})
	return out.Data, err
}

// DiscardMany gives dead letters up.
func (c *Client) DiscardMany(ctx context.Context, b DeadBatch) (DeadResults, error) {
	var out DeadResults
	_, err := c.do(ctx, call{method: http.MethodPost, path: "/api/v1/dead/discard", body: b, out: &out, longer: deadLonger})
	return out, err
}
