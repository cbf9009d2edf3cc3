package writer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

const (
	reconcileEvery = time.Minute
	lookBack       = 24 * time.Hour // at start: heals what a power cut took from ClickHouse
	headsAtOnce    = 5_000

	// Everything that the bus has is looked at again from time to time: what was
	// stored can be lost later, with a part of a table.
	sweepEvery  = time.Hour
	sweepAtOnce = 4 * headsAtOnce // a turn
	trailAtOnce = 5_000           // records

	// Between two checks for the sake of an account that does not close: there may
	// be nothing that could mend it.
	recheckFirst = 5 * time.Minute
	recheckMost  = 6 * time.Hour

	driveFrames = 50 // at once
	driveBytes  = 4 << 20
	// maxDrives is how often a frame is driven again for want of changes: the
	// normalizers may not make any more what they made then.
	maxDrives = 5
)

// asideKey is where the parts are noted that were put aside and made good.
var asideKey = bus.ReconcilerKey("aside")

var (
	// compared are the tables whose rows the reconciler compares with the bus.
	compared = []string{"deliveries", "payloads", "changes", "receipts"}
	// trail are those whose rows the bus has on AUDIT.
	trail = []string{"audit_events", "token_uses"}
	// notDriven are those whose rows no frame brings back: usage is measured
	// again, and what was kept of a replay is nowhere else.
	notDriven = []string{"org_usage", "change_revisions", "replay_differences", "schema_migrations"}
)

// Frames says which frames are stored, and stores again what comes from the bus.
type Frames interface {
	StoredFrames(context.Context, ...store.FrameRange) (map[store.FrameID]store.StoredFrame, error)
	LacksChanges(ctx context.Context, org string, ids []change.ID) ([]change.ID, error)
	InsertPayloads(context.Context, []store.PayloadBatch) error
	InsertReceipts(context.Context, []store.Receipt) error
	// Stumbled, Mend and Aside are about parts that cannot be read.
	Stumbled() <-chan struct{}
	Mend(context.Context) ([]store.Damaged, error)
	Aside(context.Context) ([]store.Damaged, error)
}

// ReconcilerDeps is what the reconciler needs; all of it is required.
type ReconcilerDeps struct {
	Bus   *bus.Bus
	Store Frames
	// Normalize makes the results of frames again and puts them on the bus.
	Normalize func(context.Context, []*bus.DeliveryFrame) error
	// Results makes them and leaves it at that.
	Results func(context.Context, []*bus.DeliveryFrame) ([]*bus.ChangeFrame, error)
	// KeepPayloads is how long payloads are kept: what is older is not missing.
	KeepPayloads time.Duration
	// Trail stores frames of the audit trail; those that are stored already too.
	Trail   func(context.Context, []*bus.AuditFrame) error
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Reconciler compares the frames on the bus with the rows that prove that they
// are stored, and drives again what is missing. It only looks at frames that
// every consumer is past, so what it finds missing is lost, not late.
type Reconciler struct {
	ReconcilerDeps
	now    func() time.Time
	from   uint64    // the next sequence to check
	all    uint64    // up to here frames are driven again whatever the rows say; 0: none are
	wait   time.Time // until then the bus would take what is driven again for a repeat
	mark   *mark     // what to check next, once the writer is past it
	sweep  uint64    // the next sequence to look at again; 0 between two sweeps
	torn   uint64    // where this sweep found the first that is not whole
	swept  time.Time
	drives map[store.FrameID]int // of frames that lack changes

	// Rows were lost that nobody compares: what is still due for them.
	allDue, trailDue bool
	aside            []string // parts that were put aside
	noted            bool     // that what they held is made good, as far as that goes

	again   chan time.Time // from when on to check again; holds one
	stepped time.Time      // when it was done
	pause   time.Duration  // before it is done again

	driven   *prometheus.CounterVec
	unhealed prometheus.Counter
	checked,
	position prometheus.Gauge
}

// mark is a moment: deliveries up to one sequence were normalized, and all
// that came of them is on CHANGES up to the other.
type mark struct{ deliveries, changes uint64 }

// NewReconciler returns the reconciler.
func NewReconciler(deps ReconcilerDeps) (*Reconciler, error) {
	if deps.Bus == nil || deps.Store == nil || deps.Normalize == nil || deps.Results == nil || deps.Trail == nil || deps.KeepPayloads <= 0 || deps.Log == nil || deps.Metrics == nil {
		return nil, errors.New("reconciler: a dependency is missing")
	}
	r := &Reconciler{
		ReconcilerDeps: deps,
		now:            time.Now,
		drives:         map[store.FrameID]int{},
		again:          make(chan time.Time, 1),
		unhealed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_reconciler_unhealed_total",
			Help: "Frames that lack changes however often they are driven again: an alarm.",
		}),
		driven: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_reconciler_driven_total",
			Help: "Frames that were not stored though every consumer was past them, and were driven again: an alarm.",
		}, []string{"missing"}),
		checked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_reconciler_checked_timestamp_seconds",
			Help: "When the bus was last found to agree with what is stored.",
		}),
		position: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_reconciler_position",
			Help: "Sequence of DELIVERIES up to which everything was found stored.",
		}),
	}
	deps.Metrics.MustRegister(r.driven, r.unhealed, r.checked, r.position)
	for _, missing := range []string{"payloads", "deliveries", "changes", "receipts"} {
		r.driven.WithLabelValues(missing)
	}
	return r, nil
}

