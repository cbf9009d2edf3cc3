package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// timeParam is a moment in a query string.
type timeParam struct{ time.Time }

// Schema describes the parameter.
func (timeParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "ISO 8601: a date, or a time with its zone", Examples: []any{"2026-03-30T15:30:00Z"}}
}

// UnmarshalText reads RFC 3339 or a date, which is its midnight in UTC. A plus
// that was not escaped arrives as a space, and is meant as a plus.
func (p *timeParam) UnmarshalText(b []byte) error {
	text := strings.Replace(string(b), " ", "+", 1)
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		t, err := time.Parse(layout, text)
		if t = t.UTC(); err == nil && t.Year() >= 0 && t.Year() <= 9999 { // a zone can lead out of what we can write
			p.Time = t
			return nil
		}
	}
	return fmt.Errorf("%q is not a time; write it as 2026-03-30T15:30:00Z or 2026-03-30", clip(string(b)))
}

// spanParam is a length of time in a query string.
type spanParam struct {
	d   time.Duration
	set bool
}

// Schema describes the parameter.
func (spanParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "A length of time: 30s, 15m, 1h or 7d", Examples: []any{"1h"}}
}

// UnmarshalText reads what time.ParseDuration does, and days.
func (p *spanParam) UnmarshalText(b []byte) error {
	text := string(b)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 366 {
			p.d, p.set = time.Duration(n)*24*time.Hour, true
			return nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		p.d, p.set = d, true
		return nil
	}
	return fmt.Errorf("%q is not a length of time; write it as 30s, 15m, 1h or 7d", clip(text))
}

// Filter selects changes by what they are. The router reads it from the query
// string, and it is exported for that alone.
type Filter struct {
	Type          []string `query:"change_type" doc:"Kinds of change, comma-separated: any of them" enum:"deployment,config_change,infrastructure,code,database_migration,feature_flag,rollback,scaling,security_patch,maintenance,access_change,secret_rotation,incident,other" maxItems:"14"`
	Source        string   `query:"source" doc:"Source system, such as github, gitlab, cloudtrail, azure, gcp, api or jenkins" maxLength:"200"`
	Environment   string   `query:"environment" doc:"Environment, such as production" maxLength:"200"`
	Query         string   `query:"q" doc:"Words that the summary must all have" maxLength:"200"`
	Actor         string   `query:"actor" doc:"Name, email or id of who made the change" maxLength:"320"`
	ActorID       string   `query:"actor_id" doc:"Id of who made the change" maxLength:"320"`
	Action        string   `query:"action" doc:"Action; * stands for any characters, as in deployment.*" maxLength:"200"`
	ResourceID    string   `query:"resource_id" doc:"Id or name of what was changed" maxLength:"2048"`
	Repository    string   `query:"repository" doc:"Repository, as owner/name" maxLength:"1024"`
	Branch        string   `query:"branch" doc:"Branch" maxLength:"1024"`
	Version       string   `query:"version" doc:"Version that was deployed" maxLength:"1024"`
	CommitSHA     string   `query:"commit_sha" doc:"Commit, or the beginning of it" minLength:"4" maxLength:"200"`
	Risk          []string `query:"risk_level" doc:"Risk levels, comma-separated: any of them" enum:"low,medium,high,critical" maxItems:"4"`
	Status        []string `query:"status" doc:"Statuses, comma-separated: any of them" enum:"started,succeeded,failed,cancelled" maxItems:"4"`
	Tag           string   `query:"tag" doc:"A tag that the change must have" maxLength:"200"`
	Account       string   `query:"account" doc:"Cloud account, project or subscription" maxLength:"1024"`
	Region        string   `query:"region" doc:"Cloud region" maxLength:"200"`
	Provider      string   `query:"provider" doc:"Who delivered it, such as github or aws" maxLength:"200"`
	SessionID     string   `query:"session_id" doc:"Session that the change was made in" maxLength:"1024"`
	CorrelationID string   `query:"correlation_id" doc:"What ties started, succeeded and failed of one thing together" maxLength:"1024"`
	ExternalID    string   `query:"external_id" doc:"The provider's id of the thing" maxLength:"1024"`
	DeliveryID    string   `query:"delivery_id" doc:"Only what this delivery made" maxLength:"64"`
}

