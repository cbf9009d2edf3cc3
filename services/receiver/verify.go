package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"whatchanged/normalizers/github"
	"whatchanged/normalizers/gitlab"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// verifier returns nil when the request was sent by someone who has one of the
// source's secrets. How each provider proves that is beside its normalizer.
type verifier func(h http.Header, body []byte, now time.Time) error

// newVerifier returns what kind of authentication demands, nil for none.
func newVerifier(kind string, secrets []auth.Secret) (verifier, error) {
	if kind == registry.AuthNone {
		return nil, nil
	}
	keys := make([][]byte, 0, len(secrets))
	for _, secret := range secrets {
		keys = append(keys, []byte(secret.Reveal()))
	}
	if len(keys) == 0 {
		return nil, errors.New("authentication without a secret")
	}
	switch kind {
	case registry.AuthGitHubHMAC:
		return func(h http.Header, body []byte, _ time.Time) error {
			return unauthenticated(github.Verify(keys, body, h))
		}, nil
	case registry.AuthGitLabToken:
		return func(h http.Header, _ []byte, _ time.Time) error {
			return unauthenticated(gitlab.VerifyToken(keys, h))
		}, nil
	case registry.AuthGitLabSigning:
		return func(h http.Header, body []byte, now time.Time) error {
			if ambiguous(h) {
				return unauthenticated(gitlab.ErrBadSignature)
			}
			return unauthenticated(gitlab.VerifySignature(keys, body, h, now))
		}, nil
	default:
		return nil, fmt.Errorf("unknown authentication %q", kind)
	}
}

// ambiguous reports whether what was signed could be read in two ways: a
// header sent twice, or an id with a dot, which is what separates the parts.
func ambiguous(h http.Header) bool {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if len(h[name]) > 1 {
			return true
		}
	}
	return strings.Contains(h.Get("Webhook-Id"), ".")
}

// unauthenticated says what a sender can do about a failed check.
func unauthenticated(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, github.ErrNoSignature):
		return problem.New(problem.Unauthenticated, "signature_missing", "X-Hub-Signature-256 is missing: set the webhook's secret")
	case errors.Is(err, gitlab.ErrNoToken):
		return problem.New(problem.Unauthenticated, "signature_missing", "X-Gitlab-Token is missing: set the webhook's secret token")
	case errors.Is(err, gitlab.ErrNoSignature):
		return problem.New(problem.Unauthenticated, "signature_missing", "webhook-id, webhook-timestamp and webhook-signature are required: set the webhook's signing token")
	case errors.Is(err, gitlab.ErrBadTime):
		return problem.New(problem.Unauthenticated, "stale_signature", "webhook-timestamp is more than 5 minutes off: check the clocks")
	default:
		return problem.New(problem.Unauthenticated, "bad_signature", "the signature or secret token is not this source's")
	}
}
