package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	normalizer "whatchanged/normalizers/api"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
)

// A change has three faces: /changes, /change-events and /events write and read
// the same record. This file has the second and the third.

type changeEventInput struct {
	WriteParams
	Body client.NewChangeEvent
}

type eventInput struct {
	WriteParams
	Body client.NewEvent
}

// EventParams is what the lists of both other faces take. The router reads it
// from the query string, and it is exported for that alone.
type EventParams struct {
	OneService
	FindParams
}

type eventListInput struct{ EventParams }

type changeEventListInput struct {
	EventParams
	Kind []string `query:"type" doc:"Kinds of change; the same as change_type" enum:"deployment,config_change,infrastructure,code,database_migration,feature_flag,rollback,scaling,security_patch,maintenance,access_change,secret_rotation,incident,other" maxItems:"14"`
}

func (a *API) registerFaces() {
	const again = "It is on disk before the answer is sent. " +
		"The same `Idempotency-Key` with the same body answers with the same change, with another body `409`: the first is kept."
	register(a, huma.Operation{
		OperationID: "send-change-event", Method: http.MethodPost, Path: "/api/v1/change-events", Tags: []string{"change-events"},
		Summary: "Send a change event", Description: "Records a change that a CI job or a person reports. " + again,
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxChangeBody,
	}, auth.ChangeEventsWrite, a.sendChangeEvent)
	register(a, huma.Operation{
		OperationID: "list-change-events", Method: http.MethodGet, Path: "/api/v1/change-events", Tags: []string{"change-events"},
		Summary: "List changes as change events", Description: "All changes, however they came, newest first.",
	}, auth.ChangesRead, a.listChangeEvents)
	register(a, huma.Operation{
		OperationID: "get-change-event", Method: http.MethodGet, Path: "/api/v1/change-events/{id}", Tags: []string{"change-events"},
		Summary: "Get one change as a change event",
	}, auth.ChangesRead, a.getChangeEvent)

	read := []auth.Scope{auth.EventsRead, auth.ChangesRead}
	register(a, huma.Operation{
		OperationID: "send-event", Method: http.MethodPost, Path: "/api/v1/events", Tags: []string{"events"},
		Summary: "Send an event", Description: "Records who did what to what. " + again,
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxChangeBody,
	}, auth.EventsWrite, a.sendEvent)
	registerAny(a, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: "/api/v1/events", Tags: []string{"events"},
		Summary: "List changes as events", Description: "All changes, however they came, newest first.",
	}, read, a.listEvents)
	registerAny(a, huma.Operation{
		OperationID: "get-event", Method: http.MethodGet, Path: "/api/v1/events/{id}", Tags: []string{"events"},
		Summary: "Get one change as an event",
	}, read, a.getEvent)
}

// sendChangeEvent serves POST /api/v1/change-events.
func (a *API) sendChangeEvent(ctx context.Context, in *changeEventInput) (*written[client.ChangeEvent], error) {
	s, err := a.serviceOf(ctx, in.Body.ServiceID)
	if err != nil {
		return nil, err
	}
	return write(ctx, a, normalizer.ChangeEvents, &in.WriteParams, s, changeEventOf)
}

// sendEvent serves POST /api/v1/events.
func (a *API) sendEvent(ctx context.Context, in *eventInput) (*written[client.Event], error) {
	s, err := a.serviceOf(ctx, in.Body.ServiceID)
	if err != nil {
		return nil, err
	}
	return write(ctx, a, normalizer.Events, &in.WriteParams, s, eventOf)
}

// listChangeEvents serves GET /api/v1/change-events.
func (a *API) listChangeEvents(ctx context.Context, in *changeEventListInput) (*many[client.ChangeEvent], error) {
	switch {
	case len(in.Type) > 0 && len(in.Kind) > 0:
		return nil, problem.Invalid("type", "type and change_type are the same; give one of them")
	case len(in.Kind) > 0:
		in.Type = in.Kind
	}
	return listAs(ctx, a, &in.EventParams, changeEventOf)
}

