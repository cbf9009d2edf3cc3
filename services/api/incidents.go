package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/normalizers"
	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/tracing"
)

const (
	maxIncidentBody = 256 << 10
	// freshIncident is how long an incident that was just made here is waited for.
	freshIncident = 3 * time.Second
	// settled is how long after it was resolved all that was accepted before is
	// in the store: then what changed before an incident can be kept.
	settled = 10 * time.Second
	// incidentSuspects is how many changes are named.
	incidentSuspects = 25
)

type incidentsInput struct {
	Status      string `query:"status" doc:"Status" enum:"open,acknowledged,resolved"`
	Severity    string `query:"severity" doc:"How bad it is" enum:"low,medium,high,critical"`
	ServiceID   string `query:"service_id" doc:"Service in trouble" maxLength:"64"`
	Environment string `query:"environment" doc:"Environment, such as production" maxLength:"200"`
	Range
	Paging
	Order
}

type incidentInput struct{ IncidentPath }

// IncidentPath names an incident. The router reads it from the request, and it
// is exported for that alone.
type IncidentPath struct {
	ID string `path:"id" doc:"Incident" maxLength:"64" example:"inc_5q8n2v7k4m1p9r3s6t0w8x2y4z"`
}

// IncidentWait is how long a write waits. The router reads it from the request,
// and it is exported for that alone.
type IncidentWait struct {
	Wait spanParam `query:"wait" doc:"Answer only when the write can be queried, or after this time, at most 10s; X-Whatchanged-Visible says which"`
}

type createIncidentInput struct {
	IncidentWait
	IdempotencyKey string `header:"Idempotency-Key" doc:"Names this incident, so that sending it again records it once" maxLength:"255"`
	UserAgent      string `header:"User-Agent" hidden:"true"`
	Body           client.NewIncident
}

type updateIncidentInput struct {
	IncidentPath
	IncidentWait
	Body client.IncidentPatch
}

type resolveIncidentInput struct {
	IncidentPath
	IncidentWait
	Body *client.Resolution
}

type incidentOutput struct {
	Visible string `header:"X-Whatchanged-Visible" doc:"true once the write can be queried"`
	Body    object[client.Incident]
}

func (a *API) registerIncidents() {
	tags := []string{"incidents"}
	register(a, huma.Operation{
		OperationID: "list-incidents", Method: http.MethodGet, Path: "/api/v1/incidents", Tags: tags,
		Summary: "List incidents", Description: "Incidents that match every filter, by when they started, newest first. `start_date` and `end_date` select when that was.",
	}, auth.ChangesRead, a.listIncidents)
	register(a, huma.Operation{
		OperationID: "create-incident", Method: http.MethodPost, Path: "/api/v1/incidents", Tags: tags,
		Summary: "Record an incident", DefaultStatus: http.StatusCreated, MaxBodyBytes: maxIncidentBody,
		Description: "It is on disk before the answer is sent. The same `Idempotency-Key` with the same body answers with the same incident, with another body `409`. " +
			"Tools that can send webhooks report incidents at `POST /api/webhooks/incoming/incidents/{token}`, which needs no key.",
	}, auth.SourcesAdmin, a.createIncident)
	register(a, huma.Operation{
		OperationID: "get-incident", Method: http.MethodGet, Path: "/api/v1/incidents/{id}", Tags: tags,
		Summary: "Get one incident",
	}, auth.ChangesRead, a.getIncident)
	register(a, huma.Operation{
		OperationID: "update-incident", Method: http.MethodPatch, Path: "/api/v1/incidents/{id}", Tags: tags,
		Summary: "Change an incident", MaxBodyBytes: maxIncidentBody,
		Description: "Changes what the body names; what is empty stays as it is. A change of `status` also shows as a change of type `incident`.",
	}, auth.SourcesAdmin, a.updateIncident)
	register(a, huma.Operation{
		OperationID: "resolve-incident", Method: http.MethodPost, Path: "/api/v1/incidents/{id}/resolve", Tags: tags,
		Summary: "Resolve an incident", Description: "One that is resolved already stays as it is. What changed before it is kept as it is known now.",
		MaxBodyBytes: maxIncidentBody,
	}, auth.SourcesAdmin, a.resolveIncident)
	register(a, huma.Operation{
		OperationID: "list-incident-changes", Method: http.MethodGet, Path: "/api/v1/incidents/{id}/changes", Tags: tags,
		Summary: "What changed before an incident",
		Description: "Ranks the changes of the hour before it started by how likely they are to have led to it, those of its service and environment first. " +
			"Once the incident is resolved the answer stays as it is: what is accepted later is not in it.",
	}, auth.ChangesRead, a.listIncidentChanges)
}

