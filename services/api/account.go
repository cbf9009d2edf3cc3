package api

import (
	"context"
	"fmt"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// maxLate is how much that is on the bus and not counted yet goes into an
// account; the counter is a few seconds behind.
const maxLate = 3000

type accountOutput struct{ Body client.Account }

// account serves GET /api/v1/account.
func (a *API) account(ctx context.Context, in *accountInput) (*accountOutput, error) {
	if err := in.Range.check(); err != nil {
		return nil, err
	}
	q := store.AccountQuery{Org: auth.Org(ctx), SourceID: in.SourceID, Bucket: time.Minute}
	q.Start, q.End = in.Range.or(time.Hour, time.Now())
	if in.Bucket.set {
		q.Bucket = in.Bucket.d
	}
	if err := checkBuckets(q.Bucket, q.Start, q.End); err != nil {
		return nil, err
	}
	since, err := a.standing(ctx, &q)
	if err != nil {
		return nil, problem.BusyFor(5*time.Second, "bus_unavailable", "the bus cannot be asked what is in flight: try again", err)
	}
	rows, err := a.Store.Account(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	out := client.Account{Data: make([]client.AccountRow, len(rows))}
	for i, r := range rows {
		row := client.AccountRow{Start: r.Start, SourceID: r.SourceID, AccountCounts: client.AccountCounts{
			Received: r.Received, Stored: r.Stored, Duplicate: r.Duplicate, Ignored: r.Ignored,
			Dead: r.Dead, InFlight: r.InFlight, Missing: r.Missing, Uncounted: r.Uncounted, Closed: r.Missing == 0,
		}}
		out.Data[i] = row
		addCounts(&out.Totals.AccountCounts, row.AccountCounts)
		if t := &out.Totals.InFlightSince; !r.Oldest.IsZero() && (t.IsZero() || r.Oldest.Before(t.Time)) {
			*t = r.Oldest
		}
	}
	out.Totals.Closed = out.Totals.Missing == 0
	if !since.IsZero() && since.Before(q.End) {
		out.Totals.Closed, out.Totals.NotCountedFrom = false, change.At(since)
	}
	return &accountOutput{out}, nil
}

// standing asks the bus for its part of the account, before the store for its
// own: what is through by now is in the store then. It returns since when what
// came is not counted; zero when all is.
func (a *API) standing(ctx context.Context, q *store.AccountQuery) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now, err := a.Bus.Standing(ctx, maxLate)
	if err != nil {
		return time.Time{}, err
	}
	q.Bus = store.BusState{Settled: now.Settled, End: now.End, Began: now.Began}
	for _, r := range now.Late {
		q.Bus.Late = append(q.Bus.Late, store.Receipt{
			Org: r.Org, SourceID: r.SourceID, Minute: r.Minute, Chain: r.Chain, Frame: r.Frame, Seq: r.Seq, Count: r.Count,
		})
	}
	return now.LateSince, nil
}

func addCounts(to *client.AccountCounts, c client.AccountCounts) {
	to.Received += c.Received
	to.Stored += c.Stored
	to.Duplicate += c.Duplicate
	to.Ignored += c.Ignored
	to.Dead += c.Dead
	to.InFlight += c.InFlight
	to.Missing += c.Missing
	to.Uncounted += c.Uncounted
}
