package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

func TestStats_CountsByTimeAndGroup(t *testing.T) {
	s := storetest.New(t)
	midnight := noon.Truncate(24 * time.Hour)
	var changes []change.Change
	add := func(at time.Time, source, service, by string, n int) {
		for range n {
			changes = append(changes, made("acme", fmt.Sprint(len(changes)), at, func(c *change.Change) {
				c.Source, c.ServiceID, c.ChangedBy, c.Environment = source, service, by, "production"
			}))
		}
	}
	add(midnight, "github", "svc_1", "mona", 3)
	add(midnight.Add(59*time.Minute), "gitlab", "svc_1", "", 1)
	add(midnight.Add(time.Hour), "github", "", "mona", 2)
	add(midnight.Add(25*time.Hour), "github", "svc_2", "mona", 1)
	add(midnight.Add(48*time.Hour), "github", "svc_2", "mona", 9) // outside
	insert(t, s, batch(stored("acme", noon, changes...)))

	f := func(q store.StatsQuery, want ...store.StatsRow) {
		t.Helper()
		q.Org, q.Start, q.End = "acme", midnight, midnight.Add(48*time.Hour)
		got, err := s.Stats(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", q, diff)
		}
	}
	at := func(hours int) change.Time { return change.At(midnight.Add(time.Duration(hours) * time.Hour)) }
	by := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	f(store.StatsQuery{}, store.StatsRow{Count: 7})
	f(store.StatsQuery{Bucket: time.Hour}, store.StatsRow{Start: at(0), Count: 4}, store.StatsRow{Start: at(1), Count: 2}, store.StatsRow{Start: at(25), Count: 1})
	f(store.StatsQuery{Bucket: 24 * time.Hour, By: []string{"source"}},
		store.StatsRow{Start: at(0), Group: by("source", "github"), Count: 5},
		store.StatsRow{Start: at(0), Group: by("source", "gitlab"), Count: 1},
		store.StatsRow{Start: at(24), Group: by("source", "github"), Count: 1})
	f(store.StatsQuery{By: []string{"source", "service"}, Top: 2},
		store.StatsRow{Group: by("source", "github", "service", "svc_1"), Count: 3},
		store.StatsRow{Group: by("source", "github", "service", ""), Count: 2},
		store.StatsRow{Other: true, Count: 2})
	f(store.StatsQuery{Bucket: 24 * time.Hour, By: []string{"source", "service"}, Top: 1},
		store.StatsRow{Start: at(0), Group: by("source", "github", "service", "svc_1"), Count: 3},
		store.StatsRow{Start: at(0), Other: true, Count: 3},
		store.StatsRow{Start: at(24), Other: true, Count: 1})
	f(store.StatsQuery{ChangeFilter: store.ChangeFilter{ServiceID: "svc_1"}, By: []string{"actor", "type", "environment"}},
		store.StatsRow{Group: by("actor", "mona", "type", "deployment", "environment", "production"), Count: 3},
		store.StatsRow{Group: by("actor", "", "type", "deployment", "environment", "production"), Count: 1})
}

