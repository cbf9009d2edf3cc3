package client

import (
	"encoding/json"

	"whatchanged/pkg/change"
)

// The types of this file are the API's JSON, for both ends of the wire: the
// server answers with them and describes them in its OpenAPI document, from
// the doc, example and limit tags.

// Text is a string that is also read from a JSON number, as some CI systems
// send a pull request's number.
type Text string

// UnmarshalJSON reads a string or a number.
func (t *Text) UnmarshalJSON(b []byte) error {
	var n json.Number
	if err := json.Unmarshal(b, &n); err == nil && b[0] != '"' {
		*t = Text(n)
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// NewChange is a change to log. Only Summary is required.
type NewChange struct {
	Summary       string           `json:"summary" doc:"Short description of the change, one line" minLength:"1" maxLength:"200" example:"Deploy v2.1.0 to production"`
	ServiceID     string           `json:"service_id,omitempty" doc:"The service that changed; it must exist" maxLength:"64" example:"svc_abc123"`
	Type          string           `json:"change_type,omitempty" doc:"Kind of change; default deployment" enum:"deployment,config_change,infrastructure,code,database_migration,feature_flag,rollback,scaling,security_patch,other" example:"deployment"`
	Action        string           `json:"action,omitempty" doc:"Dotted verb, such as config.changed" maxLength:"200"`
	Status        string           `json:"status,omitempty" doc:"How far it has come" enum:"started,succeeded,failed,cancelled"`
	Description   string           `json:"description,omitempty" doc:"Detailed description" maxLength:"65536"`
	Source        string           `json:"source,omitempty" doc:"Source system, such as github_actions, jenkins or terraform; default api" maxLength:"200" example:"github_actions"`
	Environment   string           `json:"environment,omitempty" doc:"Target environment; default production" maxLength:"200" example:"production"`
	Risk          string           `json:"risk_level,omitempty" doc:"How dangerous it is thought to be; default low" enum:"low,medium,high,critical" example:"medium"`
	ChangedBy     string           `json:"changed_by,omitempty" doc:"Name or email of the person who made the change" maxLength:"320" example:"jane.doe"`
	Actor         *change.Actor    `json:"actor,omitempty" doc:"Who made the change, in full"`
	Resource      *change.Resource `json:"resource,omitempty" doc:"What was changed"`
	Repository    string           `json:"repository,omitempty" doc:"Repository, as owner/name" maxLength:"1024"`
	CommitSHA     string           `json:"commit_sha,omitempty" doc:"Git commit SHA" maxLength:"200" example:"abc1234def5678"`
	CommitMessage string           `json:"commit_message,omitempty" doc:"Full commit message" maxLength:"65536"`
	Branch        string           `json:"branch,omitempty" doc:"Git branch name" maxLength:"1024" example:"main"`
	Version       string           `json:"version,omitempty" doc:"Version that was deployed" maxLength:"200"`
	PRNumber      Text             `json:"pr_number,omitempty" doc:"Pull request number"`
	PRURL         string           `json:"pr_url,omitempty" doc:"Pull request URL" maxLength:"2048"`
	PipelineURL   string           `json:"pipeline_url,omitempty" doc:"CI/CD pipeline URL" maxLength:"2048"`
	Account       string           `json:"account,omitempty" doc:"Cloud account, project or subscription" maxLength:"200"`
	Region        string           `json:"region,omitempty" doc:"Cloud region" maxLength:"200"`
	ExternalID    string           `json:"external_id,omitempty" doc:"ID in the external system" maxLength:"1024"`
	CorrelationID string           `json:"correlation_id,omitempty" doc:"Ties started, succeeded and failed of one thing together" maxLength:"1024"`
	SessionID     string           `json:"session_id,omitempty" doc:"Session in which it was done" maxLength:"1024"`
	Tags          []string         `json:"tags,omitempty" doc:"Freeform tags" maxItems:"100" nullable:"false" example:"[\"billing\",\"release\"]"`
	Metadata      map[string]any   `json:"metadata,omitempty" doc:"Anything else worth keeping, at most 64 KiB"`
	OccurredAt    *change.Time     `json:"occurred_at,omitempty" doc:"When it happened; default now"`
}

// Meta says where a page stands in its list.
type Meta struct {
	Total      int64  `json:"total" doc:"How many match in all" example:"1"`
	Limit      int    `json:"limit" doc:"The most that a page holds" example:"25"`
	Offset     int    `json:"offset" doc:"How many were left out before this page" example:"0"`
	HasMore    bool   `json:"has_more" doc:"Whether more follow" example:"false"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Give it as cursor to get the next page; empty on the last"`
}

// Page is one page of a list.
type Page[T any] struct {
	Data []T  `json:"data" nullable:"false"`
	Meta Meta `json:"meta"`
}

// Service is a thing that changes are about, as people speak of it.
type Service struct {
	ID           string      `json:"id" example:"svc_abc123"`
	Name         string      `json:"name" example:"API Gateway"`
	Description  string      `json:"description,omitempty"`
	Repositories []string    `json:"repositories,omitempty" doc:"Repositories whose changes are this service's, as owner/name" nullable:"false"`
	Resources    []string    `json:"resources,omitempty" doc:"Names or ids of resources whose changes are this service's" nullable:"false"`
	CreatedAt    change.Time `json:"created_at"`
	UpdatedAt    change.Time `json:"updated_at"`
}

// NewService is a service to create.
type NewService struct {
	ID           string   `json:"id,omitempty" doc:"Wanted id; made when left out" pattern:"^svc_[A-Za-z0-9]{1,40}$" patternDescription:"svc_ and 1 to 40 letters or digits" example:"svc_abc123"`
	Name         string   `json:"name" minLength:"1" maxLength:"200" example:"API Gateway"`
	Description  string   `json:"description,omitempty" maxLength:"4096"`
	Repositories []string `json:"repositories,omitempty" maxItems:"100" nullable:"false" example:"[\"acme/gateway\"]"`
	Resources    []string `json:"resources,omitempty" maxItems:"100" nullable:"false"`
}

// ServicePatch changes what it names of a service.
type ServicePatch struct {
	Name         *string   `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Description  *string   `json:"description,omitempty" maxLength:"4096"`
	Repositories *[]string `json:"repositories,omitempty" maxItems:"100"`
	Resources    *[]string `json:"resources,omitempty" maxItems:"100"`
}

// Source is one configured entry point for webhooks.
type Source struct {
	ID                 string      `json:"id" example:"src_3k9x"`
	Name               string      `json:"name" example:"GitHub, acme"`
	Provider           string      `json:"provider" doc:"Who speaks here; auto detects it" example:"github"`
	Auth               string      `json:"auth" doc:"How a request proves who sent it, beside the token" example:"github_hmac"`
	Secrets            int         `json:"secrets" doc:"How many secrets are set; they are never shown" example:"1"`
	DefaultEnvironment string      `json:"default_environment,omitempty"`
	DefaultServiceID   string      `json:"default_service_id,omitempty"`
	IgnoreEvents       []string    `json:"ignore_events,omitempty" nullable:"false" example:"[\"github.push\"]"`
	Disabled           bool        `json:"disabled"`
	CreatedAt          change.Time `json:"created_at"`
	RotatedAt          change.Time `json:"rotated_at,omitzero"`
	OldTokenUntil      change.Time `json:"old_token_until,omitzero" doc:"Until then the token before the last rotation is good too"`
}

// SourceSecret is a source with its token, shown once: when the token is made.
type SourceSecret struct {
	Source
	Token      string `json:"token" doc:"Shown once"`
	WebhookURL string `json:"webhook_url" doc:"Where to send deliveries; it holds the token"`
}

// NewSource is a source to create.
type NewSource struct {
	Name               string   `json:"name" minLength:"1" maxLength:"200" example:"GitHub, acme"`
	Provider           string   `json:"provider,omitempty" doc:"Who speaks here; default auto, which detects it" maxLength:"64" example:"github"`
	Auth               string   `json:"auth,omitempty" doc:"How a request proves who sent it, beside the token; default none" enum:"none,github_hmac,gitlab_token,gitlab_signing" example:"github_hmac"`
	Secrets            []string `json:"secrets,omitempty" doc:"Secrets for auth; any of them may match" maxItems:"5" nullable:"false" writeOnly:"true"`
	DefaultEnvironment string   `json:"default_environment,omitempty" maxLength:"200" example:"production"`
	DefaultServiceID   string   `json:"default_service_id,omitempty" maxLength:"64"`
	IgnoreEvents       []string `json:"ignore_events,omitempty" doc:"Kinds of events not to record, such as github.push or github.*" maxItems:"100" nullable:"false"`
}

// SourcePatch changes what it names of a source.
type SourcePatch struct {
	Name               *string   `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Provider           *string   `json:"provider,omitempty" maxLength:"64"`
	Auth               *string   `json:"auth,omitempty" enum:"none,github_hmac,gitlab_token,gitlab_signing"`
	Secrets            *[]string `json:"secrets,omitempty" doc:"Replaces all secrets" maxItems:"5" writeOnly:"true"`
	DefaultEnvironment *string   `json:"default_environment,omitempty" maxLength:"200"`
	DefaultServiceID   *string   `json:"default_service_id,omitempty" maxLength:"64"`
	IgnoreEvents       *[]string `json:"ignore_events,omitempty" maxItems:"100"`
	Disabled           *bool     `json:"disabled,omitempty"`
}

// Key is an API key without its secret.
type Key struct {
	ID        string      `json:"id" example:"key_7m2p"`
	Name      string      `json:"name" example:"ci"`
	Scopes    []string    `json:"scopes" nullable:"false" example:"[\"changes:write\"]"`
	Role      string      `json:"role,omitempty" example:"member"`
	UserName  string      `json:"user_name,omitempty"`
	UserEmail string      `json:"user_email,omitempty"`
	ExpiresAt change.Time `json:"expires_at,omitzero"`
	CreatedAt change.Time `json:"created_at"`
}

// KeySecret is a key with its secret, shown once: when it is made.
type KeySecret struct {
	Key
	Secret string `json:"key" doc:"Shown once; send it as Authorization: Bearer"`
}

// NewKey is a key to create.
type NewKey struct {
	Name      string       `json:"name" minLength:"1" maxLength:"200" example:"ci"`
	Scopes    []string     `json:"scopes" minItems:"1" maxItems:"20" nullable:"false" example:"[\"changes:write\"]"`
	Role      string       `json:"role,omitempty" enum:"site_admin,power_user,member" doc:"Default member"`
	UserName  string       `json:"user_name,omitempty" maxLength:"200"`
	UserEmail string       `json:"user_email,omitempty" maxLength:"320"`
	ExpiresAt *change.Time `json:"expires_at,omitempty"`
}
