package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// receipt is of the frame's deliveries of one source and minute.
func receipt(source string, frame uint64, at time.Time, count int) store.Receipt {
	return store.Receipt{
		Org: "acme", SourceID: source, Minute: at.Truncate(time.Minute), Chain: "c1", Frame: frame, Seq: frame, Count: count,
	}
}

func enter(t *testing.T, s *store.Store, receipts ...store.Receipt) {
	t.Helper()
	if err := s.InsertReceipts(t.Context(), receipts); err != nil {
		t.Fatal(err)
	}
}

func TestAccount_ComparesWhatWasReceivedWithWhatBecameOfIt(t *testing.T) {
	s := storetest.New(t)
	in := func(frame uint64, results ...change.Result) store.Batch {
		b := batch(results...)
		b.Chain, b.Frame = "c1", frame
		return b
	}
	of := func(source string) func(*change.Result) {
		return func(r *change.Result) { r.SourceID = source }
	}
	insert(t, s,
		in(1, delivered(noon, change.Stored, nil), delivered(noon.Add(59*time.Second), change.Stored, nil), delivered(noon, change.Duplicate, nil)),
		in(2, delivered(noon, change.Ignored, nil), delivered(noon, change.Dead, nil), delivered(noon, change.Stored, of("src_b"))),
		in(3, delivered(noon.Add(time.Minute), change.Ignored, nil)),
		in(9, delivered(noon.Add(time.Hour), change.Stored, nil))) // outside
	later := noon.Add(90 * time.Second)
	for range 2 { // a frame that is counted again
		enter(t, s, receipt("src_a", 1, noon, 3), receipt("src_a", 2, noon, 2), receipt("src_b", 2, noon, 1),
			receipt("src_a", 3, later, 3), // of which two are lost
			receipt("src_a", 4, later, 4), // unreadable
			receipt("src_a", 6, later, 5)) // on the bus
	}
	dead := receipt("src_a", 4, later, 4)
	dead.Dead = true
	enter(t, s, dead)
	enter(t, s, receipt("src_a", 4, later, 4)) // and counted once more

	q := store.AccountQuery{
		Org: "acme", Start: noon, End: noon.Add(time.Hour),
		Bus: store.BusState{Settled: 5, End: 8, Began: noon, Late: []store.Receipt{
			receipt("src_a", 6, later, 5), // stored meanwhile
			receipt("src_c", 7, later, 6), // not yet
			receipt("src_c", 8, noon.Add(-time.Hour), 7),
			{Org: "other", SourceID: "src_a", Minute: noon, Chain: "c1", Frame: 8, Seq: 8, Count: 100},
		}},
	}
	account := func() []store.AccountRow {
		t.Helper()
		got, err := s.Account(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	start, second := change.At(noon), change.At(noon.Add(time.Minute))
	want := []store.AccountRow{
		{Start: start, SourceID: "src_a", Received: 5, Stored: 2, Duplicate: 1, Ignored: 1, Dead: 1},
		{Start: start, SourceID: "src_b", Received: 1, Stored: 1},
		{Start: second, SourceID: "src_a", Received: 12, Ignored: 1, Dead: 4, InFlight: 5, Missing: 2, Oldest: second},
		{Start: second, SourceID: "src_c", Received: 6, InFlight: 6, Oldest: second},
	}
	if diff := cmp.Diff(want, account()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	q.SourceID, q.Bucket = "src_a", time.Hour
	want = []store.AccountRow{{Start: start, SourceID: "src_a", Received: 17, Stored: 2, Duplicate: 1, Ignored: 2, Dead: 5, InFlight: 5, Missing: 2, Oldest: second}}
	if diff := cmp.Diff(want, account()); diff != "" {
		t.Errorf("by the hour (-want +got):\n%s", diff)
	}

	q.Bus.Settled = 8 // all consumers are past it
	want[0].InFlight, want[0].Missing, want[0].Oldest = 0, 7, change.Time{}
	if diff := cmp.Diff(want, account()); diff != "" {
		t.Errorf("once settled (-want +got):\n%s", diff)
	}
	q.Bus.Settled, q.Bus.End = 5, 5 // the stream has lost its end
	if diff := cmp.Diff(want, account()); diff != "" {
		t.Errorf("what the bus lost is not in flight (-want +got):\n%s", diff)
	}
	q.Bus.End, q.Bus.Began = 8, noon.Add(time.Hour)
	if diff := cmp.Diff(want, account()); diff != "" {
		t.Errorf("what another stream had is not in flight (-want +got):\n%s", diff)
	}
}

// The rows of before there were receipts are what there is to count.
func TestAccount_CountsOutcomesWhereNothingSaysWhatWasReceived(t *testing.T) {
	s := storetest.New(t)
	insert(t, s, batch(delivered(noon, change.Stored, nil), delivered(noon, change.Ignored, nil)))
	got, err := s.Account(t.Context(), store.AccountQuery{Org: "acme", Start: noon.Add(30 * time.Second), End: noon.Add(40 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	want := []store.AccountRow{{Start: change.At(noon), SourceID: "src_a", Received: 2, Stored: 1, Ignored: 1, Uncounted: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	orgs, err := s.ReceivingOrgs(t.Context(), noon, noon.Add(time.Hour))
	if err != nil || len(orgs) != 0 {
		t.Errorf("orgs: %v, %v", orgs, err)
	}
	enter(t, s, receipt("src_a", 1, noon, 1))
	if orgs, err = s.ReceivingOrgs(t.Context(), noon.Add(30*time.Second), noon.Add(time.Hour)); err != nil || !cmp.Equal(orgs, []string{"acme"}) {
		t.Errorf("orgs: %v, %v", orgs, err)
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
	for range 2 {
		enter(t, s, receipt("src_a", 5, noon, 3), receipt("src_b", 5, noon, 4), receipt("src_a", 7, noon, 1))
	}
	got, err := s.StoredFrames(t.Context(), store.FrameRange{Chain: "c1", From: 5, To: 6}, store.FrameRange{Chain: "c2", From: 1, To: 9}, store.FrameRange{Chain: "c3", To: 9})
	if err != nil {
		t.Fatal(err)
	}
	want := map[store.FrameID]store.StoredFrame{
		{Chain: "c1", Frame: 5}: {Deliveries: []int{0, 2}, Payloads: []int{0, 1, 2}, Short: []int{}, Received: 7},
		{Chain: "c1", Frame: 6}: {Deliveries: []int{}, Payloads: []int{4, 5}, Short: []int{}},
		{Chain: "c2", Frame: 5}: {Deliveries: []int{3}, Payloads: []int{}, Short: []int{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStoredFrames_SaysWhichDeliveriesAreShortOfChanges(t *testing.T) {
	s := storetest.New(t)
	in := func(frame uint64, place, n int) store.Batch {
		var changes []change.Change
		for i := range n {
			changes = append(changes, made("acme", fmt.Sprintf("%d/%d/%d", frame, place, i), noon, nil))
		}
		r := stored("acme", noon, changes...)
		r.Place = place
		return store.Batch{Chain: "c1", Frame: frame, Results: []change.Result{r}}
	}
	whole, part, none := in(1, 0, 2), in(1, 1, 3), in(2, 0, 1)
	insert(t, s, whole)
	lost := part.Results[0].Changes[2].ID
	insert(t, s, none, part)
	exec(t, s, fmt.Sprintf("ALTER TABLE changes DELETE WHERE frame_no = 2 OR hex(id) = '%X' SETTINGS mutations_sync = 2", lost[:]))
	got, err := s.StoredFrames(t.Context(), store.FrameRange{Chain: "c1", From: 1, To: 2})
	if err != nil {
		t.Fatal(err)
	}
	short := map[uint64][]int{1: got[store.FrameID{Chain: "c1", Frame: 1}].Short, 2: got[store.FrameID{Chain: "c1", Frame: 2}].Short}
	if diff := cmp.Diff(map[uint64][]int{1: {1}, 2: {0}}, short); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ids := []change.ID{whole.Results[0].Changes[0].ID, lost, part.Results[0].Changes[0].ID}
	lacks, err := s.LacksChanges(t.Context(), "acme", ids)
	if diff := cmp.Diff([]change.ID{lost}, lacks); diff != "" || err != nil {
		t.Errorf("lacks: %v (-want +got):\n%s", err, diff)
	}
	if lacks, err = s.LacksChanges(t.Context(), "other", ids); err != nil || len(lacks) != 3 {
		t.Errorf("another org has %v of acme's changes: %v", lacks, err)
	}
}
