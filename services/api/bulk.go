package api

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/normalizers"
	normalizer "whatchanged/normalizers/api"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

const (
	maxBulk     = 1000
	maxBulkBody = 16 << 20
	// itemsFor is how long an item is known by its own key.
	itemsFor = 24 * time.Hour
	ndjson   = "application/x-ndjson"
)

type bulkInput struct{ WriteParams }

type bulkOutput struct {
	Status  int
	Visible string `header:"X-Whatchanged-Visible" doc:"true once the changes can be queried"`
	Body    client.BulkResult
}

func (a *API) registerBulk() {
	registerBulkOf[client.BulkChange](a, normalizer.Changes, "bulk-log-changes", "Log many changes", auth.ChangesWrite)
	registerBulkOf[client.BulkChangeEvent](a, normalizer.ChangeEvents, "bulk-send-change-events", "Send many change events", auth.ChangeEventsWrite)
	registerBulkOf[client.BulkEvent](a, normalizer.Events, "bulk-send-events", "Send many events", auth.EventsWrite)
}

// registerBulkOf declares the bulk operation of a face, whose items are of type
// T. The items are checked by the normalizer, not by their schema: reflection
// would take longer than all the rest.
func registerBulkOf[T any](a *API, face normalizer.Face, id, summary string, scope auth.Scope) {
	path := "/api/v1/" + string(face) + "/bulk"
	register(a, huma.Operation{
		OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{string(face)}, Summary: summary,
		Description: fmt.Sprintf("Up to %d in one request, as `{\"data\": [...]}` or, with Content-Type `%s`, one a line. ", maxBulk, ndjson) +
			"Each has a result of its own, in order; what is good is recorded even when the rest is refused. " +
			"The answer is `201` when all were good, else `207`.",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBulkBody, SkipValidateBody: true,
	}, scope, func(ctx context.Context, in *bulkInput) (*bulkOutput, error) { return a.bulk(ctx, face, in) })
	op := a.huma.OpenAPI().Paths[path].Post
	most := maxBulk
	items := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
	op.RequestBody.Content = map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, Required: []string{"data"}, Properties: map[string]*huma.Schema{
			"data": {Type: huma.TypeArray, Items: items, MaxItems: &most},
		}}},
		ndjson: {Schema: &huma.Schema{Type: huma.TypeString}},
	}
	op.Responses["207"] = &huma.Response{Description: "Some were refused", Content: op.Responses["201"].Content, Headers: op.Responses["201"].Headers}
}

// bulk takes many changes in with one delivery and one commit.
func (a *API) bulk(ctx context.Context, face normalizer.Face, in *bulkInput) (*bulkOutput, error) {
	if err := in.checkWait(); err != nil {
		return nil, err
	}
	form, err := bulkForm(in.ContentType)
	if err != nil {
		return nil, err
	}
	items, err := normalizers.Items(form, in.RawBody, maxBulk)
	switch {
	case err != nil:
		return nil, problem.Invalid("data", strings.TrimPrefix(err.Error(), change.ErrMalformed.Error()+": "))
	case len(items) == 0:
		return nil, problem.Invalid("data", "data has nothing in it")
	case len(items) > maxBulk:
		return nil, problem.Invalid("data", fmt.Sprintf("data has more than %d items; send the rest in another request", maxBulk))
	}
	b := a.readItems(auth.Org(ctx), face, items)
	if b.out.Counts.Accepted == 0 {
		return &bulkOutput{Status: http.StatusMultiStatus, Body: b.out}, nil
	}
	d := newDelivery(ctx, face, &in.WriteParams, failpoint.Wall(time.Now()))
	d.Header.Set(normalizers.BulkHeader, form)
	if form == normalizers.BulkLines {
		d.Header.Set("Content-Type", ndjson)
	}
	if len(b.services) > 0 {
		d.Header[normalizers.ServiceHeader] = b.services
	}
	setSkip(d.Header, b.skip)
	made, err := a.take(ctx, d, func(first *sighting, made []change.Change) error {
		for i := range made {
			if first != nil {
				made[i].CreatedAt, made[i].Provenance.DeliveryID = first.received, first.delivery
			}
			b.out.Data[made[i].Provenance.Index].Data = &client.BulkID{ID: made[i].ID}
		}
		a.repeatItems(ctx, d, b)
		return a.repeatRefusals(ctx, d, first, b)
	})
	if err != nil {
		return nil, err
	}
	a.rememberItems(d, b)
	out := &bulkOutput{Status: http.StatusCreated, Visible: a.await(ctx, in.Wait, b.awaited(made)), Body: b.out}
	if b.out.Counts.Refused > 0 {
		out.Status = http.StatusMultiStatus
	}
	return out, nil
}

// bulkForm says how a body of this type holds its items.
func bulkForm(contentType string) (string, error) {
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "", err == nil && media == "application/json":
		return normalizers.BulkList, nil
	case err == nil && (media == ndjson || media == "application/ndjson" || media == "application/jsonl"):
		return normalizers.BulkLines, nil
	}
	return "", problem.New(problem.Unsupported, "unsupported_media_type", "send JSON, with Content-Type: application/json, or "+ndjson)
}

// batch is a bulk request as it is read.
type batch struct {
	out      client.BulkResult
	own      []string // each item's own key, or empty
	skip     []int    // places of those that the pipeline must not record
	services []string // "id name" of those that are named
}

