package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/repair/repairtest"
	"whatchanged/services/api"
	"whatchanged/services/writer"
)

// auditTrail stores the audit trail, as the writer service does.
func (s *system) auditTrail(ctx context.Context) error {
	w, err := writer.New(writer.Deps{
		Bus: s.bus, Store: nowhere{}, Audit: s.store, Log: bustest.Log(s.t), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		return err
	}
	return w.RunAudit(ctx)
}

// nowhere is for the writers that do not run here.
type nowhere struct{ writer.Store }

// actor returns a context in which a user of acme acts.
func (s *system) actor(name, mail string) context.Context {
	return auth.WithPrincipal(s.t.Context(), auth.Principal{Org: orgName, KeyID: "key_ofjane", Name: name, Mail: mail, Role: auth.SiteAdmin})
}

// events waits until the trail has n events that match, and returns them.
func (s *system) events(f client.AuditFilter, n int) []client.AuditEvent {
	s.t.Helper()
	var page client.Page[client.AuditEvent]
	eventually(s.t, func() (err error) {
		if page, err = s.admin.AuditEvents(s.t.Context(), f); err != nil {
			return err
		}
		return differ(n, len(page.Data))
	})
	return page.Data
}

func descriptions(events []client.AuditEvent) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Description)
	}
	return all
}

