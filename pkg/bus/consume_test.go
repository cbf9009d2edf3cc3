package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// background runs f until the test ends; f returns when its context does.
func background(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v, want canceled", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("did not return within 10 s of being told to")
		}
	})
}

// seen collects strings from handlers.
type seen struct {
	mu   sync.Mutex
	list []string
}

func (s *seen) add(v string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, v)
}

func (s *seen) count(v string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.list {
		if have == v {
			n++
		}
	}
	return n
}

func (s *seen) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

func consumer(t testing.TB, b *bus.Bus, name string) bus.ConsumerStatus {
	t.Helper()
	st, err := b.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Consumers {
		if c.Name == name {
			return c
		}
	}
	return bus.ConsumerStatus{Pending: 1}
}

func allSettled(t testing.TB, b *bus.Bus, name string) {
	t.Helper()
	eventually(t, name+" has settled everything", func() bool {
		c := consumer(t, b, name)
		return c.Pending == 0 && c.AckPending == 0 && c.AckFloor > 0
	})
}

func TestConsume_HandsOutEachFrameOnce(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	var got seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, change.Fresh, func(_ context.Context, f *bus.DeliveryFrame) error {
			for _, d := range f.Deliveries {
				got.add(string(d.Body))
			}
			return nil
		})
	})
	for n := range 50 {
		commit(t, c, delivery(n, fmt.Sprint(n)))
	}
	allSettled(t, b, bus.NormalizerFresh)
	for n := range 50 {
		if times := got.count(fmt.Sprint(n)); times != 1 {
			t.Errorf("delivery %d was handed out %d times", n, times)
		}
	}
}

func TestConsume_TakesOnlyItsLane(t *testing.T) {
	b := bustest.New(t)
	fresh, bulk := run(t, b, change.Fresh), run(t, b, change.Bulk)
	var got seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerBulk, change.Bulk, func(_ context.Context, f *bus.DeliveryFrame) error {
			got.add(f.Lane)
			return nil
		})
	})
	commit(t, fresh, delivery(1, "{}"))
	commit(t, bulk, delivery(2, "{}"))
	commit(t, fresh, delivery(3, "{}"))
	allSettled(t, b, bus.NormalizerBulk)
	if diff := cmp.Diff([]string{change.Bulk}, got.list); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func TestConsume_TriesAgainWhatFailed(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	var got seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, change.Fresh, func(_ context.Context, f *bus.DeliveryFrame) error {
			body := string(f.Deliveries[0].Body)
			got.add(body)
			if body != "bad" || got.count("bad") > 3 {
				return nil
			}
			if got.count("bad") == 2 {
				panic("a handler's own mistake")
			}
			return errors.New("store down")
		})
	})
	commit(t, c, delivery(0, "bad"))
	for n := range 5 {
		commit(t, c, delivery(n+1, fmt.Sprint(n)))
	}
	allSettled(t, b, bus.NormalizerFresh)
	want := []string{"bad", "0", "1", "2", "3", "4", "bad", "bad", "bad"}
	if diff := cmp.Diff(want, got.list, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	if dead := deadLetters(t, b); len(dead) > 0 {
		t.Errorf("a temporary failure became a dead letter: %+v", dead)
	}
}

