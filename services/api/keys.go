package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

type createKeyInput struct{ Body client.NewKey }

type updateKeyInput struct {
	ID   string `path:"id" doc:"Its id" maxLength:"64"`
	Body client.KeyPatch
}

type rotateKeyInput struct {
	ID      string    `path:"id" doc:"Its id" maxLength:"64"`
	Overlap spanParam `query:"overlap" doc:"How long the old key is good for; default 24h, at most 30d, 0s if it leaked"`
}

func (a *API) registerKeys() {
	tags := []string{"keys"}
	register(a, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/api/v1/keys", Tags: tags,
		Summary: "List API keys", Description: "Oldest first, without the keys themselves.",
	}, auth.KeysAdmin, a.listKeys)
	register(a, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/api/v1/keys", Tags: tags,
		Summary:       "Create an API key",
		Description:   "The answer is the only place that shows it. A key can give no scope and no role that it lacks itself.",
		DefaultStatus: http.StatusCreated,
	}, auth.KeysAdmin, a.createKey)
	register(a, huma.Operation{
		OperationID: "get-key", Method: http.MethodGet, Path: "/api/v1/keys/{id}", Tags: tags,
		Summary: "Get one API key", Description: "Without the key itself.",
	}, auth.KeysAdmin, a.getKey)
	register(a, huma.Operation{
		OperationID: "update-key", Method: http.MethodPatch, Path: "/api/v1/keys/{id}", Tags: tags,
		Summary: "Change an API key",
		Description: "Changes what the body names; scopes are replaced, and what is given or taken holds from the next request on. " +
			"A key can change none that is mightier than itself, and give nothing that it lacks. The last key with the scope `admin` keeps it.",
	}, auth.KeysAdmin, a.updateKey)
	register(a, huma.Operation{
		OperationID: "rotate-key", Method: http.MethodPost, Path: "/api/v1/keys/{id}/rotate", Tags: tags,
		Summary: "Give an API key a new form", Description: "The answer is the only place that shows it. A key can rotate none that is mightier than itself.",
	}, auth.KeysAdmin, a.rotateKey)
	register(a, huma.Operation{
		OperationID: "delete-key", Method: http.MethodDelete, Path: "/api/v1/keys/{id}", Tags: tags,
		Summary: "Delete an API key", Description: "It stops working at once. A key can delete none that is mightier than itself, and the last key with the scope `admin` stays.",
	}, auth.KeysAdmin, a.deleteKey)
}

// listKeys serves GET /api/v1/keys.
func (a *API) listKeys(ctx context.Context, in *pageInput) (*many[client.Key], error) {
	return cut(a.Registry.Keys(auth.Org(ctx)), in.Paging, keyForm), nil
}

// createKey serves POST /api/v1/keys.
func (a *API) createKey(ctx context.Context, in *createKeyInput) (*one[client.KeySecret], error) {
	p, _ := auth.PrincipalFrom(ctx)
	b := in.Body
	if err := mayGrant(p, b.Scopes, b.Role); err != nil {
		return nil, err
	}
	k := registry.Key{
		Org: p.Org, Name: b.Name, Scopes: b.Scopes, Role: b.Role, UserName: b.UserName, UserEmail: b.UserEmail,
	}
	if b.ExpiresAt != nil {
		k.ExpiresAt = *b.ExpiresAt
	}
	var err error
	secret := b.Secret
	if secret != "" {
		k, err = a.Registry.ImportKey(ctx, k, secret)
	} else {
		k, secret, err = a.Registry.CreateKey(ctx, k)
	}
	if err != nil {
		return nil, err
	}
	return answer(client.KeySecret{Key: keyForm(&k), Secret: secret}), nil
}

// mayGrant keeps a key from making one that is mightier than itself.
func mayGrant(p auth.Principal, scopes []auth.Scope, role string) error {
	for _, scope := range scopes {
		if slices.Contains(auth.Scopes(), scope) && !p.Allows(scope) {
			return problem.New(problem.Forbidden, "missing_scope", "this key lacks the scope "+scope+", so it cannot give it")
		}
	}
	if outranks(role, p) {
		return problem.New(problem.Forbidden, "missing_role", "this key's role is "+p.Role+", so it cannot give "+role)
	}
	return nil
}

// mayManage keeps a key from changing one that is mightier than itself: by a
// new form of it, it would become that key.
func mayManage(p auth.Principal, k *registry.Key) error {
	lacks := slices.ContainsFunc(k.Scopes, func(s auth.Scope) bool { return !p.Allows(s) })
	if lacks || outranks(k.Role, p) {
		return problem.New(problem.Forbidden, "mightier_key", "that key has scopes or a role that this one lacks; use a key with the scope admin")
	}
	return nil
}

