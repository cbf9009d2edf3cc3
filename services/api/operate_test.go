package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/registry"
	"whatchanged/services/api"
)

func TestOperate_HealthNeedsNoKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.call("GET", "/healthz", "", "Authorization", "")
	if got.Status != http.StatusOK || got.json(t)["status"] != "ok" {
		t.Errorf("/healthz: %d %s", got.Status, got.Body)
	}
	want := map[string]any{"status": "ready", "checks": map[string]any{"bus": "ok", "registry": "ok", "store": "ok"}}
	ready := s.call("GET", "/readyz", "", "Authorization", "")
	if diff := cmp.Diff(want, ready.json(t)); diff != "" || ready.Status != http.StatusOK {
		t.Errorf("/readyz: %d (-want +got):\n%s", ready.Status, diff)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	notReady := s.call("GET", "/readyz", "", "Authorization", "")
	if notReady.Status != http.StatusServiceUnavailable || notReady.json(t)["reasons"].(map[string]any)["store"] != "store_unreachable" {
		t.Errorf("/readyz without a store: %d %s", notReady.Status, notReady.Body)
	}
}

// C31: metrics are for this machine, and for admin keys of who runs the installation.
func TestOperate_MetricsAreForOperators(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.org(registry.DefaultOrg)
	s.key(registry.DefaultOrg, registry.Key{Scopes: []string{auth.API}}, "key-of-an-api-user")
	s.key(registry.DefaultOrg, registry.Key{Scopes: []string{auth.Admin}}, operatorKey)
	f := func(from string, headers http.Header, want int) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr = from
		r.Header = headers
		w := httptest.NewRecorder()
		s.api.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %s with %v: %d %.200s; want %d", from, headers, w.Code, w.Body, want)
		}
		if want == http.StatusOK && !strings.Contains(w.Body.String(), "whatchanged_api_tails") {
			t.Errorf("no metrics: %.500s", w.Body)
		}
	}
	bearer := func(key string) http.Header { return http.Header{"Authorization": {"Bearer " + key}} }
	f("127.0.0.1:5000", http.Header{}, 200)
	f("[::1]:5000", http.Header{}, 200)
	f("10.0.0.1:5000", http.Header{}, 401)
	f("127.0.0.1:5000", http.Header{"X-Forwarded-For": {"127.0.0.1"}}, 401) // a proxy on this machine
	f("10.0.0.1:5000", bearer("key-of-an-api-user"), 403)
	f("10.0.0.1:5000", bearer(adminKey), 403) // an admin, of another org
	f("10.0.0.1:5000", bearer(operatorKey), 200)
}

func TestAPI_EveryAnswerHasSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{"/api/v1/changes", "/api/v1/none", "/healthz", "/openapi.json", "/api/v1/changes?limit=0"} {
		h := s.call("GET", path, "").Header
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %s", path, h)
		}
	}
	if got := s.call("HEAD", "/api/v1/changes/stream", ""); got.Status != http.StatusOK || got.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD of the stream: %d %s", got.Status, got.Header)
	}
	if got := s.call("DELETE", "/api/v1/stats", ""); got.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %q", got.Header.Get("Allow"))
	}
}

func TestNew_SaysWhatIsMissing(t *testing.T) {
	_, err := api.New(api.Deps{}, api.Config{})
	for _, want := range []string{"dependency", "public_url", "tails", "heartbeat"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}
