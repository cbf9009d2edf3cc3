// Package writer puts what is on the bus into ClickHouse: raw deliveries into
// payloads, and changes and outcomes into changes and deliveries. A frame is
// acknowledged only after its rows are inserted; nothing waits in between but
// the batch in hand.
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
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/store"
	"whatchanged/pkg/tracing"
)

// Store is where rows go.
type Store interface {
	InsertPayloads(context.Context, []store.PayloadBatch) error
	KeepRevisions(context.Context, []store.Batch) error
	InsertChanges(context.Context, []store.Batch) error
	InsertIncidents(context.Context, []store.Batch) error
	InsertDeliveries(context.Context, []store.Batch) error
}

// Deps is what the service needs; all but Audit and Tracer is required.
type Deps struct {
	Bus     *bus.Bus
	Store   Store
	Audit   AuditStore // nil in a writer that does not run RunAudit
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracer  *tracing.Tracer // nil: no spans
}

// The limits of a batch. Each insert costs ClickHouse some 30 ms of processor
// time, however few its rows, and merges later: the wait for more is what a
// reader of changes may be kept waiting, and longer for payloads, which are
// asked for by hand.
var (
	limit = bus.BatchLimit{
		Records: 20_000, Bytes: 16 << 20, Wait: 300 * time.Millisecond, Busy: 3000, Longest: 900 * time.Millisecond,
	}
	limitRaw = bus.BatchLimit{
		Records: 20_000, Bytes: 6 << 20, Wait: 800 * time.Millisecond, Busy: 1500, Longest: 1200 * time.Millisecond,
	}
)

// Writer is the writer service.
type Writer struct {
	Deps
	metrics *metrics
}

// New returns the writer service.
func New(deps Deps) (*Writer, error) {
	if deps.Bus == nil || deps.Store == nil || deps.Log == nil || deps.Metrics == nil {
		return nil, errors.New("writer: a dependency is missing")
	}
	return &Writer{Deps: deps, metrics: newMetrics(deps.Metrics)}, nil
}

// RunRaw stores raw deliveries until ctx ends.
func (w *Writer) RunRaw(ctx context.Context) error {
	return w.Bus.ConsumeDeliveryBatches(ctx, bus.RawWriter, "", limitRaw, w.HandleRaw)
}

// RunChanges stores changes and the outcomes of deliveries until ctx ends, but
// for those of the lane bulk.
func (w *Writer) RunChanges(ctx context.Context) error {
	return w.Bus.ConsumeChangeLane(ctx, change.Fresh, limit, w.HandleChanges)
}

// RunBulkChanges is RunChanges for the lane bulk: what waits there, and be it
// hours of it, is in nobody's way.
func (w *Writer) RunBulkChanges(ctx context.Context) error {
	return w.Bus.ConsumeChangeLane(ctx, change.Bulk, limit, w.HandleChanges)
}

// HandleRaw inserts the deliveries of frames into payloads.
func (w *Writer) HandleRaw(ctx context.Context, frames []*bus.DeliveryFrame) (err error) {
	defer w.tracedRaw(ctx, frames)(&err)
	count := 0
	for _, f := range frames {
		count += len(f.Deliveries)
	}
	if err := w.Store.InsertPayloads(ctx, payloadsOf(frames)); err != nil {
		return fmt.Errorf("insert %d payloads: %w", count, err)
	}
	w.metrics.rows.WithLabelValues("payloads").Add(float64(count))
	return nil
}

func payloadsOf(frames []*bus.DeliveryFrame) []store.PayloadBatch {
	batches := make([]store.PayloadBatch, len(frames))
	for i, f := range frames {
		batches[i] = store.PayloadBatch{Chain: f.Chain, Frame: f.Number, Lane: f.Lane, Deliveries: f.Deliveries}
	}
	return batches
}

// HandleChanges inserts the results of frames: first the changes and what is
// said of incidents, then the deliveries' rows, which are the proof that all before them is stored.
func (w *Writer) HandleChanges(ctx context.Context, frames []*bus.ChangeFrame) (err error) {
	defer w.tracedChanges(ctx, frames)(&err)
	batches := make([]store.Batch, len(frames))
	for i, f := range frames {
		batches[i] = store.Batch{Chain: f.Chain, Frame: f.Number, Run: f.Run, Lane: f.Lane, Results: f.Results}
	}
	if err := w.insertChanges(ctx, batches); err != nil {
		return err
	}
	failpoint.Hit("between-tables")
	if err := w.Store.InsertDeliveries(ctx, batches); err != nil {
		return fmt.Errorf("insert deliveries of %d frames: %w", len(frames), err)
	}
	for _, b := range batches {
		w.metrics.count(b)
	}
	return nil
}

// insertChanges inserts all changes and incidents of the batches. When ClickHouse refuses
// them for what they hold, it halves the work until the bad change is alone;
// that one goes to the dead letters and its delivery is dead.
func (w *Writer) insertChanges(ctx context.Context, batches []store.Batch) error {
	err := w.Store.KeepRevisions(ctx, batches) // of what a replay replaces
	if err == nil {
		err = w.Store.InsertChanges(ctx, batches)
	}
	if err == nil {
		err = w.Store.InsertIncidents(ctx, batches)
	}
	if err == nil || !store.IsData(err) {
		if err != nil {
			return fmt.Errorf("insert changes of %d frames: %w", len(batches), err)
		}
		return nil
	}
	left, right, ok := halve(batches)
	if !ok {
		return w.bury(ctx, batches[0], err)
	}
	if err := w.insertChanges(ctx, left); err != nil {
		return err
	}
	return w.insertChanges(ctx, right)
}

// halve cuts batches in two: between frames, then between deliveries. One
// delivery cannot be cut.
func halve(batches []store.Batch) (left, right []store.Batch, ok bool) {
	if n := len(batches); n > 1 {
		return batches[:n/2], batches[n/2:], true
	}
	b := batches[0]
	n := len(b.Results)
	if n <= 1 {
		return nil, nil, false
	}
	first, second := b, b
	first.Results, second.Results = b.Results[:n/2], b.Results[n/2:]
	return []store.Batch{first}, []store.Batch{second}, true
}

// bury marks the batch's only delivery dead, in place, so that its row says so.
func (w *Writer) bury(ctx context.Context, b store.Batch, cause error) error {
	for i := range b.Results {
		res := &b.Results[i]
		reason := "ClickHouse refused its changes: " + cause.Error()
		letter := bus.DeadLetter{
			Stage: "insert", Org: res.Org, SourceID: res.SourceID, DeliveryID: res.DeliveryID, Provider: res.Provider, Whole: true,
			Chain: b.Chain, Frame: b.Frame, Place: res.Place, Attempts: 1, At: change.At(failpoint.Wall(time.Now())),
			Reason: "ClickHouse refused its changes", FirstError: cause.Error(), LastError: cause.Error(),
		}
		if err := w.Bus.PublishDead(ctx, letter); err != nil {
			return fmt.Errorf("store dead letter of %s: %w", res.DeliveryID, err)
		}
		w.Log.Warn("changes refused by the store", "delivery_id", res.DeliveryID, "error", cause)
		res.Outcome, res.Reason, res.Changes, res.Incidents = change.Dead, reason, nil, nil
	}
	return nil
}
