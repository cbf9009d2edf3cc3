package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Unwritten hands the change frames to h that are on the bus and that the
// writer has not settled: what they say may not be in the store yet. What is
// unreadable is left out: the writer reports it.
func (b *Bus) Unwritten(ctx context.Context, h func(*ChangeFrame) error) error {
	from := uint64(0)
	cons, err := b.js.Consumer(ctx, Changes, Writer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound): // it has never run
	case err != nil:
		return fmt.Errorf("look at consumer %s: %w", Writer, err)
	default:
		from = cons.CachedInfo().AckFloor.Stream + 1
	}
	return b.read(ctx, reading{stream: Changes, from: from}, func(s stored) error {
		frames, err := openChanges(s.data)
		if err != nil {
			return nil //nolint:nilerr // a dead letter by the writer
		}
		for _, f := range frames {
			if err := h(f); err != nil {
				return err
			}
		}
		return nil
	})
}