// Run reconciles every minute, from a day back on at the latest, until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		if err := r.Turn(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("reconciling has to be tried again", "error", err)
		}
		select {
		case <-tick.C:
		case <-r.Store.Stumbled():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Turn checks what has become settled since the last turn.
func (r *Reconciler) Turn(ctx context.Context) error {
	if err := r.begin(ctx); err != nil || time.Now().Before(r.wait) {
		return err
	}
	if err := r.stepBack(ctx); err != nil {
		return err
	}
	if err := r.sweepOn(ctx); err != nil {
		return err
	}
	now, err := r.Bus.Progress(ctx)
	if err != nil {
		return err
	}
	if r.mark == nil {
		r.mark = &mark{deliveries: min(now.Raw, now.Normalized), changes: now.ChangesEnd}
	}
	if now.Written < r.mark.changes {
		return nil // the writer is behind: nothing can be said yet
	}
	whole, err := r.check(ctx, r.mark.deliveries)
	if err != nil {
		return err
	}
	if whole {
		if err := r.Bus.Reconciled(ctx, bus.Changes, r.mark.changes); err != nil {
			return err
		}
		if err := r.noteAside(ctx); err != nil {
			return err
		}
		r.checked.SetToCurrentTime()
	}
	r.mark = nil
	r.position.Set(float64(r.from - 1))
	return r.Bus.Reconciled(ctx, bus.Deliveries, r.from-1)
}

// Recheck lets the next turn check everything that was received since then.
func (r *Reconciler) Recheck(since time.Time) {
	select {
	case r.again <- since:
	default: // one is waiting, and it is told again
	}
}

// stepBack moves to where Recheck wants to begin. For the same loss it does so
// more and more seldom.
func (r *Reconciler) stepBack(ctx context.Context) error {
	var since time.Time
	select {
	case since = <-r.again:
	default:
		return nil
	}
	switch {
	case since.After(r.stepped):
		r.pause = 0
	case time.Since(r.stepped) < r.pause:
		return nil
	}
	from, err := r.Bus.Since(ctx, since)
	if err != nil {
		return err
	}
	r.from, r.stepped, r.pause = min(r.from, from), time.Now(), min(max(2*r.pause, recheckFirst), recheckMost)
	return nil
}

// sweepOn looks at the next frames that were found stored once. It begins anew
// where some are not any more, to see that they are again.
func (r *Reconciler) sweepOn(ctx context.Context) error {
	if r.sweep == 0 {
		if time.Since(r.swept) < sweepEvery {
			return nil
		}
		r.sweep, r.torn = 1, 0
	}
	left, next := sweepAtOnce, r.from
	err := r.each(ctx, r.sweep, func(h bus.Head) bool {
		if h.Seq >= r.from {
			return false
		}
		if left == 0 {
			next = h.Seq
			return false
		}
		left--
		return true
	}, func(heads []bus.Head, whole bool) {
		if !whole && r.torn == 0 {
			r.torn = heads[0].Seq
		}
	})
	if err != nil {
		return err
	}
	if r.sweep = next; next >= r.from {
		r.sweep, r.torn, r.swept = r.torn, 0, time.Now()
	}
	return nil
}

// begin decides where to look: after a start from a day back on, earlier where
// it had not come that far, and from the beginning of the bus when rows were
// lost with a damaged part.
func (r *Reconciler) begin(ctx context.Context) error {
	damaged, err := r.Store.Mend(ctx)
	if err != nil {
		r.Log.Warn("damaged parts have to be looked at again", "error", err)
	}
	if r.from == 0 {
		if damaged, err = r.newlyAside(ctx); err != nil {
			return err
		}
		from, err := r.Bus.Since(ctx, r.now().Add(-lookBack))
		if err != nil {
			return err
		}
		done, err := r.Bus.ReconciledTo(ctx, bus.Deliveries)
		if err != nil {
			return err
		}
		r.from = min(from, done+1)
		if len(damaged) > 0 {
			r.Log.Error("parts of tables are damaged and were put aside: their rows are stored again as far as the bus has them; "+
				"older ones can be had from a backup or by a replay; the parts can be removed from detached/",
				"parts", len(damaged), "first_table", damaged[0].Table, "first_part", damaged[0].Part, "reason", damaged[0].Reason)
		}
	}
	for _, d := range damaged {
		r.lost(d.Table)
		r.aside, r.noted = append(r.aside, d.Table+"/"+d.Part), false
	}
	return r.makeGood(ctx)
}

// newlyAside returns the parts that are aside and for which nothing was done
// yet: they stay there until somebody removes them.
func (r *Reconciler) newlyAside(ctx context.Context) ([]store.Damaged, error) {
	all, err := r.Store.Aside(ctx)
	if err != nil {
		return nil, err
	}
	var done []string
	entry, err := r.Bus.KV(bus.BucketState).Get(ctx, asideKey)
	if err == nil {
		err = json.Unmarshal(entry.Value(), &done)
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fmt.Errorf("read which parts were made good: %w", err)
	}
	r.aside, r.noted = nil, true
	return slices.DeleteFunc(all, func(d store.Damaged) bool {
		part := d.Table + "/" + d.Part
		old := slices.Contains(done, part)
		if old {
			r.aside = append(r.aside, part)
		}
		return old
	}), nil
}

// noteAside notes for the next start that nothing is left to be done for the
// parts that are aside.
func (r *Reconciler) noteAside(ctx context.Context) error {
	if r.noted || r.all > 0 {
		return nil
	}
	value, err := json.Marshal(r.aside)
	if err != nil {
		return err
	}
	if _, err := r.Bus.KV(bus.BucketState).Put(ctx, asideKey, value); err != nil {
		return fmt.Errorf("note which parts were made good: %w", err)
	}
	r.noted = true
	return nil
}

// lost notes what is to be done where a table has lost rows.
func (r *Reconciler) lost(table string) {
	switch {
	case slices.Contains(compared, table):
		r.from, r.mark = 1, nil
	case slices.Contains(trail, table):
		r.trailDue = true
	case !slices.Contains(notDriven, table):
		r.from, r.mark, r.allDue = 1, nil, true
	}
}

// makeGood begins what is due for rows that nobody compares: they show nowhere,
// so it is due until it could be done.
func (r *Reconciler) makeGood(ctx context.Context) error {
	if r.trailDue {
		if err := r.storeTrail(ctx); err != nil {
			return fmt.Errorf("store the audit trail again: %w", err)
		}
		r.trailDue = false
	}
	if r.allDue {
		if err := r.driveAll(ctx); err != nil {
			return err
		}
		r.allDue = false
	}
	return nil
}

// storeTrail stores again what the bus has of the audit trail.
func (r *Reconciler) storeTrail(ctx context.Context) error {
	var frames []*bus.AuditFrame
	records := 0
	flush := func() error {
		err := r.Trail(ctx, frames)
		frames, records = nil, 0
		return err
	}
	if err := r.Bus.AuditFrames(ctx, func(f *bus.AuditFrame) error {
		frames, records = append(frames, f), records+len(f.Records)
		if records < trailAtOnce {
			return nil
		}
		return flush()
	}); err != nil {
		return err
	}
	return flush()
}

// driveAll lets every frame be driven again that is settled now.
func (r *Reconciler) driveAll(ctx context.Context) error {
	now, err := r.Bus.Progress(ctx)
	if err != nil {
		return err
	}
	changes, err := r.Bus.JetStream().Stream(ctx, bus.Changes)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", bus.Changes, err)
	}
	r.all = min(now.Raw, now.Normalized)
	r.wait = time.Now().Add(changes.CachedInfo().Config.Duplicates)
	return nil
}

