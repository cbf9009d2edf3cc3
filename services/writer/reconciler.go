package writer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/store"
)

const (
	reconcileEvery = time.Minute
	lookBack       = 24 * time.Hour // at start: heals what a power cut took from ClickHouse
	headsAtOnce    = 5_000
	framesAtOnce   = 16 // each of 4 MiB at most, but for one large delivery
)

// Frames says which frames are stored, and stores payloads again.
type Frames interface {
	StoredFrames(context.Context, ...store.FrameRange) (map[store.FrameID]store.StoredFrame, error)
	InsertPayloads(context.Context, []store.PayloadBatch) error
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
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

// Reconciler compares the frames on the bus with the rows that prove that they
// are stored, and drives again what is missing. It only looks at frames that
// every consumer is past, so what it finds missing is lost, not late.
type Reconciler struct {
	ReconcilerDeps
	from   uint64    // the next sequence to check
	again  uint64    // up to here frames are driven again whatever the rows say; 0: none are
	pause  time.Time // until then the bus would take what is driven again for a repeat
	mark   *mark     // what to check next, once the writer is past it
	driven *prometheus.CounterVec
	checked,
	position prometheus.Gauge
}

// mark is a moment: deliveries up to one sequence were normalized, and all
// that came of them is on CHANGES up to the other.
type mark struct{ deliveries, changes uint64 }

// NewReconciler returns the reconciler.
func NewReconciler(deps ReconcilerDeps) (*Reconciler, error) {
	if deps.Bus == nil || deps.Store == nil || deps.Normalize == nil || deps.Log == nil || deps.Metrics == nil {
		return nil, errors.New("reconciler: a dependency is missing")
	}
	r := &Reconciler{
		ReconcilerDeps: deps,
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
	deps.Metrics.MustRegister(r.driven, r.checked, r.position)
	for _, missing := range []string{"payloads", "deliveries"} {
		r.driven.WithLabelValues(missing)
	}
	return r, nil
}

// Run reconciles every minute, from a day back on, until ctx ends.
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
	if err := r.begin(ctx); err != nil || time.Now().Before(r.pause) {
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
		r.checked.SetToCurrentTime()
	}
	r.mark = nil
	r.position.Set(float64(r.from - 1))
	return r.Bus.Reconciled(ctx, bus.Deliveries, r.from-1)
}

// begin decides where to look: after a start from a day back on, and from the
// beginning of the bus when rows were lost with a damaged part.
func (r *Reconciler) begin(ctx context.Context) error {
	damaged, err := r.Store.Mend(ctx)
	if err != nil {
		r.Log.Warn("damaged parts have to be looked at again", "error", err)
	}
	if r.from == 0 {
		if damaged, err = r.Store.Aside(ctx); err != nil {
			return err
		}
		from, err := r.Bus.Since(ctx, time.Now().Add(-lookBack))
		if err != nil {
			return err
		}
		r.from = from
		if len(damaged) > 0 {
			r.Log.Error("parts of tables are damaged and were put aside: their rows are stored again as far as the bus has them; "+
				"older ones can be had from a backup or by a replay; then remove the parts from detached/ to end this",
				"parts", len(damaged), "first_table", damaged[0].Table, "first_part", damaged[0].Part, "reason", damaged[0].Reason)
		}
	}
	if len(damaged) == 0 {
		return nil
	}
	r.from, r.mark = 1, nil
	// What tables lost whose rows prove nothing shows nowhere.
	if slices.ContainsFunc(damaged, func(d store.Damaged) bool { return d.Table != "deliveries" && d.Table != "payloads" }) {
		return r.driveAll(ctx)
	}
	return nil
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
	r.again = min(now.Raw, now.Normalized)
	r.pause = time.Now().Add(changes.CachedInfo().Config.Duplicates)
	return nil
}

// check compares all frames up to a sequence and drives again what is missing.
// It moves r.from behind the frames that are whole, and reports whether all were.
func (r *Reconciler) check(ctx context.Context, to uint64) (whole bool, err error) {
	var heads []bus.Head
	whole = true
	flush := func() error {
		ok, err := r.compare(ctx, heads)
		if ok && whole && len(heads) > 0 {
			r.from = heads[len(heads)-1].Seq + 1
		}
		whole = whole && ok
		heads = heads[:0]
		return err
	}
	err = r.Bus.Heads(ctx, r.from, func(h bus.Head) error {
		if h.Seq > to {
			return errPast
		}
		heads = append(heads, h)
		if len(heads) == headsAtOnce {
			return flush()
		}
		return nil
	})
	if err != nil && !errors.Is(err, errPast) {
		return false, err
	}
	return whole, flush()
}

var errPast = errors.New("past what is settled")

// compare reports whether all of the frames are stored, after driving again
// those that are not.
func (r *Reconciler) compare(ctx context.Context, heads []bus.Head) (whole bool, err error) {
	stored, err := r.Store.StoredFrames(ctx, ranges(heads)...)
	if err != nil {
		return false, fmt.Errorf("look up stored frames: %w", err)
	}
	var missing, payloads, deliveries []bus.Head
	for _, h := range heads {
		has := stored[store.FrameID{Chain: h.Chain, Frame: h.Number}]
		noPayloads, noDeliveries := len(has.Payloads) < h.Deliveries, len(has.Deliveries) < h.Deliveries
		if noPayloads {
			payloads = append(payloads, h)
		}
		if noDeliveries || h.Seq <= r.again {
			deliveries = append(deliveries, h)
		}
		if noPayloads || noDeliveries {
			missing = append(missing, h)
		}
	}
	err = errors.Join(
		r.drive(ctx, "payloads", payloads, func(ctx context.Context, frames []*bus.DeliveryFrame) error {
			return r.Store.InsertPayloads(ctx, payloadsOf(frames))
		}),
		r.drive(ctx, "deliveries", deliveries, r.Normalize),
	)
	if err != nil {
		return false, err
	}
	if len(missing) > 0 {
		r.Log.Error("frames were not wholly stored and are driven again",
			"frames", len(missing), "of", len(heads), "first_chain", missing[0].Chain, "first_frame", missing[0].Number)
	}
	return len(missing) == 0, nil
}

// drive hands frames to what stores them again. That replaces what is there
// with the same.
func (r *Reconciler) drive(ctx context.Context, missing string, heads []bus.Head, again func(context.Context, []*bus.DeliveryFrame) error) error {
	for chunk := range slices.Chunk(heads, framesAtOnce) {
		frames := make([]*bus.DeliveryFrame, len(chunk))
		for i, h := range chunk {
			r.Log.Debug("driving a frame again", "chain", h.Chain, "frame", h.Number, "missing", missing)
			r.driven.WithLabelValues(missing).Inc()
			var err error
			if frames[i], err = r.Bus.Frame(ctx, h.Seq); err != nil {
				return fmt.Errorf("drive frame %s/%d again: %w", h.Chain, h.Number, err)
			}
		}
		if err := again(ctx, frames); err != nil {
			return fmt.Errorf("drive %d frames from %s/%d on again: %w", len(chunk), chunk[0].Chain, chunk[0].Number, err)
		}
	}
	return nil
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
