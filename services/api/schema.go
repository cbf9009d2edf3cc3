package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

// document returns the OpenAPI document without its operations. Sessions are in
// the cookie of that name.
func document(cookie string) huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		name := strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "Doc")
		return strings.Replace(name, "Selected", "Change", 1) // a change of which some fields are shown
	})
	alias(schemas, change.Time{}, time.Time{})
	alias(schemas, change.Type(""), typeDoc(""))
	alias(schemas, change.Status(""), statusDoc(""))
	alias(schemas, change.Risk(""), riskDoc(""))
	alias(schemas, change.Change{}, changeDoc{})
	alias(schemas, selected{}, changeDoc{})
	alias(schemas, client.Text(""), textDoc(""))
	alias(schemas, change.ID{}, idDoc(""))
	alias(schemas, change.Provenance{}, provenanceDoc{})
	alias(schemas, json.RawMessage{}, map[string]any{})
	alias(schemas, huma.ErrorModel{}, problemDoc{})
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "whatchanged",
				Version: "1",
				Description: "What changed? Log changes, list them, follow them, and see what became of everything that was delivered. " +
					"Send an API key as `Authorization: Bearer <key>`. Errors are `application/problem+json`, with a `reason` for programs and a `detail` for people. " +
					"Webhooks go to `POST /api/webhooks/incoming/changes/{token}`, which needs no key.",
			},
			Servers: []*huma.Server{{URL: "/"}},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key":     {Type: "http", Scheme: "bearer", Description: "An API key"},
					"session": {Type: "apiKey", In: "cookie", Name: cookie, Description: "What a browser keeps of whoever signed in: it may what its key or its user's role may"},
				},
			},
			Tags: []*huma.Tag{
				{Name: "changes", Description: "What changed"},
				{Name: "change-events", Description: "The same changes, in the short form that CI jobs send"},
				{Name: "events", Description: "The same changes, as who did what to what"},
				{Name: "incidents", Description: "What went wrong, and what changed before"},
				{Name: "services", Description: "What changes are about"},
				{Name: "deliveries", Description: "What arrived, and what became of it"},
				{Name: "stats", Description: "Counts"},
				{Name: "sources", Description: "Where webhooks enter"},
				{Name: "keys", Description: "Who may call"},
				{Name: "session", Description: "Who is calling"},
				{Name: "audit", Description: "Who did what to the product itself"},
			},
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{asProblem},
	}
}

// finish completes the schemas. In a new change, null is the same as no value:
// what builds JSON from a CI job's variables often cannot leave a field out.
// And answers may get more fields than they have today, so a client that was
// made from the document must not refuse them.
func finish(schemas huma.Registry) {
	sent := []string{"Actor", "Resource", "OIDC", "ServiceMapping", "AWSCredentials"} // and what is new or a patch
	for name, s := range schemas.Map() {
		exemplify(s)
		if !strings.HasPrefix(name, "New") && !strings.HasSuffix(name, "Patch") && !slices.Contains(sent, name) {
			s.AdditionalProperties = nil
		}
	}
	for _, name := range []string{"NewChange", "NewChangeEvent", "NewEvent", "BulkChange", "BulkChangeEvent", "BulkEvent"} {
		s := schemas.Map()[name]
		for name, property := range s.Properties {
			property.Nullable = property.Ref == "" && !slices.Contains(s.Required, name)
		}
		s.PrecomputeMessages()
	}
}

// alias makes the document describe values of type T as those of type D.
func alias[T, D any](schemas huma.Registry, _ T, _ D) {
	schemas.RegisterTypeAlias(reflect.TypeFor[T](), reflect.TypeFor[D]())
}

type typeDoc string

// Schema lists the types of changes.
func (typeDoc) Schema(huma.Registry) *huma.Schema { return wordSchema(change.Types()) }

type statusDoc string

// Schema lists the statuses.
func (statusDoc) Schema(huma.Registry) *huma.Schema { return wordSchema(change.Statuses()) }

type riskDoc string

// Schema lists the risk levels.
func (riskDoc) Schema(huma.Registry) *huma.Schema { return wordSchema(change.Risks()) }

func wordSchema[T ~string](words []T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, w := range words {
		s.Enum = append(s.Enum, string(w))
	}
	return s
}

