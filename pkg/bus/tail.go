package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Tail hands the change frames that arrive from now on to h, in order, until
// ctx ends or h returns an error. It keeps nothing on the stream and holds
// nothing up; when it is too slow, frames may be missing only after trimming.
func (b *Bus) Tail(ctx context.Context, h func(*ChangeFrame) error) error {
	cons, err := b.js.OrderedConsumer(ctx, Changes, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverNewPolicy,
	})
	if err != nil {
		return fmt.Errorf("tail changes: %w", err)
	}
	it, err := cons.Messages(jetstream.PullMaxMessagesWithBytesLimit(readBatch, readBytes))
	if err != nil {
		return fmt.Errorf("tail changes: %w", err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the server was away; the iterator finds its place again
		case err != nil:
			return fmt.Errorf("tail changes: %w", err)
		}
		frames, err := openChanges(m.Data())
		if err != nil {
			continue // the writer's consumer reports it
		}
		for _, f := range frames {
			if err := h(f); err != nil {
				return err
			}
		}
	}
}
