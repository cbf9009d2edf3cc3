package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// delivered returns the result of a delivery without changes.
func delivered(received time.Time, outcome change.Outcome, edit func(*change.Result)) change.Result {
	r := stored("acme", received)
	r.Outcome = outcome
	if edit != nil {
		edit(&r)
	}
	return r
}

func TestKnownIdentities_ReturnsTheFirstDeliveryThatDidNotEndDead(t *testing.T) {
	s := storetest.New(t)
	named := func(name string) func(*change.Result) {
		return func(r *change.Result) { r.Identity, r.BodyHash = name, [32]byte{1} }
	}
	first := delivered(noon, change.Stored, named("a"))
	again := delivered(noon.Add(time.Hour), change.Duplicate, func(r *change.Result) {
		named("a")(r)
		r.FirstReceived = first.ReceivedAt
	})
	dead := delivered(noon, change.Dead, named("b"))
	afterDead := delivered(noon.Add(2*time.Hour), change.Ignored, named("b"))
	onlyDead := delivered(noon, change.Dead, named("c"))
	otherSource := delivered(noon.Add(-time.Hour), change.Stored, func(r *change.Result) {
		named("a")(r)
		r.SourceID = "src_b"
	})
	insert(t, s, store.Batch{Chain: "c2", Frame: 8, Results: []change.Result{again, afterDead}}, batch(first, dead, onlyDead, otherSource))

	ask := func(source, name string) store.Identity {
		return store.Identity{Org: "acme", SourceID: source, Identity: name}
	}
	got, err := s.KnownIdentities(t.Context(), []store.Identity{
		ask("src_a", "a"), ask("src_a", "a"), ask("src_a", "b"), ask("src_a", "c"), ask("src_a", "d"), ask("src_b", "a"), ask("src_a", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[store.Identity]store.Known{
		ask("src_a", "a"): {DeliveryID: first.DeliveryID, FirstReceived: first.ReceivedAt, BodyHash: [32]byte{1}, Chain: "c1", Frame: 1},
		ask("src_a", "b"): {DeliveryID: afterDead.DeliveryID, FirstReceived: afterDead.ReceivedAt, BodyHash: [32]byte{1}, Chain: "c2", Frame: 8},
		ask("src_b", "a"): {DeliveryID: otherSource.DeliveryID, FirstReceived: otherSource.ReceivedAt, BodyHash: [32]byte{1}, Chain: "c1", Frame: 1, Place: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A dead delivery that a later run could process is known from then on.
func TestKnownIdentities_TakesTheLatestWordOnADelivery(t *testing.T) {
	s := storetest.New(t)
	id := store.Identity{Org: "acme", SourceID: "src_a", Identity: "a"}
	r := delivered(noon, change.Dead, func(r *change.Result) { r.Identity = "a" })
	f := func(run uint16, outcome change.Outcome, want int) {
		t.Helper()
		r.Outcome = outcome
		b := batch(r)
		b.Run = run
		insert(t, s, b)
		known, err := s.KnownIdentities(t.Context(), []store.Identity{id})
		if err != nil || len(known) != want {
			t.Errorf("run %d, %s: %v, %v; want %d", run, outcome, known, err, want)
		}
	}
	f(0, change.Dead, 0)
	f(2, change.Stored, 1)
	f(1, change.Dead, 1) // late, of an earlier run
	f(3, change.Dead, 0)
}

func TestKnownIdentities_AnswersForThousandsAtOnce(t *testing.T) {
	s := storetest.New(t)
	var results []change.Result
	var ask []store.Identity
	for i := range 5000 {
		name := fmt.Sprintf("github:72d3162e-cc78-11e3-81ab-4c93%08d", i)
		ask = append(ask, store.Identity{Org: "acme", SourceID: "src_a", Identity: name})
		if i%2 == 0 {
			results = append(results, delivered(noon, change.Stored, func(r *change.Result) { r.Identity = name }))
		}
	}
	insert(t, s, batch(results...))
	known, err := s.KnownIdentities(t.Context(), ask)
	if err != nil || len(known) != 2500 {
		t.Errorf("%d known, %v; want 2500", len(known), err)
	}
}

func TestFindDeliveries_FiltersAndPages(t *testing.T) {
	s := storetest.New(t)
	var results []change.Result
	for i := range 50 {
		results = append(results, delivered(noon.Add(-time.Duration(i)*24*time.Hour), change.Outcomes()[i%4], func(r *change.Result) {
			r.Provider, r.DetectedBy, r.SourceID = pick([]string{"github", "gitlab"}, i), pick([]string{"header:X", "shape:y"}, i/2), pick([]string{"src_a", "src_b"}, i/3)
		}))
	}
	insert(t, s, batch(results...))
	f := func(q store.DeliveryQuery, match func(change.Result) bool) {
		t.Helper()
		var want []change.DeliveryID
		for _, r := range results {
			if match(r) {
				want = append(want, r.DeliveryID)
			}
		}
		q.Org, q.Limit, q.Total = "acme", 3, true
		var got []change.DeliveryID
		for {
			page, err := s.FindDeliveries(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if page.Total != int64(len(want)) {
				t.Fatalf("%+v: total %d, want %d", q, page.Total, len(want))
			}
			for _, d := range page.Data {
				got = append(got, d.ID)
			}
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", q, diff)
		}
	}
	f(store.DeliveryQuery{}, func(change.Result) bool { return true })
	f(store.DeliveryQuery{Outcome: change.Dead}, func(r change.Result) bool { return r.Outcome == change.Dead })
	f(store.DeliveryQuery{Provider: "gitlab", SourceID: "src_b"}, func(r change.Result) bool { return r.Provider == "gitlab" && r.SourceID == "src_b" })
	f(store.DeliveryQuery{DetectedBy: "shape:y", Start: noon.Add(-20 * 24 * time.Hour), End: noon.Add(-2 * 24 * time.Hour)}, func(r change.Result) bool {
		age := noon.Sub(r.ReceivedAt.Time).Hours() / 24
		return r.DetectedBy == "shape:y" && age <= 20 && age > 2
	})
	f(store.DeliveryQuery{Identity: "none"}, func(change.Result) bool { return false })
}

func TestStore_SaysWhatIsNotThere(t *testing.T) {
	s := storetest.New(t)
	id := change.NewDeliveryID(noon)
	_, err := s.Delivery(t.Context(), "acme", id)
	if p := problem.From(err); p.Kind != problem.NotFound || p.Reason != "delivery_not_found" {
		t.Errorf("delivery: %v", err)
	}
	_, err = s.Payload(t.Context(), "acme", id)
	if p := problem.From(err); p.Kind != problem.NotFound || p.Reason != "payload_not_found" {
		t.Errorf("payload: %v", err)
	}
}