// An operator removes a consumer, or the server comes up again without it.
func TestConsume_MakesAConsumerAgainThatIsGone(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	var got seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.RawWriter, "", func(_ context.Context, f *bus.DeliveryFrame) error {
			got.add(string(f.Deliveries[0].Body))
			return nil
		})
	})
	background(t, func(ctx context.Context) error {
		return b.ConsumeFetches(ctx, 2, func(_ context.Context, f bus.LogFile) error {
			got.add(f.Key)
			return nil
		})
	})
	commit(t, c, delivery(0, "before"))
	if err := b.PublishFetch(t.Context(), change.Fresh, noticed("before.gz", time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are there", func() bool { return got.count("before") == 1 && got.count("before.gz") == 1 })
	for stream, durable := range map[string]string{bus.Deliveries: bus.RawWriter, bus.Fetch: bus.Fetcher} {
		if err := b.JetStream().DeleteConsumer(t.Context(), stream, durable); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, c, delivery(1, "after"))
	if err := b.PublishFetch(t.Context(), change.Fresh, noticed("after.gz", time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they go on", func() bool { return got.count("after") == 1 && got.count("after.gz") == 1 })
	allSettled(t, b, bus.RawWriter)
}

func TestConsume_BuriesTheMalformedAfterFiveTries(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	var got seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, change.Fresh, func(_ context.Context, f *bus.DeliveryFrame) error {
			body := string(f.Deliveries[0].Body)
			got.add(body)
			if body == "bad" {
				return fmt.Errorf("%w: try %d", change.ErrMalformed, got.count("bad"))
			}
			return nil
		})
	})
	pos := commit(t, c, delivery(1, "bad"))
	commit(t, c, delivery(2, "good"))
	allSettled(t, b, bus.NormalizerFresh)
	if n := got.count("bad"); n != 5 {
		t.Errorf("%d tries, want 5", n)
	}
	if n := got.count("good"); n != 1 {
		t.Errorf("the next frame was handled %d times", n)
	}
	want := []bus.DeadLetter{{
		Stage: bus.StageNormalize, Chain: pos.Chain, Frame: pos.Frame, Attempts: 5,
		Reason: "malformed: try 5", FirstError: "malformed: try 1", LastError: "malformed: try 5",
	}}
	if diff := cmp.Diff(want, deadLetters(t, b), cmpopts.IgnoreFields(bus.DeadLetter{}, "ID", "FirstAt", "At", "Seq", "Order")); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func TestConsume_BuriesWhatIsNoFrame(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "first"))
	garbage := []byte("not a frame")
	if _, err := b.JetStream().Publish(t.Context(), "deliveries.fresh", garbage); err != nil {
		t.Fatal(err)
	}
	commit(t, c, delivery(2, "second"))
	changed := last(t, b, 1)
	changed.Data[len(changed.Data)-1] ^= 1
	if _, err := b.JetStream().PublishMsg(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	var got seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, "", func(_ context.Context, f *bus.DeliveryFrame) error {
			got.add(string(f.Deliveries[0].Body))
			return nil
		})
	})
	allSettled(t, b, bus.NormalizerFresh)
	if diff := cmp.Diff([]string{"first", "second"}, got.list); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	dead := deadLetters(t, b)
	if len(dead) != 2 {
		t.Fatalf("%d dead letters, want 2: %+v", len(dead), dead)
	}
	if diff := cmp.Diff(changed.Data, dead[0].Bytes); diff != "" || dead[0].Frame != 1 {
		t.Errorf("bytes of frame %d (-want +got)\n%s", dead[0].Frame, diff)
	}
	if diff := cmp.Diff(garbage, dead[1].Bytes); diff != "" || dead[1].Stage != bus.StageFrame {
		t.Errorf("stage %s, bytes (-want +got)\n%s", dead[1].Stage, diff)
	}
}

// last copies a stored message, without the id that would make it a duplicate.
func last(t testing.TB, b *bus.Bus, seq uint64) *nats.Msg {
	t.Helper()
	stream, err := b.JetStream().Stream(t.Context(), bus.Deliveries)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := stream.GetMsg(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	msg := &nats.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data}
	msg.Header.Del(nats.MsgIdHdr)
	return msg
}

func TestConsume_KnowsAFrameThatIsThereTwice(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "{}"))
	if _, err := b.JetStream().PublishMsg(t.Context(), last(t, b, 1)); err != nil {
		t.Fatal(err)
	}
	var got seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, "", func(_ context.Context, f *bus.DeliveryFrame) error {
			got.add(f.Chain)
			return nil
		})
	})
	allSettled(t, b, bus.NormalizerFresh)
	if got.len() != 1 {
		t.Fatalf("handled %d times, want 1", got.len())
	}
	if err := b.NewAuditor().Audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dead := deadLetters(t, b); len(dead) > 0 {
		t.Fatalf("a repeat is no fault: %+v", dead)
	}
}