type idDoc string

// Schema says what an id is.
func (idDoc) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{"chg_01kjx2v5c0qj3m8z4n6r7t9w1y"}}
}

type textDoc string

// Schema says that a number will do too.
func (textDoc) Schema(huma.Registry) *huma.Schema {
	length := 200
	s := &huma.Schema{
		OneOf:    []*huma.Schema{{Type: huma.TypeString, MaxLength: &length}, {Type: huma.TypeNumber}},
		Examples: []any{"123"},
	}
	s.PrecomputeMessages()
	return s
}

// changeDoc describes change.Change, whose package knows nothing of documents.
type changeDoc struct {
	ID            string          `json:"id" example:"chg_01kjx2v5c0qj3m8z4n6r7t9w1y" doc:"The same fact has the same id, however it arrives"`
	ServiceID     string          `json:"service_id,omitempty" example:"svc_abc123"`
	ServiceName   string          `json:"service_name,omitempty" example:"API Gateway"`
	Type          change.Type     `json:"change_type" example:"deployment"`
	Action        string          `json:"action,omitempty" doc:"Dotted verb" example:"deployment.succeeded"`
	Status        change.Status   `json:"status,omitempty"`
	Summary       string          `json:"summary" doc:"One line" example:"Deploy v2.1.0 to production"`
	Description   string          `json:"description,omitempty" example:"Release includes new billing module and bug fixes"`
	Source        string          `json:"source,omitempty" doc:"The request's own word, else the provider" example:"api"`
	Environment   string          `json:"environment,omitempty" example:"production"`
	Risk          change.Risk     `json:"risk_level,omitempty" example:"medium"`
	RiskHints     []string        `json:"risk_hints,omitempty" doc:"Why, and what was inferred" nullable:"false"`
	ChangedBy     string          `json:"changed_by,omitempty" doc:"Name or email" example:"jane.doe"`
	Actor         change.Actor    `json:"actor,omitzero" doc:"The full form of changed_by"`
	Resource      change.Resource `json:"resource,omitzero" doc:"What was changed"`
	Repository    string          `json:"repository,omitempty"`
	CommitSHA     string          `json:"commit_sha,omitempty" example:"abc1234def5678"`
	CommitMessage string          `json:"commit_message,omitempty"`
	Branch        string          `json:"branch,omitempty" example:"main"`
	Version       string          `json:"version,omitempty"`
	PRNumber      string          `json:"pr_number,omitempty"`
	PRURL         string          `json:"pr_url,omitempty"`
	PipelineURL   string          `json:"pipeline_url,omitempty"`
	Account       string          `json:"account,omitempty" doc:"Cloud account, project or subscription"`
	Region        string          `json:"region,omitempty"`
	ExternalID    string          `json:"external_id,omitempty" doc:"The provider's id of the thing"`
	CorrelationID string          `json:"correlation_id,omitempty" doc:"Ties started, succeeded and failed of one thing together"`
	SessionID     string          `json:"session_id,omitempty"`
	Tags          []string        `json:"tags,omitempty" nullable:"false" example:"[\"billing\",\"release\"]"`
	Metadata      map[string]any  `json:"metadata,omitempty" doc:"Anything else, such as old and new values"`
	OccurredAt    time.Time       `json:"occurred_at" doc:"When it happened"`
	CreatedAt     time.Time       `json:"created_at" doc:"When it was accepted" example:"2026-03-30T15:30:00.000Z"`
	Provenance    provenanceDoc   `json:"provenance,omitzero" doc:"Which delivery it came from and who made it"`
}

type provenanceDoc change.Provenance

// problemDoc describes problem.Error.
type problemDoc struct {
	Title  string `json:"title" example:"Malformed request"`
	Status int    `json:"status" example:"400"`
	Detail string `json:"detail" doc:"What is wrong and what to do about it" example:"limit: expected number <= 100"`
	Reason string `json:"reason" doc:"One word, for programs" example:"invalid_limit"`
	Field  string `json:"field,omitempty" doc:"Of the request, when one is to blame" example:"limit"`
}

// ContentType is that of RFC 9457.
func (problemDoc) ContentType(string) string { return "application/problem+json" }
