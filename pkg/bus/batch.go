package bus

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"whatchanged/pkg/change"
	"whatchanged/pkg/tracing"
)

// BatchLimit says when a batch is full.
type BatchLimit struct {
	Bytes   int           // as on the stream, compressed
	Records int           // deliveries, or changes
	Wait    time.Duration // after the first frame, for more
	// While more than Busy records a second come, a batch waits until Longest is
	// over: what each costs however small it is then falls on more records.
	Busy    float64
	Longest time.Duration
}

// ConsumeDeliveryBatches hands batches of frames of a lane (empty: all) to h
// until ctx ends, one at a time. All of a batch is acknowledged when h has returned nil;
// nothing is held between that and the stream. On an error the whole batch
// comes again after a growing delay, and the consumer pauses with it.
func (b *Bus) ConsumeDeliveryBatches(ctx context.Context, durable, lane string, lim BatchLimit, h func(context.Context, []*DeliveryFrame) error) error {
	defer b.shared.join()()
	return consumeBatches(ctx, b, batches[*DeliveryFrame]{
		stream: Deliveries, durable: durable, lane: lane, limit: lim, handle: h,
		open:    b.shared.open,
		records: func(f *DeliveryFrame) int { return len(f.Deliveries) },
		ref:     (*DeliveryFrame).ref,
	})
}

// ConsumeChangeBatches is ConsumeDeliveryBatches for frames of changes, of all lanes.
func (b *Bus) ConsumeChangeBatches(ctx context.Context, durable string, lim BatchLimit, h func(context.Context, []*ChangeFrame) error) error {
	return b.consumeChanges(ctx, durable, "", lim, h)
}

func (b *Bus) consumeChanges(ctx context.Context, durable, lane string, lim BatchLimit, h func(context.Context, []*ChangeFrame) error) error {
	return consumeBatches(ctx, b, batches[[]*ChangeFrame]{
		stream: Changes, durable: durable, lane: lane, limit: lim,
		handle: func(ctx context.Context, packs [][]*ChangeFrame) error { return h(ctx, slices.Concat(packs...)) },
		open:   func(_ nats.Header, data []byte) ([]*ChangeFrame, error) { return openChanges(data) },
		records: func(frames []*ChangeFrame) (n int) {
			for _, f := range frames {
				n += f.records()
			}
			return n
		},
		ref: func(frames []*ChangeFrame) FrameRef {
			return FrameRef{Chain: frames[0].Chain, Number: frames[0].Number}
		},
	})
}

// ConsumeChangeLane is ConsumeChangeBatches for the frames of one lane, by the
// durable consumer that the lane's writer has.
func (b *Bus) ConsumeChangeLane(ctx context.Context, lane string, lim BatchLimit, h func(context.Context, []*ChangeFrame) error) error {
	if err := b.splitWriter(ctx); err != nil {
		return err
	}
	durable := Writer
	if lane == change.Bulk {
		durable = WriterBulk
	}
	return b.consumeChanges(ctx, durable, lane, lim, h)
}

