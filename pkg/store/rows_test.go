package store

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"whatchanged/pkg/change"
)

var at = time.Date(2026, 7, 14, 12, 0, 0, 123e6, time.UTC)

func TestChangeRow_KeepsTheWholeChange(t *testing.T) {
	text := rapid.String()
	moment := rapid.Custom(func(t *rapid.T) change.Time { return change.AtMilli(rapid.Int64Range(0, 1<<42).Draw(t, "ms")) })
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MakeCustom[change.Change](rapid.MakeConfig{}).Draw(t, "change")
		want.OccurredAt, want.CreatedAt = moment.Draw(t, "occurred"), moment.Draw(t, "created")
		want.ID = change.NewID(want.OccurredAt.Time, want.Org, "test", text.Draw(t, "key"))
		want.Provenance.Index, want.Provenance.Version = rapid.IntRange(0, 50000).Draw(t, "index"), rapid.IntRange(0, 1000).Draw(t, "version")
		if len(want.Metadata) == 0 {
			want.Metadata = nil
		}
		if len(want.Tags) == 0 {
			want.Tags = nil
		}
		if len(want.RiskHints) == 0 {
			want.RiskHints = nil
		}
		row := toChangeRow(&want, &change.Result{Org: want.Org}, &Batch{})
		if diff := cmp.Diff(want, row.change()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestChangeVersion_OrdersRunsThenTheFirstDelivery(t *testing.T) {
	ordered := []uint64{
		changeVersion(0, change.At(at.Add(time.Hour))), changeVersion(0, change.At(at)), changeVersion(0, change.AtMilli(0)),
		changeVersion(1, change.At(at)), changeVersion(1, change.At(at.Add(-time.Hour))), changeVersion(65535, change.At(at)),
	}
	for i := range ordered[1:] {
		if ordered[i] >= ordered[i+1] {
			t.Errorf("version %d: %d is not before %d", i, ordered[i], ordered[i+1])
		}
	}
	if changeVersion(0, change.AtMilli(-5)) != changeVersion(0, change.AtMilli(0)) {
		t.Error("a time before 1970 spills into the run")
	}
}

func TestDeliveryVersion_OrdersRunsThenTheLatestWord(t *testing.T) {
	ordered := []uint64{
		deliveryVersion(0, change.AtMilli(-5)), deliveryVersion(0, change.At(at)), deliveryVersion(0, change.At(at.Add(time.Hour))),
		deliveryVersion(1, change.At(at)),
	}
	for i := range ordered[1:] {
		if ordered[i] >= ordered[i+1] {
			t.Errorf("version %d: %d is not before %d", i, ordered[i], ordered[i+1])
		}
	}
}

// The key must follow from the id: a change whose time differs from that in
// its id would be there twice, in two months.
func TestRows_TakeTheirKeyFromTheID(t *testing.T) {
	c := change.Change{ID: change.NewID(at, "acme", "test", "k"), OccurredAt: change.At(at.AddDate(0, 2, 0))}
	if row := toChangeRow(&c, &change.Result{}, &Batch{}); !row.OccurredAt.Equal(at) {
		t.Errorf("change: %v", row.OccurredAt)
	}
	d := change.Delivery{ID: change.NewDeliveryID(at), ReceivedAt: change.At(at.AddDate(0, 2, 0))}
	row, err := toPayloadRow(&d, &PayloadBatch{}, 0)
	if err != nil || !row.ReceivedAt.Equal(at) {
		t.Errorf("payload: %v, %v", row.ReceivedAt, err)
	}
	r := change.Result{DeliveryID: d.ID, ReceivedAt: d.ReceivedAt}
	if row := toDeliveryRow(&r, &Batch{}, at); !row.ReceivedAt.Equal(at) {
		t.Errorf("delivery: %v", row.ReceivedAt)
	}
}

func TestDeliveryRow_TakesAMissingFirstTimeFromTheDelivery(t *testing.T) {
	r := change.Result{DeliveryID: change.NewDeliveryID(at), ReceivedAt: change.At(at)}
	if row := toDeliveryRow(&r, &Batch{}, at); !row.FirstReceived.Equal(at) {
		t.Errorf("first received %v, want %v", row.FirstReceived, at)
	}
}

func TestPayloadRow_KeepsTheHeaders(t *testing.T) {
	d := change.Delivery{ID: change.NewDeliveryID(at), ReceivedAt: change.At(at), Header: http.Header{"A": {"1", "2"}, "B": {""}}, Body: []byte{0, 255}}
	row, err := toPayloadRow(&d, &PayloadBatch{}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if row.Place != 7 || !json.Valid([]byte(row.Header)) {
		t.Errorf("row: %+v", row)
	}
	got, err := row.payload()
	if err != nil {
		t.Fatal(err)
	}
	want := Payload{ID: d.ID, ReceivedAt: d.ReceivedAt, Header: d.Header, Body: d.Body}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
