package bus_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
)

// The generators make what the product makes: times in UTC to the millisecond,
// and nil, never empty, where there is nothing.

func genTime() *rapid.Generator[change.Time] {
	return rapid.Custom(func(t *rapid.T) change.Time {
		if rapid.Bool().Draw(t, "no time") {
			return change.Time{}
		}
		return change.AtMilli(rapid.Int64Range(-1<<40, 1<<44).Draw(t, "ms"))
	})
}

func fill(t *rapid.T, to []byte) {
	copy(to, rapid.SliceOfN(rapid.Byte(), len(to), len(to)).Draw(t, "bytes"))
}

func list[T any](t *rapid.T, elem *rapid.Generator[T], most int) []T {
	s := rapid.SliceOfN(elem, 0, most).Draw(t, "list")
	if len(s) == 0 {
		return nil
	}
	return s
}

func genDelivery() *rapid.Generator[change.Delivery] {
	text := rapid.String()
	return rapid.Custom(func(t *rapid.T) change.Delivery {
		d := change.Delivery{
			Org: text.Draw(t, "org"), SourceID: text.Draw(t, "source"), ReceivedAt: genTime().Draw(t, "received"),
			Body: list(t, rapid.Byte(), 64), Identity: text.Draw(t, "identity"), Provider: text.Draw(t, "provider"),
			Service: change.Service{ID: text.Draw(t, "service"), Name: text.Draw(t, "name")},
		}
		fill(t, d.ID[:])
		header := rapid.MapOfN(text, rapid.SliceOfN(text, 1, 3), 0, 5).Draw(t, "header")
		if len(header) > 0 {
			d.Header = header
		}
		return d
	})
}

func genChange() *rapid.Generator[change.Change] {
	return rapid.Custom(func(t *rapid.T) change.Change {
		str := func() string { return rapid.String().Draw(t, "text") }
		c := change.Change{
			Org: str(), ServiceID: str(), ServiceName: str(), Type: change.Type(str()), Action: str(),
			Status: change.Status(str()), Summary: str(), Description: str(), Source: str(), Environment: str(),
			Risk: change.Risk(str()), RiskHints: list(t, rapid.String(), 3), ChangedBy: str(),
			Actor:      change.Actor{ID: str(), Name: str(), Type: str()},
			Resource:   change.Resource{Type: str(), ID: str(), Name: str(), URL: str()},
			Repository: str(), CommitSHA: str(), CommitMessage: str(), Branch: str(), Version: str(),
			PRNumber: str(), PRURL: str(), PipelineURL: str(), Account: str(), Region: str(),
			ExternalID: str(), CorrelationID: str(), SessionID: str(), Tags: list(t, rapid.String(), 3),
			Metadata:   json.RawMessage(list(t, rapid.Byte(), 20)),
			OccurredAt: genTime().Draw(t, "occurred"), CreatedAt: genTime().Draw(t, "created"),
			Provenance: change.Provenance{
				SourceID: str(), Index: rapid.Int().Draw(t, "index"), Provider: str(), Normalizer: str(),
				Version: rapid.IntRange(0, 9).Draw(t, "version"), DetectedBy: str(),
			},
		}
		fill(t, c.ID[:])
		fill(t, c.Provenance.DeliveryID[:])
		return c
	})
}

func genIncident() *rapid.Generator[change.IncidentReport] {
	return rapid.Custom(func(t *rapid.T) change.IncidentReport {
		str := func() string { return rapid.String().Draw(t, "text") }
		r := change.IncidentReport{
			Org: str(), At: genTime().Draw(t, "at"), StartedAt: genTime().Draw(t, "started"), Status: change.IncidentStatus(str()),
			Title: str(), Description: str(), Severity: change.Risk(str()), ServiceID: str(), ServiceName: str(), Environment: str(),
			Source: str(), ExternalID: str(), URL: str(), ChangedBy: str(), Actor: change.Actor{ID: str(), Name: str(), Type: str()},
			Metadata: json.RawMessage(list(t, rapid.Byte(), 20)), Kept: json.RawMessage(list(t, rapid.Byte(), 20)),
			CreatedAt:  genTime().Draw(t, "created"),
			Provenance: change.Provenance{SourceID: str(), Index: rapid.Int().Draw(t, "index"), Provider: str(), DetectedBy: str()},
		}
		fill(t, r.ID[:])
		fill(t, r.Key[:])
		fill(t, r.Provenance.DeliveryID[:])
		return r
	})
}

func genResult() *rapid.Generator[change.Result] {
	return rapid.Custom(func(t *rapid.T) change.Result {
		str := func() string { return rapid.String().Draw(t, "text") }
		dead := rapid.Custom(func(t *rapid.T) change.DeadRecord {
			return change.DeadRecord{Index: rapid.Int().Draw(t, "index"), Reason: rapid.String().Draw(t, "reason")}
		})
		r := change.Result{
			Org: str(), SourceID: str(), Identity: str(), ReceivedAt: genTime().Draw(t, "received"),
			FirstReceived: genTime().Draw(t, "first"), NormalizedAt: genTime().Draw(t, "normalized"),
			Place: rapid.IntRange(0, 999).Draw(t, "place"), Size: rapid.Int().Draw(t, "size"),
			Outcome: change.Outcome(str()), Reason: str(), Provider: str(), DetectedBy: str(),
			Conflict: rapid.Bool().Draw(t, "conflict"),
			Made:     rapid.IntRange(0, 1<<30).Draw(t, "made"),
			Changes:  list(t, genChange(), 3), Dead: list(t, dead, 3), Incidents: list(t, genIncident(), 3),
		}
		fill(t, r.DeliveryID[:])
		fill(t, r.BodyHash[:])
		return r
	})
}

