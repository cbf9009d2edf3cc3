package repair

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/registry"
)

const (
	callTimeout = 15 * time.Second
	answerMost  = 8 << 20 // bytes; a page of a hundred deliveries has some 50,000
	perPage     = 100
	pagesMost   = 100
)

// hook is GitHub's record of what one hook has sent.
type hook struct {
	client *github.Client
	config *registry.GitHub
}

// newHook returns a hook's record. Nothing is asked yet.
func newHook(config *registry.GitHub, secret auth.Secret, transport http.RoundTripper) (*hook, error) {
	signer := &signer{next: limited{transport}, token: secret}
	base, err := url.Parse("https://api.github.com/")
	if config.BaseURL != "" {
		base, err = url.Parse(strings.TrimRight(config.BaseURL, "/") + "/")
	}
	if err != nil {
		return nil, errors.New("the source's github.base_url is no URL")
	}
	if config.AppID != 0 {
		if signer.key, err = registry.ParseAppKey(secret); err != nil {
			return nil, fmt.Errorf("read the App's private key: %w", err)
		}
		signer.app = config.AppID
	}
	client := github.NewClient(&http.Client{
		Transport: signer, Timeout: callTimeout,
		// What is renamed is said by GitHub with a redirect, to itself; the token
		// goes nowhere else.
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
				return errors.New("redirected elsewhere")
			}
			return nil
		},
	})
	client.BaseURL, client.UserAgent = base, "whatchanged"
	return &hook{client: client, config: config}, nil
}

// newTransport returns the connections to GitHub: no proxy from the
// environment, and nothing waited for too long.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: callTimeout,
		MaxIdleConns:          4, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
}

// page returns a page of what the hook has sent, newest first, and the cursor of
// the next; empty on the last.
func (h *hook) page(ctx context.Context, cursor string) (sent []*github.HookDelivery, next string, err error) {
	opts := &github.ListCursorOptions{PerPage: perPage, Cursor: cursor}
	var res *github.Response
	switch owner, name, _ := strings.Cut(h.config.Repository, "/"); {
	case h.config.AppID != 0:
		sent, res, err = h.client.Apps.ListHookDeliveries(ctx, opts)
	case h.config.Organization != "":
		sent, res, err = h.client.Organizations.ListHookDeliveries(ctx, h.config.Organization, h.config.HookID, opts)
	default:
		sent, res, err = h.client.Repositories.ListHookDeliveries(ctx, owner, name, h.config.HookID, opts)
	}
	if err != nil {
		return nil, "", err
	}
	return sent, res.Cursor, nil
}

// ask asks GitHub to send a delivery again.
func (h *hook) ask(ctx context.Context, id int64) (err error) {
	switch owner, name, _ := strings.Cut(h.config.Repository, "/"); {
	case h.config.AppID != 0:
		_, _, err = h.client.Apps.RedeliverHookDelivery(ctx, id)
	case h.config.Organization != "":
		_, _, err = h.client.Organizations.RedeliverHookDelivery(ctx, h.config.Organization, h.config.HookID, id)
	default:
		_, _, err = h.client.Repositories.RedeliverHookDelivery(ctx, owner, name, h.config.HookID, id)
	}
	if _, ok := errors.AsType[*github.AcceptedError](err); ok {
		return nil // 202: it will
	}
	return err
}

// signer shows who asks: a token, or what an App signs for itself.
type signer struct {
	next  http.RoundTripper
	token auth.Secret
	app   int64
	key   *rsa.PrivateKey
}

// RoundTrip sends the request with its credentials.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	token := s.token.Reveal()
	if s.key != nil {
		var err error
		if token, err = appToken(s.app, s.key, time.Now()); err != nil {
			return nil, err
		}
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return s.next.RoundTrip(r)
}

// appToken makes the JSON Web Token that an App shows: a minute old, for clocks
// that differ, and good for less than the ten minutes that GitHub allows.
func appToken(app int64, key *rsa.PrivateKey, now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(8 * time.Minute).Unix(), "iss": strconv.FormatInt(app, 10),
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign for the App: %w", err)
	}
	return text + "." + encode(signature), nil
}

// limited reads no answer without end.
type limited struct{ next http.RoundTripper }

// RoundTrip sends the request.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, answerMost), res.Body}
	}
	return res, err
}
