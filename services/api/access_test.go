package api_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/registry"
	"whatchanged/services/api"
)

// S0-9, S1-7: every operation but those for operators answers 401 without a
// key and 403 to a key without its scope, before it looks at anything else.
func TestAccess_EveryOperationNeedsItsScope(t *testing.T) {
	t.Parallel()
	s := start(t)
	doc := s.call("GET", "/openapi.json", "").json(t)
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			required, _ := op.(map[string]any)["security"].([]any)
			if len(required) == 0 {
				continue // it is for everybody
			}
			var needed []string // one of these scopes
			for _, r := range required {
				scopes, _ := r.(map[string]any)["key"].([]any) // none where it says what a session may do
				for _, scope := range scopes {
					needed = append(needed, scope.(string))
				}
			}
			method = strings.ToUpper(method)
			at := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")
			got := s.call(method, at, "", "Authorization", "")
			if got.Status != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") == "" || got.json(t)["reason"] != "unauthenticated" {
				t.Errorf("%s %s without a key: %d %s", method, path, got.Status, got.Body)
			}
			if len(needed) == 0 {
				continue // every key will do
			}
			// A key with every scope but those that allow it.
			var others []string
			for _, scope := range auth.Scopes() {
				if !slices.ContainsFunc(needed, (auth.Principal{Scopes: []string{scope}}).Allows) {
					others = append(others, scope)
				}
			}
			secret := "key-without-" + strings.ReplaceAll(strings.Join(needed, "-"), ":", "-")
			if _, err := s.registry.KeyByToken(secret); err != nil {
				s.key(orgName, registry.Key{Scopes: others, Role: auth.SiteAdmin}, secret)
			}
			got = s.call(method, at, "", "Authorization", "Bearer "+secret)
			if got.Status != http.StatusForbidden || !strings.Contains(got.Body, needed[0]) {
				t.Errorf("%s %s without %s: %d %s", method, path, needed, got.Status, got.Body)
			}
		}
	}
}

// S2-21, S2-28: what is for site admins and power users is closed to others,
// whatever their key's scopes.
func TestAccess_RolesAreAskedForBesideScopes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.api.RegisterForRoles("/api/v1/for-roles", auth.SiteAdmin, auth.PowerUser)
	f := func(role string, scope auth.Scope, status int, reason string) {
		t.Helper()
		secret := "key-of-" + role + "-with-" + scope
		s.key(orgName, registry.Key{Scopes: []string{scope}, Role: role}, secret)
		got := s.call("GET", "/api/v1/for-roles", "", "Authorization", "Bearer "+secret)
		if got.Status != status || reason != "" && got.json(t)["reason"] != reason {
			t.Errorf("%s with %s: %d %s, want %d %s", role, scope, got.Status, got.Body, status, reason)
		}
	}
	f(auth.SiteAdmin, auth.AuditRead, 204, "")
	f(auth.PowerUser, auth.AuditRead, 204, "")
	f(auth.PowerUser, auth.API, 204, "")
	f(auth.Member, auth.AuditRead, 403, "missing_role")
	f(auth.Member, auth.Admin, 403, "missing_role")
	f(auth.SiteAdmin, auth.ChangesRead, 403, "missing_scope")
}

