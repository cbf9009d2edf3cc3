package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	readBatch = 256
	readBytes = 40 << 20 // of one batch: more than one message can have, less than the client drops
)

// stored is a message as it lies on a stream.
type stored struct {
	seq     uint64
	time    time.Time
	subject string
	header  nats.Header
	data    []byte // nil when only headers were asked for
}

// reading says what to read.
type reading struct {
	stream  string
	subject string        // empty for all
	from    uint64        // first sequence; 0 is the oldest
	headers bool          // without bodies
	wait    time.Duration // for a batch at most; 0 is apiTimeout
}

// read hands what is on a stream now to h, oldest first, and returns at what
// was the end when it began. It leaves nothing behind on the server.
//
// In a cluster any of the servers that keep the stream may serve the consumer,
// also one that was away and does not know the end yet: what ends before the
// leader's end is an error, and can be tried again.
func (b *Bus) read(ctx context.Context, r reading, h func(stored) error) (err error) {
	cfg := jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		FilterSubject:     r.subject,
		HeadersOnly:       r.headers,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
	}
	if r.from > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.from
	}
	stream, err := b.js.Stream(ctx, r.stream)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	state, last := stream.CachedInfo().State, uint64(0)
	cons, err := stream.CreateConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", r.stream, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = b.js.DeleteConsumer(ctx, r.stream, cons.CachedInfo().Name) // it expires by itself too
	}()
	for left, next := cons.CachedInfo().NumPending, uint64(1); left > 0; {
		msgs, err := b.fetch(ctx, cons, readMessages(left), readBytes, cmp.Or(r.wait, apiTimeout))
		if err == nil && len(msgs) == 0 {
			err = errors.Join(ctx.Err(), errors.New("nothing came"))
		}
		if err != nil {
			return fmt.Errorf("read stream %s: %w", r.stream, err)
		}
		for _, m := range msgs {
			meta, err := m.Metadata()
			if err == nil && meta.Sequence.Consumer != next {
				err = errors.New("a message got lost on the way")
			}
			if err != nil {
				return fmt.Errorf("read stream %s: %w", r.stream, err)
			}
			next++
			left--
			last = meta.Sequence.Stream
			if err := h(stored{meta.Sequence.Stream, meta.Timestamp, m.Subject(), m.Headers(), m.Data()}); err != nil {
				return err
			}
		}
	}
	if whole := r.subject == "" && state.NumDeleted == 0 && state.Msgs > 0; whole && last < state.LastSeq && r.from <= state.LastSeq {
		return fmt.Errorf("read stream %s: the server that was asked knows it to message %d of %d only", r.stream, last, state.LastSeq)
	}
	return nil
}

func readMessages(left uint64) int { return int(min(left, readBatch)) }

// scanHeaders reads the chain headers of deliveries from a sequence on.
func (b *Bus) scanHeaders(ctx context.Context, subject string, from uint64, h func(uint64, chainLink, error)) error {
	return b.read(ctx, reading{stream: Deliveries, subject: subject, from: from, headers: true}, func(s stored) error {
		link, err := readLink(s.header)
		h(s.seq, link, err)
		return nil
	})
}

// Frames hands the frames that are stored now to h in order, from a sequence
// on. What is unreadable is left out: the consumers report it. Sequences say
// where to read on, and nothing else.
func (b *Bus) Frames(ctx context.Context, from uint64, h func(seq uint64, f *DeliveryFrame) error) error {
	return b.read(ctx, reading{stream: Deliveries, from: from}, func(s stored) error {
		f, err := readDeliveries(s.header, s.data)
		if err != nil {
			return nil //nolint:nilerr // a dead letter by the consumers
		}
		return h(s.seq, f)
	})
}
