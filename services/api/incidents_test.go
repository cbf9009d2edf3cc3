package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
)

var visible = client.WriteOptions{Wait: 10 * time.Second}

// incidentHeader is what the receiver marks a delivery about incidents with.
func incidentHeader() http.Header {
	return http.Header{change.HeaderKind: {change.KindIncidents}}
}

func (s *system) createIncident(in client.NewIncident) client.Incident {
	s.t.Helper()
	made, err := s.admin.CreateIncident(s.t.Context(), in, visible)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// S1-2: an incident is recorded, acknowledged, changed and resolved; each
// answer is what can be read afterwards.
func TestIncidents_GoFromOpenToResolved(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_shop", Name: "Shop"}); err != nil {
		t.Fatal(err)
	}
	same := func(what string, answered client.Incident, err error) client.Incident {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		read, err := s.admin.Incident(t.Context(), answered.ID)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(answered, read); diff != "" {
			t.Errorf("%s: what was answered and what is read (-answered +read):\n%s", what, diff)
		}
		return read
	}
	started := change.At(time.Now().Add(-10 * time.Minute))
	made, err := s.admin.CreateIncident(t.Context(), client.NewIncident{
		Title: "Checkout is down", Severity: "high", ServiceID: "svc_shop", Environment: "production", StartedAt: &started,
		ChangedBy: "Ann", ExternalID: "T-1", URL: "https://status.example.com/1", Metadata: map[string]any{"a": "b"},
	}, visible)
	made = same("created", made, err)
	want := client.Incident{
		ID: made.ID, Title: "Checkout is down", Severity: change.High, Status: "open", ServiceID: "svc_shop", ServiceName: "Shop", Environment: "production",
		StartedAt: started, Source: "api", Provider: "api", ExternalID: "T-1", URL: "https://status.example.com/1", ChangedBy: "Ann",
		Actor: change.Actor{ID: "Ann", Name: "Ann", Type: "user"}, Metadata: json.RawMessage(`{"a":"b"}`),
	}
	if diff := cmp.Diff(want, made, cmpopts.IgnoreFields(client.Incident{}, "CreatedAt", "UpdatedAt")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	acked, err := s.admin.UpdateIncident(t.Context(), made.ID, client.IncidentPatch{Status: "acknowledged", ChangedBy: "Bob"}, visible)
	if acked = same("acknowledged", acked, err); acked.AcknowledgedAt.IsZero() || acked.Status != "acknowledged" || acked.ChangedBy != "Bob" {
		t.Errorf("acknowledged: %+v", acked)
	}
	renamed, err := s.admin.UpdateIncident(t.Context(), made.ID, client.IncidentPatch{Title: "Checkout fails", Severity: "critical"}, visible)
	if renamed = same("renamed", renamed, err); renamed.Title != "Checkout fails" || renamed.Severity != change.Critical || renamed.Status != "acknowledged" {
		t.Errorf("renamed: %+v", renamed)
	}
	resolved, err := s.admin.ResolveIncident(t.Context(), made.ID, client.Resolution{ChangedBy: "Bob"}, visible)
	if resolved = same("resolved", resolved, err); resolved.Status != "resolved" || resolved.ResolvedAt.IsZero() {
		t.Errorf("resolved: %+v", resolved)
	}
	if again, err := s.admin.ResolveIncident(t.Context(), made.ID, client.Resolution{}, visible); err != nil || cmp.Diff(resolved, again) != "" {
		t.Errorf("resolved twice: %v %s", err, cmp.Diff(resolved, again))
	}
	opened, err := s.admin.UpdateIncident(t.Context(), made.ID, client.IncidentPatch{Status: "open"}, visible)
	if opened = same("opened again", opened, err); opened.Status != "open" || !opened.ResolvedAt.IsZero() {
		t.Errorf("opened again: %+v", opened)
	}

	// The timeline of the service shows each step.
	page, err := s.admin.ServiceChanges(t.Context(), "svc_shop", client.ChangeFilter{Type: "incident", Sort: "asc"})
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, c := range page.Data {
		steps = append(steps, c.Action+": "+c.Summary)
		if c.CorrelationID != made.ID.String() || c.Environment != "production" {
			t.Errorf("change %+v", c)
		}
	}
	if diff := cmp.Diff([]string{
		"incident.open: Incident open: Checkout is down", "incident.acknowledged: Incident acknowledged: Checkout is down",
		"incident.resolved: Incident resolved: Checkout fails", "incident.open: Incident open: Checkout fails",
	}, steps); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// S1-2: an incident may be resolved at once after it was recorded, before the
// store shows it.
func TestIncidents_CanBeResolvedAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	made, err := s.admin.CreateIncident(t.Context(), client.NewIncident{Title: "Short one"}, client.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.admin.ResolveIncident(t.Context(), made.ID, client.Resolution{}, client.WriteOptions{})
	if err != nil || got.Status != "resolved" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestIncidents_TheSameIdempotencyKeyRecordsOne(t *testing.T) {
	t.Parallel()
	s := start(t)
	opt := client.WriteOptions{Wait: visible.Wait, IdempotencyKey: "once"}
	first, err := s.admin.CreateIncident(t.Context(), client.NewIncident{Title: "One"}, opt)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.admin.CreateIncident(t.Context(), client.NewIncident{Title: "One"}, opt); err != nil || cmp.Diff(first, again) != "" {
		t.Errorf("%v %s", err, cmp.Diff(first, again))
	}
	if _, err := s.admin.CreateIncident(t.Context(), client.NewIncident{Title: "Two"}, opt); problemOf(err).Status != 409 {
		t.Errorf("with another body: %v", err)
	}
	// The same key may name a change: that is another thing.
	if _, err := s.admin.LogChange(t.Context(), client.NewChange{Summary: "x"}, opt); err != nil {
		t.Error(err)
	}
	page, err := s.admin.Incidents(t.Context(), client.IncidentFilter{})
	if err != nil || page.Meta.Total != 1 {
		t.Errorf("%+v %v", page.Meta, err)
	}
}

func TestIncidents_EachBadFieldIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.createIncident(client.NewIncident{Title: "x"}).ID.String()
	f := func(method, path, body, field string) {
		t.Helper()
		got := s.call(method, path, body)
		if got.Status != 400 || got.json(t)["field"] != field && field != "" {
			t.Errorf("%s %s %s: %d %s; want 400 for %q", method, path, body, got.Status, got.Body, field)
		}
	}
	post := func(body, field string) { t.Helper(); f("POST", "/api/v1/incidents", body, field) }
	post(`{}`, "title")
	post(`{"title":" \n "}`, "title")
	post(`{"title":"`+strings.Repeat("x", 201)+`"}`, "title")
	post(`{"title":"x","severity":"bad"}`, "severity")
	post(`{"title":"x","status":"gone"}`, "status")
	post(`{"title":"x","service_id":"svc_none"}`, "service_id")
	post(`{"title":"x","url":"javascript:alert(1)"}`, "url")
	post(`{"title":"x","started_at":"yesterday"}`, "started_at")
	post(`{"title":"x","started_at":"2999-01-01T00:00:00Z"}`, "started_at")
	post(`{"title":"x","resolved_at":"2026-01-01T00:00:00Z"}`, "resolved_at")
	post(`{"title":"x","status":"resolved","started_at":"2026-01-02T00:00:00Z","resolved_at":"2026-01-01T00:00:00Z"}`, "resolved_at")
	post(`{"title":"x","metadata":[1]}`, "metadata")
	post(`{"title":"x","metadata":{"a":"`+strings.Repeat("x", 70_000)+`"}}`, "metadata")
	post(`{"title":"x","nonsense":1}`, "nonsense")
	post(`[]`, "")
	post(`not JSON`, "")
	f("POST", "/api/v1/incidents?wait=1h", `{"title":"x"}`, "wait")
	f("PATCH", "/api/v1/incidents/"+id, `{}`, "")
	f("PATCH", "/api/v1/incidents/"+id, `{"status":"gone"}`, "status")
	f("PATCH", "/api/v1/incidents/"+id, `{"service_id":"svc_none"}`, "service_id")
	f("PATCH", "/api/v1/incidents/"+id, `{"url":"ftp://x"}`, "url")
	f("POST", "/api/v1/incidents/"+id+"/resolve", `{"changed_by":7}`, "changed_by")
	f("POST", "/api/v1/incidents/"+id+"/resolve?wait=1h", ``, "wait")
	f("GET", "/api/v1/incidents?status=gone", "", "status")
	f("GET", "/api/v1/incidents?severity=bad", "", "severity")
	f("GET", "/api/v1/incidents?start_date=2026-02-02&end_date=2026-02-01", "", "end_date")
	f("GET", "/api/v1/incidents?limit=1000", "", "limit")
	f("GET", "/api/v1/incidents?cursor=x&offset=1", "", "offset")
	f("GET", "/api/v1/incidents?cursor=x", "", "cursor")
	for _, path := range []string{"inc_5q8n2v7k4m1p9r3s6t0w8x2y4z", "inc_x", "chg_5q8n2v7k4m1p9r3s6t0w8x2y4z"} {
		if got := s.call("GET", "/api/v1/incidents/"+path, ""); got.Status != 404 {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
}

func TestIncidents_WritesNeedTheirScope(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead, auth.ChangesWrite}}, "key-without-admin")
	reader := s.client("key-without-admin")
	made := s.createIncident(client.NewIncident{Title: "x"})
	if _, err := reader.Incident(t.Context(), made.ID); err != nil {
		t.Error(err)
	}
	if _, err := reader.IncidentChanges(t.Context(), made.ID); err != nil {
		t.Error(err)
	}
	if _, err := reader.CreateIncident(t.Context(), client.NewIncident{Title: "x"}, visible); problemOf(err).Status != 403 {
		t.Errorf("create: %v", err)
	}
	if _, err := reader.UpdateIncident(t.Context(), made.ID, client.IncidentPatch{Title: "y"}, visible); problemOf(err).Status != 403 {
		t.Errorf("update: %v", err)
	}
	if _, err := reader.ResolveIncident(t.Context(), made.ID, client.Resolution{}, visible); problemOf(err).Status != 403 {
		t.Errorf("resolve: %v", err)
	}
}

// S1-2, S4-18: the list has what webhooks and the API report, by every filter.
func TestIncidents_ListFiltersAndPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_shop", Name: "Shop"}); err != nil {
		t.Fatal(err)
	}
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 5 {
		at := change.At(base.Add(time.Duration(i) * time.Minute))
		in := client.NewIncident{Title: fmt.Sprint("incident ", i), StartedAt: &at, Environment: "staging"}
		if i == 3 {
			in.Severity, in.Environment, in.ServiceID, in.Status = "critical", "production", "svc_shop", "acknowledged"
		}
		s.createIncident(in)
	}
	f := func(in client.IncidentFilter, want ...string) {
		t.Helper()
		var got []string
		page, err := s.admin.Incidents(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Data {
			got = append(got, strings.TrimPrefix(i.Title, "incident "))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", in, diff)
		}
	}
	f(client.IncidentFilter{}, "4", "3", "2", "1", "0")
	f(client.IncidentFilter{Sort: "asc", Limit: 2}, "0", "1")
	f(client.IncidentFilter{Offset: 3}, "1", "0")
	f(client.IncidentFilter{Status: "acknowledged"}, "3")
	f(client.IncidentFilter{Severity: "critical"}, "3")
	f(client.IncidentFilter{ServiceID: "svc_shop"}, "3")
	f(client.IncidentFilter{Environment: "production"}, "3")
	f(client.IncidentFilter{Start: base.Add(3*time.Minute - time.Second)}, "4", "3")
	f(client.IncidentFilter{End: base.Add(time.Minute)}, "0")
	page, err := s.admin.Incidents(t.Context(), client.IncidentFilter{Limit: 2})
	if err != nil || page.Meta.Total != 5 || !page.Meta.HasMore {
		t.Fatalf("%+v %v", page.Meta, err)
	}
	f(client.IncidentFilter{Limit: 2, Cursor: page.Meta.NextCursor}, "2", "1")
}

