package writer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/store"
)

const (
	measureEvery = 10 * time.Minute
	// measureShare keeps measuring from taking more than a twentieth of the time.
	measureShare = 20
	sweepOrgs    = 6 * time.Hour    // between two looks for what has expired
	keeperStart  = 30 * time.Second // after the start, which has enough to do
	// beforeFrame is how much earlier than its frame was stored a delivery may have
	// been received: clocks differ.
	beforeFrame = time.Hour
	// removePatience is how long a sweep waits for a backup that is made: the next one
	// is as good.
	removePatience = time.Second
	// quotaWarning is how much of its quota an org may use before it is said.
	quotaWarning = 0.8
)

// Kept is what is stored of each org.
type Kept interface {
	MeasureUsage(context.Context) (map[string]int64, error)
	Expire(context.Context, []store.Expiry) (int64, error)
}

// KeeperDeps is what the keeper needs; all of it is required.
type KeeperDeps struct {
	Bus      *bus.Bus
	Store    Kept
	Registry *registry.Registry
	Quota    func(*registry.Org) int64 // in bytes; not more than 0: none
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Keeper measures how much is stored of each org, tells the doors of those that
// have a quota, and removes what an org does not keep any longer. One process does
// it for all.
type Keeper struct {
	KeeperDeps
	now  func() time.Time
	told map[string]bool // orgs that are said to be near their quota

	measured prometheus.Gauge
	removed  prometheus.Counter
	used     *prometheus.GaugeVec
}

// NewKeeper returns the keeper.
func NewKeeper(deps KeeperDeps) (*Keeper, error) {
	if deps.Bus == nil || deps.Store == nil || deps.Registry == nil || deps.Quota == nil || deps.Log == nil || deps.Metrics == nil {
		return nil, errors.New("keeper: a dependency is missing")
	}
	k := &Keeper{
		KeeperDeps: deps, now: time.Now, told: map[string]bool{},
		measured: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_keeper_measured_timestamp_seconds",
			Help: "When it was last measured how much is stored of each organisation.",
		}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_keeper_removed_rows_total",
			Help: "Rows removed because an organisation does not keep them any longer.",
		}),
		used: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "whatchanged_keeper_quota_used_ratio",
			Help: "How much of its quota an organisation has stored, for those that have one: an alarm above 0.8, and refusals from 1 on.",
		}, []string{"org"}),
	}
	deps.Metrics.MustRegister(k.measured, k.removed, k.used)
	return k, nil
}

// Run measures and removes until ctx ends, while no other process does.
func (k *Keeper) Run(ctx context.Context) error {
	return k.Bus.Alone(ctx, "keeper", func(ctx context.Context) error {
		var swept time.Time
		wait := keeperStart
		for {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
			began := k.now()
			if err := k.Measure(ctx); err != nil && ctx.Err() == nil {
				k.Log.Warn("what is stored has to be measured again", "error", err)
			}
			took := k.now().Sub(began)
			if k.now().Sub(swept) >= sweepOrgs {
				if err := k.Sweep(ctx); err != nil && ctx.Err() == nil {
					k.Log.Warn("what has expired has to be looked for again", "error", err)
				}
				swept = k.now()
			}
			wait = max(measureEvery, measureShare*took)
		}
	})
}

// Measure measures what is stored, and tells every door of those that have a quota.
func (k *Keeper) Measure(ctx context.Context) error {
	bytes, err := k.Store.MeasureUsage(ctx)
	if err != nil {
		return err
	}
	k.measured.SetToCurrentTime()
	k.used.Reset()
	var errs []error
	for _, o := range k.Registry.Orgs() {
		quota := k.Quota(o)
		if quota <= 0 {
			continue
		}
		used := float64(bytes[o.ID]) / float64(quota)
		k.used.WithLabelValues(o.ID).Set(used)
		k.tell(o.ID, used, bytes[o.ID], quota)
		if known, ok := k.Registry.Usage(o.ID); ok && known.Bytes == bytes[o.ID] {
			continue
		}
		if err := k.Registry.SetUsage(ctx, registry.Usage{Org: o.ID, Bytes: bytes[o.ID], MeasuredAt: change.At(k.now())}); err != nil {
			errs = append(errs, fmt.Errorf("tell the usage of %s: %w", o.ID, err))
		}
	}
	return errors.Join(errs...)
}

// tell says once that an org comes near its quota, and that it does no more.
func (k *Keeper) tell(org string, used float64, bytes, quota int64) {
	near := used >= quotaWarning
	if near == k.told[org] {
		return
	}
	if near {
		k.told[org] = true
		k.Log.Warn("an organisation comes near its quota: at the quota its deliveries are refused", "org", org, "bytes", bytes, "quota", quota)
		return
	}
	delete(k.told, org)
	k.Log.Info("an organisation is well below its quota again", "org", org, "bytes", bytes, "quota", quota)
}

// Sweep removes what orgs do not keep any longer. What is on the bus stays,
// however old: the reconciler would store it again.
func (k *Keeper) Sweep(ctx context.Context) error {
	status, err := k.Bus.Status(ctx)
	if err != nil {
		return err
	}
	now := k.now()
	oldest := now
	for _, s := range status.Streams {
		if (s.Name == bus.Deliveries || s.Name == bus.Changes) && s.Messages > 0 && s.FirstTime.Before(oldest) {
			oldest = s.FirstTime
		}
	}
	oldest = oldest.Add(-beforeFrame)
	before := func(days int) time.Time {
		if days == 0 {
			return time.Time{}
		}
		at := now.AddDate(0, 0, -days)
		if oldest.Before(at) {
			return oldest
		}
		return at
	}
	var all []store.Expiry
	for _, o := range k.Registry.Orgs() {
		if o.Retention != (registry.Retention{}) {
			all = append(all, store.Expiry{
				Org: o.ID, Changes: before(o.Retention.ChangeDays), Deliveries: before(o.Retention.DeliveryDays), Payloads: before(o.Retention.PayloadDays),
			})
		}
	}
	if len(all) == 0 {
		return nil
	}
	var removed int64
	err = k.Bus.Exclusively(ctx, bus.Removing, removePatience, func(ctx context.Context) (err error) {
		removed, err = k.Store.Expire(ctx, all)
		return err
	})
	k.removed.Add(float64(removed))
	if removed > 0 {
		k.Log.Info("what organisations do not keep any longer was removed", "rows", removed, "orgs", len(all))
	}
	return err
}
