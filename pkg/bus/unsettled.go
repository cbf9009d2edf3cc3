package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
)

// errFound ends a reading at the first message.
var errFound = errors.New("found")

// Unsettled returns when the oldest frame was stored on the bus that the
// normalizers or the writer have not settled: what was taken in before it can
// be queried. Zero: all is settled. A consumer that has never run holds up
// nothing.
func (b *Bus) Unsettled(ctx context.Context) (oldest time.Time, err error) {
	for _, c := range []struct{ stream, durable, subject string }{
		{Deliveries, NormalizerFresh, subjectOf(Deliveries, change.Fresh)},
		{Deliveries, NormalizerBulk, subjectOf(Deliveries, change.Bulk)},
		{Changes, Writer, ""},
	} {
		at, err := b.unsettled(ctx, c.stream, c.durable, c.subject)
		if err != nil {
			return time.Time{}, err
		}
		if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	return oldest, nil
}

func (b *Bus) unsettled(ctx context.Context, stream, durable, subject string) (at time.Time, err error) {
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
	err = b.read(ctx, reading{stream: stream, subject: subject, from: info.AckFloor.Stream + 1, headers: true, wait: time.Second}, func(s stored) error {
		at = s.time
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return at, err
}

// Unwritten hands the change frames to h that the writer has not settled,
// oldest first: what is in them may not be in the store. It returns at what was
// the end when it began. What is unreadable, or of a later version, is left out:
// the writer reports it.
func (b *Bus) Unwritten(ctx context.Context, h func(*ChangeFrame) error) error {
	from := uint64(0)
	cons, err := b.js.Consumer(ctx, Changes, Writer)
	switch {
	case err == nil:
		from = cons.CachedInfo().AckFloor.Stream + 1
	case !errors.Is(err, jetstream.ErrConsumerNotFound): // then it has never run
		return fmt.Errorf("look at consumer %s: %w", Writer, err)
	}
	return b.read(ctx, reading{stream: Changes, from: from}, func(s stored) error {
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
