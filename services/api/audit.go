package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// logDays is how far back the two logs go unless a day is asked for.
const logDays = 7 * 24 * time.Hour

type eventsInput struct {
	ObjectType string `query:"object_type" doc:"Only objects of this type, such as service, source or key" maxLength:"64"`
	ObjectID   string `query:"object_id" doc:"Only this object" maxLength:"64"`
	Action     string `query:"action" doc:"What was done" enum:"create,update,delete,info"`
	User       string `query:"user" doc:"Who did it: an id, a name or an email address" maxLength:"320"`
	ServiceID  string `query:"service_id" doc:"Only this service (deployment), its versions and their variables" maxLength:"64"`
	PipelineID string `query:"pipeline_id" doc:"Only this pipeline, its objects and attachments" maxLength:"64"`
	Range
	Paging
	Order
}

type actionsInput struct {
	Date dayParam `query:"date" doc:"Only this day, in UTC; default the last 7 days"`
	Type string   `query:"type" doc:"Only this area, such as pipeline or authentication" maxLength:"64"`
}

type usesInput struct {
	Date  dayParam `query:"date" doc:"Only this day, in UTC; default the last 7 days"`
	Scope string   `query:"scope" doc:"Only keys that have this scope" maxLength:"64"`
}

type recordsOutput[T any] struct{ Body client.Records[T] }

// dayParam is a day in a query string.
type dayParam struct{ time.Time }

// Schema describes the parameter.
func (dayParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "A day: YYYY-MM-DD", Examples: []any{"2026-03-30"}}
}

// UnmarshalText reads a day.
func (p *dayParam) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		return fmt.Errorf("%q is not a day; write it as 2026-03-30", clip(string(b)))
	}
	p.Time = t
	return nil
}

// span is the day, or the last 7 days.
func (p dayParam) span(now time.Time) (start, end time.Time) {
	if p.IsZero() {
		return now.Add(-logDays), now.Add(time.Second) // what is recorded in this moment too
	}
	return p.Time, p.AddDate(0, 0, 1)
}

func (a *API) registerAudit() {
	tags := []string{"audit"}
	register(a, huma.Operation{
		OperationID: "list-audit-events", Method: http.MethodGet, Path: "/api/v1/audit-events", Tags: tags,
		Summary: "List audit events",
		Description: "What was done to objects of this product, newest first: of the whole project, of one deployment (`service_id`) or of one pipeline (`pipeline_id`). " +
			"`object.name` is what the object is called now, and empty once it is deleted; the event stays as it was.",
	}, auth.AuditRead, a.listAuditEvents)
	register(a, huma.Operation{
		OperationID: "list-user-actions", Method: http.MethodGet, Path: "/api/v1/logs/user/actions", Tags: tags,
		Summary:     "Log of user actions",
		Description: "Sign-ins and what users did, newest first, at most 1000: of `date`, or of the last 7 days.",
	}, auth.AuditRead, a.listActions, onlyRoles(auth.SiteAdmin, auth.PowerUser))
	register(a, huma.Operation{
		OperationID: "list-token-uses", Method: http.MethodGet, Path: "/api/v1/logs/user/tokens", Tags: tags,
		Summary:     "Log of key uses",
		Description: "Every call that carried a key, this one too, newest first, at most 1000: of `date`, or of the last 7 days.",
	}, auth.AuditRead, a.listUses, onlyRoles(auth.SiteAdmin, auth.PowerUser))
}