// S3-2, S3-7, S3-8, S3-9, S3-10, S3-11, S3-12, S3-16, S3-18, S3-21, S3-22, S3-25: a service's life is in the trail, and after
// its end its events stay, without its present name.
func TestAudit_AServicesLifeIsInTheTrail(t *testing.T) {
	t.Parallel()
	s := start(t)
	began := time.Now().Add(-time.Second)
	secret := "key-of-jane-who-does-it"
	s.key(orgName, registry.Key{Name: "jane's", Scopes: []string{auth.Admin}, UserName: "Jane Doe", UserEmail: "Jane@Example.com", Role: auth.SiteAdmin}, secret)
	jane := s.client(secret)
	made, err := jane.CreateService(t.Context(), client.NewService{Name: "gateway", Repositories: []string{"acme/gw"}})
	if err != nil {
		t.Fatal(err)
	}
	name, description := "api", "what it is for"
	if _, err := jane.UpdateService(t.Context(), made.ID, client.ServicePatch{Name: &name, Description: &description}); err != nil {
		t.Fatal(err)
	}
	filter := client.AuditFilter{ObjectType: "deployment", ObjectID: made.ID, User: "jane@example.com", Start: began, Sort: "asc"}
	for _, e := range s.events(filter, 2) {
		if e.Object.Name != "api" { // what it is called now, on the event of before too
			t.Errorf("%s: the object is called %q now", e.Description, e.Object.Name)
		}
	}
	if err := jane.DeleteService(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	events := s.events(filter, 3)
	want := []string{
		"Created service 'gateway': repositories set to ['acme/gw']",
		"Updated service 'api': name changed from 'gateway' to 'api', description changed",
		"Deleted service 'api'",
	}
	if diff := cmp.Diff(want, descriptions(events)); diff != "" {
		t.Errorf("descriptions (-want +got):\n%s", diff)
	}
	for i, action := range []string{"create", "update", "delete"} {
		e := events[i]
		if e.Action != action || e.User.Name != "Jane Doe" || e.User.Email != "Jane@Example.com" || e.Outcome != "" || time.Since(e.Date.Time) > time.Minute {
			t.Errorf("event %d: %+v", i, e)
		}
		if want := (client.AuditObject{Type: "service", ID: made.ID}); e.Object != want {
			t.Errorf("the object of event %d: %+v, want %+v", i, e.Object, want)
		}
	}
}

// Every operation that changes something leaves an audit event: a new one has
// to be added here, and is audited by then.
func TestAudit_EveryMutatingOperationLeavesAnEvent(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids := map[string]string{}
	left := s.operations()
	want := []string{"create org", "create key"} // acme itself, and the admin's key
	f := func(method, path, body, event string, headers ...string) answer {
		t.Helper()
		for name, id := range ids {
			path = strings.ReplaceAll(path, name, id)
		}
		delete(left, operation(method, path))
		got := s.call(method, path, body, headers...)
		if got.Status/100 != 2 {
			t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Body)
		}
		for _, found := range regexp.MustCompile(`"id":"((src|key|sec|inc|rpl)_[0-9a-z]+)"`).FindAllStringSubmatch(got.Body, -1) {
			ids["{"+found[2]+"}"] = found[1]
		}
		want = append(want, event)
		return got
	}
	f("POST", "/api/v1/services", `{"id": "svc_audited", "name": "audited"}`, "create service")
	f("PATCH", "/api/v1/services/svc_audited", `{"name": "renamed"}`, "update service")
	f("DELETE", "/api/v1/services/svc_audited", "", "delete service")
	f("POST", "/api/v1/sources", `{"name": "audited", "auth": "token", "secrets": ["first-secret"]}`, "create source")
	f("PATCH", "/api/v1/sources/{src}", `{"name": "renamed"}`, "update source")
	f("POST", "/api/v1/sources/{src}/secrets", `{"secret": "second-secret"}`, "update source")
	f("DELETE", "/api/v1/sources/{src}/secrets/{sec}", "", "update source")
	f("POST", "/api/v1/sources/{src}/rotate", "", "update source")
	hub := repairtest.New("/repos/acme/shop/hooks/7", "hook-secret")
	defer hub.Close()
	f("PATCH", "/api/v1/sources/{src}", `{"github": {"repository": "acme/shop", "hook_id": 7, "token": "token-of-a-test", "base_url": "`+hub.URL+`"}}`, "update source")
	f("POST", "/api/v1/sources/{src}/repair", "", "info source")
	f("DELETE", "/api/v1/sources/{src}", "", "delete source")
	f("POST", "/api/v1/keys", `{"name": "audited", "scopes": ["changes:read"]}`, "create key")
	f("PATCH", "/api/v1/keys/{key}", `{"name": "renamed"}`, "update key")
	f("POST", "/api/v1/keys/{key}/rotate", "", "update key")
	f("DELETE", "/api/v1/keys/{key}", "", "delete key")
	f("POST", "/api/v1/incidents", `{"title": "down"}`, "create incident")
	f("PATCH", "/api/v1/incidents/{inc}", `{"severity": "high"}`, "update incident")
	f("POST", "/api/v1/incidents/{inc}/resolve", "", "update incident")
	f("POST", "/api/v1/replays", `{"start_date": "2026-03-30T00:00:00Z", "dry_run": true}`, "create replay")
	f("DELETE", "/api/v1/replays/{rpl}", "", "info replay")
	f("POST", "/api/v1/replays/{rpl}/resume", "", "info replay")
	delivered := s.deliver(orgName, "src_1", `{"title": "audited"}`, http.Header{})
	f("POST", "/api/v1/deliveries/"+delivered.String()+"/replay", "", "create replay")
	s.run(s.writer)
	letters := make([]string, 4)
	for i := range letters {
		_, letters[i] = s.buried(fmt.Sprintf("letter %d", i))
	}
	f("POST", "/api/v1/dead/"+letters[0]+"/redrive", "", "info dead_letter")
	f("POST", "/api/v1/dead/redrive", `{"ids": ["`+letters[1]+`"]}`, "info dead_letter")
	f("POST", "/api/v1/dead/"+letters[2]+"/discard", `{"reason": "a test"}`, "delete dead_letter")
	f("POST", "/api/v1/dead/discard", `{"ids": ["`+letters[3]+`"], "reason": "a test"}`, "delete dead_letter")
	in := f("POST", "/api/v1/session", "", "info user")
	cookie, _, _ := strings.Cut(in.Header.Get("Set-Cookie"), ";")
	f("DELETE", "/api/v1/session", "", "info user", "Authorization", "", "Cookie", cookie)
	f("POST", "/api/v1/session", "", "info user")
	sessions, err := s.admin.Sessions(t.Context())
	if err != nil || len(sessions) != 1 {
		t.Fatalf("%+v %v", sessions, err)
	}
	f("DELETE", "/api/v1/sessions/"+sessions[0].SessionID, "", "info user")
	f("PATCH", "/api/v1/org", `{"change_days": 400}`, "update org")
	s.org(registry.DefaultOrg)
	s.key(registry.DefaultOrg, registry.Key{Scopes: []string{auth.Admin}, Role: auth.SiteAdmin}, operatorKey)
	f("PATCH", "/api/v1/orgs/"+orgName, `{"quota_bytes": 1073741824}`, "update org", "Authorization", "Bearer "+operatorKey)
	delete(left, "POST /api/v1/orgs") // its event is in the new org's trail: TestOrgs_AreManagedByTheOrgThatRunsTheInstallation

	eventually(t, func() error {
		page, err := s.admin.AuditEvents(t.Context(), client.AuditFilter{Sort: "asc", Limit: 100})
		if err != nil {
			return err
		}
		var got []string
		for _, e := range page.Data {
			got = append(got, e.Action+" "+e.Object.Type)
		}
		return differ(want, got)
	})
	// Ingested events are not events of the trail (S3-35): they are changes.
	ingests := regexp.MustCompile(`^POST /api/v1/(changes|events|change-events|services/\{id\}/changes)(/bulk)?$`)
	for op := range left {
		if !strings.HasPrefix(op, "GET ") && !ingests.MatchString(op) {
			t.Errorf("%s was not tried", op)
		}
	}
}