// check compares all frames up to a sequence and drives again what is missing.
// It moves r.from behind the frames that are whole, and reports whether all were.
func (r *Reconciler) check(ctx context.Context, to uint64) (whole bool, err error) {
	whole = true
	err = r.each(ctx, r.from, func(h bus.Head) bool { return h.Seq <= to }, func(heads []bus.Head, ok bool) {
		if whole = whole && ok; whole {
			r.from = heads[len(heads)-1].Seq + 1
		}
	})
	if err == nil && r.from > r.all {
		r.all = 0
	}
	return whole && err == nil, err
}

// each compares the frames from a sequence on, as long as they are wanted, and
// tells for some at a time whether they were whole.
func (r *Reconciler) each(ctx context.Context, from uint64, wanted func(bus.Head) bool, tell func(heads []bus.Head, whole bool)) error {
	var heads []bus.Head
	flush := func() error {
		if len(heads) == 0 {
			return nil
		}
		whole, err := r.compare(ctx, heads)
		if err != nil {
			return err
		}
		tell(heads, whole)
		heads = heads[:0]
		return nil
	}
	err := r.Bus.Heads(ctx, from, func(h bus.Head) error {
		if !wanted(h) {
			return errPast
		}
		heads = append(heads, h)
		if len(heads) == headsAtOnce {
			return flush()
		}
		return nil
	})
	if err != nil && !errors.Is(err, errPast) {
		return err
	}
	return flush()
}

