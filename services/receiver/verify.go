package receiver

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

const (
	tolerance     = 300 // seconds that a signed time may differ from ours
	maxSignatures = 16
)

// verifier returns nil when the request was sent by someone who has one of the
// source's secrets.
type verifier func(h http.Header, body []byte, now time.Time) error

// newVerifier returns what kind of authentication demands, nil for none.
func newVerifier(kind string, secrets []auth.Secret) (verifier, error) {
	if kind == registry.AuthNone {
		return nil, nil
	}
	if len(secrets) == 0 {
		return nil, errors.New("authentication without a secret")
	}
	switch kind {
	case registry.AuthGitHubHMAC:
		keys, err := macKeys(secrets, func(s string) ([]byte, error) { return []byte(s), nil })
		return verifyGitHub(keys), err
	case registry.AuthGitLabSigning:
		keys, err := macKeys(secrets, signingKey)
		return verifySigned(keys), err
	case registry.AuthGitLabToken:
		return verifyToken("X-Gitlab-Token", secrets), nil
	default:
		return nil, fmt.Errorf("unknown authentication %q", kind)
	}
}

// verifyGitHub checks GitHub's signature, which is over the bytes as they were
// sent, and so over the form where there is one. The older SHA-1 signature
// beside it is never looked at.
// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
func verifyGitHub(keys []*macKey) verifier {
	return func(h http.Header, body []byte, _ time.Time) error {
		values := h["X-Hub-Signature-256"]
		if len(values) == 0 {
			return unauthenticated("signature_missing", "X-Hub-Signature-256 is missing: set the webhook's secret")
		}
		digits, ok := strings.CutPrefix(values[0], "sha256=")
		var given [sha256.Size]byte
		if len(values) > 1 || !ok || len(digits) != hex.EncodedLen(len(given)) || digits != strings.ToLower(digits) {
			return badSignature()
		}
		if _, err := hex.Decode(given[:], []byte(digits)); err != nil {
			return badSignature()
		}
		for _, key := range keys {
			if key.signed(given[:], nil, body) {
				return nil
			}
		}
		return badSignature()
	}
}

// verifySigned checks a signature by Standard Webhooks, as GitLab makes it:
// over "id.timestamp.body", with a time that is not far from ours.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func verifySigned(keys []*macKey) verifier {
	return func(h http.Header, body []byte, now time.Time) error {
		id, sent, signatures := h["Webhook-Id"], h["Webhook-Timestamp"], h["Webhook-Signature"]
		if len(id) == 0 || len(sent) == 0 || len(signatures) == 0 {
			return unauthenticated("signature_missing", "webhook-id, webhook-timestamp and webhook-signature are required: set the webhook's signing token")
		}
		if len(id) > 1 || len(sent) > 1 || len(signatures) > 1 || strings.Contains(id[0], ".") {
			return badSignature()
		}
		// Digits only: with a sign or a space, two readers might take it for
		// different times.
		seconds, err := strconv.ParseUint(sent[0], 10, 40)
		if err != nil {
			return badSignature()
		}
		if off := now.Unix() - int64(seconds); off > tolerance || off < -tolerance {
			return unauthenticated("stale_signature", "webhook-timestamp is more than 5 minutes off; check the clocks")
		}
		head := []byte(id[0] + "." + sent[0] + ".")
		for i, signature := range strings.Fields(signatures[0]) {
			if i == maxSignatures {
				break
			}
			text, ok := strings.CutPrefix(signature, "v1,")
			given, err := base64.StdEncoding.DecodeString(text)
			if !ok || err != nil {
				continue
			}
			for _, key := range keys {
				if key.signed(given, head, body) {
					return nil
				}
			}
		}
		return badSignature()
	}
}

// verifyToken compares a header with the secrets.
func verifyToken(header string, secrets []auth.Secret) verifier {
	return func(h http.Header, _ []byte, _ time.Time) error {
		values := h[header]
		if len(values) == 0 {
			return unauthenticated("signature_missing", header+" is missing: set the webhook's secret token")
		}
		ok := 0
		for _, secret := range secrets {
			want, given := sha256.Sum256([]byte(secret.Reveal())), sha256.Sum256([]byte(values[0]))
			ok |= subtle.ConstantTimeCompare(want[:], given[:]) // of equal length, whatever was sent
		}
		if ok == 0 || len(values) > 1 {
			return badSignature()
		}
		return nil
	}
}

func unauthenticated(reason, message string) error {
	return problem.New(problem.Unauthenticated, reason, message)
}

func badSignature() error {
	return unauthenticated("bad_signature", "the signature or secret token is wrong for this source")
}

// signingKey returns the key in a signing token: whsec_ and base64.
func signingKey(token string) ([]byte, error) {
	text, _ := strings.CutPrefix(token, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, errors.New("a signing token is not base64")
	}
	return key, nil
}

// macKey makes HMAC-SHA-256 with one key, which is expanded once and not for
// every request.
type macKey struct{ states sync.Pool }

type macState struct {
	hash.Hash
	sum [sha256.Size]byte
}

func macKeys(secrets []auth.Secret, decode func(string) ([]byte, error)) ([]*macKey, error) {
	var keys []*macKey
	for _, secret := range secrets {
		key, err := decode(secret.Reveal())
		if err != nil {
			return nil, err
		}
		if len(key) == 0 {
			return nil, errors.New("an empty secret")
		}
		k := &macKey{}
		k.states.New = func() any { return &macState{Hash: hmac.New(sha256.New, key)} }
		keys = append(keys, k)
	}
	return keys, nil
}

// signed reports whether given is the MAC over head and body.
func (k *macKey) signed(given, head, body []byte) bool {
	state := k.states.Get().(*macState)
	defer k.states.Put(state)
	state.Reset()
	state.Write(head)
	state.Write(body)
	return hmac.Equal(state.Sum(state.sum[:0]), given)
}