// listAuditEvents serves GET /api/v1/audit-events.
func (a *API) listAuditEvents(ctx context.Context, in *eventsInput) (*many[client.AuditEvent], error) {
	if err := in.Range.check(); err != nil {
		return nil, err
	}
	if err := in.Order.check(in.Paging); err != nil {
		return nil, err
	}
	if in.ObjectType != "" {
		kind, ok := audit.Of(in.ObjectType)
		if !ok {
			return nil, problem.Invalid("object_type", "object_type must be one of "+strings.Join(kindNames(), ", "))
		}
		in.ObjectType = kind.Name
	}
	page, err := a.Store.FindEvents(ctx, store.EventQuery{
		Org:        auth.Org(ctx),
		ObjectType: in.ObjectType,
		ObjectID:   in.ObjectID,
		Action:     audit.Action(in.Action),
		User:       in.User,
		ServiceID:  in.ServiceID,
		PipelineID: in.PipelineID,
		Start:      in.Start.Time,
		End:        in.End.Time,
		Limit:      in.Limit,
		Offset:     in.Offset,
		Cursor:     in.Cursor,
		Sort:       in.Sort,
		Total:      true,
	})
	if err != nil {
		return nil, fmt.Errorf("find audit events: %w", err)
	}
	return pageOf(page, eventForm), nil
}

// listActions serves GET /api/v1/logs/user/actions.
func (a *API) listActions(ctx context.Context, in *actionsInput) (*recordsOutput[client.UserAction], error) {
	if in.Type != "" && !slices.Contains(audit.Areas(), in.Type) {
		return nil, problem.Invalid("type", "type must be one of "+strings.Join(audit.Areas(), ", "))
	}
	q := store.RecordQuery{Org: auth.Org(ctx), Area: in.Type}
	q.Start, q.End = in.Date.span(time.Now())
	events, err := a.Store.Actions(ctx, q)
	if err != nil {
		return nil, err
	}
	return recordsOf(events, actionForm), nil
}

// listUses serves GET /api/v1/logs/user/tokens.
func (a *API) listUses(ctx context.Context, in *usesInput) (*recordsOutput[client.TokenUse], error) {
	if in.Scope != "" && !slices.Contains(auth.Scopes(), in.Scope) {
		return nil, problem.Invalid("scope", "scope must be one of "+strings.Join(auth.Scopes(), ", "))
	}
	q := store.RecordQuery{Org: auth.Org(ctx), Scope: in.Scope}
	q.Start, q.End = in.Date.span(time.Now())
	uses, err := a.Store.Uses(ctx, q)
	if err != nil {
		return nil, err
	}
	return recordsOf(uses, useForm), nil
}

// used records that a key was used. It comes before everything that the request
// asks for: what cannot be recorded is not done.
func (a *API) used(r *http.Request, p auth.Principal) error {
	return a.Audit.Used(r.Context(), audit.NewUse(p, r.Method, r.URL.EscapedPath(), time.Now()))
}

func kindNames() []string {
	var names []string
	for _, k := range audit.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

func recordsOf[R, T any](rows []R, form func(R) T) *recordsOutput[T] {
	out := &recordsOutput[T]{Body: client.Records[T]{Count: len(rows), Data: make([]T, len(rows))}}
	for i, row := range rows {
		out.Body.Data[i] = form(row)
	}
	return out
}

func eventForm(e audit.Event) client.AuditEvent {
	out := client.AuditEvent{
		ID: e.ID, Date: e.At, Action: string(e.Action), Description: e.Description,
		User:   client.AuditUser{ID: e.User.ID, Name: e.User.Name, Email: e.User.Email, KeyID: e.User.KeyID},
		Object: client.AuditObject{Type: e.Object.Kind, ID: e.Object.ID, Name: e.Object.Name},
	}
	if e.Outcome != audit.Done {
		out.Outcome = string(e.Outcome)
	}
	return out
}

func actionForm(e audit.Event) client.UserAction {
	return client.UserAction{
		ID: e.ID.String(), UserID: e.User.ID, UserEmail: e.User.Email, Type: e.Area, Action: e.Operation, TargetID: e.TargetID,
		Account: e.Org, CreatedAt: e.At, UpdatedAt: e.At,
	}
}

func useForm(u audit.Use) client.TokenUse {
	return client.TokenUse{
		ID: u.ID.String(), TokenID: u.KeyID, Scope: strings.Join(u.Scopes, " "), Target: u.Target, UserID: u.UserID,
		Account: u.Org, CreatedAt: u.At, UpdatedAt: u.At,
	}
}
