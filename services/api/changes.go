package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

type listInput struct {
	OneService
	ListParams
}

type serviceListInput struct {
	ID string `path:"id" doc:"Service" maxLength:"64" example:"svc_abc123"`
	ListParams
}

// ListParams is what both lists of changes take. The router reads it from the
// query string, and it is exported for that alone.
type ListParams struct {
	FindParams
	Selection
}

// FindParams is what the lists of all faces take: which changes, and which page
// of them. The router reads it from the query string, and it is exported for
// that alone.
type FindParams struct {
	Filter
	Range
	Paging
	Order
	AsOf timeParam `query:"as_of" doc:"Only what was recorded by then"`
}

type changeInput struct {
	ID   string    `path:"id" doc:"Change" maxLength:"64" example:"chg_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	AsOf timeParam `query:"as_of" doc:"As it was known then: a replay may have made it anew since"`
}

func (a *API) registerChanges() {
	register(a, huma.Operation{
		OperationID: "list-changes", Method: http.MethodGet, Path: "/api/v1/changes", Tags: []string{"changes"},
		Summary:     "List changes",
		Description: "Changes that match every filter, by the time they occurred, newest first.",
	}, auth.ChangesRead, a.listChanges)
	register(a, huma.Operation{
		OperationID: "list-service-changes", Method: http.MethodGet, Path: "/api/v1/services/{id}/changes", Tags: []string{"changes"},
		Summary: "List the changes of one service",
	}, auth.ChangesRead, a.listServiceChanges)
	register(a, huma.Operation{
		OperationID: "get-change", Method: http.MethodGet, Path: "/api/v1/changes/{id}", Tags: []string{"changes"},
		Summary: "Get one change", Description: "With `as_of`, as it was known at that time; `404` for what was not known then.",
	}, auth.ChangesRead, a.getChange)

	description := "Records a change; it is on disk before the answer is sent. " +
		"The same `Idempotency-Key` with the same body answers with the same change, with another body `409`: the first is kept."
	register(a, huma.Operation{
		OperationID: "log-change", Method: http.MethodPost, Path: "/api/v1/changes", Tags: []string{"changes"},
		Summary: "Log a change", Description: description,
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxChangeBody,
	}, auth.ChangesWrite, a.logChange)
	register(a, huma.Operation{
		OperationID: "log-service-change", Method: http.MethodPost, Path: "/api/v1/services/{id}/changes", Tags: []string{"changes"},
		Summary: "Log a change of one service", Description: description,
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxChangeBody,
	}, auth.ChangesWrite, a.logServiceChange)
}

// listChanges serves GET /api/v1/changes.
func (a *API) listChanges(ctx context.Context, in *listInput) (*many[selected], error) {
	return a.findChanges(ctx, in.ServiceID, &in.ListParams)
}

// listServiceChanges serves GET /api/v1/services/{id}/changes.
func (a *API) listServiceChanges(ctx context.Context, in *serviceListInput) (*many[selected], error) {
	if _, err := a.service(ctx, in.ID); err != nil {
		return nil, err
	}
	return a.findChanges(ctx, in.ID, &in.ListParams)
}

func (a *API) findChanges(ctx context.Context, serviceID string, in *ListParams) (*many[selected], error) {
	if err := in.Selection.check(); err != nil {
		return nil, err
	}
	page, err := a.find(ctx, serviceID, &in.FindParams)
	if err != nil {
		return nil, err
	}
	return pageOf(page, in.Selection.of), nil
}

// find returns a page of changes.
func (a *API) find(ctx context.Context, serviceID string, in *FindParams) (store.Page[change.Change], error) {
	var none store.Page[change.Change]
	if err := in.Range.check(); err != nil {
		return none, err
	}
	if err := in.Order.check(in.Paging); err != nil {
		return none, err
	}
	filter, err := in.Filter.filter(auth.Org(ctx), serviceID)
	if err != nil {
		return none, err
	}
	filter.Start, filter.End, filter.AsOf = in.Start.Time, in.End.Time, in.AsOf.Time
	page, err := a.Store.FindChanges(ctx, store.ChangeQuery{
		ChangeFilter: filter,
		Limit:        in.Limit,
		Offset:       in.Offset,
		Cursor:       in.Cursor,
		Sort:         in.Sort,
		Total:        true,
	})
	if err != nil {
		return none, fmt.Errorf("find changes: %w", err)
	}
	return page, nil
}

// getChange serves GET /api/v1/changes/{id}.
func (a *API) getChange(ctx context.Context, in *changeInput) (*one[change.Change], error) {
	id, err := change.ParseID(in.ID)
	if err != nil {
		return nil, notFound("change")
	}
	var c change.Change
	if in.AsOf.IsZero() {
		c, err = a.Store.Change(ctx, auth.Org(ctx), id)
	} else {
		c, err = a.Store.ChangeAsOf(ctx, auth.Org(ctx), id, in.AsOf.Time)
	}
	if err != nil {
		return nil, fmt.Errorf("get change: %w", err)
	}
	return answer(c), nil
}
