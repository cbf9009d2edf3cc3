package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

type updateOrgInput struct{ Body client.OrgPatch }

type updateAnyOrgInput struct {
	ID   string `path:"id" doc:"Its id" maxLength:"64"`
	Body client.OrgPatch
}

type createOrgInput struct{ Body client.NewOrg }

func (a *API) registerOrgs() {
	tags := []string{"organisation"}
	register(a, huma.Operation{
		OperationID: "get-org", Method: http.MethodGet, Path: "/api/v1/org", Tags: tags,
		Summary: "Get the organisation", Description: "What it may send and store, and how long that stays.",
	}, auth.ChangesRead, a.getOrg)
	register(a, huma.Operation{
		OperationID: "update-org", Method: http.MethodPatch, Path: "/api/v1/org", Tags: tags,
		Summary: "Change the organisation", Description: "Changes what the body names. How long what is stored stays is the organisation's own affair; what it may send and store is that of the organisation `default`, which runs the installation.",
	}, auth.Admin, a.updateOrg)
	register(a, huma.Operation{
		OperationID: "get-org-usage", Method: http.MethodGet, Path: "/api/v1/org/usage", Tags: tags,
		Summary: "How much is stored", Description: "Rows and bytes before compression, as they were measured last.",
	}, auth.ChangesRead, a.orgUsage)
	const operators = "For administrators of the organisation `default`, which runs the installation."
	register(a, huma.Operation{
		OperationID: "list-orgs", Method: http.MethodGet, Path: "/api/v1/orgs", Tags: tags,
		Summary: "List all organisations", Description: "Oldest first. " + operators,
	}, auth.Admin, a.listOrgs)
	register(a, huma.Operation{
		OperationID: "create-org", Method: http.MethodPost, Path: "/api/v1/orgs", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create an organisation", Description: "And its first key, which is shown once. " + operators,
	}, auth.Admin, a.createOrg)
	register(a, huma.Operation{
		OperationID: "update-any-org", Method: http.MethodPatch, Path: "/api/v1/orgs/{id}", Tags: tags,
		Summary: "Change any organisation", Description: "Changes what the body names. " + operators,
	}, auth.Admin, a.updateAnyOrg)
}

// getOrg serves GET /api/v1/org.
func (a *API) getOrg(ctx context.Context, _ *struct{}) (*one[client.Org], error) {
	o, ok := a.Registry.Org(auth.Org(ctx))
	if !ok {
		return nil, notFound("organisation")
	}
	return answer(orgForm(o)), nil
}

// runsInstallation reports whether the caller may say what orgs may send and
// store. The first org is that of whoever runs the installation.
func runsInstallation(ctx context.Context) bool {
	p, ok := auth.PrincipalFrom(ctx)
	return ok && p.Org == registry.DefaultOrg && p.Allows(auth.Admin) && p.HasRole(auth.SiteAdmin)
}

func notForTenants() error {
	return problem.New(problem.Forbidden, "not_the_operator",
		"this is for administrators of the organisation "+registry.DefaultOrg+", which runs the installation")
}

// updateOrg serves PATCH /api/v1/org.
func (a *API) updateOrg(ctx context.Context, in *updateOrgInput) (*one[client.Org], error) {
	b := &in.Body
	limits := b.RequestsPerSecond != nil || b.RequestBurst != nil || b.BytesPerSecond != nil || b.ByteBurst != nil || b.QuotaBytes != nil
	if limits && !runsInstallation(ctx) {
		return nil, notForTenants()
	}
	return a.patchOrg(ctx, auth.Org(ctx), b)
}

// updateAnyOrg serves PATCH /api/v1/orgs/{id}.
func (a *API) updateAnyOrg(ctx context.Context, in *updateAnyOrgInput) (*one[client.Org], error) {
	if !runsInstallation(ctx) {
		return nil, notForTenants()
	}
	return a.patchOrg(ctx, in.ID, &in.Body)
}

