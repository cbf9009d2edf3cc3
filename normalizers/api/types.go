package api

import (
	"fmt"

	"whatchanged/pkg/change"
)

// FieldError says which field of a request is wrong, and how. It wraps
// change.ErrMalformed.
type FieldError struct {
	Field   string // as in the request: "risk_level", "resource.url"; empty for the body itself
	Message string // for the person who made the call
}

// Error returns the field and what is wrong with it.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// Unwrap returns change.ErrMalformed: the same request will never work.
func (*FieldError) Unwrap() error { return change.ErrMalformed }

func wrong(field, format string, args ...any) error {
	return &FieldError{Field: field, Message: fmt.Sprintf(format, args...)}
}

// Defaults of what a request leaves out.
const (
	defaultType        = change.Deployment
	defaultSource      = "api"
	defaultEnvironment = "production"
	defaultRisk        = change.Low
)

const provider = "api"

// changeTypes are the types that POST /api/v1/changes takes.
var changeTypes = []change.Type{
	change.Deployment, change.ConfigChange, change.Infrastructure, change.Code, change.DatabaseMigration,
	change.FeatureFlag, change.Rollback, change.Scaling, change.SecurityPatch, change.Other,
}

// Limits of a request, besides change.MaxSummary and change.MaxMetadata.
const (
	maxText  = 16 << 10 // bytes of description and commit message
	maxName  = 1 << 10  // bytes of any other text
	maxTags  = 100
	maxDepth = 64  // of metadata that is looked into for secrets
	maxKey   = 255 // bytes of an item's idempotency key
	// maxFields is how many members of a body are looked at: more than any face has.
	maxFields = 200
)

// actorTypes are the types that an actor can have.
var actorTypes = []string{"user", "service", "bot", "system", "ci_system", "engineer", "secret_manager", "alerting"}
