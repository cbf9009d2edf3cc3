package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"whatchanged/pkg/client"
)

// The lists that are asked for: every range with every filter.
var listRanges = []struct {
	name  string
	hours int // 0: none given
}{{"1h", 1}, {"1d", 24}, {"7d", 7 * 24}, {"31d", 31 * 24}, {"90d", 90 * 24}, {"none", 0}}

var listFilters = []struct {
	name   string
	filter client.ChangeFilter
}{
	{"none", client.ChangeFilter{}},
	{"service_id", client.ChangeFilter{ServiceID: "svc_7"}},
	{"change_type", client.ChangeFilter{Type: "deployment"}},
	{"source", client.ChangeFilter{Source: "github"}},
	{"environment", client.ChangeFilter{Environment: "production"}},
	{"actor", client.ChangeFilter{Actor: "user7@example.com"}},
	{"repository", client.ChangeFilter{Repository: "octo-org/service-7"}},
	{"risk_level", client.ChangeFilter{Risk: "critical"}},
	{"status", client.ChangeFilter{Status: "failed"}},
	{"tag", client.ChangeFilter{Tag: "team:a"}},
	{"q", client.ChangeFilter{Query: "checkout"}},
	{"service_id+change_type+environment", client.ChangeFilter{ServiceID: "svc_7", Type: "deployment", Environment: "production"}},
}

const (
	listAsks = 20 // of each query; the first is left out
	listTime = 3 * time.Second
	settling = 5 * time.Second // for merges to calm down after filling
)

// lists fills an installation and asks it for pages of changes, one question
// at a time, each about another moment so that no answer is a repeat.
func (r *run) lists(ctx context.Context) (err error) {
	in := newInstallation(filepath.Join(r.base, "lists"))
	s, err := in.start(ctx) // makes the directory, the key and the tables
	if err == nil {
		err = s.stop()
	}
	if err != nil {
		return err
	}
	end := time.Now().Truncate(time.Second)
	r.say("filling in %d changes of %d orgs", r.changes, fillOrgs)
	job := filling{DSN: "embedded:" + filepath.Join(in.dir, "clickhouse"), Changes: r.changes, End: end, Seed: rand.Uint64()}
	next := time.Now().Add(10 * time.Second)
	_, err = runHelper[filling, filled](ctx, "bench-fill", job, func(n int64) {
		if time.Now().After(next) {
			r.say("  %d of %d", n, r.changes)
			next = time.Now().Add(10 * time.Second)
		}
	})
	if err != nil {
		return err
	}
	if s, err = in.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if !sleepUntil(ctx, time.Now().Add(settling)) {
		return ctx.Err()
	}
	out := &Lists{Changes: r.changes, Orgs: fillOrgs}
	for _, span := range listRanges {
		r.say("lists, range %s", span.name)
		for _, f := range listFilters {
			latency, err := s.ask(ctx, f.filter, span.hours, end)
			if err != nil {
				return fmt.Errorf("range %s, filter %s: %w", span.name, f.name, err)
			}
			out.Queries = append(out.Queries, List{Range: span.name, Filter: f.name, Latency: latency})
		}
	}
	r.report.Lists = out
	return nil
}

func (s *server) ask(ctx context.Context, f client.ChangeFilter, hours int, end time.Time) (Latency, error) {
	var h histogram
	for begin, i := time.Now(), 0; i <= listAsks && time.Since(begin) < listTime; i++ {
		if hours > 0 {
			f.End = end.Add(-time.Duration(rand.IntN(60*60)) * time.Second)
			f.Start = f.End.Add(-time.Duration(hours) * time.Hour)
		}
		at := time.Now()
		if _, err := s.api.Changes(ctx, f); err != nil {
			return Latency{}, err
		}
		if i > 0 { // the first opens files
			h.add(time.Since(at))
		}
	}
	return h.latency(), nil
}
