package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
)

// written posts by a face, waits until it can be read, and returns the answer's data.
func (s *system) written(path, body string) map[string]any {
	s.t.Helper()
	got := s.call("POST", path+"?wait=10s", body)
	if got.Status != http.StatusCreated || got.Header.Get("X-Whatchanged-Visible") != "true" {
		s.t.Fatalf("POST %s: %d %s", path, got.Status, got.Body)
	}
	return got.json(s.t)["data"].(map[string]any)
}

// read returns what GET answers, its numbers as they are written.
func (s *system) read(path string) map[string]any {
	s.t.Helper()
	got := s.call("GET", path, "")
	if got.Status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s", path, got.Status, got.Body)
	}
	return got.json(s.t)["data"].(map[string]any)
}

// S0-1, S0-5, S0-8, S0-10, S0-11, S0-12, S0-13, S0-14, S0-15, S0-16, S0-17, S0-18, S0-19:
// the printed body is taken whole, comes back whole by its own face, and is a
// change like any other.
func TestChangeEvents_PrintedBodyComesBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	const printed = `{
"title": "Deploy v2.4.1 to production",
"description": "Rolled out new session recording features",
"type": "deployment",
"environment": "production",
"source": "github-actions",
"author": "deploy-bot",
"version": "v2.4.1",
"commit_sha": "abc123def456",
"repository": "onepam/webapp",
"tags": {
"team": "platform",
"service": "api-gateway"
}
}`
	var want map[string]any
	if err := json.Unmarshal([]byte(printed), &want); err != nil {
		t.Fatal(err)
	}
	logged := s.written("/api/v1/change-events", printed)
	id := logged["id"].(string)
	listed := s.call("GET", "/api/v1/change-events?type=deployment", "").json(t)["data"].([]any)
	for name, got := range map[string]map[string]any{
		"answer": logged, "read": s.read("/api/v1/change-events/" + id), "listed": listed[0].(map[string]any),
	} {
		if diff := cmp.Diff(want, pick(got, want)); diff != "" {
			t.Errorf("%s (-printed +got):\n%s", name, diff)
		}
	}
	asChange := map[string]any{
		"summary": "Deploy v2.4.1 to production", "change_type": "deployment", "changed_by": "deploy-bot", "source": "github-actions",
		"description": "Rolled out new session recording features", "version": "v2.4.1", "commit_sha": "abc123def456",
		"repository": "onepam/webapp", "environment": "production", "risk_level": "low", "tags": []any{"team:platform", "service:api-gateway"},
	}
	if diff := cmp.Diff(asChange, pick(s.read("/api/v1/changes/"+id), asChange)); diff != "" {
		t.Errorf("as a change (-want +got):\n%s", diff)
	}
	by := s.read("/api/v1/changes/" + id)["provenance"].(map[string]any)["detected_by"]
	if by != "api/change-events" {
		t.Errorf("detected by %v", by)
	}
}

// S0-24, S0-25, S0-26, S0-27, S0-28, S0-29: each of the six types is taken with
// its printed example, and the types of other faces are not.
func TestChangeEvents_TakeTheSixTypes(t *testing.T) {
	t.Parallel()
	s := start(t)
	examples := map[string]string{
		"deployment": "Deploy v2.4.1 to production", "config_change": "Updated firewall rules on db-01", "rollback": "Rollback to v2.3.9",
		"scaling": "Scaled web tier from 3 to 6 instances", "maintenance": "Database maintenance window started",
		"access_change": "Added SSH access for new contractor",
	}
	for _, typ := range change.Types() {
		title, ok := examples[string(typ)]
		want := http.StatusCreated
		if !ok {
			title, want = "x", http.StatusBadRequest
		}
		got := s.call("POST", "/api/v1/change-events", jsonOf(t, map[string]any{"title": title, "type": typ}))
		if got.Status != want || want == http.StatusCreated && got.json(t)["data"].(map[string]any)["type"] != string(typ) {
			t.Errorf("%s: %d %s", typ, got.Status, got.Body)
		}
		if want == http.StatusBadRequest && got.json(t)["field"] != "type" {
			t.Errorf("%s: %s", typ, got.Body)
		}
	}
}

