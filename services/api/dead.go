package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/dead"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/store"
)

// Operations of the audit trail.
const (
	opRedrive = "redrive"
	opDiscard = "discard"
)

// Installation asks for what concerns no org. The router reads it from the
// query string, and it is exported for that alone.
type Installation struct {
	Installation bool `query:"installation" doc:"Those that concern no org, such as damage to frames: for operators, on the server's own machine" example:"false"`
}

type deadInput struct {
	Stage      string `query:"stage" doc:"Where it failed" enum:"frame,normalize,insert,fetch,alert,forward"`
	SourceID   string `query:"source_id" doc:"Source or key it came by" maxLength:"64"`
	Provider   string `query:"provider" doc:"Who spoke" maxLength:"64"`
	DeliveryID string `query:"delivery_id" doc:"Only of this delivery" maxLength:"64"`
	Discarded  bool   `query:"discarded" doc:"Those that were given up, instead of those that wait" example:"false"`
	Installation
	Range
	Limit  int    `query:"limit" doc:"The most to return" minimum:"1" maximum:"100" default:"25"`
	Cursor string `query:"cursor" doc:"meta.next_cursor of the page before" maxLength:"512"`
}

type deadIDInput struct {
	ID string `path:"id" doc:"Its id" maxLength:"64" example:"ded_0f4ad3ff7c1b2e9d8a6c5b4e3f"`
	Installation
}

type discardInput struct {
	ID string `path:"id" doc:"Its id" maxLength:"64" example:"ded_0f4ad3ff7c1b2e9d8a6c5b4e3f"`
	Installation
	Body client.DeadReason
}

type deadBatchInput struct{ Body client.DeadBatch }

type deadBatchOutput struct{ Body client.DeadResults }

func (a *API) registerDead() {
	tags := []string{"dead letters"}
	register(a, huma.Operation{
		OperationID: "list-dead", Method: http.MethodGet, Path: "/api/v1/dead", Tags: tags,
		Summary: "List dead letters",
		Description: "What could not be processed and why, of the last 30 days, the latest to fail for the first time on top: one that fails again keeps its place. " +
			"`start_date` and `end_date` select when it last failed.",
	}, auth.ChangesRead, a.listDead)
	register(a, huma.Operation{
		OperationID: "get-dead", Method: http.MethodGet, Path: "/api/v1/dead/{id}", Tags: tags,
		Summary: "Get one dead letter", Description: "Also one that was discarded, which says by whom, when and why.",
	}, auth.ChangesRead, a.getDead)
	register(a, huma.Operation{
		OperationID: "get-dead-payload", Method: http.MethodGet, Path: "/api/v1/dead/{id}/payload", Tags: tags,
		Summary: "Get the bytes of a dead letter", Description: "Byte for byte: the delivery's body or, where that never was one, what is kept with the letter.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The bytes", Content: map[string]*huma.MediaType{"*/*": {}},
		}},
	}, auth.ChangesRead, a.getDeadPayload)
	register(a, huma.Operation{
		OperationID: "redrive-dead", Method: http.MethodPost, Path: "/api/v1/dead/{id}/redrive", Tags: tags,
		Summary: "Re-drive one dead letter",
		Description: "Takes it through the pipeline again, with the normalizers and settings of today. It keeps its ids, so that it is recorded once however often this is done. " +
			"`status` is `redriven` when it is over, and `dead` when it failed again.",
	}, auth.SourcesAdmin, a.redriveDead)
	register(a, huma.Operation{
		OperationID: "redrive-many-dead", Method: http.MethodPost, Path: "/api/v1/dead/redrive", Tags: tags,
		Summary: "Re-drive many dead letters", Description: "Those of `ids`, or those that match `filter`, at most 100 a call, with a result for each.",
	}, auth.SourcesAdmin, a.redriveManyDead)
	register(a, huma.Operation{
		OperationID: "discard-dead", Method: http.MethodPost, Path: "/api/v1/dead/{id}/discard", Tags: tags,
		Summary: "Discard one dead letter", Description: "It leaves the list. Its delivery stays dead, and says by whom, when and why it was given up.",
	}, auth.SourcesAdmin, a.discardDead)
	register(a, huma.Operation{
		OperationID: "discard-many-dead", Method: http.MethodPost, Path: "/api/v1/dead/discard", Tags: tags,
		Summary: "Discard many dead letters", Description: "Those of `ids`, or those that match `filter`, at most 100 a call, with a result for each.",
	}, auth.SourcesAdmin, a.discardManyDead)
}

