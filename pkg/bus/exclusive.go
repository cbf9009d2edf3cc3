package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"whatchanged/pkg/problem"
)

// Removing is the turn of whoever removes rows from tables, or makes a backup,
// which needs that meanwhile nobody does.
const Removing = "removing"

// turn is what those of this process share who do a thing one at a time.
type turn struct {
	free  chan struct{} // holds one value while nobody is at it
	lease *lease        // among processes; its holder has taken from free
}

// Exclusively calls do while no other process, nor anybody else here, does a
// thing of this name. It waits for its turn, at most patience. The context of
// do ends when the turn is lost. What a process that died had begun can be
// taken up a while later.
func (b *Bus) Exclusively(ctx context.Context, name string, patience time.Duration, do func(context.Context) error) error {
	t := b.turn(name)
	busy := problem.BusyFor(5*time.Second, "taken", "somebody else is at it; try again in a moment", nil)
	until := time.Now().Add(patience)
	waited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	select {
	case <-t.free:
		defer func() { t.free <- struct{}{} }()
	case <-waited.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return busy
	}
	for {
		ours, err := t.lease.hold(ctx)
		if err != nil {
			return fmt.Errorf("take turns: %w", err)
		}
		if ours {
			break
		}
		if time.Now().After(until) {
			return busy
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	err := t.lease.while(ctx, do)
	if released := t.lease.release(ctx); released != nil {
		b.log.Warn("a turn ends by itself", "name", name, "error", released)
	}
	return err
}

func (b *Bus) turn(name string) *turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.turns[name]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1), lease: newLease(b, name)}
		t.free <- struct{}{}
		if b.turns == nil {
			b.turns = map[string]*turn{}
		}
		b.turns[name] = t
	}
	return t
}

// Alone runs f while this process holds the lease of a name, and waits for its
// turn until ctx ends. When the lease is lost, f's context ends.
func (b *Bus) Alone(ctx context.Context, name string, f func(context.Context) error) error {
	l := newLease(b, name)
	tick := time.NewTicker(leaseFor / 5)
	defer tick.Stop()
	for ctx.Err() == nil {
		held, err := l.hold(ctx)
		if err != nil && ctx.Err() == nil {
			b.log.Warn("lease has to be tried again", "lease", name, "error", err)
		}
		if held {
			if err := errors.Join(l.while(ctx, f), l.release(ctx)); err != nil && ctx.Err() == nil {
				b.log.Warn("work under a lease ended", "lease", name, "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
