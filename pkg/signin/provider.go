package signin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
)

const (
	askTimeout = 10 * time.Second
	askPause   = 3 * time.Second // after the provider could not be reached
	maxAnswer  = 1 << 20         // bytes of what the provider says
	maxAsking  = 16              // sign-ins that wait for the provider at one time
	// clockSkew is how much later than ours the provider's clock may be read.
	clockSkew = 30 * time.Second
)

// Person is who signed in.
type Person struct {
	ID    string // usr_ and what stands for their account with the provider
	Org   string
	Name  string
	Email string
	Role  string
}

// Attempt is what must be known when somebody comes back from the provider. It
// belongs to the browser that was sent there, and to no other.
type Attempt struct {
	State    string // comes back in the URL
	Nonce    string // comes back in the token
	Verifier string // of PKCE: what the code can be exchanged with
}

// Provider is where people sign in.
type Provider struct {
	cfg      Config
	secret   auth.Secret
	callback string
	roles    map[string]string
	client   *http.Client
	asking   chan struct{}

	mu      sync.Mutex
	known   *oidc.Provider // what the provider says of itself, once it has answered
	lastErr error          // why it has not
	retryAt time.Time      // until then it is not asked again
}

// New returns the provider that cfg names; nil if it names none. People come
// back from it to callback, a URL of ours. The provider is asked nothing yet:
// it may be down while we start.
func New(cfg Config, callback string) (*Provider, error) {
	if err := cfg.Validate(); err != nil || cfg.Issuer == "" {
		return nil, err
	}
	secret, err := cfg.secret()
	if err != nil {
		return nil, err
	}
	roles, err := parseRoles(cfg.Roles)
	if err != nil {
		return nil, err
	}
	return &Provider{
		cfg: cfg, secret: secret, callback: callback, roles: roles,
		client: &http.Client{Timeout: askTimeout, Transport: bounded{http.DefaultTransport}},
		asking: make(chan struct{}, maxAsking),
	}, nil
}

// Begin returns where to send a browser, and what to know when it is back.
func (p *Provider) Begin(ctx context.Context) (to string, a Attempt, err error) {
	known, err := p.discover(ctx)
	if err != nil {
		return "", Attempt{}, err
	}
	a = Attempt{State: auth.NewToken(""), Nonce: auth.NewToken(""), Verifier: oauth2.GenerateVerifier()}
	return p.oauth(known).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), a, nil
}

// Finish returns who came back with a code. The caller has seen that the state
// is the attempt's. An error is of kind Unauthenticated when the code or the
// token is not good, Forbidden when it is, and its owner may not come in.
func (p *Provider) Finish(ctx context.Context, a Attempt, code string) (Person, error) {
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	default:
		return Person{}, problem.BusyFor(2*time.Second, "too_many_sign_ins", "many people are signing in at the moment; try again", nil)
	}
	known, err := p.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), askTimeout)
	defer cancel()
	answer, err := p.oauth(known).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Person{}, exchangeFault(err)
	}
	raw, ok := answer.Extra("id_token").(string)
	if !ok {
		return Person{}, refused("no_token", "the provider answered without an ID token", nil)
	}
	verifier := known.Verifier(&oidc.Config{ClientID: p.cfg.ClientID, Now: func() time.Time { return time.Now().Add(-clockSkew) }})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return Person{}, refused("bad_token", "the provider's token is not good: not signed by it, not made for us, or expired", err)
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1 {
		return Person{}, refused("wrong_nonce", "the provider's token was made for another sign-in", nil)
	}
	return p.admit(token)
}

// claims are what a token says of its owner. Their types differ from provider
// to provider.
type claims struct {
	Email    string `json:"email"`
	Verified any    `json:"email_verified"`
	Name     string `json:"name"`
	Username string `json:"preferred_username"`
	Party    string `json:"azp"`
}