// S1-7, S1-25: a key's rights, names and end are changed, and hold from the
// next request on.
func TestKeys_APatchChangesWhatItNames(t *testing.T) {
	t.Parallel()
	s := start(t)
	const secret = "ak_live_xxxxx_of_a_robot"
	made, err := s.admin.CreateKey(t.Context(), client.NewKey{Name: "robot", Scopes: []string{auth.ChangesRead}, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	robot := s.client(secret)
	log := func() error {
		_, err := robot.LogChange(t.Context(), client.NewChange{Summary: "x"}, client.WriteOptions{})
		return err
	}
	if err := log(); problemOf(err).Reason != "missing_scope" {
		t.Errorf("before: %v", err)
	}
	name, role, user, mail := "deploys", auth.PowerUser, "Jane", "jane@acme.example"
	scopes := []string{auth.ChangesRead, auth.ChangesWrite}
	end := change.At(time.Now().Add(time.Hour))
	patched, err := s.admin.UpdateKey(t.Context(), made.ID, client.KeyPatch{
		Name: &name, Scopes: &scopes, Role: &role, UserName: &user, UserEmail: &mail, ExpiresAt: &end,
	})
	want := made.Key
	want.Name, want.Scopes, want.Role, want.UserName, want.UserEmail, want.ExpiresAt = name, scopes, role, user, mail, end
	if diff := cmp.Diff(want, patched); diff != "" || err != nil {
		t.Errorf("patched %v (-want +got):\n%s", err, diff)
	}
	if err := log(); err != nil {
		t.Errorf("after: %v", err)
	}
	kept, err := s.admin.Key(t.Context(), made.ID)
	kept.LastUsed = change.Time{}
	if diff := cmp.Diff(want, kept); diff != "" || err != nil {
		t.Errorf("kept %v (-want +got):\n%s", err, diff)
	}
	endless, err := s.admin.UpdateKey(t.Context(), made.ID, client.KeyPatch{NeverExpires: true})
	if err != nil || !endless.ExpiresAt.IsZero() || endless.Name != name {
		t.Errorf("never_expires: %+v %v", endless, err)
	}
	f := func(body string, status int, field string) {
		t.Helper()
		got := s.call("PATCH", "/api/v1/keys/"+made.ID, body)
		if got.Status != status || field != "" && got.json(t)["field"] != field {
			t.Errorf("%s: %d %s; want %d naming %q", body, got.Status, got.Body, status, field)
		}
	}
	f(`{"scopes": []}`, 400, "scopes")
	f(`{"scopes": ["all"]}`, 400, "scopes")
	f(`{"role": "king"}`, 400, "role")
	f(`{"name": ""}`, 400, "name")
	f(`{"user_name": "a\nb"}`, 400, "user_name")
	f(`{"user_email": "`+strings.Repeat("x", 201)+`"}`, 400, "user_email")
	f(`{"expires_at": "2001-01-01T00:00:00Z"}`, 400, "expires_at")
	f(`{"expires_at": "soon"}`, 400, "expires_at")
	f(`{"expires_at": "2099-01-01T00:00:00Z", "never_expires": true}`, 400, "never_expires")
	f(`{"hash": "00"}`, 400, "hash")
	f(`{"org": "evil"}`, 400, "org")
	f(``, 400, "")
}

// S1-7: a key that administers keys gets no further than its own rights: not by
// giving them to another, nor by taking over a key that has more.
func TestKeys_NobodyRaisesAboveTheirOwnRights(t *testing.T) {
	t.Parallel()
	s := start(t)
	clerk := s.key(orgName, registry.Key{Scopes: []string{auth.KeysAdmin, auth.ChangesRead}, Role: auth.PowerUser}, "key-of-a-clerk-of-keys")
	low := s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}, Role: auth.Member}, "key-of-somebody-else")
	boss := s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}, Role: auth.SiteAdmin}, "key-of-the-boss-who-reads")
	admin, err := s.registry.KeyByToken(adminKey)
	if err != nil {
		t.Fatal(err)
	}
	f := func(method, path, body string, status int, reason string) {
		t.Helper()
		got := s.call(method, "/api/v1/keys/"+path, body, "Authorization", "Bearer key-of-a-clerk-of-keys")
		if got.Status != status || reason != "" && got.json(t)["reason"] != reason {
			t.Errorf("%s %s %s: %d %s; want %d %s", method, path, body, got.Status, got.Body, status, reason)
		}
	}
	for _, id := range []string{clerk.ID, low.ID} {
		f("PATCH", id, `{"scopes": ["admin"]}`, 403, "missing_scope")
		f("PATCH", id, `{"scopes": ["changes:read", "changes:write"]}`, 403, "missing_scope")
		f("PATCH", id, `{"role": "site_admin"}`, 403, "missing_role")
	}
	for _, id := range []string{admin.ID, boss.ID} {
		f("PATCH", id, `{"name": "mine"}`, 403, "mightier_key")
		f("PATCH", id, `{"scopes": ["changes:read"]}`, 403, "mightier_key")
		f("POST", id+"/rotate", "", 403, "mightier_key")
		f("DELETE", id, "", 403, "mightier_key")
	}
	f("PATCH", low.ID, `{"role": "power_user"}`, 200, "")
	f("POST", low.ID+"/rotate", "", 200, "")
	f("DELETE", low.ID, "", 204, "")

	// The org keeps a key that can do everything, today and later.
	g := func(body string) {
		t.Helper()
		if got := s.call("PATCH", "/api/v1/keys/"+admin.ID, body); got.Status != 409 || got.json(t)["reason"] != "last_admin_key" {
			t.Errorf("the last admin, %s: %d %s", body, got.Status, got.Body)
		}
	}
	g(`{"scopes": ["api"]}`)
	g(`{"expires_at": "2099-01-01T00:00:00Z"}`)
	s.key(orgName, registry.Key{Scopes: []string{auth.Admin}}, "key-of-another-admin")
	if got := s.call("PATCH", "/api/v1/keys/"+admin.ID, `{"scopes": ["api"]}`); got.Status != 200 {
		t.Errorf("one of two: %d %s", got.Status, got.Body)
	}
}

