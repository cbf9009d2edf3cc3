package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/failpoint"
)

// Head is what a frame's headers say, without its body. Seq says where to read
// on, and nothing else.
type Head struct {
	Seq        uint64
	Chain      string
	Number     uint64
	Deliveries int
	Stored     time.Time // on the stream
	header     nats.Header
}

// Heads hands the heads of the frames that are stored now to h in order, from
// a sequence on. What has no readable head is left out: the auditor reports it.
func (b *Bus) Heads(ctx context.Context, from uint64, h func(Head) error) error {
	return b.read(ctx, reading{stream: Deliveries, from: from, headers: true}, func(s stored) error {
		link, err := readLink(s.header)
		if err != nil {
			return nil //nolint:nilerr // a dead letter by the auditor
		}
		return h(Head{Seq: s.seq, Chain: link.Chain, Number: link.Number, Deliveries: link.deliveries, Stored: s.time, header: s.header})
	})
}

// Frame reads one frame by its sequence.
func (b *Bus) Frame(ctx context.Context, seq uint64) (*DeliveryFrame, error) {
	stream, err := b.js.Stream(ctx, Deliveries)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", Deliveries, err)
	}
	msg, err := stream.GetMsg(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("read frame at %d: %w", seq, err)
	}
	return readDeliveries(nats.Header(msg.Header), msg.Data)
}

// Progress is how far the consumers of deliveries and changes have come, as
// sequences of the stream they read: all up to there is settled.
type Progress struct {
	Raw        uint64 // raw-writer, on DELIVERIES
	Normalized uint64 // both normalizers, on DELIVERIES
	Written    uint64 // the writers of both lanes, on CHANGES
	ChangesEnd uint64 // the last change frame; read after Normalized, so all that was made by then is before it
}

// Progress asks how far the consumers have come.
func (b *Bus) Progress(ctx context.Context) (p Progress, err error) {
	deliveries, err := b.js.Stream(ctx, Deliveries)
	if err != nil {
		return p, fmt.Errorf("open stream %s: %w", Deliveries, err)
	}
	fresh, err := done(ctx, deliveries, NormalizerFresh)
	if err != nil {
		return p, err
	}
	bulk, err := done(ctx, deliveries, NormalizerBulk)
	if err != nil {
		return p, err
	}
	p.Normalized = min(fresh, bulk)
	if p.Raw, err = done(ctx, deliveries, RawWriter); err != nil {
		return p, err
	}
	changes, err := b.js.Stream(ctx, Changes)
	if err != nil {
		return p, fmt.Errorf("open stream %s: %w", Changes, err)
	}
	p.ChangesEnd = changes.CachedInfo().State.LastSeq
	p.Written, err = written(ctx, changes)
	return p, err
}

// done returns the sequence up to which a durable consumer has settled
// everything; 0 when it has never run. One that filters does not move past
// what it does not see, so it is past the end once it has settled the last
// message that it does see. That nothing is pending does not say it alone: so
// it is for a moment when a consumer is new.
func done(ctx context.Context, stream jetstream.Stream, durable string) (uint64, error) {
	end := stream.CachedInfo().State.LastSeq // read before the consumer: what came meanwhile is not its fault
	cons, err := stream.Consumer(ctx, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at consumer %s: %w", durable, err)
	}
	info := cons.CachedInfo()
	if info.NumPending > 0 || info.NumAckPending > 0 || info.Config.FilterSubject == "" {
		return info.AckFloor.Stream, nil
	}
	last, err := stream.GetLastMsgForSubject(ctx, info.Config.FilterSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return end, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the last message of %s: %w", info.Config.FilterSubject, err)
	}
	if info.AckFloor.Stream < last.Sequence {
		return info.AckFloor.Stream, nil
	}
	return end, nil
}

// Since returns the first sequence of DELIVERIES that was stored at or after a time.
func (b *Bus) Since(ctx context.Context, t time.Time) (uint64, error) {
	stream, err := b.js.Stream(ctx, Deliveries)
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", Deliveries, err)
	}
	if stream.CachedInfo().State.Msgs == 0 {
		return stream.CachedInfo().State.LastSeq + 1, nil
	}
	return b.firstSince(ctx, Deliveries, t, stream.CachedInfo().State)
}

// ReconciledTo returns the sequence of a stream up to which everything was
// found stored; 0 when that was never said.
func (b *Bus) ReconciledTo(ctx context.Context, stream string) (uint64, error) {
	entry, err := b.kv[BucketState].Get(ctx, ReconcilerKey(stream))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the reconciler's position on %s: %w", stream, err)
	}
	to, err := strconv.ParseUint(string(entry.Value()), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the reconciler's position on %s: %w", stream, err)
	}
	return to, nil
}

// Unreconciled forgets how far everything was found stored: nothing is trimmed
// before the reconciler has compared all of it again.
func (b *Bus) Unreconciled(ctx context.Context) error {
	for _, stream := range []string{Deliveries, Changes} {
		if err := b.kv[BucketState].Delete(ctx, ReconcilerKey(stream)); err != nil {
			return fmt.Errorf("forget the reconciler's position on %s: %w", stream, err)
		}
	}
	return nil
}

// Reconciled notes how far everything on a stream was found stored; the
// trimmer keeps what is behind it.
func (b *Bus) Reconciled(ctx context.Context, stream string, seq uint64) error {
	failpoint.Hit("checkpoint")
	_, err := b.kv[BucketState].Put(ctx, ReconcilerKey(stream), strconv.AppendUint(nil, seq, 10))
	if err != nil {
		return fmt.Errorf("note the reconciler's position on %s: %w", stream, err)
	}
	return nil
}
