package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/problem"
)

// An answer in huma's error form has these statuses; the rest of the table is
// problem's own.
var kinds = map[string]problem.Kind{
	"400": problem.Malformed,
	"406": problem.Malformed,
	"408": problem.Timeout,
	"413": problem.TooLarge,
	"415": problem.Unsupported,
	"422": problem.Malformed,
}

// What to do about a field beyond what huma says of it.
var advice = map[string]string{
	"query.offset": "; to go further, give meta.next_cursor of the page before as cursor",
	"body.tags":    "; write them as a list of strings",
}

// asProblem turns huma's own errors (validation, body too large) into ours, as
// a transformer of answers: huma's hook for it is a package variable, which
// two APIs in one process would fight over.
func asProblem(ctx huma.Context, status string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	kind, ok := kinds[status]
	if !ok {
		return problem.From(errors.New(model.Detail)), nil
	}
	p := problem.New(kind, "malformed", model.Detail)
	switch kind {
	case problem.TooLarge:
		p.Reason = "body_too_large"
		p.Message = fmt.Sprintf("the body is over the limit of %d bytes", ctx.Operation().MaxBodyBytes)
	case problem.Timeout:
		p.Reason, p.Message = "body_too_slow", "the body came too slowly"
	case problem.Unsupported:
		p.Reason, p.Message = "unsupported_media_type", "send JSON, with Content-Type: application/json"
	case problem.Malformed:
		explain(p, ctx.Operation(), model)
	}
	return p, nil
}

// explain says which fields are wrong and what to do, without echoing values.
func explain(p *problem.Error, op *huma.Operation, model *huma.ErrorModel) {
	var said []string
	for _, e := range model.Errors {
		where, text := e.Location, e.Message
		in, field, _ := strings.Cut(where, ".")
		if in == "query" {
			field, _, _ = strings.Cut(field, "[") // the parameter is one, however many values it lists
		}
		switch {
		case text == "unknown query parameter":
			field, p.Reason = clip(field), "unknown_parameter"
			text = "there is no such parameter; there are " + strings.Join(queryNames(op), ", ")
		case text == "unexpected property":
			field, p.Reason = cmp.Or(clip(field), `""`), "unknown_field"
			text = "there is no such field; see /openapi.json"
		case strings.HasPrefix(text, "expected required property "):
			name, _, _ := strings.Cut(strings.TrimPrefix(text, "expected required property "), " ")
			field, text = strings.TrimPrefix(field+"."+name, "."), "is required"
		case field == "":
			text = "the body is not JSON as RFC 8259 has it: " + text
		}
		text = clipTo(strings.TrimPrefix(text, "invalid value: "), maxSaid) + advice[where]
		if p.Field == "" {
			p.Field = field
		}
		if p.Reason == "malformed" && field != "" {
			p.Reason = "invalid_" + strings.TrimRight(strings.Split(field, "[")[0], ".")
		}
		if field != "" {
			text = field + ": " + text
		}
		said = append(said, text)
	}
	if len(said) > 0 {
		p.Message = strings.Join(said[:min(len(said), 10)], "; ")
	}
}

// queryNames lists an operation's query parameters.
func queryNames(op *huma.Operation) []string {
	var names []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	if names == nil {
		return []string{"none"}
	}
	return names
}

// maxSaid is the most that is said of one fault: a parser may quote the body.
const maxSaid = 1000

// clip keeps a name that the caller made up from filling the answer.
func clip(s string) string { return clipTo(s, 64) }

func clipTo(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

// malformedStatus makes huma's 422 a 400, as all malformed requests are.
type malformedStatus struct{ humaContext }

// humaContext is huma.Context under another name: embedded, that one would
// hide its own method Context.
type humaContext huma.Context

func (c malformedStatus) Unwrap() huma.Context { return c.humaContext }

func (c malformedStatus) SetStatus(code int) {
	if code == http.StatusUnprocessableEntity {
		code = http.StatusBadRequest
	}
	c.humaContext.SetStatus(code)
}

// refusal lets huma write one of our errors.
type refusal struct{ problem *problem.Error }

func (r refusal) Error() string                { return r.problem.Error() }
func (r refusal) GetStatus() int               { return r.problem.Status() }
func (r refusal) MarshalJSON() ([]byte, error) { return r.problem.MarshalJSON() }
func (r refusal) ContentType(string) string    { return "application/problem+json" }

func (r refusal) GetHeaders() http.Header {
	h := http.Header{}
	problem.SetHeaders(h, r.problem)
	return h
}

// fail makes an operation's error one that huma answers with.
func (a *API) fail(ctx context.Context, operation string, err error) error {
	return refusal{a.told(ctx, operation, err)}
}

// told is the one place where an operation's error becomes what its caller is
// told. What we did not foresee goes to the log and says nothing to the caller.
func (a *API) told(ctx context.Context, operation string, err error) *problem.Error {
	p := named(problem.From(err))
	if p.Kind == problem.Internal && ctx.Err() == nil {
		a.log.Error("request failed", "operation", operation, "request_id", httpserver.RequestID(ctx), "error", err)
	}
	return p
}

// named returns an error whose message names its field.
func named(p *problem.Error) *problem.Error {
	if p.Field == "" || strings.Contains(p.Message, p.Field) {
		return p
	}
	out := *p
	out.Message = p.Field + ": " + p.Message
	return &out
}

// notFound says that there is no such thing in the caller's org, in the store's
// words; whether another org has one cannot be told from it.
func notFound(what string) error {
	return problem.New(problem.NotFound, what+"_not_found", "there is no such "+what)
}

// deliveryID reads a delivery's id out of a filter.
func deliveryID(field, value string) (change.DeliveryID, error) {
	if value == "" {
		return change.DeliveryID{}, nil
	}
	id, err := change.ParseDeliveryID(value)
	if err != nil {
		return id, problem.Invalid(field, field+" is dlv_ and 26 characters")
	}
	return id, nil
}
