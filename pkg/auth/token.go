package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"whatchanged/pkg/change"
)

// The prefixes of what we issue, so that a scanner can recognise a leak.
const (
	KeyPrefix     = "wc_live_" // of an API key
	TokenPrefix   = "wct_"     // of a source's token
	SessionPrefix = "wcs_"     // of what a browser keeps of a session
)

// The length that a given token may have.
const (
	MinToken = 16
	MaxToken = 128
)

// Digest is the SHA-256 of a token or key: the only form that is stored. What
// we hash is drawn from 256 random bits, so it needs no salt and no slowness,
// and a look-up by digest leaks nothing by its timing.
type Digest [32]byte

// Hash returns the digest of a token.
func Hash(token string) Digest {
	var b [2 * MaxToken]byte // on the stack: this is done for every request
	if len(token) > len(b) {
		return sha256.Sum256([]byte(token))
	}
	return sha256.Sum256(b[:copy(b[:], token)])
}

// IsZero reports whether the digest was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText writes the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(d) {
		return fmt.Errorf("%w: a digest has %d hexadecimal digits", change.ErrMalformed, hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], b); err != nil {
		return fmt.Errorf("%w: digest: %w", change.ErrMalformed, err)
	}
	return nil
}

// NewToken returns prefix and 43 base64url characters: 32 random bytes.
func NewToken(prefix string) string {
	var b [32]byte
	rand.Read(b[:]) // never fails: see crypto/rand.Read
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// ValidToken reports whether s has the form of a source's token:
// [A-Za-z0-9_-]{16,128}.
func ValidToken(s string) bool {
	if len(s) < MinToken || len(s) > MaxToken {
		return false
	}
	for i := range len(s) {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
		if !ok {
			return false
		}
	}
	return true
}

// ValidKey reports whether s can be given as an API key: 16 to 256 printable
// ASCII characters without a space, so that keys of other products, in their
// own forms, can be brought along.
func ValidKey(s string) bool {
	if len(s) < MinToken || len(s) > 2*MaxToken {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Fingerprint returns the first 8 hexadecimal digits of the token's digest: a
// name for it in logs, from which nothing can be learned.
func Fingerprint(token string) string {
	d := Hash(token)
	return hex.EncodeToString(d[:4])
}
