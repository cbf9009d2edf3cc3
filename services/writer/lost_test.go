package writer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/services/writer"
)

// Nobody compares the audit trail with the bus: what a damaged part of it held
// is stored again from the bus, and no delivery is driven for that.
func TestReconciler_StoresTheAuditTrailAgain(t *testing.T) {
	for _, table := range []string{"audit_events", "token_uses"} {
		t.Run(table, func(t *testing.T) {
			p := newPipeline(t)
			p.deliver(`{"n":1}`)
			w := newAuditWriter(t, p.bus, p.store)
			now := time.Now()
			frames := []*bus.AuditFrame{
				auditFrame(t, audit.Events, event("done", audit.Done, 1, change.NewAuditID(now))),
				auditFrame(t, audit.Uses, audit.NewUse(auth.Principal{Org: "acme", KeyID: "key_1"}, "GET", "/", now)),
			}
			for i, f := range frames {
				if err := p.bus.PublishAudit(t.Context(), f.Kind, fmt.Sprint(i), f.Records); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.HandleAudit(t.Context(), frames); err != nil {
				t.Fatal(err)
			}
			driven := 0
			r := reconcilerOf(t, writer.ReconcilerDeps{
				Bus: p.bus, Store: p.store, Results: results, Trail: w.HandleAudit, KeepPayloads: 90 * 24 * time.Hour, Metrics: prometheus.NewRegistry(),
				Normalize: func(ctx context.Context, frames []*bus.DeliveryFrame) error {
					driven += len(frames)
					return normalize(p.bus)(ctx, frames)
				},
			})
			eventually(t, "the reconciler to find all whole", func() error { return position(r, p.bus, 1) })
			driven = 0
			p.damage(table, "*.bin")
			ask := func() (int, error) {
				if table == "audit_events" {
					page, err := p.store.FindEvents(t.Context(), store.EventQuery{Org: "acme"})
					return len(page.Data), err
				}
				uses, err := p.store.Uses(t.Context(), store.RecordQuery{Org: "acme", Start: now.Add(-time.Hour), End: now.Add(time.Hour)})
				return len(uses), err
			}
			if n, err := ask(); err == nil {
				t.Fatalf("%d records can be read from a damaged part", n)
			}
			if err := r.Turn(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, err := ask(); n != 1 || err != nil {
				t.Errorf("%d records, %v; want the one that the bus has", n, err)
			}
			if driven > 0 {
				t.Errorf("%d frames of deliveries were driven again", driven)
			}
		})
	}
}

// leaving is a store with which a turn's context ends when a part was put aside.
type leaving struct {
	*store.Store
	leave func()
}

func (l *leaving) Mend(ctx context.Context) ([]store.Damaged, error) {
	aside, err := l.Store.Mend(ctx)
	if len(aside) > 0 {
		l.leave()
	}
	return aside, err
}

// What a damaged part of incidents held is driven again, and be it a turn
// later, when the bus answers again.
func TestReconciler_DrivesAgainWhatNobodyComparesWhenTheBusIsBack(t *testing.T) {
	p := newPipeline(t)
	p.deliver(`{"n":1}`)
	s := &leaving{p.store, nil}
	driven := 0
	r := reconcilerOf(t, writer.ReconcilerDeps{
		Bus: p.bus, Store: s, Results: results, Trail: newAuditWriter(t, p.bus, p.store).HandleAudit, KeepPayloads: 90 * 24 * time.Hour, Metrics: prometheus.NewRegistry(),
		Normalize: func(ctx context.Context, frames []*bus.DeliveryFrame) error {
			driven += len(frames)
			return normalize(p.bus)(ctx, frames)
		},
	})
	eventually(t, "the reconciler to find all whole", func() error { return position(r, p.bus, 1) })
	driven = 0
	p.report()
	p.damage("incidents", "*.bin")
	if _, err := p.store.FindIncidents(t.Context(), store.IncidentQuery{Org: "acme"}); err == nil {
		t.Fatal("a damaged part can be read")
	}
	away, leave := context.WithCancel(t.Context())
	s.leave = leave
	if err := r.Turn(away); !errors.Is(err, context.Canceled) {
		t.Fatalf("the turn in which the bus went away: %v", err)
	}
	eventually(t, "the frame to be driven again", func() error {
		if err := r.Turn(t.Context()); err != nil {
			return err
		}
		if driven == 0 {
			return errors.New("it was not")
		}
		return nil
	})
	if _, err := p.store.FindIncidents(t.Context(), store.IncidentQuery{Org: "acme"}); err != nil {
		t.Error(err)
	}
}

// Payloads can be kept for a shorter time than the bus keeps frames: what is
// gone for its age is not stored again, and no alarm.
func TestReconciler_LetsPayloadsGoThatAreOver(t *testing.T) {
	p := newPipeline(t)
	p.deliver(`{"n":1}`)
	eventually(t, "the payload to be stored", func() error {
		if n := p.rows("payloads"); n != 1 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})
	metrics := prometheus.NewRegistry()
	r := reconcilerOf(t, writer.ReconcilerDeps{
		Bus: p.bus, Store: p.store, Results: results, Normalize: normalize(p.bus), Trail: newAuditWriter(t, p.bus, p.store).HandleAudit,
		KeepPayloads: time.Nanosecond, Metrics: metrics,
	})
	p.exec("TRUNCATE TABLE payloads")
	eventually(t, "the reconciler to find all whole", func() error { return position(r, p.bus, 1) })
	if n := driven(t, metrics, "payloads"); n != 0 || p.rows("payloads") != 0 {
		t.Errorf("%v frames were driven again for payloads that are over", n)
	}
}

// A part that was put aside stays there. What it held is driven again once, and
// not at every start.
func TestReconciler_DrivesOnceForAPartThatIsAside(t *testing.T) {
	p := newPipeline(t)
	p.deliver(`{"n":1}`)
	first := newReconciler(t, p.bus, p.store)
	eventually(t, "the reconciler to find all whole", func() error { return position(first, p.bus, 1) })
	p.report()
	p.exec("OPTIMIZE TABLE incidents FINAL")
	var part string
	if err := p.db.QueryRow(t.Context(), "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'incidents' AND active").Scan(&part); err != nil {
		t.Fatal(err)
	}
	p.exec("ALTER TABLE incidents DETACH PART '" + part + "'")
	driven := 0
	start := func() *writer.Reconciler {
		return reconcilerOf(t, writer.ReconcilerDeps{
			Bus: p.bus, Store: p.store, Results: results, Trail: newAuditWriter(t, p.bus, p.store).HandleAudit,
			KeepPayloads: 90 * 24 * time.Hour, Metrics: prometheus.NewRegistry(),
			Normalize: func(ctx context.Context, frames []*bus.DeliveryFrame) error {
				driven += len(frames)
				return normalize(p.bus)(ctx, frames)
			},
		})
	}
	r := start()
	eventually(t, "the frame to be driven for the part and found whole", func() error {
		if err := position(r, p.bus, 1); err != nil {
			return err
		}
		if driven == 0 {
			return errors.New("it was not driven")
		}
		return nil
	})
	if _, err := p.bus.KV(bus.BucketState).Get(t.Context(), bus.ReconcilerKey("aside")); err != nil {
		t.Fatal(err)
	}
	driven = 0
	again := start()
	eventually(t, "all to be found whole after a restart", func() error { return position(again, p.bus, 1) })
	if driven > 0 {
		t.Errorf("%d frames were driven again at the second start", driven)
	}
}
