package api

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// The ways to sign in.
const (
	byKey     = "key"
	byAccount = "account"
)

type sessionOutput struct {
	Cookie http.Cookie `header:"Set-Cookie"`
	Body   object[client.Session]
}

type noSessionOutput struct {
	Cookie http.Cookie `header:"Set-Cookie"`
}

func (a *API) registerSession() {
	tags := []string{"session"}
	register(a, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/api/v1/session", Tags: tags,
		Summary: "Sign in with an API key",
		Description: "The answer sets a cookie that stands in for the key from then on, in browsers: no script can read it. " +
			"The session may what the key may at any moment, and ends with it.",
		DefaultStatus: http.StatusCreated,
	}, anyScope, a.signIn, onlyOwnPages, onlyKeys)
	register(a, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: "/api/v1/session", Tags: tags,
		Summary: "Say who is calling", Description: "With a cookie or with a key.",
	}, anyScope, a.getSession)
	register(a, huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: "/api/v1/session", Tags: tags,
		Summary: "Sign out", Description: "Ends the session: its cookie is of no use to anybody any more.",
	}, anyScope, a.signOut)
	register(a, huma.Operation{
		OperationID: "list-sessions", Method: http.MethodGet, Path: "/api/v1/sessions", Tags: tags,
		Summary: "List who is signed in where",
	}, auth.KeysAdmin, a.listSessions)
	register(a, huma.Operation{
		OperationID: "end-session", Method: http.MethodDelete, Path: "/api/v1/sessions/{id}", Tags: tags,
		Summary: "Sign somebody out of one session", Description: "For whoever left, or lost a laptop. It does not keep them from signing in again.",
	}, auth.KeysAdmin, a.endSession)
}

// signIn serves POST /api/v1/session.
func (a *API) signIn(ctx context.Context, _ *struct{}) (*sessionOutput, error) {
	p, _ := auth.PrincipalFrom(ctx)
	if p.SessionID != "" {
		return nil, unauthenticated("sign in with an API key, as Authorization: Bearer wc_live_...")
	}
	session, token, err := a.Registry.SignIn(ctx, registry.Person{ID: p.KeyID, Org: p.Org}, p.Shown, a.cfg.SessionLife)
	if err != nil {
		return nil, err
	}
	p.SessionID = session.ID
	if err := a.signedIn(ctx, p, byKey); err != nil {
		return nil, err // nobody gets what the browser would keep
	}
	return &sessionOutput{Cookie: a.cookie(token), Body: object[client.Session]{a.sessionForm(p)}}, nil
}

// signedIn records that somebody signed in, however they did it. Before it has
// returned, nobody is told that they are in.
func (a *API) signedIn(ctx context.Context, p auth.Principal, method string) error {
	err := a.Audit.Record(auth.WithPrincipal(ctx, p), audit.Change{
		Org: p.Org, Operation: audit.OpLogin, Detail: "with " + method, Object: userObject(p),
	})
	if err != nil {
		return err
	}
	a.metrics.signIns.WithLabelValues(method, "signed_in").Inc()
	a.log.Info("signed in", "org", p.Org, "id", p.KeyID, "session_id", p.SessionID, "role", p.Role, "method", method)
	return nil
}

// userObject is who acts, as an object of the audit trail.
func userObject(p auth.Principal) audit.Object {
	return audit.Object{Kind: "user", ID: audit.UserOf(p).ID, Name: cmp.Or(p.Mail, p.Name, p.KeyID)}
}

// getSession serves GET /api/v1/session.
func (a *API) getSession(ctx context.Context, _ *struct{}) (*one[client.Session], error) {
	p, _ := auth.PrincipalFrom(ctx)
	return answer(a.sessionForm(p)), nil
}

// signOut serves DELETE /api/v1/session.
func (a *API) signOut(ctx context.Context, _ *struct{}) (*noSessionOutput, error) {
	p, _ := auth.PrincipalFrom(ctx)
	if p.SessionID == "" {
		return nil, problem.New(problem.NotFound, "session_not_found", "this call shows a key and no session's cookie; a key is ended by deleting it")
	}
	if err := a.Audit.Record(ctx, audit.Change{Org: p.Org, Operation: audit.OpLogout, Object: userObject(p)}); err != nil {
		return nil, err
	}
	if err := a.Registry.SignOut(ctx, p.Org, p.KeyID, p.SessionID); err != nil {
		return nil, err
	}
	a.log.Info("signed out", "org", p.Org, "id", p.KeyID, "session_id", p.SessionID)
	gone := a.cookie("")
	gone.MaxAge = -1
	return &noSessionOutput{Cookie: gone}, nil
}

