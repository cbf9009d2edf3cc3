package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// maxItems is how many signatures of one header are looked at: a sender that
// changes its secret sends two.
const maxItems = 8

// Algorithm is the hash function under an HMAC. SHA-1 is not among them.
type Algorithm struct {
	name string // also the prefix that names it, as in "sha256=..."
	size int
	make func() hash.Hash
}

// AlgorithmOf returns the algorithm of that name; "" is sha256.
func AlgorithmOf(name string) (Algorithm, error) {
	switch name {
	case "", "sha256":
		return Algorithm{"sha256", sha256.Size, sha256.New}, nil
	case "sha512":
		return Algorithm{"sha512", sha512.Size, sha512.New}, nil
	default:
		return Algorithm{}, fmt.Errorf("signature algorithm %q: want sha256 or sha512", name)
	}
}

// HMAC checks that one of the secrets signed the body, as it came. values are
// those of the header that carries the signature, in hex or base64. Before it
// may stand "sha256=" (the algorithm's name) or "v1="; several, separated by
// commas or spaces, are alternatives. What names another algorithm does not
// count, and a header that was sent twice is one too many to choose from.
func HMAC(a Algorithm, secrets [][]byte, body []byte, values []string) error {
	if len(values) == 0 {
		return ErrMissing
	}
	if len(values) > 1 {
		return ErrMismatch
	}
	sent := a.parse(values[0])
	if len(sent) == 0 {
		return ErrMismatch
	}
	tried := false
	for _, secret := range secrets {
		if len(secret) == 0 {
			continue
		}
		tried = true
		mac := hmac.New(a.make, secret)
		mac.Write(body)
		want := mac.Sum(nil)
		for _, one := range sent {
			if hmac.Equal(one, want) {
				return nil
			}
		}
	}
	if !tried {
		return ErrNoSecret
	}
	return ErrMismatch
}

// parse returns the signatures in a header that are of the algorithm's size.
func (a Algorithm) parse(value string) [][]byte {
	var sent [][]byte
	items := 0
	for item := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r == ' ' }) {
		if items++; items > maxItems {
			break
		}
		text := item
		for _, prefix := range []string{a.name, "v1"} {
			if rest, ok := strings.CutPrefix(item, prefix+"="); ok {
				text = rest
				break
			}
		}
		if b, ok := a.decode(text); ok {
			sent = append(sent, b)
		}
	}
	return sent
}

// decode tells hex from base64 by the length, which for one size of hash
// never is the same.
func (a Algorithm) decode(text string) ([]byte, bool) {
	var b []byte
	var err error
	switch len(text) {
	case hex.EncodedLen(a.size):
		b, err = hex.DecodeString(text)
	case base64.StdEncoding.EncodedLen(a.size):
		b, err = base64.StdEncoding.DecodeString(text)
	default:
		return nil, false
	}
	return b, err == nil && len(b) == a.size
}
