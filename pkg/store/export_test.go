package store_test

import (
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

func TestExport_GivesWhatTheListGivesOldestFirst(t *testing.T) {
	s := storetest.New(t)
	for org, changes := range byOrg(sample(300)) {
		insert(t, s, batch(stored(org, noon, changes...)))
	}
	f := store.ChangeFilter{Org: "acme", Source: "github", Types: []change.Type{change.Deployment, change.Code}, End: noon.AddDate(0, 0, -3)}
	want := find(t, s, store.ChangeQuery{ChangeFilter: f, Limit: 1000, Sort: store.Asc}).Data
	if len(want) == 0 {
		t.Fatal("nothing matches")
	}
	var got []change.Change
	if err := s.Export(t.Context(), f, func(c change.Change) error {
		got = append(got, c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The rows of an export lie in their order: ClickHouse has so little memory
// that it could not sort them, nor read all months at once, and we hold no more of them at the end
// than at the beginning.
func TestExport_StreamsAnySizeWithFlatMemory(t *testing.T) {
	const rows = 200_000
	s := storetest.New(t, func(c *store.Config) { c.QueryMemory = 100 << 20 })
	if err := s.Fill(t.Context(), store.FillConfig{Rows: rows, Orgs: []string{"acme"}, Until: noon, Span: 400 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var n int
	var last time.Time
	var heaps []uint64
	if err := s.Export(t.Context(), store.ChangeFilter{Org: "acme"}, func(c change.Change) error {
		if c.OccurredAt.Before(last) {
			t.Fatalf("row %d is of %s, the one before of %s", n, c.OccurredAt, last)
		}
		last = c.OccurredAt.Time
		if n++; n%20_000 == 0 {
			heaps = append(heaps, heap())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != rows {
		t.Errorf("%d rows, want %d", n, rows)
	}
	if most := slices.Max(heaps); most > 64<<20 {
		t.Errorf("the heap grew to %d MiB: %v", most>>20, heaps)
	}
}

func TestExport_EndsWithItsReader(t *testing.T) {
	s := storetest.New(t)
	if err := s.Fill(t.Context(), store.FillConfig{Rows: 50_000, Orgs: []string{"acme"}, Until: noon, Span: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	enough, n := errors.New("enough"), 0
	err := s.Export(t.Context(), store.ChangeFilter{Org: "acme"}, func(change.Change) error {
		if n++; n == 10 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 10 {
		t.Errorf("%d rows, %v", n, err)
	}
}