// listIncidents serves GET /api/v1/incidents.
func (a *API) listIncidents(ctx context.Context, in *incidentsInput) (*many[client.Incident], error) {
	if err := in.Range.check(); err != nil {
		return nil, err
	}
	if err := in.Order.check(in.Paging); err != nil {
		return nil, err
	}
	page, err := a.Store.FindIncidents(ctx, store.IncidentQuery{
		Org: auth.Org(ctx), Status: change.IncidentStatus(in.Status), Severity: change.Risk(in.Severity),
		ServiceID: in.ServiceID, Environment: in.Environment, Start: in.Start.Time, End: in.End.Time,
		Limit: in.Limit, Offset: in.Offset, Cursor: in.Cursor, Sort: in.Sort,
	})
	if err != nil {
		return nil, fmt.Errorf("find incidents: %w", err)
	}
	return pageOf(page, incidentForm), nil
}

// getIncident serves GET /api/v1/incidents/{id}.
func (a *API) getIncident(ctx context.Context, in *incidentInput) (*one[client.Incident], error) {
	i, err := a.incident(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answer(incidentForm(i)), nil
}

// incident returns an incident of the caller's org. One that this process has
// just taken in is waited for.
func (a *API) incident(ctx context.Context, text string) (store.Incident, error) {
	id, err := change.ParseIncidentID(text)
	if err != nil {
		return store.Incident{}, notFound("incident")
	}
	org := auth.Org(ctx)
	_, fresh := a.recent.get(freshly(org, id))
	for deadline := time.Now().Add(freshIncident); ; {
		i, err := a.Store.Incident(ctx, org, id)
		if err == nil || problem.KindOf(err) != problem.NotFound || !fresh || time.Now().After(deadline) {
			if err != nil {
				err = fmt.Errorf("get incident: %w", err)
			}
			return i, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return store.Incident{}, ctx.Err()
		}
	}
}

// freshly is what an incident that was just made is remembered by.
func freshly(org string, id change.IncidentID) store.Identity {
	return store.Identity{Org: org, SourceID: change.KindIncidents, Identity: id.String()}
}

// createIncident serves POST /api/v1/incidents.
func (a *API) createIncident(ctx context.Context, in *createIncidentInput) (*incidentOutput, error) {
	b := &in.Body
	service, err := a.incidentService(ctx, b.ServiceID)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	req := normalizers.IncidentRequest{
		Title: normalizers.OneLine(b.Title), Description: b.Description, Severity: change.Risk(b.Severity), Status: change.IncidentStatus(b.Status),
		ServiceID: b.ServiceID, Environment: strings.TrimSpace(b.Environment), Source: b.Source, ExternalID: b.ExternalID, URL: b.URL,
		ChangedBy: b.ChangedBy, StartedAt: b.StartedAt, ResolvedAt: b.ResolvedAt,
	}
	if req.Title == "" {
		return nil, problem.Invalid("title", "title is required")
	}
	if req.Severity == "" {
		req.Severity = change.Medium
	}
	if req.Status == "" {
		req.Status = change.Open
	}
	if req.Metadata, err = checkIncident(in.Wait, b.URL, b.Metadata); err != nil {
		return nil, err
	}
	if err := checkTimes(&req, now); err != nil {
		return nil, err
	}
	d, err := newIncidentDelivery(ctx, &req, service, now)
	if err != nil {
		return nil, err
	}
	if in.UserAgent != "" {
		d.Header.Set("User-Agent", clip(in.UserAgent))
	}
	if in.IdempotencyKey != "" {
		d.Header.Set("Idempotency-Key", in.IdempotencyKey)
		d.Identity = change.IncidentIdentity(normalizers.Identity(d.Header))
	}
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
	report, err := a.report(d, first)
	if err != nil {
		return nil, err
	}
	made := store.Incident{ID: report.ID, Org: d.Org, StartedAt: report.StartedAt, CreatedAt: report.CreatedAt, Provider: provider}
	if made.StartedAt.IsZero() {
		made.StartedAt = report.At
	}
	add(&made, report)
	if first != nil {
		made.CreatedAt, made.UpdatedAt = first.received, first.received
		if kept, err := a.Store.Incident(ctx, d.Org, report.ID); err == nil {
			made = kept
		}
	}
	before := &made // of a repeat: nothing is done again
	if first == nil {
		before = nil
	}
	if err := a.commitIncident(ctx, d, before, made); err != nil {
		return nil, err
	}
	if first == nil {
		a.recent.add(id, sighting{received: d.ReceivedAt, delivery: d.ID, body: sha256.Sum256(d.Body), service: service.ID})
	}
	return a.incidentAnswer(ctx, made, d, in.Wait.d), nil
}

// updateIncident serves PATCH /api/v1/incidents/{id}.
func (a *API) updateIncident(ctx context.Context, in *updateIncidentInput) (*incidentOutput, error) {
	b := &in.Body
	metadata, err := checkIncident(in.Wait, b.URL, b.Metadata)
	if err != nil {
		return nil, err
	}
	service, err := a.incidentService(ctx, b.ServiceID)
	if err != nil {
		return nil, err
	}
	return a.tellIncident(ctx, in.ID, in.Wait.d, service, normalizers.IncidentRequest{
		Title: normalizers.OneLine(b.Title), Description: b.Description, Severity: change.Risk(b.Severity), Status: change.IncidentStatus(b.Status),
		ServiceID: b.ServiceID, Environment: strings.TrimSpace(b.Environment), ExternalID: b.ExternalID, URL: b.URL,
		ChangedBy: b.ChangedBy, Metadata: metadata,
	})
}

// resolveIncident serves POST /api/v1/incidents/{id}/resolve.
func (a *API) resolveIncident(ctx context.Context, in *resolveIncidentInput) (*incidentOutput, error) {
	if _, err := checkIncident(in.Wait, "", nil); err != nil {
		return nil, err
	}
	req := normalizers.IncidentRequest{Status: change.Resolved}
	if in.Body != nil {
		req.ChangedBy, req.Description = in.Body.ChangedBy, in.Body.Description
	}
	return a.tellIncident(ctx, in.ID, in.Wait.d, change.Service{}, req)
}

// tellIncident takes in what a request says of an incident that is known. The
// status that it has already is not said again, nor who says only that.
func (a *API) tellIncident(ctx context.Context, id string, wait time.Duration, service change.Service, req normalizers.IncidentRequest) (*incidentOutput, error) {
	known, err := a.incident(ctx, id)
	if err != nil {
		return nil, err
	}
	if req.Status == known.Status {
		req.Status = ""
		by := req.ChangedBy
		if req.ChangedBy = ""; saysNothing(&req, service) {
			return &incidentOutput{Body: object[client.Incident]{incidentForm(known)}}, nil
		}
		req.ChangedBy = by
	}
	if saysNothing(&req, service) {
		return nil, problem.New(problem.Malformed, "nothing_to_change", "the body names nothing to change")
	}
	req.About = &normalizers.IncidentAbout{
		Title: known.Title, Environment: known.Environment, URL: known.URL, Service: change.Service{ID: known.ServiceID, Name: known.ServiceName},
	}
	d, err := newIncidentDelivery(ctx, &req, service, failpoint.Wall(time.Now()))
	if err != nil {
		return nil, err
	}
	if err := a.admit(d); err != nil {
		return nil, err
	}
	d.Header.Set(change.HeaderIncident, known.ID.String())
	report, err := a.report(d, nil)
	if err != nil {
		return nil, err
	}
	before := known
	add(&known, report)
	if err := a.commitIncident(ctx, d, &before, known); err != nil {
		return nil, err
	}
	return a.incidentAnswer(ctx, known, d, wait), nil
}

// saysNothing reports whether a request has nothing to say of an incident.
func saysNothing(req *normalizers.IncidentRequest, service change.Service) bool {
	return service == (change.Service{}) && req.Title == "" && req.Description == "" && req.Severity == "" && req.Status == "" &&
		req.Environment == "" && req.ExternalID == "" && req.URL == "" && req.ChangedBy == "" && req.Metadata == nil
}

// incidentService returns the service that a request names.
func (a *API) incidentService(ctx context.Context, id string) (change.Service, error) {
	if id == "" {
		return change.Service{}, nil
	}
	s, ok := a.Registry.Service(auth.Org(ctx), id)
	if !ok {
		return change.Service{}, problem.Invalid("service_id", fmt.Sprintf("there is no service %q; POST /api/v1/services makes one", clip(id)))
	}
	return change.Service{ID: s.ID, Name: s.Name}, nil
}

// checkIncident holds what the schema cannot say, and returns the metadata.
func checkIncident(wait spanParam, url string, metadata map[string]any) (json.RawMessage, error) {
	if wait.d > maxWait {
		return nil, problem.Invalid("wait", "wait is at most 10s")
	}
	if url != "" && !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
		return nil, problem.Invalid("url", "url must be an http or https URL")
	}
	if len(metadata) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(metadata)
	if err != nil || len(text) > change.MaxMetadata {
		return nil, problem.Invalid("metadata", fmt.Sprintf("metadata must be at most %d bytes", change.MaxMetadata))
	}
	return text, nil
}