const pagerDuty = `{"event":{"id":"%s","event_type":"incident.%s","resource_type":"incident","occurred_at":"%s",
  "agent":{"id":"PLH1HKV","summary":"Ann","type":"user_reference"},
  "data":{"id":"PGR0VU2","type":"incident","html_url":"https://acme.pagerduty.com/incidents/PGR0VU2","number":2,"status":"%s","incident_key":"d3640",
  "created_at":"%s","title":"Checkout is down","service":{"id":"PF9KMXH","summary":"Shop"},"urgency":"high","priority":{"summary":"P1"}}}}`

// S0-4, S1-2, S4-18: PagerDuty opens and resolves an incident; what changed
// before it names the deployment, and after it is resolved the answer stays,
// whatever is recorded later.
func TestIncidents_WhatChangedBeforeOneIsKept(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_shop", Name: "Shop", Resources: []string{"Shop"}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-20 * time.Minute)
	deploy := func(summary string, before time.Duration) {
		t.Helper()
		at := change.At(began.Add(-before))
		s.log(s.admin, client.NewChange{Summary: summary, ServiceID: "svc_shop", Environment: "production", OccurredAt: &at})
	}
	deploy("Deploy v2 of shop", 5*time.Minute)
	said := func(id, verb, status string, at time.Time) {
		t.Helper()
		created := began.UTC().Format(time.RFC3339Nano)
		s.deliver(orgName, "src_pd", fmt.Sprintf(pagerDuty, id, verb, at.UTC().Format(time.RFC3339Nano), status, created), incidentHeader())
	}
	said("ev1", "triggered", "triggered", began)
	page, err := s.admin.Incidents(t.Context(), client.IncidentFilter{Status: "open"})
	if err != nil || len(page.Data) != 1 {
		t.Fatalf("%+v %v", page, err)
	}
	i := page.Data[0]
	if i.Title != "Checkout is down" || i.ServiceName != "Shop" || i.Severity != change.Critical || i.Provider != "pagerduty" || i.ExternalID != "PGR0VU2" || i.ChangedBy != "Ann" {
		t.Errorf("%+v", i)
	}
	// The harness's pipeline maps no services: somebody names it.
	if _, err := s.admin.UpdateIncident(t.Context(), i.ID, client.IncidentPatch{ServiceID: "svc_shop"}, visible); err != nil {
		t.Fatal(err)
	}
	suspects := func() (names []string, kept bool) {
		t.Helper()
		got, err := s.admin.IncidentChanges(t.Context(), i.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got.Suspects {
			names = append(names, s.Change.Summary)
		}
		return names, got.Kept
	}
	first := []string{"Deploy v2 of shop"}
	if got, kept := suspects(); kept || cmp.Diff(first, got) != "" {
		t.Errorf("while it is open, kept %t:\n%s", kept, cmp.Diff(first, got))
	}
	said("ev3", "resolved", "resolved", began.Add(2*time.Minute))
	said("ev2", "acknowledged", "acknowledged", began.Add(time.Minute)) // late
	if got, err := s.admin.Incident(t.Context(), i.ID); err != nil || got.Status != "resolved" || got.AcknowledgedAt.IsZero() || got.Provider != "pagerduty" {
		t.Errorf("%+v %v", got, err)
	}
	deploy("Recorded afterwards", 4*time.Minute)
	if got, kept := suspects(); !kept || cmp.Diff(first, got) != "" {
		t.Errorf("after it is resolved, kept %t:\n%s", kept, cmp.Diff(first, got))
	}
	// Another process, with nothing in memory, says the same.
	if got, err := s.another().client(adminKey).IncidentChanges(t.Context(), i.ID); err != nil || len(got.Suspects) != 1 {
		t.Errorf("%+v %v", got, err)
	}
}

// deliverAt is deliver for what was received earlier.
func (s *system) deliverAt(received time.Time, d change.Delivery) {
	s.t.Helper()
	d.ID, d.Org, d.ReceivedAt = change.NewDeliveryID(received), orgName, change.At(received)
	if _, err := s.committer.Commit(s.t.Context(), &d); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, func() error {
		_, err := s.store.Delivery(s.t.Context(), orgName, d.ID)
		return err
	})
}

