package store_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// reported returns the result of a delivery that says something of incidents.
func reported(received time.Time, reports ...change.IncidentReport) change.Result {
	r := stored("acme", received)
	for _, report := range reports {
		report.CreatedAt = change.At(received)
		report.Provenance.DeliveryID = r.DeliveryID
		report.Provenance.Provider = "pagerduty"
		if report.Key == ([16]byte{}) {
			report.Key = change.ReportKey(report.ID, r.DeliveryID.String())
		}
		r.Incidents = append(r.Incidents, report)
	}
	return r
}

func insertIncidents(t *testing.T, s *store.Store, results ...change.Result) {
	t.Helper()
	for _, r := range results { // as they come: one by one
		if err := s.InsertIncidents(t.Context(), []store.Batch{batch(r)}); err != nil {
			t.Fatal(err)
		}
	}
}

// S1-2: in whatever order the reports of an incident come, and however often,
// the incident is the same, and one that is resolved is not opened again.
func TestIncident_IsTheSumOfItsReportsInAnyOrder(t *testing.T) {
	id := change.NewIncidentID("acme", "pagerduty", "Q1")
	at := func(minutes int) change.Time { return change.At(noon.Add(time.Duration(minutes) * time.Minute)) }
	opened := reported(at(1).Time, change.IncidentReport{
		ID: id, At: at(0), StartedAt: at(0), Status: change.Open, Title: "Checkout is down", Severity: change.High,
		ServiceID: "svc_shop", ServiceName: "Shop", Environment: "production", Metadata: json.RawMessage(`{"a":1}`),
		Actor: change.Actor{Name: "monitor", Type: "alerting"}, ChangedBy: "monitor",
	})
	acked := reported(at(6).Time, change.IncidentReport{ID: id, At: at(5), Status: change.Acknowledged, ChangedBy: "Ann"})
	renamed := reported(at(7).Time, change.IncidentReport{ID: id, At: at(7), Title: "Checkout fails for half of the users"})
	resolved := reported(at(12).Time, change.IncidentReport{ID: id, At: at(10), Status: change.Resolved, ChangedBy: "Bob"})
	want := store.Incident{
		ID: id, Org: "acme", Status: change.Resolved, Title: "Checkout fails for half of the users", Severity: change.High,
		ServiceID: "svc_shop", ServiceName: "Shop", Environment: "production", Provider: "pagerduty",
		ChangedBy: "Bob", Actor: change.Actor{Name: "monitor", Type: "alerting"}, Metadata: json.RawMessage(`{"a":1}`),
		StartedAt: at(0), AcknowledgedAt: at(5), ResolvedAt: at(10), ResolvedSeen: at(12), CreatedAt: at(1), UpdatedAt: at(12),
	}
	orders := map[string][]change.Result{
		"as it happened": {opened, acked, renamed, resolved},
		"the wrong way":  {resolved, renamed, acked, opened},
		"some twice":     {resolved, opened, opened, acked, renamed, resolved, acked},
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			s := storetest.New(t)
			insertIncidents(t, s, order...)
			got, err := s.Incident(t.Context(), "acme", id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, err := s.Incident(t.Context(), "globex", id); problem.KindOf(err) != problem.NotFound {
				t.Errorf("another org's: %v", err)
			}
		})
	}

	t.Run("opened again", func(t *testing.T) {
		s := storetest.New(t)
		again := reported(at(20).Time, change.IncidentReport{ID: id, At: at(20), Status: change.Open})
		insertIncidents(t, s, again, opened, resolved)
		got, err := s.Incident(t.Context(), "acme", id)
		if err != nil || got.Status != change.Open || !got.ResolvedAt.IsZero() {
			t.Errorf("%+v %v", got, err)
		}
		insertIncidents(t, s, reported(at(40).Time, change.IncidentReport{ID: id, At: at(30), Status: change.Resolved}))
		if got, err = s.Incident(t.Context(), "acme", id); err != nil || got.ResolvedAt != at(30) || got.ResolvedSeen != at(40) || got.StartedAt != at(0) {
			t.Errorf("%+v %v", got, err)
		}
	})
}

