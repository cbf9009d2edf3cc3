package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/auth"
)

// RegisterForRoles adds an operation that is for some roles only.
func (a *API) RegisterForRoles(path string, roles ...string) {
	register(a, huma.Operation{OperationID: "for-roles", Method: http.MethodGet, Path: path}, auth.AuditRead,
		func(context.Context, *struct{}) (*struct{}, error) { return nil, nil }, onlyRoles(roles...))
}
