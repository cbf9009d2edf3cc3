package writer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/services/writer"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s: %v", patience, what, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// normalize makes the results of frames and publishes them, as the service does.
func normalize(b *bus.Bus) func(context.Context, []*bus.DeliveryFrame) error {
	set := all.Set()
	return func(ctx context.Context, frames []*bus.DeliveryFrame) error {
		for _, f := range frames {
			out := &bus.ChangeFrame{Chain: f.Chain, Number: f.Number, Lane: f.Lane}
			for i := range f.Deliveries {
				d := &f.Deliveries[i]
				res := set.Process(d, normalizers.Settings{}, d.ReceivedAt.Time, time.Now())
				res.Place = i
				out.Results = append(out.Results, res)
			}
			if err := b.PublishChanges(ctx, out); err != nil {
				return err
			}
		}
		return nil
	}
}

// installed is an installation in which some deliveries were stored.
type installed struct {
	bus   *bus.Bus
	store *store.Store
	db    clickhouse.Conn
	count int
	whole func() error // nil when all that was stored can be read
}

// storeSome takes in some deliveries and waits until all of them are stored.
func storeSome(t *testing.T) *installed {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.Database = chdbtest.Database(t)
	s, err := store.OpenWith(t.Context(), cfg, chdbtest.Engine(t), bustest.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := bustest.New(t)
	forgetDuplicatesSoon(t, b)
	w := newWriter(t, b, s)
	committer := b.NewCommitter(change.Fresh)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	for _, run := range []func(context.Context) error{
		committer.Run, w.RunRaw, w.RunChanges,
		func(ctx context.Context) error {
			return b.ConsumeDeliveryBatches(ctx, bus.NormalizerFresh, change.Fresh, bus.BatchLimit{Records: 100}, normalize(b))
		},
		func(ctx context.Context) error {
			return b.ConsumeDeliveryBatches(ctx, bus.NormalizerBulk, change.Bulk, bus.BatchLimit{Records: 100}, normalize(b))
		},
	} {
		wg.Go(func() { _ = run(ctx) })
	}
	const count = 20
	var last change.Delivery
	for n := range count {
		now := change.At(time.Now())
		last = change.Delivery{ID: change.NewDeliveryID(now.Time), Org: "acme", SourceID: "src_1", ReceivedAt: now, Body: fmt.Appendf(nil, `{"n":%d}`, n)}
		if _, err := committer.Commit(ctx, &last); err != nil {
			t.Fatal(err)
		}
	}
	whole := func() error {
		page, err := s.FindDeliveries(ctx, store.DeliveryQuery{Org: "acme", Limit: count, Total: true})
		if err != nil || page.Total != count {
			return fmt.Errorf("%d deliveries, %w", page.Total, err)
		}
		changes, err := s.FindChanges(ctx, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Limit: 2 * count})
		if err != nil || len(changes.Data) != count {
			return fmt.Errorf("%d changes, %w", len(changes.Data), err)
		}
		_, err = s.Payload(ctx, "acme", last.ID)
		return err
	}
	eventually(t, "all to be stored", whole)
	db, err := clickhouse.Open(chdb.Options(chdbtest.Engine(t), cfg.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &installed{bus: b, store: s, db: db, count: count, whole: whole}
}

func TestReconciler_DrivesAgainWhatTheStoreLost(t *testing.T) {
	i := storeSome(t)
	r := newReconciler(t, i.bus, i.store)
	eventually(t, "the reconciler to find all whole", func() error { return position(r, i.bus, uint64(i.count)) })

	// What a power cut or a mistake can take away.
	for _, table := range []string{"deliveries", "payloads", "changes"} {
		if err := i.db.Exec(t.Context(), "TRUNCATE TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	r = newReconciler(t, i.bus, i.store) // after a restart, it looks a day back
	eventually(t, "the lost rows to be back", func() error {
		if err := r.Turn(t.Context()); err != nil {
			return err
		}
		return i.whole()
	})
	eventually(t, "the reconciler to find all whole again", func() error { return position(r, i.bus, uint64(i.count)) })
}

// A merge that ends on a full disk can leave a part that fails every question.
func TestReconciler_StoresAgainWhatWasInADamagedPart(t *testing.T) {
	for _, table := range []string{"changes", "deliveries", "payloads"} {
		t.Run(table, func(t *testing.T) {
			i := storeSome(t)
			r := newReconciler(t, i.bus, i.store)
			eventually(t, "the reconciler to find all whole", func() error { return position(r, i.bus, uint64(i.count)) })
			damage(t, i.db, table)
			if err := i.whole(); err == nil {
				t.Fatal("all can be read from a damaged part")
			}
			eventually(t, "the rows of the damaged part to be back", func() error {
				if err := r.Turn(t.Context()); err != nil {
					return err
				}
				return i.whole()
			})
			aside, err := i.store.Aside(t.Context())
			if err != nil || len(aside) != 1 || aside[0].Table != table {
				t.Errorf("put aside: %v, %v", aside, err)
			}
		})
	}
}

// damage makes one part of a table, and cuts off its data.
func damage(t *testing.T, db clickhouse.Conn, table string) {
	t.Helper()
	if err := db.Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
		t.Fatal(err)
	}
	var dir string
	row := db.QueryRow(t.Context(), "SELECT path FROM system.parts WHERE database = currentDatabase() AND table = {table:String} AND active",
		clickhouse.Named("table", table))
	if err := row.Scan(&dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.bin"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no data in %s: %v", dir, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, cache := range []string{"MARK CACHE", "UNCOMPRESSED CACHE"} {
		if err := db.Exec(t.Context(), "SYSTEM DROP "+cache); err != nil {
			t.Fatal(err)
		}
	}
}

// forgetDuplicatesSoon spares the test the minute in which the bus takes a
// frame that is driven again for a repeat.
func forgetDuplicatesSoon(t *testing.T, b *bus.Bus) {
	t.Helper()
	stream, err := b.JetStream().Stream(t.Context(), bus.Changes)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := b.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func newReconciler(t *testing.T, b *bus.Bus, s *store.Store) *writer.Reconciler {
	t.Helper()
	r, err := writer.NewReconciler(writer.ReconcilerDeps{
		Bus: b, Store: s, Normalize: normalize(b), Log: bustest.Log(t), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// position takes a turn and reports an error until everything was found stored.
func position(r *writer.Reconciler, b *bus.Bus, want uint64) error {
	ctx := context.Background()
	if err := r.Turn(ctx); err != nil {
		return err
	}
	entry, err := b.KV(bus.BucketState).Get(ctx, bus.ReconcilerKey(bus.Deliveries))
	if err != nil {
		return err
	}
	if string(entry.Value()) != fmt.Sprint(want) {
		return fmt.Errorf("reconciled up to %s, want %d", entry.Value(), want)
	}
	return nil
}
