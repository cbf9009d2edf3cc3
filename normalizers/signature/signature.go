// Package signature checks what senders put on a request to prove who they
// are. The schemes here are those that several providers share; what only one
// provider does is beside its normalizer. All of it is pure: a scheme sees the
// bytes of the body as they came, the headers, and the time it is handed.
package signature

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
)

// Why a request proves nothing. The schemes return these as they are.
var (
	ErrMissing  = errors.New("the request carries no signature or secret")
	ErrMismatch = errors.New("the signature or secret does not match")
	ErrTime     = errors.New("the signed time is not within 5 minutes of now")
	ErrNoSecret = errors.New("no secret is configured")
)

// Secret checks that sent is one of the secrets. Both sides are hashed first,
// so that not even a secret's length shows in the time.
func Secret(secrets [][]byte, sent string) error {
	got := sha256.Sum256([]byte(sent))
	tried, same := false, 0
	for _, secret := range secrets {
		if len(secret) == 0 {
			continue // anybody could send it
		}
		tried = true
		want := sha256.Sum256(secret)
		same |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	switch {
	case !tried:
		return ErrNoSecret
	case same == 0:
		return ErrMismatch
	default:
		return nil
	}
}
