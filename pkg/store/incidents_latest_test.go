package store_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// The latest incidents are found without adding all reports up, and are those
// that adding all up finds: whether incidents are short, go on for long (the
// last to begin is not the last of which something is said), were told late of a
// time long ago, or went off again.
func TestFindIncidents_TheLatestAreThoseOfTheWholeSum(t *testing.T) {
	s := storetest.New(t)
	err := chdbtest.Conn(t, s.Database()).Exec(t.Context(), `INSERT INTO incidents (org, id, at, report, version, received_at, started_at, status, severity)
SELECT ['acme', 'other'][1 + (incident % 10 = 0)], toFixedString(unhex(hex(MD5(toString(incident)))), 16) AS id,
    toDateTime64('2026-10-01 00:00:00', 3, 'UTC') + incident * 60 + [0, [30, 40000, 3000000, 90][1 + incident % 4], 100][1 + step] AS at,
    toFixedString(unhex(hex(MD5(toString(number)))), 16), 1, at,
    toDateTime64(if(incident % 7 = 0 AND step = 0, toUnixTimestamp(at) - 1000000, 0), 3, 'UTC'),
    ['open', 'resolved', if(incident % 4 = 3, 'open', 'acknowledged')][1 + step], 'high'
FROM (SELECT number, intDiv(number, 3) AS incident, number % 3 AS step FROM numbers(420)) SETTINGS max_partitions_per_insert_block = 100`)
	if err != nil {
		t.Fatal(err)
	}
	pages := func(q store.IncidentQuery) (ids []change.IncidentID) {
		t.Helper()
		q.Org = "acme"
		for {
			page, err := s.FindIncidents(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if page.Total != 126 {
				t.Errorf("%d incidents in all, want 126", page.Total)
			}
			for _, i := range page.Data {
				ids = append(ids, i.ID)
			}
			if !page.HasMore {
				return ids
			}
			q.Cursor, q.Offset = page.NextCursor, 0
		}
	}
	want := pages(store.IncidentQuery{Severity: change.High, Limit: 100}) // of all, so all are added up
	if len(want) != 126 {
		t.Fatalf("%d incidents", len(want))
	}
	if diff := cmp.Diff(want, pages(store.IncidentQuery{Limit: 12})); diff != "" {
		t.Errorf("page by page (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[20:], pages(store.IncidentQuery{Limit: 50, Offset: 20})); diff != "" {
		t.Errorf("from the 21st on (-want +got):\n%s", diff)
	}
	upwards := slices.Clone(want)
	slices.Reverse(upwards)
	if diff := cmp.Diff(upwards, pages(store.IncidentQuery{Limit: 100, Sort: store.Asc})); diff != "" {
		t.Errorf("oldest first (-want +got):\n%s", diff)
	}
	beyond, err := s.FindIncidents(t.Context(), store.IncidentQuery{Org: "acme", Offset: 1000})
	if err != nil || len(beyond.Data) != 0 || beyond.Total != 126 {
		t.Errorf("beyond the end: %d of %d, %v", len(beyond.Data), beyond.Total, err)
	}
}
