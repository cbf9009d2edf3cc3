package api

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

type deliveriesInput struct {
	SourceID   string `query:"source_id" doc:"Source or key it came by" maxLength:"64"`
	Provider   string `query:"provider" doc:"Who spoke" maxLength:"64"`
	DetectedBy string `query:"detected_by" doc:"How the provider was recognised" maxLength:"200"`
	Outcome    string `query:"outcome" doc:"What became of it" enum:"stored,duplicate,ignored,dead"`
	Identity   string `query:"identity" doc:"How the request named itself" maxLength:"512"`
	Range
	Paging
	Order
}

type deadInput struct {
	Limit  int    `query:"limit" doc:"The most to return" minimum:"1" maximum:"100" default:"25"`
	Cursor string `query:"cursor" doc:"meta.next_cursor of the page before" maxLength:"20"`
}

type payloadOutput struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (a *API) registerDeliveries() {
	tags := []string{"deliveries"}
	register(a, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: "/api/v1/deliveries", Tags: tags,
		Summary:     "List deliveries",
		Description: "What was taken in and what became of it, newest first. `start_date` and `end_date` select when it was received.",
	}, auth.ChangesRead, a.listDeliveries)
	register(a, huma.Operation{
		OperationID: "get-delivery", Method: http.MethodGet, Path: "/api/v1/deliveries/{id}", Tags: tags,
		Summary: "Get one delivery", Description: "`404` for up to a second after it was accepted.",
	}, auth.ChangesRead, a.getDelivery)
	register(a, huma.Operation{
		OperationID: "get-payload", Method: http.MethodGet, Path: "/api/v1/deliveries/{id}/payload", Tags: tags,
		Summary: "Get a delivery's body", Description: "Byte for byte as it came, with its content type.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The body", Content: map[string]*huma.MediaType{"*/*": {}},
		}},
	}, auth.ChangesRead, a.getPayload)
	register(a, huma.Operation{
		OperationID: "list-dead", Method: http.MethodGet, Path: "/api/v1/dead", Tags: tags,
		Summary: "List dead letters", Description: "What could not be processed and why, newest first, of the last 30 days. `meta.total` is -1.",
	}, auth.ChangesRead, a.listDead)
}

// listDeliveries serves GET /api/v1/deliveries.
func (a *API) listDeliveries(ctx context.Context, in *deliveriesInput) (*many[client.Delivery], error) {
	if err := in.Range.check(); err != nil {
		return nil, err
	}
	if err := in.Order.check(in.Paging); err != nil {
		return nil, err
	}
	page, err := a.Store.FindDeliveries(ctx, store.DeliveryQuery{
		Org:        auth.Org(ctx),
		SourceID:   in.SourceID,
		Provider:   in.Provider,
		DetectedBy: in.DetectedBy,
		Outcome:    change.Outcome(in.Outcome),
		Identity:   in.Identity,
		Start:      in.Start.Time,
		End:        in.End.Time,
		Limit:      in.Limit,
		Offset:     in.Offset,
		Cursor:     in.Cursor,
		Sort:       in.Sort,
		Total:      true,
	})
	if err != nil {
		return nil, fmt.Errorf("find deliveries: %w", err)
	}
	return pageOf(page, deliveryForm), nil
}

// getDelivery serves GET /api/v1/deliveries/{id}.
func (a *API) getDelivery(ctx context.Context, in *idInput) (*one[client.Delivery], error) {
	id, err := change.ParseDeliveryID(in.ID)
	if err != nil {
		return nil, notFound("delivery")
	}
	d, err := a.Store.Delivery(ctx, auth.Org(ctx), id)
	if err != nil {
		return nil, fmt.Errorf("get delivery: %w", err)
	}
	return answer(deliveryForm(d)), nil
}

// getPayload serves GET /api/v1/deliveries/{id}/payload. The bytes are a
// stranger's: a browser may save them, and neither shows nor guesses at them.
func (a *API) getPayload(ctx context.Context, in *idInput) (*payloadOutput, error) {
	id, err := change.ParseDeliveryID(in.ID)
	if err != nil {
		return nil, notFound("delivery")
	}
	p, err := a.Store.Payload(ctx, auth.Org(ctx), id)
	if err != nil {
		return nil, fmt.Errorf("get payload: %w", err)
	}
	contentType := "application/octet-stream"
	if media, params, err := mime.ParseMediaType(p.Header.Get("Content-Type")); err == nil {
		contentType = mime.FormatMediaType(media, params)
	}
	return &payloadOutput{
		ContentType: contentType,
		Disposition: `attachment; filename="` + id.String() + `"`,
		Body:        p.Body,
	}, nil
}

// listDead serves GET /api/v1/dead. The letters' bytes are not shown: those
// without a payload of their own never came as a delivery of this org.
func (a *API) listDead(ctx context.Context, in *deadInput) (*many[client.DeadLetter], error) {
	var before uint64
	if in.Cursor != "" {
		var err error
		if before, err = strconv.ParseUint(in.Cursor, 10, 64); err != nil || before == 0 {
			return nil, problem.Invalid("cursor", "cursor must be meta.next_cursor of the page before")
		}
	}
	letters, next, err := a.Bus.DeadLetters(ctx, auth.Org(ctx), in.Limit, before)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	page := store.Page[bus.DeadLetter]{Data: letters, Total: -1, Limit: in.Limit, HasMore: next > 0}
	if next > 0 {
		page.NextCursor = strconv.FormatUint(next, 10)
	}
	return pageOf(page, deadForm), nil
}

func deliveryForm(d store.Delivery) client.Delivery {
	return client.Delivery{
		ID: d.ID, SourceID: d.SourceID, Identity: d.Identity, Outcome: string(d.Outcome), Reason: d.Reason,
		Provider: d.Provider, DetectedBy: d.DetectedBy, Conflict: d.Conflict, Changes: d.Changes, DeadRecords: d.DeadRecords,
		Size: d.Size, BodySHA256: d.BodySHA256, ReceivedAt: d.ReceivedAt, FirstReceived: d.FirstReceived,
		NormalizedAt: d.NormalizedAt, StoredAt: d.StoredAt, Run: d.Run, Lane: d.Lane, Chain: d.Chain, Frame: d.Frame, Place: d.Place,
	}
}

func deadForm(d bus.DeadLetter) client.DeadLetter {
	return client.DeadLetter{
		ID: d.ID, Stage: d.Stage, SourceID: d.SourceID, DeliveryID: d.DeliveryID, Index: d.Index, Reason: d.Reason,
		Attempts: d.Attempts, FirstError: d.FirstError, LastError: d.LastError, At: d.At,
	}
}