// checkTimes holds what an incident's times must be to each other.
func checkTimes(req *normalizers.IncidentRequest, now time.Time) error {
	for field, t := range map[string]*change.Time{"started_at": req.StartedAt, "resolved_at": req.ResolvedAt} {
		switch {
		case t == nil:
		case t.After(now):
			return problem.Invalid(field, field+" lies in the future")
		case t.Before(time.UnixMilli(1)):
			return problem.Invalid(field, field+" lies before 1970")
		}
	}
	if req.ResolvedAt == nil {
		return nil
	}
	if req.Status != change.Resolved {
		return problem.Invalid("resolved_at", "resolved_at goes with status resolved")
	}
	if req.StartedAt == nil || req.ResolvedAt.Before(req.StartedAt.Time) {
		return problem.Invalid("resolved_at", "resolved_at must not be before started_at, which must be given too")
	}
	return nil
}

// newIncidentDelivery makes the delivery that a request about an incident is.
func newIncidentDelivery(ctx context.Context, req *normalizers.IncidentRequest, service change.Service, now time.Time) (*change.Delivery, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode incident: %w", err)
	}
	p, _ := auth.PrincipalFrom(ctx)
	return &change.Delivery{
		ID: change.NewDeliveryID(now), Org: p.Org, SourceID: p.KeyID, ReceivedAt: change.At(now),
		Header: http.Header{"Content-Type": {"application/json"}, change.HeaderKind: {change.KindIncidents}},
		Body:   body, Provider: provider, Service: service,
	}, nil
}

