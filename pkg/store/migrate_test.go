package store_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// again opens the database of s once more, and returns what it logs.
func again(t *testing.T, s *store.Store, edit func(*store.Config)) (*store.Store, *bytes.Buffer) {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.Database = s.Database()
	if edit != nil {
		edit(&cfg)
	}
	var logged bytes.Buffer
	other, err := store.OpenWith(t.Context(), cfg, chdbtest.Engine(t), slog.New(slog.NewTextHandler(&logged, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return other, &logged
}

func TestMigrate_AppliesNothingTheSecondTime(t *testing.T) {
	s, logged := again(t, storetest.Empty(t), nil)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(logged.String(), "migration="); n < 3 {
		t.Errorf("the first run applied %d migrations:\n%s", n, logged)
	}
	logged.Reset()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if logged.Len() > 0 {
		t.Errorf("the second run did something:\n%s", logged)
	}
}

// A migration that was cut off is not recorded, and runs from its beginning.
func TestMigrate_RunsAgainWhatWasCutOff(t *testing.T) {
	s := storetest.New(t)
	exec(t, s, "TRUNCATE TABLE schema_migrations")
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheckSchema_NamesTheCommand(t *testing.T) {
	s := storetest.Empty(t)
	err := s.CheckSchema(t.Context())
	if err == nil || !strings.Contains(err.Error(), "whatchanged migrate") || problem.KindOf(err) != problem.Busy {
		t.Errorf("without tables: %v", err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Errorf("after migrating: %v", err)
	}
	exec(t, s, "INSERT INTO schema_migrations (number, name, applied_at) VALUES (9999, 'later', now())")
	if err := s.CheckSchema(t.Context()); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("with a later version's tables: %v", err)
	}
}

func TestCheckDurability_NamesWhatIsNotInForce(t *testing.T) {
	s := storetest.New(t)
	if err := s.CheckDurability(t.Context()); err != nil {
		t.Errorf("as migrated: %v", err)
	}
	exec(t, s, "ALTER TABLE deliveries MODIFY SETTING fsync_after_insert = 0")
	exec(t, s, "ALTER TABLE changes RESET SETTING old_parts_lifetime")
	err := s.CheckDurability(t.Context())
	for _, want := range []string{"table deliveries", "fsync_after_insert", "table changes", "old_parts_lifetime"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
	if err := storetest.Empty(t).CheckDurability(t.Context()); err == nil {
		t.Error("no tables, and no error")
	}
}

func TestMigrate_FollowsTheConfiguredLifetimeOfPayloads(t *testing.T) {
	s := storetest.New(t)
	shorter, logged := again(t, s, func(c *store.Config) { c.PayloadDays = 7 })
	for range 2 {
		if err := shorter.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(logged.String(), "new lifetime"); n != 1 {
		t.Errorf("changed %d times, want 1", n)
	}
	var table string
	if err := chdbtest.Conn(t, s.Database()).QueryRow(t.Context(), "SHOW CREATE TABLE payloads").Scan(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table, "toIntervalDay(7)") {
		t.Errorf("payloads do not go after 7 days:\n%s", table)
	}
	if err := shorter.CheckDurability(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestConfig_ReportsEveryFaultAtOnce(t *testing.T) {
	err := store.Config{DSN: "mysql://x", Database: "a; DROP", Cluster: "it's"}.Validate()
	for _, want := range []string{"dsn", "database", "cluster", "payload_days", "query_timeout", "query_memory", "max_conns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
}

func TestOpen_ShowsNoPassword(t *testing.T) {
	for _, dsn := range []string{"clickhouse://u:hunter2@127.0.0.1:1/x?dial_timeout=100ms", "http://u:hunter2@127.0.0.1:1/", "http://u:hunter2@[::1", "clickhouse://u:hunter2@h:1?dial_timeout=x"} {
		cfg := store.DefaultConfig()
		cfg.DSN = dsn
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // it waits for servers that cannot be reached
		_, err := store.Open(ctx, cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		cancel()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func exec(t *testing.T, s *store.Store, statement string) {
	t.Helper()
	if err := chdbtest.Conn(t, s.Database()).Exec(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}
