package bus_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

func records(texts ...string) []json.RawMessage {
	var all []json.RawMessage
	for _, text := range texts {
		all = append(all, json.RawMessage(text))
	}
	return all
}

func publishAudit(t *testing.T, b *bus.Bus, name string, texts ...string) {
	t.Helper()
	if err := b.PublishAudit(t.Context(), "event", name, records(texts...)); err != nil {
		t.Fatal(err)
	}
}

// consumeAudit hands frames to h until it says that it has enough.
func consumeAudit(t *testing.T, b *bus.Bus, h func([]*bus.AuditFrame) (enough bool, err error)) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	lim := bus.BatchLimit{Records: 1000, Bytes: 1 << 20, Wait: 10 * time.Millisecond}
	done := false
	_ = b.ConsumeAuditBatches(ctx, bus.AuditWriter, lim, func(_ context.Context, frames []*bus.AuditFrame) error {
		enough, err := h(frames)
		if done = enough; enough {
			time.AfterFunc(100*time.Millisecond, stop) // once they are settled
		}
		return err
	})
	if !done {
		t.Fatal("not enough was consumed in 20 s")
	}
}

func TestAudit_WhatIsPublishedIsConsumedOnce(t *testing.T) {
	b := bustest.New(t)
	publishAudit(t, b, "one", `{"n": 1}`, `{"n": 2}`)
	publishAudit(t, b, "one", `{"n": 1}`, `{"n": 2}`) // tried again
	publishAudit(t, b, "two", `{"n": 3}`)
	var got []string
	refused := false
	consumeAudit(t, b, func(frames []*bus.AuditFrame) (bool, error) {
		if !refused {
			refused = true
			return false, context.DeadlineExceeded // the store is away: they come again
		}
		for _, f := range frames {
			for _, r := range f.Records {
				got = append(got, f.Kind+" "+string(r))
			}
		}
		return len(got) >= 3, nil
	})
	slices.Sort(got)
	if diff := cmp.Diff([]string{`event {"n":1}`, `event {"n":2}`, `event {"n":3}`}, got); diff != "" {
		t.Errorf("consumed (-want +got):\n%s", diff)
	}
}

func TestAudit_AnUnreadableFrameIsADeadLetter(t *testing.T) {
	b := bustest.New(t)
	if _, err := b.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: "audit.event", Data: []byte("not a frame")}); err != nil {
		t.Fatal(err)
	}
	publishAudit(t, b, "good", `{"n": 1}`)
	consumeAudit(t, b, func([]*bus.AuditFrame) (bool, error) { return true, nil })
	page, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: bus.NoOrg})
	letters := page.Letters
	if err != nil || len(letters) != 1 || string(letters[0].Bytes) != "not a frame" {
		t.Errorf("dead letters: %+v, %v", letters, err)
	}
}

// A frame that no handler can take ends with its bytes in the dead letters: they are nowhere else.
func TestAudit_APoisonousFrameKeepsItsBytes(t *testing.T) {
	b := bustest.New(t)
	publishAudit(t, b, "poison", `{"n": 1}`)
	tries := 0
	consumeAudit(t, b, func([]*bus.AuditFrame) (bool, error) {
		tries++
		return tries == 5, change.ErrMalformed
	})
	page, err := b.DeadLetters(t.Context(), bus.DeadQuery{Org: bus.NoOrg})
	letters := page.Letters
	if err != nil || len(letters) != 1 || len(letters[0].Bytes) == 0 || letters[0].Stage != bus.StageInsert {
		t.Errorf("dead letters: %+v, %v", letters, err)
	}
}

func TestTrimmer_PurgesTheTrailBehindItsWriter(t *testing.T) {
	b := bustest.New(t)
	publishAudit(t, b, "one", `{"n": 1}`)
	publishAudit(t, b, "two", `{"n": 2}`)
	trim := b.NewTrimmer(time.Nanosecond) // all is old
	left := func() uint64 {
		t.Helper()
		if err := trim.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		return stream(t, b, bus.Audit).CachedInfo().State.Msgs
	}
	if n := left(); n != 2 {
		t.Fatalf("%d of 2 are left, and nobody has stored any", n)
	}
	stored := 0
	consumeAudit(t, b, func(frames []*bus.AuditFrame) (bool, error) {
		stored += len(frames)
		return stored == 2, nil
	})
	publishAudit(t, b, "three", `{"n": 3}`)
	if n := left(); n != 1 {
		t.Fatalf("%d are left, want the one that is not stored", n)
	}
}
