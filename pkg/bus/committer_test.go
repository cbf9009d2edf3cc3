package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// delivery makes the n-th delivery of a test.
func delivery(n int, body string) *change.Delivery {
	at := time.UnixMilli(1_700_000_000_000 + int64(n))
	return &change.Delivery{
		ID: change.NewDeliveryID(at), Org: "org_1", SourceID: "src_1", ReceivedAt: change.At(at),
		Header:   map[string][]string{"Content-Type": {"application/json"}, "X-Number": {fmt.Sprint(n)}},
		Body:     []byte(body),
		Identity: fmt.Sprintf("test:%d", n),
	}
}

// run starts a committer and ends it, without an error, with the test.
func run(t testing.TB, b *bus.Bus, lane string) *bus.Committer {
	t.Helper()
	c := b.NewCommitter(lane)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("committer: %v", err)
		}
	})
	return c
}

func commit(t testing.TB, c *bus.Committer, d *change.Delivery) bus.Position {
	t.Helper()
	pos, err := c.Commit(t.Context(), d)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return pos
}

// frames reads all that is stored.
func frames(t testing.TB, b *bus.Bus) (list []*bus.DeliveryFrame) {
	t.Helper()
	err := b.Frames(t.Context(), 0, func(_ uint64, f *bus.DeliveryFrame) error {
		list = append(list, f)
		return nil
	})
	if err != nil {
		t.Fatalf("read frames: %v", err)
	}
	return list
}

func TestCommitter_StoresWhatItAcknowledged(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	var want []change.Delivery
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range 300 {
		wg.Go(func() {
			d := delivery(n, fmt.Sprintf(`{"n":%d}`, n))
			if _, err := c.Commit(t.Context(), d); err != nil {
				t.Errorf("commit: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			want = append(want, *d)
		})
	}
	wg.Wait()
	got := map[change.DeliveryID]change.Delivery{}
	for _, f := range frames(t, b) {
		for _, d := range f.Deliveries {
			got[d.ID] = d
		}
	}
	for _, d := range want {
		if diff := cmp.Diff(d, got[d.ID]); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	}
	t.Logf("%d frames", len(frames(t, b)))
}

func TestConsumeDeliveries_HandsOutEveryFrame(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	ctx, stop := context.WithCancel(t.Context())
	got := make(chan string, 10)
	done := make(chan error, 1)
	go func() {
		done <- b.ConsumeDeliveries(ctx, "normalizer-fresh", change.Fresh, 2, func(_ context.Context, f *bus.DeliveryFrame) error {
			for _, d := range f.Deliveries {
				got <- string(d.Body)
			}
			return nil
		})
	}()
	for n := range 3 {
		want := fmt.Sprintf(`{"n":%d}`, n)
		commit(t, c, delivery(n, want))
		select {
		case body := <-got:
			if body != want {
				t.Fatalf("got %s, want %s", body, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came within 10 s")
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("consume: %v", err)
	}
}
