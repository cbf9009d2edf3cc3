// Package normalizer turns deliveries into changes: it reads frames of
// deliveries from the bus, decides what is a duplicate, runs the pure
// normalizers, and puts one frame of results back for each frame it took.
package normalizer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"

	"whatchanged/normalizers"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/tracing"
)

// Known looks up what is stored already: deliveries by their identities, and
// what was deployed before.
type Known interface {
	KnownIdentities(context.Context, []store.Identity) (map[store.Identity]store.Known, error)
	Before(context.Context, []store.Deployment) ([]store.Past, error)
}

// Settings returns what a source and its org's registry add to a delivery.
type Settings func(org, sourceID string) normalizers.Settings

// Fetches reports whether log files that a source's notices name can be fetched.
type Fetches func(org, sourceID string) bool

// Deps is what the service needs; all but Lately and Tracer is required.
type Deps struct {
	Lately      *Lately // of the process; nil: the service has one of its own
	Bus         *bus.Bus
	Known       Known
	Settings    Settings
	Fetches     Fetches
	Normalizers normalizers.Set
	Log         *slog.Logger
	Metrics     prometheus.Registerer
	Tracer      *tracing.Tracer // nil: no spans
}

// batch bounds what is normalized together. Each batch costs a look-up of known
// identities and an fsync, which the receiver's own have to wait for: waiting a
// little makes them few.
var batch = bus.BatchLimit{
	Records: 2000, Bytes: 8 << 20, Wait: 60 * time.Millisecond, Busy: 1500, Longest: 200 * time.Millisecond,
}

// batchBulk is the same for the lane bulk, on which nobody waits.
var batchBulk = bus.BatchLimit{
	Records: 4000, Bytes: 8 << 20, Wait: 250 * time.Millisecond, Busy: 1500, Longest: 500 * time.Millisecond,
}

// Service is the normalizer service of one lane.
type Service struct {
	Deps
	lane     string
	memory   *memory
	deployed *deployed
	metrics  *metrics
}

// New returns the service for a lane of the bus.
func New(lane string, deps Deps) (*Service, error) {
	if deps.Bus == nil || deps.Known == nil || deps.Settings == nil || deps.Fetches == nil || deps.Normalizers == nil || deps.Log == nil || deps.Metrics == nil {
		return nil, errors.New("normalizer: a dependency is missing")
	}
	if _, ok := deps.Normalizers[normalizers.Generic]; !ok {
		return nil, errors.New("normalizer: the set has no generic normalizer")
	}
	deps.Log = deps.Log.With("lane", lane)
	if deps.Lately == nil {
		deps.Lately = NewLately()
	}
	return &Service{
		Deps: deps, lane: lane,
		memory:   deps.Lately.memory,
		deployed: deps.Lately.deployed,
		metrics:  newMetrics(prometheus.WrapRegistererWith(prometheus.Labels{"lane": lane}, deps.Metrics)),
	}, nil
}

// Run works until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for {
		err := s.recall(ctx)
		if err == nil {
			break
		}
		s.Log.Warn("what is not yet stored cannot be read; trying again", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	limit := batch
	if s.lane == change.Bulk {
		limit = batchBulk
	}
	return s.Bus.ConsumeDeliveryBatches(ctx, "normalizer-"+s.lane, s.lane, limit, s.Handle)
}

// recall fills the memory of a service that has just been started with what was
// normalized before and is not yet in the store: a repeat of it would look new.
func (s *Service) recall(ctx context.Context) error {
	return s.Bus.Unwritten(ctx, func(f *bus.ChangeFrame) error {
		for i := range f.Results {
			res := &f.Results[i]
			if res.Identity != "" && res.Outcome != change.Dead && res.Outcome != change.Duplicate {
				id := store.Identity{Org: res.Org, SourceID: res.SourceID, Identity: res.Identity}
				s.memory.put(id, sighting{delivery: res.DeliveryID, received: res.ReceivedAt.Time, hash: hashOf(res.BodyHash)})
			}
		}
		for c := range changesOf([]*bus.ChangeFrame{f}) {
			if d, ok := store.DeploymentOf(c); ok {
				s.deployed.put(d)
			}
		}
		return nil
	})
}

