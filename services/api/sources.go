package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

const (
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 30 * 24 * time.Hour
)

type createSourceInput struct{ Body client.NewSource }

type updateSourceInput struct {
	ID   string `path:"id" doc:"Its id" maxLength:"64"`
	Body client.SourcePatch
}

type rotateSourceInput struct {
	ID      string    `path:"id" doc:"Its id" maxLength:"64"`
	Overlap spanParam `query:"overlap" doc:"How long the old token is good for; default 24h, at most 30d, 0s if it leaked"`
}

type addSecretInput struct {
	ID      string    `path:"id" doc:"Its id" maxLength:"64"`
	Overlap spanParam `query:"overlap" doc:"How long the secrets before this one stay good, at most 30d; default until they are removed"`
	Body    client.NewSecret
}

type removeSecretInput struct {
	ID       string `path:"id" doc:"Its id" maxLength:"64"`
	SecretID string `path:"secret_id" doc:"The id of the secret" maxLength:"64"`
}

func (a *API) registerSources() {
	tags := []string{"sources"}
	register(a, huma.Operation{
		OperationID: "list-sources", Method: http.MethodGet, Path: "/api/v1/sources", Tags: tags,
		Summary: "List sources", Description: "Oldest first. Tokens and secrets are never shown.",
	}, auth.SourcesAdmin, a.listSources)
	register(a, huma.Operation{
		OperationID: "create-source", Method: http.MethodPost, Path: "/api/v1/sources", Tags: tags,
		Summary: "Create a source", Description: "The answer is the only place that shows its token.",
		DefaultStatus: http.StatusCreated,
	}, auth.SourcesAdmin, a.createSource)
	register(a, huma.Operation{
		OperationID: "get-source", Method: http.MethodGet, Path: "/api/v1/sources/{id}", Tags: tags,
		Summary: "Get one source",
	}, auth.SourcesAdmin, a.getSource)
	register(a, huma.Operation{
		OperationID: "update-source", Method: http.MethodPatch, Path: "/api/v1/sources/{id}", Tags: tags,
		Summary: "Change a source", Description: "Changes what the body names; lists are replaced.",
	}, auth.SourcesAdmin, a.updateSource)
	register(a, huma.Operation{
		OperationID: "rotate-source", Method: http.MethodPost, Path: "/api/v1/sources/{id}/rotate", Tags: tags,
		Summary: "Give a source a new token", Description: "The answer is the only place that shows the new token.",
	}, auth.SourcesAdmin, a.rotateSource)
	register(a, huma.Operation{
		OperationID: "add-source-secret", Method: http.MethodPost, Path: "/api/v1/sources/{id}/secrets", Tags: tags,
		Summary: "Add a secret to a source", Description: "For changing a secret without losing a delivery: add the new one, give it to the sender, and let the old one end.",
		DefaultStatus: http.StatusCreated,
	}, auth.SourcesAdmin, a.addSecret)
	register(a, huma.Operation{
		OperationID: "remove-source-secret", Method: http.MethodDelete, Path: "/api/v1/sources/{id}/secrets/{secret_id}", Tags: tags,
		Summary: "Remove one of a source's secrets", Description: "It stops working at once. The last one stays: auth would have nothing to check.",
	}, auth.SourcesAdmin, a.removeSecret)
	register(a, huma.Operation{
		OperationID: "delete-source", Method: http.MethodDelete, Path: "/api/v1/sources/{id}", Tags: tags,
		Summary: "Delete a source", Description: "Its token stops working; what it delivered stays.",
	}, auth.SourcesAdmin, a.deleteSource)
}

// listSources serves GET /api/v1/sources.
func (a *API) listSources(ctx context.Context, in *pageInput) (*many[client.Source], error) {
	return cut(a.Registry.Sources(auth.Org(ctx)), in.Paging, sourceForm), nil
}

