package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

func stream(t testing.TB, b *bus.Bus, name string) jetstream.Stream {
	t.Helper()
	s, err := b.JetStream().Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// audit runs one turn and returns the reasons of all alarms so far, oldest first.
func audit(t testing.TB, b *bus.Bus) (reasons []string) {
	t.Helper()
	if err := b.NewAuditor().Audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, d := range deadLetters(t, b) {
		if d.Stage != bus.StageFrame {
			t.Errorf("alarm of stage %s", d.Stage)
		}
		reasons = append([]string{d.Reason}, reasons...)
	}
	return reasons
}

func wantAlarms(t testing.TB, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d alarms %q, want %q", len(got), got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("alarm %d is %q, want %q in it", i, got[i], want[i])
		}
	}
}

func TestAuditor_FindsNothingWrongWithWhatIsWhole(t *testing.T) {
	cfg := bustest.Config(t)
	for range 3 {
		withBus(t, cfg, func(b *bus.Bus) {
			withCommitter(t, b, func(c *bus.Committer) {
				for n := range 5 {
					commit(t, c, delivery(n, "{}"))
				}
			})
			wantAlarms(t, audit(t, b))
		})
	}
}

func TestAuditor_SeesARemovedFrame(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	for n := range 7 {
		commit(t, c, delivery(n, "{}"))
	}
	for _, seq := range []uint64{3, 4} {
		if err := stream(t, b, bus.Deliveries).DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	wantAlarms(t, audit(t, b), "2 messages between 1 and 7 are missing", "frames 3 to 4 are missing (at message 5)")
	wantAlarms(t, audit(t, b), "2 messages", "frames 3 to 4") // said once
	if err := stream(t, b, bus.Deliveries).DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	wantAlarms(t, audit(t, b), "2 messages", "frames 3 to 4", "3 messages") // behind the auditor's back
}

func TestAuditor_SeesAChangedFrame(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "{}"))
	commit(t, c, delivery(2, "{}"))
	publish := func(change func(nats.Header)) {
		t.Helper()
		msg := last(t, b, 2)
		change(msg.Header)
		if _, err := b.JetStream().PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	zeros := strings.Repeat("0", 64)
	publish(func(h nats.Header) { h.Set("Wc-Hash", zeros) })
	publish(func(h nats.Header) { h.Set("Wc-Frame", "3"); h.Set("Wc-Prev", zeros) })
	publish(func(h nats.Header) { h.Del("Wc-Chain") })
	publish(func(h nats.Header) { h.Set("Wc-Chain", "feedfeedfeedfeed") })
	wantAlarms(t, audit(t, b),
		"another frame 2, after 2", "frame 3 names 0000", "message 5 is not a frame", "frames 1 to 1 are missing")
}

func TestAuditor_SeesThatAChainHasLostItsEnd(t *testing.T) {
	cfg := bustest.Config(t)
	withBus(t, cfg, func(b *bus.Bus) {
		withCommitter(t, b, func(c *bus.Committer) {
			for n := range 4 {
				commit(t, c, delivery(n, "{}"))
			}
		})
		s := stream(t, b, bus.Deliveries)
		if err := errors.Join(s.DeleteMsg(t.Context(), 3), s.DeleteMsg(t.Context(), 4)); err != nil {
			t.Fatal(err)
		}
	})
	withBus(t, cfg, func(b *bus.Bus) {
		withCommitter(t, b, func(c *bus.Committer) { commit(t, c, delivery(9, "{}")) })
		wantAlarms(t, audit(t, b), "was acknowledged at 4 and is not there", "2 messages", "frames 3 to 4 of chain")
	})
}

func TestAuditor_WorksWhileItHoldsTheLease(t *testing.T) {
	b := bustest.New(t)
	c := run(t, b, change.Fresh)
	for n := range 3 {
		commit(t, c, delivery(n, "{}"))
	}
	if err := stream(t, b, bus.Deliveries).DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		background(t, b.NewAuditor().Run)
	}
	eventually(t, "the hole is reported", func() bool { return len(deadLetters(t, b)) == 2 })
	if _, err := b.KV(bus.BucketState).Get(t.Context(), "lease.auditor"); err != nil {
		t.Errorf("nobody holds the lease: %v", err)
	}
	if n := b.Alarms(); n != 2 {
		t.Errorf("%d alarms, want 2: only one auditor works at a time", n)
	}
}

