package github

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
)

// Why a request is not GitHub's.
var (
	ErrNoSignature  = errors.New("no X-Hub-Signature-256 header")
	ErrBadSignature = errors.New("the signature does not match")
	ErrNoSecret     = errors.New("no secret is configured")
)

// Verify checks that one of the secrets signed the body, as it came, byte for
// byte: of a form, too, the form was signed and not the JSON in it. Several
// secrets let them be rotated without a gap. X-Hub-Signature, which is SHA-1,
// is not looked at.
func Verify(secrets [][]byte, body []byte, h http.Header) error {
	values := h.Values("X-Hub-Signature-256")
	if len(values) == 0 {
		return ErrNoSignature
	}
	if len(values) > 1 {
		return ErrBadSignature // two signatures are one too many to choose from
	}
	digits, ok := strings.CutPrefix(values[0], "sha256=")
	if !ok || len(digits) != 2*sha256.Size || strings.ToLower(digits) != digits {
		return ErrBadSignature
	}
	sent, err := hex.DecodeString(digits)
	if err != nil {
		return ErrBadSignature
	}
	tried := false
	for _, secret := range secrets {
		if len(secret) == 0 {
			continue // anybody could sign with it
		}
		tried = true
		mac := hmac.New(sha256.New, secret)
		mac.Write(body)
		if hmac.Equal(mac.Sum(nil), sent) {
			return nil
		}
	}
	if !tried {
		return ErrNoSecret
	}
	return ErrBadSignature
}
