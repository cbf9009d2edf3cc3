package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const leaseFor = 15 * time.Second

// lease lets one of several processes do a thing. Whoever holds it renews it;
// who does not, takes it after it was not renewed for leaseFor by the waiter's
// own clock, so clocks need not agree.
type lease struct {
	bus   *Bus
	kv    jetstream.KeyValue
	key   string
	owner string

	held     bool
	revision uint64    // of our own last write while held, else the last seen
	seen     time.Time // when revision was first seen
}

func newLease(b *Bus, name string) *lease {
	return &lease{bus: b, kv: b.kv[BucketState], key: "lease." + name, owner: rand.Text()}
}

// hold takes or renews the lease and reports whether it is ours. Call it more
// often than every leaseFor/2.
func (l *lease) hold(ctx context.Context) (bool, error) {
	began := time.Now()
	held, err := l.ask(ctx)
	l.bus.silences.heard(ctx, "bucket "+BucketState, began, err)
	return held, err
}

func (l *lease) ask(ctx context.Context) (bool, error) {
	if l.held {
		revision, err := l.kv.Update(ctx, l.key, []byte(l.owner), l.revision)
		if err != nil {
			l.held = false
			return false, fmt.Errorf("renew %s: %w", l.key, err)
		}
		l.revision = revision
		return true, nil
	}
	entry, err := l.kv.Get(ctx, l.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		revision, err := l.kv.Create(ctx, l.key, []byte(l.owner))
		return l.took(revision, err)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", l.key, err)
	}
	if entry.Revision() != l.revision {
		l.revision, l.seen = entry.Revision(), time.Now()
		return false, nil
	}
	if time.Since(l.seen) < leaseFor {
		return false, nil
	}
	return l.took(l.kv.Update(ctx, l.key, []byte(l.owner), l.revision))
}

func (l *lease) took(revision uint64, err error) (bool, error) {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return false, nil // another was faster
	}
	if err != nil {
		return false, fmt.Errorf("take %s: %w", l.key, err)
	}
	l.held, l.revision = true, revision
	return true, nil
}

// while runs f, which has to be done by one at a time, renews the lease as long
// as f works. The context of f ends when the lease is lost. f is run by the caller itself, whose thread may be one of low priority.
func (l *lease) while(ctx context.Context, f func(context.Context) error) error {
	within, end := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		for pause(within, leaseFor/3) == nil {
			if held, err := l.hold(within); !held && within.Err() == nil {
				end(fmt.Errorf("%s is lost: %w", l.key, err))
				return
			}
		}
	})
	err := f(within)
	lost := context.Cause(within)
	end(nil)
	renewing.Wait()
	if ctx.Err() != nil {
		lost = nil
	}
	return errors.Join(err, lost)
}

// release lets the next one have it at once.
func (l *lease) release(ctx context.Context) error {
	if !l.held {
		return nil
	}
	l.held = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := l.kv.Delete(ctx, l.key, jetstream.LastRevision(l.revision)); err != nil {
		return fmt.Errorf("release %s: %w", l.key, err)
	}
	return nil
}
