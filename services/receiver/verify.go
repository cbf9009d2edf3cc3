package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"whatchanged/normalizers/github"
	"whatchanged/normalizers/signature"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// incoming is what a verifier sees of a request.
type incoming struct {
	header http.Header
	body   []byte
	now    time.Time
}

// verifier returns nil when the request was sent by someone who has one of the
// source's secrets, or whom the source trusts. The schemes themselves are
// beside the normalizers; what must be fetched for them is fetched here.
type verifier func(ctx context.Context, in incoming) error

// verifiers makes them.
type verifiers struct {
	certificates *snsCertificates
	issuers      *issuers
}

// of returns what the source demands, nil for nothing.
func (v *verifiers) of(source *registry.Source, secrets []auth.Secret) (verifier, error) {
	keys := make([][]byte, 0, len(secrets))
	for _, secret := range secrets {
		keys = append(keys, []byte(secret.Reveal()))
	}
	if registry.NeedsSecret(source.Auth) && len(keys) == 0 {
		return nil, errors.New("authentication without a secret")
	}
	switch source.Auth {
	case registry.AuthNone:
		return nil, nil
	case registry.AuthGitHubHMAC:
		return func(_ context.Context, in incoming) error {
			return denied(github.Verify(keys, in.body, in.header), "X-Hub-Signature-256 is missing: set the webhook's secret")
		}, nil
	case registry.AuthGitLabToken:
		return byHeader("X-Gitlab-Token", keys, "X-Gitlab-Token is missing: set the webhook's secret token"), nil
	case registry.AuthGitLabSigning, registry.AuthStandardWebhooks:
		return func(_ context.Context, in incoming) error {
			return denied(signature.StandardWebhooks(keys, in.body, in.header, in.now),
				"webhook-id, webhook-timestamp and webhook-signature are required: set the webhook's signing token")
		}, nil
	case registry.AuthHMAC:
		return byHMAC(source, keys)
	case registry.AuthToken:
		if source.SecretHeader == "" {
			return byBearer(keys), nil
		}
		return byHeader(source.SecretHeader, keys, source.SecretHeader+" is missing: make the sender put the secret there"), nil
	case registry.AuthBasic:
		return byPassword(keys), nil
	case registry.AuthSNS:
		return func(ctx context.Context, in incoming) error {
			_, err := v.certificates.message(ctx, in.header, in.body, source.Topics, in.now)
			return err
		}, nil
	case registry.AuthOIDC:
		if source.OIDC == nil || source.OIDC.Audience == "" {
			return nil, errors.New("oidc without an audience")
		}
		return v.byToken(source.OIDC), nil
	default:
		return nil, fmt.Errorf("unknown authentication %q", source.Auth)
	}
}

func byHMAC(source *registry.Source, keys [][]byte) (verifier, error) {
	name, hash := source.Signature()
	algorithm, err := signature.AlgorithmOf(hash)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, errors.New("hmac without the name of its header")
	}
	header, missing := http.CanonicalHeaderKey(name), name+" is missing: set the webhook's secret"
	return func(_ context.Context, in incoming) error {
		return denied(signature.HMAC(algorithm, keys, in.body, in.header[header]), missing)
	}, nil
}

// byHeader takes a secret as the whole value of a header.
func byHeader(name string, keys [][]byte, missing string) verifier {
	name = http.CanonicalHeaderKey(name)
	return func(_ context.Context, in incoming) error {
		value, err := only(in.header[name])
		if err == nil {
			err = signature.Secret(keys, value)
		}
		return denied(err, missing)
	}
}

func byBearer(keys [][]byte) verifier {
	return func(_ context.Context, in incoming) error {
		value, err := bearer(in.header)
		if err == nil {
			err = signature.Secret(keys, value)
		}
		return denied(err, "Authorization: Bearer is missing: make the sender put the secret there")
	}
}

func byPassword(keys [][]byte) verifier {
	return func(_ context.Context, in incoming) error {
		_, err := only(in.header["Authorization"])
		if err == nil {
			user, password, ok := (&http.Request{Header: in.header}).BasicAuth()
			if err = signature.ErrMissing; ok {
				err = signature.Secret(keys, user+":"+password)
			}
		}
		return denied(err, "Authorization: Basic is missing: set user and password at the sender")
	}
}

func (v *verifiers) byToken(want *registry.OIDC) verifier {
	return func(ctx context.Context, in incoming) error {
		raw, err := bearer(in.header)
		if err != nil {
			return denied(err, "Authorization: Bearer is missing: turn authentication on at the sender")
		}
		return v.issuers.of(want.Issuer).check(ctx, raw, want, in.now)
	}
}

func bearer(h http.Header) (string, error) {
	value, err := only(h["Authorization"])
	if err != nil {
		return "", err
	}
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", signature.ErrMissing
	}
	return strings.TrimLeft(token, " "), nil
}

// only returns the value of a header that was sent once.
func only(values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", signature.ErrMissing
	case 1:
		return values[0], nil
	default:
		return "", signature.ErrMismatch // two are one too many to choose from
	}
}

// denied says what a sender can do about a failed check.
func denied(err error, missing string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, signature.ErrMissing), errors.Is(err, github.ErrNoSignature):
		return problem.New(problem.Unauthenticated, "signature_missing", missing)
	case errors.Is(err, signature.ErrTime):
		return problem.New(problem.Unauthenticated, "stale_signature", "webhook-timestamp is more than 5 minutes off: check the clocks")
	default:
		return problem.New(problem.Unauthenticated, "bad_signature", "the signature or secret is not this source's")
	}
}
