package bus_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// publishResult puts one change frame on a lane.
func publishResult(t *testing.T, b *bus.Bus, lane, chain string, number uint64) {
	t.Helper()
	f := &bus.ChangeFrame{Chain: chain, Number: number, Lane: lane, Results: []change.Result{{DeliveryID: change.NewDeliveryID(time.Now()), Org: "acme", Outcome: change.Ignored}}}
	if err := b.PublishChanges(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// While a fresh batch is in hand a bulk batch waits, but not for ever.
func TestLanes_FreshGoesFirstAndBulkIsNotStarved(t *testing.T) {
	b := bustest.New(t)
	release, freshIn, bulkIn := make(chan struct{}), make(chan struct{}, 1), make(chan time.Time, 1)
	lim := bus.BatchLimit{Bytes: 1 << 20, Records: 1}
	background(t, func(ctx context.Context) error {
		return b.ConsumeChangeLane(ctx, change.Fresh, lim, func(context.Context, []*bus.ChangeFrame) error {
			freshIn <- struct{}{}
			<-release
			return nil
		})
	})
	publishResult(t, b, change.Fresh, "aaaaaaaaaaaaaaaa", 1)
	<-freshIn
	began := time.Now()
	background(t, func(ctx context.Context) error {
		return b.ConsumeChangeLane(ctx, change.Bulk, lim, func(context.Context, []*bus.ChangeFrame) error {
			bulkIn <- time.Now()
			return nil
		})
	})
	publishResult(t, b, change.Bulk, "bbbbbbbbbbbbbbbb", 1)
	if at := <-bulkIn; at.Sub(began) < bus.BulkPatience {
		t.Errorf("bulk began after %v beside a fresh batch; want it to wait %v", at.Sub(began), bus.BulkPatience)
	}
	close(release)
	allSettled(t, b, bus.Writer)
	allSettled(t, b, bus.WriterBulk)
}

// A backlog on the lane bulk, whatever its length, is behind nobody's fresh frame.
func TestLanes_ABacklogOfBulkIsNotInFrontOfFresh(t *testing.T) {
	b := bustest.New(t)
	for i := range 500 {
		publishResult(t, b, change.Bulk, "bbbbbbbbbbbbbbbb", uint64(i+1))
	}
	publishResult(t, b, change.Fresh, "aaaaaaaaaaaaaaaa", 1)
	var bulk atomic.Int64
	before := make(chan int64, 1)
	lim := bus.BatchLimit{Bytes: 1 << 20, Records: 1}
	background(t, func(ctx context.Context) error {
		return b.ConsumeChangeLane(ctx, change.Bulk, lim, func(context.Context, []*bus.ChangeFrame) error { bulk.Add(1); return nil })
	})
	background(t, func(ctx context.Context) error {
		return b.ConsumeChangeLane(ctx, change.Fresh, lim, func(context.Context, []*bus.ChangeFrame) error {
			before <- bulk.Load()
			return nil
		})
	})
	if n := <-before; n == 500 {
		t.Error("the fresh frame was handled behind all of the lane bulk")
	}
	allSettled(t, b, bus.WriterBulk)
	p, err := b.Progress(t.Context())
	if err != nil || p.Written != p.ChangesEnd {
		t.Errorf("%+v %v", p, err)
	}
}

// An installation whose one writer had both lanes goes on where that one was.
func TestLanes_TheWriterOfAllLanesIsSplitWithoutLossOrRepeat(t *testing.T) {
	b := bustest.New(t)
	lim := bus.BatchLimit{Bytes: 1 << 20, Records: 100}
	for i := range 10 {
		publishResult(t, b, []string{change.Fresh, change.Bulk}[i%2], "aaaaaaaaaaaaaaaa", uint64(i+1))
	}
	old, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() {
		stopped <- b.ConsumeChangeBatches(old, bus.Writer, lim, func(context.Context, []*bus.ChangeFrame) error { return nil })
	}()
	allSettled(t, b, bus.Writer)
	stop()
	<-stopped
	for i := range 10 {
		publishResult(t, b, []string{change.Fresh, change.Bulk}[i%2], "aaaaaaaaaaaaaaaa", uint64(i+11))
	}
	if p, err := b.Progress(t.Context()); err != nil || p.Written != 10 || p.ChangesEnd != 20 {
		t.Errorf("before: %+v %v", p, err)
	}
	got := map[string]chan uint64{change.Fresh: make(chan uint64, 20), change.Bulk: make(chan uint64, 20)}
	for _, lane := range []string{change.Fresh, change.Bulk} {
		background(t, func(ctx context.Context) error {
			return b.ConsumeChangeLane(ctx, lane, lim, func(_ context.Context, frames []*bus.ChangeFrame) error {
				for _, f := range frames {
					if f.Lane != lane || f.Number <= 10 {
						t.Errorf("frame %d of lane %s came to the writer of lane %s", f.Number, f.Lane, lane)
					}
					got[lane] <- f.Number
				}
				return nil
			})
		})
	}
	for range 5 {
		<-got[change.Fresh]
		<-got[change.Bulk]
	}
	allSettled(t, b, bus.Writer)
	allSettled(t, b, bus.WriterBulk)
	if p, err := b.Progress(t.Context()); err != nil || p.Written != 20 {
		t.Errorf("after: %+v %v", p, err)
	}
	cons, err := b.JetStream().Consumer(t.Context(), bus.Changes, bus.WriterBulk)
	if err != nil || cons.CachedInfo().Config.DeliverPolicy != jetstream.DeliverByStartSequencePolicy {
		t.Errorf("%+v %v", cons, err)
	}
}
