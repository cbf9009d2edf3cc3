// Package registry is the control plane: which orgs, sources, keys and
// services exist. It is kept in one JetStream KV bucket, and every process
// holds a complete view of it in memory, so that looking something up costs no
// lock and no network. Everything but a token look-up names its org.
package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// Org is a tenant.
type Org struct {
	ID         string      `json:"id"`
	Name       string      `json:"name"`
	Limits     Limits      `json:"limits,omitzero"`
	Retention  Retention   `json:"retention,omitzero"`
	QuotaBytes int64       `json:"quota_bytes,omitempty"` // that may be stored; 0: as configured, -1: no quota
	CreatedAt  change.Time `json:"created_at,omitzero"`
}

// The ways in which a source can demand that a delivery proves its sender.
const (
	AuthNone             = "none"              // the token in the URL is all
	AuthGitHubHMAC       = "github_hmac"       // X-Hub-Signature-256
	AuthGitLabToken      = "gitlab_token"      // X-Gitlab-Token
	AuthGitLabSigning    = "gitlab_signing"    // webhook-signature, whsec_ (GitLab >= 19.0)
	AuthStandardWebhooks = "standard_webhooks" // the same scheme from anyone
	AuthHMAC             = "hmac"              // HMAC of the body, hex or base64; see Source.Signature
	AuthToken            = "token"             // a secret in SecretHeader, or as Authorization: Bearer when that is empty
	AuthBasic            = "basic"             // Authorization: Basic; a secret is "user:password"
	AuthSNS              = "sns"               // Amazon SNS signs the message; Topics says which topics
	AuthOIDC             = "oidc"              // Authorization: Bearer with a token of OIDC.Issuer (Pub/Sub push)
)

// Auths lists every way.
func Auths() []string {
	return []string{
		AuthNone, AuthGitHubHMAC, AuthGitLabToken, AuthGitLabSigning, AuthStandardWebhooks,
		AuthHMAC, AuthToken, AuthBasic, AuthSNS, AuthOIDC,
	}
}

// Source is one configured entry point. The values that the registry hands
// out are shared: they must not be changed.
type Source struct {
	ID            string      `json:"id"`
	Org           string      `json:"org"`
	Name          string      `json:"name"`
	TokenHash     auth.Digest `json:"token_hash"`
	OldTokenHash  auth.Digest `json:"old_token_hash,omitzero"` // works until OldTokenUntil
	OldTokenUntil change.Time `json:"old_token_until,omitzero"`
	Provider      string      `json:"provider,omitempty"` // pinned; empty or "auto": detected

	Auth               string         `json:"auth"`                          // one of Auths
	Secrets            []SourceSecret `json:"secrets,omitempty"`             // any of them may have signed; see SetSecrets
	SecretHeader       string         `json:"secret_header,omitempty"`       // carries a secret, so it is never kept
	SignatureHeader    string         `json:"signature_header,omitempty"`    // hmac; empty: the pinned provider's own
	SignatureAlgorithm string         `json:"signature_algorithm,omitempty"` // hmac: sha256 (default) or sha512
	OIDC               *OIDC          `json:"oidc,omitempty"`
	Topics             []string       `json:"topics,omitempty"`   // SNS topic ARNs, * allowed at the end; empty: any topic whose signature is good
	Networks           []string       `json:"networks,omitempty"` // CIDRs a delivery may come from; empty: any

	DefaultEnvironment string           `json:"default_environment,omitempty"`
	DefaultServiceID   string           `json:"default_service_id,omitempty"`
	IgnoreEvents       []string         `json:"ignore_events,omitempty"`   // "github.push", "github.*"
	IgnoreBranches     []string         `json:"ignore_branches,omitempty"` // globs: "renovate/*"
	Services           []ServiceMapping `json:"services,omitempty"`        // first match wins, before the org's own mapping
	AWS                *AWS             `json:"aws,omitempty"`             // to fetch log files that a notice names
	GitHub             *GitHub          `json:"github,omitempty"`          // to ask again for what was never received

	Disabled  bool        `json:"disabled,omitempty"`
	CreatedAt change.Time `json:"created_at"`
	RotatedAt change.Time `json:"rotated_at,omitzero"`
}

// SourceSecret is one of a source's secrets.
type SourceSecret struct {
	Sealed auth.Sealed `json:"sealed"`
	SetAt  change.Time `json:"set_at,omitzero"`
	Until  change.Time `json:"until,omitzero"` // from then on it is refused, and soon removed
}

// OIDC says whose tokens are taken, and made for what.
type OIDC struct {
	Issuer   string   `json:"issuer"` // default GoogleIssuer
	Audience string   `json:"audience"`
	Emails   []string `json:"emails,omitempty"` // of service accounts; empty: any
}

// GoogleIssuer makes the tokens that Pub/Sub sends with what it pushes.
const GoogleIssuer = "https://accounts.google.com"

// ServiceMapping says which service a source's changes are about: Match is a
// glob over the repository, the resource's id and its name.
type ServiceMapping struct {
	Match     string `json:"match"`
	ServiceID string `json:"service_id"`
}

// AWS is how log files are read from S3, or from what speaks like it.
type AWS struct {
	Region          string      `json:"region"`
	AccessKeyID     string      `json:"access_key_id"`
	Endpoint        string      `json:"endpoint,omitempty"` // empty: Amazon's
	SecretAccessKey auth.Sealed `json:"secret_access_key"`
}

