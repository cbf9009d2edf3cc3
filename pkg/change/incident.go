package change

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"net/http"
)

// IncidentID names an incident: 128 bits of a hash over org, provider and the
// provider's own key of the incident, so that everything that is said of one
// incident, in whatever order it arrives, is said of the same id.
type IncidentID [16]byte

const incidentIDPrefix = "inc_"

// NewIncidentID returns the id of the incident that the provider knows by key.
func NewIncidentID(org, provider, key string) IncidentID {
	return IncidentID(hashOf("incident", org, provider, key))
}

// ReportKey returns the key of what one request, or one event of a provider,
// says of an incident: the same report has the same key.
func ReportKey(id IncidentID, key string) [16]byte { return hashOf("report", string(id[:]), key) }

func hashOf(parts ...string) [16]byte {
	h := sha256.New()
	for _, part := range parts {
		var size [4]byte // lengths keep ("ab","c") and ("a","bc") apart
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return [16]byte(h.Sum(nil))
}

// ParseIncidentID reads the form that String writes.
func ParseIncidentID(s string) (IncidentID, error) {
	b, err := parse(incidentIDPrefix, s)
	return IncidentID(b), err
}

// String returns "inc_" and 26 characters of Crockford's base32.
func (id IncidentID) String() string { return format(incidentIDPrefix, id) }

// IsZero reports whether the id was never set.
func (id IncidentID) IsZero() bool { return id == IncidentID{} }

// MarshalText writes the id as String does.
func (id IncidentID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *IncidentID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseIncidentID(string(b))
	return err
}

// IncidentStatus is how far an incident has come.
type IncidentStatus string

// The statuses an incident can have, in the order they are gone through.
const (
	Open         IncidentStatus = "open"
	Acknowledged IncidentStatus = "acknowledged"
	Resolved     IncidentStatus = "resolved"
)

// IncidentStatuses lists every status of an incident, in order.
func IncidentStatuses() []IncidentStatus { return []IncidentStatus{Open, Acknowledged, Resolved} }

// IncidentReport is what one delivery says of one incident. An incident is the
// sum of its reports: for each field the latest report that has it counts, by
// the time that the report is of and not by when it came, so that a delayed or
// repeated report never undoes a later one. What is empty is not said.
type IncidentReport struct {
	ID          IncidentID
	Key         [16]byte // see ReportKey
	Org         string
	At          Time // when what it says became so
	StartedAt   Time // of the incident
	Status      IncidentStatus
	Title       string
	Description string
	Severity    Risk
	ServiceID   string
	ServiceName string
	Environment string
	Source      string
	ExternalID  string
	URL         string
	ChangedBy   string
	Actor       Actor
	Metadata    json.RawMessage // one JSON object, or nil
	// Kept is the answer to what changed before the incident, as it was when the
	// incident was resolved: a JSON object, or nil. The first one stays.
	Kept       json.RawMessage
	CreatedAt  Time // when it was accepted
	Provenance Provenance
}

// Headers that we put on a delivery ourselves, to say what the URL said that it
// came by. A sender's own headers with this prefix are never kept.
const (
	OurHeaders     = "Whatchanged-"
	HeaderKind     = OurHeaders + "Kind"
	HeaderIncident = OurHeaders + "Incident" // the incident that an API request is about
)

// KindIncidents is the value of HeaderKind on what came to report incidents.
const KindIncidents = "incidents"

// AboutIncidents reports whether a delivery with these headers came to report
// incidents, and not only changes.
func AboutIncidents(h http.Header) bool { return h.Get(HeaderKind) == KindIncidents }

// IncidentIdentity returns the identity of a delivery about incidents whose
// request names itself by identity: one event may be sent to both URLs.
func IncidentIdentity(identity string) string {
	if identity == "" {
		return ""
	}
	return KindIncidents + ":" + identity
}
