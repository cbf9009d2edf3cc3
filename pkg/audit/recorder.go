package audit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/problem"
)

// The kinds of frames, which are the subjects' last words.
const (
	Events = "event"
	Uses   = "use"
)

// Publisher puts a frame of records on the stream: nil means that it is on
// disk. Trying again with the same name is harmless.
type Publisher interface {
	PublishAudit(ctx context.Context, kind, name string, records []json.RawMessage) error
}

// Limits bound what waits to be recorded, and for how long.
type Limits struct {
	// Waiting is how many records of a kind may wait; whoever brings more waits
	// for room.
	Waiting int
	// Room is how long; then the call is refused as busy.
	Room time.Duration
	// Answer is how long an action, or the use of a key, waits until its record
	// is on disk.
	Answer time.Duration
	// Stop is how long what still waits is tried for at the end.
	Stop time.Duration
}

// DefaultLimits returns the limits of a process that serves an API.
func DefaultLimits() Limits {
	return Limits{Waiting: 10_000, Room: 2 * time.Second, Answer: 4 * time.Second, Stop: 2 * time.Second}
}

// The largest frame, and how often one is begun: a frame is an fsync, however
// small it is, and those who wait for the next one share it.
const (
	frameRecords = 1000
	frameBytes   = 512 << 10
	pace         = 2 * time.Millisecond
	retryFirst   = 50 * time.Millisecond
	retrySlowest = time.Second
)

// Recorder gets records onto the bus, many with one publish. Nothing that it
// has taken is dropped: what cannot be published is tried again until it is,
// and meanwhile those who bring more wait, and are refused.
type Recorder struct {
	limits  Limits
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	events  *lane
	uses    *lane
}

// NewRecorder returns a recorder; Run does the work.
func NewRecorder(p Publisher, limits Limits, log *slog.Logger, reg prometheus.Registerer) *Recorder {
	r := &Recorder{limits: limits, log: log, metrics: newMetrics(reg), now: time.Now}
	r.events = r.newLane(p, Events)
	r.uses = r.newLane(p, Uses)
	showAge(reg, r.events)
	showAge(reg, r.uses)
	return r
}

// Run publishes what waits until ctx ends, and then what is left. An error
// names how many records were lost.
func (r *Recorder) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, l := range []*lane{r.events, r.uses} {
		wg.Go(func() { errs[i] = l.run(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Record records what was done. When it returns nil, the record is on disk.
func (r *Recorder) Record(ctx context.Context, c Change) error {
	e, err := eventOf(ctx, c, r.now())
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = r.commit(ctx, e)
	return err
}

// Begin records what is about to be done, and returns once that is on disk; with
// an error nothing is recorded, and nothing may be done. Whoever called it then
// says what became of it, once. An action whose process ends before that is
// recorded with the outcome unknown: nothing is done that leaves no record.
func (r *Recorder) Begin(ctx context.Context, c Change) (became func(Outcome), err error) {
	e, err := eventOf(ctx, c, r.now())
	if errors.Is(err, errNothing) {
		return func(Outcome) {}, nil
	}
	if err != nil {
		return nil, err
	}
	e.Outcome = Unknown
	if e, err = r.commit(ctx, e); err != nil {
		return nil, err
	}
	return func(o Outcome) {
		if o != Unknown {
			r.amend(e, o)
		}
	}, nil
}

// commit publishes an event and waits for it.
func (r *Recorder) commit(ctx context.Context, e Event) (Event, error) {
	e.Version = 1
	sent, err := r.events.commit(ctx, e)
	if err != nil && sent {
		r.amend(e, Withdrawn) // it is on its way, and what it tells of will not be done
	}
	return e, err
}

// amend is the last word on an event. There are no more of them than events,
// so they need no room of their own.
func (r *Recorder) amend(e Event, o Outcome) {
	e.Version, e.Outcome = e.Version+1, o
	data, err := json.Marshal(e)
	if err != nil { // not likely: its first form was written the same way
		r.metrics.lost.WithLabelValues(r.events.kind).Inc()
		r.log.Error("the outcome of an audit event is not recorded", "event_id", e.ID, "error", err)
		return
	}
	r.events.add(data)
}

// Used records a use of a key. When it returns nil, the record is on disk; with
// an error the call must not go on, and a record of it may be there all the same:
// the key was used.
func (r *Recorder) Used(ctx context.Context, u Use) error {
	_, err := r.uses.commit(ctx, u)
	return err
}

func (r *Recorder) busy(reason string, cause error) error {
	r.metrics.refused.WithLabelValues(reason).Inc()
	return problem.BusyFor(2*time.Second, reason, "this cannot be recorded in the audit trail at the moment, so it was not done; try again", cause)
}

// lane is the records of one kind on their way.
type lane struct {
	r    *Recorder
	p    Publisher
	kind string
	room chan struct{} // has a token for each record that was put and is not on disk
	wake chan struct{} // has one token while the queue may have something

	mu     sync.Mutex
	queue  []*record
	closed bool
}

// record is one that waits. done is nil when nobody waits for it.
type record struct {
	data   []byte
	since  time.Time
	done   chan error // room for one
	state  atomic.Int32
	roomed bool // holds a token of room
}

const (
	waiting int32 = iota
	taken
	abandoned
)

func (r *Recorder) newLane(p Publisher, kind string) *lane {
	return &lane{
		r: r, p: p, kind: kind,
		room: make(chan struct{}, r.limits.Waiting), wake: make(chan struct{}, 1),
	}
}

// commit publishes a record and waits until it is on disk. With an error, sent
// says that it may get there all the same.
func (l *lane) commit(ctx context.Context, v any) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.r.limits.Answer)
	defer cancel()
	rec, err := l.put(ctx, v)
	if err != nil {
		return false, err
	}
	select {
	case err := <-rec.done:
		return false, err
	case <-ctx.Done():
		sent := !rec.state.CompareAndSwap(waiting, abandoned)
		return sent, l.r.busy("audit_not_acknowledged", context.Cause(ctx))
	}
}

// put puts a record in the queue once there is room for it.
func (l *lane) put(ctx context.Context, v any) (*record, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode an audit record: %w", err)
	}
	select {
	case l.room <- struct{}{}:
	default:
		full := time.NewTimer(l.r.limits.Room)
		defer full.Stop()
		select {
		case l.room <- struct{}{}:
		case <-ctx.Done():
			return nil, l.r.busy("audit_full", context.Cause(ctx))
		case <-full.C:
			return nil, l.r.busy("audit_full", nil)
		}
	}
	rec := &record{data: data, done: make(chan error, 1), roomed: true}
	if !l.queueUp(rec) {
		<-l.room
		return nil, l.r.busy("stopping", nil)
	}
	return rec, nil
}

// add puts a record in the queue whether there is room or not. After the end of
// Run it is lost, as it is with the process: its event says unknown.
func (l *lane) add(data []byte) {
	if !l.queueUp(&record{data: data}) {
		l.r.metrics.lost.WithLabelValues(l.kind).Inc()
	}
}

func (l *lane) queueUp(rec *record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	rec.since = time.Now()
	l.queue = append(l.queue, rec)
	l.r.metrics.waiting.WithLabelValues(l.kind).Set(float64(len(l.queue)))
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// run publishes frames until ctx ends, and then what is left.
func (l *lane) run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.wake:
			l.drain(ctx)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.r.limits.Stop)
	defer cancel()
	l.drain(last)
	return l.close()
}