// S1-2: an alarm that goes off again is the same incident, which began then.
func TestIncident_OfAnAlarmBeginsEachTimeItGoesOff(t *testing.T) {
	s := storetest.New(t)
	id := change.NewIncidentID("acme", "aws", "alarm")
	at := func(minutes int) change.Time { return change.At(noon.Add(time.Duration(minutes) * time.Minute)) }
	say := func(minutes int, status change.IncidentStatus) change.Result {
		return reported(at(minutes).Time, change.IncidentReport{ID: id, At: at(minutes), Status: status})
	}
	f := func(status change.IncidentStatus, began, acknowledged, resolved change.Time) {
		t.Helper()
		got, err := s.Incident(t.Context(), "acme", id)
		if err != nil {
			t.Fatal(err)
		}
		want := []any{status, began, acknowledged, resolved}
		if diff := cmp.Diff(want, []any{got.Status, got.StartedAt, got.AcknowledgedAt, got.ResolvedAt}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	insertIncidents(t, s, say(20, change.Open), say(3, change.Resolved), say(0, change.Open), say(1, change.Acknowledged))
	f(change.Open, at(20), change.Time{}, change.Time{})
	insertIncidents(t, s, say(22, change.Acknowledged), say(30, change.Resolved), say(31, change.Resolved))
	f(change.Resolved, at(20), at(22), at(30))
}

func TestFindIncidents_FiltersAndPages(t *testing.T) {
	s := storetest.New(t)
	var all []change.IncidentID
	for i := range 7 {
		id := change.NewIncidentID("acme", "pagerduty", string(rune('a'+i)))
		all = append(all, id)
		at := change.At(noon.Add(time.Duration(i) * time.Minute))
		report := change.IncidentReport{ID: id, At: at, StartedAt: at, Status: change.Open, Title: "x", Severity: change.Low, Environment: "staging"}
		if i == 2 {
			report.Status, report.Severity, report.Environment, report.ServiceID = change.Resolved, change.Critical, "production", "svc_a"
		}
		insertIncidents(t, s, reported(noon, report))
	}
	other := stored("globex", noon)
	other.Incidents = []change.IncidentReport{{ID: change.NewIncidentID("globex", "p", "a"), At: change.At(noon), CreatedAt: change.At(noon), Status: change.Open}}
	insertIncidents(t, s, other)

	find := func(q store.IncidentQuery) (ids []change.IncidentID, page store.Page[store.Incident]) {
		t.Helper()
		q.Org = "acme"
		page, err := s.FindIncidents(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Data {
			ids = append(ids, i.ID)
		}
		return ids, page
	}
	f := func(q store.IncidentQuery, want ...change.IncidentID) {
		t.Helper()
		got, page := find(q)
		if diff := cmp.Diff(want, got); diff != "" || page.Total != int64(len(want)) {
			t.Errorf("%+v: total %d, (-want +got):\n%s", q, page.Total, diff)
		}
	}
	f(store.IncidentQuery{Status: change.Resolved}, all[2])
	f(store.IncidentQuery{Severity: change.Critical}, all[2])
	f(store.IncidentQuery{ServiceID: "svc_a"}, all[2])
	f(store.IncidentQuery{Environment: "production"}, all[2])
	f(store.IncidentQuery{Environment: "nowhere"})
	f(store.IncidentQuery{Start: noon.Add(5 * time.Minute)}, all[6], all[5])
	f(store.IncidentQuery{End: noon.Add(2 * time.Minute), Sort: store.Asc}, all[0], all[1])

	for _, sort := range []string{store.Asc, store.Desc} {
		var got []change.IncidentID
		q := store.IncidentQuery{Limit: 3, Sort: sort}
		for range 3 {
			ids, page := find(q)
			got, q.Cursor = append(got, ids...), page.NextCursor
			if page.Total != 7 || page.HasMore != (q.Cursor != "") {
				t.Errorf("%s: total %d, more %t, cursor %q", sort, page.Total, page.HasMore, q.Cursor)
			}
		}
		want := slices.Clone(all)
		if sort == store.Desc {
			slices.Reverse(want)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sort, diff)
		}
	}
	if ids, page := find(store.IncidentQuery{Offset: 100}); ids != nil || page.Total != 7 {
		t.Errorf("beyond the end: %v of %d", ids, page.Total)
	}
}

// S1-2: the first answer that was kept for an incident stays.
func TestKeptAnswer_IsTheFirst(t *testing.T) {
	s := storetest.New(t)
	id := change.NewIncidentID("acme", "api", "x")
	keep := func(received time.Time, answer string) change.Result {
		return reported(received, change.IncidentReport{ID: id, At: change.At(received), Kept: json.RawMessage(answer)})
	}
	insertIncidents(t, s, keep(noon.Add(time.Minute), `{"n":2}`), keep(noon, `{"n":1}`))
	if got, err := s.KeptAnswer(t.Context(), "acme", id); err != nil || string(got) != `{"n":1}` {
		t.Errorf("%s %v", got, err)
	}
	if got, err := s.KeptAnswer(t.Context(), "globex", id); err != nil || got != nil {
		t.Errorf("another org's: %s %v", got, err)
	}
}
