package bus

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
	"whatchanged/pkg/failpoint"
)

const (
	consumerAckWait = 30 * time.Second
	progressEvery   = 10 * time.Second
	settleTimeout   = 5 * time.Second
	putBackMost     = 2 * time.Second // so that all goes on soon after what was away is back
	malformedTries  = 5

	// Messages that one consumer may have taken and not settled. Batches take as
	// many as fit their own limit, and frames are small while there is little to do.
	batchesInHand = 8192
)

// settler tells a stream what became of each message. None is left to time out.
type settler struct {
	bus      *Bus
	durable  string
	stage    string // of the dead letters it writes
	bytes    bool   // whether they need the frame's bytes: nobody else stores them
	attempts attempts
	log      seldom
}

// settle is the one place where messages are acknowledged. ref is empty for what
// is unreadable.
func (s *settler) settle(ctx context.Context, m jetstream.Msg, ref FrameRef, err error) {
	seq, delivered := position(m)
	switch {
	case err == nil:
		failpoint.Hit("before-ack")
		s.attempts.forget(seq)
		s.bus.metrics.consumed.WithLabelValues(s.durable).Inc()
		s.done(ctx, "acknowledge", m.DoubleAck)
	case errors.Is(err, errNewer):
		// Not ours to give up: a consumer of that version may take it, now or
		// after the upgrade. Until then nothing trims it.
		s.bus.metrics.redeliveries.WithLabelValues(s.durable).Inc()
		s.bus.metrics.alarms.WithLabelValues(alarmNewer).Inc()
		s.log.error(s.bus.log, "frame of a later version is left for those who can read it: upgrade this service", "consumer", s.durable,
			"chain", m.Headers().Get(headerChain), "frame", m.Headers().Get(headerFrame), "delivered", delivered, "error", err)
		_ = m.NakWithDelay(min(backoff(delivered), putBackMost)) // without a connection the ack wait does the same
	case errors.Is(err, errUnreadable):
		d := DeadLetter{Stage: StageFrame, Chain: m.Headers().Get(headerChain), Bytes: m.Data()}
		d.Frame, _ = strconv.ParseUint(m.Headers().Get(headerFrame), 10, 64) // as far as it can be read
		s.bury(ctx, m, d, err, 1)
	case errors.Is(err, change.ErrMalformed) && s.attempts.add(seq, err) >= malformedTries:
		d := DeadLetter{Stage: s.stage, Chain: ref.Chain, Frame: ref.Number}
		if s.bytes {
			d.Bytes = m.Data()
		}
		s.bury(ctx, m, d, err, malformedTries)
	default:
		s.bus.metrics.redeliveries.WithLabelValues(s.durable).Inc()
		if ctx.Err() != nil { // stopped in the middle, which is no news
			s.bus.log.Debug("frame is left for the next start", "consumer", s.durable, "chain", ref.Chain, "frame", ref.Number, "error", err)
			_ = m.Nak()
			return
		}
		s.log.warn(s.bus.log, "frame is put back for later", "consumer", s.durable, "chain", ref.Chain, "frame", ref.Number,
			"delivered", delivered, "error", err)
		_ = m.NakWithDelay(min(backoff(delivered), putBackMost)) // without a connection the ack wait does the same
	}
}

// bury stores a message's dead letter and only then takes it off the consumer.
func (s *settler) bury(ctx context.Context, m jetstream.Msg, d DeadLetter, err error, tries int) {
	seq, _ := position(m)
	d.Reason, d.Attempts, d.LastError = err.Error(), tries, err.Error()
	d.FirstError = s.attempts.first(seq, err)
	s.bus.log.Error("frame cannot be processed", "consumer", s.durable, "stage", d.Stage, "chain", d.Chain, "frame", d.Frame, "error", err)
	if err := s.bus.PublishDead(ctx, d); err != nil {
		s.bus.log.Error("dead letter is not stored; the frame comes again", "consumer", s.durable, "error", err)
		_ = m.NakWithDelay(time.Second)
		return
	}
	s.attempts.forget(seq)
	if err := m.TermWithReason(cut(err.Error(), 200)); err != nil {
		s.bus.log.Warn("cannot settle", "consumer", s.durable, "error", err) // it comes again, to the same end
	}
}

// done acknowledges even while stopping: the work is done, and would be done
// again after the next start.
func (s *settler) done(ctx context.Context, what string, ack func(context.Context) error) {
	ctx = context.WithoutCancel(ctx)
	within, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	began := time.Now()
	err := ack(within)
	s.bus.silences.heard(ctx, "consumer "+s.durable, began, err)
	if err != nil {
		s.bus.log.Warn("cannot settle", "consumer", s.durable, "what", what, "error", err)
	}
}

// seldom logs what repeats once in a while; a counter has them all.
type seldom struct {
	mu   sync.Mutex
	next time.Time
}

const seldomEvery = 10 * time.Second

func (l *seldom) warn(log *slog.Logger, message string, args ...any) {
	if l.now() {
		log.Warn(message, args...) //nolint:sloglint // a fixed phrase at each caller
	}
}

func (l *seldom) error(log *slog.Logger, message string, args ...any) {
	if l.now() {
		log.Error(message, args...) //nolint:sloglint // a fixed phrase at each caller
	}
}

// now reports whether it is time to log again.
func (l *seldom) now() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !now.After(l.next) {
		return false
	}
	l.next = now.Add(seldomEvery)
	return true
}

// working keeps messages from being delivered again while h works on them.
func (s *settler) working(msgs []jetstream.Msg, h func() error) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				for _, m := range msgs {
					_ = m.InProgress() // lost with the connection: then it comes again
				}
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	return h()
}

func position(m jetstream.Msg) (seq uint64, delivered int) {
	meta, err := m.Metadata()
	if err != nil {
		return 0, 1
	}
	return meta.Sequence.Stream, int(meta.NumDelivered)
}

// attempts counts the tries of messages whose content was refused, and keeps
// their first error. A restart begins the count again.
type attempts struct {
	mu    sync.Mutex
	bySeq map[uint64]attempt
}

type attempt struct {
	tries int
	first string
}

const maxAttempts = 10_000 // messages that fail at the same time; beyond it counts begin again

func (a *attempts) add(seq uint64, err error) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bySeq == nil || len(a.bySeq) >= maxAttempts {
		a.bySeq = map[uint64]attempt{}
	}
	at := a.bySeq[seq]
	if at.tries++; at.tries == 1 {
		at.first = err.Error()
	}
	a.bySeq[seq] = at
	return at.tries
}

func (a *attempts) first(seq uint64, err error) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, ok := a.bySeq[seq]; ok {
		return at.first
	}
	return err.Error()
}

func (a *attempts) forget(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.bySeq, seq)
}