// S1-7: a key is rotated without a moment in which none works, and whoever
// shows what has ended is told what became of it.
func TestKeys_RotateWithAnOverlap(t *testing.T) {
	t.Parallel()
	s := start(t)
	const first = "ak_live_xxxxx_the_first_form"
	made := s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}}, first)
	f := func(key, reason string) {
		t.Helper()
		_, err := s.client(key).Changes(t.Context(), client.ChangeFilter{})
		if p := problemOf(err); reason == "" && err != nil || reason != "" && (p.Status != 401 || p.Reason != reason) {
			t.Errorf("%v, want %q", err, reason)
		}
	}
	second, err := s.admin.RotateKey(t.Context(), made.ID, time.Hour)
	if err != nil || second.ID != made.ID || second.Secret == first || !strings.HasPrefix(second.Secret, auth.KeyPrefix) {
		t.Fatalf("%+v %v", second, err)
	}
	if left := time.Until(second.OldKeyUntil.Time); left < 59*time.Minute || left > time.Hour || second.RotatedAt.IsZero() {
		t.Errorf("old_key_until %s, rotated_at %s", second.OldKeyUntil, second.RotatedAt)
	}
	f(first, "")
	f(second.Secret, "")
	if _, err := s.admin.CreateKey(t.Context(), client.NewKey{Name: "x", Scopes: []string{auth.ChangesRead}, Secret: first}); problemOf(err).Reason != "key_taken" {
		t.Errorf("the old form given to another key: %v", err)
	}
	third, err := s.admin.RotateKey(t.Context(), made.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	f(first, "unauthenticated")
	f(second.Secret, "key_rotated")
	f(third.Secret, "")
	for _, path := range []string{"/api/v1/keys", "/api/v1/keys/" + made.ID} {
		for _, hidden := range []string{first, second.Secret, third.Secret} {
			if got := s.call("GET", path, ""); strings.Contains(got.Body, hidden) {
				t.Errorf("GET %s shows a key: %s", path, got.Body)
			}
		}
	}
	for _, bad := range []string{"overlap=31d", "overlap=-1h", "overlap=soon"} {
		if got := s.call("POST", "/api/v1/keys/"+made.ID+"/rotate?"+bad, ""); got.Status != 400 || got.json(t)["field"] != "overlap" {
			t.Errorf("%s: %d %s", bad, got.Status, got.Body)
		}
	}
	if by, err := s.admin.RotateKey(t.Context(), made.ID, 24*time.Hour); err != nil || by.OldKeyUntil.Before(time.Now().Add(23*time.Hour)) {
		t.Errorf("%+v %v", by.Key, err)
	}
}

// S1-7: an expired key is told that it has expired.
func TestKeys_ExpiredOnesAreToldSo(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}, ExpiresAt: change.At(time.Now().Add(50 * time.Millisecond))}, "key-of-short-duration")
	eventually(t, func() error {
		got := s.call("GET", "/api/v1/changes", "", "Authorization", "Bearer key-of-short-duration")
		return differ([]any{401, "key_expired"}, []any{got.Status, reasonOf(got)})
	})
}

