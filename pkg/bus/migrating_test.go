package bus_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/problem"
)

func TestMigrating_OneProcessAtATimeWhichIsNamed(t *testing.T) {
	server := bustest.Server(t, "")
	one, other := bustest.Connect(t, remoteConfig(server)), bustest.Connect(t, remoteConfig(server))
	us := "process " + strconv.Itoa(os.Getpid()) + " on "
	nobody := func() {
		t.Helper()
		if who, err := other.Migrator(t.Context()); err != nil || who != "" {
			t.Errorf("it is held by %q, %v", who, err)
		}
	}
	nobody()
	own := errors.New("its own")
	err := one.Migrating(t.Context(), time.Second, func(context.Context) error {
		if who, err := other.Migrator(t.Context()); err != nil || !strings.HasPrefix(who, us) {
			t.Errorf("it is held by %q, %v", who, err)
		}
		err := other.Migrating(t.Context(), time.Millisecond, func(context.Context) error {
			t.Error("two at the same time")
			return nil
		})
		if problem.KindOf(err) != problem.Busy || !strings.Contains(problem.From(err).Message, us) {
			t.Errorf("another: %v, which should name %s", err, us)
		}
		return own
	})
	if !errors.Is(err, own) {
		t.Errorf("error %v, want %v", err, own)
	}
	nobody()

	// Who waits has its turn when the first is done.
	began, done := make(chan struct{}), false
	second := make(chan error, 1)
	go func() {
		<-began
		second <- other.Migrating(t.Context(), 30*time.Second, func(context.Context) error {
			if !done {
				t.Error("it did not wait")
			}
			return nil
		})
	}()
	err = one.Migrating(t.Context(), time.Second, func(context.Context) error {
		close(began)
		select {
		case <-time.After(500 * time.Millisecond): // the other one asks meanwhile
		case <-t.Context().Done():
		}
		done = true
		return nil
	})
	if err := errors.Join(err, <-second); err != nil {
		t.Error(err)
	}
}

// An embedded bus has one process: nothing is held that a crash would leave.
func TestMigrating_EmbeddedHoldsNothing(t *testing.T) {
	b := bustest.New(t)
	err := b.Migrating(t.Context(), 0, func(context.Context) error {
		who, err := b.Migrator(t.Context())
		if who != "" {
			t.Errorf("it is held by %q", who)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
