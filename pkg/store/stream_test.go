package store

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/problem"
)

// direct returns a store on the engine, without tables.
func direct(t *testing.T, edit func(*Config)) *Store {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Database = chdbtest.Database(t)
	edit(&cfg)
	s, err := OpenWith(context.WithoutCancel(t.Context()), cfg, chdbtest.Engine(t), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

type oneNumber struct {
	N uint64 `ch:"n"`
}

// An engine that fails half way must not look like one that is done.
func TestStream_AnErrorInTheMiddleIsAnError(t *testing.T) {
	s := direct(t, func(*Config) {})
	n := 0
	err := stream(t.Context(), s, "test", "SELECT number + throwIf(number = 900000) AS n FROM system.numbers LIMIT 1000000", nil, func(*oneNumber) error {
		n++
		return nil
	})
	if err == nil || n == 0 || n > 900_000 {
		t.Errorf("%d rows, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n = 0
	err = stream(ctx, s, "test", "SELECT number AS n FROM system.numbers LIMIT 3000000", nil, func(*oneNumber) error {
		if n++; n == 1000 {
			cancel()
		}
		return nil
	})
	if err == nil {
		t.Errorf("cancelled after 1000 rows: %d rows, and no error", n)
	}
}

// The limits of the configuration are the engine's, and their errors say what
// the caller can do.
func TestQuery_OverALimitSaysSo(t *testing.T) {
	f := func(reason string, kind problem.Kind, edit func(*Config), statement string) {
		t.Helper()
		s := direct(t, edit)
		var rows []oneNumber
		if p := problem.From(s.query(t.Context(), "test", &rows, statement)); p.Kind != kind || p.Reason != reason || p.Kind == problem.Internal {
			t.Errorf("%s: %v %s: %v; want %v %s", statement, p.Kind, p.Reason, p, kind, reason)
		}
	}
	f("query_too_large", problem.Malformed, func(c *Config) { c.QueryRows = 100 },
		"SELECT count() AS n FROM numbers(1000000) WHERE number % 3 = 1")
	f("query_too_large", problem.Malformed, func(c *Config) { c.QueryMemory = 64 << 20 },
		"SELECT max(n) AS n FROM (SELECT length(groupArray(toString(number))) AS n FROM numbers(30000000) GROUP BY number % 2)")
	f("query_timeout", problem.Busy, func(c *Config) { c.QueryTimeout = 1e9 },
		"SELECT count() AS n FROM system.numbers WHERE NOT ignore(SHA256(toString(number)))")
}