func TestConsumeDeliveryBatches_TakesManyFramesAndAcknowledgesThemTogether(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	for n := range 200 {
		commit(t, c, delivery(n, fmt.Sprint(n)))
	}
	var sizes, got seen
	background(t, func(ctx context.Context) error {
		lim := bus.BatchLimit{Bytes: 1 << 20, Records: 60, Wait: 200 * time.Millisecond}
		return b.ConsumeDeliveryBatches(ctx, bus.RawWriter, "", lim, func(_ context.Context, frames []*bus.DeliveryFrame) error {
			if len(frames) > lim.Records {
				t.Errorf("%d frames of one record, the limit is %d", len(frames), lim.Records)
			}
			sizes.add(fmt.Sprint(len(frames)))
			if sizes.len() == 2 {
				return errors.New("store down")
			}
			for _, f := range frames {
				got.add(string(f.Deliveries[0].Body))
			}
			return nil
		})
	})
	allSettled(t, b, bus.RawWriter)
	for n := range 200 {
		if times := got.count(fmt.Sprint(n)); times != 1 {
			t.Errorf("delivery %d was stored %d times", n, times)
		}
	}
	if sizes.len() > 20 {
		t.Errorf("%d batches for 200 frames: %v", sizes.len(), sizes.list)
	}
}

