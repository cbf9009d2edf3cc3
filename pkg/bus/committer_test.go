package bus_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
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

// noise is a delivery that does not compress.
func noise(n, size int) *change.Delivery {
	d := delivery(n, "")
	d.Body = make([]byte, size)
	rand.Read(d.Body)
	return d
}

// run starts a committer and ends it, without an error, with the test.
func run(t testing.TB, b *bus.Bus, lane string) *bus.Committer {
	t.Helper()
	c := b.NewCommitter(lane)
	start(t, c)
	return c
}

func start(t testing.TB, c *bus.Committer) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("committer: %v", err)
		}
	})
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

func TestCommitter_AnswersAllWaitingWithOneFrame(t *testing.T) {
	b := bustest.New(t)
	c := b.NewCommitter(change.Fresh)
	const n = 100
	positions := make(chan bus.Position, n)
	var wg sync.WaitGroup
	for i := range n { // before Run, so that all wait together
		wg.Go(func() {
			pos, err := c.Commit(t.Context(), delivery(i, "{}"))
			if err != nil {
				t.Errorf("commit: %v", err)
			}
			positions <- pos
		})
	}
	eventually(t, "everyone waits", func() bool { return c.Waiting() == n })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	wg.Wait()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	places := map[bus.Position]bool{}
	for range n {
		places[<-positions] = true
	}
	want := map[bus.Position]bool{}
	all := frames(t, b)
	if len(all) != 1 {
		t.Fatalf("%d frames, want 1", len(all))
	}
	for i := range n {
		want[bus.Position{Chain: all[0].Chain, Frame: 1, Place: i}] = true
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func TestCommitter_BeginsANewChainThatNamesTheOld(t *testing.T) {
	cfg := bustest.Config(t)
	var last *bus.DeliveryFrame
	for start := range 3 {
		withBus(t, cfg, func(b *bus.Bus) {
			before := frames(t, b)
			if len(before) != 2*start {
				t.Fatalf("start %d: %d frames are there, want %d", start, len(before), 2*start)
			}
			withCommitter(t, b, func(c *bus.Committer) {
				commit(t, c, delivery(1, "{}"))
				commit(t, c, delivery(2, "{}"))
			})
			fresh := frames(t, b)[2*start:]
			if fresh[0].Number != 1 || fresh[1].Number != 2 || fresh[1].Prev != fresh[0].Hash || fresh[0].Chain != fresh[1].Chain {
				t.Fatalf("not a chain: %+v, %+v", fresh[0], fresh[1])
			}
			want := bus.FrameRef{}
			if last != nil {
				want = bus.FrameRef{Chain: last.Chain, Number: 2, Hash: last.Hash}
			}
			if diff := cmp.Diff(want, fresh[0].Old); diff != "" {
				t.Fatalf("the chain before (-want +got)\n%s", diff)
			}
			last = fresh[1]
		})
	}
}

func TestCommitter_MakesAFrameOfOneLargeDelivery(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	noise := make([]byte, b.MaxRecord())
	rand.Read(noise)
	d := delivery(1, "")
	d.Body = noise[:b.MaxRecord()-bus.EncodedSize(d)-8]
	commit(t, c, d)
	got := frames(t, b)[0].Deliveries
	if len(got) != 1 || !bytes.Equal(got[0].Body, d.Body) { // too large for a diff
		t.Fatalf("%d deliveries, or another body", len(got))
	}
}

func TestCommitter_RefusesWhatFitsNoFrame(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	_, err := c.Commit(t.Context(), delivery(1, strings.Repeat("x", b.MaxRecord())))
	if problem.KindOf(err) != problem.TooLarge {
		t.Fatalf("error %v, want too large", err)
	}
}

func TestCommitter_IsBusyWhenTheQueueIsFull(t *testing.T) {
	cfg := bustest.Config(t)
	cfg.QueueRecords, cfg.QueueBytes = 10, 1000
	b := bustest.Connect(t, cfg)
	f := func(name, body string, fit int) {
		t.Run(name, func(t *testing.T) {
			c := b.NewCommitter(change.Fresh) // nobody takes from its queue
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for i := range fit {
				wg.Go(func() { _, _ = c.Commit(ctx, delivery(i, body)) })
				eventually(t, "it waits", func() bool { return c.Waiting() == i+1 })
			}
			_, err := c.Commit(t.Context(), delivery(99, body))
			if problem.KindOf(err) != problem.Busy || problem.From(err).Reason != "queue_full" {
				t.Errorf("error %v, want busy", err)
			}
			cancel()
			wg.Wait()
		})
	}
	f("by count", "", 10)
	f("by bytes", strings.Repeat("x", 400), 2)
}

func TestCommitter_ReturnsWhenTheCallerLeaves(t *testing.T) {
	b := bustest.New(t)
	c := b.NewCommitter(change.Fresh)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := c.Commit(ctx, delivery(1, "left"))
		left <- err
	}()
	eventually(t, "it waits", func() bool { return c.Waiting() == 1 })
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want canceled", err)
	}
	runCtx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(runCtx) }()
	commit(t, c, delivery(2, "stayed"))
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	all := frames(t, b)
	if len(all) != 1 || len(all[0].Deliveries) != 1 || string(all[0].Deliveries[0].Body) != "stayed" {
		t.Fatalf("stored %+v, want only the one that stayed", all)
	}
}

