package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"whatchanged/normalizers"
	normalizer "whatchanged/normalizers/api"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/tracing"
)

const (
	maxChangeBody = 1 << 20
	maxWait       = 10 * time.Second
	provider      = "api"
)

// WriteParams is what every way of logging a change takes. The router reads it
// from the request, and it is exported for that alone.
type WriteParams struct {
	Wait           spanParam `query:"wait" doc:"Answer only when the change can be queried, or after this time, at most 10s; X-Whatchanged-Visible says which"`
	IdempotencyKey string    `header:"Idempotency-Key" doc:"Names this change, so that sending it again records it once" maxLength:"255"`
	ContentType    string    `header:"Content-Type" hidden:"true"`
	UserAgent      string    `header:"User-Agent" hidden:"true"`
	RawBody        []byte
}

type logInput struct {
	WriteParams
	Body client.NewChange
}

type serviceLogInput struct {
	ID string `path:"id" doc:"Service" maxLength:"64" example:"svc_abc123"`
	WriteParams
	Body client.NewChange
}

// written answers with the change that was written, in its face's form.
type written[T any] struct {
	Visible string `header:"X-Whatchanged-Visible" doc:"true once the change can be queried"`
	Body    object[T]
}

// logChange serves POST /api/v1/changes.
func (a *API) logChange(ctx context.Context, in *logInput) (*written[change.Change], error) {
	s, err := a.serviceOf(ctx, in.Body.ServiceID)
	if err != nil {
		return nil, err
	}
	return write(ctx, a, normalizer.Changes, &in.WriteParams, s, same)
}

