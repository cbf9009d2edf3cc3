package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

func TestAccount_CountsEveryDeliveryOnce(t *testing.T) {
	s := storetest.New(t)
	of := func(source string) func(*change.Result) {
		return func(r *change.Result) { r.SourceID = source }
	}
	results := []change.Result{
		delivered(noon, change.Stored, nil), delivered(noon.Add(59*time.Second), change.Stored, nil),
		delivered(noon, change.Duplicate, nil), delivered(noon, change.Ignored, nil), delivered(noon, change.Dead, nil),
		delivered(noon, change.Stored, of("src_b")), delivered(noon.Add(time.Minute), change.Ignored, nil),
		delivered(noon.Add(time.Hour), change.Stored, nil), // outside
	}
	insert(t, s, batch(results...), batch(results[0]))
	var payloads []change.Delivery
	for _, r := range results[:4] { // raw-writer is behind
		payloads = append(payloads, change.Delivery{ID: r.DeliveryID, Org: "acme", SourceID: r.SourceID})
	}
	for range 3 { // ahead
		payloads = append(payloads, change.Delivery{ID: change.NewDeliveryID(noon.Add(90 * time.Second)), Org: "acme", SourceID: "src_a"})
	}
	frame := store.PayloadBatch{Chain: "c1", Frame: 1, Deliveries: payloads}
	if err := s.InsertPayloads(t.Context(), []store.PayloadBatch{frame, frame}); err != nil {
		t.Fatal(err)
	}

	q := store.AccountQuery{Org: "acme", Start: noon, End: noon.Add(time.Hour)}
	got, err := s.Account(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.AccountRow{
		{Start: change.At(noon), SourceID: "src_a", Received: 5, Stored: 2, Duplicate: 1, Ignored: 1, Dead: 1},
		{Start: change.At(noon), SourceID: "src_b", Received: 1, Stored: 1},
		{Start: change.At(noon.Add(time.Minute)), SourceID: "src_a", Received: 4, Ignored: 1, InFlight: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	q.SourceID, q.Bucket = "src_a", time.Hour
	if got, err = s.Account(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	want = []store.AccountRow{{Start: change.At(noon), SourceID: "src_a", Received: 9, Stored: 2, Duplicate: 1, Ignored: 2, Dead: 1, InFlight: 3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("by the hour (-want +got):\n%s", diff)
	}
}

func TestStoredFrames_ListsThePlacesThatAreThere(t *testing.T) {
	s := storetest.New(t)
	frame := func(chain string, number uint64, places ...int) store.Batch {
		b := store.Batch{Chain: chain, Frame: number}
		for i, place := range places {
			r := delivered(noon, change.Stored, func(r *change.Result) { r.Org = pick([]string{"acme", "other"}, i) })
			r.Place = place
			b.Results = append(b.Results, r)
		}
		return b
	}
	insert(t, s, frame("c1", 4, 0, 1), frame("c1", 5, 2, 0), frame("c1", 7, 0), frame("c2", 5, 3))
	raw := func(n int) (all []change.Delivery) {
		for range n {
			all = append(all, change.Delivery{ID: change.NewDeliveryID(noon), Org: "acme"})
		}
		return all
	}
	if err := s.InsertPayloads(t.Context(), []store.PayloadBatch{
		{Chain: "c1", Frame: 5, Deliveries: raw(3)}, {Chain: "c1", Frame: 6, First: 4, Deliveries: raw(2)},
	}); err != nil {
		t.Fatal(err)
	}
	got, err := s.StoredFrames(t.Context(), store.FrameRange{Chain: "c1", From: 5, To: 6}, store.FrameRange{Chain: "c2", From: 1, To: 9}, store.FrameRange{Chain: "c3", To: 9})
	if err != nil {
		t.Fatal(err)
	}
	want := map[store.FrameID]store.StoredFrame{
		{Chain: "c1", Frame: 5}: {Deliveries: []int{0, 2}, Payloads: []int{0, 1, 2}},
		{Chain: "c1", Frame: 6}: {Deliveries: []int{}, Payloads: []int{4, 5}},
		{Chain: "c2", Frame: 5}: {Deliveries: []int{3}, Payloads: []int{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	last, err := s.LastFrames(t.Context(), noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"c1": 7, "c2": 5}, last); diff != "" {
		t.Errorf("last frames (-want +got):\n%s", diff)
	}
	if last, err = s.LastFrames(t.Context(), noon.Add(time.Hour)); err != nil || len(last) != 0 {
		t.Errorf("last frames of later: %v, %v", last, err)
	}
}
