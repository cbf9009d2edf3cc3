// Package normalizers turns deliveries into changes. It holds the contract
// that every provider's normalizer keeps, the detection of who speaks, and
// what the providers share. All of it is pure: the same delivery gives the
// same changes today, in a replay next year, and in a test.
package normalizers

import (
	"net/http"

	"whatchanged/pkg/change"
)

// Record is one thing inside a delivery after its envelopes are opened.
type Record struct {
	Provider   string // who speaks: "github", "cloudtrail", ... or "generic"
	DetectedBy string // how that was seen: "header:X-GitHub-Event", "shape:cloudtrail-records", "source"
	Event      string // the provider's word for the kind of event where an envelope or header has it, such as "push"
	Header     http.Header
	JSON       []byte // valid JSON; must not be changed
	Index      int    // place inside the delivery, from 0
	Envelope   string // the envelopes that were opened, outermost first: "sns", "eventbridge", "pubsub"; "/"-joined
	// EnvelopeID and EnvelopeTime are the innermost envelope's id and time
	// (RFC 3339), for records that have none of their own.
	EnvelopeID   string
	EnvelopeTime string
}

// Normalizer turns one record into changes. It is pure: no clock, no network,
// no logger. A kind of event it does not know is never an error. An error
// wraps change.ErrMalformed and means that retrying cannot help.
type Normalizer interface {
	Provider() string
	Version() int
	Normalize(r Record) (Result, error)
}

// Result is what a normalizer made of one record: changes, or why there are
// none; never both, and never neither.
type Result struct {
	Drafts  []Draft
	Ignored string // why there is nothing to record: "read-only call", "ping"
	// Incidents are read from deliveries about incidents only, by Set itself.
	Incidents []IncidentDraft
}

// Draft is a change as a normalizer makes it: everything the provider said,
// before the delivery's own facts (org, id, source, times) are added.
type Draft struct {
	change.Change
	// Key is the fact's own key: with org and provider it makes the change's id, so
	// it must be the same in every redelivery and by every path. Empty for generic:
	// then the delivery's identity and the record's place stand in.
	Key string
	// Own is a name that the sender itself gave to the fact, for a Draft without
	// Key: with the source it makes the change's id, whichever delivery brings it.
	Own string
}

// Ignore returns a Result without changes.
func Ignore(reason string) Result { return Result{Ignored: reason} }

// One returns a Result with a single change.
func One(c change.Change, key string) Result {
	return Result{Drafts: []Draft{{Change: c, Key: key}}}
}