// listSessions serves GET /api/v1/sessions.
func (a *API) listSessions(ctx context.Context, in *pageInput) (*many[client.OpenSession], error) {
	var all []client.OpenSession
	now := time.Now()
	for _, p := range a.Registry.People(auth.Org(ctx)) {
		row := client.OpenSession{ID: p.ID, Name: p.Name, Email: p.Email, Role: p.Role}
		if k, ok := a.Registry.Key(p.Org, p.ID); ok {
			row.Name, row.Email, row.Role = k.UserName, k.UserEmail, k.Role
		}
		for _, s := range p.Sessions {
			if now.Before(s.ExpiresAt.Time) {
				row.SessionID, row.CreatedAt, row.ExpiresAt = s.ID, s.CreatedAt, s.ExpiresAt
				all = append(all, row)
			}
		}
	}
	slices.SortFunc(all, func(a, b client.OpenSession) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt.Time), cmp.Compare(a.SessionID, b.SessionID))
	})
	return cut(all, in.Paging, same), nil
}

// endSession serves DELETE /api/v1/sessions/{id}.
func (a *API) endSession(ctx context.Context, in *idInput) (*struct{}, error) {
	for _, p := range a.Registry.People(auth.Org(ctx)) {
		if !slices.ContainsFunc(p.Sessions, func(s registry.Session) bool { return s.ID == in.ID }) {
			continue
		}
		who := auth.Principal{Org: p.Org, KeyID: p.ID, Name: p.Name, Mail: p.Email}
		if k, ok := a.Registry.Key(p.Org, p.ID); ok {
			who = k.Principal()
		}
		if err := a.Audit.Record(ctx, audit.Change{Org: p.Org, Operation: audit.OpLogout, Object: userObject(who)}); err != nil {
			return nil, err
		}
		return nil, a.Registry.SignOut(ctx, p.Org, p.ID, in.ID)
	}
	return nil, notFound("session")
}

func (a *API) sessionForm(p auth.Principal) client.Session {
	out := client.Session{
		Org: p.Org, ID: p.KeyID, Name: p.Name, Email: p.Mail, Role: p.Role, Scopes: p.Scopes, SessionID: p.SessionID,
	}
	if s, ok := a.Registry.Session(p.Org, p.KeyID, p.SessionID); ok {
		out.ExpiresAt = s.ExpiresAt
	} else if k, ok := a.Registry.Key(p.Org, p.KeyID); ok {
		out.ExpiresAt = k.ExpiresAt
	}
	return out
}

// cookie returns the cookie with what a browser keeps of a session: out of the
// reach of scripts, and sent by our own pages only.
func (a *API) cookie(token string) http.Cookie {
	return http.Cookie{
		Name: a.cookieName("session"), Value: token, Path: "/", MaxAge: int(a.cfg.SessionLife.Seconds()),
		HttpOnly: true, Secure: a.secure(), SameSite: http.SameSiteStrictMode,
	}
}

// cookieName returns the name of a cookie of ours. With __Host-, a browser
// takes it from this very host alone, and over https.
func (a *API) cookieName(what string) string {
	if a.secure() {
		return "__Host-whatchanged_" + what
	}
	return "whatchanged_" + what
}

// secure reports whether browsers reach us over https.
func (a *API) secure() bool { return strings.HasPrefix(a.cfg.PublicURL, "https://") }

// callerByCookie returns who is signed in with the request's cookie. A browser
// sends it with whatever makes it send a request, so what changes something
// must come from a page of ours.
func (a *API) callerByCookie(r *http.Request) (auth.Principal, error) {
	cookies := r.CookiesNamed(a.cookieName("session"))
	if len(cookies) != 1 {
		return auth.Principal{}, unauthenticated("send an API key as a header, Authorization: Bearer wc_live_..., or sign in")
	}
	p, err := a.Registry.CallerBySession(cookies[0].Value)
	if err != nil {
		return auth.Principal{}, err
	}
	if err := a.crossOrigin.Check(r); err != nil {
		return auth.Principal{}, crossOrigin("a page of another origin cannot do this with a session's cookie; use a key")
	}
	return p, nil
}

func crossOrigin(message string) error {
	return problem.New(problem.Forbidden, "cross_origin", message)
}

// newCrossOrigin returns the check of where a browser's request comes from. A
// proxy in front may give us another Host than the one that browsers see.
func newCrossOrigin(publicURL string) (*http.CrossOriginProtection, error) {
	check := http.NewCrossOriginProtection()
	u, err := url.Parse(publicURL)
	if err != nil {
		return nil, err
	}
	return check, check.AddTrustedOrigin(u.Scheme + "://" + u.Host)
}