// S1-2: the answer itself is kept: a delivery has it, and from then on every
// process answers with its very bytes.
func TestIncidents_TheAnswerIsStored(t *testing.T) {
	t.Parallel()
	s := start(t)
	ago := func(minutes int) time.Time { return time.Now().Add(-time.Duration(minutes) * time.Minute) }
	stamp := func(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }
	began := ago(30)
	s.deliverAt(ago(34), change.Delivery{SourceID: "key_1", Provider: "api", Body: []byte(`{"summary":"Deploy v2","occurred_at":"` + stamp(ago(35)) + `"}`)})
	for _, step := range []struct {
		verb string
		at   time.Time
	}{{"triggered", began}, {"resolved", ago(20)}} {
		s.deliverAt(step.at, change.Delivery{SourceID: "src_pd", Header: incidentHeader(), Body: []byte(fmt.Sprintf(pagerDuty, step.verb, step.verb, stamp(step.at), step.verb, stamp(began)))})
	}
	page, err := s.admin.Incidents(t.Context(), client.IncidentFilter{})
	if err != nil || len(page.Data) != 1 {
		t.Fatalf("%+v %v", page, err)
	}
	path := "/api/v1/incidents/" + page.Data[0].ID.String() + "/changes"
	first := s.call("GET", path, "")
	if first.Status != 200 || !strings.Contains(first.Body, "Deploy v2") || !strings.Contains(first.Body, `"kept":true`) {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	eventually(t, func() error {
		kept, err := s.store.KeptAnswer(t.Context(), orgName, page.Data[0].ID)
		if err == nil && kept == nil {
			err = fmt.Errorf("nothing is kept")
		}
		return err
	})
	// A change that is said to have been accepted long ago shows that it is not asked again.
	s.deliverAt(ago(33), change.Delivery{SourceID: "key_1", Provider: "api", Body: []byte(`{"summary":"Slipped in","occurred_at":"` + stamp(ago(34)) + `"}`)})
	if again := s.another().call("GET", path, ""); again.Body != first.Body {
		t.Errorf("(-first +again):\n%s", cmp.Diff(first.Body, again.Body))
	}
	// Keeping it is no step of the incident, and no change.
	if got, err := s.admin.Incident(t.Context(), page.Data[0].ID); err != nil || cmp.Diff(page.Data[0], got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(page.Data[0], got))
	}
	if changes, err := s.admin.Changes(t.Context(), client.ChangeFilter{Type: "incident"}); err != nil || changes.Meta.Total != 2 {
		t.Errorf("%+v %v", changes.Meta, err)
	}
}
