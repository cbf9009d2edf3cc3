package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
)

// BatchLimit says when a batch is full.
type BatchLimit struct {
	Bytes   int           // as on the stream, compressed
	Records int           // deliveries, or changes
	Wait    time.Duration // after the first frame, for more
}

// ConsumeDeliveryBatches hands batches of frames of a lane (empty: all) to h
// until ctx ends, one at a time. All of a batch is acknowledged when h has returned nil;
// nothing is held between that and the stream. On an error the whole batch
// comes again after a growing delay, and the consumer pauses with it.
func (b *Bus) ConsumeDeliveryBatches(ctx context.Context, durable, lane string, lim BatchLimit, h func(context.Context, []*DeliveryFrame) error) error {
	return consumeBatches(ctx, b, batches[*DeliveryFrame]{
		stream: Deliveries, durable: durable, lane: lane, limit: lim, handle: h,
		open:    b.codec.openDeliveries,
		records: func(f *DeliveryFrame) int { return len(f.Deliveries) },
		ref:     (*DeliveryFrame).ref,
	})
}

// ConsumeChangeBatches is ConsumeDeliveryBatches for frames of changes.
func (b *Bus) ConsumeChangeBatches(ctx context.Context, durable string, lim BatchLimit, h func(context.Context, []*ChangeFrame) error) error {
	return consumeBatches(ctx, b, batches[*ChangeFrame]{
		stream: Changes, durable: durable, limit: lim, handle: h,
		open:    func(_ nats.Header, data []byte) (*ChangeFrame, error) { return b.codec.openChanges(data) },
		records: (*ChangeFrame).records,
		ref:     func(f *ChangeFrame) FrameRef { return FrameRef{Chain: f.Chain, Number: f.Number} },
	})
}

func (f *ChangeFrame) records() int {
	n := len(f.Results)
	for i := range f.Results {
		n += len(f.Results[i].Changes)
	}
	return n
}

// batches is how one kind of frame is consumed.
type batches[F any] struct {
	stream, durable, lane string
	limit                 BatchLimit
	handle                func(context.Context, []F) error
	open                  func(nats.Header, []byte) (F, error)
	records               func(F) int
	ref                   func(F) FrameRef
}

// batch is what was taken: messages and their frames, side by side.
type batch[F any] struct {
	msgs    []jetstream.Msg
	frames  []F
	bytes   int
	records int
}

func consumeBatches[F any](ctx context.Context, b *Bus, k batches[F]) error {
	cons, err := b.consumer(ctx, k.stream, k.durable, k.lane, batchesInHand)
	if err != nil {
		return err
	}
	// The bytes of changes can be made again; those of deliveries are only here.
	s := &settler{bus: b, durable: k.durable, stage: StageInsert, bytes: k.stream == Deliveries}
	for fails := 0; ctx.Err() == nil; {
		taken, err := collect(ctx, b, cons, k, s)
		if err == nil && len(taken.msgs) > 0 {
			err = settleBatch(ctx, s, k, taken)
		}
		if err == nil {
			fails = 0
			continue
		}
		fails++
		_ = pause(ctx, min(backoff(fails), 10*time.Second)) // the loop looks at ctx
	}
	return ctx.Err()
}

// collect waits for a first frame and takes what comes until the limit, or
// until there is no more within the time to wait.
func collect[F any](ctx context.Context, b *Bus, cons jetstream.Consumer, k batches[F], s *settler) (t batch[F], err error) {
	take := func(n, maxBytes int, wait time.Duration) (int, error) {
		msgs, err := b.fetch(ctx, cons, n, maxBytes, wait)
		for _, m := range msgs {
			f, err := k.open(m.Headers(), m.Data())
			if err != nil {
				s.settle(ctx, m, FrameRef{}, err)
				continue
			}
			t.msgs, t.frames = append(t.msgs, m), append(t.frames, f)
			t.bytes += len(m.Data())
			t.records += k.records(f)
		}
		return len(msgs), err
	}
	if _, err := take(1, 0, pullWait); err != nil || len(t.msgs) == 0 {
		return t, err
	}
	for end := time.Now().Add(k.limit.Wait); t.bytes < k.limit.Bytes && t.records < k.limit.Records; {
		wait := time.Until(end)
		if wait <= 0 {
			break
		}
		// How many more frames fit, if they are like those so far.
		n := (k.limit.Records - t.records) * len(t.msgs) / max(1, t.records)
		got, err := take(min(max(1, n), readBatch), min(k.limit.Bytes-t.bytes+frameMargin, readBytes), max(wait, time.Millisecond))
		if err != nil || got == 0 {
			break // the rest can wait: what is here is handled first
		}
	}
	return t, nil
}

func settleBatch[F any](ctx context.Context, s *settler, k batches[F], t batch[F]) error {
	err := s.working(t.msgs, func() error { return safely(func() error { return k.handle(ctx, t.frames) }) })
	switch {
	case err == nil:
		s.settleAll(ctx, t.msgs)
		return nil
	case errors.Is(err, change.ErrMalformed) && len(t.msgs) > 1:
		// One of them is bad. Each alone shows which; the others go through.
		for i := range t.msgs {
			one := batch[F]{msgs: t.msgs[i : i+1], frames: t.frames[i : i+1]}
			err := s.working(one.msgs, func() error { return safely(func() error { return k.handle(ctx, one.frames) }) })
			s.settle(ctx, one.msgs[0], k.ref(one.frames[0]), err)
		}
		return nil
	default:
		for i, m := range t.msgs {
			s.settle(ctx, m, k.ref(t.frames[i]), err)
		}
		return err
	}
}

// settleAll acknowledges a batch that was handled. The server takes
// acknowledgements of one connection in order, so waiting for its answer to
// the last one is waiting for all.
func (s *settler) settleAll(ctx context.Context, msgs []jetstream.Msg) {
	last := len(msgs) - 1
	for _, m := range msgs[:last] {
		seq, _ := position(m)
		s.attempts.forget(seq)
		_ = m.Ack() // lost with the connection: then it comes again
	}
	s.bus.metrics.consumed.WithLabelValues(s.durable).Add(float64(last))
	s.settle(ctx, msgs[last], FrameRef{}, nil)
}