// listEvents serves GET /api/v1/events.
func (a *API) listEvents(ctx context.Context, in *eventListInput) (*many[client.Event], error) {
	return listAs(ctx, a, &in.EventParams, eventOf)
}

func listAs[T any](ctx context.Context, a *API, in *EventParams, form func(change.Change) T) (*many[T], error) {
	page, err := a.find(ctx, in.ServiceID, &in.FindParams)
	if err != nil {
		return nil, err
	}
	return pageOf(page, form), nil
}

// getChangeEvent serves GET /api/v1/change-events/{id}.
func (a *API) getChangeEvent(ctx context.Context, in *changeInput) (*one[client.ChangeEvent], error) {
	c, err := a.getChange(ctx, in)
	if err != nil {
		return nil, err
	}
	return answer(changeEventOf(c.Body.Data)), nil
}

// getEvent serves GET /api/v1/events/{id}.
func (a *API) getEvent(ctx context.Context, in *changeInput) (*one[client.Event], error) {
	c, err := a.getChange(ctx, in)
	if err != nil {
		return nil, err
	}
	return answer(eventOf(c.Body.Data)), nil
}

// changeEventOf shows a change as a change event.
func changeEventOf(c change.Change) client.ChangeEvent {
	tags, whole := tagsOf(c.Tags)
	out := client.ChangeEvent{
		ID: c.ID, Title: c.Summary, Type: c.Type, Author: c.ChangedBy, Tags: tags,
		Action: c.Action, Actor: c.Actor, Resource: c.Resource, Metadata: c.Metadata, Common: commonOf(&c),
	}
	if !whole {
		out.TagList = c.Tags
	}
	return out
}

// tagsOf makes an object of tags, and reports whether it says all that they do.
func tagsOf(list []string) (tags map[string]string, whole bool) {
	if len(list) == 0 {
		return nil, true
	}
	tags, whole = make(map[string]string, len(list)), true
	for _, tag := range list {
		name, value, pair := strings.Cut(tag, ":")
		_, twice := tags[name]
		whole = whole && pair && !twice
		if !twice {
			tags[name] = value
		}
	}
	return tags, whole
}

// eventOf shows a change as an event. What every event has is there, even when
// the change has none.
func eventOf(c change.Change) client.Event {
	out := client.Event{
		ID: c.ID, ActorID: c.Actor.ID, ActorName: c.Actor.Name, ActorType: c.Actor.Type, Action: c.Action,
		Resource: c.Resource.Type, ResourceID: c.Resource.ID, ResourceName: c.Resource.Name, ResourceURL: c.Resource.URL,
		Metadata: c.Metadata, Type: c.Type, Summary: c.Summary, ChangedBy: c.ChangedBy, Tags: c.Tags, Common: commonOf(&c),
	}
	if out.ActorName == "" {
		out.ActorName = c.ChangedBy
	}
	if out.Action == "" {
		out.Action = c.Type.Action()
	}
	if out.Metadata == nil {
		out.Metadata = json.RawMessage("{}")
	}
	return out
}

func commonOf(c *change.Change) client.Common {
	return client.Common{
		ServiceID: c.ServiceID, ServiceName: c.ServiceName, Status: c.Status, Description: c.Description, Source: c.Source,
		Environment: c.Environment, Risk: c.Risk, RiskHints: c.RiskHints, Repository: c.Repository, CommitSHA: c.CommitSHA,
		CommitMessage: c.CommitMessage, Branch: c.Branch, Version: c.Version, PRNumber: c.PRNumber, PRURL: c.PRURL,
		PipelineURL: c.PipelineURL, Account: c.Account, Region: c.Region, ExternalID: c.ExternalID,
		CorrelationID: c.CorrelationID, SessionID: c.SessionID, OccurredAt: c.OccurredAt, CreatedAt: c.CreatedAt, Provenance: c.Provenance,
	}
}
