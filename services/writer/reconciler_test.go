package writer_test

import (
	"context"
	"fmt"
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

// results makes the results of frames, as the service does.
func results(_ context.Context, frames []*bus.DeliveryFrame) ([]*bus.ChangeFrame, error) {
	set := all.Set()
	var made []*bus.ChangeFrame
	for _, f := range frames {
		out := &bus.ChangeFrame{Chain: f.Chain, Number: f.Number, Lane: f.Lane}
		for i := range f.Deliveries {
			d := &f.Deliveries[i]
			res := set.Process(d, normalizers.Settings{}, d.ReceivedAt.Time, time.Now())
			res.Place = i
			out.Results = append(out.Results, res)
		}
		made = append(made, out)
	}
	return made, nil
}

// normalize makes the results of frames and publishes them.
func normalize(b *bus.Bus) func(context.Context, []*bus.DeliveryFrame) error {
	return func(ctx context.Context, frames []*bus.DeliveryFrame) error {
		made, _ := results(ctx, frames)
		return b.PublishChanges(ctx, made...)
	}
}

func TestReconciler_DrivesAgainWhatTheStoreLost(t *testing.T) {
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
	b := bustest.New(t)
	forgetDuplicatesSoon(t, b)
	w := newWriter(t, b, s)
	committer := b.NewCommitter(change.Fresh)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
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
	all := func() error {
		page, err := s.FindDeliveries(ctx, store.DeliveryQuery{Org: "acme", Limit: count, Total: true})
		if err != nil || page.Total != count {
			return fmt.Errorf("%d deliveries, %w", page.Total, err)
		}
		_, err = s.Payload(ctx, "acme", last.ID)
		return err
	}
	eventually(t, "all to be stored", all)

	r := newReconciler(t, b, s)
	eventually(t, "the reconciler to find all whole", func() error { return position(r, b, count) })

	// What a power cut or a mistake can take away.
	db, err := clickhouse.Open(chdb.Options(chdbtest.Engine(t), cfg.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"deliveries", "payloads", "changes"} {
		if err := db.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	r = newReconciler(t, b, s) // after a restart, it looks a day back
	eventually(t, "the lost rows to be back", func() error {
		if err := r.Turn(ctx); err != nil {
			return err
		}
		return all()
	})
	eventually(t, "the reconciler to find all whole again", func() error { return position(r, b, count) })
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
		Bus: b, Store: s, Normalize: normalize(b), Results: results, Log: bustest.Log(t), Metrics: prometheus.NewRegistry(),
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