// S0-9, S4-10: no key is 401, the wrong scope is 403 and names the right one;
// events are read with either read scope.
func TestFaces_NeedTheirScopes(t *testing.T) {
	t.Parallel()
	s := start(t)
	all := []string{auth.ChangesRead, auth.ChangesWrite, auth.ChangeEventsWrite, auth.EventsRead, auth.EventsWrite}
	for _, scope := range all {
		s.key(orgName, registry.Key{Scopes: []string{scope}}, "key-with-"+scope)
	}
	f := func(method, path, body string, allowed ...string) {
		t.Helper()
		if got := s.call(method, path, body, "Authorization", ""); got.Status != http.StatusUnauthorized {
			t.Errorf("%s %s without a key: %d", method, path, got.Status)
		}
		for _, scope := range all {
			got := s.call(method, path, body, "Authorization", "Bearer key-with-"+scope)
			if slices.Contains(allowed, scope) {
				if got.Status/100 != 2 {
					t.Errorf("%s %s with %s: %d %s", method, path, scope, got.Status, got.Body)
				}
			} else if got.Status != http.StatusForbidden || !strings.Contains(got.Body, allowed[0]) {
				t.Errorf("%s %s with %s: %d %s", method, path, scope, got.Status, got.Body)
			}
		}
	}
	f("POST", "/api/v1/changes", `{"summary": "x"}`, auth.ChangesWrite)
	f("POST", "/api/v1/change-events", `{"title": "x"}`, auth.ChangeEventsWrite)
	f("POST", "/api/v1/events", `{"actor_id": "x", "action": "x"}`, auth.EventsWrite)
	f("POST", "/api/v1/changes/bulk", `{"data": [{"summary": "x"}]}`, auth.ChangesWrite)
	f("POST", "/api/v1/change-events/bulk", `{"data": [{"title": "x"}]}`, auth.ChangeEventsWrite)
	f("POST", "/api/v1/events/bulk", `{"data": [{"actor_id": "x", "action": "x"}]}`, auth.EventsWrite)
	f("GET", "/api/v1/change-events", "", auth.ChangesRead)
	f("GET", "/api/v1/events", "", auth.EventsRead, auth.ChangesRead)
}

