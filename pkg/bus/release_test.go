package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// What a killed process had in hand must not wait for the ack wait of 30 s.
func TestConsume_TakesUpAtOnceWhatAProcessBeforeHadInHand(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	var got seen
	consume := func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, change.Fresh, func(_ context.Context, f *bus.DeliveryFrame) error {
			got.add(string(f.Deliveries[0].Body))
			return nil
		})
	}
	before, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- consume(before) }()
	commit(t, c, delivery(0, "settled"))
	allSettled(t, b, bus.NormalizerFresh)
	end()
	<-done

	commit(t, c, delivery(1, "in hand"))
	cons, err := b.JetStream().Consumer(t.Context(), bus.Deliveries, bus.NormalizerFresh)
	if err != nil {
		t.Fatal(err)
	}
	// The pull of the process before may still be waiting, and then has it in hand.
	batch, err := cons.Fetch(1, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() { // and never settled
	}
	if hand := consumer(t, b, bus.NormalizerFresh); hand.AckPending != 1 {
		t.Fatalf("%d messages are in hand, want 1", hand.AckPending)
	}
	background(t, consume)
	const soon = 15 * time.Second // half the ack wait
	for deadline := time.Now().Add(soon); got.count("in hand") == 0; {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come again within %s", soon)
		}
		time.Sleep(20 * time.Millisecond)
	}
	allSettled(t, b, bus.NormalizerFresh)
	after, err := b.JetStream().Consumer(t.Context(), bus.Deliveries, bus.NormalizerFresh)
	if err != nil {
		t.Fatal(err)
	}
	if wait := after.CachedInfo().Config.AckWait; wait != 30*time.Second {
		t.Errorf("the ack wait is %s", wait)
	}
}