func (a *API) patchOrg(ctx context.Context, id string, b *client.OrgPatch) (*one[client.Org], error) {
	if _, ok := a.Registry.Org(id); !ok {
		return nil, notFound("organisation")
	}
	o, err := a.Registry.UpdateOrg(ctx, id, func(o *registry.Org) error {
		set(&o.Name, b.Name)
		set(&o.Limits.Requests, b.RequestsPerSecond)
		set(&o.Limits.RequestBurst, b.RequestBurst)
		set(&o.Limits.Bytes, b.BytesPerSecond)
		set(&o.Limits.ByteBurst, b.ByteBurst)
		set(&o.QuotaBytes, b.QuotaBytes)
		set(&o.Retention.ChangeDays, b.ChangeDays)
		set(&o.Retention.DeliveryDays, b.DeliveryDays)
		set(&o.Retention.PayloadDays, b.PayloadDays)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer(orgForm(&o)), nil
}

// orgUsage serves GET /api/v1/org/usage.
func (a *API) orgUsage(ctx context.Context, _ *struct{}) (*one[client.OrgUsage], error) {
	o, ok := a.Registry.Org(auth.Org(ctx))
	if !ok {
		return nil, notFound("organisation")
	}
	tables, err := a.Store.Usage(ctx, o.ID)
	if err != nil {
		return nil, fmt.Errorf("get usage: %w", err)
	}
	out := client.OrgUsage{QuotaBytes: max(0, a.Orgs.Quota(o)), Tables: []client.TableUsage{}}
	for _, t := range tables {
		out.Tables = append(out.Tables, client.TableUsage{Table: t.Table, Rows: t.Rows, Bytes: t.Bytes})
		out.Bytes += t.Bytes
		if t.MeasuredAt.After(out.MeasuredAt.Time) {
			out.MeasuredAt = t.MeasuredAt
		}
	}
	return answer(out), nil
}

// listOrgs serves GET /api/v1/orgs.
func (a *API) listOrgs(ctx context.Context, in *pageInput) (*many[client.Org], error) {
	if !runsInstallation(ctx) {
		return nil, notForTenants()
	}
	all := a.Registry.Orgs()
	slices.SortFunc(all, func(x, y *registry.Org) int {
		return cmp.Or(x.CreatedAt.Compare(y.CreatedAt.Time), cmp.Compare(x.ID, y.ID))
	})
	return cut(all, in.Paging, orgForm), nil
}

// createOrg serves POST /api/v1/orgs.
func (a *API) createOrg(ctx context.Context, in *createOrgInput) (*one[client.MadeOrg], error) {
	if !runsInstallation(ctx) {
		return nil, notForTenants()
	}
	ctx = context.WithoutCancel(ctx) // an org without a key can do nothing
	o, err := a.Registry.CreateOrg(ctx, registry.Org{ID: in.Body.ID, Name: in.Body.Name})
	if problem.From(err).Reason == "exists" && len(a.Registry.Keys(in.Body.ID)) == 0 {
		// Its first key was not made the last time.
		if begun, ok := a.Registry.Org(in.Body.ID); ok {
			o, err = *begun, nil
		}
	}
	if err != nil {
		return nil, err
	}
	_, secret, err := a.Registry.CreateKey(ctx, registry.Key{
		Org: o.ID, Name: "first", Scopes: []auth.Scope{auth.Admin}, Role: auth.SiteAdmin,
	})
	if err != nil {
		return nil, fmt.Errorf("make the first key of %s: %w", o.ID, err)
	}
	return answer(client.MadeOrg{Org: orgForm(&o), APIKey: secret}), nil
}

func orgForm(o *registry.Org) client.Org {
	return client.Org{
		ID: o.ID, Name: o.Name, CreatedAt: o.CreatedAt, QuotaBytes: o.QuotaBytes,
		RequestsPerSecond: o.Limits.Requests, RequestBurst: o.Limits.RequestBurst,
		BytesPerSecond: o.Limits.Bytes, ByteBurst: o.Limits.ByteBurst,
		ChangeDays: o.Retention.ChangeDays, DeliveryDays: o.Retention.DeliveryDays, PayloadDays: o.Retention.PayloadDays,
	}
}