// deadOrg is whose letters are asked for. Those of no org may hold what many
// orgs sent: an org's own admins do not see them.
func deadOrg(ctx context.Context, installation bool) (string, error) {
	if !installation {
		return auth.Org(ctx), nil
	}
	if !operator(ctx) {
		return "", problem.New(problem.Forbidden, "operators_only",
			"what concerns no org is shown on the server's own machine, to a key of the organisation "+registry.DefaultOrg+" with the scope admin and the role site_admin")
	}
	return bus.NoOrg, nil
}

// listDead serves GET /api/v1/dead.
func (a *API) listDead(ctx context.Context, in *deadInput) (*many[client.DeadLetter], error) {
	if err := in.Range.check(); err != nil {
		return nil, err
	}
	delivery, err := deliveryID("delivery_id", in.DeliveryID)
	if err != nil {
		return nil, err
	}
	org, err := deadOrg(ctx, in.Installation.Installation)
	if err != nil {
		return nil, err
	}
	page, err := a.Bus.DeadLetters(ctx, bus.DeadQuery{
		Org: org, Stage: in.Stage, SourceID: in.SourceID, Provider: in.Provider, DeliveryID: delivery, Discarded: in.Discarded,
		Start: in.Start.Time, End: in.End.Time, Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return pageOf(store.Page[bus.DeadLetter]{
		Data: page.Letters, Total: int64(page.Total), Limit: in.Limit, HasMore: page.Next != "", NextCursor: page.Next,
	}, deadForm), nil
}

func (a *API) deadLetter(ctx context.Context, in *deadIDInput) (string, bus.DeadLetter, error) {
	org, err := deadOrg(ctx, in.Installation.Installation)
	if err != nil {
		return "", bus.DeadLetter{}, err
	}
	letter, err := a.Bus.DeadLetter(ctx, org, in.ID)
	if err != nil {
		return "", letter, fmt.Errorf("get dead letter: %w", err)
	}
	return org, letter, nil
}

// getDead serves GET /api/v1/dead/{id}.
func (a *API) getDead(ctx context.Context, in *deadIDInput) (*one[client.DeadLetter], error) {
	_, letter, err := a.deadLetter(ctx, in)
	if err != nil {
		return nil, err
	}
	return answer(deadForm(letter)), nil
}

// getDeadPayload serves GET /api/v1/dead/{id}/payload.
func (a *API) getDeadPayload(ctx context.Context, in *deadIDInput) (*payloadOutput, error) {
	org, letter, err := a.deadLetter(ctx, in)
	if err != nil {
		return nil, err
	}
	if len(letter.Bytes) > 0 || letter.DeliveryID.IsZero() {
		return payloadOf(letter.ID, store.Payload{Body: letter.Bytes}), nil
	}
	p, err := a.Store.Payload(ctx, org, letter.DeliveryID)
	if err != nil {
		return nil, fmt.Errorf("get payload: %w", err)
	}
	return payloadOf(letter.ID, p), nil
}

// redriveDead serves POST /api/v1/dead/{id}/redrive.
func (a *API) redriveDead(ctx context.Context, in *deadIDInput) (*one[client.DeadResult], error) {
	return a.dealWithOne(ctx, in, opRedrive, "")
}

// discardDead serves POST /api/v1/dead/{id}/discard.
func (a *API) discardDead(ctx context.Context, in *discardInput) (*one[client.DeadResult], error) {
	reason, err := reasonOf(in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return a.dealWithOne(ctx, &deadIDInput{in.ID, in.Installation}, opDiscard, reason)
}

// redriveManyDead serves POST /api/v1/dead/redrive.
func (a *API) redriveManyDead(ctx context.Context, in *deadBatchInput) (*deadBatchOutput, error) {
	if in.Body.Reason != "" {
		return nil, problem.Invalid("reason", "reason is for what is discarded; leave it out")
	}
	return a.dealWithMany(ctx, &in.Body, opRedrive, "")
}

// discardManyDead serves POST /api/v1/dead/discard.
func (a *API) discardManyDead(ctx context.Context, in *deadBatchInput) (*deadBatchOutput, error) {
	reason, err := reasonOf(in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return a.dealWithMany(ctx, &in.Body, opDiscard, reason)
}

func reasonOf(text string) (string, error) {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return "", problem.Invalid("reason", "reason is required: say why this is given up, for those who look for it later")
	}
	return text, nil
}

// dealWithOne answers what a single letter's refusal is as an error.
func (a *API) dealWithOne(ctx context.Context, in *deadIDInput, operation, reason string) (*one[client.DeadResult], error) {
	org, letter, err := a.deadLetter(ctx, in)
	if err != nil {
		return nil, err
	}
	fates, err := a.deal(ctx, org, []bus.DeadLetter{letter}, operation, reason)
	if err != nil {
		return nil, err
	}
	switch f := fates[0]; f.Status {
	case dead.Gone:
		return nil, problem.New(problem.Conflict, "dead_letter_gone", "this dead letter was re-driven or discarded already")
	case dead.Refused:
		return nil, f.Err
	default:
		return answer(deadResult(f)), nil
	}
}

func (a *API) dealWithMany(ctx context.Context, b *client.DeadBatch, operation, reason string) (*deadBatchOutput, error) {
	org, err := deadOrg(ctx, b.Installation)
	if err != nil {
		return nil, err
	}
	out := &deadBatchOutput{}
	var letters []bus.DeadLetter
	switch {
	case len(b.IDs) > 0 && b.Filter != nil:
		return nil, problem.Invalid("filter", "give either ids or filter, not both")
	case b.Filter != nil:
		if letters, out.Body.Meta.Left, err = a.selectDead(ctx, org, b); err != nil {
			return nil, err
		}
	case len(b.IDs) == 0:
		return nil, problem.Invalid("ids", "give ids, or a filter")
	case b.Limit > 0:
		return nil, problem.Invalid("limit", "limit is for a filter; leave it out")
	default:
		if letters, err = a.lettersOf(ctx, org, b.IDs); err != nil {
			return nil, err
		}
	}
	fates, err := a.deal(ctx, org, letters, operation, reason)
	if err != nil {
		return nil, err
	}
	out.Body.Data = make([]client.DeadResult, len(fates))
	for i, f := range fates {
		out.Body.Data[i] = deadResult(f)
		count(&out.Body.Meta, f.Status)
	}
	return out, nil
}

func count(c *client.DeadCounts, s dead.Status) {
	switch s {
	case dead.Redriven:
		c.Redriven++
	case dead.StillDead:
		c.Dead++
	case dead.Discarded:
		c.Discarded++
	case dead.Gone:
		c.Gone++
	case dead.Refused:
		c.Refused++
	}
}

func (a *API) selectDead(ctx context.Context, org string, b *client.DeadBatch) (letters []bus.DeadLetter, left int, err error) {
	f := b.Filter
	if !f.Start.IsZero() && !f.End.IsZero() && !f.Start.Before(f.End.Time) {
		return nil, 0, problem.Invalid("filter.end_date", "end_date must be after start_date")
	}
	delivery, err := deliveryID("filter.delivery_id", f.DeliveryID)
	if err != nil {
		return nil, 0, err
	}
	page, err := a.Bus.DeadLetters(ctx, bus.DeadQuery{
		Org: org, Stage: f.Stage, SourceID: f.SourceID, Provider: f.Provider, DeliveryID: delivery,
		Start: f.Start.Time, End: f.End.Time, Limit: cmp.Or(b.Limit, dead.MaxAtOnce),
	})
	if err != nil {
		return nil, 0, fmt.Errorf("find dead letters: %w", err)
	}
	return page.Letters, page.Total - len(page.Letters), nil
}

// lettersOf returns the letters of ids; of one that is not there only the id.
func (a *API) lettersOf(ctx context.Context, org string, ids []string) ([]bus.DeadLetter, error) {
	letters := make([]bus.DeadLetter, len(ids))
	for i, id := range ids {
		if len(id) > 64 {
			return nil, problem.Invalid("ids", fmt.Sprintf("ids: %q is not a dead letter's id", clip(id)))
		}
		letter, err := a.Bus.DeadLetter(ctx, org, id)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return nil, fmt.Errorf("get dead letter: %w", err)
		}
		letters[i] = letter
		letters[i].ID = id
	}
	return letters, nil
}

// deal re-drives or discards letters, between two records of the audit trail
// for each.
func (a *API) deal(ctx context.Context, org string, letters []bus.DeadLetter, operation, reason string) ([]dead.Fate, error) {
	became, err := a.beginDeal(ctx, letters, operation, reason)
	if err != nil {
		return nil, fmt.Errorf("record what is done to %d dead letters: %w", len(letters), err)
	}
	ids := make([]string, len(letters))
	for i := range letters {
		ids[i] = letters[i].ID
	}
	// A caller who leaves now would not know which of them were dealt with.
	ctx = context.WithoutCancel(ctx)
	var fates []dead.Fate
	if operation == opDiscard {
		p, _ := auth.PrincipalFrom(ctx)
		by := cmp.Or(p.Mail, p.Name, p.KeyID)
		fates, err = a.Dead.Discard(ctx, org, ids, bus.Discard{By: by, At: change.At(time.Now()), Reason: reason})
	} else {
		fates, err = a.Dead.Redrive(ctx, org, ids)
	}
	for i, done := range became {
		switch {
		case err != nil:
			done(audit.Unknown)
		case fates[i].Status == dead.Gone || fates[i].Status == dead.Refused:
			done(audit.Withdrawn)
		default:
			done(audit.Done)
		}
	}
	return fates, err
}

// beginDeal records what is about to be done to each letter that is there. The
// recorder puts many into one frame, so they are brought together.
func (a *API) beginDeal(ctx context.Context, letters []bus.DeadLetter, operation, reason string) ([]func(audit.Outcome), error) {
	p, _ := auth.PrincipalFrom(ctx)
	became := make([]func(audit.Outcome), len(letters))
	errs := make([]error, len(letters))
	var wg sync.WaitGroup
	for i := range letters {
		l := &letters[i]
		became[i] = func(audit.Outcome) {}
		if l.Stage == "" || l.Discarded != nil {
			continue // not there: nothing is done to it
		}
		c := audit.Change{
			Org: p.Org, Operation: operation, Object: audit.Object{Kind: "dead_letter", ID: l.ID, Name: l.Stage + ": " + clip(l.Reason)},
		}
		if reason != "" {
			c.Detail = "because '" + reason + "'"
		}
		wg.Go(func() {
			var done func(audit.Outcome)
			if done, errs[i] = a.Audit.Begin(ctx, c); errs[i] == nil {
				became[i] = done
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			for _, done := range became {
				done(audit.Withdrawn)
			}
			return nil, err
		}
	}
	return became, nil
}

func deadForm(d bus.DeadLetter) client.DeadLetter {
	out := client.DeadLetter{
		ID: d.ID, Stage: d.Stage, SourceID: d.SourceID, Provider: d.Provider, DeliveryID: d.DeliveryID, Whole: d.Whole, Index: d.Index,
		Reason: d.Reason, Attempts: d.Attempts, FirstError: d.FirstError, LastError: d.LastError, FirstAt: d.FirstAt, At: d.At,
		Bytes: len(d.Bytes), Chain: d.Chain, Frame: d.Frame, Place: d.Place,
	}
	if d.Discarded != nil {
		out.Discarded = &client.DeadDiscard{By: d.Discarded.By, At: d.Discarded.At, Reason: d.Discarded.Reason}
	}
	return out
}

func deadResult(f dead.Fate) client.DeadResult {
	out := client.DeadResult{
		ID: f.ID, Status: string(f.Status), DeliveryID: f.Letter.DeliveryID, Index: f.Letter.Index,
		Outcome: string(f.Outcome), Reason: f.Reason, Stored: f.Stored,
	}
	if f.Err != nil {
		out.Detail = problem.From(f.Err).Message
	}
	return out
}
