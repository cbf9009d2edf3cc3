package writer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go"
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

// pipeline is what takes deliveries in and stores them, with a store that a test
// can take rows from.
type pipeline struct {
	t         *testing.T
	bus       *bus.Bus
	store     *store.Store
	db        driver.Conn
	committer *bus.Committer
	hold      atomic.Pointer[chan struct{}] // closed, when the normalizer may go on
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.Database = chdbtest.Database(t)
	s, err := store.OpenWith(t.Context(), cfg, chdbtest.Engine(t), bustest.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := clickhouse.Open(chdb.Options(chdbtest.Engine(t), cfg.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p := &pipeline{t: t, bus: bustest.New(t), store: s, db: db}
	forgetDuplicatesSoon(t, p.bus)
	p.committer = p.bus.NewCommitter(change.Fresh)
	w := newWriter(t, p.bus, s)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	for _, run := range []func(context.Context) error{
		p.committer.Run, w.RunRaw, w.RunChanges, w.RunBulkChanges,
		func(ctx context.Context) error {
			return p.bus.ConsumeDeliveryBatches(ctx, bus.NormalizerFresh, change.Fresh, bus.BatchLimit{Records: 100}, p.normalize)
		},
		func(ctx context.Context) error {
			return p.bus.ConsumeDeliveryBatches(ctx, bus.NormalizerBulk, change.Bulk, bus.BatchLimit{Records: 100}, normalize(p.bus))
		},
	} {
		wg.Go(func() { _ = run(ctx) })
	}
	return p
}

func (p *pipeline) normalize(ctx context.Context, frames []*bus.DeliveryFrame) error {
	if hold := p.hold.Load(); hold != nil {
		select {
		case <-*hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return normalize(p.bus)(ctx, frames)
}

func (p *pipeline) deliver(body string) change.Delivery {
	p.t.Helper()
	now := change.At(time.Now())
	d := change.Delivery{ID: change.NewDeliveryID(now.Time), Org: "acme", SourceID: "src_1", ReceivedAt: now, Body: []byte(body)}
	if _, err := p.committer.Commit(p.t.Context(), &d); err != nil {
		p.t.Fatal(err)
	}
	return d
}

// rows counts the rows of a table, each key once.
func (p *pipeline) rows(table string) (n uint64) {
	p.t.Helper()
	if err := p.db.QueryRow(p.t.Context(), "SELECT count() FROM "+table+" FINAL").Scan(&n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *pipeline) exec(statement string) {
	p.t.Helper()
	if err := p.db.Exec(p.t.Context(), statement); err != nil {
		p.t.Fatal(err)
	}
}

// dropPart takes away what a part of a table has, the largest of them.
func (p *pipeline) dropPart(table string) {
	p.t.Helper()
	p.exec("OPTIMIZE TABLE " + table + " FINAL") // or another part has them too
	var part string
	if err := p.db.QueryRow(p.t.Context(), `SELECT name FROM system.parts
		WHERE database = currentDatabase() AND table = {table:String} AND active ORDER BY rows DESC LIMIT 1`, clickhouse.Named("table", table)).Scan(&part); err != nil {
		p.t.Fatal(err)
	}
	p.exec("ALTER TABLE " + table + " DROP PART '" + part + "'")
}

func TestReconciler_DrivesAgainWhatTheStoreLost(t *testing.T) {
	p := newPipeline(t)
	const count = 20
	for n := range count {
		p.deliver(fmt.Sprintf(`{"n":%d}`, n))
	}
	tables := []string{"deliveries", "payloads", "changes"}
	all := func() error {
		for _, table := range tables {
			if n := p.rows(table); n != count {
				return fmt.Errorf("%d rows in %s", n, table)
			}
		}
		return nil
	}
	eventually(t, "all to be stored", all)
	r := newReconciler(t, p.bus, p.store)
	eventually(t, "the reconciler to find all whole", func() error { return position(r, p.bus, count) })

	// What a power cut or a mistake can take away.
	for _, table := range tables {
		p.exec("TRUNCATE TABLE " + table)
	}
	r = newReconciler(t, p.bus, p.store) // after a restart, it looks a day back
	eventually(t, "the lost rows to be back", func() error {
		if err := r.Turn(t.Context()); err != nil {
			return err
		}
		return all()
	})
	eventually(t, "the reconciler to find all whole again", func() error { return position(r, p.bus, count) })
}

// A restore puts older tables in the place of those that were found stored, and a
// start some days later still compares all that the bus has.
func TestReconciler_BeginsWhereNothingWasComparedYet(t *testing.T) {
	p := newPipeline(t)
	const count = 5
	for n := range count {
		p.deliver(fmt.Sprintf(`{"n":%d}`, n))
	}
	r := newReconciler(t, p.bus, p.store)
	eventually(t, "the reconciler to find all whole", func() error { return position(r, p.bus, count) })

	tables := []string{"deliveries", "payloads", "changes"}
	for _, table := range tables {
		p.exec("TRUNCATE TABLE " + table)
	}
	if err := p.bus.Unreconciled(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = newReconciler(t, p.bus, p.store)
	writer.SweepLater(r) // which looks at so many frames a turn
	r.SetNow(func() time.Time { return time.Now().Add(3 * 24 * time.Hour) })
	eventually(t, "the reconciler to find all whole again", func() error { return position(r, p.bus, count) })
	for _, table := range tables {
		if n := p.rows(table); n != count {
			t.Errorf("%d of %d rows in %s, and all was found stored", n, count, table)
		}
	}
}

// Nobody says that a part of a table is gone: what was found stored is looked
// at again, on its own, and when an account does not close.
func TestReconciler_HealsAPartThatIsLostUnderIt(t *testing.T) {
	p := newPipeline(t)
	const count = 20
	for n := range count {
		p.deliver(fmt.Sprintf(`{"n":%d}`, n))
	}
	metrics := prometheus.NewRegistry()
	var r *writer.Reconciler
	for _, table := range []string{"deliveries", "payloads", "changes", "receipts"} {
		var wake func()
		switch table {
		case "deliveries": // the accountant sees that they are missing
			wake = func() { r.Recheck(time.Now().Add(-time.Hour)) }
		case "payloads": // the hour is over
			wake = func() { writer.SweepNow(r) }
		case "changes":
			wake = func() { writer.SweepNow(r) }
		case "receipts": // a restart
			wake = func() { r = newReconciler(t, p.bus, p.store) }
		}
		if r == nil {
			r = reconcilerWith(t, p.bus, p.store, metrics)
			eventually(t, "the reconciler to find all whole", func() error { return position(r, p.bus, count) })
		}
		if n := p.rows(table); n != count {
			t.Fatalf("%d rows in %s, want %d", n, table, count)
		}
		p.dropPart(table)
		if n := p.rows(table); n == count {
			t.Fatalf("nothing of %s is lost", table)
		}
		wake()
		eventually(t, "what "+table+" lost to be back", func() error {
			if err := r.Turn(t.Context()); err != nil {
				return err
			}
			if n := p.rows(table); n != count {
				return fmt.Errorf("%d rows", n)
			}
			return nil
		})
		eventually(t, "all to be found whole again", func() error { return position(r, p.bus, count) })
	}
	for _, missing := range []string{"deliveries", "payloads", "changes"} {
		if driven(t, metrics, missing) == 0 {
			t.Errorf("nothing was driven for want of %s", missing)
		}
	}
}

// A fact that two deliveries report is stored once. That the second has no row
// of its own is no loss, and costs no driving.
func TestReconciler_KnowsAFactThatIsStoredAsAnotherDeliverys(t *testing.T) {
	p := newPipeline(t)
	fact := fmt.Sprintf(`{"specversion": "1.0", "id": "42", "source": "/ci", "type": "com.example.deployed", "time": %q, "data": {}}`,
		time.Now().UTC().Format(time.RFC3339))
	p.deliver(fact)
	p.deliver(fact)
	eventually(t, "both to be stored", func() error {
		if n := p.rows("deliveries"); n != 2 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
	p.exec("OPTIMIZE TABLE changes FINAL")
	if n := p.rows("changes"); n != 1 {
		t.Fatalf("%d changes, want one fact", n)
	}
	metrics := prometheus.NewRegistry()
	r := reconcilerWith(t, p.bus, p.store, metrics)
	eventually(t, "all to be found whole", func() error { return position(r, p.bus, 2) })
	if n := driven(t, metrics, "changes"); n != 0 {
		t.Errorf("%v frames were driven again", n)
	}
	p.exec("TRUNCATE TABLE changes")
	writer.SweepNow(r)
	eventually(t, "the fact to be back", func() error {
		if err := r.Turn(t.Context()); err != nil {
			return err
		}
		if n := p.rows("changes"); n != 1 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
}

// What nobody can read is dead and no reason to stop: the rest is checked, and
// the trimmer may go on.
func TestReconciler_PassesAFrameThatIsDead(t *testing.T) {
	p := newPipeline(t)
	good := p.deliver(`{"n": 1}`)
	raw := func() *nats.Msg {
		s, err := p.bus.JetStream().Stream(t.Context(), bus.Deliveries)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.GetMsg(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return &nats.Msg{Subject: got.Subject, Header: got.Header, Data: []byte("broken")}
	}()
	raw.Header.Set("Wc-Frame", "1000")
	raw.Header.Del("Nats-Msg-Id")
	if _, err := p.bus.JetStream().PublishMsg(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	p.deliver(`{"n": 2}`)
	r := newReconciler(t, p.bus, p.store)
	eventually(t, "all to be found whole", func() error { return position(r, p.bus, 3) })
	rows, err := p.store.Account(t.Context(), store.AccountQuery{
		Org: "acme", Start: good.ReceivedAt.Time, End: time.Now().Add(time.Minute), Bucket: 24 * time.Hour,
	})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%+v, %v", rows, err)
	}
	if got := rows[0]; got.Received != 3 || got.Stored != 2 || got.Dead != 1 || got.Missing != 0 {
		t.Errorf("%+v: want 2 stored and 1 dead of 3", got)
	}
}

// driven returns how often frames were driven again for want of something.
func driven(t *testing.T, reg *prometheus.Registry, missing string) float64 {
	t.Helper()
	return value(t, reg, "whatchanged_reconciler_driven_total", missing)
}

// value returns a metric, of one value of its label where it has one.
func value(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
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
	return reconcilerWith(t, b, s, prometheus.NewRegistry())
}

func reconcilerWith(t *testing.T, b *bus.Bus, s *store.Store, metrics prometheus.Registerer) *writer.Reconciler {
	t.Helper()
	return reconcilerOf(t, writer.ReconcilerDeps{
		Bus: b, Store: s, Normalize: normalize(b), Results: results, Trail: newAuditWriter(t, b, s).HandleAudit, KeepPayloads: 90 * 24 * time.Hour, Metrics: metrics,
	})
}

func reconcilerOf(t *testing.T, deps writer.ReconcilerDeps) *writer.Reconciler {
	t.Helper()
	deps.Log = bustest.Log(t)
	r, err := writer.NewReconciler(deps)
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
