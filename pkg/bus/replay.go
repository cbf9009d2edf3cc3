package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
)

// WrittenAll waits until the writer has stored everything that is on CHANGES
// when it is called.
func (b *Bus) WrittenAll(ctx context.Context) error {
	stream, err := b.js.Stream(ctx, Changes)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Changes, err)
	}
	end := stream.CachedInfo().State.LastSeq
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		settled, err := written(ctx, stream)
		if err != nil {
			return err
		}
		if settled >= end {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// aroundFrame is how far apart the time that a delivery was received and the
// time that its frame was stored may be: the servers have clocks of their own.
const aroundFrame = 10 * time.Minute

// DeliveriesAt returns those of the deliveries at these places that are still on
// the bus, in memory of their own. All of them were received from first to last.
func (b *Bus) DeliveriesAt(ctx context.Context, places []Position, first, last time.Time) (map[Position]change.Delivery, error) {
	type frame struct {
		chain  string
		number uint64
	}
	wanted := map[frame][]Position{}
	for _, p := range places {
		at := frame{p.Chain, p.Frame}
		wanted[at] = append(wanted[at], p)
	}
	found := map[Position]change.Delivery{}
	from, err := b.Since(ctx, first.Add(-aroundFrame))
	if err != nil {
		return nil, err
	}
	err = b.Heads(ctx, from, func(h Head) error {
		at := frame{h.Chain, h.Number}
		if len(wanted) == 0 || h.Stored.After(last.Add(aroundFrame)) {
			return errFound
		}
		if wanted[at] == nil {
			return nil
		}
		f, err := b.Frame(ctx, h.Seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil // trimmed in this moment
		}
		if err != nil {
			return err
		}
		for _, p := range wanted[at] {
			if p.Place < len(f.Deliveries) {
				d := f.Deliveries[p.Place]
				d.Body = bytes.Clone(d.Body)
				found[p] = d
			}
		}
		delete(wanted, at)
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil, fmt.Errorf("look for deliveries on the bus: %w", err)
	}
	return found, nil
}
