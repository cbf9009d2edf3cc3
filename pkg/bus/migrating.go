package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// migrationLease names the turn of whoever changes the tables.
const migrationLease = "migration"

// Migrating calls do while no other process changes the tables. It waits for
// its turn, at most patience; then the error says who is at it. What a process
// that died had begun can be taken up a quarter of a minute later.
func (b *Bus) Migrating(ctx context.Context, patience time.Duration, do func(context.Context) error) error {
	if b.embedded != nil { // nobody else is there, and a lease of before a crash would hold us up
		return do(ctx)
	}
	l := newLease(b, migrationLease)
	l.owner += " " + whoami()
	until := time.Now().Add(patience)
	told := false
	for {
		ours, err := l.hold(ctx)
		if err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if ours {
			break
		}
		holder, err := b.Migrator(ctx)
		if err != nil {
			return err
		}
		if time.Now().After(until) {
			return problem.BusyFor(leaseFor, "migrating", "another process is changing the tables: "+holder+"; wait until it is done, and look with `whatchanged migrate status`", nil)
		}
		if !told {
			told = true
			b.log.Info("waiting for another process to change the tables", "holder", holder)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	err := l.while(ctx, do)
	if released := l.release(ctx); released != nil {
		b.log.Warn("the migration lock ends by itself", "error", released)
	}
	return err
}

// Migrator says who changes the tables, as host, process and since when; empty
// when nobody does.
func (b *Bus) Migrator(ctx context.Context) (string, error) {
	entry, err := b.kv[BucketState].Get(ctx, "lease."+migrationLease)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look who holds the migration lock: %w", err)
	}
	_, who, _ := strings.Cut(string(entry.Value()), " ")
	return who, nil
}

func whoami() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("process %d on %s, since %s", os.Getpid(), host, change.At(time.Now()))
}
