package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
)

type idInput struct {
	ID string `path:"id" doc:"Its id" maxLength:"64"`
}

type pageInput struct{ Paging }

type createServiceInput struct{ Body client.NewService }

type updateServiceInput struct {
	ID   string `path:"id" doc:"Its id" maxLength:"64"`
	Body client.ServicePatch
}

func (a *API) registerServices() {
	tags := []string{"services"}
	register(a, huma.Operation{
		OperationID: "list-services", Method: http.MethodGet, Path: "/api/v1/services", Tags: tags,
		Summary: "List services", Description: "Oldest first.",
	}, auth.ChangesRead, a.listServices)
	register(a, huma.Operation{
		OperationID: "create-service", Method: http.MethodPost, Path: "/api/v1/services", Tags: tags,
		Summary: "Create a service", DefaultStatus: http.StatusCreated,
	}, auth.SourcesAdmin, a.createService)
	register(a, huma.Operation{
		OperationID: "get-service", Method: http.MethodGet, Path: "/api/v1/services/{id}", Tags: tags,
		Summary: "Get one service",
	}, auth.ChangesRead, a.getService)
	register(a, huma.Operation{
		OperationID: "update-service", Method: http.MethodPatch, Path: "/api/v1/services/{id}", Tags: tags,
		Summary: "Change a service", Description: "Changes what the body names. Changes recorded before keep the name they have.",
	}, auth.SourcesAdmin, a.updateService)
	register(a, huma.Operation{
		OperationID: "delete-service", Method: http.MethodDelete, Path: "/api/v1/services/{id}", Tags: tags,
		Summary: "Delete a service", Description: "Its changes stay.",
	}, auth.SourcesAdmin, a.deleteService)
}

// listServices serves GET /api/v1/services.
func (a *API) listServices(ctx context.Context, in *pageInput) (*many[client.Service], error) {
	return cut(a.Registry.Services(auth.Org(ctx)), in.Paging, serviceForm), nil
}

// getService serves GET /api/v1/services/{id}.
func (a *API) getService(ctx context.Context, in *idInput) (*one[client.Service], error) {
	s, err := a.service(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(serviceForm(s)), nil
}

// service returns a service of the caller's org.
func (a *API) service(ctx context.Context, id string) (*registry.Service, error) {
	s, ok := a.Registry.Service(auth.Org(ctx), id)
	if !ok {
		return nil, notFound("service")
	}
	return s, nil
}

// createService serves POST /api/v1/services.
func (a *API) createService(ctx context.Context, in *createServiceInput) (*one[client.Service], error) {
	b := in.Body
	s, err := a.Registry.CreateService(ctx, registry.Service{
		ID: b.ID, Org: auth.Org(ctx), Name: b.Name, Description: b.Description,
		Owners: b.Owners, Dependencies: b.Dependencies,
		Repositories: b.Repositories, Resources: b.Resources, Tags: b.Tags, Accounts: b.Accounts,
	})
	if err != nil {
		return nil, err
	}
	return answer(serviceForm(&s)), nil
}

// updateService serves PATCH /api/v1/services/{id}.
func (a *API) updateService(ctx context.Context, in *updateServiceInput) (*one[client.Service], error) {
	if _, err := a.service(ctx, in.ID); err != nil {
		return nil, err
	}
	s, err := a.Registry.UpdateService(ctx, auth.Org(ctx), in.ID, func(s *registry.Service) error {
		set(&s.Name, in.Body.Name)
		set(&s.Description, in.Body.Description)
		set(&s.Repositories, in.Body.Repositories)
		set(&s.Resources, in.Body.Resources)
		set(&s.Owners, in.Body.Owners)
		set(&s.Dependencies, in.Body.Dependencies)
		set(&s.Tags, in.Body.Tags)
		set(&s.Accounts, in.Body.Accounts)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer(serviceForm(&s)), nil
}

// deleteService serves DELETE /api/v1/services/{id}.
func (a *API) deleteService(ctx context.Context, in *idInput) (*struct{}, error) {
	if _, err := a.service(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, a.Registry.DeleteService(ctx, auth.Org(ctx), in.ID)
}

// set takes what a patch names.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func serviceForm(s *registry.Service) client.Service {
	return client.Service{
		ID: s.ID, Name: s.Name, Description: s.Description,
		Owners: s.Owners, Dependencies: s.Dependencies,
		Repositories: s.Repositories, Resources: s.Resources, Tags: s.Tags, Accounts: s.Accounts,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
}
