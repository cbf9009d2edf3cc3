package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/replay"
	"whatchanged/pkg/store"
)

type startReplayInput struct{ Body client.NewReplay }

type replayInput struct {
	ID string `path:"id" doc:"Replay" maxLength:"64" example:"rpl_01kjx2v5c0qj3m8z4n6r7t9w1y"`
}

type differencesInput struct {
	ID     string `path:"id" doc:"Replay" maxLength:"64" example:"rpl_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	Kind   string `query:"kind" doc:"Only differences of this kind" enum:"added,removed,changed,outcome,failed"`
	Limit  int    `query:"limit" doc:"The most to return" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" doc:"meta.next_cursor of the page before" maxLength:"128"`
}

// replayOutput is 202 for a replay that was asked for now, and 200 for one that
// was there.
type replayOutput struct {
	Status int
	Body   object[client.Replay]
}

func (a *API) registerReplays() {
	tags := []string{"replays"}
	register(a, huma.Operation{
		OperationID: "start-replay", Method: http.MethodPost, Path: "/api/v1/replays", Tags: tags,
		Summary: "Normalize stored deliveries again",
		Description: "With the normalizers and the settings of sources as they are now. Ids stay; what changes is replaced, what is not made any more is removed, and both are kept (`as_of` of one change). " +
			"With `dry_run` nothing is changed. The replays of an org are done one after the other; asking for the same as one that is not over answers `200` with that one.",
		DefaultStatus: http.StatusAccepted, Responses: map[string]*huma.Response{"200": {Description: "It was asked for before, and goes on"}},
	}, auth.SourcesAdmin, a.startReplay)
	register(a, huma.Operation{
		OperationID: "replay-delivery", Method: http.MethodPost, Path: "/api/v1/deliveries/{id}/replay", Tags: tags,
		Summary: "Normalize one delivery again", DefaultStatus: http.StatusAccepted,
		Responses: map[string]*huma.Response{"200": {Description: "It was asked for before, and goes on"}},
	}, auth.SourcesAdmin, a.replayDelivery)
	register(a, huma.Operation{
		OperationID: "list-replays", Method: http.MethodGet, Path: "/api/v1/replays", Tags: tags,
		Summary: "List replays", Description: "Newest first: those that are not over, and the last 20 that are.",
	}, auth.SourcesAdmin, a.listReplays)
	register(a, huma.Operation{
		OperationID: "get-replay", Method: http.MethodGet, Path: "/api/v1/replays/{id}", Tags: tags,
		Summary: "Get one replay", Description: "How far it has come, and what it has found.",
	}, auth.SourcesAdmin, a.getReplay)
	register(a, huma.Operation{
		OperationID: "list-replay-differences", Method: http.MethodGet, Path: "/api/v1/replays/{id}/differences", Tags: tags,
		Summary:     "List what a replay changed, or would",
		Description: "In the order in which the deliveries were received; kept for 30 days. `meta.total` is -1.",
	}, auth.SourcesAdmin, a.listDifferences)
	register(a, huma.Operation{
		OperationID: "resume-replay", Method: http.MethodPost, Path: "/api/v1/replays/{id}/resume", Tags: tags,
		Summary: "Let a replay go on", Description: "One that was cancelled or has failed goes on where it was. One that goes on is left alone.",
	}, auth.SourcesAdmin, a.resumeReplay)
	register(a, huma.Operation{
		OperationID: "cancel-replay", Method: http.MethodDelete, Path: "/api/v1/replays/{id}", Tags: tags,
		Summary: "Cancel a replay", Description: "What it has changed stays so.",
	}, auth.SourcesAdmin, a.cancelReplay)
}

// startReplay serves POST /api/v1/replays.
func (a *API) startReplay(ctx context.Context, in *startReplayInput) (*replayOutput, error) {
	b := &in.Body
	r := replay.Request{Org: auth.Org(ctx), SourceID: b.SourceID, Provider: b.Provider, DryRun: b.DryRun}
	if b.Start != nil {
		r.Start = *b.Start
	}
	if b.End != nil {
		r.End = *b.End
	}
	for _, text := range b.Deliveries {
		id, err := deliveryID("deliveries", text)
		if err != nil {
			return nil, err
		}
		r.Deliveries = append(r.Deliveries, id)
	}
	return a.submit(ctx, r)
}

// replayDelivery serves POST /api/v1/deliveries/{id}/replay.
func (a *API) replayDelivery(ctx context.Context, in *idInput) (*replayOutput, error) {
	id, err := change.ParseDeliveryID(in.ID)
	if err != nil {
		return nil, notFound("delivery")
	}
	if _, err := a.Store.Delivery(ctx, auth.Org(ctx), id); err != nil {
		return nil, fmt.Errorf("get delivery: %w", err)
	}
	return a.submit(ctx, replay.Request{Org: auth.Org(ctx), Deliveries: []change.DeliveryID{id}})
}

