package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/suspect"
)

const (
	usualWindow  = time.Hour
	maxWindow    = 7 * 24 * time.Hour
	usualAround  = 15 * time.Minute
	someSuspects = 10
	// newcomerAfter is how long an actor must not have changed a service to be new to it.
	newcomerAfter = 30 * 24 * time.Hour
	// judged is of how many suspects, the best by all else, the actor is looked up.
	judged = 200
	// clockSkew is how far ahead of ours a caller's clock may be.
	clockSkew = 5 * time.Minute
)

type whatChangedInput struct {
	At          timeParam `query:"at" doc:"The moment when something went wrong; default now"`
	ServiceID   string    `query:"service_id" doc:"What is in trouble: its changes come first, and those of what it depends on" maxLength:"64" example:"svc_abc123"`
	Environment string    `query:"environment" doc:"Where: changes there come first" maxLength:"200" example:"production"`
	Window      spanParam `query:"window" doc:"How far back, up to 7d; default 1h"`
	Limit       int       `query:"limit" doc:"The most suspects to return" minimum:"1" maximum:"100" default:"10"`
}

// ChangeWindowParams is what the window around a change takes. The router reads
// it from the query string, and it is exported for that alone.
type ChangeWindowParams struct {
	ID     string    `path:"id" doc:"Change" maxLength:"64" example:"chg_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	Before spanParam `query:"before" doc:"How long before it, up to 7d; default 15m"`
	After  spanParam `query:"after" doc:"How long after it, up to 7d; default 15m"`
	OneService
	Filter
	Paging
	Order
}

type changeWindowOutput struct{ Body client.ChangeWindowPage }

func (a *API) registerWhatChanged() {
	register(a, huma.Operation{
		OperationID: "what-changed", Method: http.MethodGet, Path: "/api/v1/what-changed", Tags: []string{"changes"},
		Summary: "What changed?",
		Description: "Ranks the changes of the window before a moment by how likely they are to have led to what is wrong then. " +
			"Each score is the sum of named parts, shown with their reasons. Beside them, for each source, up to when the record is complete: " +
			"so an empty answer can be trusted. Without a service, all changes of the window are ranked; incidents are left out.",
	}, auth.ChangesRead, a.getWhatChanged)
	register(a, huma.Operation{
		OperationID: "get-change-window", Method: http.MethodGet, Path: "/api/v1/changes/{id}/window", Tags: []string{"changes"},
		Summary: "The time around a change",
		Description: "`start` and `end` select what else went on around a change in any other stream of activity (recordings, access logs); " +
			"`changes` is what else changed then, with the filters and the paging of the list.",
	}, auth.ChangesRead, a.getChangeWindow)
}

// getWhatChanged serves GET /api/v1/what-changed.
func (a *API) getWhatChanged(ctx context.Context, in *whatChangedInput) (*one[client.WhatChanged], error) {
	switch {
	case in.At.After(time.Now().Add(clockSkew)):
		return nil, problem.Invalid("at", "at lies in the future")
	case !in.At.IsZero() && in.At.Before(time.Unix(0, 0)):
		return nil, problem.Invalid("at", "at lies before 1970")
	case in.Window.set && (in.Window.d < time.Second || in.Window.d > maxWindow):
		return nil, problem.Invalid("window", "window is from 1s to 7d")
	}
	if in.ServiceID != "" {
		if _, ok := a.Registry.Service(auth.Org(ctx), in.ServiceID); !ok {
			return nil, problem.Invalid("service_id", fmt.Sprintf("there is no service %q; GET /api/v1/services lists them", clip(in.ServiceID)))
		}
	}
	out, err := a.whatChanged(ctx, client.WhatChangedQuery{
		At: in.At.Time, ServiceID: in.ServiceID, Environment: in.Environment, Window: in.Window.d, Limit: in.Limit,
	}, time.Time{})
	if err != nil {
		return nil, err
	}
	return answer(out), nil
}

// whatChanged ranks the changes of the caller's org before a moment, as far as
// they were accepted by asOf; zero is now. A service that is gone still has its
// changes.
func (a *API) whatChanged(ctx context.Context, in client.WhatChangedQuery, asOf time.Time) (client.WhatChanged, error) {
	org, now := auth.Org(ctx), time.Now()
	at := change.At(in.At)
	if in.At.IsZero() {
		at = change.At(now)
	}
	q := suspect.Query{At: at.Time, Window: cmp.Or(in.Window, usualWindow), ServiceID: in.ServiceID, Environment: in.Environment}
	if s, ok := a.Registry.Service(org, in.ServiceID); ok {
		q.ServiceName = s.Name
		q.Hops = suspect.Hops(s.ID, func(id string) []string {
			if s, ok := a.Registry.Service(org, id); ok {
				return s.Dependencies
			}
			return nil
		})
	}
	var complete client.Completeness
	beside, alongside := errgroup.WithContext(ctx)
	beside.Go(func() (err error) {
		complete, err = a.completeness(alongside, org, at.Add(-q.Window), at.Time, now)
		return err
	})
	out, err := a.ranked(ctx, org, q, asOf, cmp.Or(in.Limit, someSuspects))
	if err := errors.Join(err, beside.Wait()); err != nil {
		return client.WhatChanged{}, err
	}
	out.Completeness = complete
	return out, nil
}

// ranked answers the question, but for its completeness.
func (a *API) ranked(ctx context.Context, org string, q suspect.Query, asOf time.Time, limit int) (client.WhatChanged, error) {
	start := q.At.Add(-q.Window)
	related := slices.Sorted(maps.Keys(q.Hops))
	if q.ServiceID != "" {
		related = append(related, q.ServiceID)
	}
	found, more, err := a.Store.Candidates(ctx, store.CandidateQuery{
		Org: org, Start: start, End: q.At.Add(time.Millisecond), Services: related, Environment: q.Environment, AsOf: asOf,
	})
	if err != nil {
		return client.WhatChanged{}, fmt.Errorf("find candidates: %w", err)
	}
	if q.New, err = a.newcomers(ctx, org, start, suspect.Rank(q, found)); err != nil {
		return client.WhatChanged{}, err
	}
	ranked := suspect.Rank(q, found)
	out := client.WhatChanged{
		At: change.At(q.At), Start: change.At(start), ServiceID: q.ServiceID, ServiceName: q.ServiceName, Environment: q.Environment,
		Considered: len(ranked), Truncated: more,
	}
	out.Suspects, err = a.suspects(ctx, org, ranked[:min(len(ranked), limit)])
	return out, err
}

// newcomers returns which changes are of an actor who had not changed their
// service in the 30 days before the window, when others had: of a service
// without a past it says nothing. Only the best are looked up.
func (a *API) newcomers(ctx context.Context, org string, start time.Time, ranked []suspect.Suspect) (func(*change.Change) bool, error) {
	asked := map[store.Acquaintance]bool{}
	var pairs []store.Acquaintance
	for _, s := range ranked[:min(len(ranked), judged)] {
		pair := store.Acquaintance{ServiceID: s.Change.ServiceID, Actor: suspect.Who(&s.Change)}
		if pair.ServiceID != "" && pair.Actor != "" && !asked[pair] {
			asked[pair] = true
			pairs = append(pairs, pair)
		}
	}
	known, err := a.Store.Acquainted(ctx, org, start.Add(-newcomerAfter), start, pairs)
	if err != nil {
		return nil, fmt.Errorf("look for new actors: %w", err)
	}
	return func(c *change.Change) bool {
		pair := store.Acquaintance{ServiceID: c.ServiceID, Actor: suspect.Who(c)}
		actors, changed := known[c.ServiceID]
		return changed && asked[pair] && !slices.Contains(actors, pair.Actor)
	}, nil
}

// suspects reads the whole changes of those that are shown. One that was
// replaced at this very moment is shown as far as it was read.
func (a *API) suspects(ctx context.Context, org string, ranked []suspect.Suspect) ([]client.Suspect, error) {
	ids := make([]change.ID, len(ranked))
	for i, s := range ranked {
		ids[i] = s.Change.ID
	}
	rows, err := a.Store.ChangesByID(ctx, org, ids)
	if err != nil {
		return nil, fmt.Errorf("read suspects: %w", err)
	}
	whole := map[change.ID]change.Change{}
	for _, c := range rows {
		whole[c.ID] = c
	}
	out := make([]client.Suspect, len(ranked))
	for i, s := range ranked {
		out[i] = client.Suspect{Score: s.Score, Parts: []client.SuspectPart{}, Change: s.Change}
		if c, ok := whole[s.Change.ID]; ok {
			out[i].Change = c
		}
		for _, p := range s.Parts {
			out[i].Parts = append(out[i].Parts, client.SuspectPart(p))
		}
		for _, c := range s.Steps {
			out[i].Steps = append(out[i].Steps, client.SuspectStep{ID: c.ID, Status: c.Status, OccurredAt: c.OccurredAt})
		}
	}
	return out, nil
}

// getChangeWindow serves GET /api/v1/changes/{id}/window.
func (a *API) getChangeWindow(ctx context.Context, in *ChangeWindowParams) (*changeWindowOutput, error) {
	for name, p := range map[string]*spanParam{"before": &in.Before, "after": &in.After} {
		if !p.set {
			p.d = usualAround
		}
		if p.d > maxWindow {
			return nil, problem.Invalid(name, name+" is at most 7d")
		}
	}
	around, err := a.getChange(ctx, &changeInput{ID: in.ID})
	if err != nil {
		return nil, err
	}
	w := client.ChangeWindow{Change: around.Body.Data}
	at := w.Change.OccurredAt
	// Half-open, and the change itself is in it.
	w.Start, w.End = change.At(at.Add(-in.Before.d)), change.At(at.Add(max(in.After.d, time.Millisecond)))
	found, err := a.find(ctx, in.ServiceID, &FindParams{
		Filter: in.Filter, Range: Range{Start: timeParam{w.Start.Time}, End: timeParam{w.End.Time}}, Paging: in.Paging, Order: in.Order,
	})
	if err != nil {
		return nil, err
	}
	page := pageOf(found, same)
	w.Changes = page.Body.Data
	w.Links = windowLinks(&w, in, page.Body.Meta)
	return &changeWindowOutput{client.ChangeWindowPage{Data: w, Meta: page.Body.Meta}}, nil
}

func windowLinks(w *client.ChangeWindow, in *ChangeWindowParams, meta client.Meta) client.WindowLinks {
	path := "/api/v1/changes/" + w.Change.ID.String()
	list := in.Filter.values()
	setText(list, "service_id", in.ServiceID)
	next := maps.Clone(list)
	setText(list, "start_date", w.Start.String())
	setText(list, "end_date", w.End.String())
	links := client.WindowLinks{Change: path, Changes: "/api/v1/changes?" + list.Encode()}
	ask := url.Values{"at": {w.Change.OccurredAt.String()}}
	setText(ask, "service_id", w.Change.ServiceID)
	setText(ask, "environment", w.Change.Environment)
	links.WhatChanged = "/api/v1/what-changed?" + ask.Encode()
	if meta.NextCursor != "" {
		setText(next, "before", in.Before.d.String())
		setText(next, "after", in.After.d.String())
		setText(next, "limit", fmt.Sprint(in.Limit))
		setText(next, "sort", in.Sort)
		setText(next, "cursor", meta.NextCursor)
		links.Next = path + "/window?" + next.Encode()
	}
	return links
}

// values is the filter as a query string has it.
func (f Filter) values() url.Values {
	q := url.Values{}
	v := reflect.ValueOf(f)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("query")
		switch value := v.Field(i).Interface().(type) {
		case string:
			setText(q, name, value)
		case []string:
			setText(q, name, strings.Join(value, ","))
		}
	}
	return q
}

func setText(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}