// logServiceChange serves POST /api/v1/services/{id}/changes.
func (a *API) logServiceChange(ctx context.Context, in *serviceLogInput) (*written[change.Change], error) {
	s, err := a.service(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if in.Body.ServiceID != "" && in.Body.ServiceID != in.ID {
		return nil, problem.Invalid("service_id", "service_id names another service than the path; leave it out")
	}
	return write(ctx, a, normalizer.Changes, &in.WriteParams, change.Service{ID: s.ID, Name: s.Name}, same)
}

// serviceOf finds the service that a body names, if it names one.
func (a *API) serviceOf(ctx context.Context, id string) (change.Service, error) {
	if id == "" {
		return change.Service{}, nil
	}
	s, ok := a.Registry.Service(auth.Org(ctx), id)
	if !ok {
		return change.Service{}, problem.Invalid("service_id", fmt.Sprintf("there is no service %q; POST /api/v1/services makes one", clip(id)))
	}
	return change.Service{ID: s.ID, Name: s.Name}, nil
}

// write takes one change in, by any of the faces, and answers in its form.
func write[T any](ctx context.Context, a *API, face normalizer.Face, in *WriteParams, service change.Service, form func(change.Change) T) (*written[T], error) {
	if err := checkChange(face, in); err != nil {
		return nil, err
	}
	d := newDelivery(ctx, face, in, failpoint.Wall(time.Now()))
	d.Service = service
	made, err := a.take(ctx, d, func(first *sighting, made []change.Change) error {
		if first == nil {
			return nil
		}
		kept, err := a.repeat(ctx, first, service, made[0])
		made[0] = kept
		return err
	})
	if err != nil {
		return nil, err
	}
	return &written[T]{Visible: a.await(ctx, in.Wait, made[0].ID), Body: object[T]{form(made[0])}}, nil
}

// take takes a request in: it becomes a delivery, as a webhook does, and is on
// the bus before the answer is sent. The normalizer is pure, so what it makes
// of the delivery here is what the pipeline will store. What settle makes of
// the changes before they are committed is what is answered; first is the
// first request with the same Idempotency-Key, or nil.
func (a *API) take(ctx context.Context, d *change.Delivery, settle func(first *sighting, made []change.Change) error) ([]change.Change, error) {
	if err := a.admit(d); err != nil {
		return nil, err
	}
	id := identityOf(d)
	release, err := a.recent.claim(ctx, id)
	if err != nil {
		return nil, err
	}
	defer release()
	first, err := a.firstOf(ctx, d)
	if err != nil {
		return nil, err
	}
	made, err := a.normalize(d, first)
	if err != nil {
		return nil, err
	}
	if err := settle(first, made); err != nil {
		return nil, err
	}
	// A caller who leaves now would come again with the same Idempotency-Key: that
	// it was taken in must be known then. The committer waits for a few seconds at most.
	d.TraceParent = tracing.Parent(ctx)
	if _, err := a.Committer.Commit(context.WithoutCancel(ctx), d); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	outcome := "known"
	if first == nil {
		a.recent.add(id, sighting{
			received: d.ReceivedAt, delivery: d.ID, body: sha256.Sum256(d.Body), service: d.Service.ID,
			skipped: d.Header.Get(normalizers.SkipHeader),
		})
		outcome = "new"
	}
	a.metrics.logged.WithLabelValues(outcome).Add(float64(len(made)))
	return made, nil
}

// admit refuses what an org sends above its limits, as the receiver does.
func (a *API) admit(d *change.Delivery) error {
	org := a.Orgs.Org(d.Org)
	e := org.Admit(d.ReceivedAt.Time)
	if e == nil {
		e = org.AdmitBytes(d.ReceivedAt.Time, len(d.Body))
	}
	if e == nil {
		return nil
	}
	return e
}

// normalize makes the changes that the pipeline will make of the delivery.
func (a *API) normalize(d *change.Delivery, first *sighting) ([]change.Change, error) {
	received := d.ReceivedAt
	if first != nil {
		received = first.received
	}
	settings := normalizers.Settings{
		FindService: func(c *change.Change) (change.Service, bool) {
			return a.Registry.FindService(d.Org, c)
		},
	}
	made := a.Normalizers.Process(d, settings, received.Time, d.ReceivedAt.Time)
	if made.Outcome != change.Stored {
		return nil, problem.New(problem.Malformed, "malformed", "this is not a change: "+made.Reason)
	}
	return made.Changes, nil
}

// checkChange holds what the schema cannot say. The normalizer reads the body
// again, and would call what is wrong with it a dead letter.
func checkChange(face normalizer.Face, in *WriteParams) error {
	if err := in.checkWait(); err != nil {
		return err
	}
	_, err := face.Parse(in.RawBody)
	return refused(err)
}

func (in *WriteParams) checkWait() error {
	if in.Wait.d > maxWait {
		return problem.Invalid("wait", "wait is at most 10s")
	}
	return nil
}

// refused makes a problem of what the normalizer says of a field.
func refused(err error) error {
	var wrong *normalizer.FieldError
	if errors.As(err, &wrong) && wrong.Field != "" {
		e := problem.Invalid(wrong.Field, wrong.Error())
		field := wrong.Field
		for _, free := range []string{"tags", "metadata"} { // what is inside is the caller's own
			if strings.HasPrefix(field, free+".") {
				field = free
			}
		}
		e.Reason = "invalid_" + strings.ReplaceAll(field, ".", "_")
		if wrong.Unknown {
			e.Reason = "unknown_field"
		}
		return e
	}
	return err
}

// newDelivery makes the delivery that a request is. Its id is drawn before the
// commit, so that the answer can name it.
func newDelivery(ctx context.Context, face normalizer.Face, in *WriteParams, now time.Time) *change.Delivery {
	p, _ := auth.PrincipalFrom(ctx)
	h := http.Header{"Content-Type": {"application/json"}, normalizers.FaceHeader: {string(face)}}
	if in.UserAgent != "" {
		h.Set("User-Agent", clip(in.UserAgent))
	}
	if in.IdempotencyKey != "" {
		h.Set("Idempotency-Key", in.IdempotencyKey)
	}
	return &change.Delivery{
		ID:         change.NewDeliveryID(now),
		Org:        p.Org,
		SourceID:   p.KeyID,
		ReceivedAt: change.At(now),
		Header:     h,
		Body:       in.RawBody,
		Identity:   normalizers.Identity(h),
		Provider:   provider,
	}
}

func identityOf(d *change.Delivery) store.Identity {
	return store.Identity{Org: d.Org, SourceID: d.SourceID, Identity: d.Identity}
}

// firstOf returns the first request with d's Idempotency-Key, or nil. What this
// process took in lately it remembers; what is older, or came by another
// process, is in the store. While the store cannot be asked, a request counts
// as the first, and so does a repeat that another process gets before the row
// of the first is written: taking it in goes before answering with the same id,
// and the normalizer, which waits for the store, records the fact once anyway.
func (a *API) firstOf(ctx context.Context, d *change.Delivery) (*sighting, error) {
	if d.Identity == "" {
		return nil, nil
	}
	id := identityOf(d)
	first, ok := a.recent.get(id)
	if !ok {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		found, err := a.Store.KnownIdentities(ctx, []store.Identity{id})
		if err != nil {
			a.metrics.lookups.Inc()
			a.log.Debug("idempotency key not looked up", "error", err)
			return nil, nil
		}
		k, ok := found[id]
		if !ok {
			return nil, nil
		}
		first = sighting{received: k.FirstReceived, delivery: k.DeliveryID, body: k.BodyHash, stored: true}
	}
	if first.body != sha256.Sum256(d.Body) {
		return nil, a.conflict()
	}
	return &first, nil
}

// repeat returns the change of the first request with an Idempotency-Key.
// again is what this one would have made: the same, but for the delivery.
func (a *API) repeat(ctx context.Context, first *sighting, service change.Service, again change.Change) (change.Change, error) {
	again.CreatedAt, again.Provenance.DeliveryID = first.received, first.delivery
	if !first.stored {
		if first.service != service.ID {
			return again, a.conflict()
		}
		return again, nil
	}
	kept, err := a.Store.Change(ctx, again.Org, again.ID)
	switch {
	case problem.KindOf(err) == problem.NotFound: // its row is not written yet
		return again, nil
	case err != nil:
		return again, fmt.Errorf("get change: %w", err)
	case service.ID != "" && kept.ServiceID != service.ID:
		return again, a.conflict()
	}
	return kept, nil
}

func (a *API) conflict() error {
	a.metrics.logged.WithLabelValues("conflict").Inc()
	e := problem.New(problem.Conflict, "idempotency_key_reused",
		"this Idempotency-Key was used for another change, which is kept; send a new key with a new change")
	e.Field = "Idempotency-Key"
	return e
}

// await waits, if the caller wants that, until a change can be queried, and
// says whether it can.
func (a *API) await(ctx context.Context, wait spanParam, id change.ID) string {
	if wait.d == 0 {
		return ""
	}
	return strconv.FormatBool(a.visible(ctx, auth.Org(ctx), id, wait.d))
}

// visible waits until a change can be queried, and reports whether it can.
func (a *API) visible(ctx context.Context, org string, id change.ID, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		_, err := a.Store.Change(ctx, org, id)
		if err == nil {
			return true
		}
		if problem.KindOf(err) != problem.NotFound && !errors.Is(err, context.DeadlineExceeded) {
			a.log.Debug("waiting for a change", "error", err) // the store may come back within the wait
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}
