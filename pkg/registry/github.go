package registry

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
)

// GitHub is how GitHub is asked for deliveries of a hook that we never got: with
// a token, for the hook of a repository or an organisation; or as the App whose
// hook it is.
type GitHub struct {
	Repository   string      `json:"repository,omitempty"` // owner/name
	Organization string      `json:"organization,omitempty"`
	HookID       int64       `json:"hook_id,omitempty"`
	AppID        int64       `json:"app_id,omitempty"`
	BaseURL      string      `json:"base_url,omitempty"` // of the API of a GitHub Enterprise Server; empty: github.com's
	Secret       auth.Sealed `json:"secret"`             // the token, or the App's private key
}

var (
	repositoryForm   = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$`)
	organizationForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)
)

// maxGitHubSecret is longer than a private key of 8192 bits.
const maxGitHubSecret = 16 << 10

func (s *Source) checkGitHub() error {
	g := s.GitHub
	if g == nil {
		return nil
	}
	invalid := func(message string) error { return problem.Invalid("github", message) }
	app := g.AppID != 0
	switch {
	case g.AppID < 0 || g.HookID < 0:
		return invalid("github.app_id and github.hook_id are positive numbers")
	case app && (g.Repository != "" || g.Organization != "" || g.HookID != 0):
		return invalid("github.app_id is for the App's own hook: leave out repository, organization and hook_id")
	case !app && (g.Repository == "") == (g.Organization == ""):
		return invalid("github.repository, github.organization or github.app_id says whose hook it is: one of them")
	case g.Repository != "" && (!repositoryForm.MatchString(g.Repository) || strings.Contains("/"+g.Repository+"/", "/../")):
		return invalid("github.repository is owner/name, such as acme/shop")
	case g.Organization != "" && !organizationForm.MatchString(g.Organization):
		return invalid("github.organization is its login, such as acme")
	case !app && g.HookID == 0:
		return invalid("github.hook_id is the number at the end of the hook's page in GitHub's settings")
	case len(g.Secret) == 0:
		return invalid("github.token is needed, or github.private_key with app_id")
	}
	if g.BaseURL == "" {
		return nil
	}
	u, err := url.Parse(g.BaseURL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return invalid("github.base_url is the URL of a GitHub Enterprise Server's API, such as https://github.example.com/api/v3; leave it out for github.com")
	}
	return line("github", g.BaseURL, maxName, true)
}

// SetGitHubSecret seals the token or private key that belongs to s.GitHub for s.Org.
func (s *Source) SetGitHubSecret(sealer *auth.Sealer, secret auth.Secret) error {
	text := strings.TrimSpace(secret.Reveal())
	switch {
	case len(text) < minSecret || len(text) > maxGitHubSecret:
		return problem.Invalid("github", "github.token is a token of GitHub's, or github.private_key the PEM file that it gave out for the App")
	case s.GitHub.AppID == 0 && strings.ContainsAny(text, " \t\r\n"):
		return problem.Invalid("github", "github.token is one word")
	case s.GitHub.AppID != 0:
		if _, err := ParseAppKey(auth.Secret(text)); err != nil {
			return problem.Invalid("github", "github.private_key is the PEM file that GitHub gave out for the App, with an RSA key")
		}
	}
	s.GitHub.Secret = sealer.Seal(s.Org, auth.Secret(text))
	return nil
}

// OpenGitHub returns the token or private key that belongs to s.GitHub; empty
// when the source has none.
func (s *Source) OpenGitHub(sealer *auth.Sealer) (auth.Secret, error) {
	if s.GitHub == nil {
		return "", nil
	}
	secret, err := sealer.Open(s.Org, s.GitHub.Secret)
	if err != nil {
		return "", fmt.Errorf("source %s: github: %w", s.ID, err)
	}
	return secret, nil
}

// ParseAppKey reads an App's private key, in either of the forms that PEM files have.
func ParseAppKey(secret auth.Secret) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(secret.Reveal()))
	if block == nil {
		return nil, fmt.Errorf("no PEM block")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("no private key in it")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("no RSA key")
	}
	return key, nil
}
