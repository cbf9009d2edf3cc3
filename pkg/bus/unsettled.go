package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errFound ends a reading at the first message.
var errFound = errors.New("found")

// Unsettled returns when the oldest frame was stored on the bus that the
// normalizers or the writer have not settled: what was taken in before it can
// be queried. Zero: all is settled. A consumer that has never run holds up
// nothing.
func (b *Bus) Unsettled(ctx context.Context) (oldest time.Time, err error) {
	for _, c := range []struct{ stream, durable string }{
		{Deliveries, NormalizerFresh}, {Deliveries, NormalizerBulk}, {Changes, Writer}, {Changes, WriterBulk},
	} {
		at, err := b.unsettled(ctx, c.stream, c.durable)
		if err != nil {
			return time.Time{}, err
		}
		if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	return oldest, nil
}

func (b *Bus) unsettled(ctx context.Context, stream, durable string) (at time.Time, err error) {
	cons, err := b.js.Consumer(ctx, stream, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return at, nil
	}
	if err != nil {
		return at, fmt.Errorf("look at consumer %s: %w", durable, err)
	}
	info := cons.CachedInfo()
	if info.NumPending == 0 && info.NumAckPending == 0 {
		return at, nil
	}
	err = b.read(ctx, reading{stream: stream, subject: info.Config.FilterSubject, from: info.AckFloor.Stream + 1, headers: true, wait: time.Second}, func(s stored) error {
		at = s.time
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return at, err
}

// Unwritten hands the change frames to h that the writers have not settled, of
// each lane oldest first: what is in them may not be in the store. It returns at what
// was the end when it began. What is unreadable, or of a later version, is left
// out: the writer reports it.
func (b *Bus) Unwritten(ctx context.Context, h func(*ChangeFrame) error) error {
	for _, durable := range []string{Writer, WriterBulk} {
		r := reading{stream: Changes}
		cons, err := b.js.Consumer(ctx, Changes, durable)
		switch {
		case err == nil:
			r.from, r.subject = cons.CachedInfo().AckFloor.Stream+1, cons.CachedInfo().Config.FilterSubject
		case !errors.Is(err, jetstream.ErrConsumerNotFound):
			return fmt.Errorf("look at consumer %s: %w", durable, err)
		case durable == WriterBulk: // the other one has all lanes then
			continue
		}
		if err := b.unwritten(ctx, r, h); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) unwritten(ctx context.Context, r reading, h func(*ChangeFrame) error) error {
	return b.read(ctx, r, func(s stored) error {
		frames, err := openChanges(s.data)
		if err != nil {
			return nil //nolint:nilerr // the writer reports it
		}
		for _, f := range frames {
			if err := h(f); err != nil {
				return err
			}
		}
		return nil
	})
}