func TestCommitter_CommitsWhatWaitsWhenToldToStop(t *testing.T) {
	b := bustest.New(t)
	c := b.NewCommitter(change.Fresh)
	committed := make(chan error, 1)
	go func() {
		_, err := c.Commit(t.Context(), delivery(1, "{}"))
		committed <- err
	}()
	eventually(t, "it waits", func() bool { return c.Waiting() == 1 })
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	err := <-committed
	if stored := len(frames(t, b)) == 1; (err == nil) != stored {
		t.Fatalf("answered %v, stored %v", err, stored)
	}
	if _, err := c.Commit(t.Context(), delivery(2, "{}")); problem.KindOf(err) != problem.Busy {
		t.Fatalf("after the end: error %v, want busy", err)
	}
}

func TestCommitter_BeginsAFrameBeforeItsTimeWhenPlentyWait(t *testing.T) {
	b := bustest.New(t)
	c := b.NewCommitter(change.Fresh)
	plenty := c.SetPace(time.Hour)
	start(t, c)
	commit(t, c, delivery(0, "{}")) // who comes alone waits for nobody
	var all errgroup.Group
	for n := range plenty {
		all.Go(func() error {
			_, err := c.Commit(t.Context(), delivery(1+n, "{}"))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := frames(t, b); len(got) != 2 || len(got[1].Deliveries) != plenty {
		t.Errorf("%d frames, want one of 1 delivery and one of %d", len(got), plenty)
	}
}

func TestCommitter_IsBusyWhenTheBusIsFullAndGoesOnWhenThereIsRoom(t *testing.T) {
	cfg := bustest.Config(t)
	cfg.MaxBytes = 2 << 20
	b := bustest.Connect(t, cfg)
	c := run(t, b, change.Fresh)
	var acked []change.DeliveryID
	var refused error
	for n := range 100 {
		d := noise(n, 100_000)
		if _, refused = c.Commit(t.Context(), d); refused != nil {
			break
		}
		acked = append(acked, d.ID)
	}
	if problem.KindOf(refused) != problem.Busy || problem.From(refused).RetryAfter <= 0 {
		t.Fatalf("error %v, want busy", refused)
	}
	if diff := cmp.Diff(acked, ids(frames(t, b))); diff != "" {
		t.Fatalf("a full bus changed what was stored (-want +got)\n%s", diff)
	}
	stream, err := b.JetStream().Stream(t.Context(), bus.Deliveries)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(5)); err != nil {
		t.Fatal(err)
	}
	pos := commit(t, c, delivery(200, "room"))
	if want := uint64(len(acked) + 1); pos.Frame != want {
		t.Fatalf("frame %d after %d were stored: a refused frame must not leave a hole", pos.Frame, want-1)
	}
}

func TestCommitter_RefusesBelowTheDiskReserve(t *testing.T) {
	cfg := bustest.Config(t)
	cfg.DiskReserve = 1
	b := bustest.Connect(t, cfg)
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "{}"))
	b.SetDiskReserve(1 << 60)
	eventually(t, "it refuses", func() bool { return b.Healthy() != nil })
	_, err := c.Commit(t.Context(), delivery(2, "{}"))
	if problem.KindOf(err) != problem.Busy || problem.From(err).Reason != "disk_reserve" {
		t.Fatalf("error %v, want busy for want of disk", err)
	}
	b.SetDiskReserve(1)
	eventually(t, "it accepts again", func() bool { return b.Healthy() == nil })
	commit(t, c, delivery(3, "{}"))
}

