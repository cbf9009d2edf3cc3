package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
	"whatchanged/services/api"
)

// Every refusal is problem+json with a reason, the field to blame, and what to
// do about it (decision 4; S1-36: a limit outside 1-100 is 400, not clamped).
// C14 among them: a secret that is empty is refused when it is configured.
func TestAPI_RefusalsNameTheFieldAndTheCure(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(method, path, body string, status int, reason, field, says string, headers ...string) {
		t.Helper()
		got := s.call(method, path, body, headers...)
		var p struct {
			Title, Detail, Reason, Field string
			Status                       int
		}
		if err := json.Unmarshal([]byte(got.Body), &p); err != nil || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: not a problem: %s %s", method, path, got.Header, got.Body)
			return
		}
		if got.Status != status || p.Status != status || p.Reason != reason || p.Field != field || !strings.Contains(p.Detail, says) || p.Title == "" {
			t.Errorf("%s %.80s: %d %+v; want %d %s %s ...%s...", method, path, got.Status, p, status, reason, field, says)
		}
	}
	const changes = "/api/v1/changes"
	bad := http.StatusBadRequest
	f("GET", changes+"?limit=0", "", bad, "invalid_limit", "limit", ">= 1")
	f("GET", changes+"?limit=101", "", bad, "invalid_limit", "limit", "<= 100")
	f("GET", changes+"?limit=many", "", bad, "invalid_limit", "limit", "integer")
	f("GET", changes+"?limit=1&limit=2", "", bad, "invalid_limit", "limit", "once")
	f("GET", changes+"?offset=-1", "", bad, "invalid_offset", "offset", ">= 0")
	f("GET", changes+"?offset=10001", "", bad, "invalid_offset", "offset", "cursor")
	f("GET", changes+"?start_date=yesterday", "", bad, "invalid_start_date", "start_date", "2026-03-30T15:30:00Z")
	f("GET", changes+"?end_date=2026-13-01", "", bad, "invalid_end_date", "end_date", "2026-03-30")
	f("GET", changes+"?start_date=2026-02-01&end_date=2026-01-01", "", bad, "invalid_end_date", "end_date", "after start_date")
	f("GET", changes+"?change_type=deploy", "", bad, "invalid_change_type", "change_type", "deployment")
	f("GET", changes+"?risk_level=huge", "", bad, "invalid_risk_level", "risk_level", "critical")
	f("GET", changes+"?status=done", "", bad, "invalid_status", "status", "succeeded")
	f("GET", changes+"?change_type=deployment,deploy", "", bad, "invalid_change_type", "change_type", "rollback")
	f("GET", changes+"?commit_sha=abc", "", bad, "invalid_commit_sha", "commit_sha", ">= 4")
	f("GET", changes+"?fields=id,colour", "", bad, "invalid_fields", "fields", `no field "colour"; there are id, service_id`)
	f("GET", changes+"?source=%zz", "", bad, "malformed_query", "", "percent-encode")
	f("GET", changes+"?source=a;b", "", bad, "malformed_query", "", "percent-encode")
	f("GET", changes+"?sort=up", "", bad, "invalid_sort", "sort", "asc")
	f("GET", changes+"?cursor=abc", "", bad, "invalid_cursor", "cursor", "next_cursor")
	f("GET", changes+"?cursor=abc&offset=5", "", bad, "invalid_offset", "offset", "cursor")
	f("GET", changes+"?delivery_id=dlv_1", "", bad, "invalid_delivery_id", "delivery_id", "26 characters")
	f("GET", changes+"?q=%21%21", "", bad, "invalid_q", "q", "letter")
	f("GET", changes+"?environ=production", "", bad, "unknown_parameter", "environ", "environment")
	f("GET", changes+"?"+strings.Repeat("x", 500)+"=1", "", bad, "unknown_parameter", strings.Repeat("x", 64)+"...", "no such parameter")
	f("GET", changes+"/chg_1", "", http.StatusNotFound, "change_not_found", "", "no such change")
	f("GET", changes+"/"+change.NewID(time.Now(), "a", "b", "c").String(), "", http.StatusNotFound, "change_not_found", "", "")

	post := func(body string, status int, reason, field, says string, headers ...string) {
		t.Helper()
		f("POST", changes, body, status, reason, field, says, headers...)
	}
	post(`{}`, bad, "invalid_summary", "summary", "required")
	post(`{"summary": ""}`, bad, "invalid_summary", "summary", ">= 1")
	post(`{"summary": " \n "}`, bad, "invalid_summary", "summary", "required")
	post(`{"summary": 7}`, bad, "invalid_summary", "summary", "string")
	post(`{"summary": "`+strings.Repeat("é", 201)+`"}`, bad, "invalid_summary", "summary", "200")
	post(`{"summary": "x", "change_type": "deploy"}`, bad, "invalid_change_type", "change_type", "deployment")
	post(`{"summary": "x", "risk_level": "huge"}`, bad, "invalid_risk_level", "risk_level", "low")
	post(`{"summary": "x", "occurred_at": "yesterday"}`, bad, "invalid_occurred_at", "occurred_at", "")
	post(`{"summary": "x", "tags": "red"}`, bad, "invalid_tags", "tags", "list of strings")
	post(`{"summary": "x", "tags": ["red", 5]}`, bad, "invalid_tags", "tags[1]", "string")
	post(`{"summary": "x", "pr_number": 1.5}`, bad, "invalid_pr_number", "pr_number", "whole")
	post(`{"summary": "x", "pr_url": "javascript:alert(1)"}`, bad, "invalid_pr_url", "pr_url", "https")
	post(`{"summary": "x", "actor": {"type": "cat"}}`, bad, "invalid_actor_type", "actor.type", "bot")
	post(`{"summary": "x", "colour": "red"}`, bad, "unknown_field", "colour", "no such field")
	post(`{"summary": "x", "service_id": "svc_none"}`, bad, "invalid_service_id", "service_id", "svc_none")
	post(`{"summary": "x", "metadata": {"k": "`+strings.Repeat("x", 64<<10)+`"}}`, bad, "invalid_metadata", "metadata", "65536")
	post(`{"summary": "x"`, bad, "malformed", "", "not JSON")
	post(`[1]`, bad, "malformed", "", "object")
	post(``, bad, "malformed", "", "required")
	post(`{"summary": "`+strings.Repeat("x", 1<<20)+`"}`, http.StatusRequestEntityTooLarge, "body_too_large", "", "1048576")
	post(`summary=x`, http.StatusUnsupportedMediaType, "unsupported_media_type", "", "application/json", "Content-Type", "application/x-www-form-urlencoded")
	post(`{"summary": "x"}`, http.StatusUnsupportedMediaType, "unsupported_encoding", "", "Content-Encoding", "Content-Encoding", "gzip")
	f("POST", changes+"?wait=11s", `{"summary": "x"}`, bad, "invalid_wait", "wait", "10s")
	f("POST", changes+"?wait=long", `{"summary": "x"}`, bad, "invalid_wait", "wait", "15m")
	f("POST", "/api/v1/services/svc_none/changes", `{"summary": "x"}`, http.StatusNotFound, "service_not_found", "", "no such service")
	f("GET", "/api/v1/services/svc_none/changes", "", http.StatusNotFound, "service_not_found", "", "no such service")
	f("POST", "/api/v1/services", `{"id": "abc", "name": "x"}`, bad, "invalid_id", "id", "svc_")
	f("POST", "/api/v1/services", `{"name": " "}`, bad, "invalid_name", "name", "required")
	f("GET", "/api/v1/stats?by=colour", "", bad, "invalid_by", "by", "source")
	f("GET", "/api/v1/stats?bucket=1s", "", bad, "invalid_bucket", "bucket", "1m")
	f("GET", "/api/v1/stats?bucket=1m&start_date=2020-01-01", "", bad, "invalid_bucket", "bucket", "wider")
	f("GET", "/api/v1/account?bucket=x", "", bad, "invalid_bucket", "bucket", "length of time")
	f("GET", "/api/v1/dead?cursor=x", "", bad, "invalid_cursor", "cursor", "next_cursor")
	f("GET", "/api/v1/deliveries/dlv_1", "", http.StatusNotFound, "delivery_not_found", "", "no such delivery")
	f("GET", "/api/v1/deliveries/"+change.NewDeliveryID(time.Now()).String()+"/payload", "", http.StatusNotFound, "payload_not_found", "", "")
	f("POST", "/api/v1/sources", `{"name": "x", "auth": "github_hmac"}`, bad, "invalid_secrets", "secrets", "needs a secret")
	f("POST", "/api/v1/sources", `{"name": "x", "auth": "github_hmac", "secrets": [""]}`, bad, "invalid_secrets", "secrets", "8 to 1024")
	f("POST", "/api/v1/sources", `{"name": "x", "auth": "magic"}`, bad, "invalid_auth", "auth", "github_hmac")
	f("POST", "/api/v1/sources/src_none/rotate?overlap=31d", ``, bad, "invalid_overlap", "overlap", "30d")
	f("POST", "/api/v1/keys", `{"name": "x", "scopes": []}`, bad, "invalid_scopes", "scopes", ">= 1")
	f("POST", "/api/v1/keys", `{"name": "x", "scopes": ["changes:delete"]}`, bad, "invalid_scopes", "scopes", "changes:read")
	f("GET", "/api/v2/changes", "", http.StatusNotFound, "no_such_path", "", "openapi.json")
	f("PUT", changes, "{}", http.StatusMethodNotAllowed, "method_not_allowed", "", "POST")
	f("OPTIONS", changes, "", http.StatusMethodNotAllowed, "method_not_allowed", "", "GET") // and so no CORS
}

