package gitlab

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Why a request is not GitLab's.
var (
	ErrNoToken      = errors.New("no X-Gitlab-Token header")
	ErrBadToken     = errors.New("the token does not match")
	ErrNoSignature  = errors.New("no webhook-id, webhook-timestamp or webhook-signature header")
	ErrBadSignature = errors.New("the signature does not match")
	ErrBadTime      = errors.New("webhook-timestamp is not within 5 minutes")
	ErrNoSecret     = errors.New("no secret is configured")
)

// tolerance is how far a signed timestamp may be from now, to either side.
const tolerance = 5 * time.Minute

// VerifyToken checks that the request has one of the secret tokens. Both sides
// are hashed first, so that not even a token's length shows in the time.
func VerifyToken(tokens [][]byte, h http.Header) error {
	values := h.Values("X-Gitlab-Token")
	if len(values) == 0 {
		return ErrNoToken
	}
	if len(values) > 1 {
		return ErrBadToken
	}
	sent := sha256.Sum256([]byte(values[0]))
	tried := false
	for _, token := range tokens {
		if len(token) == 0 {
			continue
		}
		tried = true
		want := sha256.Sum256(token)
		if subtle.ConstantTimeCompare(sent[:], want[:]) == 1 {
			return nil
		}
	}
	if !tried {
		return ErrNoSecret
	}
	return ErrBadToken
}

// VerifySignature checks that one of the signing tokens ("whsec_" and base64)
// signed the body, as it came, within 5 minutes of now. A source with a signing
// token must be signed: falling back to the secret token would make it worth
// nothing.
func VerifySignature(tokens [][]byte, body []byte, h http.Header, now time.Time) error {
	id, stamp, signatures := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), h.Get("Webhook-Signature")
	if id == "" || stamp == "" || signatures == "" {
		return ErrNoSignature
	}
	if !within(stamp, now) {
		return ErrBadTime
	}
	tried := false
	for _, token := range tokens {
		key, err := SigningKey(token)
		if err != nil {
			continue
		}
		tried = true
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		for item := range strings.FieldsSeq(signatures) {
			text, ok := strings.CutPrefix(item, "v1,")
			if !ok {
				continue
			}
			if sent, err := base64.StdEncoding.DecodeString(text); err == nil && hmac.Equal(sent, want) {
				return nil
			}
		}
	}
	if !tried {
		return ErrNoSecret
	}
	return ErrBadSignature
}

// SigningKey returns the key in a signing token.
func SigningKey(token []byte) ([]byte, error) {
	text, ok := strings.CutPrefix(string(token), "whsec_")
	if !ok {
		return nil, errors.New("a signing token starts with whsec_")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, errors.New("a signing token is whsec_ and base64")
	}
	return key, nil
}

// within reports whether a timestamp, seconds since 1970 in digits, is close
// enough to now.
func within(stamp string, now time.Time) bool {
	for _, c := range []byte(stamp) {
		if c < '0' || c > '9' {
			return false
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || seconds > 1<<40 {
		return false
	}
	age := now.Sub(time.Unix(seconds, 0))
	return age <= tolerance && age >= -tolerance
}