func TestConnect_RefusesADirectoryInUse(t *testing.T) {
	cfg := bustest.Config(t)
	bustest.Connect(t, cfg)
	_, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "another process uses the bus") {
		t.Fatalf("error %v", err)
	}
}

func TestConnect_RefusesMoreThanTheVolumeHas(t *testing.T) {
	cfg := bustest.Config(t)
	cfg.MaxBytes = 1 << 55
	_, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "80 % of it less the reserve") {
		t.Fatalf("error %v", err)
	}
}

func TestConnect_StartsWithLessRoomThanBefore(t *testing.T) {
	cfg := bustest.Config(t)
	for _, maxBytes := range []int64{1 << 30, 64 << 20} {
		cfg.MaxBytes = maxBytes
		b, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry())
		if err != nil {
			t.Fatalf("with %d bytes: %v", maxBytes, err)
		}
		st, err := b.Status(t.Context())
		if err != nil || st.Streams[0].MaxBytes != maxBytes {
			t.Errorf("DELIVERIES may hold %d bytes, want %d: %v", st.Streams[0].MaxBytes, maxBytes, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfig_ReportsEveryFaultAtOnce(t *testing.T) {
	err := bus.Config{MaxBytes: -1, Replicas: 9, CertFile: "cert.pem", DiskReserve: -1}.Validate()
	for _, want := range []string{"dir:", "max_bytes:", "replicas:", "cert_file", "disk_reserve:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	if err := bus.DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestStatus_TellsWhatIsInForce(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "{}"))
	st, err := b.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !st.Embedded || st.SyncAlways == nil || !*st.SyncAlways || st.MaxPayload != 32<<20 {
		t.Errorf("status %+v", st)
	}
	got := map[string]int64{}
	for _, s := range st.Streams {
		got[s.Name] = s.MaxBytes
	}
	want := map[string]int64{ // 60, 25, 5 and 5 percent
		bus.Deliveries: 1 << 30, bus.Changes: (1 << 30) / 60 * 25, bus.Audit: (1 << 30) / 60 * 5, bus.Dead: (1 << 30) / 60 * 5,
		bus.Fetch: 32 << 20, bus.Advisory: 16 << 20,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	if first := st.Streams[0]; first.Messages != 1 || first.LastTime.IsZero() {
		t.Errorf("deliveries %+v", first)
	}
}

func ids(frames []*bus.DeliveryFrame) (list []change.DeliveryID) {
	for _, f := range frames {
		for _, d := range f.Deliveries {
			list = append(list, d.ID)
		}
	}
	return list
}

// eventually waits for a condition, and fails with its name after a minute.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// withBus runs f on a bus that is closed afterwards.
func withBus(t *testing.T, cfg bus.Config, f func(*bus.Bus)) {
	t.Helper()
	b, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	f(b)
}

// withCommitter runs f beside a committer that has ended afterwards.
func withCommitter(t *testing.T, b *bus.Bus, f func(*bus.Committer)) {
	t.Helper()
	c := b.NewCommitter(change.Fresh)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	f(c)
	stop()
	if err := <-done; err != nil {
		t.Errorf("committer: %v", err)
	}
}