// readItems checks each item on its own.
func (a *API) readItems(org string, face normalizer.Face, items [][]byte) *batch {
	b := &batch{own: make([]string, len(items))}
	b.out.Data = make([]client.BulkItem, len(items))
	known := map[string]error{}
	for i, item := range items {
		c, own, err := face.ParseItem(item)
		if err == nil && c.ServiceID != "" {
			err = b.resolve(a, org, c.ServiceID, known)
		}
		if err != nil {
			b.skip = append(b.skip, i)
			b.out.Data[i] = refusedItem(refused(err))
			b.out.Counts.Refused++
			continue
		}
		b.out.Data[i].Status = http.StatusCreated
		b.out.Counts.Accepted++
		b.own[i] = own
	}
	return b
}

// resolve looks a service up once for all items that name it.
func (b *batch) resolve(a *API, org, id string, known map[string]error) error {
	err, ok := known[id]
	if !ok {
		s, found := a.Registry.Service(org, id)
		if found {
			b.services = append(b.services, s.ID+" "+s.Name)
		} else {
			err = problem.Invalid("service_id", fmt.Sprintf("there is no service %q; POST /api/v1/services makes one", clip(id)))
		}
		known[id] = err
	}
	return err
}

// awaited returns one of the changes to wait for: those that the request made are
// stored together, and those that were known are stored.
func (b *batch) awaited(made []change.Change) change.ID {
	var id change.ID
	for i := range made {
		place := made[i].Provenance.Index
		if b.out.Data[place].Data == nil {
			continue
		}
		id = b.out.Data[place].Data.ID
		if !slices.Contains(b.skip, place) {
			return id
		}
	}
	return id
}

// refusedItem says why an item was refused, as the whole request would be.
func refusedItem(err error) client.BulkItem {
	p := named(problem.From(err))
	return client.BulkItem{Status: p.Status(), Error: &client.BulkRefusal{
		Title: p.Title(), Status: p.Status(), Detail: p.Message, Reason: p.Reason, Field: p.Field,
	}}
}

func setSkip(h http.Header, skip []int) {
	if len(skip) == 0 {
		return
	}
	places := make([]string, len(skip))
	for i, place := range skip {
		places[i] = strconv.Itoa(place)
	}
	h.Set(normalizers.SkipHeader, strings.Join(places, ","))
}

// repeatItems answers items that are known by their own key with the change
// that was made of the first, and keeps the pipeline from recording them again.
// This process remembers what it took in lately; what is older, or came by
// another process, is in the store. While the store cannot be asked, an item
// counts as the first.
func (a *API) repeatItems(ctx context.Context, d *change.Delivery, b *batch) {
	known := map[string]change.ID{} // by own key
	var ask []change.ID
	for i, own := range b.own {
		if own == "" {
			continue
		}
		if first, ok := a.items.get(itemIdentity(d, own)); ok {
			known[own] = first.id
		} else {
			ask = append(ask, b.out.Data[i].Data.ID)
		}
	}
	stored := map[change.Fact]change.ID{}
	if len(ask) > 0 {
		lookup, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		var err error
		if stored, err = a.Store.KnownChanges(lookup, d.Org, d.ReceivedAt.Add(-itemsFor), ask); err != nil {
			a.metrics.lookups.Inc()
			a.log.Debug("keys of items not looked up", "error", err)
		}
	}
	for i, own := range b.own {
		if own == "" {
			continue
		}
		id := b.out.Data[i].Data.ID
		first, ok := known[own]
		if !ok {
			first, ok = stored[id.Fact()]
		}
		if ok {
			b.out.Data[i].Data.ID = first
			b.skip = append(b.skip, i)
			known[own] = first
			continue
		}
		known[own] = id // of two in this request, the first counts
	}
	setSkip(d.Header, b.skip)
}

// repeatRefusals refuses again what was refused of the first request with an
// Idempotency-Key, even if it is good now: of two such requests the pipeline
// records the first.
func (a *API) repeatRefusals(ctx context.Context, d *change.Delivery, first *sighting, b *batch) error {
	if first == nil {
		return nil
	}
	skipped := first.skipped
	if first.stored {
		p, err := a.Store.Payload(ctx, d.Org, first.delivery)
		if err != nil && problem.KindOf(err) != problem.NotFound { // it is kept for a while only
			return fmt.Errorf("get payload: %w", err)
		}
		skipped = p.Header.Get(normalizers.SkipHeader)
	}
	for place := range normalizers.Places(skipped) {
		if place >= len(b.out.Data) || b.out.Data[place].Error != nil || slices.Contains(b.skip, place) {
			continue // refused now as well, or known by its own key
		}
		e := problem.New(problem.Conflict, "idempotency_key_reused",
			"this item was refused when the Idempotency-Key was first used, and was not recorded; send it again with a new key")
		e.Field = "Idempotency-Key"
		b.out.Data[place] = refusedItem(e)
		b.out.Counts.Accepted--
		b.out.Counts.Refused++
	}
	return nil
}

func (a *API) rememberItems(d *change.Delivery, b *batch) {
	for i, own := range b.own {
		if own != "" && b.out.Data[i].Data != nil {
			a.items.add(itemIdentity(d, own), sighting{received: d.ReceivedAt, id: b.out.Data[i].Data.ID})
		}
	}
}

func itemIdentity(d *change.Delivery, own string) store.Identity {
	return store.Identity{Org: d.Org, SourceID: d.SourceID, Identity: own}
}
