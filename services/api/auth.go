package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// In an operation's metadata.
const (
	scopeKey = "scope"
	rolesKey = "roles"
	pagesKey = "own_pages"
)

// anyScope stands for the scope of operations that need none: whoever can say
// who they are may call them.
const anyScope auth.Scope = ""

// demand is what an operation asks of its callers beside the scope.
type demand func(*huma.Operation)

// onlyRoles lets only callers with one of these roles through, whatever their
// scopes.
func onlyRoles(roles ...string) demand {
	return func(op *huma.Operation) {
		op.Metadata[rolesKey] = roles
		op.Description += " Only for the roles `" + strings.Join(roles, "` and `") + "`."
	}
}

// onlyOwnPages refuses what a page of another site makes a browser send, also
// when it shows a key.
func onlyOwnPages(op *huma.Operation) { op.Metadata[pagesKey] = true }

// onlyKeys says that a session's cookie will not do.
func onlyKeys(op *huma.Operation) { op.Security = []map[string][]string{{"key": {}}} }

// register declares an operation that needs a scope, unless that is anyScope. A handler returns plain
// errors; what they mean to the caller is decided in fail.
func register[I, O any](a *API, op huma.Operation, scope auth.Scope, handle func(context.Context, *I) (*O, error), demands ...demand) {
	registerAny(a, op, []auth.Scope{scope}, handle, demands...)
}

// registerAny is register for an operation that any of the scopes will do for.
func registerAny[I, O any](a *API, op huma.Operation, scopes []auth.Scope, handle func(context.Context, *I) (*O, error), demands ...demand) {
	op.Metadata = map[string]any{scopeKey: scopes}
	if slices.Contains(scopes, anyScope) {
		op.Security = []map[string][]string{{"key": {}}, {"session": {}}}
	} else {
		for _, scope := range scopes {
			op.Security = append(op.Security, map[string][]string{"key": {scope}}, map[string][]string{"session": {scope}})
		}
		op.Description = strings.TrimSpace(op.Description + "\n\nNeeds the scope `" + strings.Join(scopes, "` or `") + "`.")
	}
	for _, d := range demands {
		d(&op)
	}
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = 64 << 10
	}
	op.BodyReadTimeout = a.cfg.BodyTimeout
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.fail(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

// authenticate lets a request through whose key carries the operation's scope,
// and puts who is calling into the context. The org comes from the key alone.
func (a *API) authenticate(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	scopes, _ := op.Metadata[scopeKey].([]auth.Scope)
	r, w := humago.Unwrap(ctx)
	p, err := a.enter(w, r)
	if err != nil {
		problem.Write(w, err)
		return
	}
	a.metrics.keyUses.WithLabelValues(op.OperationID).Inc()
	a.log.Debug("key used", "org", p.Org, "key_id", p.KeyID, "operation", op.OperationID)
	if !slices.Contains(scopes, anyScope) && !slices.ContainsFunc(scopes, p.Allows) {
		a.metrics.refused.WithLabelValues("forbidden").Inc()
		problem.Write(w, missingScope(scopes...))
		return
	}
	if roles, limited := op.Metadata[rolesKey].([]string); limited && !p.HasRole(roles...) {
		a.metrics.refused.WithLabelValues("forbidden").Inc()
		problem.Write(w, problem.New(problem.Forbidden, "missing_role",
			"this is only for the roles "+strings.Join(roles, " and ")+", and the key's role is "+p.Role))
		return
	}
	if op.Metadata[pagesKey] != nil && a.crossOrigin.Check(r) != nil {
		a.metrics.refused.WithLabelValues("forbidden").Inc()
		problem.Write(w, crossOrigin("a page of another origin cannot sign anybody in here"))
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // what cannot be read would be left out, and the answer be another
		problem.Write(w, problem.New(problem.Malformed, "malformed_query", "the query string cannot be read; percent-encode names and values"))
		return
	}
	for name, values := range query {
		if len(values) > 1 {
			problem.Write(w, problem.Invalid(clip(name), "the parameter is given more than once; give it once"))
			return
		}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		problem.Write(w, problem.New(problem.Unsupported, "unsupported_encoding", "send the body as it is, without Content-Encoding"))
		return
	}
	if r.ContentLength > op.MaxBodyBytes { // before any of it was asked for with 100-continue
		w.Header().Set("Connection", "close")
		problem.Write(w, tooLarge(op))
		return
	}
	within := auth.WithPrincipal(ctx.Context(), p)
	if fromHere(r) {
		within = context.WithValue(within, hereKey{}, true)
	}
	next(huma.WithContext(ctx, within))
}

// hereKey marks the context of a call from this machine.
type hereKey struct{}

// operator reports whether the caller runs the installation and is on its machine.
func operator(ctx context.Context) bool {
	here, _ := ctx.Value(hereKey{}).(bool)
	return here && runsInstallation(ctx)
}

// enter returns who is calling, if they may call now.
func (a *API) enter(w http.ResponseWriter, r *http.Request) (auth.Principal, error) {
	p, err := a.caller(r)
	switch kind := problem.KindOf(err); {
	case err == nil:
		if err = a.limits.key(w.Header(), p); err != nil {
			a.metrics.refused.WithLabelValues("rate_limited").Inc()
			break
		}
		if strings.HasPrefix(p.KeyID, registry.KeyPrefix) {
			a.Registry.TouchKey(p.Org, p.KeyID)
			err = a.used(r, p)
		}
	case kind == problem.Unauthenticated:
		a.metrics.refused.WithLabelValues("unauthenticated").Inc()
		if tooMany := a.limits.stranger(r); tooMany != nil {
			err = tooMany
		}
	case kind == problem.Forbidden:
		a.metrics.refused.WithLabelValues("forbidden").Inc()
	}
	return p, err
}

// caller finds who is calling, by the key in the Authorization header or else
// by the cookie of a session. A URL is no place for either: it ends up in logs.
func (a *API) caller(r *http.Request) (auth.Principal, error) {
	p, err := a.shown(r)
	if stale := a.Registry.Fresh(); stale != nil {
		return auth.Principal{}, stale // what was shown might have ended, and we would not know
	}
	return p, err
}

func (a *API) shown(r *http.Request) (auth.Principal, error) {
	header := r.Header.Values("Authorization")
	switch len(header) {
	case 0:
		return a.callerByCookie(r)
	case 1:
	default:
		return auth.Principal{}, unauthenticated("send one Authorization header, with one API key")
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return auth.Principal{}, unauthenticated("the Authorization header must be Bearer and the API key")
	}
	return a.Registry.CallerByKey(strings.TrimSpace(token))
}

func unauthenticated(message string) error {
	return problem.New(problem.Unauthenticated, "unauthenticated", message)
}

func missingScope(scopes ...auth.Scope) error {
	return problem.New(problem.Forbidden, "missing_scope", "this key lacks the scope "+strings.Join(scopes, " or ")+"; use a key that has it")
}
