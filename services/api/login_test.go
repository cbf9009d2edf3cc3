package api_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/signin"
	"whatchanged/services/api"
)

const (
	clientID     = "whatchanged"
	clientSecret = "MARKER-secret-of-the-client"
	callbackURL  = "https://changes.example.com/auth/callback"
)

// idp is an OpenID Connect provider with a key of its own, where everybody who
// comes is signed in at once as who the test says.
type idp struct {
	*httptest.Server
	t   *testing.T
	key *rsa.PrivateKey

	mu     sync.Mutex
	claims map[string]any        // of the tokens that it makes, over the usual ones
	signer *rsa.PrivateKey       // key, unless the test is of another
	codes  map[string]url.Values // what was asked, by the code that was given for it
	asked  int                   // requests to the token endpoint
	down   bool
}

func startIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{t: t, key: key, signer: key, codes: map[string]url.Values{}}
	published := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "one", Algorithm: "RS256"}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		if p.isDown() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.Handle("/", published)
	p.Server = httptest.NewServer(mux)
	published.SetIssuer(p.URL)
	t.Cleanup(p.Close)
	return p
}

func (p *idp) isDown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

// authorize sends the browser back with a code.
func (p *idp) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != clientID || q.Get("redirect_uri") != callbackURL || q.Get("response_type") != "code" ||
		q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" || !strings.HasPrefix(q.Get("scope"), "openid ") {
		p.t.Errorf("the provider was asked for %v", q)
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q
	p.mu.Unlock()
	http.Redirect(w, r, callbackURL+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

// token exchanges a code, once, for whoever has what the challenge was made of.
func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	id, secret, _ := r.BasicAuth()
	asked, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if p.down || !ok || id != clientID || secret != clientSecret || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"error": "invalid_grant", "error_description": "MARKER"}`))
		return
	}
	claims := map[string]any{
		"iss": p.URL, "aud": clientID, "sub": "113774264463038321964", "nonce": asked.Get("nonce"), "name": "Jane Doe",
		"email": "Jane@acme.example", "email_verified": true, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, p.claims)
	text, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"access_token": "MARKER-access", "token_type": "Bearer", "expires_in": 3600,
		"id_token": oidctest.SignIDToken(p.signer, "one", "RS256", string(text)),
	})
}

// provide makes the API sign people in with the provider.
func (p *idp) provide(edit ...func(*signin.Config)) func(*api.Deps, *api.Config) {
	return func(deps *api.Deps, _ *api.Config) {
		p.t.Helper()
		cfg := signin.DefaultConfig()
		cfg.Issuer, cfg.ClientID, cfg.ClientSecret = p.URL, clientID, clientSecret
		cfg.Org, cfg.Domains = orgName, []string{"acme.example"}
		for _, f := range edit {
			f(&cfg)
		}
		var err error
		if deps.SignIn, err = signin.New(cfg, callbackURL); err != nil {
			p.t.Fatal(err)
		}
	}
}

// trip is one way of a browser to the provider and back.
type trip struct {
	s      *system
	cookie *http.Cookie // that the browser keeps meanwhile
	query  url.Values   // with which it comes back
}

// toProvider starts to sign in, and returns at our door again.
func (s *system) toProvider(loginQuery string) trip {
	s.t.Helper()
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	got := s.call("GET", "/auth/login"+loginQuery, "", "Authorization", "")
	cookies := (&http.Response{Header: got.Header}).Cookies()
	if got.Status != http.StatusFound || len(cookies) != 1 {
		s.t.Fatalf("login: %d %v %s", got.Status, got.Header, got.Body)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", got.Header.Get("Location"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	back, err := url.Parse(s.send(r).Header.Get("Location"))
	if err != nil || back.Path != "/auth/callback" {
		s.t.Fatalf("the provider sends to %v %v", back, err)
	}
	return trip{s, cookies[0], back.Query()}
}

// back is the browser's return.
func (t trip) back() answer {
	t.s.t.Helper()
	return t.s.call("GET", "/auth/callback?"+t.query.Encode(), "", "Authorization", "", "Cookie", t.cookie.Name+"="+t.cookie.Value)
}

// sessionOf returns the session's cookie out of an answer; nil without one.
func sessionOf(got answer) *http.Cookie {
	for _, c := range (&http.Response{Header: got.Header}).Cookies() {
		if strings.HasSuffix(c.Name, "_session") {
			return c
		}
	}
	return nil
}

// S1-7, Decision 8: people sign in with an account of their company, and may
// what their role may.
func TestLogin_Story(t *testing.T) {
	t.Parallel()
	p := startIDP(t)
	s := start(t, p.provide(func(c *signin.Config) { c.Roles = []string{"sre=power_user"} }))
	p.claims = map[string]any{"groups": []string{"dev", "sre"}}
	away := s.toProvider("?return_to=/changes%3Fq%3Da%26b%3D%22")
	if c := away.cookie; !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") || c.MaxAge != 600 {
		t.Errorf("the cookie for the way: %s", c)
	}
	got := away.back()
	cookie := sessionOf(got)
	if got.Status != 200 || cookie == nil || cookie.SameSite != http.SameSiteStrictMode || !cookie.HttpOnly || !cookie.Secure {
		t.Fatalf("callback: %d %v %s", got.Status, got.Header, got.Body)
	}
	if want := `content="0;url=/changes?q=a&amp;b=&#34;"`; !strings.Contains(got.Body, want) || got.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("the page sends on by %s; want %s", got.Body, want)
	}
	me := s.browse(cookie, "GET", "/api/v1/session", "")
	data := me.json(t)["data"].(map[string]any)
	if me.Status != 200 || data["org"] != orgName || data["role"] != auth.PowerUser || data["email"] != "Jane@acme.example" || data["name"] != "Jane Doe" ||
		!strings.HasPrefix(data["id"].(string), "usr_") || strings.Contains(me.Body, "113774264463038321964") {
		t.Errorf("who am I: %d %s", me.Status, me.Body)
	}
	if got := s.browse(cookie, "POST", "/api/v1/services", `{"name": "x"}`); got.Status != 201 {
		t.Errorf("what a power user may: %d %s", got.Status, got.Body)
	}
	if got := s.browse(cookie, "GET", "/api/v1/keys", ""); got.Status != 403 {
		t.Errorf("what a power user may not: %d %s", got.Status, got.Body)
	}

	// The same account is the same person; a lower role holds everywhere at once.
	p.mu.Lock()
	p.claims = nil
	p.mu.Unlock()
	again := s.toProvider("").back()
	if sessionOf(again) == nil || !strings.Contains(again.Body, "url=/api/v1/session") {
		t.Fatalf("%d %s", again.Status, again.Body)
	}
	if got := s.browse(sessionOf(again), "GET", "/api/v1/session", "").json(t)["data"].(map[string]any); got["id"] != data["id"] || got["role"] != auth.Member {
		t.Errorf("again: %v", got)
	}
	if got := s.browse(cookie, "POST", "/api/v1/services", `{"name": "y"}`); got.Status != 403 {
		t.Errorf("the session from before: %d %s", got.Status, got.Body)
	}
	if got := s.browse(cookie, "DELETE", "/api/v1/session", ""); got.Status != 204 {
		t.Errorf("sign out: %d %s", got.Status, got.Body)
	}
	if got := s.browse(cookie, "GET", "/api/v1/session", ""); got.Status != 401 {
		t.Errorf("after signing out: %d %s", got.Status, got.Body)
	}
}

// C28: what the provider did not say, about this sign-in and to us, lets
// nobody in.
func TestLogin_TokensThatAreNotGood(t *testing.T) {
	t.Parallel()
	p := startIDP(t)
	var log bytes.Buffer
	s := start(t, p.provide(), func(d *api.Deps, _ *api.Config) { d.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, claims map[string]any, signer *rsa.PrivateKey, status int, reason string) {
		t.Helper()
		p.mu.Lock()
		p.claims, p.signer = claims, signer
		p.mu.Unlock()
		got := s.toProvider("").back()
		if got.Status != status || reasonOf(got) != reason || sessionOf(got) != nil || strings.Contains(got.Body, "MARKER") {
			t.Errorf("%s: %d %s; want %d %s", what, got.Status, got.Body, status, reason)
		}
	}
	f("wrong nonce", map[string]any{"nonce": "another"}, p.key, 401, "wrong_nonce")
	f("no nonce", map[string]any{"nonce": ""}, p.key, 401, "wrong_nonce")
	f("wrong audience", map[string]any{"aud": "another"}, p.key, 401, "bad_token")
	f("audience of two, made for another", map[string]any{"aud": []string{clientID, "another"}, "azp": "another"}, p.key, 401, "bad_token")
	f("wrong issuer", map[string]any{"iss": "https://evil.example"}, p.key, 401, "bad_token")
	f("expired", map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}, p.key, 401, "bad_token")
	f("signed by another", nil, stranger, 401, "bad_token")
	f("mail not verified", map[string]any{"email_verified": false}, p.key, 403, "mail_not_verified")
	f("mail not said to be verified", map[string]any{"email_verified": nil}, p.key, 403, "mail_not_verified")
	f("another domain", map[string]any{"email": "eve@evil.example"}, p.key, 403, "not_allowed")
	f("a domain that ends alike", map[string]any{"email": "eve@evilacme.example"}, p.key, 403, "not_allowed")
	f("a domain below", map[string]any{"email": "eve@x.acme.example"}, p.key, 403, "not_allowed")
	f("two domains", map[string]any{"email": "eve@evil.example@acme.example"}, p.key, 403, "not_allowed")
	f("no mail", map[string]any{"email": ""}, p.key, 403, "not_allowed")
	f("a claim of another type", map[string]any{"email": 7}, p.key, 401, "bad_token")
	for _, secret := range []string{"MARKER", "Jane@acme.example", "eve@", "113774264463038321964"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %s:\n%s", secret, log.String())
		}
	}
	if got := s.call("GET", "/metrics", "").Body; !strings.Contains(got, `whatchanged_api_sign_ins_total{method="account",outcome="refused"} 15`) {
		t.Errorf("refused sign-ins are not counted:\n%s", got)
	}
}

// C27: a sign-in is finished once, in the browser that started it.
func TestLogin_BelongsToItsBrowser(t *testing.T) {
	t.Parallel()
	p := startIDP(t)
	s := start(t, p.provide())
	f := func(what string, status int, reason string, edit func(*trip)) {
		t.Helper()
		away := s.toProvider("")
		edit(&away)
		got := away.back()
		if got.Status != status || reasonOf(got) != reason || sessionOf(got) != nil {
			t.Errorf("%s: %d %s; want %d %s", what, got.Status, got.Body, status, reason)
		}
	}
	other := s.toProvider("")
	f("another browser", 401, "wrong_state", func(t *trip) { t.cookie = other.cookie })
	f("no cookie", 401, "wrong_state", func(t *trip) { t.cookie = &http.Cookie{Name: t.cookie.Name} })
	f("a cookie that was changed", 401, "wrong_state", func(t *trip) { t.cookie.Value = "A" + t.cookie.Value[1:len(t.cookie.Value)-4] + "AAAA" })
	f("a cookie of something else", 401, "wrong_state", func(t *trip) {
		t.cookie.Value = base64.RawURLEncoding.EncodeToString(s.deps.Sealer.Seal(orgName, "{}"))
	})
	f("another state", 401, "wrong_state", func(t *trip) { t.query.Set("state", "x") })
	f("no state", 401, "wrong_state", func(t *trip) { t.query.Del("state") })
	f("two states", 401, "wrong_state", func(t *trip) { t.query.Add("state", "x") })
	f("no code", 403, "provider_refused", func(t *trip) { t.query.Del("code") })
	f("refused by the provider", 403, "provider_refused", func(t *trip) { t.query.Set("error", "access_denied") })
	f("a code that nobody gave", 401, "bad_code", func(t *trip) { t.query.Set("code", "x") })
	// The code of another sign-in does not fit what this browser keeps (PKCE).
	f("another's code", 401, "bad_code", func(t *trip) { t.query.Set("code", other.query.Get("code")) })

	away := s.toProvider("")
	if got := away.back(); sessionOf(got) == nil {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	asked := p.asked
	if got := away.back(); got.Status != 401 || reasonOf(got) != "sign_in_used" || sessionOf(got) != nil {
		t.Errorf("replayed: %d %s", got.Status, got.Body)
	}
	if p.asked != asked {
		t.Error("the provider was asked about a replay")
	}
}

// One may come back to paths here, and to nothing else.
func TestLogin_ReturnsHereOnly(t *testing.T) {
	t.Parallel()
	p := startIDP(t)
	s := start(t, p.provide())
	for _, to := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "\\/evil.example", "javascript:alert(1)", "evil", "/a\tb", "/a\nb", "/" + strings.Repeat("x", 600)} {
		got := s.call("GET", "/auth/login?return_to="+url.QueryEscape(to), "", "Authorization", "")
		if got.Status != 400 || got.json(t)["field"] != "return_to" {
			t.Errorf("%q: %d %s", to, got.Status, got.Body)
		}
	}
}

// Guesses at the way back are slowed down like those of keys.
func TestLogin_StrangersAreSlowedDown(t *testing.T) {
	t.Parallel()
	p := startIDP(t)
	s := start(t, p.provide(), func(_ *api.Deps, cfg *api.Config) { cfg.FailureRate = 1 })
	var statuses []int
	for range 10 {
		statuses = append(statuses, s.call("GET", "/auth/callback?state=x&code=y", "", "Authorization", "").Status)
	}
	if !slices.Contains(statuses, 429) || statuses[0] != 401 {
		t.Errorf("%v", statuses)
	}
}

// The provider is not asked about every guess at a code.
func TestLogin_TheProviderIsNotAskedForStrangers(t *testing.T) {
	t.Parallel()
	p := startIDP(t)
	s := start(t, p.provide(), func(_ *api.Deps, cfg *api.Config) { cfg.FailureRate = 1 })
	away := make([]trip, 10)
	for i := range away {
		away[i] = s.toProvider("")
		away[i].query.Set("code", "junk")
	}
	for {
		if got := s.call("GET", "/auth/callback?state=x&code=y", "", "Authorization", ""); got.Status == 429 {
			break
		}
	}
	refused := 0
	for _, a := range away {
		if got := a.back(); got.Status == 429 {
			refused++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked > 2*(len(away)-refused) || refused == 0 { // a code is tried in two ways
		t.Errorf("%d of %d were refused, and the provider was asked %d times", refused, len(away), p.asked)
	}
}

// A provider that is down is not our failure, and is asked again.
func TestLogin_ProviderIsAway(t *testing.T) {
	t.Parallel()
	p := startIDP(t)
	p.down = true
	s := start(t, p.provide())
	got := s.call("GET", "/auth/login", "", "Authorization", "")
	if got.Status != 503 || got.Header.Get("Retry-After") == "" || reasonOf(got) != "provider_unreachable" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	p.mu.Lock()
	p.down = false
	p.mu.Unlock()
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	eventually(t, func() error {
		return differ(http.StatusFound, s.call("GET", "/auth/login", "", "Authorization", "").Status)
	})
}

// Without a provider there is nothing at the paths for it.
func TestLogin_OffUnlessConfigured(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{"/auth/login", "/auth/callback?state=x&code=y"} {
		if got := s.call("GET", path, "", "Authorization", ""); got.Status != 404 {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
}

// A person who signed in with an account can log a change, and is found by it.
func TestLogin_ChangesAreTheirs(t *testing.T) {
	t.Parallel()
	p := startIDP(t)
	s := start(t, p.provide())
	cookie := sessionOf(s.toProvider("").back())
	got := s.browse(cookie, "POST", "/api/v1/changes?wait=10s", `{"summary": "by hand"}`)
	if got.Status != 201 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	id := s.browse(cookie, "GET", "/api/v1/session", "").json(t)["data"].(map[string]any)["id"].(string)
	eventually(t, func() error {
		page, err := s.admin.Deliveries(t.Context(), client.DeliveryFilter{SourceID: id})
		if err != nil {
			return err
		}
		return differ(1, len(page.Data))
	})
}
