package writer_test

import (
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/writer"
)

func TestMain(m *testing.M) { os.Exit(chdbtest.Main(m)) }

var noon = change.At(time.Date(2026, 3, 30, 12, 0, 0, 0, time.UTC))

func newWriter(t *testing.T, b *bus.Bus, s writer.Store) *writer.Writer {
	t.Helper()
	w, err := writer.New(writer.Deps{Bus: b, Store: s, Log: bustest.Log(t), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// result is a stored delivery with one change.
func result(place int, summary string) change.Result {
	id := change.NewDeliveryID(noon.Time)
	return change.Result{
		DeliveryID: id, Org: "acme", SourceID: "src_1", ReceivedAt: noon, FirstReceived: noon, NormalizedAt: noon,
		Place: place, Outcome: change.Stored, Provider: "generic",
		Changes: []change.Change{{
			ID: change.NewID(noon.Time, "acme", "generic", summary), Org: "acme", Type: change.Other, Summary: summary,
			OccurredAt: noon, CreatedAt: noon, Provenance: change.Provenance{DeliveryID: id},
		}},
	}
}

func frame(number uint64, results ...change.Result) *bus.ChangeFrame {
	return &bus.ChangeFrame{Chain: "c", Number: number, Lane: change.Fresh, Results: results}
}

func summaries(t *testing.T, s *store.Store) []string {
	t.Helper()
	page, err := s.FindChanges(t.Context(), store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Sort: store.Asc})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range page.Data {
		out = append(out, c.Summary)
	}
	return out
}

func TestWriter_WhatIsWrittenTwiceIsThereOnce(t *testing.T) {
	s := storetest.New(t)
	w := newWriter(t, bustest.New(t), s)
	f := frame(1, result(0, "one"))
	for range 2 {
		if err := w.HandleChanges(t.Context(), []*bus.ChangeFrame{f}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"one"}, summaries(t, s)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// ClickHouse itself refuses a row here, by a constraint: what else it may refuse
// looks the same from outside.
func TestWriter_ABadChangeIsADeadLetterAndTheOthersAreStored(t *testing.T) {
	cfg := store.DefaultConfig()
	cfg.Database = chdbtest.Database(t)
	s, err := store.OpenWith(t.Context(), cfg, chdbtest.Engine(t), bustest.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := clickhouse.Open(chdb.Options(chdbtest.Engine(t), cfg.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Exec(t.Context(), "ALTER TABLE changes ADD CONSTRAINT good CHECK summary != 'bad'"); err != nil {
		t.Fatal(err)
	}
	b := bustest.New(t)
	w := newWriter(t, b, s)
	bad := result(2, "bad")
	frames := []*bus.ChangeFrame{
		frame(1, result(0, "one"), result(1, "two"), bad, result(3, "three")),
		frame(2, result(0, "four")),
	}
	if err := w.HandleChanges(t.Context(), frames); err != nil {
		t.Fatal(err)
	}
	if got := summaries(t, s); len(got) != 4 {
		t.Errorf("changes = %q, want the four good ones", got)
	}
	d, err := s.Delivery(t.Context(), "acme", bad.DeliveryID)
	if err != nil || d.Outcome != change.Dead {
		t.Errorf("the bad delivery is %+v, %v, want it dead", d, err)
	}
	page, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: "acme"})
	letters := page.Letters
	if err != nil || len(letters) != 1 || letters[0].DeliveryID != bad.DeliveryID || letters[0].Stage != "insert" {
		t.Errorf("dead letters = %+v, %v", letters, err)
	}
}