// No event shows a token, a secret or the like, whatever is done to a source or
// a key.
//
// S3-19, S3-34: keys are the service users, and their tokens are never told.
func TestAudit_TellsNoSecrets(t *testing.T) {
	t.Parallel()
	s := start(t)
	source, err := s.admin.CreateSource(t.Context(), client.NewSource{Name: "hook", Auth: "token", Secrets: []string{"the-first-secret"}})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := s.admin.RotateSource(t.Context(), source.ID)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.admin.CreateKey(t.Context(), client.NewKey{Name: "ci", Scopes: []string{auth.ChangesWrite}, Role: auth.Member})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.admin.DeleteKey(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(append(descriptions(s.events(client.AuditFilter{ObjectID: source.ID, Sort: "asc"}, 2)),
		descriptions(s.events(client.AuditFilter{ObjectType: "service_user", ObjectID: key.ID, Sort: "asc"}, 2))...), "\n")
	want := regexp.MustCompile(`^Created source 'hook': auth set to 'token', token set, secrets set
Rotated source 'hook': old_token_until changed from '' to '[0-9TZ:.-]+', token changed
Created API key 'ci': scopes set to \['changes:write'\], role set to 'member', token set
Deleted API key 'ci'$`)
	if !want.MatchString(got) {
		t.Errorf("descriptions:\n%s\nwant\n%s", got, want)
	}
	for _, secret := range []string{"the-first-secret", source.Token, rotated.Token, key.Secret, auth.Fingerprint(key.Secret)} {
		if strings.Contains(got, secret) {
			t.Errorf("an event shows %q", secret)
		}
	}
}

// S2-3, S2-17, S2-18, S2-27, S2-32, S2-33, S2-34, S2-35, S2-37: the log of key uses has every call, the one that reads it
// too, in the printed form.
func TestAudit_TheLogOfKeyUsesHasEveryCall(t *testing.T) {
	t.Parallel()
	s := start(t)
	const secret = "key-of-scope-api-for-the-log"
	key := s.key(orgName, registry.Key{Scopes: []string{auth.API}, Role: auth.PowerUser, UserEmail: "support@example.com"}, secret)
	call := func(path string) answer { return s.call("GET", path, "", "Authorization", "Bearer "+secret) }
	call("/api/v1/changes?q=private")
	call("/api/v1/keys")            // 403: a use all the same
	call("/api/v1/services/%1b[0m") // 404, and nothing that a terminal would obey
	var uses []any
	eventually(t, func() error {
		got := call("/api/v1/logs/user/tokens?scope=api")
		if got.Status != http.StatusOK {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		v := got.json(t)
		uses = v["data"].([]any)
		if len(uses) < 4 {
			return errors.New("less than four uses")
		}
		return differ(float64(len(uses)), v["count"])
	})
	targets := map[string]bool{}
	for _, u := range uses {
		targets[u.(map[string]any)["target"].(string)] = true
	}
	if diff := cmp.Diff(map[string]bool{"/v1/changes": true, "/v1/keys": true, "/v1/services/%1b[0m": true, "/v1/logs/user/tokens": true}, targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	first := uses[0].(map[string]any)
	want := map[string]any{
		"token_id": key.ID, "scope": "api", "target": "/v1/logs/user/tokens", "user_id": audit.UserOf(key.Principal()).ID,
		"account": orgName, "__v": 0.0, "createdAt": first["updatedAt"],
	}
	if diff := cmp.Diff(want, pick(first, want)); diff != "" {
		t.Errorf("a use (-want +got):\n%s", diff)
	}
	if len(first) != 9 || first["_id"] == "" {
		t.Errorf("a use has other fields than the printed ones: %v", first)
	}
	// The admin's calls are of another scope.
	if got := call("/api/v1/logs/user/tokens?scope=admin"); got.Status != 200 || !strings.Contains(got.Body, `"count":0`) {
		t.Errorf("uses of keys with the scope admin: %d %s", got.Status, got.Body)
	}
}

// S2-5, S2-20, S2-25, S2-26, S2-36: a sign-in is an action of type authentication, in the printed form.
func TestAudit_SignInsAreActions(t *testing.T) {
	t.Parallel()
	s := start(t)
	const secret = "a-key-that-jane-has"
	key := s.key(orgName, registry.Key{
		Scopes: []string{auth.ChangesRead}, Role: auth.Member, UserName: "Jane", UserEmail: "jane@example.com",
	}, secret)
	jane := key.Principal()
	if got := s.call("POST", "/api/v1/session", "", "Authorization", "Bearer "+secret); got.Status != http.StatusCreated {
		t.Fatalf("sign in: %d %s", got.Status, got.Body)
	}
	var got map[string]any
	eventually(t, func() error {
		got = s.call("GET", "/api/v1/logs/user/actions?type=authentication", "").json(t)
		return differ(1.0, got["count"])
	})
	action := got["data"].([]any)[0].(map[string]any)
	want := map[string]any{
		"user_id": audit.UserOf(jane).ID, "user_email": "jane@example.com", "type": "authentication", "action": "login",
		"target_id": audit.UserOf(jane).ID, "account": orgName, "__v": 0.0, "updatedAt": action["createdAt"],
	}
	if diff := cmp.Diff(want, pick(action, want)); diff != "" {
		t.Errorf("the sign-in (-want +got):\n%s", diff)
	}
	if len(action) != 10 || action["_id"] == "" {
		t.Errorf("an action has other fields than the printed ones: %v", action)
	}
}

// S2-21, S2-22, S2-28, S2-29: the two logs are for site admins and power users, with the scope api or audit:read.
func TestAudit_TheLogsAreForSomeRolesAndScopes(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, c := range []struct {
		scope, role string
		want        int
	}{
		{auth.API, auth.SiteAdmin, 200},
		{auth.API, auth.PowerUser, 200},
		{auth.AuditRead, auth.SiteAdmin, 200},
		{auth.AuditRead, auth.PowerUser, 200},
		{auth.API, auth.Member, 403},
		{auth.AuditRead, auth.Member, 403},
		{auth.ChangesRead, auth.SiteAdmin, 403},
		{auth.SourcesAdmin, auth.SiteAdmin, 403},
	} {
		secret := "a-key-with-" + c.scope + "-as-" + c.role
		s.key(orgName, registry.Key{Scopes: []string{c.scope}, Role: c.role}, secret)
		for _, path := range []string{"/api/v1/logs/user/actions", "/api/v1/logs/user/tokens"} {
			if got := s.call("GET", path, "", "Authorization", "Bearer "+secret); got.Status != c.want {
				t.Errorf("%s with %s as %s: %d %s, want %d", path, c.scope, c.role, got.Status, got.Body, c.want)
			}
			if got := s.call("GET", path, "", "Authorization", ""); got.Status != 401 {
				t.Errorf("%s without a key: %d", path, got.Status)
			}
		}
	}
}

func TestAudit_BadParametersAreNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(path, field string) {
		t.Helper()
		got := s.call("GET", path, "")
		if got.Status != 400 || got.json(t)["field"] != field {
			t.Errorf("%s: %d %s, want 400 naming %s", path, got.Status, got.Body, field)
		}
	}
	f("/api/v1/logs/user/actions?date=yesterday", "date")
	f("/api/v1/logs/user/actions?date=2026-02-30", "date")
	f("/api/v1/logs/user/actions?type=nonsense", "type")
	f("/api/v1/logs/user/actions?limit=5", "limit")
	f("/api/v1/logs/user/tokens?date=0001-01-01", "date")
	f("/api/v1/logs/user/tokens?scope=nonsense", "scope")
	f("/api/v1/audit-events?object_type=nonsense", "object_type")
	f("/api/v1/audit-events?action=nonsense", "action")
	f("/api/v1/audit-events?start_date=x", "start_date")
	f("/api/v1/audit-events?start_date=2026-01-02&end_date=2026-01-01", "end_date")
	f("/api/v1/audit-events?limit=101", "limit")
	f("/api/v1/audit-events?offset=10001", "offset")
	f("/api/v1/audit-events?cursor=abc", "cursor")
	f("/api/v1/audit-events?sort=up", "sort")
	f("/api/v1/audit-events?object_id="+strings.Repeat("x", 65), "object_id")
}

// away is a stream that cannot be written.
type away struct{}

func (away) PublishAudit(context.Context, string, string, []json.RawMessage) error {
	return errors.New("away")
}

// S2-17: a call that cannot be recorded is not answered as if it were.
func TestAudit_ACallThatCannotBeRecordedIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, func(d *api.Deps, _ *api.Config) {
		limits := audit.DefaultLimits()
		limits.Answer, limits.Stop = 10*time.Millisecond, 10*time.Millisecond
		d.Audit = audit.NewRecorder(away{}, limits, d.Log, prometheus.NewRegistry())
	})
	for _, c := range []struct{ method, body string }{{"GET", ""}, {"POST", `{"name": "never made"}`}} {
		got := s.call(c.method, "/api/v1/services", c.body)
		if got.Status != http.StatusServiceUnavailable || got.json(t)["reason"] != "audit_not_acknowledged" || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s %s", c.method, got.Status, got.Header, got.Body)
		}
	}
	if all := s.registry.Services(orgName); len(all) != 0 {
		t.Errorf("services: %v", all)
	}
}