func reasonOf(a answer) string {
	_, rest, _ := strings.Cut(a.Body, `"reason":"`)
	reason, _, _ := strings.Cut(rest, `"`)
	return reason
}

// C15: each key has its own rate, every answer tells how it stands, and over it
// the answer is 429 with the time to wait.
func TestLimits_EachKeyHasItsRate(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.KeyRate, cfg.KeyBurst = 1, 3 })
	const busy, quiet = "key-of-a-busy-robot", "key-of-a-quiet-robot"
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}}, busy)
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}}, quiet)
	ask := func(key string) answer { return s.call("GET", "/api/v1/services", "", "Authorization", "Bearer "+key) }
	first := ask(busy)
	want := []string{`"key";q=3;w=3`, `"key";r=2;t=1`}
	if diff := cmp.Diff(want, []string{first.Header.Get("RateLimit-Policy"), first.Header.Get("RateLimit")}); diff != "" || first.Status != 200 {
		t.Errorf("the first, %d (-want +got):\n%s", first.Status, diff)
	}
	var over answer
	for range 20 {
		if over = ask(busy); over.Status != 200 {
			break
		}
	}
	retry, _ := strconv.Atoi(over.Header.Get("Retry-After"))
	if over.Status != 429 || retry != 1 || over.Header.Get("Content-Type") != "application/problem+json" ||
		over.json(t)["reason"] != "rate_limited" || !strings.HasPrefix(over.Header.Get("RateLimit"), `"key";r=0;`) {
		t.Errorf("over the rate: %d %v %s", over.Status, over.Header, over.Body)
	}
	if got := ask(quiet); got.Status != 200 {
		t.Errorf("another key: %d %s", got.Status, got.Body)
	}
	// A key without the scope uses up its rate too, and is told so.
	if got := s.call("POST", "/api/v1/services", `{"name": "x"}`, "Authorization", "Bearer "+quiet); got.Status != 403 || got.Header.Get("RateLimit") == "" {
		t.Errorf("a refused one: %d %v", got.Status, got.Header)
	}
}

// C5: who cannot be authenticated is slowed down by address, and nobody behind
// the same address is kept out.
func TestLimits_StrangersAreSlowedDown(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.FailureRate = 1 })
	guess := func() answer { return s.call("GET", "/api/v1/changes", "", "Authorization", "Bearer wc_live_guess") }
	var over answer
	for range 20 {
		if over = guess(); over.Status != 401 {
			break
		}
	}
	if over.Status != 429 || over.Header.Get("Retry-After") == "" || reasonOf(over) != "too_many_failures" {
		t.Errorf("many guesses: %d %v %s", over.Status, over.Header, over.Body)
	}
	if got := s.call("GET", "/api/v1/changes", "", "X-Forwarded-For", "192.0.2.1"); got.Status != 200 {
		t.Errorf("a good key from the same address: %d %s", got.Status, got.Body)
	}
	if got := s.call("GET", "/api/v1/changes", "", "Authorization", "", "X-Forwarded-For", "192.0.2.1"); got.Status != 429 {
		t.Errorf("who says to be elsewhere: %d %s", got.Status, got.Body)
	}
}

