package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Head is what a frame's headers say, without its body. Seq says where to read
// on, and nothing else.
type Head struct {
	Seq        uint64
	Chain      string
	Number     uint64
	Deliveries int
	Stored     time.Time // on the stream
}

// Heads hands the heads of the frames that are stored now to h in order, from
// a sequence on. What has no readable head is left out: the auditor reports it.
func (b *Bus) Heads(ctx context.Context, from uint64, h func(Head) error) error {
	return b.read(ctx, reading{stream: Deliveries, from: from, headers: true}, func(s stored) error {
		link, err := readLink(s.header)
		if err != nil {
			return nil //nolint:nilerr // a dead letter by the auditor
		}
		return h(Head{Seq: s.seq, Chain: link.Chain, Number: link.Number, Deliveries: link.deliveries, Stored: s.time})
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
	return b.codec.openDeliveries(nats.Header(msg.Header), msg.Data)
}

// Ends returns the last sequences of the streams of deliveries and changes.
func (b *Bus) Ends(ctx context.Context) (deliveries, changes uint64, err error) {
	for stream, last := range map[string]*uint64{Deliveries: &deliveries, Changes: &changes} {
		s, err := b.js.Stream(ctx, stream)
		if err != nil {
			return 0, 0, fmt.Errorf("open stream %s: %w", stream, err)
		}
		*last = s.CachedInfo().State.LastSeq
	}
	return deliveries, changes, nil
}

// Reconciled notes how far everything on a stream was found stored; the
// trimmer keeps what is behind it.
func (b *Bus) Reconciled(ctx context.Context, stream string, seq uint64) error {
	_, err := b.kv[BucketState].Put(ctx, ReconcilerKey(stream), strconv.AppendUint(nil, seq, 10))
	if err != nil {
		return fmt.Errorf("note the reconciler's position on %s: %w", stream, err)
	}
	return nil
}