var errPast = errors.New("past what is wanted")

// gap is what is not stored of a frame.
type gap struct {
	bus.Head
	payloads, deliveries bool
	short                []int // places that lack changes, it seems
	anyhow               bool  // nobody can say whether it is whole
}

// compare reports whether all of the frames are stored, after driving again
// those that are not.
func (r *Reconciler) compare(ctx context.Context, heads []bus.Head) (whole bool, err error) {
	stored, err := r.Store.StoredFrames(ctx, ranges(heads)...)
	if err != nil {
		return false, fmt.Errorf("look up stored frames: %w", err)
	}
	var gaps []gap
	var uncounted []bus.Head
	for _, h := range heads {
		has := stored[store.FrameID{Chain: h.Chain, Frame: h.Number}]
		g := gap{
			Head: h, payloads: len(has.Payloads) < h.Deliveries && time.Since(h.Stored) < r.KeepPayloads-beforeFrame, deliveries: len(has.Deliveries) < h.Deliveries,
			short: has.Short, anyhow: h.Seq <= r.all,
		}
		if g.payloads || g.deliveries || len(g.short) > 0 || g.anyhow {
			gaps = append(gaps, g)
		}
		if has.Received < h.Deliveries {
			uncounted = append(uncounted, h)
		}
	}
	if err := r.enter(ctx, uncounted); err != nil {
		return false, err
	}
	m := mending{Reconciler: r}
	for _, g := range gaps {
		if err := m.add(ctx, g); err != nil {
			return false, fmt.Errorf("drive frame %s/%d again: %w", g.Chain, g.Number, err)
		}
	}
	if err := m.flush(ctx); err != nil {
		return false, fmt.Errorf("drive frames again: %w", err)
	}
	if m.driven > 0 {
		r.Log.Error("frames were not wholly stored and are driven again",
			"frames", m.driven, "of", len(heads), "first_chain", m.first.Chain, "first_frame", m.first.Number)
	}
	return m.driven == 0, nil
}

// enter stores the receipts of frames that have none. It is no alarm where the
// counter has not been yet.
func (r *Reconciler) enter(ctx context.Context, heads []bus.Head) error {
	if len(heads) == 0 {
		return nil
	}
	counted, err := r.Bus.Counted(ctx)
	if err != nil {
		return err
	}
	var all []store.Receipt
	for _, h := range heads {
		receipts, err := r.Bus.Receipts(ctx, h)
		if bus.IsDead(err) || bus.IsGone(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("count frame %s/%d: %w", h.Chain, h.Number, err)
		}
		if h.Seq <= counted.Seq {
			r.driven.WithLabelValues("receipts").Inc()
		}
		all = append(all, storedReceipts(receipts, false)...)
	}
	return r.Store.InsertReceipts(ctx, all)
}

// ranges covers the frames with as few ranges as there are chains.
func ranges(heads []bus.Head) []store.FrameRange {
	at := make(map[string]int)
	var out []store.FrameRange
	for _, h := range heads {
		i, ok := at[h.Chain]
		if !ok {
			i = len(out)
			at[h.Chain] = i
			out = append(out, store.FrameRange{Chain: h.Chain, From: h.Number, To: h.Number})
		}
		out[i].From, out[i].To = min(out[i].From, h.Number), max(out[i].To, h.Number)
	}
	return out
}
