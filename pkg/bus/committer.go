package bus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"whatchanged/pkg/change"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/tracing"
)

const (
	ackWait    = 2 * time.Second // then the same frame is published again
	giveUp     = 4 * time.Second // after the oldest request; some senders give up at 5 s
	retryPause = 100 * time.Millisecond
	retryAfter = 5 * time.Second
	stopGrace  = 10 * time.Second      // for the last frame's fate, once told to stop
	pace       = 2 * time.Millisecond  // between the beginnings of two frames
	bulkPace   = 10 * time.Millisecond // the same on the lane bulk, whose frames the others' wait for at the disk
	plenty     = 24                    // deliveries that are worth a frame before its time
	bulkPlenty = frameRecords          // the same on the lane bulk: a full frame
	keepBuffer = 1 << 20               // larger buffers are not kept for the next delivery
)

// Position is where a delivery was committed.
type Position struct {
	Chain string // 16 hexadecimal characters
	Frame uint64
	Place int // in the frame, from 0
}

// Committer makes deliveries durable, many with one fsync: all that waits goes
// into one frame, the frame is published as one message, and everyone is
// answered when its acknowledgement is there. One frame is in flight; the next
// fills meanwhile, and begins no sooner than pace after it, unless plenty wait: a
// frame costs much however small it is. Who comes alone waits for nobody.
type Committer struct {
	bus     *Bus
	lane    string
	subject string
	pace    time.Duration
	plenty  int

	mu     sync.Mutex
	queue  []*entry
	bytes  int
	closed bool
	wake   chan struct{} // has one token while the queue may have something
	crowd  chan struct{} // and while it may have plenty

	entries sync.Pool
	stuck   atomic.Bool                 // a frame's fate is unknown: accept no more
	silent  atomic.Pointer[time.Time]   // since when publishes have no answer; nil if they do
	last    atomic.Pointer[storedFrame] // the newest acknowledged frame

	// The rest belongs to Run.
	chain   string
	number  uint64    // of the newest frame in the chain
	began   time.Time // when the newest frame was begun
	prev    [32]byte
	old     FrameRef
	raw     []byte
	sealed  []byte
	tallies tallies
	inbox   string
	acks    chan *nats.Msg
}

// entry is one delivery that waits. Its buffer and channel are used again.
type entry struct {
	encoded []byte
	org     string // and the rest of its tally
	source  string
	minute  int64
	since   time.Time
	trace   string // the span of its commit
	state   atomic.Int32
	done    chan answer // room for one, so that answering never blocks
}

// An entry is waiting until Run takes it or its caller leaves, whichever comes first.
const (
	waiting int32 = iota
	taken
	abandoned
)

type answer struct {
	pos Position
	err error
}

// storedFrame is an acknowledged frame and where it was then.
type storedFrame struct {
	FrameRef
	seq uint64
}

// NewCommitter returns a committer for one lane of DELIVERIES, with a fresh
// chain. Make one a lane and process, and let Run run.
func (b *Bus) NewCommitter(lane string) *Committer {
	var id [8]byte
	rand.Read(id[:]) // never fails: see crypto/rand.Read
	c := &Committer{
		bus: b, lane: lane, subject: "deliveries." + lane, pace: pace, plenty: plenty,
		wake:  make(chan struct{}, 1),
		crowd: make(chan struct{}, 1),
		chain: hex.EncodeToString(id[:]),
		inbox: b.nc.NewInbox(),
		acks:  make(chan *nats.Msg, 64),
	}
	c.entries.New = func() any { return &entry{done: make(chan answer, 1)} }
	if lane == change.Bulk {
		c.pace, c.plenty = bulkPace, bulkPlenty
	}
	return c
}

