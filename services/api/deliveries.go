package api

import (
	"context"
	"fmt"
	"mime"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
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
	return payloadOf(id.String(), p), nil
}

func payloadOf(name string, p store.Payload) *payloadOutput {
	contentType := "application/octet-stream"
	if media, params, err := mime.ParseMediaType(p.Header.Get("Content-Type")); err == nil {
		contentType = mime.FormatMediaType(media, params)
	}
	return &payloadOutput{
		ContentType: contentType,
		Disposition: `attachment; filename="` + name + `"`,
		Body:        p.Body,
	}
}

func deliveryForm(d store.Delivery) client.Delivery {
	return client.Delivery{
		ID: d.ID, SourceID: d.SourceID, Identity: d.Identity, Outcome: string(d.Outcome), Reason: d.Reason,
		Provider: d.Provider, DetectedBy: d.DetectedBy, Conflict: d.Conflict, Changes: d.Changes, DeadRecords: d.DeadRecords,
		Size: d.Size, BodySHA256: d.BodySHA256, ReceivedAt: d.ReceivedAt, FirstReceived: d.FirstReceived,
		NormalizedAt: d.NormalizedAt, StoredAt: d.StoredAt, Run: d.Run, Lane: d.Lane, Chain: d.Chain, Frame: d.Frame, Place: d.Place,
	}
}