// A week begins on Monday, and 1970 did not.
func TestStats_BeginsWeeksOnMonday(t *testing.T) {
	s := storetest.New(t)
	sunday := time.Date(2026, 7, 12, 23, 0, 0, 0, time.UTC)
	insert(t, s, batch(stored("acme", noon, made("acme", "a", sunday, nil), made("acme", "b", sunday.Add(2*time.Hour), nil))))
	got, err := s.Stats(t.Context(), store.StatsQuery{
		ChangeFilter: store.ChangeFilter{Org: "acme", Start: sunday.AddDate(0, -1, 0), End: sunday.AddDate(0, 1, 0)}, Bucket: 7 * 24 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []store.StatsRow{
		{Start: change.At(time.Date(2026, 7, 6, 0, 0, 0, 0, time.UTC)), Count: 1},
		{Start: change.At(time.Date(2026, 7, 13, 0, 0, 0, 0, time.UTC)), Count: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStats_RefusesWhatItCannotAnswer(t *testing.T) {
	s := storetest.New(t)
	f := func(field string, edit func(*store.StatsQuery)) {
		t.Helper()
		q := store.StatsQuery{ChangeFilter: withRange(store.ChangeFilter{Org: "acme"}), Bucket: 24 * time.Hour}
		edit(&q)
		if _, err := s.Stats(t.Context(), q); problem.KindOf(err) != problem.Malformed || problem.From(err).Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	f("start_date", func(q *store.StatsQuery) { q.Start = time.Time{} })
	f("end_date", func(q *store.StatsQuery) { q.End = q.Start })
	f("bucket", func(q *store.StatsQuery) { q.Bucket = time.Second })
	f("bucket", func(q *store.StatsQuery) { q.Bucket = time.Minute })
	f("bucket", func(q *store.StatsQuery) { q.Bucket = -time.Hour })
	f("by", func(q *store.StatsQuery) { q.By = []string{"metadata"} })
	f("by", func(q *store.StatsQuery) { q.By = []string{"source", "source"} })
	f("top", func(q *store.StatsQuery) { q.Top = -1 })
}

func TestStats_ComparesWithTheTimeBefore(t *testing.T) {
	s := storetest.New(t)
	midnight := noon.Truncate(24 * time.Hour)
	var changes []change.Change
	add := func(hours float64, source string, n int) {
		for range n {
			at := midnight.Add(time.Duration(hours * float64(time.Hour)))
			changes = append(changes, made("acme", fmt.Sprint(len(changes)), at, func(c *change.Change) { c.Source = source }))
		}
	}
	add(-50, "github", 7) // before the time before
	add(-48, "github", 1)
	add(-25.5, "gitlab", 2)
	add(-1, "github", 3)
	add(-0.001, "azure", 4)
	add(0, "github", 5)
	add(47.5, "gcp", 6)
	add(48, "github", 8) // after
	insert(t, s, batch(stored("acme", noon, changes...)))

	row := func(start float64, source string, count, previous int64) store.StatsRow {
		delta := count - previous
		r := store.StatsRow{Count: count, Previous: &previous, Delta: &delta, Other: source == "other"}
		if start >= 0 {
			r.Start = change.At(midnight.Add(time.Duration(start * float64(time.Hour))))
		}
		if source != "" && source != "other" {
			r.Group = map[string]string{"source": source}
		}
		return r
	}
	f := func(q store.StatsQuery, want ...store.StatsRow) {
		t.Helper()
		q.Org, q.Start, q.End, q.Compare = "acme", midnight, midnight.Add(48*time.Hour), true
		got, err := s.Stats(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", q, diff)
		}
	}
	f(store.StatsQuery{}, row(-1, "", 11, 10))
	f(store.StatsQuery{By: []string{"source"}}, row(-1, "gcp", 6, 0), row(-1, "github", 5, 4), row(-1, "azure", 0, 4), row(-1, "gitlab", 0, 2))
	f(store.StatsQuery{By: []string{"source"}, Top: 2}, row(-1, "gcp", 6, 0), row(-1, "github", 5, 4), row(-1, "other", 0, 6))
	f(store.StatsQuery{Bucket: 24 * time.Hour}, row(0, "", 5, 3), row(24, "", 6, 7))
	f(store.StatsQuery{ChangeFilter: store.ChangeFilter{Source: "github"}, Bucket: time.Hour}, row(0, "", 5, 1), row(47, "", 0, 3))
}

// Every dimension there is can be counted by, alone and with all others.
func TestStats_CountsByEveryDimension(t *testing.T) {
	s := storetest.New(t)
	insert(t, s, batch(stored("acme", noon, sample(40)...)))
	q := store.StatsQuery{ChangeFilter: store.ChangeFilter{Org: "acme", Start: noon.AddDate(-2, 0, 0), End: noon.AddDate(1, 0, 0)}}
	total := func(by ...string) (n int64) {
		t.Helper()
		q.By, q.Top = by, 3
		rows, err := s.Stats(t.Context(), q)
		if err != nil {
			t.Fatalf("%v: %v", by, err)
		}
		for _, r := range rows {
			if !r.Other && len(r.Group) != len(by) {
				t.Errorf("%v: %+v", by, r)
			}
			n += r.Count
		}
		return n
	}
	want := total()
	for _, by := range store.Dimensions() {
		if got := total(by); got != want {
			t.Errorf("by %s: %d in all, want %d", by, got, want)
		}
	}
	if got := total(store.Dimensions()...); got != want {
		t.Errorf("by everything: %d in all, want %d", got, want)
	}
}