func (f *ChangeFrame) records() int {
	n := len(f.Results)
	for i := range f.Results {
		n += len(f.Results[i].Changes) + len(f.Results[i].Incidents) + len(f.Results[i].Removed)
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

// batcher takes batches of one kind of frame from one consumer.
type batcher[F any] struct {
	batches[F]
	bus   *Bus
	cons  jetstream.Consumer
	s     *settler
	known handled
	last  time.Time // when the batch before was taken
}

func consumeBatches[F any](ctx context.Context, b *Bus, k batches[F]) error {
	cons, err := b.consumer(ctx, k.stream, k.durable, k.lane, batchesInHand)
	if err != nil {
		return err
	}
	s := &settler{bus: b, durable: k.durable, stage: StageInsert}
	switch {
	case k.stream == Changes:
	case k.lane != "":
		s.stage = StageNormalize
	default:
		s.bytes = true // nobody else stores them
	}
	c := batcher[F]{batches: k, bus: b, cons: cons, s: s}
	for fails := 0; ctx.Err() == nil; {
		taken, err := c.collect(ctx)
		if err != nil {
			b.makeAgain(ctx, cons)
		} else if len(taken.msgs) > 0 {
			err = b.inTurn(ctx, k.stream, k.lane, func() error { return c.settle(ctx, taken) })
		}
		if err == nil {
			fails = 0
			continue
		}
		fails++
		_ = pause(ctx, min(backoff(fails), putBackMost)) // the loop looks at ctx
	}
	return ctx.Err()
}

// collect waits for a first frame, takes what else is there, and looks again
// from time to time until the time to wait is over or the limit reached. It
// never waits with a pull that ends soon: what the server sends at the end of
// one would be lost to us, and come again only half a minute later.
func (c *batcher[F]) collect(ctx context.Context) (t batch[F], err error) {
	first, err := c.bus.fetch(ctx, c.cons, 1, 0, pullWait)
	if err != nil || len(first) == 0 {
		return t, err
	}
	c.take(ctx, &t, first)
	for start := time.Now(); ; {
		c.takeAll(ctx, &t)
		wait := min(c.limit.wait(t.records, time.Since(c.last))-time.Since(start), c.limit.Wait/looks)
		if c.fit(&t) == 0 || wait <= 0 || pause(ctx, wait) != nil {
			c.last = time.Now()
			return t, nil
		}
	}
}

// wait is how long a batch waits that has so many records, all of them come
// since the batch before.
func (l BatchLimit) wait(records int, since time.Duration) time.Duration {
	if float64(records) > l.Busy*since.Seconds() {
		return max(l.Wait, l.Longest)
	}
	return l.Wait
}

// looks is how often a consumer looks for more while it waits for it.
const looks = 4

// takeAll takes what is there now, up to the limit.
func (c *batcher[F]) takeAll(ctx context.Context, t *batch[F]) {
	for most := 4; ; most *= 2 { // how large frames are shows only by taking some
		n := min(c.fit(t), most)
		if n <= 0 {
			return
		}
		msgs, err := c.bus.fetchNow(c.cons, n)
		c.take(ctx, t, msgs)
		if err != nil || len(msgs) < n {
			return
		}
	}
}

// fit returns how many more frames fit if they are like those so far; at least
// one until the limit is reached.
func (c *batcher[F]) fit(t *batch[F]) int {
	bytes, records := c.limit.Bytes-t.bytes, c.limit.Records-t.records
	if bytes <= 0 || records <= 0 {
		return 0
	}
	n := len(t.msgs)
	return max(1, min(readBatch, bytes*n/max(1, t.bytes), records*n/max(1, t.records)))
}

// take opens messages; what is unreadable or known is settled at once.
func (c *batcher[F]) take(ctx context.Context, t *batch[F], msgs []jetstream.Msg) {
	for _, m := range msgs {
		f, err := c.open(m.Headers(), m.Data())
		if err != nil {
			c.s.settle(ctx, m, FrameRef{}, err)
			continue
		}
		if ref := c.ref(f); c.stream == Deliveries && c.known.has(ref) {
			c.s.settle(ctx, m, ref, nil)
			continue
		}
		t.msgs, t.frames = append(t.msgs, m), append(t.frames, f)
		t.bytes += len(m.Data())
		t.records += c.records(f)
	}
}

func (c *batcher[F]) work(ctx context.Context, t batch[F]) error {
	return c.s.working(t.msgs, func() error { return safely(func() error { return c.handle(ctx, t.frames) }) })
}

// traced begins the span of a batch that has a message whose trace is recorded.
func (c *batcher[F]) traced(ctx context.Context, t batch[F]) (context.Context, trace.Span) {
	if !c.bus.tracer.On() {
		return ctx, noop.Span{}
	}
	var traces []string
	for _, m := range t.msgs {
		if parent := m.Headers()[tracing.Header]; len(parent) == 1 {
			traces = append(traces, parent[0])
		}
	}
	return c.bus.tracer.Together(ctx, "handle batch", trace.SpanKindConsumer, traces,
		attribute.String("messaging.system", "nats"), attribute.String("messaging.consumer.group.name", c.durable),
		attribute.Int("messaging.batch.message_count", len(t.msgs)))
}

func (c *batcher[F]) settle(ctx context.Context, t batch[F]) error {
	m, start := c.bus.metrics, time.Now()
	ctx, span := c.traced(ctx, t)
	m.batchRecords.WithLabelValues(c.durable).Observe(float64(t.records))
	m.batchBytes.WithLabelValues(c.durable).Observe(float64(t.bytes))
	inHand := m.batchInHand.WithLabelValues(c.durable)
	inHand.Set(float64(t.records))
	err := c.work(ctx, t)
	inHand.Set(0)
	tracing.End(span, err)
	m.batchSeconds.WithLabelValues(c.durable).Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
		c.s.settleAll(ctx, t.msgs)
		for _, f := range t.frames {
			c.known.add(c.ref(f))
		}
		return nil
	case errors.Is(err, change.ErrMalformed) && len(t.msgs) > 1:
		// One of them is bad. Each alone shows which; the others go through.
		for i, m := range t.msgs {
			one := batch[F]{msgs: t.msgs[i : i+1], frames: t.frames[i : i+1]}
			c.s.settle(ctx, m, c.ref(t.frames[i]), c.work(ctx, one))
		}
		return nil
	default:
		for i, m := range t.msgs {
			c.s.settle(ctx, m, c.ref(t.frames[i]), err)
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
