package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/store"
)

func TestDead_PagesNewestFirst(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, reason := range []string{"one", "two", "three"} {
		err := s.bus.PublishDead(t.Context(), bus.DeadLetter{
			Stage: "normalize", Org: orgName, SourceID: "src_1", DeliveryID: change.NewDeliveryID(time.Now()),
			Reason: reason, Attempts: 5, At: change.At(time.Now()), Bytes: []byte("{}"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	cursor := ""
	for {
		page, err := s.admin.Dead(t.Context(), client.DeadFilter{Limit: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Data {
			got = append(got, d.Reason)
		}
		if !page.Meta.HasMore {
			break
		}
		cursor = page.Meta.NextCursor
	}
	if diff := cmp.Diff([]string{"three", "two", "one"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// buried puts a delivery on the bus that is fine, and lets its row and a letter
// say that it is dead: re-driven, it is stored.
func (s *system) buried(name string) (change.DeliveryID, string) {
	s.t.Helper()
	id := s.deliver(orgName, "src_1", `{"title": "`+name+`"}`, http.Header{"Idempotency-Key": {name}})
	row, err := s.store.Delivery(s.t.Context(), orgName, id)
	if err != nil {
		s.t.Fatal(err)
	}
	err = s.store.InsertDeliveries(s.t.Context(), []store.Batch{{Chain: row.Chain, Frame: row.Frame, Lane: row.Lane, Results: []change.Result{{
		DeliveryID: id, Org: orgName, SourceID: "src_1", Identity: row.Identity, ReceivedAt: row.ReceivedAt, FirstReceived: row.FirstReceived,
		NormalizedAt: change.At(row.NormalizedAt.Add(time.Millisecond)), Place: row.Place, Size: row.Size, Outcome: change.Dead, Reason: "it broke",
	}}}})
	if err != nil {
		s.t.Fatal(err)
	}
	letter := bus.DeadLetter{
		Stage: bus.StageNormalize, Org: orgName, SourceID: "src_1", Provider: "generic", DeliveryID: id, Whole: true,
		Chain: row.Chain, Frame: row.Frame, Place: row.Place, Reason: "it broke", FirstError: "it broke", LastError: "it broke", Attempts: 1,
	}
	if err := s.bus.PublishDead(s.t.Context(), letter); err != nil {
		s.t.Fatal(err)
	}
	page, err := s.admin.Dead(s.t.Context(), client.DeadFilter{DeadSelection: client.DeadSelection{DeliveryID: id.String()}})
	if err != nil || len(page.Data) != 1 {
		s.t.Fatalf("%+v %v", page, err)
	}
	return id, page.Data[0].ID
}

func TestDead_RedrivesOne(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.run(s.writer)
	delivery, id := s.buried("one")
	letter, err := s.admin.DeadLetter(t.Context(), id)
	if err != nil || letter.Reason != "it broke" || letter.Attempts != 1 || letter.Provider != "generic" || !letter.Whole {
		t.Errorf("%+v %v", letter, err)
	}
	if p, err := s.admin.DeadPayload(t.Context(), id); err != nil || string(p.Body) != `{"title": "one"}` {
		t.Errorf("%s %v", p.Body, err)
	}
	got, err := s.admin.Redrive(t.Context(), id)
	want := client.DeadResult{ID: id, Status: "redriven", DeliveryID: delivery, Outcome: "stored", Stored: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if d, err := s.admin.Delivery(t.Context(), delivery); err != nil || d.Outcome != "stored" {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := s.admin.DeadLetter(t.Context(), id); problemOf(err).Status != 404 {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := s.admin.Redrive(t.Context(), id); problemOf(err).Status != 404 {
		t.Errorf("again: %v", err)
	}
	e := s.events(client.AuditFilter{ObjectType: "dead_letter"}, 1)[0]
	if e.Action != "info" || e.Description != "Re-drove dead letter 'normalize: it broke'" || e.Object.ID != id {
		t.Errorf("%+v", e)
	}
}

func TestDead_DiscardsOneAndSaysSo(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.run(s.writer)
	delivery, id := s.buried("one")
	for _, body := range []string{`{}`, `{"reason": ""}`, `{"reason": "  "}`, `{"reason": "` + strings.Repeat("x", 501) + `"}`} {
		if got := s.call("POST", "/api/v1/dead/"+id+"/discard", body); got.Status != 400 || !strings.Contains(got.Body, "reason") {
			t.Errorf("%s: %d %s", body, got.Status, got.Body)
		}
	}
	got, err := s.admin.Discard(t.Context(), id, "test traffic")
	if err != nil || got.Status != "discarded" || got.Outcome != "dead" {
		t.Errorf("%+v %v", got, err)
	}
	if page, err := s.admin.Dead(t.Context(), client.DeadFilter{}); err != nil || page.Meta.Total != 0 {
		t.Errorf("%+v %v", page, err)
	}
	page, err := s.admin.Dead(t.Context(), client.DeadFilter{Discarded: true})
	if err != nil || page.Meta.Total != 1 || page.Data[0].Discarded.Reason != "test traffic" {
		t.Errorf("%+v %v", page, err)
	}
	if _, err := s.admin.Redrive(t.Context(), id); problemOf(err).Status != 409 {
		t.Errorf("it can be re-driven: %v", err)
	}
	eventually(t, func() error {
		d, err := s.admin.Delivery(t.Context(), delivery)
		if err == nil && (d.Outcome != "dead" || !strings.Contains(d.Reason, "discarded by ") || !strings.Contains(d.Reason, ": test traffic; before: it broke")) {
			err = fmt.Errorf("%s %q", d.Outcome, d.Reason)
		}
		return err
	})
	e := s.events(client.AuditFilter{ObjectType: "dead_letter"}, 1)[0]
	if e.Action != "delete" || e.Description != "Discarded dead letter 'normalize: it broke': because 'test traffic'" {
		t.Errorf("%+v", e)
	}
}

func TestDead_ManyHaveAResultEach(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.run(s.writer)
	var ids []string
	for n := range 5 {
		_, id := s.buried(fmt.Sprint("n", n))
		ids = append(ids, id)
	}
	got, err := s.admin.RedriveMany(t.Context(), client.DeadBatch{IDs: []string{ids[0], "ded_unknown", ids[0]}})
	if err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for _, r := range got.Data {
		statuses = append(statuses, r.ID+" "+r.Status)
	}
	want := []string{ids[0] + " redriven", "ded_unknown gone", ids[0] + " gone"}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, err = s.admin.RedriveMany(t.Context(), client.DeadBatch{Filter: &client.DeadSelection{Provider: "generic"}, Limit: 3})
	if diff := cmp.Diff(client.DeadCounts{Redriven: 3, Left: 1}, got.Meta); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	got, err = s.admin.DiscardMany(t.Context(), client.DeadBatch{Filter: &client.DeadSelection{Stage: "normalize", End: change.At(time.Now().Add(time.Minute))}, Reason: "enough"})
	if diff := cmp.Diff(client.DeadCounts{Discarded: 1}, got.Meta); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err = s.admin.DiscardMany(t.Context(), client.DeadBatch{Filter: &client.DeadSelection{}, Reason: "none are left"}); err != nil || len(got.Data) != 0 || got.Data == nil {
		t.Errorf("%+v %v", got, err)
	}
	s.events(client.AuditFilter{ObjectType: "dead_letter"}, 5)
}

func TestDead_RefusesWithTheField(t *testing.T) {
	t.Parallel()
	s := start(t)
	many := `["` + strings.Repeat(`x","`, 100) + `x"]`
	for _, c := range []struct{ method, path, body, field string }{
		{"GET", "/api/v1/dead?stage=nowhere", "", "stage"},
		{"GET", "/api/v1/dead?limit=101", "", "limit"},
		{"GET", "/api/v1/dead?cursor=nonsense", "", "cursor"},
		{"GET", "/api/v1/dead?cursor=====", "", "cursor"},
		{"GET", "/api/v1/dead?delivery_id=x", "", "delivery_id"},
		{"GET", "/api/v1/dead?start_date=soon", "", "start_date"},
		{"GET", "/api/v1/dead?start_date=2026-01-02&end_date=2026-01-01", "", "end_date"},
		{"GET", "/api/v1/dead?discarded=perhaps", "", "discarded"},
		{"POST", "/api/v1/dead/redrive", `{}`, "ids"},
		{"POST", "/api/v1/dead/redrive", `{"ids": []}`, "ids"},
		{"POST", "/api/v1/dead/redrive", `{"ids": ` + many + `}`, "ids"},
		{"POST", "/api/v1/dead/redrive", `{"ids": ["` + strings.Repeat("x", 65) + `"]}`, "ids"},
		{"POST", "/api/v1/dead/redrive", `{"ids": ["ded_1"], "filter": {}}`, "filter"},
		{"POST", "/api/v1/dead/redrive", `{"ids": ["ded_1"], "limit": 5}`, "limit"},
		{"POST", "/api/v1/dead/redrive", `{"filter": {}, "limit": 101}`, "limit"},
		{"POST", "/api/v1/dead/redrive", `{"filter": {}, "reason": "x"}`, "reason"},
		{"POST", "/api/v1/dead/redrive", `{"filter": {"stage": "nowhere"}}`, "stage"},
		{"POST", "/api/v1/dead/redrive", `{"filter": {"delivery_id": "x"}}`, "delivery_id"},
		{"POST", "/api/v1/dead/redrive", `{"filter": {"end_date": "soon"}}`, "end_date"},
		{"POST", "/api/v1/dead/redrive", `{"filter": {"start_date": "2026-01-02T00:00:00Z", "end_date": "2026-01-01T00:00:00Z"}}`, "end_date"},
		{"POST", "/api/v1/dead/redrive", `{"filter": {"colour": "red"}}`, "colour"},
		{"POST", "/api/v1/dead/discard", `{"filter": {}}`, "reason"},
	} {
		got := s.call(c.method, c.path, c.body)
		if got.Status != 400 || !strings.Contains(got.Body, c.field) {
			t.Errorf("%s %s %.60s: %d %s", c.method, c.path, c.body, got.Status, got.Body)
		}
	}
	for _, path := range []string{"/api/v1/dead/ded_unknown", "/api/v1/dead/*", "/api/v1/dead/%3E", "/api/v1/dead/a.b"} {
		if got := s.call("GET", path, ""); got.Status != 404 {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
}

func TestDead_WritingNeedsTheScope(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}}, "a-key-that-only-reads")
	_, id := s.buried("one")
	reader := s.client("a-key-that-only-reads")
	if _, err := reader.DeadLetter(t.Context(), id); err != nil {
		t.Error(err)
	}
	if _, err := reader.Redrive(t.Context(), id); problemOf(err).Status != 403 {
		t.Errorf("re-driven: %v", err)
	}
	if _, err := reader.Discard(t.Context(), id, "x"); problemOf(err).Status != 403 {
		t.Errorf("discarded: %v", err)
	}
}

// What concerns no org may hold what many orgs sent.
func TestDead_OfTheInstallationIsForItsOperators(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.org(registry.DefaultOrg)
	s.key(registry.DefaultOrg, registry.Key{Scopes: []string{auth.Admin}, Role: auth.SiteAdmin}, operatorKey)
	s.key(registry.DefaultOrg, registry.Key{Scopes: []string{auth.Admin}, Role: auth.PowerUser}, "an-admin-without-the-role")
	operator, asOperator := s.client(operatorKey), []string{"Authorization", "Bearer " + operatorKey}
	if err := s.bus.PublishDead(t.Context(), bus.DeadLetter{Stage: bus.StageFrame, Reason: "unreadable", Bytes: []byte("of many orgs"), Attempts: 1}); err != nil {
		t.Fatal(err)
	}
	if page, err := operator.Dead(t.Context(), client.DeadFilter{}); err != nil || page.Meta.Total != 0 {
		t.Errorf("among the org's own: %+v %v", page, err)
	}
	page, err := operator.Dead(t.Context(), client.DeadFilter{Installation: true})
	if err != nil || page.Meta.Total != 1 {
		t.Fatalf("%+v %v", page, err)
	}
	path := "/api/v1/dead/" + page.Data[0].ID
	if got := s.call("GET", path, "", asOperator...); got.Status != 404 {
		t.Errorf("without saying so: %d %s", got.Status, got.Body)
	}
	if got, err := operator.InstallationDeadLetter(t.Context(), page.Data[0].ID); err != nil || got.Reason != "unreadable" {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := operator.InstallationDeadPayload(t.Context(), page.Data[0].ID); err != nil || string(got.Body) != "of many orgs" {
		t.Errorf("%s %v", got.Body, err)
	}
	for _, headers := range [][]string{
		{"Authorization", "Bearer an-admin-without-the-role"},
		{"Authorization", "Bearer " + adminKey}, // of another org
		append([]string{"X-Forwarded-For", "203.0.113.9"}, asOperator...),
	} {
		for _, what := range []string{path + "?", path + "/payload?", "/api/v1/dead?"} {
			if got := s.call("GET", what+"installation=true", "", headers...); got.Status != 403 || reasonOf(got) != "operators_only" {
				t.Errorf("%s %v: %d %s", what, headers, got.Status, got.Body)
			}
		}
		if got := s.call("POST", path+"/discard?installation=true", `{"reason": "x"}`, headers...); got.Status != 403 {
			t.Errorf("discard %v: %d %s", headers, got.Status, got.Body)
		}
	}
	if got := s.call("POST", path+"/redrive?installation=true", "", asOperator...); got.Status != 409 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := s.call("POST", path+"/discard?installation=true", `{"reason": "a disk was replaced"}`, asOperator...); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if page, err := operator.Dead(t.Context(), client.DeadFilter{Installation: true}); err != nil || page.Meta.Total != 0 {
		t.Errorf("%+v %v", page, err)
	}
}