// outranks reports whether role is above that of p, who is not all-mighty.
func outranks(role string, p auth.Principal) bool {
	ranks := auth.Roles() // mightiest first
	rank := slices.Index(ranks, role)
	return rank >= 0 && rank < slices.Index(ranks, p.Role) && !p.Allows(auth.Admin)
}

// getKey serves GET /api/v1/keys/{id}.
func (a *API) getKey(ctx context.Context, in *idInput) (*one[client.Key], error) {
	k, ok := a.Registry.Key(auth.Org(ctx), in.ID)
	if !ok {
		return nil, notFound("key")
	}
	return answer(keyForm(k)), nil
}

// updateKey serves PATCH /api/v1/keys/{id}.
func (a *API) updateKey(ctx context.Context, in *updateKeyInput) (*one[client.Key], error) {
	p, _ := auth.PrincipalFrom(ctx)
	if _, ok := a.Registry.Key(p.Org, in.ID); !ok {
		return nil, notFound("key")
	}
	k, err := a.Registry.UpdateKey(ctx, p.Org, in.ID, func(k *registry.Key) error {
		if err := mayManage(p, k); err != nil {
			return err
		}
		admin := slices.Contains(k.Scopes, auth.Admin)
		if err := patchKey(k, &in.Body); err != nil {
			return err
		}
		if admin && (!slices.Contains(k.Scopes, auth.Admin) || !k.ExpiresAt.IsZero()) && a.lastAdmin(k) {
			return lastAdminKey()
		}
		return mayGrant(p, k.Scopes, k.Role)
	})
	if err != nil {
		return nil, err
	}
	return answer(keyForm(&k)), nil
}

// patchKey changes what the patch names.
func patchKey(k *registry.Key, in *client.KeyPatch) error {
	set(&k.Name, in.Name)
	set(&k.Scopes, in.Scopes)
	set(&k.Role, in.Role)
	set(&k.UserName, in.UserName)
	set(&k.UserEmail, in.UserEmail)
	set(&k.ExpiresAt, in.ExpiresAt)
	if in.NeverExpires {
		if in.ExpiresAt != nil {
			return problem.Invalid("never_expires", "give either expires_at or never_expires")
		}
		k.ExpiresAt = change.Time{}
	}
	return nil
}

// rotateKey serves POST /api/v1/keys/{id}/rotate.
func (a *API) rotateKey(ctx context.Context, in *rotateKeyInput) (*one[client.KeySecret], error) {
	p, _ := auth.PrincipalFrom(ctx)
	overlap := defaultOverlap
	if in.Overlap.set {
		overlap = in.Overlap.d
	}
	if overlap > maxOverlap {
		return nil, problem.Invalid("overlap", "overlap is at most 30d")
	}
	if _, ok := a.Registry.Key(p.Org, in.ID); !ok {
		return nil, notFound("key")
	}
	k, secret, err := a.Registry.RotateKey(audit.As(ctx, audit.OpRotate), p.Org, in.ID, overlap, func(k *registry.Key) error { return mayManage(p, k) })
	if err != nil {
		return nil, err
	}
	return answer(client.KeySecret{Key: keyForm(&k), Secret: secret}), nil
}

// deleteKey serves DELETE /api/v1/keys/{id}.
func (a *API) deleteKey(ctx context.Context, in *idInput) (*struct{}, error) {
	p, _ := auth.PrincipalFrom(ctx)
	k, ok := a.Registry.Key(p.Org, in.ID)
	if !ok {
		return nil, notFound("key")
	}
	if err := mayManage(p, k); err != nil {
		return nil, err
	}
	if slices.Contains(k.Scopes, auth.Admin) && a.lastAdmin(k) {
		return nil, lastAdminKey()
	}
	return nil, a.Registry.DeleteKey(ctx, p.Org, in.ID)
}

// lastAdmin reports whether no other key of the org can do everything now.
func (a *API) lastAdmin(k *registry.Key) bool {
	now := time.Now()
	return !slices.ContainsFunc(a.Registry.Keys(k.Org), func(other *registry.Key) bool {
		return other.ID != k.ID && slices.Contains(other.Scopes, auth.Admin) && !over(other, now)
	})
}

func lastAdminKey() error {
	return problem.New(problem.Conflict, "last_admin_key", "this is the last key with the scope admin; make another first")
}

// over reports whether a key's time is over.
func over(k *registry.Key, now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt.Time)
}

func keyForm(k *registry.Key) client.Key {
	return client.Key{
		ID: k.ID, Name: k.Name, Scopes: k.Scopes, Role: k.Role, UserName: k.UserName, UserEmail: k.UserEmail,
		ExpiresAt: k.ExpiresAt, CreatedAt: k.CreatedAt, LastUsed: k.LastUsed, RotatedAt: k.RotatedAt, OldKeyUntil: k.OldUntil,
	}
}
