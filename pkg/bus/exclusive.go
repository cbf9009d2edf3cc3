package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"whatchanged/pkg/problem"
)

const turnRenewed = leaseFor / 3

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
	err := t.keep(ctx, do)
	if released := t.lease.release(ctx); released != nil {
		b.log.Warn("a turn ends by itself", "name", name, "error", released)
	}
	return err
}

// keep renews the lease while do works.
func (t *turn) keep(ctx context.Context, do func(context.Context) error) error {
	within, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		for pause(within, turnRenewed) == nil {
			if _, err := t.lease.hold(within); err != nil && within.Err() == nil {
				cancel(err)
				return
			}
		}
	})
	return do(within)
}

func (b *Bus) turn(name string) *turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.turns[name]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1), lease: newLease(b.kv[BucketState], name)}
		t.free <- struct{}{}
		if b.turns == nil {
			b.turns = map[string]*turn{}
		}
		b.turns[name] = t
	}
	return t
}
