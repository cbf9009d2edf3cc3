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
	Description   string           `json:"description,omitempty" doc:"Detailed description" maxLength:"16384"`
	Source        string           `json:"source,omitempty" doc:"Source system, such as github_actions, jenkins or terraform; default api" maxLength:"200" example:"github_actions"`
	Environment   string           `json:"environment,omitempty" doc:"Target environment; default production" maxLength:"200" example:"production"`
	Risk          string           `json:"risk_level,omitempty" doc:"How dangerous it is thought to be; default low" enum:"low,medium,high,critical" example:"medium"`
	ChangedBy     string           `json:"changed_by,omitempty" doc:"Name or email of the person who made the change" maxLength:"320" example:"jane.doe"`
	Actor         *change.Actor    `json:"actor,omitempty" doc:"Who made the change, in full"`
	Resource      *change.Resource `json:"resource,omitempty" doc:"What was changed"`
	Repository    string           `json:"repository,omitempty" doc:"Repository, as owner/name" maxLength:"1024"`
	CommitSHA     string           `json:"commit_sha,omitempty" doc:"Git commit SHA" maxLength:"200" example:"abc1234def5678"`
	CommitMessage string           `json:"commit_message,omitempty" doc:"Full commit message" maxLength:"16384"`
	Branch        string           `json:"branch,omitempty" doc:"Git branch name" maxLength:"1024" example:"main"`
	Version       string           `json:"version,omitempty" doc:"Version that was deployed" maxLength:"200"`
	PRNumber      Text             `json:"pr_number,omitempty" doc:"Pull request number"`
	PRURL         string           `json:"pr_url,omitempty" doc:"Pull request URL" maxLength:"1024"`
	PipelineURL   string           `json:"pipeline_url,omitempty" doc:"CI/CD pipeline URL" maxLength:"1024"`
	Account       string           `json:"account,omitempty" doc:"Cloud account, project or subscription" maxLength:"200"`
	Region        string           `json:"region,omitempty" doc:"Cloud region" maxLength:"200"`
	ExternalID    string           `json:"external_id,omitempty" doc:"ID in the external system" maxLength:"1024"`
	CorrelationID string           `json:"correlation_id,omitempty" doc:"Ties started, succeeded and failed of one thing together" maxLength:"1024"`
	SessionID     string           `json:"session_id,omitempty" doc:"Session in which it was done" maxLength:"1024"`
	Tags          []string         `json:"tags,omitempty" doc:"Freeform tags" maxItems:"100" example:"[\"billing\",\"release\"]"`
	Metadata      map[string]any   `json:"metadata,omitempty" doc:"Anything else worth keeping, at most 64 KiB"`
	OccurredAt    *change.Time     `json:"occurred_at,omitempty" doc:"When it happened; default now"`
}

// Meta says where a page stands in its list.
type Meta struct {
	Total      int64  `json:"total" doc:"How many match in all; -1 where that is not counted" example:"1"`
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
	Owners       []string    `json:"owners,omitempty" doc:"Names or mails of those who answer for it" nullable:"false"`
	Dependencies []string    `json:"dependencies,omitempty" doc:"Ids of the services that it needs to work" nullable:"false"`
	Repositories []string    `json:"repositories,omitempty" doc:"Repositories whose changes are this service's, as owner/name" nullable:"false"`
	Resources    []string    `json:"resources,omitempty" doc:"Names or ids of resources whose changes are this service's" nullable:"false"`
	Tags         []string    `json:"tags,omitempty" doc:"Tags whose changes are this service's" nullable:"false"`
	Accounts     []string    `json:"accounts,omitempty" doc:"Cloud accounts, projects or subscriptions whose changes are this service's" nullable:"false"`
	CreatedAt    change.Time `json:"created_at"`
	UpdatedAt    change.Time `json:"updated_at"`
}

// NewService is a service to create.
type NewService struct {
	ID           string   `json:"id,omitempty" doc:"Wanted id; made when left out" pattern:"^svc_[A-Za-z0-9]{1,40}$" patternDescription:"svc_ and 1 to 40 letters or digits" example:"svc_abc123"`
	Name         string   `json:"name" minLength:"1" maxLength:"200" example:"API Gateway"`
	Description  string   `json:"description,omitempty" maxLength:"2000"`
	Repositories []string `json:"repositories,omitempty" doc:"Whose changes are this service's: owner/name, or a pattern such as acme/*" maxItems:"1000" nullable:"false" example:"[\"acme/gateway\"]"`
	Resources    []string `json:"resources,omitempty" doc:"Names or ids of resources, or patterns" maxItems:"1000" nullable:"false"`
	Tags         []string `json:"tags,omitempty" doc:"Tags, or patterns such as service:api-*" maxItems:"1000" nullable:"false" example:"[\"service:api\"]"`
	Accounts     []string `json:"accounts,omitempty" doc:"Cloud accounts, projects or subscriptions, or patterns" maxItems:"1000" nullable:"false"`
	Owners       []string `json:"owners,omitempty" doc:"Names or mails of those who answer for it" maxItems:"1000" nullable:"false" example:"[\"jane.doe@example.com\"]"`
	Dependencies []string `json:"dependencies,omitempty" doc:"Ids of the services that it needs to work; they must exist" maxItems:"1000" nullable:"false"`
}