// Handle normalizes frames and publishes their results; the bus acknowledges
// the frames when it returns nil. Handling a frame again makes the same results.
func (s *Service) Handle(ctx context.Context, frames []*bus.DeliveryFrame) error {
	known, err := s.lookUp(ctx, frames)
	if err != nil {
		return fmt.Errorf("look up known identities: %w", err)
	}
	out := make([]*bus.ChangeFrame, len(frames))
	for i, f := range frames {
		results, files := s.normalize(ctx, f, known)
		if err := s.queue(ctx, f, files); err != nil {
			return err
		}
		if err := s.bury(ctx, f, results); err != nil {
			return err
		}
		out[i] = &bus.ChangeFrame{Chain: f.Chain, Number: f.Number, Lane: f.Lane, Results: results}
	}
	if err := s.findRollbacks(ctx, out); err != nil {
		return err
	}
	failpoint.Hit("after-normalize")
	if err := s.Bus.PublishChanges(ctx, out...); err != nil {
		return err
	}
	failpoint.Hit("after-changes")
	return nil
}

// Results makes the results of frames again and does nothing with them.
func (s *Service) Results(ctx context.Context, frames []*bus.DeliveryFrame) ([]*bus.ChangeFrame, error) {
	known, err := s.lookUp(ctx, frames)
	if err != nil {
		return nil, fmt.Errorf("look up known identities: %w", err)
	}
	out := make([]*bus.ChangeFrame, len(frames))
	for i, f := range frames {
		results, _ := s.normalize(ctx, f, known)
		out[i] = &bus.ChangeFrame{Chain: f.Chain, Number: f.Number, Lane: f.Lane, Results: results}
	}
	return out, nil
}

// lookUp asks the store once for all identities of the frames that this
// process has not seen lately.
func (s *Service) lookUp(ctx context.Context, frames []*bus.DeliveryFrame) (map[store.Identity]store.Known, error) {
	var unseen []store.Identity
	asked := make(map[store.Identity]bool)
	for _, f := range frames {
		for i := range f.Deliveries {
			d := &f.Deliveries[i]
			id := identity(d)
			if d.Identity == "" || asked[id] || s.memory.has(id) {
				continue
			}
			asked[id] = true
			unseen = append(unseen, id)
		}
	}
	if len(unseen) == 0 {
		return nil, nil
	}
	return s.Known.KnownIdentities(ctx, unseen)
}

// normalize returns the results of a frame's deliveries, and the log files that
// they ask to fetch.
func (s *Service) normalize(ctx context.Context, f *bus.DeliveryFrame, known map[store.Identity]store.Known) (results []change.Result, files []bus.LogFile) {
	results = make([]change.Result, len(f.Deliveries))
	for i := range f.Deliveries {
		d := &f.Deliveries[i]
		var fetch []bus.LogFile
		within, span := s.Tracer.Follow(ctx, "normalize delivery", d.TraceParent)
		results[i], fetch = s.normalizeOne(d, known, nil)
		results[i].Place = i
		if d.TraceParent != "" {
			results[i].TraceParent = tracing.Parent(within)
			span.SetAttributes(about(&results[i])...)
			span.End()
		}
		files = append(files, fetch...)
	}
	return results, files
}

// about is what a span says of a result: words of ours, and nothing of its content.
func about(res *change.Result) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("whatchanged.delivery_id", res.DeliveryID.String()), attribute.String("whatchanged.org", res.Org),
		attribute.String("whatchanged.source_id", res.SourceID), attribute.String("whatchanged.provider", res.Provider),
		attribute.String("whatchanged.outcome", string(res.Outcome)), attribute.Int("whatchanged.changes", len(res.Changes)),
	}
}

