package writer_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/fair"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/registry/registrytest"
	"whatchanged/pkg/store"
	"whatchanged/services/writer"
)

// kept notes what it is asked to remove.
type kept struct {
	bytes   map[string]int64
	expired []store.Expiry
}

func (k *kept) MeasureUsage(context.Context) (map[string]int64, error) { return k.bytes, nil }

func (k *kept) Expire(_ context.Context, all []store.Expiry) (int64, error) {
	k.expired = all
	return 7, nil
}

func newKeeper(t *testing.T) (*writer.Keeper, *kept, *bus.Bus, *registry.Registry, *prometheus.Registry) {
	t.Helper()
	b := bustest.New(t)
	reg, _ := registrytest.New(t, b.KV(bus.BucketRegistry))
	k := &kept{bytes: map[string]int64{}}
	metrics := prometheus.NewRegistry()
	keeper, err := writer.NewKeeper(writer.KeeperDeps{
		Bus: b, Store: k, Registry: reg, Quota: fair.Config{OrgQuota: 1000}.Quota, Log: slog.New(slog.DiscardHandler), Metrics: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	return keeper, k, b, reg, metrics
}

func TestKeeper_TellsEveryDoorHowMuchIsStored(t *testing.T) {
	keeper, k, _, reg, metrics := newKeeper(t)
	k.bytes = map[string]int64{registry.DefaultOrg: 850, "gone": 10}
	if err := keeper.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u, ok := reg.Usage(registry.DefaultOrg); !ok || u.Bytes != 850 || u.MeasuredAt.IsZero() {
		t.Errorf("%+v %v", u, ok)
	}
	want := `
# HELP whatchanged_keeper_quota_used_ratio How much of its quota an organisation has stored, for those that have one: an alarm above 0.8, and refusals from 1 on.
# TYPE whatchanged_keeper_quota_used_ratio gauge
whatchanged_keeper_quota_used_ratio{org="default"} 0.85
`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "whatchanged_keeper_quota_used_ratio"); err != nil {
		t.Error(err)
	}
	k.bytes[registry.DefaultOrg] = 10 // what expired
	if err := keeper.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u, _ := reg.Usage(registry.DefaultOrg); u.Bytes != 10 {
		t.Errorf("afterwards: %+v", u)
	}
}

func TestKeeper_RemovesNothingWhileABackupIsMade(t *testing.T) {
	keeper, k, b, reg, _ := newKeeper(t)
	if _, err := reg.UpdateOrg(t.Context(), registry.DefaultOrg, func(o *registry.Org) error {
		o.Retention = registry.Retention{ChangeDays: 400}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	err := b.Exclusively(t.Context(), bus.Removing, time.Second, func(ctx context.Context) error { return keeper.Sweep(ctx) })
	if problem.KindOf(err) != problem.Busy || k.expired != nil {
		t.Errorf("removed %+v: %v", k.expired, err)
	}
	if err := keeper.Sweep(t.Context()); err != nil || k.expired == nil {
		t.Errorf("afterwards removed %+v: %v", k.expired, err)
	}
}

func TestKeeper_RemovesNothingThatIsOnTheBus(t *testing.T) {
	keeper, k, b, reg, _ := newKeeper(t)
	if err := keeper.Sweep(t.Context()); err != nil || k.expired != nil {
		t.Fatalf("an org that keeps everything: %+v %v", k.expired, err)
	}
	if _, err := reg.UpdateOrg(t.Context(), registry.DefaultOrg, func(o *registry.Org) error {
		o.Retention = registry.Retention{PayloadDays: 14, ChangeDays: 400}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	round := func(e store.Expiry) store.Expiry {
		e.Changes, e.Payloads = e.Changes.Truncate(24*time.Hour), e.Payloads.Truncate(24*time.Hour)
		return e
	}
	want := round(store.Expiry{Org: registry.DefaultOrg, Changes: now.AddDate(0, 0, -400), Payloads: now.AddDate(0, 0, -14)})
	if len(k.expired) != 1 || cmp.Diff(want, round(k.expired[0])) != "" {
		t.Errorf("%+v; want %+v", k.expired, want)
	}

	// A frame that waits on the bus, as if for longer than anything is kept.
	c := b.NewCommitter(change.Fresh)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	if _, err := c.Commit(t.Context(), &change.Delivery{ID: change.NewDeliveryID(now), Org: registry.DefaultOrg, SourceID: "src_a", ReceivedAt: change.At(now)}); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	keeper.SetNow(func() time.Time { return now.AddDate(1, 0, 0) })
	if err := keeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at := k.expired[0].Payloads; at.After(now.Add(time.Minute)) {
		t.Errorf("payloads go before %v, and the bus has some from %v on", at, now)
	}
}
