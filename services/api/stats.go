package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// maxBuckets is the most buckets that one answer may have.
const maxBuckets = 10_000

type statsInput struct {
	OneService
	Filter
	Range
	Bucket  spanParam `query:"bucket" doc:"Width of a bucket of time, from 1m to 366d; without it there are no buckets"`
	By      []string  `query:"by" doc:"What to group by, comma-separated" enum:"source,type,service,environment,actor,repository,risk,status,account,region,provider,action" maxItems:"12"`
	Top     int       `query:"top" doc:"How many groups to keep, the largest; the rest is one, other" minimum:"1" maximum:"1000" default:"100"`
	Compare string    `query:"compare" doc:"previous: with as long a time just before" enum:"previous"`
	AsOf    timeParam `query:"as_of" doc:"Only what was recorded by then"`
}

type accountInput struct {
	SourceID string `query:"source_id" doc:"Source or key" maxLength:"64"`
	Range
	Bucket spanParam `query:"bucket" doc:"Width of a bucket of time; default 1m"`
}

func (a *API) registerStats() {
	register(a, huma.Operation{
		OperationID: "get-stats", Method: http.MethodGet, Path: "/api/v1/stats", Tags: []string{"stats"},
		Summary: "Count changes",
		Description: "By bucket of time and by what they have in common. Without times: the last 7 days. " +
			"Buckets are of UTC: days begin at its midnight, weeks (7d) on its Monday.",
	}, auth.ChangesRead, a.stats)
	register(a, huma.Operation{
		OperationID: "get-account", Method: http.MethodGet, Path: "/api/v1/account", Tags: []string{"stats"},
		Summary: "Account for what was received",
		Description: "By source and bucket of time, `received = stored + duplicate + ignored + dead + in_flight + missing`: what was received is counted on the bus, " +
			"what became of it in the store, and an account is `closed` when nothing is missing. Whole minutes are counted. Without times: the last hour.",
	}, auth.ChangesRead, a.account)
}

// stats serves GET /api/v1/stats.
func (a *API) stats(ctx context.Context, in *statsInput) (*one[[]client.StatsRow], error) {
	if err := in.Range.check(); err != nil {
		return nil, err
	}
	filter, err := in.Filter.filter(auth.Org(ctx), in.ServiceID)
	if err != nil {
		return nil, err
	}
	filter.AsOf = in.AsOf.Time
	filter.Start, filter.End = in.Range.or(7*24*time.Hour, time.Now())
	if in.Bucket.set {
		if err := checkBuckets(in.Bucket.d, filter.Start, filter.End); err != nil {
			return nil, err
		}
	}
	rows, err := a.Store.Stats(ctx, store.StatsQuery{
		ChangeFilter: filter, Bucket: in.Bucket.d, By: in.By, Top: in.Top, Compare: in.Compare != "",
	})
	if err != nil {
		return nil, fmt.Errorf("count changes: %w", err)
	}
	out := make([]client.StatsRow, len(rows))
	for i, r := range rows {
		out[i] = client.StatsRow(r)
	}
	return answer(out), nil
}

func checkBuckets(width time.Duration, start, end time.Time) error {
	switch {
	case width < time.Minute || width > 366*24*time.Hour:
		return problem.Invalid("bucket", "bucket is from 1m to 366d")
	case end.Sub(start)/width > maxBuckets:
		return problem.Invalid("bucket", fmt.Sprintf("that makes over %d buckets; take wider ones or a shorter range", maxBuckets))
	}
	return nil
}
