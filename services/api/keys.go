package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

type createKeyInput struct{ Body client.NewKey }

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
		OperationID: "delete-key", Method: http.MethodDelete, Path: "/api/v1/keys/{id}", Tags: tags,
		Summary: "Delete an API key", Description: "It stops working at once. The last key with the scope `admin` stays.",
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
	if err := mayGrant(p, b); err != nil {
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
func mayGrant(p auth.Principal, b client.NewKey) error {
	for _, scope := range b.Scopes {
		if slices.Contains(auth.Scopes(), scope) && !p.Allows(scope) {
			return problem.New(problem.Forbidden, "missing_scope", "this key lacks the scope "+scope+", so it cannot give it")
		}
	}
	ranks := auth.Roles() // mightiest first
	if given := slices.Index(ranks, b.Role); given >= 0 && given < slices.Index(ranks, p.Role) && !p.Allows(auth.Admin) {
		return problem.New(problem.Forbidden, "missing_role", "this key's role is "+p.Role+", so it cannot give "+b.Role)
	}
	return nil
}

// deleteKey serves DELETE /api/v1/keys/{id}.
func (a *API) deleteKey(ctx context.Context, in *idInput) (*struct{}, error) {
	p, _ := auth.PrincipalFrom(ctx)
	if _, ok := a.Registry.Key(p.Org, in.ID); !ok {
		return nil, notFound("key")
	}
	now := time.Now()
	admins := slices.DeleteFunc(slices.Clone(a.Registry.Keys(p.Org)), func(k *registry.Key) bool {
		return !slices.Contains(k.Scopes, auth.Admin) || over(k, now)
	})
	if len(admins) == 1 && admins[0].ID == in.ID {
		return nil, problem.New(problem.Conflict, "last_admin_key", "this is the last key with the scope admin; make another first")
	}
	return nil, a.Registry.DeleteKey(ctx, p.Org, in.ID)
}

// over reports whether a key's time is over.
func over(k *registry.Key, now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt.Time)
}

func keyForm(k *registry.Key) client.Key {
	return client.Key{
		ID: k.ID, Name: k.Name, Scopes: k.Scopes, Role: k.Role, UserName: k.UserName, UserEmail: k.UserEmail,
		ExpiresAt: k.ExpiresAt, CreatedAt: k.CreatedAt, LastUsed: k.LastUsed,
	}
}
