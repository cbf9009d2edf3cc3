package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// ledger keeps receipts as the store does: the same one once.
type ledger struct {
	mu    sync.Mutex
	rows  map[string]bus.Receipt
	calls int
	err   error
}

func (l *ledger) enter(_ context.Context, receipts []bus.Receipt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.err != nil {
		return l.err
	}
	if l.rows == nil {
		l.rows = map[string]bus.Receipt{}
	}
	for _, r := range receipts {
		l.rows[fmt.Sprintf("%s/%d/%s/%s/%s", r.Chain, r.Frame, r.Org, r.SourceID, r.Minute)] = r
	}
	return nil
}

// sums adds up what was received, by org, source and minute.
func (l *ledger) sums() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	sums := map[string]int{}
	for _, r := range l.rows {
		sums[r.Org+"/"+r.SourceID+"/"+r.Minute.UTC().Format("15:04")] += r.Count
	}
	return sums
}

func received(org, source string, at time.Time) *change.Delivery {
	return &change.Delivery{ID: change.NewDeliveryID(at), Org: org, SourceID: source, ReceivedAt: change.At(at), Body: []byte("{}")}
}

var noon = time.Date(2026, 3, 30, 12, 0, 0, 0, time.UTC)

func count(t *testing.T, c *bus.Counter) {
	t.Helper()
	if err := c.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCounter_CountsWhatEachSourceSentInEachMinute(t *testing.T) {
	b := bustest.New(t)
	fresh, bulk := run(t, b, change.Fresh), run(t, b, change.Bulk)
	var l ledger
	counter := b.NewCounter(l.enter)
	count(t, counter) // of nothing
	commit(t, fresh, received("acme", "src_a", noon))
	commit(t, fresh, received("acme", "src_a", noon.Add(59*time.Second)))
	commit(t, fresh, received("acme", "src_a", noon.Add(time.Minute)))
	count(t, counter)
	commit(t, bulk, received("acme", "a key, with & signs", noon))
	commit(t, fresh, received("other", "src_a", noon))
	count(t, counter)
	want := map[string]int{"acme/src_a/12:00": 2, "acme/src_a/12:01": 1, "acme/a key, with & signs/12:00": 1, "other/src_a/12:00": 1}
	if diff := cmp.Diff(want, l.sums()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if l.calls != 2 {
		t.Errorf("entered %d times, want 2: what is counted is not counted again", l.calls)
	}
}

// A store that is away holds up nothing and loses nothing.
func TestCounter_CountsAgainWhatCouldNotBeEntered(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	l := ledger{err: errors.New("store down")}
	commit(t, c, received("acme", "src_a", noon))
	if err := b.NewCounter(l.enter).Count(t.Context()); !errors.Is(err, l.err) {
		t.Errorf("%v, want that of the store", err)
	}
	l.err = nil
	commit(t, c, received("acme", "src_a", noon))
	count(t, b.NewCounter(l.enter)) // another process
	if diff := cmp.Diff(map[string]int{"acme/src_a/12:00": 2}, l.sums()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCounter_ReadsAFrameOfTooManySources(t *testing.T) {
	b := bustest.New(t)
	c := b.NewCommitter(change.Fresh)
	const sources = bus.MaxTallies + 1
	want := map[string]int{}
	var commits sync.WaitGroup
	for n := range sources { // all wait before the committer runs, so they are one frame
		source := fmt.Sprintf("src_%d", n)
		want["acme/"+source+"/12:00"] = 1
		commits.Go(func() {
			if _, err := c.Commit(t.Context(), received("acme", source, noon)); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all to wait", func() bool { return c.Waiting() == sources })
	background(t, func(ctx context.Context) error { return errors.Join(c.Run(ctx), ctx.Err()) })
	commits.Wait()
	if got := last(t, b, 1).Header.Get("Wc-Tally"); got != "" {
		t.Fatalf("a header of %d bytes for %d sources", len(got), sources)
	}
	var l ledger
	count(t, b.NewCounter(l.enter))
	if diff := cmp.Diff(want, l.sums()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What came is known by the headers, also when what it was is not.
func TestCounter_CountsAFrameThatNobodyCanRead(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	commit(t, c, received("acme", "src_a", noon))
	broken := last(t, b, 1)
	broken.Header.Set("Wc-Frame", "2")
	broken.Header.Del("Nats-Msg-Id")
	broken.Data = []byte("broken")
	for range 2 {
		if _, err := b.JetStream().PublishMsg(t.Context(), broken); err != nil {
			t.Fatal(err)
		}
		broken.Header.Set("Wc-Frame", "3")
		broken.Header.Del("Wc-Tally") // and now not even that
	}
	var l ledger
	count(t, b.NewCounter(l.enter))
	if diff := cmp.Diff(map[string]int{"acme/src_a/12:00": 2}, l.sums()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStanding_TellsWhatIsSettledAndWhatIsNotCountedYet(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	var l ledger
	counter := b.NewCounter(l.enter)
	standing := func(most int) bus.Standing {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // who asks does not wait for long
		defer cancel()
		st, err := b.Standing(ctx, most)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	commit(t, c, received("acme", "src_a", noon))
	count(t, counter)
	commit(t, c, received("acme", "src_a", noon))
	commit(t, c, received("acme", "src_b", noon))
	st := standing(10)
	if st.Settled != 0 || st.End != 3 || len(st.Late) != 2 || !st.LateSince.IsZero() || st.Late[1].SourceID != "src_b" || st.Late[1].Seq != 3 {
		t.Errorf("nothing is processed: %+v", st)
	}
	if st = standing(1); len(st.Late) != 1 || st.LateSince.IsZero() {
		t.Errorf("more is late than one wants to know: %+v", st)
	}

	stored := make(chan struct{})
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, change.Fresh, func(ctx context.Context, f *bus.DeliveryFrame) error {
			return b.PublishChanges(ctx, &bus.ChangeFrame{Chain: f.Chain, Number: f.Number, Lane: f.Lane, Results: []change.Result{{DeliveryID: f.Deliveries[0].ID}}})
		})
	})
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerBulk, change.Bulk, func(context.Context, *bus.DeliveryFrame) error { return nil })
	})
	eventually(t, "all to be normalized", func() bool {
		p, err := b.Progress(t.Context())
		return err == nil && p.Normalized == 3
	})
	count(t, counter)
	if st = standing(10); st.Settled != 0 || st.Seq != 3 || len(st.Late) != 0 {
		t.Errorf("nothing is written: %+v", st)
	}
	background(t, func(ctx context.Context) error {
		return b.ConsumeChangeBatches(ctx, bus.Writer, bus.BatchLimit{Records: 10}, func(ctx context.Context, _ []*bus.ChangeFrame) error {
			select {
			case <-stored:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	close(stored)
	eventually(t, "all to be settled", func() bool { return standing(10).Settled == 3 })
	count(t, counter)
	if counted, err := b.Counted(t.Context()); err != nil || counted.Settled != 3 {
		t.Errorf("%+v, %v", counted, err)
	}
	if diff := cmp.Diff(map[string]int{"acme/src_a/12:00": 2, "acme/src_b/12:00": 1}, l.sums()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The end of the stream may be lost, and then other frames take its place.
func TestCounter_GoesBackWithAStreamThatLostItsEnd(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	var l ledger
	counter := b.NewCounter(l.enter)
	for range 3 {
		commit(t, c, received("acme", "src_a", noon))
	}
	count(t, counter)
	cfg := stream(t, b, bus.Deliveries).CachedInfo().Config
	if err := b.JetStream().DeleteStream(t.Context(), bus.Deliveries); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream().CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	commit(t, c, received("acme", "src_b", noon))
	count(t, counter)
	if diff := cmp.Diff(map[string]int{"acme/src_a/12:00": 3, "acme/src_b/12:00": 1}, l.sums()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	st, err := b.Standing(t.Context(), 10)
	if err != nil || st.End != 1 || st.Seq != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestTallies_AreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, bus.MaxTallies).Draw(t, "deliveries")
		orgs, sources := rapid.SampledFrom([]string{"acme", "", "a b,c%\n", "ö"}), rapid.SampledFrom([]string{"src_1", "src_2", " "})
		var all []*change.Delivery
		want := map[string]int{}
		for range n {
			d := received(orgs.Draw(t, "org"), sources.Draw(t, "source"), noon.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "s"))*time.Second))
			all = append(all, d)
			want[fmt.Sprintf("%q %q %d", d.Org, d.SourceID, d.ID.Time().Unix()/60)]++
		}
		header := bus.TallyHeader(all)
		got, err := bus.ReadTally(header, n)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("%q: %v (-want +got):\n%s", header, err, diff)
		}
		if _, err := bus.ReadTally(header, n+1); err == nil {
			t.Fatal("a tally of too few deliveries is believed")
		}
	})
}

func FuzzTally(f *testing.F) {
	f.Add("acme src_a 29580000 3,acme src_b 29580000 1", 4)
	f.Add("a%2 b 1 1", 1)
	f.Add(",,,,", 0)
	f.Fuzz(func(t *testing.T, header string, deliveries int) {
		got, err := bus.ReadTally(header, deliveries)
		sum := 0
		for _, n := range got {
			sum += n
		}
		if err == nil && sum != deliveries {
			t.Errorf("%q: %d of %d", header, sum, deliveries)
		}
	})
}
