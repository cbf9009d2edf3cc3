package change

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// AuditID names a record of our own audit trail: 48 bits of the time it was
// made, in milliseconds, 16 of what is below a millisecond, so that what one
// process does in a row sorts that way, and 64 random bits. It is drawn once,
// where the record is made, so that a record written twice is there once.
type AuditID [16]byte

const auditIDPrefix = "aud_"

// NewAuditID returns a fresh id for a record made at t.
func NewAuditID(t time.Time) AuditID {
	var id AuditID
	putMilli(id[:], t)
	binary.BigEndian.PutUint16(id[6:], uint16(t.Nanosecond()%1e6/16))
	rand.Read(id[8:]) // never fails: see crypto/rand.Read
	return id
}

// ParseAuditID reads the form that String writes.
func ParseAuditID(s string) (AuditID, error) {
	b, err := parse(auditIDPrefix, s)
	return AuditID(b), err
}

// String returns "aud_" and 26 characters of Crockford's base32.
func (id AuditID) String() string { return format(auditIDPrefix, id) }

// Time returns the moment inside the id.
func (id AuditID) Time() time.Time { return milli(id[:]) }

// IsZero reports whether the id was never set.
func (id AuditID) IsZero() bool { return id == AuditID{} }

// MarshalText writes the id as String does.
func (id AuditID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *AuditID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseAuditID(string(b))
	return err
}