// drain publishes what waits. What ctx interrupts is put back.
func (l *lane) drain(ctx context.Context) {
	for ctx.Err() == nil {
		batch := l.take()
		if len(batch) == 0 {
			return
		}
		if !l.publish(ctx, batch) {
			l.mu.Lock()
			l.queue = append(batch, l.queue...)
			l.mu.Unlock()
			return
		}
		pause(ctx, pace)
	}
}

// take removes a frame's worth from the queue.
func (l *lane) take() []*record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*record
	size, n := 0, 0
	for _, rec := range l.queue {
		if len(batch) == frameRecords || len(batch) > 0 && size+len(rec.data) > frameBytes {
			break
		}
		n++
		if !rec.state.CompareAndSwap(waiting, taken) && rec.state.Load() == abandoned {
			l.free(rec)
			continue
		}
		size += len(rec.data)
		batch = append(batch, rec)
	}
	l.queue = append([]*record(nil), l.queue[n:]...)
	l.r.metrics.waiting.WithLabelValues(l.kind).Set(float64(len(l.queue)))
	return batch
}

// publish publishes a frame until it is acknowledged or ctx ends.
func (l *lane) publish(ctx context.Context, batch []*record) bool {
	records := make([]json.RawMessage, len(batch))
	for i, rec := range batch {
		records[i] = rec.data
	}
	name := rand.Text()
	for delay := retryFirst; ; delay = min(2*delay, retrySlowest) {
		err := l.p.PublishAudit(ctx, l.kind, name, records)
		if err == nil {
			break
		}
		l.r.metrics.retries.WithLabelValues(l.kind).Inc()
		if ctx.Err() != nil {
			return false
		}
		if delay == retryFirst || delay == retrySlowest {
			l.r.log.Warn("audit records have to be published again", "kind", l.kind, "records", len(batch), "error", err)
		}
		pause(ctx, delay)
	}
	l.r.metrics.records.WithLabelValues(l.kind).Add(float64(len(batch)))
	for _, rec := range batch {
		l.free(rec)
		if rec.done != nil {
			rec.done <- nil
		}
	}
	return true
}

func (l *lane) free(rec *record) {
	if rec.roomed {
		<-l.room
	}
}

// close lets nobody else in, and answers who still waits.
func (l *lane) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, rec := range l.queue {
		if rec.done != nil {
			rec.done <- l.r.busy("stopping", nil)
		}
	}
	if n := len(l.queue); n > 0 {
		l.r.metrics.lost.WithLabelValues(l.kind).Add(float64(n))
		return fmt.Errorf("%d audit records (%s) could not be published within %s of stopping", n, l.kind, l.r.limits.Stop)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
