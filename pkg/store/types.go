package store

import (
	"net/http"
	"time"

	"whatchanged/pkg/change"
)

// Batch is a frame of changes, or a part of one, as the writer stores it.
type Batch struct {
	Chain   string // of the frame of deliveries
	Frame   uint64
	Run     uint16 // 0, or which replay
	Lane    string
	Results []change.Result
}

// PayloadBatch is a frame of deliveries, or a part of one.
type PayloadBatch struct {
	Chain      string
	Frame      uint64
	Lane       string
	First      int // place of Deliveries[0] in the frame
	Deliveries []change.Delivery
}

// Identity is what makes a delivery the same as an earlier one.
type Identity struct{ Org, SourceID, Identity string }

// Known is the first delivery of an identity that did not end dead.
type Known struct {
	DeliveryID    change.DeliveryID
	FirstReceived change.Time
	BodyHash      [32]byte
	Chain         string
	Frame         uint64
	Place         int
}

// Sort directions of lists. The empty string means Desc.
const (
	Desc = "desc" // newest first
	Asc  = "asc"
)

// Limits of a list.
const (
	MaxLimit  = 1000  // rows a page; the API allows fewer
	MaxOffset = 10000 // beyond, use a cursor
)

// ChangeFilter selects changes. Every field that is set must match; only Org
// is required.
type ChangeFilter struct {
	Org           string
	ServiceID     string
	Types         []change.Type // any of them
	Source        string
	Environment   string
	Actor         string // changed_by, or the actor's name or id
	ActorID       string
	Repository    string
	Risks         []change.Risk   // any of them
	Statuses      []change.Status // any of them
	Tag           string
	Action        string // with *, a pattern; also what a type alone stands for (change.Type.Action)
	ResourceID    string // the resource's id or name
	SessionID     string
	CorrelationID string
	ExternalID    string
	Provider      string
	Account       string
	Region        string
	Branch        string
	Version       string
	CommitSHA     string // the whole of it, or its beginning
	DeliveryID    change.DeliveryID
	Q             string    // words that the summary must all have, in any case and order
	Start, End    time.Time // of occurred_at, half-open; zero is no bound
	AsOf          time.Time // only what was accepted by then; zero is now
}

// ChangeQuery asks for a page of changes.
type ChangeQuery struct {
	ChangeFilter
	Limit  int // 1 to MaxLimit; 0 is 25
	Offset int // 0 to MaxOffset; not with a cursor
	Cursor string
	Sort   string // Desc or Asc, by the time it occurred
	Total  bool   // count all that match, not only this page
}

// Page is a part of a list.
type Page[T any] struct {
	Data       []T
	Total      int64 // -1 when it was not asked for
	Limit      int
	Offset     int
	HasMore    bool
	NextCursor string // of the next page; empty on the last
}

// Delivery is what became of one delivery.
type Delivery struct {
	ID            change.DeliveryID `json:"id"`
	Org           string            `json:"-"`
	SourceID      string            `json:"source_id"`
	Identity      string            `json:"identity,omitempty"`
	Outcome       change.Outcome    `json:"outcome"`
	Reason        string            `json:"reason,omitempty"`
	Provider      string            `json:"provider,omitempty"`
	DetectedBy    string            `json:"detected_by,omitempty"`
	Conflict      bool              `json:"conflict,omitempty"`
	Changes       int               `json:"changes"`
	DeadRecords   int               `json:"dead_records,omitempty"`
	Size          int               `json:"size"`
	BodySHA256    string            `json:"body_sha256"`
	ReceivedAt    change.Time       `json:"received_at"`
	FirstReceived change.Time       `json:"first_received"`
	NormalizedAt  change.Time       `json:"normalized_at"`
	StoredAt      change.Time       `json:"stored_at"`
	Run           int               `json:"run,omitempty"`
	Lane          string            `json:"lane"`
	Chain         string            `json:"chain"`
	Frame         uint64            `json:"frame"`
	Place         int               `json:"place"`
}