func (f Filter) filter(org, serviceID string) (store.ChangeFilter, error) {
	id, err := deliveryID("delivery_id", f.DeliveryID)
	return store.ChangeFilter{
		Org:           org,
		ServiceID:     serviceID,
		Types:         words[change.Type](f.Type),
		Source:        f.Source,
		Environment:   f.Environment,
		Q:             f.Query,
		Actor:         f.Actor,
		ActorID:       f.ActorID,
		Action:        f.Action,
		ResourceID:    f.ResourceID,
		Repository:    f.Repository,
		Branch:        f.Branch,
		Version:       f.Version,
		CommitSHA:     f.CommitSHA,
		Risks:         words[change.Risk](f.Risk),
		Statuses:      words[change.Status](f.Status),
		Tag:           f.Tag,
		Account:       f.Account,
		Region:        f.Region,
		Provider:      f.Provider,
		SessionID:     f.SessionID,
		CorrelationID: f.CorrelationID,
		ExternalID:    f.ExternalID,
		DeliveryID:    id,
	}, err
}

// words makes a list of texts one of another kind of text.
func words[T ~string](texts []string) []T {
	var out []T
	for _, text := range texts {
		out = append(out, T(text))
	}
	return out
}

// OneService selects the changes of one service.
type OneService struct {
	ServiceID string `query:"service_id" doc:"Service" maxLength:"64"`
}

// Range selects by time, half-open.
type Range struct {
	Start timeParam `query:"start_date" doc:"From this time on"`
	End   timeParam `query:"end_date" doc:"Before this time"`
}

func (r Range) check() error {
	if !r.Start.IsZero() && !r.End.IsZero() && !r.Start.Before(r.End.Time) {
		return problem.Invalid("end_date", "end_date must be after start_date")
	}
	return nil
}

// or returns the range with what is missing filled in: the end is now, and the
// start is span before the end.
func (r Range) or(span time.Duration, now time.Time) (start, end time.Time) {
	start, end = r.Start.Time, r.End.Time
	if end.IsZero() {
		end = now.Add(time.Millisecond) // half-open, and now is wanted too
	}
	if start.IsZero() {
		start = end.Add(-span)
	}
	return start, end
}

// Paging says which page of a list is wanted.
type Paging struct {
	Limit  int `query:"limit" doc:"The most to return" minimum:"1" maximum:"100" default:"25"`
	Offset int `query:"offset" doc:"How many to leave out; beyond 10,000 use cursor" minimum:"0" maximum:"10000" default:"0"`
}

// Order says in which order, and after what, a list goes on.
type Order struct {
	Cursor string `query:"cursor" doc:"meta.next_cursor of the page before; offset is then not allowed" maxLength:"512"`
	Sort   string `query:"sort" doc:"desc: newest first; asc: oldest first" enum:"desc,asc" default:"desc"`
}

func (o Order) check(p Paging) error {
	if o.Cursor != "" && p.Offset > 0 {
		return problem.Invalid("offset", "give either offset or cursor, not both")
	}
	return nil
}

// object is the form of an answer with a single object.
type object[T any] struct {
	Data T `json:"data"`
}

// one answers with a single object.
type one[T any] struct{ Body object[T] }

func answer[T any](data T) *one[T] {
	return &one[T]{Body: object[T]{data}}
}

// many answers with a list.
type many[T any] struct{ Body client.Page[T] }

// pageOf answers with a page of the store, its rows turned into the API's.
func pageOf[R, T any](p store.Page[R], form func(R) T) *many[T] {
	out := &many[T]{}
	out.Body.Meta = client.Meta{Total: p.Total, Limit: p.Limit, Offset: p.Offset, HasMore: p.HasMore, NextCursor: p.NextCursor}
	out.Body.Data = make([]T, len(p.Data))
	for i, row := range p.Data {
		out.Body.Data[i] = form(row)
	}
	return out
}

// cut answers with a page of a list that is in memory.
func cut[R, T any](all []R, p Paging, form func(R) T) *many[T] {
	rest := all[min(p.Offset, len(all)):]
	return pageOf(store.Page[R]{
		Data:    rest[:min(p.Limit, len(rest))],
		Total:   int64(len(all)),
		Limit:   p.Limit,
		Offset:  p.Offset,
		HasMore: len(rest) > p.Limit,
	}, form)
}

func same[T any](v T) T { return v }