// settleAll lets all who hold the trim settle what is there, which is fresh.
func settleAll(t testing.TB, b *bus.Bus) {
	t.Helper()
	for durable, lane := range map[string]string{bus.NormalizerFresh: change.Fresh, bus.NormalizerBulk: change.Bulk, bus.RawWriter: ""} {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- bustest.Consume(ctx, b, durable, lane, func(context.Context, *bus.DeliveryFrame) error { return nil })
		}()
		eventually(t, durable+" is there", func() bool { return consumer(t, b, durable).Name == durable })
		if lane != change.Bulk {
			allSettled(t, b, durable)
		}
		stop()
		<-done
	}
}

func TestTrimmer_NeverPurgesWhatIsNotStored(t *testing.T) {
	b := bustest.New(t)
	withCommitter(t, b, func(c *bus.Committer) {
		for n := range 10 {
			commit(t, c, delivery(n, "{}"))
		}
	})
	trim := b.NewTrimmer(time.Nanosecond) // all is old
	left := func() uint64 {
		t.Helper()
		if err := trim.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		return stream(t, b, bus.Deliveries).CachedInfo().State.Msgs
	}
	if n := left(); n != 10 {
		t.Fatalf("%d of 10 are left, and nobody has read any", n)
	}
	reconciled := func(seq int) {
		t.Helper()
		if _, err := b.KV(bus.BucketState).Put(t.Context(), bus.ReconcilerKey(bus.Deliveries), []byte(fmt.Sprint(seq))); err != nil {
			t.Fatal(err)
		}
	}
	reconciled(10)
	if n := left(); n != 10 {
		t.Fatalf("%d of 10 are left, and no consumer has read any", n)
	}
	settleAll(t, b)
	reconciled(4)
	if n := left(); n != 6 {
		t.Fatalf("%d are left, want the 6 that are not reconciled", n)
	}
	withCommitter(t, b, func(c *bus.Committer) { commit(t, c, delivery(11, "{}")) })
	reconciled(11)
	if n := left(); n != 1 {
		t.Fatalf("%d are left, want the 1 that nobody has read", n)
	}
	wantAlarms(t, audit(t, b))
}

func TestTrimmer_KeepsTheStoredUntilSpaceRunsOut(t *testing.T) {
	cfg := bustest.Config(t)
	cfg.MaxBytes = 1 << 20
	b := bustest.Connect(t, cfg)
	withCommitter(t, b, func(c *bus.Committer) {
		for n := range 9 {
			commit(t, c, noise(n, 100_000)) // 86 %
		}
	})
	settleAll(t, b)
	if _, err := b.KV(bus.BucketState).Put(t.Context(), bus.ReconcilerKey(bus.Deliveries), []byte("9")); err != nil {
		t.Fatal(err)
	}
	if err := b.NewTrimmer(bus.KeepStored).Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := stream(t, b, bus.Deliveries).CachedInfo().State; got.Msgs != 7 || got.FirstSeq != 3 {
		t.Fatalf("%d are left from %d, want 7 from 3", got.Msgs, got.FirstSeq)
	}
}

func TestTrimmer_KeepsTheStoredWhereAStreamHasNoLimit(t *testing.T) {
	b := bustest.New(t)
	withCommitter(t, b, func(c *bus.Committer) { commit(t, c, delivery(0, "{}")) })
	settleAll(t, b)
	if err := b.Reconciled(t.Context(), bus.Deliveries, 1); err != nil {
		t.Fatal(err)
	}
	cfg := stream(t, b, bus.Deliveries).CachedInfo().Config
	cfg.MaxBytes = -1
	if _, err := b.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.NewTrimmer(bus.KeepStored).Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := stream(t, b, bus.Deliveries).CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d frames are left, want the one that came just now", n)
	}
}
