package registry

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// ID names the secret among its source's, and tells nothing about it: it is
// made of the sealed form, which differs each time something is sealed.
func (s SourceSecret) ID() string {
	sum := sha256.Sum256(s.Sealed)
	return "sec_" + hex.EncodeToString(sum[:8])
}

// expired reports whether the secret's overlap with its successor is over.
func (s SourceSecret) expired(now time.Time) bool {
	return !s.Until.IsZero() && !now.Before(s.Until.Time)
}

// UnmarshalJSON also reads the form of before secrets had times: the sealed
// bytes alone.
func (s *SourceSecret) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*s = SourceSecret{}
		return json.Unmarshal(b, &s.Sealed)
	}
	type plain SourceSecret
	return json.Unmarshal(b, (*plain)(s))
}

// SetSecrets checks the secrets against s.Auth and seals them for s.Org, both
// of which must be set before. They replace all that were there. Several are
// for rotation: any of them may have signed.
func (s *Source) SetSecrets(sealer *auth.Sealer, secrets ...auth.Secret) error {
	if len(secrets) > maxSecrets {
		return tooManySecrets()
	}
	sealed := make([]SourceSecret, 0, len(secrets))
	for _, secret := range secrets {
		if err := checkSecret(s.Auth, secret.Reveal()); err != nil {
			return err
		}
		sealed = append(sealed, SourceSecret{Sealed: sealer.Seal(s.Org, secret)})
	}
	s.Secrets = sealed
	return nil
}

// AddSecret adds a secret to those that are good already. With oldUntil set,
// the others end then: that is a rotation with an overlap.
func (s *Source) AddSecret(sealer *auth.Sealer, secret auth.Secret, oldUntil change.Time) error {
	if err := checkSecret(s.Auth, secret.Reveal()); err != nil {
		return err
	}
	s.Secrets = slices.Clone(s.Secrets) // those of the registry's view are shared
	if !oldUntil.IsZero() {
		for i := range s.Secrets {
			if old := &s.Secrets[i]; old.Until.IsZero() || oldUntil.Before(old.Until.Time) {
				old.Until = oldUntil
			}
		}
	}
	s.Secrets = append(s.Secrets, SourceSecret{Sealed: sealer.Seal(s.Org, secret)})
	return nil
}

// RemoveSecret ends a secret at once; false when the source has none of that id.
func (s *Source) RemoveSecret(id string) bool {
	i := slices.IndexFunc(s.Secrets, func(known SourceSecret) bool { return known.ID() == id })
	if i < 0 {
		return false
	}
	s.Secrets = slices.Delete(slices.Clone(s.Secrets), i, i+1)
	return true
}

// OpenSecrets returns the secrets that are good now. A source whose secrets
// end later than that gets a new version in the registry when they do.
func (s *Source) OpenSecrets(sealer *auth.Sealer) ([]auth.Secret, error) {
	secrets := make([]auth.Secret, 0, len(s.Secrets))
	for _, sealed := range s.Secrets {
		if sealed.expired(time.Now()) {
			continue
		}
		secret, err := sealer.Open(s.Org, sealed.Sealed)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", s.ID, err)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// SetAWSSecret seals the secret access key that belongs to s.AWS for s.Org.
func (s *Source) SetAWSSecret(sealer *auth.Sealer, secret auth.Secret) error {
	if len(secret) < minSecret || len(secret) > maxSecretSize {
		return problem.Invalid("aws", "aws.secret_access_key is the secret that AWS showed with the access key id")
	}
	s.AWS.SecretAccessKey = sealer.Seal(s.Org, secret)
	return nil
}

// OpenAWS returns the secret access key that belongs to s.AWS; empty when the
// source has no AWS credentials.
func (s *Source) OpenAWS(sealer *auth.Sealer) (auth.Secret, error) {
	if s.AWS == nil {
		return "", nil
	}
	secret, err := sealer.Open(s.Org, s.AWS.SecretAccessKey)
	if err != nil {
		return "", fmt.Errorf("source %s: aws: %w", s.ID, err)
	}
	return secret, nil
}

// NeedsSecret reports whether a kind of authentication compares with a secret.
func NeedsSecret(kind string) bool {
	switch kind {
	case AuthNone, AuthSNS, AuthOIDC:
		return false
	default:
		return true
	}
}

// checkSecret says what is wrong with a secret, and never shows it.
func checkSecret(kind, secret string) error {
	if !NeedsSecret(kind) {
		return problem.Invalid("secrets", "auth "+kind+" takes no secret: choose the auth that checks it, or leave secrets out")
	}
	if len(secret) < minSecret || len(secret) > maxSecretSize {
		return problem.Invalid("secrets", fmt.Sprintf("a secret has %d to %d characters; openssl rand -hex 32 makes a good one", minSecret, maxSecretSize))
	}
	switch kind {
	case AuthGitLabSigning, AuthStandardWebhooks:
		if !validSigningToken(secret) {
			return problem.Invalid("secrets", "a signing secret is whsec_ and 24 to 64 bytes in base64, as the sender shows it once")
		}
	case AuthBasic:
		user, password, ok := strings.Cut(secret, ":")
		if !ok || user == "" || len(password) < minSecret {
			return problem.Invalid("secrets", fmt.Sprintf("for auth basic a secret is user:password, the password with at least %d characters", minSecret))
		}
	case AuthToken, AuthGitLabToken:
		// It comes in a header, which can hold no more than this.
		if strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(secret) != secret {
			return problem.Invalid("secrets", "for auth "+kind+" a secret is sent in a header: printable ASCII, without spaces around it")
		}
	}
	return nil
}

// validSigningToken reports whether s is whsec_ and 24 to 64 bytes in base64.
func validSigningToken(s string) bool {
	text, ok := strings.CutPrefix(s, "whsec_")
	if !ok {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(key) >= 24 && len(key) <= 64
}

func tooManySecrets() error {
	return problem.Invalid("secrets", fmt.Sprintf("at most %d secrets; remove one that is no longer used", maxSecrets))
}

// stamp notes the time of the secrets that are new, and drops those that have
// ended.
func (s *Source) stamp(before []SourceSecret, now time.Time) {
	known := map[string]bool{}
	for _, old := range before {
		known[string(old.Sealed)] = true
	}
	var kept []SourceSecret
	for _, secret := range s.Secrets {
		if secret.expired(now) {
			continue
		}
		if !known[string(secret.Sealed)] {
			secret.SetAt = change.At(now)
		}
		kept = append(kept, secret)
	}
	s.Secrets = kept
}

// endSecrets writes a new version of the sources that have a secret whose
// overlap is over, so that whoever holds the old version opened lets go of it.
func (r *Registry) endSecrets(ctx context.Context) {
	now := r.now()
	for _, row := range r.view.Load().sources.rows {
		s := row.value
		if !slices.ContainsFunc(s.Secrets, func(secret SourceSecret) bool { return secret.expired(now) }) {
			continue
		}
		_, err := update(ctx, r, kindSource, s.Org, s.ID, sourcesOf, func(s *Source) error {
			s.stamp(s.Secrets, now)
			return nil
		})
		if err != nil && problem.KindOf(err) != problem.NotFound && ctx.Err() == nil {
			r.log.Warn("secret that ended not removed yet", "source_id", s.ID, "error", err)
		}
	}
}