// C24: what is meant to break out of a statement is data, or refused; never an error of ours.
// C25: no function of the database is reached either.
func TestAPI_InjectionIsData(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, text := range []string{
		"' OR 1=1 --", `x" UNION SELECT 1`, "x\\' FORMAT JSON", "x SETTINGS max_memory_usage=0", "{org:String}", "a\tb\nc",
		"\u2019 OR \u02bc1", "url('http://127.0.0.1/')", "x; DROP TABLE changes",
	} {
		for _, name := range []string{"service_id", "source", "environment", "q", "actor", "repository", "tag"} {
			got := s.call("GET", "/api/v1/changes?"+name+"="+url.QueryEscape(text), "")
			if got.Status != http.StatusOK || got.json(t)["meta"].(map[string]any)["total"] != 0.0 {
				t.Errorf("%s=%q: %d %s", name, text, got.Status, got.Body)
			}
		}
	}
}

// Times at the edges of what can be written are times.
func TestAPI_OddTimesAreTimes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.log(s.admin, client.NewChange{Summary: "x"})
	f := func(query string, total float64) {
		t.Helper()
		got := s.call("GET", "/api/v1/changes?"+query, "")
		if got.Status != http.StatusOK || got.json(t)["meta"].(map[string]any)["total"] != total {
			t.Errorf("%s: %d %s; want total %v", query, got.Status, got.Body, total)
		}
	}
	f("start_date=0001-01-01", 1)
	f("start_date=0001-01-02&end_date=9999-12-31", 1)
	f("start_date=1900-01-01", 1)
	f("end_date=1900-01-01", 0)
	f("start_date=2299-01-01", 0)
	f("start_date=9999-12-31T23:59:59.999999999Z", 0)
	f("as_of=9999-01-01", 1)
	f("as_of=0001-01-02", 0)
	for _, path := range []string{"stats?bucket=366d&", "stats?", "deliveries?", "account?bucket=366d&"} {
		if got := s.call("GET", "/api/v1/"+path+"start_date=0001-01-02&end_date=9999-12-31", ""); got.Status >= 500 {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
}

// C34: an error that nobody foresaw goes to the log, and the caller learns nothing from it.
func TestAPI_UnforeseenErrorsSayNothing(t *testing.T) {
	t.Parallel()
	s := start(t, func(d *api.Deps, _ *api.Config) { d.Committer = failing{fmt.Errorf("dial tcp 10.1.2.3:4222: refused")} })
	got := s.call("POST", "/api/v1/changes", `{"summary": "x"}`)
	if got.Status != http.StatusInternalServerError || strings.Contains(got.Body, "10.1.2.3") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// A bus that does not acknowledge is 503 with Retry-After, and never success.
// C17.
func TestAPI_BusyBusIsNeverSuccess(t *testing.T) {
	t.Parallel()
	busy := problem.BusyFor(3*time.Second, "bus_not_acknowledging", "the bus does not answer; try again soon", nil)
	s := start(t, func(d *api.Deps, _ *api.Config) { d.Committer = failing{busy} })
	got := s.call("POST", "/api/v1/changes", `{"summary": "x"}`)
	retry, err := strconv.Atoi(got.Header.Get("Retry-After"))
	if got.Status != http.StatusServiceUnavailable || err != nil || retry < 3 || retry > 7 {
		t.Errorf("%d %s %s", got.Status, got.Header, got.Body)
	}
}

// failing is a committer whose bus is in trouble.
type failing struct{ err error }

func (f failing) Commit(context.Context, *change.Delivery) (bus.Position, error) {
	return bus.Position{}, f.err
}

// S1-7, S1-49, C19, C20: a key is needed, in the one place where keys belong,
// and it must carry the scope.
func TestAPI_NeedsAKeyWithTheScope(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}}, "key-that-may-only-read")
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesWrite}}, "key-that-may-only-write")
	s.key(orgName, registry.Key{Scopes: []string{auth.API}}, "key-of-an-api-user")

	unauthenticated := [][]string{
		{"Authorization", ""},
		{"Authorization", "Bearer"},
		{"Authorization", "Bearer "},
		{"Authorization", "Bearer unknown-key-of-nobody"},
		{"Authorization", "Basic " + adminKey},
		{"Authorization", adminKey},
	}
	for _, header := range unauthenticated {
		for _, path := range []string{"/api/v1/changes", "/api/v1/changes?api_key=" + adminKey, "/api/v1/keys", "/api/v1/changes/stream"} {
			got := s.call("GET", path, "", header...)
			if got.Status != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") != `Bearer realm="whatchanged"` {
				t.Errorf("%s with %q: %d %s", path, header[1], got.Status, got.Header)
			}
			if strings.Contains(got.Body, adminKey) {
				t.Errorf("%s: the answer repeats a key", path)
			}
		}
	}
	f := func(key, method, path, body string, status int, scope string) {
		t.Helper()
		got := s.call(method, path, body, "Authorization", "Bearer "+key)
		if got.Status != status || !strings.Contains(got.Body, scope) {
			t.Errorf("%s: %s %s: %d %s; want %d naming %q", key, method, path, got.Status, got.Body, status, scope)
		}
	}
	const summary = `{"summary": "x"}`
	f("key-that-may-only-read", "GET", "/api/v1/changes", "", 200, "")
	f("key-that-may-only-read", "POST", "/api/v1/changes", summary, 403, "changes:write")
	f("key-that-may-only-write", "POST", "/api/v1/changes", summary, 201, "")
	f("key-that-may-only-write", "GET", "/api/v1/changes", "", 403, "changes:read")
	f("key-of-an-api-user", "GET", "/api/v1/deliveries", "", 200, "")
	f("key-of-an-api-user", "POST", "/api/v1/changes", summary, 201, "")
	f("key-of-an-api-user", "GET", "/api/v1/sources", "", 403, "sources:admin")
	f("key-of-an-api-user", "POST", "/api/v1/services", `{"name": "x"}`, 403, "sources:admin")
	f("key-of-an-api-user", "GET", "/api/v1/keys", "", 403, "keys:admin")
	f(adminKey, "GET", "/api/v1/changes?token=x", "", 400, "unknown_parameter")
}

// A key stops working when it is deleted or its time is over, and its use is noted.
func TestAPI_KeysEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}}, "key-that-will-be-deleted")
	soon := change.At(time.Now().Add(700 * time.Millisecond))
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}, ExpiresAt: soon}, "key-that-will-expire")
	c := s.client("key-that-will-be-deleted")
	if _, err := c.Services(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.admin.DeleteKey(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Services(t.Context()); problemOf(err).Status != http.StatusUnauthorized {
		t.Errorf("deleted key: %v", err)
	}
	eventually(t, func() error {
		if _, err := s.client("key-that-will-expire").Services(t.Context()); problemOf(err).Status != http.StatusUnauthorized {
			return fmt.Errorf("expired key: %w", err)
		}
		return nil
	})
	if got := s.call("GET", "/metrics", "").Body; !strings.Contains(got, `whatchanged_api_key_uses_total{operation="list-services"}`) {
		t.Errorf("uses of keys are not counted:\n%.2000s", got)
	}
}
