package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The durable consumers whose progress holds the trim.
const (
	NormalizerFresh = "normalizer-fresh"
	NormalizerBulk  = "normalizer-bulk"
	RawWriter       = "raw-writer"
	Writer          = "writer"      // of the lane fresh
	WriterBulk      = "writer-bulk" // of the lane bulk
)

const (
	// KeepStored is how long frames stay after they came, once they are stored.
	KeepStored = 7 * 24 * time.Hour

	trimEvery = time.Minute
	trimAbove = 70 // percent of max_bytes: then earlier, oldest first
)

// ReconcilerKey names, in the bucket STATE, the sequence of a stream up to
// which the reconciler has found everything stored.
func ReconcilerKey(stream string) string { return "reconciler." + stream }

// Trimmer purges frames that are stored. It never touches one that a
// normalizer, a writer or the reconciler is not past; when it cannot know, it
// does nothing.
type Trimmer struct {
	bus  *Bus
	keep time.Duration
}

// NewTrimmer returns a trimmer that keeps stored frames for a time, KeepStored
// unless space runs out; Run does the work.
func (b *Bus) NewTrimmer(keep time.Duration) *Trimmer { return &Trimmer{bus: b, keep: keep} }

// Run trims every minute until ctx ends.
func (t *Trimmer) Run(ctx context.Context) error {
	for {
		if err := t.Trim(ctx); err != nil && ctx.Err() == nil {
			t.bus.log.Warn("trimming has to be tried again", "error", err)
		}
		if err := pause(ctx, trimEvery); err != nil {
			return err
		}
	}
}

// Trim trims once.
func (t *Trimmer) Trim(ctx context.Context) error {
	return errors.Join(
		t.trim(ctx, Deliveries, NormalizerFresh, NormalizerBulk, RawWriter),
		t.trim(ctx, Changes, Writer),
		t.trim(ctx, Audit, AuditWriter),
		t.bus.shedDead(ctx),
		t.bus.measureDead(ctx),
	)
}

func (t *Trimmer) trim(ctx context.Context, name string, holders ...string) error {
	stream, err := t.bus.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", name, err)
	}
	// The stream's end is read before the consumers: who has nothing left then
	// is past this end, whatever came meanwhile.
	state, most := stream.CachedInfo().State, stream.CachedInfo().Config.MaxBytes
	if state.Msgs == 0 {
		return nil
	}
	floor, err := t.stored(ctx, stream, holders)
	if err != nil || floor < state.FirstSeq {
		return err
	}
	keepFrom, err := t.bus.firstSince(ctx, name, time.Now().Add(-t.keep), state)
	if err != nil {
		return err
	}
	if spare := int64(state.Bytes) - most/100*trimAbove; spare > 0 && most > 0 { // an operator may have taken the limit off
		bySize, err := t.sequenceAfter(ctx, name, spare)
		if err != nil {
			return err
		}
		keepFrom = max(keepFrom, bySize)
	}
	keepFrom = min(keepFrom, floor+1)
	if keepFrom <= state.FirstSeq {
		return nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(keepFrom)); err != nil {
		return fmt.Errorf("purge stream %s up to %d: %w", name, keepFrom-1, err)
	}
	t.bus.metrics.trimmed.WithLabelValues(name).Add(float64(keepFrom - state.FirstSeq))
	t.bus.log.Debug("trimmed", "stream", name, "from", state.FirstSeq, "to", keepFrom-1)
	return nil
}

// stored returns the sequence up to which all holders and the reconciler are
// done; 0 when one of them has never said so.
func (t *Trimmer) stored(ctx context.Context, stream jetstream.Stream, holders []string) (uint64, error) {
	floor := uint64(math.MaxUint64)
	if name := stream.CachedInfo().Config.Name; name != Audit { // whose writer settles what it has stored
		var err error
		if floor, err = t.bus.ReconciledTo(ctx, name); err != nil {
			return 0, err
		}
	}
	for _, durable := range holders {
		settled, err := done(ctx, stream, durable)
		if durable == Writer {
			settled, err = written(ctx, stream)
		}
		if err != nil {
			return 0, err
		}
		floor = min(floor, settled)
	}
	return floor, nil
}

// firstSince returns the first sequence that came at or after a time, and the
// one after the end when all are older.
func (b *Bus) firstSince(ctx context.Context, name string, since time.Time, state jetstream.StreamState) (uint64, error) {
	if !state.FirstTime.Before(since) {
		return state.FirstSeq, nil
	}
	if state.LastTime.Before(since) {
		return state.LastSeq + 1, nil
	}
	cons, err := b.js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return 0, fmt.Errorf("find the frames since %s: %w", since, err)
	}
	return cons.CachedInfo().Delivered.Stream + 1, nil
}

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// sequenceAfter returns the sequence after the oldest frames that together
// have some bytes.
func (t *Trimmer) sequenceAfter(ctx context.Context, name string, spare int64) (after uint64, err error) {
	err = t.bus.read(ctx, reading{stream: name, headers: true}, func(s stored) error {
		size, _ := strconv.ParseInt(s.header.Get(nats.MsgSize), 10, 64) // 0 when missing: trims one more
		after = s.seq + 1
		if spare -= size; spare <= 0 {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return 0, err
	}
	return after, nil
}