// Key is an API key.
type Key struct {
	ID        string       `json:"id"`
	Org       string       `json:"org"`
	Name      string       `json:"name"`
	Hash      auth.Digest  `json:"hash"`
	Scopes    []auth.Scope `json:"scopes"`
	Role      string       `json:"role"`
	UserName  string       `json:"user_name,omitempty"`
	UserEmail string       `json:"user_email,omitempty"`
	ExpiresAt change.Time  `json:"expires_at,omitzero"`
	CreatedAt change.Time  `json:"created_at"`
	LastUsed  change.Time  `json:"last_used,omitzero"` // to the minute
	RotatedAt change.Time  `json:"rotated_at,omitzero"`
	OldHash   auth.Digest  `json:"old_hash,omitzero"`  // of the secret before the last rotation
	OldUntil  change.Time  `json:"old_until,omitzero"` // until then that works too
}

// Principal returns who calls with this key.
func (k *Key) Principal() auth.Principal {
	return auth.Principal{
		Org: k.Org, KeyID: k.ID, Scopes: k.Scopes, Role: k.Role, Name: k.UserName, Mail: k.UserEmail,
	}
}

// Person is somebody who has signed in, and where they are signed in now.
type Person struct {
	ID       string    `json:"id"` // of the key that they showed; else usr_ and what stands for their account
	Org      string    `json:"org"`
	Name     string    `json:"name,omitempty"`
	Email    string    `json:"email,omitempty"`
	Role     string    `json:"role,omitempty"` // empty for a key, which says itself what it may
	Sessions []Session `json:"sessions,omitempty"`
}

// Session is one place where a person is signed in: a browser, mostly.
type Session struct {
	ID        string      `json:"id"`
	Hash      auth.Digest `json:"hash"`              // of what the browser keeps
	KeyHash   auth.Digest `json:"key_hash,omitzero"` // of the key's secret that was shown; it must be good still
	CreatedAt change.Time `json:"created_at"`
	ExpiresAt change.Time `json:"expires_at"`
}

// Service is a thing that changes are about. Repositories, Resources, Tags and
// Accounts say which changes are about it; see FindService.
type Service struct {
	ID           string      `json:"id"`
	Org          string      `json:"org"`
	Name         string      `json:"name"`
	Description  string      `json:"description,omitempty"`
	Owners       []string    `json:"owners,omitempty"`       // names or mails
	Dependencies []string    `json:"dependencies,omitempty"` // ids of the services that it needs; circles are allowed
	Repositories []string    `json:"repositories,omitempty"`
	Resources    []string    `json:"resources,omitempty"`
	Tags         []string    `json:"tags,omitempty"`     // "service:api"
	Accounts     []string    `json:"accounts,omitempty"` // of a cloud
	CreatedAt    change.Time `json:"created_at"`
	UpdatedAt    change.Time `json:"updated_at,omitzero"`
}

// The limits of what a person may write into the registry.
const (
	maxName        = 200 // characters
	maxText        = 2000
	maxListEntries = 1000
	maxSecrets     = 8
	minSecret      = 8 // bytes; an empty or short secret authenticates nobody
	maxSecretSize  = 1024
)

var (
	orgForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	idForm  = regexp.MustCompile(`^(src|key|svc)_[A-Za-z0-9]{1,40}$`)
)

func (k *Key) normalize() {
	if k.Role == "" {
		k.Role = auth.Member
	}
}

func (k *Key) validate() error {
	if len(k.Scopes) == 0 {
		return problem.Invalid("scopes", "at least one of "+strings.Join(auth.Scopes(), ", "))
	}
	for _, scope := range k.Scopes {
		if !slices.Contains(auth.Scopes(), scope) {
			return problem.Invalid("scopes", "each one of "+strings.Join(auth.Scopes(), ", "))
		}
	}
	if !slices.Contains(auth.Roles(), k.Role) {
		return problem.Invalid("role", "one of "+strings.Join(auth.Roles(), ", "))
	}
	return firstFault(
		line("name", k.Name, maxName, true),
		line("user_name", k.UserName, maxName, false),
		line("user_email", k.UserEmail, maxName, false),
	)
}

func (s *Service) validate() error {
	if !idForm.MatchString(s.ID) || !strings.HasPrefix(s.ID, servicePrefix) {
		return problem.Invalid("id", "svc_ and 1 to 40 letters or digits")
	}
	return firstFault(
		line("name", s.Name, maxName, true),
		text("description", s.Description),
		lines("owners", s.Owners),
		lines("dependencies", s.Dependencies),
		lines("repositories", s.Repositories),
		lines("resources", s.Resources),
		lines("tags", s.Tags),
		lines("accounts", s.Accounts),
	)
}

func (k *Key) expired(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt.Time)
}

func firstFault(faults ...error) error {
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}

// line checks a text that is shown on one line.
func line(field, s string, limit int, required bool) error {
	switch {
	case required && strings.TrimSpace(s) == "":
		return problem.Invalid(field, field+" is required")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return problem.Invalid(field, field+" must be one line of valid UTF-8")
	case utf8.RuneCountInString(s) > limit:
		return problem.Invalid(field, fmt.Sprintf("%s has at most %d characters", field, limit))
	}
	return nil
}

func text(field, s string) error {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText {
		return problem.Invalid(field, fmt.Sprintf("%s has at most %d characters of valid UTF-8", field, maxText))
	}
	return nil
}

func lines(field string, list []string) error {
	if len(list) > maxListEntries {
		return problem.Invalid(field, fmt.Sprintf("%s has at most %d entries", field, maxListEntries))
	}
	for _, s := range list {
		if err := line(field, s, 2*maxName, true); err != nil {
			return err
		}
	}
	return nil
}
