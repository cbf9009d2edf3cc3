package receiver

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"whatchanged/pkg/limit"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

const (
	maxIssuers = 256
	// Keys are fetched again when they are as old as their issuer says, but
	// within these bounds.
	minKeysAge     = time.Minute
	maxKeysAge     = 24 * time.Hour
	defaultKeysAge = time.Hour
	// keysPause is how long nothing is fetched after a fetch: a token may name a
	// key that the issuer has only just begun to use, but also any nonsense.
	keysPause = 10 * time.Second
	// clockSkew is how much later than ours an issuer's clock may be read.
	clockSkew = 30 * time.Second
)

var (
	errKeysUnreachable = errors.New("the issuer's keys cannot be fetched")
	errUnknownKey      = errors.New("none of the issuer's keys signed this")
)

// issuers has the keys of everyone whose tokens the sources take.
type issuers struct {
	outside *outside

	mu    sync.Mutex
	known limit.Generations[string, *issuer]
}

func newIssuers(o *outside) *issuers {
	return &issuers{outside: o, known: limit.Generations[string, *issuer]{Max: maxIssuers}}
}

func (all *issuers) of(name string) *issuer {
	all.mu.Lock()
	defer all.mu.Unlock()
	i, ok := all.known.Get(name)
	if !ok {
		i = &issuer{name: name, outside: all.outside}
		all.known.Put(name, i)
	}
	return i
}

// issuer has the keys with which one issuer signs its tokens.
type issuer struct {
	name    string
	outside *outside
	fetches singleflight.Group

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	until   time.Time // when the keys are fetched again
	last    time.Time // when they were last tried to be fetched
	lastErr error
}

// keysFor returns the keys of that id that are good at now.
func (i *issuer) keysFor(ctx context.Context, id string, now time.Time) ([]jose.JSONWebKey, error) {
	found, fetch, err := i.look(id, now)
	if !fetch {
		return found, err
	}
	_, _, _ = i.fetches.Do("", func() (any, error) {
		if _, again, _ := i.look(id, now); !again {
			return nil, nil // somebody was faster
		}
		keys, age, err := i.fetch(ctx)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.last, i.lastErr = now, err
		if err == nil {
			i.keys, i.until = keys, now.Add(age)
		}
		return nil, nil
	})
	found, _, err = i.look(id, now)
	return found, err
}

// look returns the keys of that id from those at hand, and whether it is time
// to fetch them. While the issuer cannot be reached, the old ones do for a day.
func (i *issuer) look(id string, now time.Time) (found []jose.JSONWebKey, fetch bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, key := range i.keys {
		if key.KeyID == id && now.Before(i.until.Add(maxKeysAge)) {
			found = append(found, key)
		}
	}
	paused := !i.last.IsZero() && now.Sub(i.last) < keysPause
	fetch = !paused && (len(found) == 0 || !now.Before(i.until))
	if len(found) == 0 && i.lastErr != nil {
		err = fmt.Errorf("%w: %w", errKeysUnreachable, i.lastErr)
	}
	return found, fetch, err
}

// fetch finds where the issuer has its keys, and fetches them.
func (i *issuer) fetch(ctx context.Context) ([]jose.JSONWebKey, time.Duration, error) {
	text, _, err := i.outside.get(ctx, strings.TrimSuffix(i.name, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, 0, err
	}
	var about struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &about); err != nil || about.Issuer != i.name || !strings.HasPrefix(about.JWKSURI, "https://") {
		return nil, 0, errors.New("what the issuer says of itself is not its configuration")
	}
	text, header, err := i.outside.get(ctx, about.JWKSURI)
	if err != nil {
		return nil, 0, err
	}
	keys := parseKeys(text)
	if len(keys) == 0 {
		return nil, 0, errors.New("the issuer's keys cannot be read")
	}
	return keys, keysAge(header), nil
}

// parseKeys returns the RSA keys for signatures out of a set. What else is in
// it, also of kinds that nobody knows yet, does not matter.
func parseKeys(text []byte) (keys []jose.JSONWebKey) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &set) != nil {
		return nil
	}
	for _, one := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) != nil || key.Use == "enc" {
			continue
		}
		if _, ok := key.Key.(*rsa.PublicKey); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// keysAge returns how long the issuer lets its keys be kept.
func keysAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		text, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age=")
		if seconds, err := strconv.Atoi(text); ok && err == nil {
			return min(max(time.Duration(min(seconds, 1<<20))*time.Second, minKeysAge), maxKeysAge)
		}
	}
	return defaultKeysAge
}

// keySet is an issuer's keys for one token. It remembers what kept it from
// telling whether the token is good.
type keySet struct {
	issuer *issuer
	now    time.Time
	fault  error
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	keys, err := k.issuer.keysFor(ctx, signed.Signatures[0].Header.KeyID, k.now)
	if err != nil {
		k.fault = err
		return nil, err
	}
	for i := range keys {
		if payload, err := signed.Verify(&keys[i]); err == nil {
			return payload, nil
		}
	}
	return nil, errUnknownKey
}

// check returns nil for a token that the issuer made for what want says. The
// errors are our own words: those of the libraries quote the token, and an
// audience may be a URL with our own token in it.
func (i *issuer) check(ctx context.Context, raw string, want *registry.OIDC, now time.Time) error {
	keys := &keySet{issuer: i, now: now}
	// Issuer and audience are checked below, so that it can be told which of
	// them is wrong.
	verifier := oidc.NewVerifier(i.name, keys, &oidc.Config{
		SkipIssuerCheck: true, SkipClientIDCheck: true, SupportedSigningAlgs: []string{oidc.RS256},
		Now: func() time.Time { return now.Add(-clockSkew) },
	})
	token, err := verifier.Verify(ctx, raw)
	var expired *oidc.TokenExpiredError
	switch {
	case keys.fault != nil:
		return problem.BusyFor(5*time.Second, "keys_unreachable", "the keys of the token's issuer cannot be fetched at the moment", keys.fault)
	case errors.As(err, &expired):
		return problem.New(problem.Unauthenticated, "token_expired", "the token has expired: check the clocks")
	case err != nil:
		return problem.New(problem.Unauthenticated, "bad_token", "the token is not one that the source's issuer signed, or not valid now")
	case token.Issuer != i.name && (i.name != registry.GoogleIssuer || "https://"+token.Issuer != i.name):
		return problem.New(problem.Unauthenticated, "wrong_issuer", "the token is of another issuer than the source's")
	case !slices.Contains(token.Audience, want.Audience):
		return problem.New(problem.Unauthenticated, "wrong_audience", "the token was made for another audience than the source's: set the same on both sides")
	}
	if len(want.Emails) == 0 {
		return nil
	}
	var claims struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
	}
	if err := token.Claims(&claims); err != nil || !claims.Verified || !slices.Contains(want.Emails, claims.Email) {
		return problem.New(problem.Unauthenticated, "wrong_email", "the token is of an account that is not among the source's emails, or whose address is not verified")
	}
	return nil
}
