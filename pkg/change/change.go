// Package change says what the product is about: a delivery comes in, and
// becomes changes. It holds the types, their identities and the few rules that
// belong to them, and imports nothing but the standard library.
package change

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrMalformed marks input that will never work, however often it is tried:
// the caller keeps it in the dead letters instead of retrying.
var ErrMalformed = errors.New("malformed")

// Limits of a change. What a webhook brings beyond them is cut and hinted;
// the API refuses it.
const (
	MaxSummary  = 200      // characters
	MaxMetadata = 64 << 10 // bytes of JSON
)

// Change is our record: something changed, somewhere, by someone, at a time.
// Empty fields are left out of its JSON.
type Change struct {
	ID            ID              `json:"id"`
	Org           string          `json:"-"`
	ServiceID     string          `json:"service_id,omitempty"`
	ServiceName   string          `json:"service_name,omitempty"`
	Type          Type            `json:"change_type"`
	Action        string          `json:"action,omitempty"`
	Status        Status          `json:"status,omitempty"`
	Summary       string          `json:"summary"`
	Description   string          `json:"description,omitempty"`
	Source        string          `json:"source,omitempty"`
	Environment   string          `json:"environment,omitempty"`
	Risk          Risk            `json:"risk_level,omitempty"`
	RiskHints     []string        `json:"risk_hints,omitempty"`
	ChangedBy     string          `json:"changed_by,omitempty"`
	Actor         Actor           `json:"actor,omitzero"`
	Resource      Resource        `json:"resource,omitzero"`
	Repository    string          `json:"repository,omitempty"`
	CommitSHA     string          `json:"commit_sha,omitempty"`
	CommitMessage string          `json:"commit_message,omitempty"`
	Branch        string          `json:"branch,omitempty"`
	Version       string          `json:"version,omitempty"`
	PRNumber      string          `json:"pr_number,omitempty"`
	PRURL         string          `json:"pr_url,omitempty"`
	PipelineURL   string          `json:"pipeline_url,omitempty"`
	Account       string          `json:"account,omitempty"`
	Region        string          `json:"region,omitempty"`
	ExternalID    string          `json:"external_id,omitempty"`
	CorrelationID string          `json:"correlation_id,omitempty"`
	SessionID     string          `json:"session_id,omitempty"`
	Tags          []string        `json:"tags,omitempty"`
	Metadata      json.RawMessage `json:"metadata,omitempty"` // one JSON object, or nil
	OccurredAt    Time            `json:"occurred_at"`
	CreatedAt     Time            `json:"created_at"`
	Provenance    Provenance      `json:"provenance,omitzero"`
}

// Actor is who did it.
type Actor struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"` // user service bot system ci_system engineer secret_manager alerting
}

// Resource is what it was done to.
type Resource struct {
	Type string `json:"type,omitempty"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	URL  string `json:"url,omitempty"`
}

// Provenance says which delivery a change came from and who made it.
type Provenance struct {
	SourceID   string     `json:"source_id,omitempty"`
	DeliveryID DeliveryID `json:"delivery_id,omitzero"`
	Index      int        `json:"index"` // place of the record inside the delivery
	Provider   string     `json:"provider,omitempty"`
	Normalizer string     `json:"normalizer,omitempty"`
	Version    int        `json:"version,omitempty"` // of the normalizer
	DetectedBy string     `json:"detected_by,omitempty"`
}

// Type is the kind of a change.
type Type string

// The types a change can have.
const (
	Deployment        Type = "deployment"
	ConfigChange      Type = "config_change"
	Infrastructure    Type = "infrastructure"
	Code              Type = "code"
	DatabaseMigration Type = "database_migration"
	FeatureFlag       Type = "feature_flag"
	Rollback          Type = "rollback"
	Scaling           Type = "scaling"
	SecurityPatch     Type = "security_patch"
	Maintenance       Type = "maintenance"
	AccessChange      Type = "access_change"
	SecretRotation    Type = "secret_rotation"
	Incident          Type = "incident"
	Other             Type = "other"
)

// Types lists every type, in the order documents show them.
func Types() []Type {
	return []Type{
		Deployment, ConfigChange, Infrastructure, Code, DatabaseMigration, FeatureFlag, Rollback,
		Scaling, SecurityPatch, Maintenance, AccessChange, SecretRotation, Incident, Other,
	}
}

// Status is how far the thing that a change reports has come; often empty.
type Status string

// The statuses a change can have.
const (
	Started   Status = "started"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Statuses lists every status.
func Statuses() []Status { return []Status{Started, Succeeded, Failed, Cancelled} }

// Risk is how dangerous a change is thought to be.
type Risk string

// The risk levels, lowest first.
const (
	Low      Risk = "low"
	Medium   Risk = "medium"
	High     Risk = "high"
	Critical Risk = "critical"
)

// Risks lists every risk level, lowest first.
func Risks() []Risk { return []Risk{Low, Medium, High, Critical} }

// Time is a moment in UTC, to the millisecond, written in JSON as RFC 3339
// with exactly three decimals.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// At returns t as the product keeps it: in UTC, cut to the millisecond.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Millisecond)}
}

// AtMilli returns the moment ms milliseconds after 1970.
func AtMilli(ms int64) Time { return Time{time.UnixMilli(ms).UTC()} }

// String formats the time as JSON shows it.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalJSON writes RFC 3339 with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(timeLayout)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON reads RFC 3339 in any zone and precision.
func (t *Time) UnmarshalJSON(b []byte) error {
	var read time.Time
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	if y := read.UTC().Year(); y < 0 || y > 9999 { // its zone leads out of what MarshalJSON can write
		return fmt.Errorf("%w: a time in the year %d", ErrMalformed, y)
	}
	*t = At(read)
	return nil
}
