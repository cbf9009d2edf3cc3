package change

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// ID names a change: 48 bits of the time it occurred, in milliseconds, then 80
// bits of a hash over what makes the fact itself. The same fact has the same
// id, however it arrives; and the time inside makes the row quick to find.
type ID [16]byte

// DeliveryID names a delivery: 48 bits of the time it was received, in
// milliseconds, then 80 random bits.
type DeliveryID [16]byte

const (
	idPrefix         = "chg_"
	deliveryIDPrefix = "dlv_"
)

// NewID returns the id of the fact that key names, within org and provider.
// The key must be stable: the provider's own id of the thing and its state.
func NewID(occurredAt time.Time, org, provider, key string) ID {
	h := sha256.New()
	for _, part := range []string{org, provider, key} {
		var size [4]byte // lengths keep ("ab","c") and ("a","bc") apart
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	var id ID
	putMilli(id[:], occurredAt)
	copy(id[6:], h.Sum(nil))
	return id
}

// NewDeliveryID returns a fresh id for a delivery received at t.
func NewDeliveryID(t time.Time) DeliveryID {
	var id DeliveryID
	putMilli(id[:], t)
	rand.Read(id[6:]) // never fails: see crypto/rand.Read
	return id
}

// ParseID reads the form that String writes.
func ParseID(s string) (ID, error) {
	b, err := parse(idPrefix, s)
	return ID(b), err
}

// ParseDeliveryID reads the form that String writes.
func ParseDeliveryID(s string) (DeliveryID, error) {
	b, err := parse(deliveryIDPrefix, s)
	return DeliveryID(b), err
}

// String returns "chg_" and 26 characters of Crockford's base32.
func (id ID) String() string { return format(idPrefix, id) }

// Time returns the moment inside the id.
func (id ID) Time() time.Time { return milli(id[:]) }

// Fact is an id less its time: the same for a fact whose time is not known,
// and was taken to be when it first arrived.
type Fact [10]byte

// Fact returns the id less its time.
func (id ID) Fact() Fact { return Fact(id[6:]) }

// IsZero reports whether the id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText writes the id as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// String returns "dlv_" and 26 characters of Crockford's base32.
func (id DeliveryID) String() string { return format(deliveryIDPrefix, id) }

// Time returns the moment inside the id.
func (id DeliveryID) Time() time.Time { return milli(id[:]) }

// IsZero reports whether the id was never set.
func (id DeliveryID) IsZero() bool { return id == DeliveryID{} }

// MarshalText writes the id as String does.
func (id DeliveryID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *DeliveryID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseDeliveryID(string(b))
	return err
}

func putMilli(b []byte, t time.Time) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(t.UnixMilli(), 0)))
	copy(b[:6], ms[2:])
}

func milli(b []byte) time.Time {
	var ms [8]byte
	copy(ms[2:], b[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC()
}

// Crockford's base32 (https://www.crockford.com/base32.html), lower case: no
// i, l, o or u, so that an id read aloud cannot be mistaken.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const encodedLen = 26 // 130 bits: two zero bits, then the 128 of the id

func format(prefix string, id [16]byte) string {
	var out [4 + encodedLen]byte
	copy(out[:], prefix)
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	for i := len(out) - 1; i >= len(prefix); i-- {
		out[i] = alphabet[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

func parse(prefix, s string) (id [16]byte, err error) {
	digits, ok := strings.CutPrefix(s, prefix)
	if !ok || len(digits) != encodedLen || digits[0] > '7' {
		return id, fmt.Errorf("%w: an id is %q and %d characters", ErrMalformed, prefix, encodedLen)
	}
	var hi, lo uint64
	for i := range len(digits) {
		c := digits[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		v := strings.IndexByte(alphabet, c)
		if v < 0 {
			return id, fmt.Errorf("%w: %q is not a character of an id", ErrMalformed, digits[i])
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}