// C18: behind a proxy that is trusted, strangers are told apart by what it says.
func TestLimits_ATrustedProxyTellsStrangersApart(t *testing.T) {
	t.Parallel()
	proxies, err := httpserver.ParseNetworks([]string{"127.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, func(d *api.Deps, cfg *api.Config) { d.Proxies, cfg.FailureRate = proxies, 1 })
	guess := func(from string) int {
		return s.call("GET", "/api/v1/changes", "", "Authorization", "", "X-Forwarded-For", from).Status
	}
	over := 0
	for range 20 {
		if guess("192.0.2.1") == 429 {
			over++
		}
	}
	if over == 0 || guess("192.0.2.2") != 401 {
		t.Errorf("%d guesses of one were over the rate; another got %d", over, guess("192.0.2.2"))
	}
}

func TestLimits_ZeroIsNone(t *testing.T) {
	t.Parallel()
	s := start(t)
	for range 300 {
		if got := s.call("GET", "/api/v1/session", "", "Authorization", ""); got.Status != 401 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	for range 300 {
		if got := s.call("GET", "/api/v1/session", ""); got.Status != 200 || got.Header.Get("RateLimit") != "" {
			t.Fatalf("%d %v", got.Status, got.Header)
		}
	}
}

// C26: pages of configured origins may call with a key, and no others; no page
// may call with a cookie.
func TestCORS_OnlyConfiguredOrigins(t *testing.T) {
	t.Parallel()
	const friend, stranger = "https://tools.example.com", "https://tools.example.com.evil.example"
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.CORSOrigins = []string{friend} })
	preflight := func(origin, path string) answer {
		return s.call("OPTIONS", path, "", "Authorization", "", "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, content-type")
	}
	got := preflight(friend, "/api/v1/changes")
	if got.Status != 204 || got.Body != "" || got.Header.Get("Access-Control-Allow-Origin") != friend || got.Header.Get("Vary") != "Origin" ||
		!strings.Contains(got.Header.Get("Access-Control-Allow-Methods"), "POST") || !strings.Contains(got.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", got.Status, got.Header)
	}
	got = s.call("GET", "/api/v1/changes", "", "Origin", friend)
	if got.Status != 200 || got.Header.Get("Access-Control-Allow-Origin") != friend || !strings.Contains(got.Header.Get("Access-Control-Expose-Headers"), "RateLimit") {
		t.Errorf("a call: %d %v", got.Status, got.Header)
	}
	if got := s.call("GET", "/api/v1/changes", "", "Origin", friend, "Authorization", ""); got.Status != 401 || got.Header.Get("Access-Control-Allow-Origin") != friend {
		t.Errorf("a refusal must be readable: %d %v", got.Status, got.Header)
	}
	refused := []answer{
		preflight(stranger, "/api/v1/changes"), preflight("null", "/api/v1/changes"), preflight(friend, "/metrics"), preflight(friend, "/readyz"),
		s.call("GET", "/api/v1/changes", "", "Origin", stranger),
		s.call("GET", "/api/v1/changes", "", "Origin", strings.ToUpper(friend)),
	}
	off := start(t)
	refused = append(refused,
		off.call("OPTIONS", "/api/v1/changes", "", "Origin", friend, "Access-Control-Request-Method", "POST"),
		off.call("GET", "/api/v1/changes", "", "Origin", friend))
	for i, got := range refused {
		for name := range got.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("refused %d: %s: %s", i, name, got.Header.Get(name))
			}
		}
	}
	for _, got := range append(refused, preflight(friend, "/api/v1/changes")) {
		if got.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error("credentials are allowed")
		}
	}
	if got := s.call("GET", "/api/v1/changes", ""); !slices.Contains(got.Header.Values("Vary"), "Origin") {
		t.Error("an answer without an origin could be cached for those with one")
	}
}

func TestConfig_NamesWhatIsWrong(t *testing.T) {
	f := func(edit func(*api.Config), want string) {
		t.Helper()
		cfg := api.DefaultConfig()
		edit(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want something about %s", err, want)
		}
	}
	for _, origin := range []string{"*", "https://*.example.com", "https://a.example/", "tools.example.com", "https://A.example", "ftp://a.example", "null", "https://u@a.example"} {
		f(func(c *api.Config) { c.CORSOrigins = []string{"https://ok.example:8443", origin} }, strconv.Quote(origin))
	}
	f(func(c *api.Config) { c.KeyRate = -1 }, "key_rate")
	f(func(c *api.Config) { c.KeyBurst = 0 }, "key_burst")
	f(func(c *api.Config) { c.FailureRate = -1 }, "failure_rate")
	f(func(c *api.Config) { c.SessionLife = 0 }, "session_life")
	f(func(c *api.Config) { c.SessionLife = 365 * 24 * time.Hour }, "session_life")
}