// Commit returns nil only when d is on disk. Until then it waits, at most about
// four seconds; then, and at once when there is no room or no hope, the error
// is problem.Busy. A delivery larger than MaxRecord is problem.TooLarge. When
// ctx ends first, d may have been stored or not.
func (c *Committer) Commit(ctx context.Context, d *change.Delivery) (_ Position, err error) {
	if d.TraceParent != "" {
		var span trace.Span
		ctx, span = c.bus.tracer.Step(ctx, "commit delivery")
		defer func() { tracing.End(span, err) }()
	}
	e := c.entries.Get().(*entry)
	e.encoded = appendDelivery(e.encoded[:0], d)
	if size := len(e.encoded); size > c.bus.MaxRecord() {
		c.recycle(e)
		return Position{}, problem.New(problem.TooLarge, "delivery_too_large",
			fmt.Sprintf("the request is too large to be stored: %d bytes, at most %d", size, c.bus.MaxRecord()))
	}
	e.org, e.source, e.minute = d.Org, d.SourceID, minuteOf(d.ID)
	e.trace = ""
	if d.TraceParent != "" {
		e.trace = tracing.Parent(ctx)
	}
	e.since = time.Now()
	e.state.Store(waiting)
	if err := c.enqueue(e); err != nil {
		c.recycle(e)
		c.bus.metrics.refusals.WithLabelValues(err.Reason).Inc()
		return Position{}, err
	}
	select {
	case a := <-e.done:
		c.recycle(e)
		return a.pos, a.err
	case <-ctx.Done():
		// If Run has not taken it yet, it never will. The entry stays Run's.
		e.state.CompareAndSwap(waiting, abandoned)
		return Position{}, ctx.Err()
	}
}

// enqueue puts e in the queue, or says why it cannot be.
func (c *Committer) enqueue(e *entry) *problem.Error {
	if refusal := c.bus.refusal.Load(); refusal != nil {
		return refusal
	}
	if c.stuck.Load() {
		return busy("bus_not_acknowledging", nil)
	}
	cfg := &c.bus.cfg
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return busy("stopping", nil)
	case len(c.queue) > 0 && (c.bytes+len(e.encoded) > cfg.QueueBytes || len(c.queue) >= cfg.QueueRecords):
		return busy("queue_full", nil)
	}
	c.queue = append(c.queue, e)
	c.bytes += len(e.encoded)
	signal(c.wake)
	if len(c.queue) >= c.plenty {
		signal(c.crowd)
	}
	return nil
}

// signal puts a token in a channel that has room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (c *Committer) recycle(e *entry) {
	if cap(e.encoded) <= keepBuffer {
		c.entries.Put(e)
	}
}