// ServicePatch changes what it names of a service.
type ServicePatch struct {
	Name         *string   `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Description  *string   `json:"description,omitempty" maxLength:"2000"`
	Repositories *[]string `json:"repositories,omitempty" doc:"Whose changes are this service's: owner/name, or a pattern such as acme/*" maxItems:"1000"`
	Resources    *[]string `json:"resources,omitempty" doc:"Names or ids of resources, or patterns" maxItems:"1000"`
	Tags         *[]string `json:"tags,omitempty" doc:"Tags, or patterns such as service:api-*" maxItems:"1000"`
	Accounts     *[]string `json:"accounts,omitempty" doc:"Cloud accounts, projects or subscriptions, or patterns" maxItems:"1000"`
	Owners       *[]string `json:"owners,omitempty" doc:"Names or mails of those who answer for it" maxItems:"1000"`
	Dependencies *[]string `json:"dependencies,omitempty" doc:"Ids of the services that it needs to work; they must exist" maxItems:"1000"`
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
	LastUsed  change.Time `json:"last_used,omitzero" doc:"To the minute"`

	RotatedAt   change.Time `json:"rotated_at,omitzero"`
	OldKeyUntil change.Time `json:"old_key_until,omitzero" doc:"Until then the key before the last rotation is good too"`
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
	UserEmail string       `json:"user_email,omitempty" maxLength:"200"`
	ExpiresAt *change.Time `json:"expires_at,omitempty"`
	Secret    string       `json:"key,omitempty" doc:"A key that is in use already, perhaps with another product; made when left out" minLength:"16" maxLength:"256" writeOnly:"true"`
}

// Delivery is one request that was taken in, and what became of it.
type Delivery struct {
	ID            change.DeliveryID `json:"id" example:"dlv_01kjx2v5c0qj3m8z4n6r7t9w1y"`
	SourceID      string            `json:"source_id" doc:"Source or, for calls of this API, key it came by"`
	Identity      string            `json:"identity,omitempty" doc:"How the request named itself, such as github:72d3162e-..."`
	Outcome       string            `json:"outcome" enum:"stored,duplicate,ignored,dead" example:"stored"`
	Reason        string            `json:"reason,omitempty" doc:"Why it is ignored or dead, or of what it is a duplicate"`
	Provider      string            `json:"provider,omitempty" example:"github"`
	DetectedBy    string            `json:"detected_by,omitempty" doc:"How the provider was recognised" example:"header:X-GitHub-Event"`
	Conflict      bool              `json:"conflict,omitempty" doc:"Its identity was known with another body; the first was kept"`
	Changes       int               `json:"changes" doc:"How many changes were made of it"`
	DeadRecords   int               `json:"dead_records,omitempty" doc:"How many of its records could not be processed"`
	Size          int               `json:"size" doc:"Bytes of its body"`
	BodySHA256    string            `json:"body_sha256"`
	ReceivedAt    change.Time       `json:"received_at"`
	FirstReceived change.Time       `json:"first_received" doc:"When the first delivery of this identity was received"`
	NormalizedAt  change.Time       `json:"normalized_at"`
	StoredAt      change.Time       `json:"stored_at"`
	Run           int               `json:"run,omitempty" doc:"0, or which replay"`
	Lane          string            `json:"lane" example:"fresh"`
	Chain         string            `json:"chain" doc:"Chain, frame and place say where on the bus it is"`
	Frame         uint64            `json:"frame"`
	Place         int               `json:"place"`
}

// Payload is a delivery's body as it came.
type Payload struct {
	ContentType string
	Body        []byte
}

// StatsRow is one group of changes in one bucket of time.
type StatsRow struct {
	Start change.Time       `json:"start,omitzero" doc:"Of the bucket"`
	Group map[string]string `json:"group,omitempty" doc:"What the group has in common"`
	Other bool              `json:"other,omitempty" doc:"Everything that is in none of the largest groups"`
	Count int64             `json:"count"`
	// When compared with the time before.
	Previous *int64 `json:"previous,omitempty" doc:"How many there were in as long a time just before, with compare=previous"`
	Delta    *int64 `json:"delta,omitempty" doc:"count less previous"`
}

// AccountRow is the account of one source in one bucket of time: received is
// the sum of all that follows, to missing.
type AccountRow struct {
	Start    change.Time `json:"start"`
	SourceID string      `json:"source_id"`
	AccountCounts
}

// AccountCounts are the counts of an account.
type AccountCounts struct {
	Received  int64 `json:"received" doc:"Deliveries, counted on the bus before anything became of them"`
	Stored    int64 `json:"stored"`
	Duplicate int64 `json:"duplicate"`
	Ignored   int64 `json:"ignored"`
	Dead      int64 `json:"dead" doc:"Could not be processed; those of unreadable frames too"`
	InFlight  int64 `json:"in_flight" doc:"On the bus, and not through the pipeline yet"`
	Missing   int64 `json:"missing" doc:"Through the pipeline, and nothing says what became of them: lost in the store, or anywhere"`
	Uncounted int64 `json:"uncounted" doc:"Of received: those of which only their outcome says that they came, such as all from before there was a count"`
	Closed    bool  `json:"closed" doc:"Nothing is missing"`
}

// AccountTotals is the account of a whole range.
type AccountTotals struct {
	AccountCounts
	InFlightSince  change.Time `json:"in_flight_since,omitzero" doc:"Minute in which the oldest was received that is in flight"`
	NotCountedFrom change.Time `json:"not_counted_from,omitzero" doc:"What came after is on the bus and not counted yet: nothing is closed for sure"`
}

// Account is what became of everything that was received.
type Account struct {
	Data   []AccountRow  `json:"data" nullable:"false"`
	Totals AccountTotals `json:"totals"`
}
