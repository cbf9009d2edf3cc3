package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
)

// endpoint is a ClickHouse server that can be stopped and started again at the
// same address.
type endpoint struct {
	t       *testing.T
	addr    string
	engine  http.Handler
	server  *http.Server
	served  sync.WaitGroup
	answers atomic.Int64
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{t: t, addr: "127.0.0.1:0", engine: chdbtest.Engine(t).Handler()}
	e.start()
	t.Cleanup(e.stop)
	return e
}

func (e *endpoint) start() {
	e.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(e.t.Context(), "tcp", e.addr)
	if err != nil {
		e.t.Fatal(err)
	}
	e.addr = listener.Addr().String()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.engine.ServeHTTP(w, r)
		e.answers.Add(1)
	})}
	e.server = server
	e.served.Go(func() { _ = server.Serve(listener) }) // it says that it was closed
}

// stop cuts every connection, whatever is under way.
func (e *endpoint) stop() {
	e.server.Close()
	e.served.Wait()
}

func TestStore_GoesOnWithoutOneOfItsServers(t *testing.T) {
	one, two := newEndpoint(t), newEndpoint(t)
	cfg := store.DefaultConfig()
	cfg.DSN, cfg.Database = "http://"+one.addr+","+two.addr, chdbtest.Database(t)
	s, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	var inserted, asked atomic.Int64
	var load sync.WaitGroup
	bounded := func(what string, do func(context.Context) error) bool {
		within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := do(within); err != nil {
			t.Errorf("%s: %v", what, err)
			return false
		}
		return true
	}
	load.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			b := []store.Batch{batch(stored("acme", noon, made("acme", fmt.Sprint(n), noon, nil)))}
			if !bounded("insert", func(within context.Context) error { return s.InsertChanges(within, b) }) {
				return
			}
			inserted.Add(1)
		}
	})
	load.Go(func() {
		for ctx.Err() == nil {
			if !bounded("ask", func(within context.Context) error {
				_, err := s.KnownIdentities(within, []store.Identity{{Org: "acme", SourceID: "src_1", Identity: "1"}})
				return err
			}) {
				return
			}
			asked.Add(1)
		}
	})
	more := func(what string, counter *atomic.Int64, n int64) {
		t.Helper()
		from := counter.Load()
		for deadline := time.Now().Add(time.Minute); counter.Load() < from+n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) || t.Failed() {
				t.Fatalf("%s: %d, want %d", what, counter.Load()-from, n)
			}
		}
	}
	defer load.Wait()
	defer stop()
	more("inserts", &inserted, 3)
	more("questions", &asked, 3)
	for _, gone := range []*endpoint{one, two} {
		gone.stop()
		more("inserts without a server", &inserted, 5)
		more("questions without a server", &asked, 5)
		gone.start()
		more("answers of the one that is back", &gone.answers, 5)
	}
	stop()
	load.Wait()
	page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Total: true})
	if page.Total != inserted.Load() {
		t.Errorf("%d changes are there, %d were inserted", page.Total, inserted.Load())
	}
}

func TestOpen_WantsOneServerOfSeveral(t *testing.T) {
	there, gone := newEndpoint(t), newEndpoint(t)
	gone.stop()
	cfg := store.DefaultConfig()
	cfg.DSN, cfg.Database = "http://"+gone.addr+","+there.addr+"?connection_open_strategy=in_order", chdbtest.Database(t)
	s, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, do := range []func(context.Context) error{s.Migrate, s.CheckSchema, s.CheckDurability, s.Ping} {
		if err := do(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
