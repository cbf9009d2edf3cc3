package api

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/limit"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/signin"
)

// CallbackPath is where the provider of accounts sends people back to.
const CallbackPath = "/auth/callback"

const (
	// loginTime is how long somebody may take at the provider.
	loginTime = 10 * time.Minute
	// rememberedLogins is how many are remembered at least, so that none is
	// finished twice.
	rememberedLogins = 16_384
	// loginOwner is whom what a browser keeps meanwhile is sealed for.
	loginOwner = "sign-in"
	maxReturn  = 512
)

// login is what a browser keeps, sealed, while its user is at the provider.
type login struct {
	signin.Attempt
	ReturnTo string
	Until    time.Time
}

// logins remembers which were finished.
type logins struct {
	mu       sync.Mutex
	finished limit.Generations[string, struct{}]
}

// finish reports whether this is the first time.
func (l *logins) finish(state string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, again := l.finished.Get(state)
	l.finished.Put(state, struct{}{})
	return !again
}

func (a *API) registerLogin() {
	if a.SignIn == nil {
		return
	}
	a.mux.HandleFunc("GET /auth/login", a.login)
	a.mux.HandleFunc("GET "+CallbackPath, a.callback)
}

// login serves GET /auth/login: it sends the browser to the provider.
func (a *API) login(w http.ResponseWriter, r *http.Request) {
	to, err := returnTo(r.URL.Query().Get("return_to"))
	if err != nil {
		problem.Write(w, err)
		return
	}
	provider, attempt, err := a.SignIn.Begin(r.Context())
	if err != nil {
		a.refuseLogin(w, r, err)
		return
	}
	kept, err := json.Marshal(login{Attempt: attempt, ReturnTo: to, Until: time.Now().Add(loginTime)})
	if err != nil {
		problem.Write(w, fmt.Errorf("encode sign-in: %w", err))
		return
	}
	sealed := a.Sealer.Seal(loginOwner, auth.Secret(kept))
	http.SetCookie(w, a.loginCookie(base64.RawURLEncoding.EncodeToString(sealed), int(loginTime.Seconds())))
	http.Redirect(w, r, provider, http.StatusFound)
}

// loginCookie returns the cookie for the time at the provider. The way back
// starts at another site, where a browser sends no cookie that is Strict.
func (a *API) loginCookie(value string, age int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure where we are reached by https; see secure
		Name: a.cookieName("login"), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: a.secure(), SameSite: http.SameSiteLaxMode,
	}
}

// returnTo checks where a browser wants to go once it is signed in: to a path
// of ours, and nowhere else.
func returnTo(to string) (string, error) {
	if to == "" {
		return "/api/v1/session", nil
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || len(to) > maxReturn ||
		!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\t\r\n") {
		return "", problem.Invalid("return_to", "return_to is a path here, as /changes")
	}
	return u.String(), nil
}

// callback serves GET /auth/callback: the browser is back from the provider.
func (a *API) callback(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, a.loginCookie("", -1))
	person, to, err := a.finishLogin(r)
	if err != nil {
		a.refuseLogin(w, r, err)
		return
	}
	_, token, err := a.Registry.SignIn(r.Context(), registry.Person{
		ID: person.ID, Org: person.Org, Name: person.Name, Email: person.Email, Role: person.Role,
	}, auth.Digest{}, a.cfg.SessionLife)
	if err != nil {
		a.refuseLogin(w, r, err)
		return
	}
	p, err := a.Registry.CallerBySession(token)
	if err == nil {
		err = a.signedIn(r.Context(), p, byAccount)
	}
	if err != nil {
		a.refuseLogin(w, r, err)
		return
	}
	cookie := a.cookie(token)
	http.SetCookie(w, &cookie)
	// A page of ours and no redirect: on a way that began at the provider's site,
	// a browser would not send the cookie along.
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	at := html.EscapeString(to)
	fmt.Fprintf(w, "<!doctype html><title>Signed in</title><meta http-equiv=\"refresh\" content=\"0;url=%s\"><a href=\"%s\">Continue</a>\n", at, at)
}

// finishLogin returns who came back, and where they wanted to go.
func (a *API) finishLogin(r *http.Request) (signin.Person, string, error) {
	kept, err := a.keptLogin(r)
	if err != nil {
		return signin.Person{}, "", err
	}
	q := r.URL.Query()
	if len(q["state"]) != 1 || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(kept.State)) != 1 {
		return signin.Person{}, "", startedElsewhere()
	}
	if !a.logins.finish(kept.State) {
		return signin.Person{}, "", problem.New(problem.Unauthenticated, "sign_in_used", "this sign-in was finished before; start again at /auth/login")
	}
	if q.Has("error") || len(q["code"]) != 1 {
		return signin.Person{}, "", problem.New(problem.Forbidden, "provider_refused", "the provider of accounts did not sign you in; start again at /auth/login")
	}
	if err := a.limits.noisy(r); err != nil { // the provider is asked before we know who it is
		return signin.Person{}, "", err
	}
	person, err := a.SignIn.Finish(r.Context(), kept.Attempt, q.Get("code"))
	return person, kept.ReturnTo, err
}

// keptLogin reads what the browser kept while it was at the provider.
func (a *API) keptLogin(r *http.Request) (login, error) {
	cookies := r.CookiesNamed(a.cookieName("login"))
	if len(cookies) != 1 {
		return login{}, startedElsewhere()
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookies[0].Value)
	if err != nil {
		return login{}, startedElsewhere()
	}
	text, err := a.Sealer.Open(loginOwner, sealed)
	if err != nil {
		return login{}, startedElsewhere()
	}
	var kept login
	if err := json.Unmarshal([]byte(text.Reveal()), &kept); err != nil {
		return login{}, startedElsewhere()
	}
	if time.Now().After(kept.Until) {
		return login{}, problem.New(problem.Unauthenticated, "sign_in_expired", "that took too long; start again at /auth/login")
	}
	return kept, nil
}

func startedElsewhere() error {
	return problem.New(problem.Unauthenticated, "wrong_state", "this sign-in was not started in this browser; start at /auth/login")
}

// refuseLogin answers a sign-in that came to nothing. Those of an address that
// does nothing else are not logged one by one.
func (a *API) refuseLogin(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.From(err)
	a.metrics.signIns.WithLabelValues(byAccount, "refused").Inc()
	tooMany := a.limits.stranger(r)
	if tooMany == nil && r.Context().Err() == nil {
		a.log.Warn("sign-in refused", "reason", p.Reason, "request_id", httpserver.RequestID(r.Context()), "error", p.Err)
	}
	if tooMany != nil && p.Kind == problem.Unauthenticated {
		err = tooMany
	}
	problem.Write(w, err)
}
