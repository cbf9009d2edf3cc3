package writer_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
	"whatchanged/services/writer"
)

func newAuditWriter(t *testing.T, b *bus.Bus, s *store.Store) *writer.Writer {
	t.Helper()
	w, err := writer.New(writer.Deps{Bus: b, Store: s, Audit: s, Log: bustest.Log(t), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func auditFrame(t *testing.T, kind string, records ...any) *bus.AuditFrame {
	t.Helper()
	f := &bus.AuditFrame{Kind: kind}
	for _, r := range records {
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		f.Records = append(f.Records, raw)
	}
	return f
}

func event(name string, outcome audit.Outcome, version uint64, id change.AuditID) audit.Event {
	return audit.Event{
		ID: id, Version: version, Org: "acme", At: change.At(id.Time()), Action: audit.Create,
		Object: audit.Object{Kind: "service", ID: name, Name: name}, Description: name, Outcome: outcome,
	}
}

func stored(t *testing.T, s *store.Store) (events, uses int64) {
	t.Helper()
	page, err := s.FindEvents(t.Context(), store.EventQuery{Org: "acme", Total: true})
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Uses(t.Context(), store.RecordQuery{Org: "acme", Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return page.Total, int64(len(all))
}

func TestAudit_WhatComesTwiceIsThereOnceAndWhatWasWithdrawnIsNot(t *testing.T) {
	s := storetest.New(t)
	w := newAuditWriter(t, bustest.New(t), s)
	now := time.Now()
	done, withdrawn := change.NewAuditID(now), change.NewAuditID(now)
	frames := []*bus.AuditFrame{
		auditFrame(t, audit.Events, event("done", audit.Unknown, 1, done), event("withdrawn", audit.Unknown, 1, withdrawn)),
		auditFrame(t, audit.Uses, audit.NewUse(auth.Principal{Org: "acme", KeyID: "key_1"}, "GET", "/", now)),
		auditFrame(t, audit.Events, event("done", audit.Done, 2, done), event("withdrawn", audit.Withdrawn, 2, withdrawn)),
	}
	for range 2 {
		for _, f := range frames { // the first words again come after the last
			if err := w.HandleAudit(t.Context(), []*bus.AuditFrame{f}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if events, uses := stored(t, s); events != 1 || uses != 1 {
		t.Errorf("%d events and %d uses, want one of each", events, uses)
	}
}

// One record that cannot be stored goes to the dead letters, whole, and takes no other with it.
func TestAudit_ABadRecordIsADeadLetterAndTheOthersAreStored(t *testing.T) {
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
	if err := db.Exec(t.Context(), "ALTER TABLE audit_events ADD CONSTRAINT good CHECK description != 'bad'"); err != nil {
		t.Fatal(err)
	}
	b := bustest.New(t)
	w := newAuditWriter(t, b, s)
	var records []any
	for _, name := range []string{"one", "bad", "two", "three"} {
		records = append(records, event(name, audit.Done, 1, change.NewAuditID(time.Now())))
	}
	f := auditFrame(t, audit.Events, records...)
	f.Records = append(f.Records, json.RawMessage(`{"org": "acme", "id": "nonsense"}`))
	frames := []*bus.AuditFrame{f, {Kind: "novelty", Records: []json.RawMessage{json.RawMessage(`{"org": "acme"}`)}}}
	if err := w.HandleAudit(t.Context(), frames); err != nil {
		t.Fatal(err)
	}
	if events, _ := stored(t, s); events != 3 {
		t.Errorf("%d events are stored, want the three good ones", events)
	}
	page, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: "acme"})
	letters := page.Letters
	if err != nil || len(letters) != 3 {
		t.Fatalf("dead letters: %+v, %v", letters, err)
	}
	bytes := ""
	for _, l := range letters {
		bytes += fmt.Sprintf("%s %s\n", l.Stage, l.Bytes)
	}
	for _, want := range []string{`"description":"bad"`, `"id": "nonsense"`, `insert {"org": "acme"}`} {
		if !strings.Contains(bytes, want) {
			t.Errorf("the dead letters do not hold %s:\n%s", want, bytes)
		}
	}
}