func TestConsumeDeliveryBatches_FindsTheBadOneOfABatch(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	for n := range 10 {
		commit(t, c, delivery(n, fmt.Sprint(n)))
	}
	var got seen
	background(t, func(ctx context.Context) error {
		lim := bus.BatchLimit{Bytes: 1 << 20, Records: 1000, Wait: 100 * time.Millisecond}
		return b.ConsumeDeliveryBatches(ctx, bus.RawWriter, "", lim, func(_ context.Context, frames []*bus.DeliveryFrame) error {
			for _, f := range frames {
				if string(f.Deliveries[0].Body) == "4" {
					return fmt.Errorf("%w: no such column", change.ErrMalformed)
				}
			}
			for _, f := range frames {
				got.add(string(f.Deliveries[0].Body))
			}
			return nil
		})
	})
	allSettled(t, b, bus.RawWriter)
	want := []string{"0", "1", "2", "3", "5", "6", "7", "8", "9"}
	if diff := cmp.Diff(want, got.list, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	dead := deadLetters(t, b)
	if len(dead) != 1 || dead[0].Stage != bus.StageInsert || dead[0].Frame != 5 || len(dead[0].Bytes) == 0 {
		t.Fatalf("dead letters %+v, want frame 5 with its bytes", dead)
	}
}

func TestPublishChanges_SplitsWhatIsTooLarge(t *testing.T) {
	b := bustest.New(t)
	text := strings.Repeat("a long description ", 20_000) // 380 kB
	big := change.Result{Outcome: change.Stored, Org: "big"}
	for n := range 80 {
		big.Changes = append(big.Changes, change.Change{ID: change.ID{byte(n + 1)}, Description: text})
	}
	want := bus.ChangeFrame{Chain: "0123456789abcdef", Number: 7, Run: 2, Lane: change.Fresh, Results: []change.Result{
		{Outcome: change.Ignored, Org: "first"}, big, {Outcome: change.Dead, Org: "last"},
	}}
	if err := b.PublishChanges(t.Context(), &want); err != nil {
		t.Fatal(err)
	}
	if err := b.PublishChanges(t.Context(), &want); err != nil { // a repeat is harmless
		t.Fatal(err)
	}
	var mu sync.Mutex
	var parts []*bus.ChangeFrame
	background(t, func(ctx context.Context) error {
		lim := bus.BatchLimit{Bytes: 1 << 20, Records: 1000, Wait: 100 * time.Millisecond}
		return b.ConsumeChangeBatches(ctx, bus.Writer, lim, func(_ context.Context, frames []*bus.ChangeFrame) error {
			mu.Lock()
			defer mu.Unlock()
			parts = append(parts, frames...)
			return nil
		})
	})
	allSettled(t, b, bus.Writer)
	mu.Lock()
	defer mu.Unlock()
	if len(parts) < 3 {
		t.Fatalf("%d parts, want 3 or more", len(parts))
	}
	got := map[string]int{}
	for i, p := range parts {
		if p.Part != i+1 || p.Parts != len(parts) || p.Chain != want.Chain || p.Number != 7 || p.Run != 2 {
			t.Errorf("part %d is %d of %d of %s/%d/%d", i+1, p.Part, p.Parts, p.Chain, p.Number, p.Run)
		}
		for _, r := range p.Results {
			got[r.Org] += len(r.Changes)
		}
	}
	if diff := cmp.Diff(map[string]int{"first": 0, "big": 80, "last": 0}, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func TestPublishChanges_PutsManyFramesInOneMessage(t *testing.T) {
	b := bustest.New(t)
	var want []*bus.ChangeFrame
	for n := range 100 {
		want = append(want, &bus.ChangeFrame{Chain: "0123456789abcdef", Number: uint64(n + 1), Lane: change.Fresh, Results: []change.Result{{Org: "o"}}})
	}
	for range 2 { // a repeat is harmless
		if err := b.PublishChanges(t.Context(), want...); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := b.JetStream().Stream(t.Context(), bus.Changes)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
	var got seen
	background(t, func(ctx context.Context) error {
		return b.ConsumeChangeBatches(ctx, bus.Writer, bus.BatchLimit{Bytes: 1 << 20, Records: 1000}, func(_ context.Context, frames []*bus.ChangeFrame) error {
			for _, f := range frames {
				got.add(fmt.Sprint(f.Number))
			}
			return nil
		})
	})
	allSettled(t, b, bus.Writer)
	if got.len() != 100 || got.count("1") != 1 || got.count("100") != 1 {
		t.Errorf("%d frames, want each of the 100 once", got.len())
	}
}

func TestTail_HandsOutChangesFromNowOn(t *testing.T) {
	b := bustest.New(t)
	publish := func(n uint64) {
		t.Helper()
		f := &bus.ChangeFrame{Chain: "0123456789abcdef", Number: n, Lane: change.Fresh, Results: []change.Result{{Org: "o"}}}
		if err := b.PublishChanges(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	publish(1)
	var got seen
	background(t, func(ctx context.Context) error {
		return b.Tail(ctx, func(f *bus.ChangeFrame) error {
			got.add(fmt.Sprint(f.Number))
			return nil
		})
	})
	next := uint64(2)
	eventually(t, "the tail has begun", func() bool {
		publish(next)
		next++
		return got.len() > 0
	})
	publish(next)
	eventually(t, "the last one came", func() bool { return got.count(fmt.Sprint(next)) == 1 })
	if got.count("1") != 0 {
		t.Error("it began before now")
	}
}

func TestDeadLetters_AreListedNewestFirstByOrg(t *testing.T) {
	b := bustest.New(t)
	want := []bus.DeadLetter{}
	for n := range 5 {
		d := bus.DeadLetter{
			ID: fmt.Sprint("ded_", n), Stage: bus.StageNormalize, Org: []string{"a", "b"}[n%2], SourceID: "src_1",
			DeliveryID: change.DeliveryID{byte(n + 1)}, Index: n, Chain: "c", Frame: 3, Place: n, Reason: "no such thing",
			Attempts: 5, FirstError: "first", LastError: "last", FirstAt: change.AtMilli(int64(n)), At: change.AtMilli(int64(n)), Bytes: []byte("line\nline"),
		}
		if err := b.PublishDead(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if d.Org == "a" {
			want = append([]bus.DeadLetter{d}, want...)
		}
	}
	unplaced := cmpopts.IgnoreFields(bus.DeadLetter{}, "Seq", "Order")
	first, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: "a", Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[:2], first.Letters, unplaced); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	second, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: "a", Limit: 2, Cursor: first.Next})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[2:], second.Letters, unplaced); diff != "" || second.Next != "" {
		t.Fatalf("cursor %q (-want +got)\n%s", second.Next, diff)
	}
	if all := deadLetters(t, b); len(all) != 5 || first.Total != 3 {
		t.Fatalf("%d in all, want 5; %d of a, want 3", len(all), first.Total)
	}
}

func TestPublishDead_ShedsWhatCanBeHadAgainBeforeItRefuses(t *testing.T) {
	cfg := bustest.Config(t)
	cfg.MaxBytes = 12 << 20 // DEAD: 1 MiB
	b := bustest.Connect(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	letter := func(n int, bytes []byte) {
		t.Helper()
		d := bus.DeadLetter{ID: fmt.Sprint(n), Stage: bus.StageNormalize, Reason: strings.Repeat("x", 4000), Bytes: bytes}
		if err := b.PublishDead(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	letter(0, []byte("nobody else has these bytes"))
	for n := range 300 { // 1.2 MB
		letter(n+1, nil)
	}
	page, err := b.DeadLetters(ctx, bus.DeadQuery{Org: bus.NoOrg, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	all := page.Letters
	if len(all) < 150 || len(all) > 290 {
		t.Errorf("%d dead letters are left", len(all))
	}
	if oldest := all[len(all)-1]; string(oldest.Bytes) != "nobody else has these bytes" {
		t.Errorf("the oldest is %s: the only copy of some bytes was shed", oldest.ID)
	}
}
