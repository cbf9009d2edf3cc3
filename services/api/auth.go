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

const scopeKey = "scope" // in an operation's metadata

// register declares an operation that needs a scope. A handler returns plain
// errors; what they mean to the caller is decided in fail.
func register[I, O any](a *API, op huma.Operation, scope auth.Scope, handle func(context.Context, *I) (*O, error)) {
	registerAny(a, op, []auth.Scope{scope}, handle)
}

// registerAny is register for an operation that any of the scopes will do for.
func registerAny[I, O any](a *API, op huma.Operation, scopes []auth.Scope, handle func(context.Context, *I) (*O, error)) {
	op.Metadata = map[string]any{scopeKey: scopes}
	for _, scope := range scopes {
		op.Security = append(op.Security, map[string][]string{"key": {scope}})
	}
	op.Description = strings.TrimSpace(op.Description + "\n\nNeeds the scope `" + strings.Join(scopes, "` or `") + "`.")
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
	key, err := a.keyOf(r)
	if err != nil {
		a.metrics.refused.WithLabelValues("unauthenticated").Inc()
		problem.Write(w, err)
		return
	}
	p := key.Principal()
	a.metrics.keyUses.WithLabelValues(op.OperationID).Inc()
	a.log.Debug("key used", "org", p.Org, "key_id", p.KeyID, "operation", op.OperationID)
	if !slices.ContainsFunc(scopes, p.Allows) {
		a.metrics.refused.WithLabelValues("forbidden").Inc()
		problem.Write(w, problem.New(problem.Forbidden, "missing_scope",
			"this key lacks the scope "+strings.Join(scopes, " or ")+"; use a key that has it"))
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
	next(huma.WithContext(ctx, auth.WithPrincipal(ctx.Context(), p)))
}

// keyOf finds the key that a request carries in its Authorization header, the
// one place where keys are taken from: a URL ends up in logs.
func (a *API) keyOf(r *http.Request) (*registry.Key, error) {
	header := r.Header.Values("Authorization")
	if len(header) != 1 {
		return nil, unauthenticated("send an API key as a header, Authorization: Bearer wc_live_...")
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, unauthenticated("the Authorization header must be Bearer and the API key")
	}
	key, ok := a.Registry.KeyByToken(strings.TrimSpace(token))
	if err := a.Registry.Fresh(); err != nil {
		return nil, err // the key might be deleted, and we would not know
	}
	if !ok {
		return nil, unauthenticated("the API key is unknown, expired or deleted")
	}
	a.Registry.TouchKey(key.Org, key.ID)
	return key, nil
}

func unauthenticated(message string) error {
	return problem.New(problem.Unauthenticated, "unauthenticated", message)
}