// admit says who the owner of a token is here, if they may come in.
func (p *Provider) admit(token *oidc.IDToken) (Person, error) {
	var c claims
	var all map[string]any
	if err := errors.Join(token.Claims(&c), token.Claims(&all)); err != nil {
		return Person{}, refused("bad_token", "what the provider's token says cannot be read", err)
	}
	if len(token.Audience) > 1 && c.Party != p.cfg.ClientID {
		return Person{}, refused("bad_token", "the provider's token was made for another party", nil)
	}
	if !p.cfg.TrustMail && c.Verified != true && c.Verified != "true" {
		return Person{}, forbidden("mail_not_verified", "the provider does not say that the mail address was verified; verify it there")
	}
	email := strings.ToLower(c.Email)
	role := p.role(email, texts(all[p.cfg.GroupsClaim]))
	if role == "" {
		return Person{}, forbidden("not_allowed", "this account may not sign in here; ask for its mail domain or a group of it to be allowed")
	}
	name := c.Name
	if name == "" {
		name = c.Username
	}
	return Person{ID: accountID(token.Issuer, token.Subject), Org: p.cfg.Org, Name: clean(name), Email: clean(c.Email), Role: role}, nil
}

// role returns the highest role that the settings give; "" for nobody of ours.
// With domains set, whoever is in none of them has no role, whatever groups
// they are in.
func (p *Provider) role(email string, groups []string) string {
	_, domain, _ := strings.Cut(email, "@")
	ours := slices.ContainsFunc(p.cfg.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
	if len(p.cfg.Domains) > 0 && !ours {
		return ""
	}
	given := map[string]bool{p.cfg.DefaultRole: ours}
	for name, role := range p.roles {
		if slices.Contains(groups, name) || email != "" && strings.EqualFold(name, email) {
			given[role] = true
		}
	}
	for _, role := range auth.Roles() { // mightiest first
		if given[role] {
			return role
		}
	}
	return ""
}

// texts reads a claim that is a string or a list of them.
func texts(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// accountID stands for an account with a provider: always the same, and not
// the provider's own id, which may be a mail address.
func accountID(issuer, subject string) string {
	sum := sha256.Sum256([]byte(issuer + "\x00" + subject))
	return "usr_" + hex.EncodeToString(sum[:16])
}

// clean makes a line of what a provider says, of a length that we keep.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	line := []rune(strings.Join(strings.Fields(s), " "))
	return string(line[:min(len(line), 200)])
}

func (p *Provider) oauth(known *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.secret.Reveal(), Endpoint: known.Endpoint(), RedirectURL: p.callback,
		Scopes: append([]string{oidc.ScopeOpenID, "email", "profile"}, p.cfg.Scopes...),
	}
}

// discover asks the provider where it does what, until it has answered once.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != nil {
		return p.known, nil
	}
	if time.Now().Before(p.retryAt) {
		return nil, p.lastErr
	}
	// Others wait for the same, so it goes on when this caller leaves.
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.WithoutCancel(ctx), p.client), askTimeout)
	defer cancel()
	known, err := oidc.NewProvider(ctx, p.cfg.Issuer)
	if err != nil {
		p.lastErr = unreachable(fmt.Errorf("ask the oidc provider for its configuration: %w", err))
		p.retryAt = time.Now().Add(askPause)
		return nil, p.lastErr
	}
	p.known = known
	return known, nil
}

// exchangeFault tells a code that is not good from a provider that is not there.
func exchangeFault(err error) error {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answer.Response.StatusCode < 500 {
		// Its text holds the provider's answer, which is not ours to show or keep.
		return refused("bad_code", "the provider does not take the code; sign in again", errors.New("the token endpoint answered "+answer.Response.Status))
	}
	return unreachable(errors.New("the oidc provider's token endpoint cannot be reached or answers nonsense"))
}

func unreachable(cause error) error {
	return problem.BusyFor(5*time.Second, "provider_unreachable", "the provider of accounts cannot be reached; try again, or sign in with a key", cause)
}

func refused(reason, message string, cause error) error {
	return &problem.Error{Kind: problem.Unauthenticated, Reason: reason, Message: message, Err: cause}
}

func forbidden(reason, message string) error {
	return problem.New(problem.Forbidden, reason, message)
}

// bounded keeps the provider's answers from filling the memory.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}
