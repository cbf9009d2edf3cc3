package bus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protowire"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// later is a frame of the next version, of which we know only its beginning.
func later() []byte {
	body := []byte("who knows what")
	msg := append([]byte{'w', 'c', 'f', bus.FrameVersion + 1}, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(msg[4:], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(msg, body...)
}

func TestUnseal_TellsALaterFrameFromADamagedOne(t *testing.T) {
	if _, err := bus.Unseal(later()); !errors.Is(err, bus.ErrNewer) || bus.IsDead(err) {
		t.Errorf("a later frame: %v", err)
	}
	damaged := later()
	damaged[len(damaged)-1] ^= 1
	if _, err := bus.Unseal(damaged); !errors.Is(err, bus.ErrUnreadable) || !bus.IsDead(err) {
		t.Errorf("a damaged one: %v", err)
	}
	early := later()
	early[3] = bus.FrameVersion - 1
	if _, err := bus.Unseal(early); !errors.Is(err, bus.ErrUnreadable) {
		t.Errorf("one of before the first release: %v", err)
	}
}

func TestConsume_BuriesAFrameWhoseVersionWasDamaged(t *testing.T) {
	b := bustest.New(t)
	commit(t, run(t, b, change.Fresh), delivery(1, "{}"))
	damaged := last(t, b, 1)
	damaged.Data[3]++
	if _, err := b.JetStream().PublishMsg(t.Context(), damaged); err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) error {
		return b.ConsumeDeliveryBatches(ctx, bus.NormalizerFresh, change.Fresh, bus.BatchLimit{Bytes: 1 << 20, Records: 1000},
			func(context.Context, []*bus.DeliveryFrame) error { return nil })
	})
	allSettled(t, b, bus.NormalizerFresh)
	if dead := deadLetters(t, b); len(dead) != 1 || b.NewerAlarms() != 0 {
		t.Errorf("%d dead letters, %d alarms of later versions", len(dead), b.NewerAlarms())
	}
}

// A frame of a later version is no dead letter: it stays, with an alarm, until
// somebody comes who can read it. What is around it goes on.
func TestConsume_LeavesLaterFramesToThoseWhoCanReadThem(t *testing.T) {
	lim := bus.BatchLimit{Bytes: 1 << 20, Records: 1000, Wait: 10 * time.Millisecond}
	f := func(stream, durable, subject string, publish func(*bus.Bus, string), consume func(context.Context, *bus.Bus, *seen) error) {
		t.Run(stream, func(t *testing.T) {
			b := bustest.New(t)
			publish(b, "before")
			if _, err := b.JetStream().Publish(t.Context(), subject, later()); err != nil {
				t.Fatal(err)
			}
			publish(b, "after")
			var got seen
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- consume(ctx, b, &got) }()
			eventually(t, "an alarm, again and again, and the others are handled", func() bool {
				return b.NewerAlarms() >= 3 && got.count("before") == 1 && got.count("after") == 1
			})
			stop()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if dead := deadLetters(t, b); len(dead) != 0 {
				t.Errorf("dead letters: %+v", dead)
			}
			if at := consumer(t, b, durable); at.AckFloor != 1 || at.AckPending != 1 {
				t.Errorf("it is not what holds the consumer: %+v", at)
			}
			// The upgrade: the same durable consumer, and somebody who can read it.
			cons, err := b.JetStream().Consumer(t.Context(), stream, durable)
			if err != nil {
				t.Fatal(err)
			}
			m, err := cons.Next(jetstream.FetchMaxWait(20 * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(later(), m.Data()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Error(err)
			}
			allSettled(t, b, durable)
		})
	}
	f(bus.Deliveries, bus.NormalizerFresh, "deliveries.fresh", func(b *bus.Bus, text string) {
		commit(t, run(t, b, change.Fresh), delivery(1, text))
	}, func(ctx context.Context, b *bus.Bus, got *seen) error {
		return b.ConsumeDeliveryBatches(ctx, bus.NormalizerFresh, change.Fresh, lim, func(_ context.Context, frames []*bus.DeliveryFrame) error {
			for _, f := range frames {
				got.add(string(f.Deliveries[0].Body))
			}
			return nil
		})
	})
	f(bus.Changes, bus.Writer, "changes.fresh", func(b *bus.Bus, text string) {
		frame := &bus.ChangeFrame{Chain: text, Number: 1, Lane: change.Fresh, Results: []change.Result{{Org: "acme", Reason: text}}}
		if err := b.PublishChanges(t.Context(), frame); err != nil {
			t.Fatal(err)
		}
	}, func(ctx context.Context, b *bus.Bus, got *seen) error {
		return b.ConsumeChangeBatches(ctx, bus.Writer, lim, func(_ context.Context, frames []*bus.ChangeFrame) error {
			for _, f := range frames {
				got.add(f.Results[0].Reason)
			}
			return nil
		})
	})
	f(bus.Audit, bus.AuditWriter, "audit.event", func(b *bus.Bus, text string) {
		publishAudit(t, b, text, `"`+text+`"`)
	}, func(ctx context.Context, b *bus.Bus, got *seen) error {
		return b.ConsumeAuditBatches(ctx, bus.AuditWriter, lim, func(_ context.Context, frames []*bus.AuditFrame) error {
			for _, f := range frames {
				got.add(string(f.Records[0][1 : len(f.Records[0])-1]))
			}
			return nil
		})
	})
}

// Within a version fields are added, and read over by those who do not know them.
func TestFrames_AreReadOverFieldsThatCameLater(t *testing.T) {
	more := func(b []byte) []byte {
		b = protowire.AppendString(protowire.AppendTag(b, 900, protowire.BytesType), "later")
		b = protowire.AppendVarint(protowire.AppendTag(b, 901, protowire.VarintType), 7)
		b = protowire.AppendFixed64(protowire.AppendTag(b, 902, protowire.Fixed64Type), 7)
		return protowire.AppendFixed32(protowire.AppendTag(b, 903, protowire.Fixed32Type), 7)
	}
	in := &bus.DeliveryFrame{Chain: "c", Number: 3, Created: time.UnixMilli(5).UTC(), Lane: change.Fresh, Deliveries: []change.Delivery{*delivery(1, "{}")}}
	raw := bus.EncodeDeliveries(in)
	want, err := bus.DecodeDeliveries(raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bus.DecodeDeliveries(more(raw))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	results := &bus.ChangeFrame{Chain: "c", Number: 3, Lane: change.Fresh, Results: []change.Result{{Org: "acme", Outcome: change.Ignored}}}
	raw = bus.EncodeChanges(results)
	wantChanges, err := bus.DecodeChanges(raw)
	if err != nil {
		t.Fatal(err)
	}
	gotChanges, err := bus.DecodeChanges(more(raw))
	if diff := cmp.Diff(wantChanges, gotChanges); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