// Run takes what waits and commits it, until ctx ends; then it commits what is
// still waiting, and returns when the last frame's fate is known. An error
// means that it could not be known in time.
func (c *Committer) Run(ctx context.Context) error {
	defer c.close()
	sub, err := c.bus.nc.ChanSubscribe(c.inbox+".*", c.acks)
	if err != nil {
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed
	if c.old, err = c.bus.endOfOldChain(ctx, c.lane); err != nil {
		return fmt.Errorf("find the end of the chain before: %w", err)
	}
	c.bus.metrics.zeroLane(c.lane)
	c.bus.addCommitter(c)
	defer c.bus.removeCommitter(c)

	for ctx.Err() == nil {
		select {
		case <-c.wake:
			if err := c.commitWaiting(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
		}
	}
	c.refuse()
	if err := c.commitWaiting(ctx); err != nil {
		return err
	}
	if err := c.bus.rememberChain(context.WithoutCancel(ctx), c); err != nil {
		c.bus.log.Warn("cannot remember a chain", "lane", c.lane, "error", err) // older memory is there
	}
	return nil
}

func (c *Committer) commitWaiting(ctx context.Context) error {
	for {
		c.rest(ctx)
		batch := c.take()
		if len(batch) == 0 {
			return nil
		}
		c.began = time.Now()
		if err := c.commit(ctx, batch); err != nil {
			return err
		}
	}
}

// rest waits until the next frame may begin, or ctx ends.
func (c *Committer) rest(ctx context.Context) {
	left := time.Until(c.began.Add(c.pace))
	if left <= 0 {
		return
	}
	over := time.NewTimer(left)
	defer over.Stop()
	for c.Waiting() < c.plenty {
		select {
		case <-over.C:
			return
		case <-ctx.Done():
			return
		case <-c.crowd: // or were, in the frame before
		}
	}
}

// take removes a frame's worth from the queue.
func (c *Committer) take() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	target := min(frameTarget, c.bus.MaxRecord())
	size, n := 0, 0
	batch := make([]*entry, 0, min(len(c.queue), frameRecords))
	for _, e := range c.queue {
		if len(batch) == frameRecords || len(batch) > 0 && size+len(e.encoded) > target {
			break
		}
		n++
		c.bytes -= len(e.encoded)
		if e.state.CompareAndSwap(waiting, taken) {
			size += len(e.encoded)
			batch = append(batch, e)
		}
	}
	c.queue = append(c.queue[:0], c.queue[n:]...)
	clear(c.queue[len(c.queue) : len(c.queue)+n]) // what left must not be kept alive
	return batch
}

// commit makes a frame of batch, publishes it, and answers everyone in it.
func (c *Committer) commit(ctx context.Context, batch []*entry) error {
	frame := DeliveryFrame{
		Chain: c.chain, Number: c.number + 1, Prev: c.prev, Created: failpoint.Wall(c.began), Lane: c.lane,
	}
	if frame.Number == 1 {
		frame.Old = c.old
	}
	c.raw = appendFrameHead(c.raw[:0], &frame)
	c.tallies = c.tallies[:0]
	for _, e := range batch {
		c.raw = appendFrameDelivery(c.raw, e.encoded)
		if len(c.tallies) <= maxTallies { // more are not written
			c.tallies = c.tallies.add(e.org, e.source, e.minute)
		}
	}
	c.sealed = seal(c.sealed[:0], c.raw)
	frame.Hash = sha256.Sum256(c.sealed)
	msg := &nats.Msg{
		Subject: c.subject,
		Reply:   fmt.Sprintf("%s.%d", c.inbox, frame.Number),
		Header:  chainLink{frame.ref(), frame.Prev, frame.Old, len(batch)}.header(),
		Data:    c.sealed,
	}
	if tally := c.tallies.header(); tally != "" {
		msg.Header[headerTally] = []string{tally}
	}
	span := c.traced(ctx, msg, batch)
	seq, err := c.publish(ctx, msg, batch)
	tracing.End(span, err)
	if errors.Is(err, errRefused) {
		return nil // and is nowhere: the next frame takes its number
	}
	if err != nil {
		return err
	}
	c.number, c.prev = frame.Number, frame.Hash
	c.last.Store(&storedFrame{frame.ref(), seq})
	m := c.bus.metrics
	m.frames.WithLabelValues(c.lane).Inc()
	m.deliveries.WithLabelValues(c.lane).Add(float64(len(batch)))
	m.frameBytes.WithLabelValues(c.lane).Add(float64(len(c.sealed)))
	m.perFrame.WithLabelValues(c.lane).Observe(float64(len(batch)))
	m.frameSize.WithLabelValues(c.lane).Observe(float64(len(c.sealed)))
	return nil
}

// traced begins the span of a frame's publish, when it has a delivery whose
// trace is recorded, and names it in the message's headers.
func (c *Committer) traced(ctx context.Context, msg *nats.Msg, batch []*entry) trace.Span {
	if !c.bus.tracer.On() {
		return noop.Span{}
	}
	var traces []string
	for _, e := range batch {
		if e.trace != "" {
			traces = append(traces, e.trace)
		}
	}
	ctx, span := c.bus.tracer.Together(ctx, "publish frame", trace.SpanKindProducer, traces,
		attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", c.subject),
		attribute.Int("messaging.batch.message_count", len(batch)))
	if parent := tracing.Parent(ctx); parent != "" {
		msg.Header[tracing.Header] = []string{parent}
	}
	return span
}

func (c *Committer) acknowledge(batch []*entry, number uint64) {
	for i, e := range batch {
		e.done <- answer{pos: Position{Chain: c.chain, Frame: number, Place: i}}
	}
}

func (c *Committer) fail(batch []*entry, err *problem.Error) {
	for _, e := range batch {
		e.done <- answer{err: err}
	}
	c.bus.metrics.refusals.WithLabelValues(err.Reason).Add(float64(len(batch)))
}

// expire answers those who have waited too long in the queue.
func (c *Committer) expire() {
	var late []*entry
	c.mu.Lock()
	for len(c.queue) > 0 && time.Since(c.queue[0].since) >= giveUp {
		e := c.queue[0]
		c.queue = c.queue[1:]
		c.bytes -= len(e.encoded)
		if e.state.CompareAndSwap(waiting, taken) {
			late = append(late, e)
		}
	}
	c.mu.Unlock()
	c.fail(late, busy("bus_not_acknowledging", nil))
}

// refuse lets nobody else into the queue.
func (c *Committer) refuse() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// close answers all who still wait: nothing will come for them.
func (c *Committer) close() {
	c.refuse()
	for batch := c.take(); len(batch) > 0; batch = c.take() {
		c.fail(batch, busy("stopping", nil))
	}
}
