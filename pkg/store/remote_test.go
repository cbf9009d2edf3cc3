package store_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// overHTTP is a store whose ClickHouse is behind a handler.
func overHTTP(t *testing.T, clickhouse http.Handler) *store.Store {
	t.Helper()
	server := httptest.NewServer(clickhouse)
	t.Cleanup(server.Close)
	cfg := store.DefaultConfig()
	cfg.DSN, cfg.Database = server.URL, chdbtest.Database(t)
	s, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Split services reach ClickHouse over the network: here it is the embedded
// engine behind its own HTTP interface.
func TestOpen_WorksOverHTTP(t *testing.T) {
	s := overHTTP(t, chdbtest.Engine(t).Handler())
	if err := s.CheckDurability(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if s.Engine() != nil {
		t.Error("a server has an engine in this process")
	}
	r := stored("acme", noon, full("acme"))
	insert(t, s, batch(r))
	got, err := s.Change(t.Context(), "acme", r.Changes[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Changes[0], got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme", Q: "deploy", Tag: "x'y"}, Total: true}); page.Total != 1 {
		t.Errorf("total %d, want 1", page.Total)
	}
}

// A server whose machine is gone, or a firewall that forgot the connection:
// what is asked is read, and nothing comes back.
func TestQuery_LeavesAServerThatSaysNothing(t *testing.T) {
	var silent atomic.Bool
	engine := chdbtest.Engine(t).Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if silent.Load() {
			_, _ = io.Copy(io.Discard, r.Body) // only then is a client that leaves noticed
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
			return
		}
		engine.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	cfg := store.DefaultConfig()
	cfg.DSN, cfg.Database, cfg.QueryTimeout = server.URL, chdbtest.Database(t), time.Second
	s, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		_, err := s.KnownIdentities(t.Context(), []store.Identity{{Org: "acme", SourceID: "src_1", Identity: "1"}})
		return err
	}
	silent.Store(true)
	if err := ask(); problem.KindOf(err) != problem.Busy || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("a silent server: %v, want busy", err)
	}
	silent.Store(false)
	if err := ask(); err != nil {
		t.Errorf("it says something again: %v", err)
	}
}