func TestDeliveryFrame_IsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := bus.DeliveryFrame{
			Chain: rapid.String().Draw(t, "chain"), Number: rapid.Uint64().Draw(t, "number"),
			Created: change.AtMilli(rapid.Int64Range(0, 1<<44).Draw(t, "created")).Time,
			Lane:    rapid.String().Draw(t, "lane"), Deliveries: list(t, genDelivery(), 4),
		}
		fill(t, want.Prev[:])
		if rapid.Bool().Draw(t, "has old") {
			want.Old = bus.FrameRef{Chain: "old", Number: rapid.Uint64().Draw(t, "old number")}
			fill(t, want.Old.Hash[:])
		}
		encoded := bus.EncodeDeliveries(&want)
		got, err := bus.DecodeDeliveries(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if !bytes.Equal(encoded, bus.EncodeDeliveries(got)) {
			t.Fatal("equal frames have different bytes")
		}
	})
}

func TestChangeFrame_IsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := bus.ChangeFrame{
			Chain: rapid.String().Draw(t, "chain"), Number: rapid.Uint64().Draw(t, "number"),
			Run: rapid.Uint16().Draw(t, "run"), Part: rapid.IntRange(1, 9).Draw(t, "part"), Parts: 9,
			Lane: rapid.String().Draw(t, "lane"), Results: list(t, genResult(), 3),
		}
		encoded := bus.EncodeChanges(&want)
		got, err := bus.DecodeChanges(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if !bytes.Equal(encoded, bus.EncodeChanges(got)) {
			t.Fatal("equal frames have different bytes")
		}
	})
}

func TestCodec_NormalizesEmptyToNil(t *testing.T) {
	in := bus.DeliveryFrame{Chain: "c", Number: 1, Deliveries: []change.Delivery{{
		Header: map[string][]string{"Empty": {}, "Blank": {""}}, Body: []byte{},
	}}}
	got, err := bus.DecodeDeliveries(bus.EncodeDeliveries(&in))
	if err != nil {
		t.Fatal(err)
	}
	want := []change.Delivery{{Header: map[string][]string{"Blank": {""}}}}
	if diff := cmp.Diff(want, got.Deliveries); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func TestUnseal_RefusesWhatWasChanged(t *testing.T) {
	msg := bus.Seal([]byte("some text that is long enough to be worth compressing, or not"))
	for i := range msg {
		bad := bytes.Clone(msg)
		bad[i] ^= 1
		// A changed version looks like a later one, until its hash is looked at.
		if raw, err := bus.Unseal(bad); !errors.Is(err, bus.ErrUnreadable) && (i != 3 || !errors.Is(err, bus.ErrNewer)) {
			t.Fatalf("bit flipped in byte %d: got %q, error %v", i, raw, err)
		}
		if raw, err := bus.Unseal(msg[:i]); !errors.Is(err, bus.ErrUnreadable) {
			t.Fatalf("cut at byte %d: got %q, error %v", i, raw, err)
		}
	}
}

func TestUnseal_LimitsWhatItDecompresses(t *testing.T) {
	if _, err := bus.Unseal(bus.Seal(make([]byte, 60<<20))); err != nil {
		t.Fatalf("60 MiB: %v", err)
	}
	if _, err := bus.Unseal(bus.Seal(make([]byte, 65<<20))); !errors.Is(err, bus.ErrUnreadable) {
		t.Fatalf("65 MiB: error %v, want unreadable", err)
	}
}

func FuzzDecodeDeliveries(f *testing.F) {
	f.Add(bus.EncodeDeliveries(&bus.DeliveryFrame{
		Chain: "0123456789abcdef", Number: 7, Prev: [32]byte{1}, Created: time.UnixMilli(1), Lane: "fresh",
		Old: bus.FrameRef{Chain: "old", Number: 3, Hash: [32]byte{2}}, Deliveries: []change.Delivery{*delivery(1, "{}")},
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := bus.DecodeDeliveries(b)
		if err != nil {
			return
		}
		again, err := bus.DecodeDeliveries(bus.EncodeDeliveries(first))
		if err != nil {
			t.Fatalf("what was read cannot be written and read: %v", err)
		}
		if diff := cmp.Diff(first, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func FuzzDecodeChanges(f *testing.F) {
	f.Add(bus.EncodeChanges(&bus.ChangeFrame{Chain: "0123456789abcdef", Number: 7, Run: 1, Part: 1, Parts: 1, Results: []change.Result{{
		Outcome: change.Stored, Changes: []change.Change{{Summary: "s", Tags: []string{"a:b"}, Actor: change.Actor{Name: "mona"}}},
		Dead: []change.DeadRecord{{Index: 1, Reason: "bad"}},
	}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := bus.DecodeChanges(b)
		if err != nil {
			return
		}
		again, err := bus.DecodeChanges(bus.EncodeChanges(first))
		if err != nil {
			t.Fatalf("what was read cannot be written and read: %v", err)
		}
		if diff := cmp.Diff(first, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	f.Add(bus.Seal([]byte("some text"))[8:])
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, err := bus.Unseal(bus.Envelope(b))
		if err != nil && raw != nil {
			t.Fatalf("result %q and error %v", raw, err)
		}
		if err != nil && !errors.Is(err, bus.ErrUnreadable) {
			t.Fatalf("error %v does not say that the frame is unreadable", err)
		}
	})
}
