package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
	"whatchanged/services/api"
)

// signIn signs in with a key, and returns the cookie as a browser sends it.
func (s *system) signIn(key string) (cookie *http.Cookie) {
	s.t.Helper()
	got := s.call("POST", "/api/v1/session", "", "Authorization", "Bearer "+key)
	cookies := (&http.Response{Header: got.Header}).Cookies()
	if got.Status != http.StatusCreated || len(cookies) != 1 {
		s.t.Fatalf("sign in: %d %v %s", got.Status, got.Header, got.Body)
	}
	return cookies[0]
}

// browse sends a request with a cookie instead of a key.
func (s *system) browse(cookie *http.Cookie, method, path, body string, headers ...string) answer {
	s.t.Helper()
	return s.call(method, path, body, append([]string{"Authorization", "", "Cookie", cookie.Name + "=" + cookie.Value}, headers...)...)
}

// S1-7, Decision 8: people sign in with a key and get a cookie that stands in
// for it, until they sign out.
func TestSession_Story(t *testing.T) {
	t.Parallel()
	s := start(t)
	const secret = "key-of-jane-who-looks"
	k := s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}, Role: auth.PowerUser, UserName: "Jane", UserEmail: "jane@acme.example"}, secret)
	cookie := s.signIn(secret)
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" ||
		!strings.HasPrefix(cookie.Name, "__Host-") || cookie.MaxAge != int(s.cfg.SessionLife.Seconds()) || strings.Contains(cookie.Value, secret) {
		t.Errorf("cookie %s", cookie)
	}
	got := s.browse(cookie, "GET", "/api/v1/session", "")
	data := got.json(t)["data"].(map[string]any)
	if got.Status != 200 || data["id"] != k.ID || data["org"] != orgName || data["role"] != auth.PowerUser || data["email"] != "jane@acme.example" ||
		data["name"] != "Jane" || !strings.HasPrefix(data["session_id"].(string), "ses_") || data["expires_at"] == nil {
		t.Errorf("who am I: %d %s", got.Status, got.Body)
	}
	if got := s.browse(cookie, "GET", "/api/v1/changes", ""); got.Status != 200 {
		t.Errorf("reading: %d %s", got.Status, got.Body)
	}
	if got := s.browse(cookie, "POST", "/api/v1/changes", `{"summary": "x"}`); got.Status != 403 || reasonOf(got) != "missing_scope" {
		t.Errorf("what the key may not: %d %s", got.Status, got.Body)
	}
	other := s.signIn(secret)
	out := s.browse(cookie, "DELETE", "/api/v1/session", "")
	gone := (&http.Response{Header: out.Header}).Cookies()
	if out.Status != 204 || len(gone) != 1 || gone[0].Name != cookie.Name || gone[0].MaxAge >= 0 || gone[0].Value != "" {
		t.Errorf("sign out: %d %v", out.Status, out.Header)
	}
	if got := s.browse(cookie, "GET", "/api/v1/changes", ""); got.Status != 401 || reasonOf(got) != "session_ended" {
		t.Errorf("the cookie that was kept: %d %s", got.Status, got.Body)
	}
	if got := s.browse(other, "GET", "/api/v1/changes", ""); got.Status != 200 {
		t.Errorf("the other browser: %d %s", got.Status, got.Body)
	}

	// With a key the same says who it is of, and there is no session to end.
	me, err := s.client(secret).Session(t.Context())
	if err != nil || me.ID != k.ID || me.SessionID != "" || me.Email != "jane@acme.example" {
		t.Errorf("%+v %v", me, err)
	}
	if got := s.call("DELETE", "/api/v1/session", ""); got.Status != 404 {
		t.Errorf("sign out with a key: %d %s", got.Status, got.Body)
	}
	// Signing in needs the key itself.
	if got := s.browse(other, "POST", "/api/v1/session", ""); got.Status != 401 {
		t.Errorf("sign in with a cookie: %d %s", got.Status, got.Body)
	}
}

// C27: a session is never better than its key is now.
func TestSession_EndsWithItsKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(what string, change func(id string) error, status int, reason string) {
		t.Helper()
		secret := "key-that-changes-" + what
		k := s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}}, secret)
		cookie := s.signIn(secret)
		if err := change(k.ID); err != nil {
			t.Fatal(err)
		}
		got := s.browse(cookie, "GET", "/api/v1/changes", "")
		if got.Status != status || reason != "" && reasonOf(got) != reason {
			t.Errorf("%s: %d %s; want %d %s", what, got.Status, got.Body, status, reason)
		}
	}
	f("nothing", func(string) error { return nil }, 200, "")
	f("deleted", func(id string) error { return s.admin.DeleteKey(t.Context(), id) }, 401, "session_ended")
	f("scopes", func(id string) error {
		_, err := s.admin.UpdateKey(t.Context(), id, client.KeyPatch{Scopes: &[]string{auth.ChangesWrite}})
		return err
	}, 403, "missing_scope")
	rotate := func(overlap time.Duration) func(string) error {
		return func(id string) error {
			_, err := s.admin.RotateKey(t.Context(), id, overlap)
			return err
		}
	}
	f("rotated-overlap", rotate(time.Hour), 200, "")
	f("rotated-leaked", rotate(0), 401, "session_ended")
}

