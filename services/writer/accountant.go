package writer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/store"
)

const (
	accountEvery = time.Minute
	// settledAfter is how long after its end a minute must close.
	settledAfter = 2 * time.Minute
	// accountAnew is what every turn looks at: a delivery can be committed some
	// time after it was received.
	accountAnew = 4 * time.Minute
	// accountBack is how far back minutes are looked at, an hour a turn.
	accountBack  = 24 * time.Hour
	rangesAtOnce = 24
	lateReceipts = 3000
)

// Books keeps receipts and compares them with what became of the deliveries.
type Books interface {
	InsertReceipts(context.Context, []store.Receipt) error
	ReceivingOrgs(ctx context.Context, start, end time.Time) ([]string, error)
	Account(context.Context, store.AccountQuery) ([]store.AccountRow, error)
}

// AccountantDeps is what the accountant needs; all of it is required.
type AccountantDeps struct {
	Bus     *bus.Bus
	Books   Books
	Missing func(since time.Time) // told when deliveries of a minute are missing
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Accountant checks every minute that all accounts of the last day close: that
// each delivery which was received is stored, a duplicate, ignored, dead or in
// flight. When one does not, it says so once, in a metric and to whoever mends it.
type Accountant struct {
	AccountantDeps
	now  func() time.Time
	back time.Time        // minutes from here on are known
	anew time.Time        // and those from here on are looked at again
	open map[int64]*entry // by Unix time: minutes of which something is missing or in flight
	day  map[int64]states // by Unix time: what is known of the minutes of the last day
	bad  int              // turns in a row that found something missing
	told bool

	missing, inFlight, oldest, closed, checked prometheus.Gauge
	deliveries                                 *prometheus.GaugeVec
}

// stateNames are what can be said of deliveries: how many were received, and
// what became of them.
var stateNames = [...]string{"received", "stored", "duplicate", "ignored", "dead", "in_flight", "missing"}

// states are the numbers to stateNames.
type states [len(stateNames)]int64

func statesOf(row store.AccountRow) states {
	return states{row.Received, row.Stored, row.Duplicate, row.Ignored, row.Dead, row.InFlight, row.Missing}
}

func (s *states) add(other states) {
	for i, n := range other {
		s[i] += n
	}
}

// entry is what is open of one minute, of all sources.
type entry struct {
	missing, inFlight int64
	org, source       string // of which most is missing
	most              int64
}

// NewAccountant returns the accountant.
func NewAccountant(deps AccountantDeps) (*Accountant, error) {
	if deps.Bus == nil || deps.Books == nil || deps.Missing == nil || deps.Log == nil || deps.Metrics == nil {
		return nil, errors.New("accountant: a dependency is missing")
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "whatchanged", Subsystem: "account", Name: name, Help: help})
		deps.Metrics.MustRegister(g)
		return g
	}
	deliveries := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "whatchanged_account_deliveries",
		Help: "Deliveries received in the last day, and what became of them; after a start an hour more of it is looked at every minute.",
	}, []string{"state"})
	deps.Metrics.MustRegister(deliveries)
	for _, state := range stateNames {
		deliveries.WithLabelValues(state)
	}
	return &Accountant{
		AccountantDeps: deps, now: time.Now, open: map[int64]*entry{}, day: map[int64]states{}, deliveries: deliveries,
		missing:  gauge("missing", "Deliveries of the last day that were received and of which nothing says what became of them: an alarm."),
		inFlight: gauge("in_flight", "Deliveries that were received and are not through the pipeline yet."),
		oldest:   gauge("in_flight_oldest_seconds", "Since the minute in which the oldest of them was received."),
		closed:   gauge("closed", "1 while nothing of the last day is missing."),
		checked:  gauge("checked_timestamp_seconds", "When the account was last looked at."),
	}, nil
}

// Enter keeps what the bus has counted.
func (a *Accountant) Enter(ctx context.Context, receipts []bus.Receipt) error {
	return a.Books.InsertReceipts(ctx, storedReceipts(receipts, false))
}

func storedReceipts(in []bus.Receipt, dead bool) []store.Receipt {
	out := make([]store.Receipt, len(in))
	for i, r := range in {
		out[i] = store.Receipt{
			Org: r.Org, SourceID: r.SourceID, Minute: r.Minute, Chain: r.Chain, Frame: r.Frame, Seq: r.Seq, Count: r.Count, Dead: dead,
		}
	}
	return out
}

// Run looks at the accounts every minute until ctx ends.
func (a *Accountant) Run(ctx context.Context) error {
	tick := time.NewTicker(accountEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := a.Turn(ctx); err != nil && ctx.Err() == nil {
			a.Log.Warn("the account has to be looked at again", "error", err)
		}
	}
}