// DeliveryQuery asks for a page of deliveries. Every field that is set must
// match; only Org is required.
type DeliveryQuery struct {
	Org        string
	SourceID   string
	Provider   string
	DetectedBy string
	Outcome    change.Outcome
	Identity   string
	Start, End time.Time // of received_at, half-open; zero is no bound
	Limit      int       // 1 to MaxLimit; 0 is 25
	Offset     int       // 0 to MaxOffset; not with a cursor
	Cursor     string
	Sort       string // Desc or Asc, by the time it was received
	Total      bool
}

// Payload is a delivery as it came.
type Payload struct {
	ID         change.DeliveryID
	SourceID   string
	Identity   string
	ReceivedAt change.Time
	Header     http.Header
	Body       []byte
	Provider   string         // as it was pinned, or empty
	Service    change.Service // as the API resolved it, or empty
}

// StatsQuery counts changes by time and by what they have in common.
type StatsQuery struct {
	ChangeFilter               // Start and End are required
	Bucket       time.Duration // from a minute to 366 days, in UTC; 0 is no buckets
	By           []string      // of Dimensions
	Top          int           // groups to keep, the largest; 0 is 100
	Compare      bool          // with as long a time just before
}

// Dimensions lists what StatsQuery.By may name.
func Dimensions() []string {
	return []string{
		"source", "type", "service", "environment", "actor", "repository", "risk", "status", "account", "region", "provider", "action",
	}
}

// StatsRow is one group in one bucket.
type StatsRow struct {
	Start change.Time       `json:"start,omitzero"` // of the bucket
	Group map[string]string `json:"group,omitempty"`
	Other bool              `json:"other,omitempty"` // all that is in none of the largest groups
	Count int64             `json:"count"`
	// When compared: the count of the time before, and by how much this is more.
	Previous *int64 `json:"previous,omitempty"`
	Delta    *int64 `json:"delta,omitempty"`
}

// Receipt says that a frame brought so many deliveries of a source that were
// received in a minute.
type Receipt struct {
	Org      string
	SourceID string
	Minute   time.Time
	Chain    string
	Frame    uint64
	Seq      uint64 // on the bus
	Count    int
	Dead     bool // the frame can never be processed
}

// BusState is what only the bus knows: how far the consumers have come, and
// what was received and is not stored yet.
type BusState struct {
	Settled uint64    // all frames up to here are normalized and written
	End     uint64    // of the stream: what is said to be after it is lost
	Began   time.Time // the stream: what is older and not settled is lost
	Late    []Receipt // of all orgs; they may be stored meanwhile
}

// AccountQuery asks what became of everything that was received.
type AccountQuery struct {
	Org        string
	SourceID   string        // empty for all
	Start, End time.Time     // of received_at, half-open; both required
	Bucket     time.Duration // 0 is a minute
	Bus        BusState
}

// AccountRow is the account of one source in one bucket: Received is the sum
// of all that follows, to Missing.
type AccountRow struct {
	Start     change.Time
	SourceID  string
	Received  int64
	Stored    int64
	Duplicate int64
	Ignored   int64
	Dead      int64 // and those of frames that can never be processed
	InFlight  int64 // on the bus, and the consumers are not past it
	Missing   int64 // the consumers are past it, and no row says what became of it
	Uncounted int64 // of Received: nothing but its outcome says that it was received

	Oldest change.Time // minute of those in flight; zero when there are none
}

// FrameRange is frames From to To, both included, of one chain.
type FrameRange struct {
	Chain    string
	From, To uint64
}

// FrameID names a frame.
type FrameID struct {
	Chain string
	Frame uint64
}

// StoredFrame lists the places of a frame that are stored, in order.
type StoredFrame struct {
	Deliveries []int // those with a row in deliveries
	Payloads   []int // those with a row in payloads
	Short      []int // those with fewer changes than their row in deliveries says they made
	Received   int   // how many deliveries its receipts say it brought
}
