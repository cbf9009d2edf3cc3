package change

import "net/http"

// Lanes keep a flood (a replay, a bulk upload) from delaying everybody else.
const (
	Fresh = "fresh"
	Bulk  = "bulk"
)

// Delivery is one HTTP request taken in, as it came: the body byte for byte
// (still compressed if it was), and its headers less those that carry secrets.
type Delivery struct {
	ID         DeliveryID
	Org        string
	SourceID   string // src_... of the entry point, or key_... for the API
	ReceivedAt Time
	Header     http.Header
	Body       []byte

	// Identity is the provider's delivery id or the request's Idempotency-Key,
	// such as "github:72d3162e-..."; empty when the request names itself in no
	// way. With Org and SourceID it decides what is a duplicate.
	Identity string
	// Provider is the provider that the source pins, or empty to detect it.
	Provider string
	// Service is what the API resolved at the door; empty for webhooks.
	Service Service
	// TraceParent is the span of the request that brought it (W3C Trace Context),
	// when that is recorded.
	TraceParent string
}

// Service names a thing that changes are about, as people speak of it.
type Service struct {
	ID   string
	Name string
}

// Outcome says what became of a delivery.
type Outcome string

// The outcomes a delivery can have. The first that applies, in this order:
// dead, duplicate, ignored, stored.
const (
	Dead      Outcome = "dead"      // could not be processed; see the dead letters
	Duplicate Outcome = "duplicate" // its identity was known already
	Ignored   Outcome = "ignored"   // understood, and nothing to record
	Stored    Outcome = "stored"
)

// Outcomes lists every outcome.
func Outcomes() []Outcome { return []Outcome{Stored, Duplicate, Ignored, Dead} }

// Result is a delivery's outcome with all that was made of it. Everything but
// Changes and Incidents becomes the delivery's row.
type Result struct {
	DeliveryID    DeliveryID
	Org           string
	SourceID      string
	Identity      string
	ReceivedAt    Time
	FirstReceived Time // of the first delivery with this identity
	NormalizedAt  Time
	Place         int // in its frame
	Size          int // of the body, in bytes
	BodyHash      [32]byte
	Outcome       Outcome
	Reason        string // why it is ignored or dead, or of what it is a duplicate
	Provider      string
	DetectedBy    string
	Conflict      bool // a known identity with another body
	Changes       []Change
	Incidents     []IncidentReport
	Dead          []DeadRecord // records of this delivery that could not be processed

	// What a replay adds: the changes that this delivery does not make any more,
	// and how many it made where Changes has only those that are to be written.
	Removed []ID
	Made    int

	// TraceParent is the span in which this was made, when that is recorded.
	TraceParent string
}

// CountMade is how many changes were made of the delivery.
func (r *Result) CountMade() int { return max(r.Made, len(r.Changes)) }

// DeadRecord is one record of a delivery that could not be processed.
type DeadRecord struct {
	Index  int
	Reason string
}
