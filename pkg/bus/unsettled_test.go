package bus_test

import (
	"context"
	"testing"
	"time"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// S0-4: what was taken in and cannot be queried yet is known.
func TestUnsettled_TellsSinceWhenSomethingWaits(t *testing.T) {
	b := bustest.New(t)
	fresh, bulk := run(t, b, change.Fresh), run(t, b, change.Bulk)
	unsettled := func() time.Time {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // who asks does not wait for long
		defer cancel()
		at, err := b.Unsettled(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if at := unsettled(); !at.IsZero() {
		t.Errorf("an empty bus: %s", at)
	}
	commit(t, bulk, delivery(0, "bulk"))
	commit(t, fresh, delivery(1, "first"))
	if at := unsettled(); !at.IsZero() {
		t.Errorf("nobody has ever read: %s", at)
	}

	release := map[string]chan struct{}{"second": make(chan struct{}), "change": make(chan struct{})}
	wait := func(ctx context.Context, name string) error {
		select {
		case <-release[name]:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, change.Fresh, func(ctx context.Context, f *bus.DeliveryFrame) error {
			if string(f.Deliveries[0].Body) == "first" {
				return nil
			}
			return wait(ctx, "second")
		})
	})
	allSettled(t, b, bus.NormalizerFresh)
	if at := unsettled(); !at.IsZero() {
		t.Errorf("all is settled: %s", at)
	}
	before := time.Now()
	commit(t, fresh, delivery(2, "second"))
	between := time.Now()
	commit(t, bulk, delivery(3, "bulk again"))
	commit(t, fresh, delivery(4, "third"))
	if at := unsettled(); at.Before(before) || at.After(between) {
		t.Errorf("unsettled since %s, want when the second was committed, %s to %s", at, before, between)
	}
	close(release["second"])
	allSettled(t, b, bus.NormalizerFresh)

	background(t, func(ctx context.Context) error {
		return b.ConsumeChangeBatches(ctx, bus.Writer, bus.BatchLimit{Bytes: 1 << 20, Records: 1}, func(ctx context.Context, _ []*bus.ChangeFrame) error {
			return wait(ctx, "change")
		})
	})
	eventually(t, "the writer is there", func() bool { return consumer(t, b, bus.Writer).Name != "" })
	before = time.Now()
	if err := b.PublishChanges(t.Context(), &bus.ChangeFrame{Chain: "c", Number: 1, Lane: change.Fresh, Results: []change.Result{{Org: "acme"}}}); err != nil {
		t.Fatal(err)
	}
	if at := unsettled(); at.Before(before) || at.After(time.Now()) {
		t.Errorf("unsettled since %s, want when the changes were published, %s", at, before)
	}
	close(release["change"])
	allSettled(t, b, bus.Writer)
	if at := unsettled(); !at.IsZero() {
		t.Errorf("at the end: %s", at)
	}
}