// getSource serves GET /api/v1/sources/{id}.
func (a *API) getSource(ctx context.Context, in *idInput) (*one[client.Source], error) {
	s, err := a.source(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(sourceForm(s)), nil
}

// source returns a source of the caller's org.
func (a *API) source(ctx context.Context, id string) (*registry.Source, error) {
	s, ok := a.Registry.Source(auth.Org(ctx), id)
	if !ok {
		return nil, notFound("source")
	}
	return s, nil
}

// createSource serves POST /api/v1/sources.
func (a *API) createSource(ctx context.Context, in *createSourceInput) (*one[client.SourceSecret], error) {
	s, err := a.newSource(auth.Org(ctx), &in.Body)
	if err != nil {
		return nil, err
	}
	s, token, err := a.Registry.CreateSource(ctx, s)
	if err != nil {
		return nil, err
	}
	return answer(a.withToken(&s, token)), nil
}

// updateSource serves PATCH /api/v1/sources/{id}.
func (a *API) updateSource(ctx context.Context, in *updateSourceInput) (*one[client.Source], error) {
	return a.editSource(ctx, in.ID, func(s *registry.Source) error { return a.patchSource(s, &in.Body) })
}

// addSecret serves POST /api/v1/sources/{id}/secrets.
func (a *API) addSecret(ctx context.Context, in *addSecretInput) (*one[client.Source], error) {
	if in.Overlap.d > maxOverlap {
		return nil, problem.Invalid("overlap", "overlap is at most 30d")
	}
	var until change.Time
	if in.Overlap.set {
		until = change.At(time.Now().Add(in.Overlap.d))
	}
	return a.editSource(ctx, in.ID, func(s *registry.Source) error {
		return s.AddSecret(a.Sealer, auth.Secret(in.Body.Secret), until)
	})
}

// removeSecret serves DELETE /api/v1/sources/{id}/secrets/{secret_id}.
func (a *API) removeSecret(ctx context.Context, in *removeSecretInput) (*struct{}, error) {
	_, err := a.editSource(ctx, in.ID, func(s *registry.Source) error {
		if !s.RemoveSecret(in.SecretID) {
			return notFound("secret")
		}
		return nil
	})
	return nil, err
}

// editSource changes a source of the caller's org.
func (a *API) editSource(ctx context.Context, id string, edit func(*registry.Source) error) (*one[client.Source], error) {
	if _, err := a.source(ctx, id); err != nil {
		return nil, err
	}
	s, err := a.Registry.UpdateSource(ctx, auth.Org(ctx), id, edit)
	if err != nil {
		return nil, err
	}
	return answer(sourceForm(&s)), nil
}

// rotateSource serves POST /api/v1/sources/{id}/rotate.
func (a *API) rotateSource(ctx context.Context, in *rotateSourceInput) (*one[client.SourceSecret], error) {
	overlap := defaultOverlap
	if in.Overlap.set {
		overlap = in.Overlap.d
	}
	if overlap > maxOverlap {
		return nil, problem.Invalid("overlap", "overlap is at most 30d")
	}
	if _, err := a.source(ctx, in.ID); err != nil {
		return nil, err
	}
	s, token, err := a.Registry.RotateSource(audit.As(ctx, audit.OpRotate), auth.Org(ctx), in.ID, overlap)
	if err != nil {
		return nil, err
	}
	return answer(a.withToken(&s, token)), nil
}

// deleteSource serves DELETE /api/v1/sources/{id}.
func (a *API) deleteSource(ctx context.Context, in *idInput) (*struct{}, error) {
	if _, err := a.source(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, a.Registry.DeleteSource(ctx, auth.Org(ctx), in.ID)
}

func (a *API) withToken(s *registry.Source, token string) client.SourceSecret {
	incoming := strings.TrimRight(a.cfg.PublicURL, "/") + "/api/webhooks/incoming/"
	return client.SourceSecret{
		Source:       sourceForm(s),
		Token:        token,
		WebhookURL:   incoming + "changes/" + token,
		IncidentsURL: incoming + "incidents/" + token,
	}
}
