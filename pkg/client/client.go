// Package client is the Go SDK of the API: one method an endpoint, typed
// errors, retries where they are safe, and the live tail. It knows the JSON of
// the API and nothing else of the product's inside.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	maxAnswer      = 64 << 20 // bytes of an answer that are read
	defaultTries   = 4
	defaultTimeout = 30 * time.Second
)

// Client calls the API with one key. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	key     string
	http    *http.Client
	agent   string
	tries   uint
	timeout time.Duration
}

// Option changes how a Client works.
type Option func(*Client)

// WithHTTPClient makes the client send its requests through h, which must not
// have a timeout of its own if Tail is used.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithTries sets how often a request is sent at most; 1 means no retries.
func WithTries(n uint) Option { return func(c *Client) { c.tries = max(n, 1) } }

// WithTimeout sets how long one try may take.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithUserAgent names the program that calls.
func WithUserAgent(s string) Option { return func(c *Client) { c.agent = s } }

// New returns a client for the server at baseURL, such as
// "http://127.0.0.1:8080". It does not connect.
func New(baseURL, key string, opts ...Option) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(baseURL, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a server: want http(s)://host[:port]", baseURL)
	}
	if strings.ContainsAny(key, "\r\n") {
		return nil, errors.New("an API key is one line")
	}
	c := &Client{base: u, key: key, http: &http.Client{}, agent: "whatchanged-go", tries: defaultTries, timeout: defaultTimeout}
	for _, opt := range opts {
		opt(c)
	}
	return c, nil
}

// String names the server; it never shows the key.
func (c *Client) String() string { return c.base.Redacted() }

// GoString is String, so that %#v does not show the key.
func (c *Client) GoString() string { return c.String() }

// call is one request: what to send, and where to put the answer.
type call struct {
	method string
	path   string
	query  url.Values
	body   any // marshaled as JSON unless nil
	key    string
	out    any // unmarshaled from JSON unless nil
	// longer is how much more time than usual the server may take.
	longer time.Duration
}

// do sends the request, again when that is safe and may help: the server was
// busy or out of reach, and the request is idempotent or carries its own key.
func (c *Client) do(ctx context.Context, req call) (http.Header, error) {
	var body []byte
	if req.body != nil {
		var err error
		if body, err = json.Marshal(req.body); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	again := req.method != http.MethodPost && req.method != http.MethodPatch || req.key != ""
	header, err := backoff.Retry(ctx, func() (http.Header, error) {
		h, err := c.once(ctx, req, body)
		return h, retryable(ctx, err, again)
	}, backoff.WithMaxTries(c.tries), backoff.WithMaxElapsedTime(2*time.Minute), backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second,
	}))
	if err != nil {
		return nil, unwrapProblem(err)
	}
	return header, nil
}

func (c *Client) once(ctx context.Context, req call, body []byte) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout+req.longer)
	defer cancel()
	r, err := c.request(ctx, req, body)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return nil, problemOf(res, answer)
	}
	if len(answer) > maxAnswer {
		return nil, backoff.Permanent(fmt.Errorf("the answer is over %d bytes", maxAnswer))
	}
	switch out := req.out.(type) {
	case nil:
	case *[]byte:
		*out = answer
	default:
		if err := json.Unmarshal(answer, out); err != nil {
			return nil, backoff.Permanent(fmt.Errorf("%s does not answer as this API does: %w", c, err))
		}
	}
	return res.Header, nil
}

func (c *Client) request(ctx context.Context, req call, body []byte) (*http.Request, error) {
	u := c.base.JoinPath(req.path)
	u.RawQuery = req.query.Encode()
	r, err := http.NewRequestWithContext(ctx, req.method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if req.key != "" {
		r.Header.Set("Idempotency-Key", req.key)
	}
	r.Header.Set("User-Agent", c.agent)
	return r, nil
}

// retryable marks err for backoff: permanent, later, or at the server's word.
func retryable(ctx context.Context, err error, again bool) error {
	var p *Problem
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		// A request over a rate was not looked at. One that was answered 503, or by a
		// proxy in the server's place, may have been in somebody's hands already.
		if p.Status != http.StatusTooManyRequests && (!again || !passing(p.Status)) {
			return backoff.Permanent(err)
		}
		if p.RetryAfter > 0 {
			return errors.Join(err, &backoff.RetryAfterError{Duration: p.RetryAfter})
		}
		return err
	case !again || ctx.Err() != nil:
		return backoff.Permanent(err)
	default:
		return err
	}
}

// passing reports whether a refusal may be over in a moment.
func passing(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// unwrapProblem takes off what was put around a Problem for backoff.
func unwrapProblem(err error) error {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return err
}

// NewIdempotencyKey returns a fresh key for a write: whatever is sent again
// with it is recorded once.
func NewIdempotencyKey() string { return rand.Text() }

// data is the form of an answer with a single object.
type data[T any] struct {
	Data T `json:"data"`
}