// report makes what the pipeline will make of the delivery.
func (a *API) report(d *change.Delivery, first *sighting) (change.IncidentReport, error) {
	received := d.ReceivedAt
	if first != nil {
		received = first.received
	}
	made := a.Normalizers.Process(d, normalizers.Settings{}, received.Time, d.ReceivedAt.Time)
	if len(made.Incidents) != 1 {
		return change.IncidentReport{}, problem.New(problem.Malformed, "malformed", "this is not an incident: "+made.Reason)
	}
	return made.Incidents[0], nil
}

// commitIncident takes a delivery in, and remembers what it is about.
//
// It is between two records of the audit trail, as the registry's writes are.
// before is nil for an incident that is new.
func (a *API) commitIncident(ctx context.Context, d *change.Delivery, before *store.Incident, after store.Incident) error {
	c := audit.Change{
		Org: d.Org, Operation: audit.OpCreate, New: incidentForm(after),
		Object: audit.Object{Kind: "incident", ID: after.ID.String(), Name: after.Title},
	}
	if before != nil {
		c.Operation, c.Old = audit.OpUpdate, incidentForm(*before)
	}
	if after.ServiceID != "" {
		c.Parents = []audit.Object{{Kind: "service", ID: after.ServiceID, Name: after.ServiceName}}
	}
	became, err := a.Audit.Begin(ctx, c)
	if err != nil {
		return fmt.Errorf("record incident: %w", err)
	}
	// As for changes: a caller who leaves now would come again.
	d.TraceParent = tracing.Parent(ctx)
	if _, err := a.Committer.Commit(context.WithoutCancel(ctx), d); err != nil {
		became(audit.Unknown)
		return fmt.Errorf("commit: %w", err)
	}
	became(audit.Done)
	a.recent.add(freshly(d.Org, after.ID), sighting{received: d.ReceivedAt})
	return nil
}

func (a *API) incidentAnswer(ctx context.Context, i store.Incident, d *change.Delivery, wait time.Duration) *incidentOutput {
	out := &incidentOutput{Body: object[client.Incident]{incidentForm(i)}}
	if wait > 0 {
		out.Visible = a.written(ctx, d, wait)
	}
	return out
}

// add adds the latest report to an incident, as the store does when it reads
// them all.
func add(i *store.Incident, r change.IncidentReport) {
	switch r.Status {
	case change.Acknowledged:
		if i.AcknowledgedAt.IsZero() {
			i.AcknowledgedAt = r.At
		}
	case change.Resolved:
		if i.Status != change.Resolved {
			i.ResolvedAt, i.ResolvedSeen = r.At, r.CreatedAt
		}
	}
	if r.Status != "" {
		i.Status = r.Status
	}
	if i.Status != change.Resolved {
		i.ResolvedAt, i.ResolvedSeen = change.Time{}, change.Time{}
	}
	say(&i.Title, r.Title)
	say(&i.Description, r.Description)
	say(&i.Severity, r.Severity)
	say(&i.ServiceID, r.ServiceID)
	say(&i.ServiceName, r.ServiceName)
	say(&i.Environment, r.Environment)
	say(&i.Source, r.Source)
	say(&i.ExternalID, r.ExternalID)
	say(&i.URL, r.URL)
	say(&i.ChangedBy, r.ChangedBy)
	say(&i.Actor.ID, r.Actor.ID)
	say(&i.Actor.Name, r.Actor.Name)
	say(&i.Actor.Type, r.Actor.Type)
	if len(r.Metadata) > 0 {
		i.Metadata = r.Metadata
	}
	i.UpdatedAt = r.CreatedAt
}