// C26, C27: a cookie is taken only where it belongs, and what it changes must
// be asked for by a page of ours.
func TestSession_CookieIsNoMoreThanACookie(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.CORSOrigins = []string{"https://tools.example.com"} })
	cookie := s.signIn(adminKey)
	f := func(status int, reason, method, path, body string, headers ...string) {
		t.Helper()
		got := s.browse(cookie, method, path, body, headers...)
		if got.Status != status || reason != "" && reasonOf(got) != reason {
			t.Errorf("%s %s %v: %d %s; want %d %s", method, path, headers, got.Status, got.Body, status, reason)
		}
	}
	const change = `{"summary": "x"}`
	const post = "/api/v1/changes"
	f(403, "cross_origin", "POST", post, change, "Sec-Fetch-Site", "cross-site")
	f(403, "cross_origin", "POST", post, change, "Sec-Fetch-Site", "same-site")
	f(403, "cross_origin", "POST", post, change, "Origin", "https://evil.example")
	f(403, "cross_origin", "POST", post, change, "Origin", "null")
	f(403, "cross_origin", "POST", post, change, "Origin", "https://tools.example.com")
	f(403, "cross_origin", "DELETE", "/api/v1/keys/key_x", "", "Sec-Fetch-Site", "cross-site")
	f(403, "cross_origin", "DELETE", "/api/v1/session", "", "Sec-Fetch-Site", "cross-site")
	f(201, "", "POST", post, change, "Sec-Fetch-Site", "same-origin", "Origin", "https://changes.example.com")
	f(201, "", "POST", post, change, "Origin", "https://changes.example.com")
	f(200, "", "GET", post, "", "Sec-Fetch-Site", "none")

	// A key in the header goes before the cookie; a bad one is not made good by it.
	f(401, "unauthenticated", "GET", post, "", "Authorization", "Bearer wrong")
	f(201, "", "POST", post, change, "Authorization", "Bearer "+adminKey, "Sec-Fetch-Site", "cross-site")
	for _, value := range []string{"", adminKey, "wcs_unknown", cookie.Value + "x", cookie.Value + "; " + cookie.Name + "=" + cookie.Value} {
		f(401, "", "GET", post, "", "Cookie", cookie.Name+"="+value)
	}
	f(401, "", "GET", post, "", "Cookie", "whatchanged_session="+cookie.Value) // the name of http
	f(401, "unauthenticated", "GET", post, "", "Authorization", "Bearer "+cookie.Value, "Cookie", "")
	for _, path := range []string{post + "?session=" + cookie.Value, post + "?access_token=" + adminKey} {
		f(401, "", "GET", path, "", "Cookie", "")
	}
}

// Over plain http, as on one's own machine, the cookie can be kept too.
func TestSession_OverHTTPTheCookieIsNotSecure(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.PublicURL = "http://127.0.0.1:8080" })
	cookie := s.signIn(adminKey)
	if cookie.Secure || cookie.Name != "whatchanged_session" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %s", cookie)
	}
	if got := s.browse(cookie, "GET", "/api/v1/changes", ""); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// C21: a session is of one org, as its key is.
func TestSession_IsOfOneOrg(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.org("evil")
	s.key("evil", registry.Key{Scopes: []string{auth.Admin}, Role: auth.SiteAdmin}, "key-of-the-other-org")
	cookie := s.signIn("key-of-the-other-org")
	for _, path := range []string{"/api/v1/keys", "/api/v1/session"} {
		got := s.browse(cookie, "GET", path, "")
		if got.Status != 200 || strings.Contains(got.Body, s.registry.Keys(orgName)[0].ID) || strings.Contains(got.Body, orgName) {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	// Whoever knows another's session can do nothing with its id.
	mine := s.signIn(adminKey)
	if got := s.browse(cookie, "DELETE", "/api/v1/session", ""); got.Status != 204 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := s.browse(mine, "GET", "/api/v1/session", ""); got.Status != 200 {
		t.Errorf("acme's session: %d %s", got.Status, got.Body)
	}
}

// A session is good on every server at once, and ends on every one.
func TestSession_IsKnownToEveryServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	second := s.another()
	cookie := s.signIn(adminKey)
	if got := second.browse(cookie, "GET", "/api/v1/session", ""); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := second.browse(cookie, "DELETE", "/api/v1/session", ""); got.Status != 204 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := s.browse(cookie, "GET", "/api/v1/session", ""); got.Status != 401 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// A live tail that was opened with a cookie ends when the session does.
func TestStream_EndsWithItsSession(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.Heartbeat = 20 * time.Millisecond })
	cookie := s.signIn(adminKey)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/api/v1/changes/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := s.browse(cookie, "DELETE", "/api/v1/session", ""); got.Status != 204 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if words, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(words), "key_ended") {
		t.Errorf("the tail's last words: %s %v", words, err)
	}
}
