package store_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// keepPayload stores a delivery's body.
func keepPayload(t *testing.T, s *store.Store, org string, at time.Time, body string) {
	t.Helper()
	d := change.Delivery{ID: change.NewDeliveryID(at), Org: org, SourceID: "src_a", ReceivedAt: change.At(at), Header: http.Header{}, Body: []byte(body)}
	if err := s.InsertPayloads(t.Context(), []store.PayloadBatch{{Chain: "c1", Frame: 1, Deliveries: []change.Delivery{d}}}); err != nil {
		t.Fatal(err)
	}
}

// rowsOf returns how many rows each table has of an org, as they were measured.
func rowsOf(t *testing.T, s *store.Store, org string) map[string]int64 {
	t.Helper()
	if _, err := s.MeasureUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	usage, err := s.Usage(t.Context(), org)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, u := range usage {
		if u.MeasuredAt.IsZero() || (u.Bytes == 0) != (u.Rows == 0) {
			t.Errorf("%s: %+v", org, u)
		}
		out[u.Table] = u.Rows
	}
	return out
}

func TestUsage_IsOfEachOrgAndFollowsWhatIsStored(t *testing.T) {
	s := storetest.New(t)
	insert(t, s, batch(stored("acme", noon, made("acme", "1", noon, nil)), stored("acme", noon, made("acme", "2", noon.AddDate(0, -2, 0), nil)), stored("other", noon, made("other", "1", noon, nil))))
	keepPayload(t, s, "acme", noon, "0123456789")
	all, err := s.MeasureUsage(t.Context())
	if err != nil || all["acme"] <= 0 || all["other"] <= 0 || all["acme"] <= all["other"] {
		t.Fatalf("%v %v", all, err)
	}
	usage, err := s.Usage(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	want := []store.TableUsage{{Table: "changes", Rows: 2}, {Table: "deliveries", Rows: 2}, {Table: "payloads", Rows: 1, Bytes: 12}}
	for i := range usage {
		usage[i].MeasuredAt = change.Time{}
		if usage[i].Table != "payloads" && usage[i].Bytes > 0 {
			usage[i].Bytes = 0 // as ClickHouse counts them
		}
	}
	if diff := cmp.Diff(want, usage); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	insert(t, s, batch(stored("acme", noon, made("acme", "3", noon, nil))))
	if diff := cmp.Diff(map[string]int64{"changes": 3, "deliveries": 3, "payloads": 1}, rowsOf(t, s, "acme")); diff != "" {
		t.Errorf("after one more (-want +got):\n%s", diff)
	}
	if got, err := s.Usage(t.Context(), "nobody"); err != nil || len(got) != 0 {
		t.Errorf("nobody: %+v %v", got, err)
	}
}

func TestExpire_RemovesWholeMonthsAndWeeksOfTheOrgsThatSaySo(t *testing.T) {
	s := storetest.New(t)
	old := noon.AddDate(0, 0, -70)
	month := time.Date(old.Year(), old.Month(), 1, 0, 0, 0, 0, time.UTC)
	over := month.AddDate(0, 1, 7) // its last week too
	for _, org := range []string{"short", "long", "other"} {
		for _, at := range []time.Time{old, noon} {
			c := made(org, at.String(), at, func(c *change.Change) { c.CreatedAt = change.At(at) })
			insert(t, s, batch(stored(org, at, c)))
			keepPayload(t, s, org, at, "{}")
			enter(t, s, store.Receipt{Org: org, SourceID: "src_a", Minute: at, Chain: "c1", Frame: 1, Seq: 1, Count: 1})
		}
		// What happened long ago and came lately stays.
		insert(t, s, batch(stored(org, noon, made(org, "late", old, func(c *change.Change) { c.CreatedAt = change.At(noon) }))))
	}
	expire := func(short, long time.Time) int64 {
		t.Helper()
		n, err := s.Expire(t.Context(), []store.Expiry{
			{Org: "short", Changes: short, Deliveries: short, Payloads: short}, {Org: "long", Changes: long, Deliveries: long, Payloads: long},
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := expire(old.Add(time.Hour), time.Time{}); n != 0 {
		t.Errorf("%d rows went before their week and month was over", n)
	}
	if n := expire(over, month); n != 4 { // payload, change, delivery, receipt
		t.Errorf("%d rows went; want 4", n)
	}
	whole := map[string]int64{"changes": 3, "deliveries": 3, "payloads": 2}
	for org, want := range map[string]map[string]int64{"short": {"changes": 2, "deliveries": 2, "payloads": 1}, "long": whole, "other": whole} {
		if diff := cmp.Diff(want, rowsOf(t, s, org)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", org, diff)
		}
	}
	if n := expire(over, time.Time{}); n != 0 {
		t.Errorf("%d more rows went", n)
	}
	if _, err := s.Expire(t.Context(), []store.Expiry{{Changes: noon}}); err == nil {
		t.Error("rows of no org in particular may go")
	}
}