// submit asks for a replay, between two records of the audit trail.
func (a *API) submit(ctx context.Context, r replay.Request) (*replayOutput, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if p, ok := auth.PrincipalFrom(ctx); ok {
		r.By = p.KeyID
	}
	id := replay.NewID(time.Now())
	became, err := a.Audit.Begin(ctx, audit.Change{
		Org: r.Org, Operation: audit.OpCreate, Object: replayObject(id), New: r,
	})
	if err != nil {
		return nil, fmt.Errorf("record replay: %w", err)
	}
	job, made, err := a.replays.Submit(context.WithoutCancel(ctx), id, r)
	switch {
	case err != nil && problem.KindOf(err) == problem.Conflict:
		became(audit.Withdrawn)
		return nil, err
	case err != nil: // who knows: perhaps only the answer to the write was lost
		became(audit.Unknown)
		return nil, err
	case !made:
		became(audit.Withdrawn)
		return &replayOutput{Status: http.StatusOK, Body: object[client.Replay]{replayForm(job)}}, nil
	}
	became(audit.Done)
	return &replayOutput{Status: http.StatusAccepted, Body: object[client.Replay]{replayForm(job)}}, nil
}

func replayObject(id string) audit.Object { return audit.Object{Kind: "replay", ID: id, Name: id} }

// listReplays serves GET /api/v1/replays.
func (a *API) listReplays(ctx context.Context, in *pageInput) (*many[client.Replay], error) {
	jobs, err := a.replays.List(ctx, auth.Org(ctx))
	if err != nil {
		return nil, err
	}
	return cut(jobs, in.Paging, replayForm), nil
}

// getReplay serves GET /api/v1/replays/{id}.
func (a *API) getReplay(ctx context.Context, in *replayInput) (*one[client.Replay], error) {
	job, err := a.replays.Get(ctx, auth.Org(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return answer(replayForm(job)), nil
}

// listDifferences serves GET /api/v1/replays/{id}/differences.
func (a *API) listDifferences(ctx context.Context, in *differencesInput) (*many[client.ReplayDifference], error) {
	job, err := a.replays.Get(ctx, auth.Org(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	page, err := a.Store.Differences(ctx, store.DifferenceQuery{
		Org: job.Org, Replay: job.ID, Kind: in.Kind, Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, fmt.Errorf("find differences: %w", err)
	}
	return pageOf(page, differenceForm), nil
}

// resumeReplay serves POST /api/v1/replays/{id}/resume.
func (a *API) resumeReplay(ctx context.Context, in *replayInput) (*one[client.Replay], error) {
	return a.changeReplay(ctx, in.ID, "resume", a.replays.Resume)
}

// cancelReplay serves DELETE /api/v1/replays/{id}.
func (a *API) cancelReplay(ctx context.Context, in *replayInput) (*one[client.Replay], error) {
	return a.changeReplay(ctx, in.ID, "cancel", a.replays.Cancel)
}

func (a *API) changeReplay(ctx context.Context, id, operation string, change func(context.Context, string, string) (replay.Job, error)) (*one[client.Replay], error) {
	org := auth.Org(ctx)
	if _, err := a.replays.Get(ctx, org, id); err != nil {
		return nil, err
	}
	became, err := a.Audit.Begin(ctx, audit.Change{Org: org, Operation: operation, Object: replayObject(id)})
	if err != nil {
		return nil, fmt.Errorf("record replay: %w", err)
	}
	job, err := change(ctx, org, id)
	switch {
	case err == nil:
		became(audit.Done)
	case problem.KindOf(err) == problem.Conflict:
		became(audit.Withdrawn)
		return nil, err
	default:
		return nil, err // who knows
	}
	return answer(replayForm(job)), nil
}

func replayForm(j replay.Job) client.Replay {
	out := client.Replay{
		ID: j.ID, State: string(j.State), Error: j.Error, DryRun: j.DryRun, Start: j.Start, End: j.End, SourceID: j.SourceID, Provider: j.Provider,
		Run: int(j.Run), Total: j.Total, By: j.By, CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, UpdatedAt: j.UpdatedAt, FinishedAt: j.FinishedAt,
		Counts: client.ReplayCounts{
			Deliveries: j.Counts.Deliveries, Missing: j.Counts.Missing, Failed: j.Counts.Failed, Outcomes: j.Counts.Outcomes,
			Added: j.Counts.Added, Removed: j.Counts.Removed, Changed: j.Counts.Changed, Same: j.Counts.Same, Differences: j.Counts.Differences,
		},
	}
	for _, k := range j.Counts.Kinds {
		out.Counts.Kinds = append(out.Counts.Kinds, client.ReplayKindCount(k))
	}
	return out
}

func differenceForm(d store.Difference) client.ReplayDifference {
	out := client.ReplayDifference{DeliveryID: d.DeliveryID, Kind: d.Kind, Provider: d.Provider, Summary: d.Summary}
	if !d.ChangeID.IsZero() {
		out.ChangeID = d.ChangeID.String()
	}
	for _, f := range d.Fields {
		field := client.FieldChange{Name: f.Name}
		if f.Old != nil {
			field.Old = f.Old
		}
		if f.New != nil {
			field.New = f.New
		}
		out.Fields = append(out.Fields, field)
	}
	return out
}