// Every field that is wrong is named, in the words of the face that was called.
func TestFaces_RefusalsNameTheField(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(path, body, field, says string) {
		t.Helper()
		got := s.call("POST", path, body)
		p := got.json(t)
		if got.Status != http.StatusBadRequest || p["field"] != field || !strings.Contains(p["detail"].(string), says) {
			t.Errorf("%s %.80s: %d %s; want field %q ...%s...", path, body, got.Status, got.Body, field, says)
		}
	}
	const ce, ev = "/api/v1/change-events", "/api/v1/events"
	f(ce, `{}`, "title", "required")
	f(ce, `{"title": " "}`, "title", "required")
	f(ce, `{"title": 7}`, "title", "string")
	f(ce, `{"title": "`+strings.Repeat("x", 201)+`"}`, "title", "200")
	f(ce, `{"summary": "x"}`, "title", "required")
	f(ce, `{"title": "x", "summary": "x"}`, "summary", "no such field")
	f(ce, `{"title": "x", "type": "deploy"}`, "type", "deployment")
	f(ce, `{"title": "x", "tags": ["a"]}`, "tags", "object")
	f(ce, `{"title": "x", "tags": {"a": 1}}`, "tags.a", "string")
	f(ce, `{"title": "x", "tags": {"a:b": "c"}}`, "tags.a:b", "colon")
	f(ce, `{"title": "x", "tags": {"": "c"}}`, "tags.", "colon")
	f(ce, `{"title": "x", "version": {}}`, "version", "string")
	f(ce, `{"title": "x", "occurred_at": "yesterday"}`, "occurred_at", "")
	f(ce, `{"title": "x", "service_id": "svc_none"}`, "service_id", "svc_none")
	f(ce, `{"title": "x", "metadata": []}`, "metadata", "object")
	for _, name := range []string{"description", "environment", "source", "author", "commit_sha", "repository"} {
		f(ce, `{"title": "x", "`+name+`": ["x"]}`, name, "string")
	}
	f(ev, `{"actor_id": "x"}`, "action", "required")
	f(ev, `{"action": "x"}`, "actor_id", "required")
	f(ev, `{"actor_id": "", "action": "x"}`, "actor_id", "")
	f(ev, `{"actor_id": "x", "action": "de ploy"}`, "action", "dotted")
	f(ev, `{"actor_id": "x", "action": "x", "actor_type": "wizard"}`, "actor_type", "ci_system")
	f(ev, `{"actor_id": "x", "action": "x", "metadata": "text"}`, "metadata", "object")
	f(ev, `{"actor_id": "x", "action": "x", "metadata": {"k": "`+strings.Repeat("x", 64<<10)+`"}}`, "metadata", "65536")
	f(ev, `{"actor_id": "x", "action": "x", "occurred_at": 5}`, "occurred_at", "string")
	f(ev, `{"actor_id": "x", "action": "x", "title": "x"}`, "title", "no such field")
	for _, name := range []string{"actor_name", "resource", "resource_id", "resource_name", "session_id", "service_id"} {
		f(ev, `{"actor_id": "x", "action": "x", "`+name+`": 5}`, name, "string")
	}
	list := func(query, field string) {
		t.Helper()
		got := s.call("GET", query, "")
		if got.Status != http.StatusBadRequest || got.json(t)["field"] != field {
			t.Errorf("%s: %d %s", query, got.Status, got.Body)
		}
	}
	list(ce+"?type=deploy", "type")
	list(ce+"?type=deployment&change_type=rollback", "type")
	list(ev+"?limit=101", "limit")
	list(ev+"?offset=10001", "offset")
	list(ev+"?start_date=soon", "start_date")
	list(ev+"?colour=red", "colour")
	for _, path := range []string{ce + "/chg_1", ev + "/chg_1", ev + "/" + change.NewID(time.Now(), "a", "b", "c").String()} {
		if got := s.call("GET", path, ""); got.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
}

// S4-11, S4-12, S4-13, S4-39, S4-42: an event comes back as it was sent, by its
// own face and by its resource.
func TestEvents_ComeBackAsSent(t *testing.T) {
	t.Parallel()
	s := start(t)
	sent := map[string]any{
		"actor_id": "ci_github_actions", "actor_name": "GitHub Actions", "actor_type": "ci_system",
		"action": "deployment.started", "resource": "service", "resource_id": "api-gateway", "resource_name": "API Gateway", "session_id": "sess_1",
		"metadata": map[string]any{
			"environment": "production", "region": "us-east-1", "git_sha": "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0", "git_branch": "main",
			"git_tag": "v2.14.0", "pr_number": 1847.0, "extra": []any{1.0, "two", map[string]any{"three": nil}},
		},
		"occurred_at": "2026-03-30T15:30:00.000Z",
	}
	id := s.written("/api/v1/events", jsonOf(t, sent))["id"].(string)
	listed := s.call("GET", "/api/v1/events?resource_id=api-gateway&limit=20", "").json(t)["data"].([]any)
	for name, got := range map[string]map[string]any{"read": s.read("/api/v1/events/" + id), "listed": listed[0].(map[string]any)} {
		if diff := cmp.Diff(sent, pick(got, sent)); diff != "" {
			t.Errorf("%s (-sent +got):\n%s", name, diff)
		}
	}
	// What a change has a field for is there, too: pr_number is a string (decision 1).
	asChange := map[string]any{
		"change_type": "deployment", "status": "started", "summary": "deployment started: API Gateway v2.14.0", "environment": "production",
		"region": "us-east-1", "commit_sha": "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0", "branch": "main", "version": "v2.14.0", "pr_number": "1847",
		"changed_by": "GitHub Actions", "action": "deployment.started", "source": "api",
	}
	if diff := cmp.Diff(asChange, pick(s.read("/api/v1/changes/"+id), asChange)); diff != "" {
		t.Errorf("as a change (-want +got):\n%s", diff)
	}
}

// S4-40, S4-41: every event of a list has what the printed loop over it prints,
// also when it was written by another face and says none of it.
func TestEvents_EachHasWhatTheLoopPrints(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.written("/api/v1/changes", `{"summary": "x"}`)
	s.written("/api/v1/change-events", `{"title": "x", "type": "maintenance"}`)
	s.written("/api/v1/events", `{"actor_id": "a", "action": "x"}`)
	data := s.call("GET", "/api/v1/events", "").json(t)["data"].([]any)
	if len(data) != 3 {
		t.Errorf("%d events", len(data))
	}
	for _, d := range data {
		event := d.(map[string]any)
		for _, name := range []string{"occurred_at", "actor_name", "action"} {
			if _, ok := event[name].(string); !ok {
				t.Errorf("%s is %v in %v", name, event[name], event)
			}
		}
		if _, ok := event["metadata"].(map[string]any); !ok {
			t.Errorf("metadata is %v in %v", event["metadata"], event)
		}
	}
}

// Decision 2 and decision 3: the action says the type, and the metadata what it was done to.
func TestEvents_ActionAndMetadataSayWhatItIs(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(action, metadata, wantType, wantResource string) {
		t.Helper()
		got := s.call("POST", "/api/v1/events", `{"actor_id": "a", "action": "`+action+`", "metadata": `+metadata+`}`)
		if got.Status != http.StatusCreated {
			t.Fatalf("%s: %d %s", action, got.Status, got.Body)
		}
		data := got.json(t)["data"].(map[string]any)
		if data["change_type"] != wantType || data["resource_id"] != wantResource {
			t.Errorf("%s: %v of %v; want %s of %s", action, data["change_type"], data["resource_id"], wantType, wantResource)
		}
	}
	f("deployment.started", `{"service": "api-gateway", "secret_path": "p", "incident_id": "i"}`, "deployment", "api-gateway")
	f("deployment.rollback", `{"secret_path": "p", "incident_id": "i"}`, "rollback", "p")
	f("config.changed", `{"incident_id": "i"}`, "config_change", "i")
	f("secret.rotated", `{}`, "secret_rotation", "")
	f("incident.created", `{}`, "incident", "")
	f("access.granted", `{}`, "access_change", "")
	f("permission.revoked", `{}`, "access_change", "")
	f("role.assigned", `{}`, "access_change", "")
	f("scaling.out", `{}`, "scaling", "")
	f("feature_flag.toggled", `{}`, "feature_flag", "")
	f("migration.applied", `{}`, "database_migration", "")
	f("coffee.brewed", `{}`, "other", "")
	f("deployment", `{}`, "other", "")
}

// S4-17: the value of a secret is refused in an event about a secret, and is
// masked wherever it is recognised; never is it in a change.
func TestFaces_SecretsDoNotGetIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, name := range []string{"old_value", "new_value", "secret_value", "value", "password", "NewSecret"} {
		body := `{"actor_id": "vault", "action": "secret.rotated", "metadata": {"at": {"` + name + `": "tr0ub4dor"}}}`
		got := s.call("POST", "/api/v1/events", body)
		if got.Status != http.StatusBadRequest || got.json(t)["field"] != "metadata.at."+name || strings.Contains(got.Body, "tr0ub4dor") {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	for _, metadata := range []string{`{"password": ["tr0ub4dor"]}`, `{"a": [{"b": [{"token": 12345}]}]}`, strings.Repeat(`{"a":`, 80) + `"x"` + strings.Repeat(`}`, 80)} {
		got := s.call("POST", "/api/v1/events", `{"actor_id": "vault", "action": "secret.rotated", "metadata": `+metadata+`}`)
		if got.Status != http.StatusBadRequest || !strings.HasPrefix(got.json(t)["field"].(string), "metadata") {
			t.Errorf("%.60s: %d %s", metadata, got.Status, got.Body)
		}
	}
	const token = "ghp_0123456789abcdefghijABCDEFGHIJ456789"
	f := func(path, body, secret string) {
		t.Helper()
		logged := s.written(path, body)
		for _, face := range []string{"changes", "change-events", "events"} {
			got := s.call("GET", "/api/v1/"+face+"/"+logged["id"].(string), "").Body
			if strings.Contains(got, secret) || !strings.Contains(got, "***") || !strings.Contains(got, "secret_masked") {
				t.Errorf("%s by /%s: %s", path, face, got)
			}
		}
		if strings.Contains(jsonOf(t, logged), secret) {
			t.Errorf("%s answers with the secret", path)
		}
	}
	f("/api/v1/changes", `{"summary": "x", "metadata": {"env": "TOKEN=`+token+`"}}`, token)
	f("/api/v1/change-events", `{"title": "x", "metadata": {"deep": [{"password": "tr0ub4dor&3"}]}}`, "tr0ub4dor")
	f("/api/v1/events", `{"actor_id": "x", "action": "config.changed", "metadata": {"note": "`+token+`"}}`, token)
	f("/api/v1/events", `{"actor_id": "x", "action": "config.changed", "metadata": {"config_key": "db.password", "old_value": "tr0ub4dor", "new_value": "h0rse"}}`, "tr0ub4dor")
	// What is no secret stays.
	kept := s.written("/api/v1/events", `{"actor_id": "x", "action": "config.changed", "metadata": {"config_key": "auth.token_ttl", "old_value": "300", "new_value": "600"}}`)
	if diff := cmp.Diff(map[string]any{"config_key": "auth.token_ttl", "old_value": "300", "new_value": "600"}, kept["metadata"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// S0-34, S1-34, S4-39, S4-41: both lists have the filters of changes, and their own.
func TestFaces_Filters(t *testing.T) {
	t.Parallel()
	s := start(t)
	day := func(n int) *change.Time {
		at := change.At(time.Date(2026, 3, n, 12, 0, 0, 0, time.UTC))
		return &at
	}
	send := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, opt := t.Context(), client.WriteOptions{}
	send(s.admin.LogChange(ctx, client.NewChange{Summary: "one", OccurredAt: day(1)}, opt)) // a deployment that names no action
	send(s.admin.SendChangeEvent(ctx, client.NewChangeEvent{Title: "two", Type: "maintenance", Tags: map[string]string{"team": "db"}, Author: "mona", OccurredAt: day(2)}, opt))
	send(s.admin.SendEvent(ctx, client.NewEvent{ActorID: "u1", ActorName: "Lisa", Action: "deployment.started", ResourceID: "api-gateway", SessionID: "s1", Metadata: map[string]any{"title": "three"}, OccurredAt: day(3)}, opt))
	send(s.admin.SendEvent(ctx, client.NewEvent{ActorID: "u2", Action: "feature_flag.on", Resource: "flag", Metadata: map[string]any{"service": "api-gateway", "title": "four"}, OccurredAt: day(4)}, opt))
	send(s.admin.SendEvent(ctx, client.NewEvent{ActorID: "u2", Action: "featureXflag.on", Metadata: map[string]any{"title": "five", "environment": "staging"}, OccurredAt: day(5)}, opt))
	eventually(t, func() error {
		page, err := s.admin.Events(ctx, client.EventFilter{})
		return errors.Join(err, differ(int64(5), page.Meta.Total))
	})
	f := func(query string, want ...string) {
		t.Helper()
		for face, name := range map[string]string{"events": "summary", "change-events": "title"} {
			got := s.call("GET", "/api/v1/"+face+"?"+query, "")
			if got.Status != http.StatusOK {
				t.Errorf("%s?%s: %d %s", face, query, got.Status, got.Body)
				continue
			}
			var titles []string
			for _, c := range got.json(t)["data"].([]any) {
				titles = append(titles, c.(map[string]any)[name].(string))
			}
			if diff := cmp.Diff(want, titles); diff != "" {
				t.Errorf("%s?%s (-want +got):\n%s", face, query, diff)
			}
		}
	}
	f("", "five", "four", "three", "two", "one")
	f("action=deployment.started", "three")
	f("action=deployment.*", "three", "one")
	f("action=feature_flag.*", "four") // the _ is itself
	f("action=*.on", "five", "four")
	f("action=maintenance.*", "two")
	f("action=%25")
	f("actor_id=u2", "five", "four")
	f("actor=Lisa", "three")
	f("actor=mona", "two")
	f("resource_id=api-gateway", "four", "three")
	f("session_id=s1", "three")
	f("change_type=feature_flag", "four")
	f("environment=staging", "five")
	f("tag=team:db", "two")
	f("q=three", "three")
	f("start_date=2026-03-02&end_date=2026-03-04", "three", "two")
	f("limit=2&offset=1", "four", "three")
	f("sort=asc&limit=1", "one")
	f("action=" + url.QueryEscape("' OR 1=1 --"))
	f("action=" + url.QueryEscape(`\*`))
	if got := s.call("GET", "/api/v1/change-events?type=maintenance", "").json(t)["data"].([]any); len(got) != 1 {
		t.Errorf("type=maintenance: %v", got)
	}
	// By cursor, as everywhere.
	var ids []change.ID
	filter := client.EventFilter{ChangeFilter: client.ChangeFilter{Limit: 2}}
	for {
		page, err := s.admin.ChangeEvents(ctx, filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Data {
			ids = append(ids, c.ID)
		}
		if filter.Cursor = page.Meta.NextCursor; filter.Cursor == "" {
			break
		}
	}
	seen := map[change.ID]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(ids) != 5 || len(seen) != 5 {
		t.Errorf("%v by cursor, want 5 different ones", ids)
	}
}

// S1-17, S4-14: whatever is written by one face reads back by that face without loss,
// and says the same by the others (decision 1).
func TestFaces_WriteByOneReadByTheOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_a", Name: "Service A"}); err != nil {
		t.Fatal(err)
	}
	type sample struct {
		Face string
		Body map[string]any
	}
	samples := rapid.Custom(func(t *rapid.T) sample {
		face := rapid.SampledFrom([]string{"changes", "change-events", "events"}).Draw(t, "face")
		return sample{face, drawBody(t, face)}
	})
	const count = 60
	sent, answers := make([]sample, count), make([]answer, count)
	var wg sync.WaitGroup
	for i := range count { // at once, so that they share a few frames
		sent[i] = samples.Example(i)
		wg.Go(func() { answers[i] = s.call("POST", "/api/v1/"+sent[i].Face, jsonOf(t, sent[i].Body)) })
	}
	wg.Wait()
	ids := map[string]sample{}
	for i, got := range answers {
		if got.Status != http.StatusCreated {
			t.Fatalf("%s %s: %d %s", sent[i].Face, jsonOf(t, sent[i].Body), got.Status, got.Body)
		}
		ids[got.json(t)["data"].(map[string]any)["id"].(string)] = sent[i]
	}
	eventually(t, func() error {
		page, err := s.admin.Changes(t.Context(), client.ChangeFilter{Limit: 1})
		return errors.Join(err, differ(int64(count), page.Meta.Total))
	})
	for id, sent := range ids {
		want := maps.Clone(sent.Body)
		if n, ok := want["pr_number"].(float64); ok {
			want["pr_number"] = fmt.Sprint(n) // a number is accepted, and is a string
		}
		if diff := cmp.Diff(want, pick(s.read("/api/v1/"+sent.Face+"/"+id), want)); diff != "" {
			t.Fatalf("%s reads back otherwise (-sent +read):\n%s", sent.Face, diff)
		}
		// Each face says it in its own words; all of them say the same.
		c, ce, ev := s.read("/api/v1/changes/"+id), s.read("/api/v1/change-events/"+id), s.read("/api/v1/events/"+id)
		if diff := cmp.Diff(c, asChange(ce, ev)); diff != "" {
			t.Fatalf("written by %s, the faces differ (-change +the other two):\n%s", sent.Face, diff)
		}
	}
}

// asChange makes a change of its other two faces: what it calls otherwise, and
// what they only show because each of theirs has it.
func asChange(ce, ev map[string]any) map[string]any {
	out := maps.Clone(ce)
	rename := func(from, to string) {
		if v, ok := out[from]; ok {
			out[to] = v
		}
		delete(out, from)
	}
	rename("title", "summary")
	rename("type", "change_type")
	rename("author", "changed_by")
	delete(out, "tag_list")
	delete(out, "tags")
	if tags, ok := ev["tags"]; ok {
		out["tags"] = tags
	}
	for name, v := range out { // and the event says the same of what both have
		if theirs, ok := ev[name]; ok && name != "actor" && name != "resource" && !cmp.Equal(v, theirs) {
			out[name] = fmt.Sprintf("%v, and the event says %v", v, theirs)
		}
	}
	return out
}

// drawBody draws what a face can be sent, with texts that are trimmed and hold no secret.
func drawBody(t *rapid.T, face string) map[string]any {
	text := func(string) *rapid.Generator[string] {
		return rapid.StringMatching(`[a-zäß<&"\\漢]( ?[a-zä,.<&"'\\漢-]){0,20}`)
	}
	out := map[string]any{}
	maybe := func(name string, v any) {
		if rapid.Bool().Draw(t, "has "+name) {
			out[name] = v
		}
	}
	texts := func(names ...string) {
		for _, name := range names {
			maybe(name, text(name).Draw(t, name))
		}
	}
	oneOf := func(name string, words ...string) { maybe(name, rapid.SampledFrom(words).Draw(t, name)) }
	metadata := map[string]any{}
	for _, name := range []string{"environment", "note", "service", "reason"} {
		if rapid.Bool().Draw(t, "has metadata."+name) {
			metadata[name] = text(name).Draw(t, "metadata."+name)
		}
	}
	metadata["list"] = []any{rapid.Float64Range(-1e6, 1e6).Draw(t, "number"), true, nil, map[string]any{"k": "v"}}
	maybe("metadata", metadata)
	oneOf("occurred_at", "2026-03-30T15:30:00.000Z", "2025-01-01T00:00:00.999Z")
	oneOf("service_id", "svc_a")
	switch face {
	case "changes":
		out["summary"] = text("summary").Draw(t, "summary")
		oneOf("change_type", "deployment", "config_change", "infrastructure", "code", "security_patch", "other")
		oneOf("status", "started", "succeeded", "failed", "cancelled")
		oneOf("risk_level", "low", "medium", "high", "critical")
		texts("action", "description", "source", "environment", "changed_by", "repository", "commit_sha", "commit_message", "branch", "version",
			"account", "region", "external_id", "correlation_id", "session_id")
		oneOf("pr_url", "https://git.example.com/pull/1")
		oneOf("pipeline_url", "https://ci.example.com/1")
		maybe("pr_number", float64(rapid.IntRange(0, 1e5).Draw(t, "pr_number")))
		maybe("tags", []any{"billing", "team:db", "team:web", text("tag").Draw(t, "tag")})
		maybe("actor", map[string]any{"id": "u1", "name": text("actor").Draw(t, "actor"), "type": "engineer"})
		maybe("resource", map[string]any{"id": "r1", "name": "R", "type": "queue", "url": "https://example.com/r1"})
	case "change-events":
		out["title"] = text("title").Draw(t, "title")
		oneOf("type", "deployment", "config_change", "rollback", "scaling", "maintenance", "access_change")
		texts("description", "source", "environment", "author", "version", "commit_sha", "repository")
		maybe("tags", map[string]any{"team": text("team").Draw(t, "team"), "service": "api:gateway", "empty": ""})
	case "events":
		out["actor_id"] = text("actor_id").Draw(t, "actor_id")
		out["action"] = rapid.SampledFrom([]string{"deployment.started", "config.changed", "incident.created", "secret.rotated", "a.b"}).Draw(t, "action")
		texts("actor_name", "resource", "resource_id", "resource_name", "session_id")
		oneOf("actor_type", "ci_system", "engineer", "secret_manager", "alerting", "user")
	}
	return out
}

// The same Idempotency-Key is one change by each of the faces, and another body is a conflict.
func TestFaces_SameIdempotencyKeyIsOneChange(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(path, body, other string) {
		t.Helper()
		key := []string{"Idempotency-Key", "key of " + path}
		first, again := s.call("POST", path, body, key...), s.call("POST", path, body, key...)
		if first.Status != http.StatusCreated || again.Body != first.Body {
			t.Errorf("%s: %d %s, then %d %s", path, first.Status, first.Body, again.Status, again.Body)
		}
		if got := s.call("POST", path, other, key...); got.Status != http.StatusConflict {
			t.Errorf("%s with another body: %d %s", path, got.Status, got.Body)
		}
	}
	f("/api/v1/changes", `{"summary": "x"}`, `{"summary": "y"}`)
	f("/api/v1/change-events", `{"title": "x"}`, `{"title": "y"}`)
	f("/api/v1/events", `{"actor_id": "x", "action": "a"}`, `{"actor_id": "y", "action": "a"}`)
	f("/api/v1/events/bulk", `{"data": [{"actor_id": "x", "action": "b"}]}`, `{"data": [{"actor_id": "y", "action": "b"}]}`)
	eventually(t, func() error {
		page, err := s.admin.Events(t.Context(), client.EventFilter{})
		return errors.Join(err, differ(int64(4), page.Meta.Total))
	})
}

// Jenkins's BUILD_USER is the string null when nobody started the build (S0-23), and
// null itself is the same as no value.
func TestChangeEvents_NullIsAName(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.call("POST", "/api/v1/change-events", `{"title": "Deploy jenkins-shop-7", "author": "null", "description": null, "tags": null}`)
	if got.Status != http.StatusCreated || got.json(t)["data"].(map[string]any)["author"] != "null" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// The Go client has a method for each operation of the two faces.
func TestFaces_GoClient(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx, wait := t.Context(), client.WriteOptions{Wait: 10 * time.Second}
	sent, err := s.admin.SendChangeEvent(ctx, client.NewChangeEvent{Title: "Deploy v2", Tags: map[string]string{"team": "web"}}, wait)
	if err != nil || !sent.Visible {
		t.Fatalf("%+v %v", sent, err)
	}
	if got, err := s.admin.ChangeEvent(ctx, sent.ID); err != nil || cmp.Diff(sent.ChangeEvent, got) != "" {
		t.Errorf("%v (-sent +got):\n%s", err, cmp.Diff(sent.ChangeEvent, got))
	}
	event, err := s.admin.SendEvent(ctx, client.NewEvent{ActorID: "ci", Action: "deployment.started", Metadata: map[string]any{"service": "gw"}}, wait)
	if err != nil || !event.Visible {
		t.Fatalf("%+v %v", event, err)
	}
	if got, err := s.admin.Event(ctx, event.ID); err != nil || cmp.Diff(event.Event, got) != "" {
		t.Errorf("%v (-sent +got):\n%s", err, cmp.Diff(event.Event, got))
	}
	events, err := s.admin.Events(ctx, client.EventFilter{ResourceID: "gw", ChangeFilter: client.ChangeFilter{Limit: 20}})
	if err != nil || len(events.Data) != 1 || events.Data[0].ID != event.ID {
		t.Errorf("%+v %v", events, err)
	}
	if page, err := s.admin.ChangeEvents(ctx, client.EventFilter{ChangeFilter: client.ChangeFilter{Tag: "team:web"}}); err != nil || len(page.Data) != 1 {
		t.Errorf("%+v %v", page, err)
	}
	bulk, err := s.admin.BulkChangeEvents(ctx, []client.BulkChangeEvent{{NewChangeEvent: client.NewChangeEvent{Title: "x"}}, {}}, wait)
	if err != nil || bulk.Counts != (client.BulkCounts{Accepted: 1, Refused: 1}) || bulk.Data[1].Error.Field != "title" {
		t.Errorf("%+v %v", bulk, err)
	}
}
