package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

// The ranges that are asked for, each with every filter.
var listRanges = []struct {
	name string
	span time.Duration // 0: none given
}{{"1h", time.Hour}, {"1d", day}, {"7d", 7 * day}, {"31d", 31 * day}, {"90d", 90 * day}, {"none", 0}}

const (
	day      = 24 * time.Hour
	fillSpan = 120 * day
	listAsks = 100 // of each query, after one that is left out
	listTime = 3 * time.Second
	settling = 5 * time.Second // for merges to calm down after filling
)

// fillOrgs are the orgs of the changes; the first is the one that is asked,
// with the name that the first start gives it.
func fillOrgs() []string { return []string{"default", "org-2", "org-3", "org-4", "org-5"} }

type listFilter struct {
	name   string
	filter client.ChangeFilter
}

// filtersOf returns every filter there is, alone and some together, such that
// c passes all of them.
func filtersOf(c change.Change) []listFilter {
	tag := ""
	if len(c.Tags) > 0 {
		tag = c.Tags[0]
	}
	return []listFilter{
		{"none", client.ChangeFilter{}},
		{"service_id", client.ChangeFilter{ServiceID: c.ServiceID}},
		{"change_type", client.ChangeFilter{Type: string(c.Type)}},
		{"source", client.ChangeFilter{Source: c.Source}},
		{"environment", client.ChangeFilter{Environment: c.Environment}},
		{"actor", client.ChangeFilter{Actor: c.ChangedBy}},
		{"repository", client.ChangeFilter{Repository: c.Repository}},
		{"risk_level", client.ChangeFilter{Risk: string(c.Risk)}},
		{"status", client.ChangeFilter{Status: string(c.Status)}},
		{"tag", client.ChangeFilter{Tag: tag}},
		{"q", client.ChangeFilter{Query: "billing"}},
		{"service_id, change_type, environment", client.ChangeFilter{ServiceID: c.ServiceID, Type: string(c.Type), Environment: c.Environment}},
		{"change_type, two of them", client.ChangeFilter{Type: "deployment,rollback"}},
		{"action, a pattern", client.ChangeFilter{Action: "deployment.*"}},
		{"resource_id", client.ChangeFilter{ResourceID: c.Resource.ID}},
		{"session_id, of nothing", client.ChangeFilter{SessionID: "no-such-session"}},
		{"sort=asc", client.ChangeFilter{Sort: "asc"}},
	}
}

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
	r.say("filling in %d changes of %d orgs", r.changes, len(fillOrgs()))
	job := filling{DSN: "embedded:" + filepath.Join(in.dir, "clickhouse"), Changes: r.changes, Orgs: fillOrgs(), End: end, Span: fillSpan}
	if _, err = runHelper[filling, filled](ctx, "bench-fill", job, nil); err != nil {
		return err
	}
	if s, err = in.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if !sleepUntil(ctx, time.Now().Add(settling)) {
		return ctx.Err()
	}
	page, err := s.api.Changes(ctx, client.ChangeFilter{End: end.Add(-time.Minute), Limit: 1})
	if err != nil {
		return err
	}
	if len(page.Data) == 0 {
		return errors.New("the filled changes are not there")
	}
	out := &Lists{Changes: r.changes, Orgs: len(fillOrgs()), Matching: page.Meta.Total}
	for _, span := range listRanges {
		r.say("lists, range %s", span.name)
		for _, f := range filtersOf(page.Data[0]) {
			latency, err := s.ask(ctx, f.filter, span.span, end)
			if err != nil {
				return fmt.Errorf("range %s, filter %s: %w", span.name, f.name, err)
			}
			out.Queries = append(out.Queries, List{Range: span.name, Filter: f.name, Latency: latency})
		}
	}
	r.report.Lists = out
	return nil
}

func (s *server) ask(ctx context.Context, f client.ChangeFilter, span time.Duration, end time.Time) (Latency, error) {
	var h histogram
	for begin, i := time.Now(), 0; i <= listAsks && time.Since(begin) < listTime; i++ {
		if span > 0 {
			f.End = end.Add(-rand.N(time.Hour)) //nolint:gosec // load is no secret
			f.Start = f.End.Add(-span)
		}
		at := time.Now()
		if _, err := s.api.Changes(ctx, f); err != nil {
			return Latency{}, err
		}
		if i > 0 { // the first may open files
			h.add(time.Since(at))
		}
	}
	return h.latency(), nil
}
