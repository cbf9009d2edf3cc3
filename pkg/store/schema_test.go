package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// decided are the migrations with statements that are not additive, and why a
// program of the release before is not hurt. There is none.
var decided = map[string]string{}

// What a migration does, the release before must not notice: else nobody could
// go back, nor run both side by side.
func TestMigrations_AreAdditive(t *testing.T) {
	for _, cluster := range []string{"", "prod"} {
		s := storetest.Empty(t)
		if cluster != "" {
			s.Render(t, cluster)
		}
		schema, err := s.Schema(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(schema.Pending) != s.Known() {
			t.Errorf("%d migrations are pending of %d", len(schema.Pending), s.Known())
		}
		for _, m := range schema.Pending {
			for _, statement := range m.Statements {
				if !statement.Additive && decided[m.Name] == "" {
					t.Errorf("%s: %s: add what is new beside what is old; or decide, and say in this test why the release before is not hurt\n%s",
						m.Name, statement.Kind, statement.SQL)
				}
			}
		}
	}
}

func TestDescribe_SaysWhatAStatementDoes(t *testing.T) {
	f := func(sql, kind, table string, rewrites, additive bool) {
		t.Helper()
		got := store.Describe(sql)
		want := store.Statement{SQL: got.SQL, Kind: kind, Table: table, Rewrites: rewrites, Additive: additive}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sql, diff)
		}
	}
	f("-- why\nCREATE TABLE IF NOT EXISTS a ON CLUSTER c\n(x String) ENGINE = MergeTree ORDER BY x", "create table", "a", false, true)
	f("ALTER TABLE a ADD COLUMN IF NOT EXISTS x Map(String, String) DEFAULT map()", "add column", "a", false, true)
	f("ALTER TABLE a ON CLUSTER c\n    ADD COLUMN IF NOT EXISTS x String, -- one\n    ADD INDEX IF NOT EXISTS y x TYPE set(64)", "add column, add index", "a", false, true)
	f("alter table a modify setting b = 1, c = 2", "modify setting", "a", false, true)
	f("ALTER TABLE a MODIFY TTL toDateTime(x) + toIntervalDay(7)", "modify ttl", "a", true, true)
	f("ALTER TABLE a MATERIALIZE INDEX y", "materialize index", "a", true, true)

	f("CREATE TABLE a (x String) ENGINE = Memory", "other", "", true, false) // fails when run twice
	f("ALTER TABLE a ADD COLUMN x String", "other", "a", true, false)
	f("ALTER TABLE a ADD COLUMN IF NOT EXISTS x String, DROP COLUMN y", "add column, other", "a", true, false)
	f("ALTER TABLE a MODIFY COLUMN x UInt64", "other", "a", true, false)
	f("ALTER TABLE a RENAME COLUMN x TO y", "other", "a", true, false)
	f("ALTER TABLE a UPDATE x = 1 WHERE 1", "other", "a", true, false)
	f("RENAME TABLE a TO b", "other", "", true, false)
	f("DROP TABLE IF EXISTS a", "other", "", true, false)
	f("INSERT INTO a SELECT * FROM b", "other", "", true, false)
}

func TestSchema_SaysHowProgramAndTablesFit(t *testing.T) {
	s := storetest.Empty(t)
	old, logged := again(t, s, nil)
	f := func(s *store.Store, fit, refusal string) {
		t.Helper()
		schema, err := s.Schema(t.Context())
		if err != nil || schema.Fit() != fit {
			t.Errorf("it is %s, %v, want %s: %+v", schema.Fit(), err, fit, schema)
		}
		err = s.CheckSchema(t.Context())
		if (err == nil) != (refusal == "") || err != nil && !strings.Contains(err.Error(), refusal) {
			t.Errorf("%s: %v, want %q", fit, err, refusal)
		}
	}
	f(s, store.FitEmpty, "whatchanged migrate")
	migrate(t, s)
	f(s, store.FitCurrent, "")

	// The next release: this one runs on, and says so.
	s.Learn("0900_next", "ALTER TABLE changes ADD COLUMN IF NOT EXISTS next String")
	f(s, store.FitOlder, "lacks migration 0900_next")
	migrate(t, s)
	f(s, store.FitCurrent, "")
	f(old, store.FitNewer, "")
	if !strings.Contains(logged.String(), "the tables are of a later version") {
		t.Errorf("nothing is said of it:\n%s", logged)
	}
	migrate(t, old) // finds nothing to do, and harms nothing
	f(s, store.FitCurrent, "")

	// The one after it, which says that this one cannot run on its tables.
	exec(t, s, fmt.Sprintf("INSERT INTO schema_migrations (number, name, applied_at, oldest) VALUES (%d, '0901_later', now(), %d)", s.Known()+1, s.Known()))
	f(old, store.FitTooNew, "run a newer version")
	f(s, store.FitNewer, "")
	if err := old.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "run a newer version") {
		t.Errorf("it migrates tables that are too new: %v", err)
	}
	if _, err := old.Plan(t.Context()); err == nil {
		t.Error("it plans for tables that are too new")
	}
}

