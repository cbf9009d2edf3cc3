package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far a signed time may be from now, to either side.
const Tolerance = 5 * time.Minute

// StandardWebhooks checks that one of the signing tokens ("whsec_" and base64)
// signed the body, as it came, within Tolerance of now. The scheme is that of
// https://www.standardwebhooks.com; GitLab's signing token is the same.
func StandardWebhooks(tokens [][]byte, body []byte, h http.Header, now time.Time) error {
	id, stamp, signatures := h["Webhook-Id"], h["Webhook-Timestamp"], h["Webhook-Signature"]
	if !some(id) || !some(stamp) || !some(signatures) {
		return ErrMissing
	}
	if len(id)+len(stamp)+len(signatures) != 3 || strings.Contains(id[0], ".") {
		// What was signed could be read in two ways: the dot separates its parts.
		return ErrMismatch
	}
	if !within(stamp[0], now) {
		return ErrTime
	}
	tried := false
	for _, token := range tokens {
		key, err := SigningKey(token)
		if err != nil {
			continue
		}
		tried = true
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id[0] + "." + stamp[0] + "."))
		mac.Write(body)
		if signedBy(mac.Sum(nil), signatures[0]) {
			return nil
		}
	}
	if !tried {
		return ErrNoSecret
	}
	return ErrMismatch
}

func some(values []string) bool { return len(values) > 0 && values[0] != "" }

// signedBy reports whether want is one of the signatures of version 1.
func signedBy(want []byte, signatures string) bool {
	items := 0
	for item := range strings.FieldsSeq(signatures) {
		if items++; items > maxItems {
			return false
		}
		text, ok := strings.CutPrefix(item, "v1,")
		if !ok {
			continue
		}
		if sent, err := base64.StdEncoding.DecodeString(text); err == nil && hmac.Equal(sent, want) {
			return true
		}
	}
	return false
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

// within reports whether a time, seconds since 1970 in digits, is close enough
// to now.
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
	return age <= Tolerance && age >= -Tolerance
}