// normalizeOne returns the result of one delivery, and the log files that it
// asks to fetch. The records that are held stay dead.
func (s *Service) normalizeOne(d *change.Delivery, known map[store.Identity]store.Known, held map[int]string) (change.Result, []bus.LogFile) {
	first, seen := s.first(d, known)
	res := s.process(d, first.received, held)
	if !seen && d.Identity != "" && res.Outcome != change.Dead {
		first = s.memory.claim(identity(d), sighting{delivery: d.ID, received: d.ReceivedAt.Time, hash: hashOf(res.BodyHash)})
		if seen = first.delivery != d.ID; seen { // by the other lane, in this moment
			res = s.process(d, first.received, held)
		}
	}
	if seen && res.Outcome != change.Dead {
		res.Outcome = change.Duplicate
		res.Reason = "the same request as " + first.delivery.String()
		res.Conflict = first.hash != hashOf(res.BodyHash)
		res.Changes, res.Incidents = nil, nil // they are the first one's, and stay so
	}
	files := s.logFiles(d, &res)
	s.metrics.count(&res)
	return res, files
}

// process makes the result of a delivery. A panic, of which there must be none,
// is a dead letter: it would come again each time, and hold up the others of its frame.
func (s *Service) process(d *change.Delivery, first time.Time, held map[int]string) (res change.Result) {
	now := failpoint.Wall(time.Now())
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("panic while normalizing", "delivery_id", d.ID.String(), "error", problem.Panicked(p))
			res = change.Result{
				DeliveryID: d.ID, Org: d.Org, SourceID: d.SourceID, Identity: d.Identity, ReceivedAt: d.ReceivedAt,
				FirstReceived: change.At(first), NormalizedAt: change.At(now), Size: len(d.Body), BodyHash: sha256.Sum256(d.Body),
				Provider: d.Provider, Outcome: change.Dead, Reason: "a fault of ours while normalizing it",
			}
		}
	}()
	failpoint.Touch("normalize", d.Body)
	settings := s.Settings(d.Org, d.SourceID)
	settings.Held = held
	return s.Normalizers.Process(d, settings, first, now)
}

// first returns the first delivery with d's identity, and whether that is
// another than d itself: a frame that the bus delivers again meets its own rows.
func (s *Service) first(d *change.Delivery, known map[store.Identity]store.Known) (sighting, bool) {
	self := sighting{delivery: d.ID, received: d.ReceivedAt.Time}
	if d.Identity == "" {
		return self, false
	}
	id := identity(d)
	if seen, ok := s.memory.get(id); ok {
		return seen, seen.delivery != d.ID
	}
	if k, ok := known[id]; ok {
		return sighting{delivery: k.DeliveryID, received: k.FirstReceived.Time, hash: hashOf(k.BodyHash)}, k.DeliveryID != d.ID
	}
	return self, false
}

// bury stores the dead letters of a frame before its results say "dead".
func (s *Service) bury(ctx context.Context, f *bus.DeliveryFrame, results []change.Result) error {
	for i := range results {
		res := &results[i]
		letter := bus.DeadLetter{
			Stage: "normalize", Org: res.Org, SourceID: res.SourceID, DeliveryID: res.DeliveryID, Provider: res.Provider,
			Chain: f.Chain, Frame: f.Number, Place: res.Place, Attempts: 1, At: res.NormalizedAt,
		}
		records := res.Dead
		if res.Outcome == change.Dead && len(records) == 0 {
			records = []change.DeadRecord{{Reason: res.Reason}} // the delivery as a whole
			letter.Whole = true
		}
		for _, dead := range records {
			letter.Index, letter.Reason = dead.Index, dead.Reason
			letter.FirstError, letter.LastError = dead.Reason, dead.Reason
			if err := s.Bus.PublishDead(ctx, letter); err != nil {
				return fmt.Errorf("store dead letter of %s: %w", res.DeliveryID, err)
			}
		}
	}
	return nil
}

func identity(d *change.Delivery) store.Identity {
	return store.Identity{Org: d.Org, SourceID: d.SourceID, Identity: d.Identity}
}