// The tables of the first version do not say who may run on them.
func TestSchema_ReadsTheTablesOfTheFirstVersion(t *testing.T) {
	s := storetest.New(t)
	exec(t, s, "ALTER TABLE schema_migrations DROP COLUMN oldest")
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	s.Learn("0900_next", "ALTER TABLE changes ADD COLUMN IF NOT EXISTS next String")
	migrate(t, s)
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPlan_IsWhatMigrateDoes(t *testing.T) {
	s := storetest.New(t)
	if plan, err := s.Plan(t.Context()); err != nil || len(plan) != 0 {
		t.Errorf("plan %+v, %v", plan, err)
	}
	other, _ := again(t, s, func(c *store.Config) { c.PayloadDays = 7 })
	other.Learn("0900_next", "-- why\nALTER TABLE changes ADD COLUMN IF NOT EXISTS next String")
	plan, err := other.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ttl := "ALTER TABLE payloads MODIFY TTL toDateTime(received_at) + toIntervalDay(7)"
	want := []store.Migration{
		{Number: other.Known(), Name: "0900_next", Statements: []store.Statement{
			{SQL: "ALTER TABLE changes ADD COLUMN IF NOT EXISTS next String", Kind: "add column", Table: "changes", Additive: true},
		}},
		{Name: "lifetime of payloads", Statements: []store.Statement{
			{SQL: ttl, Kind: "modify ttl", Table: "payloads", Rewrites: true, Additive: true},
		}},
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	migrate(t, other)
	if plan, err := other.Plan(t.Context()); err != nil || len(plan) != 0 {
		t.Errorf("once migrated: %+v, %v", plan, err)
	}
}

// tables are those with rows of ours.
var tables = []string{"changes", "deliveries", "payloads", "incidents", "audit_events", "token_uses", "receipts", "change_revisions", "replay_differences"}

// A program of the release before works on the tables of the next one, and what
// that one has written is still there when it comes back.
func TestStore_WorksOnTheTablesOfTheNextRelease(t *testing.T) {
	old := storetest.Empty(t)
	next, _ := again(t, old, nil)
	old.Know(store.RunsWith)
	migrate(t, old)
	write(t, old, "before")

	// Each kind of statement that a migration may have, on each table.
	var statements []string
	for _, table := range tables {
		statements = append(statements, "ALTER TABLE "+table+
			" ADD COLUMN IF NOT EXISTS next String DEFAULT 'none', ADD INDEX IF NOT EXISTS by_next next TYPE set(64)")
	}
	statements = append(statements, "ALTER TABLE changes MODIFY SETTING merge_with_ttl_timeout = 7200", "CREATE TABLE IF NOT EXISTS nexts (x String) ENGINE = MergeTree ORDER BY x SETTINGS "+
		"fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480")
	next.Learn("0900_next", statements...)
	migrate(t, next)
	for _, s := range []*store.Store{old, next} {
		if err := s.CheckDurability(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.CheckSchema(t.Context()); err != nil {
			t.Error(err)
		}
	}
	write(t, next, "new")
	conn := chdbtest.Conn(t, old.Database())
	if err := conn.Exec(t.Context(), "INSERT INTO changes (org, occurred_at, id, version, next) SELECT 'acme', now64(3), unhex('00112233445566778899AABBCCDDEEFF'), 1, 'kept'"); err != nil {
		t.Fatal(err)
	}
	write(t, old, "back")

	for _, s := range []*store.Store{old, next} {
		read(t, s, "before", "new", "back")
	}
	for _, table := range []string{"changes", "deliveries", "payloads", "incidents", "audit_events", "token_uses", "receipts"} {
		var rows, none uint64
		if err := conn.QueryRow(t.Context(), "SELECT count(), countIf(next = 'none') FROM "+table).Scan(&rows, &none); err != nil {
			t.Fatal(err)
		}
		if rows < 3 || none < 3 {
			t.Errorf("%s has %d rows, of which %d say nothing of what is next", table, rows, none)
		}
	}
	var kept string
	if err := conn.QueryRow(t.Context(), "SELECT next FROM changes FINAL WHERE id = unhex('00112233445566778899AABBCCDDEEFF')").Scan(&kept); err != nil || kept != "kept" {
		t.Errorf("the row of the next release says %q, %v", kept, err)
	}
}

func migrate(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// write stores one of each kind.
func write(t *testing.T, s *store.Store, name string) {
	t.Helper()
	r := reported(noon, change.IncidentReport{ID: change.NewIncidentID("acme", "pagerduty", name), At: change.At(noon), StartedAt: change.At(noon), Status: change.Open, Title: name})
	r.Changes = []change.Change{made("acme", name, noon, func(c *change.Change) {
		c.Metadata = json.RawMessage(`{"a":1}`)
		c.Provenance.DeliveryID = r.DeliveryID
	})}
	b := batch(r)
	b.Chain = name
	insert(t, s, b)
	d := change.Delivery{ID: r.DeliveryID, Org: "acme", SourceID: "src_a", ReceivedAt: r.ReceivedAt, Body: []byte(name)}
	event := auditEvent(noon, audit.Create, "svc_1", name)
	use := audit.NewUse(auth.Principal{Org: "acme", KeyID: name, Scopes: []string{auth.API}}, "GET", "/api/v1/x", noon)
	for _, err := range []error{
		s.InsertIncidents(t.Context(), []store.Batch{b}),
		s.InsertPayloads(t.Context(), []store.PayloadBatch{{Chain: name, Frame: 1, Deliveries: []change.Delivery{d}}}),
		s.InsertAuditEvents(t.Context(), []audit.Event{event}),
		s.InsertUses(t.Context(), []audit.Use{use}),
		s.InsertReceipts(t.Context(), []store.Receipt{{Chain: name, Frame: 1, Seq: 1, Org: "acme", SourceID: "src_a", Minute: noon, Count: 1}}),
		s.KeepRevisions(t.Context(), []store.Batch{b}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// read checks that all of what write wrote under these names is there.
func read(t *testing.T, s *store.Store, names ...string) {
	t.Helper()
	ctx, start, end := t.Context(), noon.Add(-time.Hour), noon.Add(time.Hour)
	for _, name := range names {
		c, err := s.Change(ctx, "acme", change.NewID(noon, "acme", "test", name))
		if err != nil || string(c.Metadata) != `{"a":1}` {
			t.Errorf("%s: change %+v, %v", name, c, err)
			continue
		}
		if p, err := s.Payload(ctx, "acme", c.Provenance.DeliveryID); err != nil || string(p.Body) != name {
			t.Errorf("%s: payload %q, %v", name, p.Body, err)
		}
		if i, err := s.Incident(ctx, "acme", change.NewIncidentID("acme", "pagerduty", name)); err != nil || i.Title != name {
			t.Errorf("%s: incident %+v, %v", name, i, err)
		}
	}
	events, err := s.FindEvents(ctx, store.EventQuery{Org: "acme", Start: start, End: end})
	if err != nil || len(events.Data) != len(names) {
		t.Errorf("%d audit events, %v", len(events.Data), err)
	}
	uses, err := s.Uses(ctx, store.RecordQuery{Org: "acme", Start: start, End: end})
	if err != nil || len(uses) != len(names) {
		t.Errorf("%d uses of keys, %v", len(uses), err)
	}
	account, err := s.Account(ctx, store.AccountQuery{Org: "acme", Start: start, End: end})
	received := 0
	for _, row := range account {
		received += int(row.Received)
	}
	if err != nil || received != len(names) {
		t.Errorf("%d received, %v", received, err)
	}
}
