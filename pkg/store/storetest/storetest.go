// Package storetest gives tests a store of their own on the test binary's
// embedded engine.
package storetest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
)

// New returns a migrated store in a database with a random name, which goes
// with the test. The binary needs a TestMain that calls chdbtest.Main. edit may
// change its settings.
func New(tb testing.TB, edit ...func(*store.Config)) *store.Store {
	tb.Helper()
	s := Empty(tb, edit...)
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatalf("migrate: %v", err)
	}
	return s
}

// Empty is New without tables.
func Empty(tb testing.TB, edit ...func(*store.Config)) *store.Store {
	tb.Helper()
	cfg := store.DefaultConfig()
	cfg.Database = chdbtest.Database(tb)
	for _, f := range edit {
		f(&cfg)
	}
	s, err := store.OpenWith(context.WithoutCancel(tb.Context()), cfg, chdbtest.Engine(tb), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		tb.Fatalf("open store: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close store: %v", err)
		}
	})
	return s
}