// Turn looks at the newest minutes, at those that were open, and at one hour
// more of the past.
func (a *Accountant) Turn(ctx context.Context) error {
	now := a.now().Truncate(time.Minute)
	if a.back.IsZero() {
		a.back, a.anew = now.Add(-accountAnew), now.Add(-accountAnew)
	}
	state, err := a.Bus.Standing(ctx, lateReceipts)
	if err != nil {
		return err
	}
	look := append(a.openRanges(), span{a.anew, now.Add(2 * time.Minute)})
	if a.back.After(now.Add(-accountBack)) {
		look = append(look, span{a.back.Add(-time.Hour), a.back})
	}
	for _, r := range look {
		if err := a.look(ctx, r, state); err != nil {
			return err
		}
	}
	if a.back.After(now.Add(-accountBack)) {
		a.back = a.back.Add(-time.Hour)
	}
	a.anew = now.Add(-accountAnew)
	a.tell(now)
	return nil
}

// span is from a minute up to another.
type span struct{ start, end time.Time }

func (s span) has(unix int64) bool { return unix >= s.start.Unix() && unix < s.end.Unix() }

// openRanges joins the open minutes that every turn does not look at anyway.
func (a *Accountant) openRanges() []span {
	var out []span
	for _, unix := range slices.Sorted(maps.Keys(a.open)) {
		at := time.Unix(unix, 0)
		if !at.Before(a.anew) {
			break
		}
		if last := len(out) - 1; last >= 0 && out[last].end.Equal(at) && at.Sub(out[last].start) < time.Hour {
			out[last].end = at.Add(time.Minute)
			continue
		}
		if len(out) == rangesAtOnce {
			break
		}
		out = append(out, span{at, at.Add(time.Minute)})
	}
	return out
}

// look finds out what is open of some minutes.
func (a *Accountant) look(ctx context.Context, r span, state bus.Standing) error {
	orgs, err := a.Books.ReceivingOrgs(ctx, r.start, r.end)
	if err != nil {
		return err
	}
	for _, late := range state.Late {
		orgs = append(orgs, late.Org)
	}
	slices.Sort(orgs)
	found, known := map[int64]*entry{}, map[int64]states{}
	for _, org := range slices.Compact(orgs) {
		rows, err := a.Books.Account(ctx, store.AccountQuery{
			Org: org, Start: r.start, End: r.end, Bucket: time.Minute,
			Bus: store.BusState{Settled: state.Settled, End: state.End, Began: state.Began, Late: storedReceipts(state.Late, false)},
		})
		if err != nil {
			return fmt.Errorf("account of %s: %w", org, err)
		}
		for _, row := range rows {
			sum := known[row.Start.Unix()]
			sum.add(statesOf(row))
			known[row.Start.Unix()] = sum
			if row.Missing == 0 && row.InFlight == 0 {
				continue
			}
			e := found[row.Start.Unix()]
			if e == nil {
				e = &entry{}
				found[row.Start.Unix()] = e
			}
			e.missing += row.Missing
			e.inFlight += row.InFlight
			if row.Missing > e.most {
				e.most, e.org, e.source = row.Missing, org, row.SourceID
			}
		}
	}
	maps.DeleteFunc(a.open, func(unix int64, _ *entry) bool { return r.has(unix) })
	maps.DeleteFunc(a.day, func(unix int64, _ states) bool { return r.has(unix) })
	maps.Copy(a.open, found)
	maps.Copy(a.day, known)
	return nil
}

// tell sets the metrics, and says so when the account stops closing or closes
// again. One turn may find what is only late to be seen; two may not.
func (a *Accountant) tell(now time.Time) {
	maps.DeleteFunc(a.open, func(unix int64, _ *entry) bool { return unix < now.Add(-accountBack).Unix() })
	maps.DeleteFunc(a.day, func(unix int64, _ states) bool { return unix < now.Add(-accountBack).Unix() })
	var sum states
	for _, minute := range a.day {
		sum.add(minute)
	}
	for i, state := range stateNames {
		a.deliveries.WithLabelValues(state).Set(float64(sum[i]))
	}
	var missing, inFlight int64
	var first, flying int64
	for _, unix := range slices.Sorted(maps.Keys(a.open)) {
		e := a.open[unix]
		inFlight += e.inFlight
		if e.inFlight > 0 {
			flying = cmp.Or(flying, unix)
		}
		if e.missing > 0 && !time.Unix(unix, 0).Add(time.Minute+settledAfter).After(now) {
			missing += e.missing
			first = cmp.Or(first, unix)
		}
	}
	a.missing.Set(float64(missing))
	a.inFlight.Set(float64(inFlight))
	a.oldest.Set(0)
	if flying > 0 {
		a.oldest.Set(now.Sub(time.Unix(flying, 0)).Seconds())
	}
	a.checked.SetToCurrentTime()
	if missing == 0 {
		a.closed.Set(1)
		if a.told {
			a.Log.Info("the account of the last day closes again")
		}
		a.bad, a.told = 0, false
		return
	}
	a.closed.Set(0)
	a.Missing(time.Unix(first, 0))
	if a.bad++; a.bad < 2 || a.told {
		return
	}
	e := a.open[first]
	a.told = true
	a.Log.Error("the account does not close: deliveries were received and nothing says what became of them",
		"missing", missing, "since", time.Unix(first, 0).UTC(), "org", e.org, "source_id", e.source)
}