// say takes what a report says.
func say[T ~string](to *T, said T) {
	if said != "" {
		*to = said
	}
}

// listIncidentChanges serves GET /api/v1/incidents/{id}/changes.
func (a *API) listIncidentChanges(ctx context.Context, in *incidentInput) (*one[client.IncidentChanges], error) {
	i, err := a.incident(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if i.Status != change.Resolved {
		out, err := a.changesBefore(ctx, &i)
		return answer(out), err
	}
	kept, err := a.Store.KeptAnswer(ctx, i.Org, i.ID)
	if err != nil {
		return nil, fmt.Errorf("get kept answer: %w", err)
	}
	if kept != nil {
		var out client.IncidentChanges
		if err := json.Unmarshal(kept, &out); err != nil {
			return nil, fmt.Errorf("read kept answer of %s: %w", i.ID, err)
		}
		return answer(out), nil
	}
	out, err := a.changesBefore(ctx, &i)
	if err != nil {
		return nil, err
	}
	once := store.Identity{Org: i.Org, SourceID: "kept", Identity: i.ID.String()}
	if _, done := a.recent.get(once); !done && time.Since(i.ResolvedSeen.Time) > settled {
		if err := a.keep(ctx, &i, &out); err != nil {
			a.log.Warn("what changed before an incident is not kept yet", "incident_id", i.ID, "error", err)
		} else {
			a.recent.add(once, sighting{received: change.At(time.Now())}) // until it can be read
		}
	}
	return answer(out), nil
}

// changesBefore asks what changed before an incident. Of one that is resolved,
// only what was accepted by then counts.
func (a *API) changesBefore(ctx context.Context, i *store.Incident) (client.IncidentChanges, error) {
	q := client.WhatChangedQuery{At: i.StartedAt.Time, Environment: i.Environment, Limit: incidentSuspects}
	if _, ok := a.Registry.Service(i.Org, i.ServiceID); ok { // it may have been deleted since
		q.ServiceID = i.ServiceID
	}
	resolved := i.Status == change.Resolved
	var asOf time.Time
	if resolved {
		asOf = i.ResolvedSeen.Time
	}
	found, err := a.whatChanged(ctx, q, asOf)
	if err != nil {
		return client.IncidentChanges{}, err
	}
	return client.IncidentChanges{WhatChanged: found, IncidentID: i.ID, Kept: resolved}, nil
}

// keep puts the answer beside the incident, in the way that all that is said of
// incidents goes: by a delivery.
func (a *API) keep(ctx context.Context, i *store.Incident, out *client.IncidentChanges) error {
	text, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	req := normalizers.IncidentRequest{Kept: text, About: &normalizers.IncidentAbout{}}
	d, err := newIncidentDelivery(ctx, &req, change.Service{}, failpoint.Wall(time.Now()))
	if err != nil {
		return err
	}
	d.Header.Set(change.HeaderIncident, i.ID.String())
	return a.commitIncident(ctx, d, i, *i) // nothing is done to it
}

func incidentForm(i store.Incident) client.Incident {
	return client.Incident{
		ID: i.ID, Title: i.Title, Description: i.Description, Severity: i.Severity, Status: string(i.Status),
		ServiceID: i.ServiceID, ServiceName: i.ServiceName, Environment: i.Environment,
		StartedAt: i.StartedAt, AcknowledgedAt: i.AcknowledgedAt, ResolvedAt: i.ResolvedAt,
		Source: i.Source, Provider: i.Provider, ExternalID: i.ExternalID, URL: i.URL, ChangedBy: i.ChangedBy, Actor: i.Actor,
		Metadata: i.Metadata, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt,
	}
}

// written waits until the row of a delivery can be read, and so what it said.
func (a *API) written(ctx context.Context, d *change.Delivery, wait time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		if _, err := a.Store.Delivery(ctx, d.Org, d.ID); err == nil {
			return "true"
		}
		select {
		case <-time.After(40 * time.Millisecond):
		case <-ctx.Done():
			return "false"
		}
	}
}
