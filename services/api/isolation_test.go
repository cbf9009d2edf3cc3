package api_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
)

// C21: with a key of one org, nothing of another can be read, counted, changed
// or told from what does not exist, by any operation there is.
func TestAPI_AnotherOrgDoesNotExist(t *testing.T) {
	t.Parallel()
	s := start(t)
	const evilKey = "key-of-the-other-org"
	s.org("evil")
	s.key("evil", registry.Key{Scopes: []string{auth.Admin}, Role: auth.SiteAdmin}, evilKey)

	// What acme has, each thing with a word that must not be seen elsewhere.
	service, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_secret", Name: "zebra service"})
	if err != nil {
		t.Fatal(err)
	}
	source, err := s.admin.CreateSource(t.Context(), client.NewSource{
		Name: "zebra source", Auth: "token", Secrets: []string{"zebra-secret"}, DefaultServiceID: service.ID,
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.admin.CreateKey(t.Context(), client.NewKey{Name: "zebra key", Scopes: []string{auth.ChangesRead}})
	if err != nil {
		t.Fatal(err)
	}
	logged := s.log(s.admin, client.NewChange{Summary: "zebra change", ServiceID: service.ID, Tags: []string{"zebra"}})
	delivery := s.deliver(orgName, source.ID, `{"title": "zebra delivery"}`, http.Header{"Idempotency-Key": {"zebra"}})
	letter := bus.DeadLetter{Stage: "normalize", Org: orgName, SourceID: source.ID, DeliveryID: delivery, Reason: "zebra letter", Attempts: 1, At: change.At(time.Now())}
	if err := s.bus.PublishDead(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	letters, err := s.admin.Dead(t.Context(), client.DeadFilter{})
	if err != nil || len(letters.Data) != 1 {
		t.Fatalf("%+v %v", letters, err)
	}
	dead := "/api/v1/dead/" + letters.Data[0].ID
	incident := s.createIncident(client.NewIncident{Title: "zebra incident", ServiceID: service.ID})
	page, err := s.admin.Deliveries(t.Context(), client.DeliveryFilter{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	cursor := page.Meta.NextCursor

	tried := map[string]bool{}
	f := func(method, path, body string, status int) {
		t.Helper()
		tried[operation(method, path)] = true
		got := s.call(method, path, body, "Authorization", "Bearer "+evilKey)
		if got.Status != status || strings.Contains(got.Body, "zebra") {
			t.Errorf("%s %s: %d %s; want %d", method, path, got.Status, got.Body, status)
		}
		// A list shows and counts nothing; what has no total (dead letters) says -1.
		if strings.Contains(got.Body, `"meta"`) {
			if total, counted := got.json(t)["meta"].(map[string]any)["total"]; counted && total != 0.0 && total != -1.0 {
				t.Errorf("%s %s: total %v", method, path, total)
			}
		}
	}
	id := logged.ID.String()
	f("GET", "/api/v1/changes", "", 200)
	f("GET", "/api/v1/changes?service_id="+service.ID, "", 200)
	f("GET", "/api/v1/changes?delivery_id="+delivery.String(), "", 200)
	f("GET", "/api/v1/changes?q=zebra", "", 200)
	f("GET", "/api/v1/changes/export", "", 200)
	f("GET", "/api/v1/changes/export?format=csv&service_id="+service.ID, "", 200)
	f("GET", "/api/v1/changes/"+id, "", 404)
	f("GET", "/api/v1/changes/"+id+"/window", "", 404)
	f("GET", "/api/v1/what-changed", "", 200)
	f("GET", "/api/v1/what-changed?environment=production&window=7d", "", 200)
	f("GET", "/api/v1/what-changed?service_id="+service.ID, "", 400)
	f("POST", "/api/v1/changes", `{"summary": "x", "service_id": "svc_secret"}`, 400)
	f("GET", "/api/v1/change-events", "", 200)
	f("GET", "/api/v1/change-events/"+id, "", 404)
	f("POST", "/api/v1/change-events", `{"title": "x", "service_id": "svc_secret"}`, 400)
	f("GET", "/api/v1/events", "", 200)
	f("GET", "/api/v1/events/"+id, "", 404)
	f("POST", "/api/v1/events", `{"actor_id": "x", "action": "x", "service_id": "svc_secret"}`, 400)
	f("POST", "/api/v1/changes/bulk", `{"data": [{"summary": "x", "service_id": "svc_secret"}]}`, 207)
	f("POST", "/api/v1/change-events/bulk", `{"data": [{"title": "x", "service_id": "svc_secret"}]}`, 207)
	f("POST", "/api/v1/events/bulk", `{"data": [{"actor_id": "x", "action": "x", "service_id": "svc_secret"}]}`, 207)
	f("POST", "/api/v1/services", `{"name": "x", "dependencies": ["svc_secret"]}`, 400)
	f("GET", "/api/v1/services", "", 200)
	f("GET", "/api/v1/services/svc_secret", "", 404)
	f("PATCH", "/api/v1/services/svc_secret", `{"name": "mine"}`, 404)
	f("DELETE", "/api/v1/services/svc_secret", "", 404)
	f("GET", "/api/v1/services/svc_secret/changes", "", 404)
	f("POST", "/api/v1/services/svc_secret/changes", `{"summary": "x"}`, 404)
	f("GET", "/api/v1/deliveries", "", 200)
	f("GET", "/api/v1/deliveries?source_id="+source.ID, "", 200)
	f("GET", "/api/v1/deliveries?identity=key:zebra", "", 200)
	f("GET", "/api/v1/deliveries?cursor="+cursor, "", 400) // it is bound to the org
	f("GET", "/api/v1/deliveries/"+delivery.String(), "", 404)
	f("GET", "/api/v1/deliveries/"+delivery.String()+"/payload", "", 404)
	f("POST", "/api/v1/deliveries/"+delivery.String()+"/replay", "", 404)
	replayed, err := s.admin.StartReplay(t.Context(), client.NewReplay{SourceID: source.ID, Start: new(change.At(time.Now().Add(-time.Hour))), Provider: "zebra"})
	if err != nil {
		t.Fatal(err)
	}
	f("GET", "/api/v1/replays", "", 200)
	f("GET", "/api/v1/replays/"+replayed.ID, "", 404)
	f("GET", "/api/v1/replays/"+replayed.ID+"/differences", "", 404)
	f("POST", "/api/v1/replays/"+replayed.ID+"/resume", "", 404)
	f("DELETE", "/api/v1/replays/"+replayed.ID, "", 404)
	f("GET", "/api/v1/dead", "", 200)
	f("GET", "/api/v1/dead?delivery_id="+delivery.String(), "", 200)
	f("GET", "/api/v1/dead?discarded=true", "", 200)
	f("GET", dead, "", 404)
	f("GET", dead+"/payload", "", 404)
	f("POST", dead+"/redrive", "", 404)
	f("POST", dead+"/discard", `{"reason": "mine"}`, 404)
	f("POST", "/api/v1/dead/redrive", `{"filter": {}}`, 200)
	f("POST", "/api/v1/dead/redrive", `{"ids": ["`+letters.Data[0].ID+`"]}`, 200) // gone, as what never was
	f("POST", "/api/v1/dead/discard", `{"ids": ["`+letters.Data[0].ID+`"], "reason": "mine"}`, 200)
	f("GET", "/api/v1/stats?by=service,source,actor", "", 200)
	f("GET", "/api/v1/account", "", 200)
	f("GET", "/api/v1/sources", "", 200)
	f("GET", "/api/v1/sources/"+source.ID, "", 404)
	f("POST", "/api/v1/sources/"+source.ID+"/repair", "", 404)
	f("PATCH", "/api/v1/sources/"+source.ID, `{"name": "mine"}`, 404)
	f("POST", "/api/v1/sources/"+source.ID+"/rotate", "", 404)
	f("POST", "/api/v1/sources/"+source.ID+"/secrets", `{"secret": "mine-from-now-on"}`, 404)
	f("DELETE", "/api/v1/sources/"+source.ID+"/secrets/"+source.Secrets[0].ID, "", 404)
	f("POST", "/api/v1/sources", `{"name": "x", "services": [{"match": "*", "service_id": "svc_secret"}]}`, 400)
	f("DELETE", "/api/v1/sources/"+source.ID, "", 404)
	f("POST", "/api/v1/sources", `{"name": "x", "default_service_id": "svc_secret"}`, 400)
	f("GET", "/api/v1/keys/"+key.ID, "", 404)
	f("PATCH", "/api/v1/keys/"+key.ID, `{"name": "mine"}`, 404)
	f("POST", "/api/v1/keys/"+key.ID+"/rotate", "", 404)
	f("DELETE", "/api/v1/keys/"+key.ID, "", 404)
	s.events(client.AuditFilter{ObjectID: service.ID}, 1) // acme's trail has it
	f("GET", "/api/v1/org", "", 200)
	f("PATCH", "/api/v1/org", `{"name": "evil again"}`, 200)
	f("PATCH", "/api/v1/org", `{"quota_bytes": -1}`, 403)
	f("GET", "/api/v1/org/usage", "", 200)
	f("GET", "/api/v1/orgs", "", 403)
	f("POST", "/api/v1/orgs", `{"id": "more", "name": "more"}`, 403)
	f("PATCH", "/api/v1/orgs/"+orgName, `{"name": "mine"}`, 403)
	f("GET", "/api/v1/audit-events?object_id="+service.ID, "", 200)
	f("GET", "/api/v1/audit-events?service_id="+service.ID, "", 200)
	f("GET", "/api/v1/logs/user/actions", "", 200)
	f("GET", "/api/v1/logs/user/tokens", "", 200)

	inc := "/api/v1/incidents/" + incident.ID.String()
	f("GET", "/api/v1/incidents", "", 200)
	f("GET", "/api/v1/incidents?service_id="+service.ID, "", 200)
	f("POST", "/api/v1/incidents", `{"title": "x", "service_id": "svc_secret"}`, 400)
	f("GET", inc, "", 404)
	f("PATCH", inc, `{"title": "mine"}`, 404)
	f("POST", inc+"/resolve", "", 404)
	f("GET", inc+"/changes", "", 404)
	s.signIn(adminKey)
	sessions, err := s.admin.Sessions(t.Context())
	if err != nil || len(sessions) != 1 {
		t.Fatalf("%+v %v", sessions, err)
	}
	f("GET", "/api/v1/sessions", "", 200)
	f("DELETE", "/api/v1/sessions/"+sessions[0].SessionID, "", 404)

	for op := range s.operations() {
		switch {
		case tried[op], op == "POST /api/v1/services", op == "GET /api/v1/keys", op == "POST /api/v1/keys", op == "POST /api/v1/replays": // below, or they name nothing
		case strings.HasSuffix(op, " /api/v1/session"): // see TestSession_IsOfOneOrg
		case op == "GET /api/v1/changes/stream": // see TestStream_ShowsOneOrgOnly
		default:
			t.Errorf("%s was not tried", op)
		}
	}

	// Counts and accounts are empty, and acme's things are as they were.
	for _, path := range []string{"/api/v1/stats", "/api/v1/account"} {
		if rows := s.call("GET", path, "", "Authorization", "Bearer "+evilKey).json(t)["data"].([]any); len(rows) != 0 {
			t.Errorf("%s: %v", path, rows)
		}
	}
	if keys, err := s.client(evilKey).Keys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("keys: %v %v", keys, err)
	}
	// Its own service may have the same id, and it gets its own.
	if _, err := s.client(evilKey).CreateService(t.Context(), client.NewService{ID: "svc_secret", Name: "own"}); err != nil {
		t.Error(err)
	}
	if got, err := s.admin.Service(t.Context(), "svc_secret"); err != nil || got.Name != "zebra service" {
		t.Errorf("acme's service: %+v %v", got, err)
	}
	if got, err := s.admin.Dead(t.Context(), client.DeadFilter{}); err != nil || len(got.Data) != 1 || got.Data[0].Attempts != 1 {
		t.Errorf("acme's dead letters: %+v %v", got, err)
	}
	if got, err := s.admin.Source(t.Context(), source.ID); err != nil || got.Name != "zebra source" {
		t.Errorf("acme's source: %+v %v", got, err)
	}
}

// operation is the document's name of a request: its ids are {id}.
func operation(method, path string) string {
	path, _, _ = strings.Cut(path, "?")
	path = regexp.MustCompile(`/sec_\w+`).ReplaceAllString(path, "/{secret_id}")
	path = regexp.MustCompile(`/orgs/\w+`).ReplaceAllString(path, "/orgs/{id}")
	return method + " " + regexp.MustCompile(`/(svc|chg|dlv|src|key|inc|ses|rpl|ded)_\w+`).ReplaceAllString(path, "/{id}")
}

// operations returns all that the OpenAPI document has.
func (s *system) operations() map[string]bool {
	s.t.Helper()
	all := map[string]bool{}
	for path, methods := range s.call("GET", "/openapi.json", "").json(s.t)["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			all[strings.ToUpper(method)+" "+path] = true
		}
	}
	return all
}
