// Package signin signs people in through an OpenID Connect provider: it sends
// them there, checks who comes back, and says which role they have here. It
// knows no sessions and no routes, and keeps nothing but what the provider
// publishes.
package signin

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"whatchanged/pkg/auth"
)

// Config says whom to ask who somebody is, and what to make of the answer.
type Config struct {
	// Issuer is the provider's URL, as https://accounts.google.com; without it nobody signs in with an account.
	Issuer string
	// ClientID is how the provider knows us.
	ClientID string
	// ClientSecret proves to the provider that it is us.
	ClientSecret auth.Secret
	// ClientSecretFile is a file with the secret, instead of ClientSecret.
	ClientSecretFile string
	// Org is the org that people sign in to.
	Org string
	// Domains are the domains of mail addresses that may sign in, as acme.example.
	Domains []string
	// TrustMail takes a mail address that the provider does not say to be
	// verified. Only for a provider where nobody chooses their own, as a company's directory.
	TrustMail bool
	// GroupsClaim is the claim of the token that lists a person's groups.
	GroupsClaim string
	// Roles give a role to the members of a group or to one mail address, as
	// sre=power_user or jane@acme.example=site_admin; the highest counts.
	Roles []string
	// DefaultRole is the role of those in Domains to whom Roles give none;
	// empty refuses them.
	DefaultRole string
	// Scopes are asked for beside openid, email and profile; some providers
	// list groups only when asked for them.
	Scopes []string
}

// DefaultConfig signs nobody in until there is an Issuer.
func DefaultConfig() Config {
	return Config{Org: "default", GroupsClaim: "groups", DefaultRole: auth.Member}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	if c.Issuer == "" {
		return nil
	}
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if u, err := url.Parse(c.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && onThisMachine(u)) {
		fault("issuer: want an https URL")
	}
	if c.ClientID == "" {
		fault("client_id: must be set")
	}
	if c.ClientSecret != "" && c.ClientSecretFile != "" {
		fault("client_secret and client_secret_file: give one, not both")
	}
	if c.Org == "" {
		fault("org: must be set")
	}
	for _, d := range c.Domains {
		if d == "" || strings.ContainsAny(d, "@* /") {
			fault("domains: %q: want a domain, as acme.example; there are no patterns", d)
		}
	}
	if _, err := parseRoles(c.Roles); err != nil {
		errs = append(errs, err)
	}
	if c.DefaultRole != "" && !slices.Contains(auth.Roles(), c.DefaultRole) {
		fault("default_role: one of %s, or empty", strings.Join(auth.Roles(), ", "))
	}
	if len(c.Domains) == 0 && len(c.Roles) == 0 {
		fault("domains and roles: set one, or nobody could sign in; without either it would be everybody whom the provider knows")
	}
	return errors.Join(errs...)
}

func onThisMachine(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// parseRoles reads entries such as sre=power_user.
func parseRoles(entries []string) (map[string]string, error) {
	roles := make(map[string]string, len(entries))
	var errs []error
	for _, entry := range entries {
		i := strings.LastIndexByte(entry, '=') // a group's name may have one
		if i < 1 || !slices.Contains(auth.Roles(), entry[i+1:]) {
			errs = append(errs, fmt.Errorf("roles: %q: want GROUP=ROLE or ADDRESS=ROLE, where the role is one of %s", entry, strings.Join(auth.Roles(), ", ")))
			continue
		}
		roles[entry[:i]] = entry[i+1:]
	}
	return roles, errors.Join(errs...)
}

// secret returns the client's secret, from its file if need be.
func (c Config) secret() (auth.Secret, error) {
	if c.ClientSecretFile == "" {
		return c.ClientSecret, nil
	}
	text, err := os.ReadFile(c.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("read the oidc client secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("read the oidc client secret: %s is empty", c.ClientSecretFile)
	}
	return auth.Secret(secret), nil
}
