package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	countEvery = 5 * time.Second
	counterKey = "counter." + Deliveries
	// receiptsAtOnce bounds what is handed on together, and what is read again
	// when it could not be.
	receiptsAtOnce = 20_000
)

// Enter keeps receipts. It returns nil when they are on disk; the same may come
// again.
type Enter func(context.Context, []Receipt) error

// Counter counts what was received: it reads the headers of all frames in
// order and hands what they brought to an Enter. It depends on no consumer, so
// its count can be compared with what became of the deliveries. One counter
// works at a time, whoever holds the lease; its position is in the bucket STATE.
type Counter struct {
	bus   *Bus
	enter Enter
	lease *lease
	mark  *settling
}

// settling is a moment: deliveries up to one sequence were normalized, and all
// that came of them is on CHANGES up to the other.
type settling struct{ deliveries, changes uint64 }

// NewCounter returns a counter; Run does the work.
func (b *Bus) NewCounter(enter Enter) *Counter {
	return &Counter{bus: b, enter: enter, lease: newLease(b, "counter")}
}

// Counted is how far the counter has come, and how far all that it counted is
// settled. A frame after Settled is in flight, if it is of this stream: it came
// after Began and is not after End.
type Counted struct {
	Seq     uint64    `json:"seq"`     // counted up to here
	Settled uint64    `json:"settled"` // normalized and written up to here
	End     uint64    `json:"end"`     // of the stream
	Began   time.Time `json:"began"`   // when the stream was made
}

// Run counts every few seconds, while the lease is ours, until ctx ends.
func (c *Counter) Run(ctx context.Context) error {
	var log seldom // ClickHouse may be away for long
	for {
		if err := c.turn(ctx); err != nil && ctx.Err() == nil {
			log.warn(c.bus.log, "counting what was received has to be tried again", "error", err)
		}
		if err := pause(ctx, countEvery); err != nil {
			return errors.Join(err, c.lease.release(ctx))
		}
	}
}

func (c *Counter) turn(ctx context.Context) error {
	if c.bus.embedded != nil { // nobody else is there, and a lease of before a crash would hold us up
		return c.Count(ctx)
	}
	held, err := c.lease.hold(ctx)
	if err != nil || !held {
		return err
	}
	return c.Count(ctx)
}

// Count counts what has come since the last time.
func (c *Counter) Count(ctx context.Context) error {
	st, revision, err := c.bus.counted(ctx)
	if err != nil {
		return err
	}
	before := st
	stream, err := c.bus.js.Stream(ctx, Deliveries)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Deliveries, err)
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(st.Began) { // another stream than the one that was counted
		st = Counted{Began: info.Created}
	}
	st.End = info.State.LastSeq
	st.Seq, st.Settled = min(st.Seq, st.End), min(st.Settled, st.End) // it may have lost its end
	if err := c.settle(ctx, &st); err != nil {
		return err
	}
	if err := c.read(ctx, &st, info.State); err != nil {
		return err
	}
	if st == before {
		return nil
	}
	return c.save(ctx, st, revision)
}

// settle moves the mark behind which all is written.
func (c *Counter) settle(ctx context.Context, st *Counted) error {
	now, err := c.bus.Progress(ctx)
	if err != nil {
		return err
	}
	if c.mark != nil && now.Written >= c.mark.changes {
		st.Settled = max(st.Settled, min(c.mark.deliveries, st.End))
		c.mark = nil
	}
	if c.mark == nil {
		c.mark = &settling{now.Normalized, now.ChangesEnd}
	}
	if now.Written >= now.ChangesEnd {
		st.Settled = max(st.Settled, min(now.Normalized, st.End))
	}
	return nil
}

// read hands on what every new frame brought.
func (c *Counter) read(ctx context.Context, st *Counted, now jetstream.StreamState) error {
	if now.LastSeq <= st.Seq {
		return nil
	}
	var receipts []Receipt
	last := st.Seq
	flush := func() error {
		if len(receipts) > 0 {
			if err := c.enter(ctx, receipts); err != nil {
				return fmt.Errorf("enter %d receipts: %w", len(receipts), err)
			}
		}
		st.Seq, receipts = last, receipts[:0]
		return nil
	}
	err := c.bus.read(ctx, reading{stream: Deliveries, from: st.Seq + 1, headers: true}, func(s stored) error {
		got, err := c.bus.receipts(ctx, s.seq, s.header)
		switch {
		case errors.Is(err, errUnreadable), IsGone(err):
			// Nobody can say what it had: the auditor and the consumers report it.
			c.bus.metrics.uncounted.Inc()
		case err != nil:
			return err
		}
		receipts, last = append(receipts, got...), s.seq
		if len(receipts) >= receiptsAtOnce {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	last = max(last, now.LastSeq)
	return flush()
}

// Counted says how far the counter has come; all is zero when it never ran.
func (b *Bus) Counted(ctx context.Context) (Counted, error) {
	st, _, err := b.counted(ctx)
	return st, err
}

func (b *Bus) counted(ctx context.Context) (st Counted, revision uint64, err error) {
	entry, err := b.kv[BucketState].Get(ctx, counterKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return st, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(entry.Value(), &st)
	}
	if err != nil {
		return st, 0, fmt.Errorf("read the counter's position: %w", err)
	}
	return st, entry.Revision(), nil
}

// save fails when another counter has written meanwhile.
func (c *Counter) save(ctx context.Context, st Counted, revision uint64) error {
	value, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if _, err := c.bus.kv[BucketState].Update(ctx, counterKey, value, revision); err != nil {
		return fmt.Errorf("save the counter's position: %w", err)
	}
	return nil
}

// Standing is what only the bus knows for an account: how far its consumers
// have come, and what came that the counter has not entered yet.
type Standing struct {
	Counted
	Late      []Receipt
	LateSince time.Time // what came from then on is neither counted nor late; zero: everything is
}

// Standing asks how things stand now. It reads at most so many receipts; when
// the counter is further behind, it says since when.
func (b *Bus) Standing(ctx context.Context, most int) (Standing, error) {
	counted, _, err := b.counted(ctx)
	st := Standing{Counted: counted}
	if err != nil {
		return st, err
	}
	stream, err := b.js.Stream(ctx, Deliveries)
	if err != nil {
		return st, fmt.Errorf("open stream %s: %w", Deliveries, err)
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(st.Began) {
		st.Counted = Counted{Began: info.Created}
	}
	st.End = info.State.LastSeq
	now, err := b.Progress(ctx)
	if err != nil {
		return st, err
	}
	if now.Written >= now.ChangesEnd {
		st.Settled = max(st.Settled, now.Normalized)
	}
	st.Seq, st.Settled = min(st.Seq, st.End), min(st.Settled, st.End)
	if st.Seq == st.End {
		return st, nil
	}
	err = b.read(ctx, reading{stream: Deliveries, from: st.Seq + 1, headers: true}, func(s stored) error {
		if len(st.Late) >= most {
			st.LateSince = s.time
			return errEnough
		}
		got, err := b.receipts(ctx, s.seq, s.header)
		if err != nil && !errors.Is(err, errUnreadable) && !IsGone(err) {
			return err
		}
		st.Late = append(st.Late, got...)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return st, err
	}
	return st, nil
}
