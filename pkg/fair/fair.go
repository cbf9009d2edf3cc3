package fair

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/registry"
)

const (
	lookEvery = 200 * time.Millisecond
	settling  = 2 * time.Second  // what an org sent longer ago hardly counts
	calm      = 5 * time.Second  // on the lane bulk at least, and busy at least
	forgotten = time.Hour        // without a delivery
	askEvery  = time.Second      // how far the normalizer is behind
	askSeldom = 30 * time.Second // when that cannot be known

	// manyWaiting and manyBehind are a backlog: deliveries that wait to be
	// committed, and frames that wait to be normalized.
	manyWaiting = 500
	manyBehind  = 500

	// heavy is the cost a second below which an org is in nobody's way.
	heavy = 100

	// maxOrgs bounds the orgs that are remembered, twice: beyond it those that were
	// there are forgotten, and begin anew.
	maxOrgs = 16_384
)

// Registry says what an org may do, and what is stored of it.
type Registry interface {
	Org(id string) (*registry.Org, bool)
	Usage(org string) (*registry.Usage, bool)
}

// Deps is what Orgs needs. Waiting and Lag may be nil: then rates alone decide.
type Deps struct {
	Registry Registry
	Waiting  func() int                            // deliveries that wait to be committed on the lane fresh
	Lag      func(context.Context) (uint64, error) // frames of the lane fresh that wait to be normalized
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Orgs is every org that sent something lately, and how it stands. Run brings
// that up to date.
type Orgs struct {
	cfg      Config
	registry Registry
	waiting  func() int
	lag      func(context.Context) (uint64, error)
	log      *slog.Logger
	metrics  *metrics

	known atomic.Pointer[map[string]*Org] // replaced, never written to
	mu    sync.Mutex                      // of who replaces it, and of young
	young map[string]*Org                 // since the last look

	// The rest is of who looks.
	looked    time.Time
	asked     time.Time
	behind    bool
	busyUntil time.Time
	idle      bool // somebody can be forgotten
	ranked    []*Org
}

// New returns Orgs that knows nobody yet.
func New(deps Deps, cfg Config) (*Orgs, error) {
	if deps.Registry == nil || deps.Log == nil {
		return nil, errors.New("fair: registry and log are required")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Orgs{cfg: cfg, registry: deps.Registry, waiting: deps.Waiting, lag: deps.Lag, log: deps.Log, looked: time.Now(), young: map[string]*Org{}}
	a.known.Store(&map[string]*Org{})
	a.metrics = newMetrics(deps.Metrics)
	return a, nil
}

// Org returns how an org stands; nil, which has no limits, of nil Orgs.
func (a *Orgs) Org(id string) *Org {
	if a == nil {
		return nil
	}
	if o, ok := (*a.known.Load())[id]; ok {
		return o
	}
	return a.add(id)
}

// add returns an org that was not there at the last look. Until the next one,
// those who ask for such orgs wait for each other.
func (a *Orgs) add(id string) *Org {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o, ok := (*a.known.Load())[id]; ok {
		return o
	}
	if o, ok := a.young[id]; ok {
		return o
	}
	if len(a.young) >= maxOrgs {
		clear(a.young)
	}
	o := &Org{all: a, id: id}
	o.refresh()
	a.young[id] = o
	return o
}

// settle returns every org there is, the new ones too, less those of which nothing
// was heard for long. From now on nobody waits for them.
func (a *Orgs) settle(now time.Time) map[string]*Org {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := *a.known.Load()
	if len(a.young) == 0 && !a.idle {
		return known
	}
	next := maps.Clone(known)
	maps.DeleteFunc(next, func(_ string, o *Org) bool { return now.Sub(o.seen) > forgotten })
	if len(next)+len(a.young) > maxOrgs {
		clear(next)
	}
	maps.Copy(next, a.young)
	clear(a.young)
	a.known.Store(&next)
	return next
}

// Quota is that of the configuration; nil Orgs has none of its own.
func (a *Orgs) Quota(record *registry.Org) int64 {
	if a == nil {
		return Config{}.Quota(record)
	}
	return a.cfg.Quota(record)
}

// limitsOf returns the limits of an org: its own, else those of the configuration.
// Less than 0 in its own record is none at all.
func (a *Orgs) limitsOf(record *registry.Org) (l registry.Limits) {
	if record != nil {
		l = record.Limits
	}
	if l.Requests == 0 {
		l.Requests, l.RequestBurst = int64(a.cfg.OrgRate), cmp.Or(l.RequestBurst, int64(a.cfg.OrgBurst))
	}
	if l.Bytes == 0 {
		l.Bytes, l.ByteBurst = int64(a.cfg.OrgBytes), cmp.Or(l.ByteBurst, int64(a.cfg.OrgByteBurst))
	}
	return l
}

// Run looks at rates and backlog until ctx ends.
func (a *Orgs) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			a.ask(ctx, now)
			a.look(now)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask finds out whether the normalizer is behind. Who may not know that, such as
// a receiver whose account on the bus can do no more than publish, goes by rates.
func (a *Orgs) ask(ctx context.Context, now time.Time) {
	if a.lag == nil || now.Before(a.asked) {
		return
	}
	a.asked = now.Add(askEvery)
	within, cancel := context.WithTimeout(ctx, askEvery/2)
	defer cancel()
	frames, err := a.lag(within)
	if err != nil {
		a.asked = now.Add(askSeldom)
		a.log.Debug("the normalizer's lag is not known", "error", err)
	}
	a.behind = err == nil && frames >= manyBehind
}

// look takes what every org sent since the last look, and moves orgs between the
// lanes.
func (a *Orgs) look(now time.Time) {
	elapsed := max(now.Sub(a.looked), time.Millisecond).Seconds()
	a.looked = now
	fade := math.Exp(-elapsed / settling.Seconds())
	known, total := a.settle(now), 0.0
	a.ranked, a.idle = a.ranked[:0], false
	for _, o := range known {
		o.refresh()
		n := o.cost.Swap(0)
		if o.rate = o.rate*fade + float64(n)/elapsed*(1-fade); n > 0 || o.seen.IsZero() {
			o.seen = now
		}
		if now.Sub(o.seen) > forgotten {
			a.idle = true
			continue
		}
		total += o.rate
		a.ranked = append(a.ranked, o)
	}
	if a.behind || total >= float64(a.cfg.BusyRate) || a.waiting != nil && a.waiting() >= manyWaiting {
		a.busyUntil = now.Add(calm)
	}
	busy := now.Before(a.busyUntil)
	slices.SortFunc(a.ranked, func(x, y *Org) int { return cmp.Compare(x.rate, y.rate) })
	a.move(now, busy)
	clear(a.ranked)
}

// move puts the orgs above their share on the lane bulk. From the smallest on,
// the first that sends far more than the mean of those before it is above, and so
// is everyone who sends more: those who send little are in nobody's way, whoever
// else there is. Who is alone is in nobody's way either.
func (a *Orgs) move(now time.Time, busy bool) {
	less, onBulk, above := 0.0, 0, false
	for i, o := range a.ranked {
		share := float64(a.cfg.Share)
		if o.bulk.Load() {
			share /= 2 // not to and fro
		}
		above = above || busy && i > 0 && o.rate >= heavy && o.rate > share*less/float64(i)
		less += o.rate
		if above {
			o.until = now.Add(calm)
		}
		bulk := now.Before(o.until)
		if bulk {
			onBulk++
		}
		if bulk == o.bulk.Load() {
			continue
		}
		o.bulk.Store(bulk)
		lane := change.Fresh
		if bulk {
			lane = change.Bulk
		}
		a.metrics.moves.WithLabelValues(lane).Inc()
		a.log.Info("an organisation changes lanes", "org", o.id, "lane", lane, "rate", math.Round(o.rate))
	}
	a.metrics.orgs.Set(float64(len(a.ranked)))
	a.metrics.bulk.Set(float64(onBulk))
	a.metrics.busy.Set(0)
	if busy {
		a.metrics.busy.Set(1)
	}
}

// Committer makes deliveries durable on one lane.
type Committer interface {
	Commit(context.Context, *change.Delivery) (bus.Position, error)
}

// Lanes commits each delivery on the lane that its org is on.
type Lanes struct {
	Orgs        *Orgs
	Fresh, Bulk Committer
}

// Commit returns nil only when d is on disk.
func (l *Lanes) Commit(ctx context.Context, d *change.Delivery) (bus.Position, error) {
	if l.Orgs.Org(d.Org).take(len(d.Body)) {
		return l.Bulk.Commit(ctx, d)
	}
	return l.Fresh.Commit(ctx, d)
}
