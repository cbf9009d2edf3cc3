package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// What a consumer has not settled is seen as its lag, in messages and in time,
// and is gone when it is settled.
func TestDepths_ShowHowFarBehindEachConsumerIs(t *testing.T) {
	b := bustest.New(t)
	reg := prometheus.NewRegistry()
	reg.MustRegister(b.NewDepths())
	publish(t, b, 3)
	before := gauges(t, reg, "whatchanged_bus_stream_messages")
	if before[bus.Deliveries] != 3 || before[bus.Changes] != 0 {
		t.Errorf("messages on streams: %v", before)
	}
	if room := gauges(t, reg, "whatchanged_bus_stream_capacity_bytes"); room[bus.Deliveries] <= 0 {
		t.Errorf("room: %v", room)
	}

	ctx, stop := context.WithCancel(t.Context())
	done, given, goOn := make(chan error, 1), make(chan struct{}, 10), make(chan struct{})
	go func() {
		done <- b.ConsumeDeliveries(ctx, bus.RawWriter, "", 1, func(ctx context.Context, _ *bus.DeliveryFrame) error {
			given <- struct{}{}
			select {
			case <-goOn:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	<-given
	lag := map[string]float64{}
	for _, name := range []string{"pending_frames", "in_hand_frames"} {
		lag[name] = gauges(t, reg, "whatchanged_bus_consumer_"+name)[bus.RawWriter]
	}
	if diff := cmp.Diff(map[string]float64{"pending_frames": 2, "in_hand_frames": 1}, lag); diff != "" {
		t.Errorf("while it works on the first of three (-want +got):\n%s", diff)
	}
	if age := gauges(t, reg, "whatchanged_bus_consumer_oldest_seconds")[bus.RawWriter]; age <= 0 || age > 60 {
		t.Errorf("the oldest is %v s old", age)
	}
	close(goOn)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		settled := gauges(t, reg, "whatchanged_bus_consumer_oldest_seconds")[bus.RawWriter] == 0
		if settled && gauges(t, reg, "whatchanged_bus_consumer_in_hand_frames")[bus.RawWriter] == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it never catches up")
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg, "whatchanged_bus_look_failures_total"); n != 1 || err != nil {
		t.Errorf("%d counters of failures, %v", n, err)
	}
}

// publish commits n frames of one delivery each.
func publish(t *testing.T, b *bus.Bus, n int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := b.NewCommitter(change.Fresh)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for i := range n {
		d := change.Delivery{ID: change.NewDeliveryID(time.Now()), Org: "org", SourceID: "src_1", ReceivedAt: change.At(time.Now()), Body: []byte{byte(i)}}
		if _, err := c.Commit(ctx, &d); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A writer that runs apart sees the depths with the rights that it has anyway.
func TestDepths_NeedNoMoreThanTheWritersRights(t *testing.T) {
	server := bustest.SecureServer(t)
	users := map[string]*bus.Bus{}
	for _, user := range []string{bus.UserAdmin, bus.UserReceiver, bus.UserWriter} {
		cfg := bus.Config{URL: server.URL, Name: "test", MaxBytes: 100 << 20, User: user, Password: auth.Secret(bustest.Password(user))}
		users[user] = as(t, cfg, user)
	}
	publish(t, users[bus.UserReceiver], 2)
	writer := users[bus.UserWriter]
	given := make(chan struct{}, 10)
	background(t, func(ctx context.Context) error {
		return writer.ConsumeDeliveries(ctx, bus.RawWriter, "", 1, func(ctx context.Context, _ *bus.DeliveryFrame) error {
			given <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	<-given
	reg := prometheus.NewRegistry()
	depths := writer.NewDepths()
	reg.MustRegister(depths)
	denied := writer.Denied()
	if n := gauges(t, reg, "whatchanged_bus_consumer_pending_frames")[bus.RawWriter]; n != 1 {
		t.Errorf("%v frames are pending, want 1", n)
	}
	if age := gauges(t, reg, "whatchanged_bus_consumer_oldest_seconds")[bus.RawWriter]; age <= 0 {
		t.Errorf("the oldest is %v s old", age)
	}
	if err := testutil.CollectAndCompare(depths, strings.NewReader(`
# HELP whatchanged_bus_look_failures_total Scrapes that could not see the streams and their consumers.
# TYPE whatchanged_bus_look_failures_total counter
whatchanged_bus_look_failures_total 0
`), "whatchanged_bus_look_failures_total"); err != nil {
		t.Error(err)
	}
	if n := writer.Denied(); n != denied {
		t.Errorf("%d requests were refused", n-denied)
	}
}
