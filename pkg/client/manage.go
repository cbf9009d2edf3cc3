package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Services lists the org's services.
func (c *Client) Services(ctx context.Context) ([]Service, error) {
	return list[Service](ctx, c, "/api/v1/services")
}

// Service returns one service.
func (c *Client) Service(ctx context.Context, id string) (Service, error) {
	return object[Service](ctx, c, http.MethodGet, item("services", id), nil)
}

// CreateService makes a service.
func (c *Client) CreateService(ctx context.Context, in NewService) (Service, error) {
	return object[Service](ctx, c, http.MethodPost, "/api/v1/services", in)
}

// UpdateService changes what the patch names.
func (c *Client) UpdateService(ctx context.Context, id string, in ServicePatch) (Service, error) {
	return object[Service](ctx, c, http.MethodPatch, item("services", id), in)
}

// DeleteService removes a service; its changes stay.
func (c *Client) DeleteService(ctx context.Context, id string) error {
	return c.delete(ctx, item("services", id))
}

// Sources lists the org's sources, without their secrets.
func (c *Client) Sources(ctx context.Context) ([]Source, error) {
	return list[Source](ctx, c, "/api/v1/sources")
}

// Source returns one source.
func (c *Client) Source(ctx context.Context, id string) (Source, error) {
	return object[Source](ctx, c, http.MethodGet, item("sources", id), nil)
}

// CreateSource makes a source. The answer is the only place that shows its token.
func (c *Client) CreateSource(ctx context.Context, in NewSource) (SourceSecret, error) {
	return object[SourceSecret](ctx, c, http.MethodPost, "/api/v1/sources", in)
}

// UpdateSource changes what the patch names.
func (c *Client) UpdateSource(ctx context.Context, id string, in SourcePatch) (Source, error) {
	return object[Source](ctx, c, http.MethodPatch, item("sources", id), in)
}

// RotateSource gives the source a new token, shown here only. The old one is
// good for a day longer.
func (c *Client) RotateSource(ctx context.Context, id string) (SourceSecret, error) {
	return object[SourceSecret](ctx, c, http.MethodPost, item("sources", id)+"/rotate", nil)
}

// RotateSourceWithin is RotateSource with a time for which the old token is
// good; zero ends it at once.
func (c *Client) RotateSourceWithin(ctx context.Context, id string, overlap time.Duration) (SourceSecret, error) {
	q := url.Values{"overlap": {overlap.String()}}
	var out data[SourceSecret]
	_, err := c.do(ctx, call{method: http.MethodPost, path: item("sources", id) + "/rotate", query: q, out: &out})
	return out.Data, err
}

// RepairSource asks GitHub to send again what its hook has sent since then and
// was never received; with dryRun it only finds out.
func (c *Client) RepairSource(ctx context.Context, id string, since time.Duration, dryRun bool) (RepairReport, error) {
	q := url.Values{"since": {since.String()}}
	if dryRun {
		q.Set("dry_run", "true")
	}
	var out data[RepairReport]
	_, err := c.do(ctx, call{method: http.MethodPost, path: item("sources", id) + "/repair", query: q, out: &out, longer: 30 * time.Second})
	return out.Data, err
}

// AddSecret gives the source another secret, beside those that it has. They
// stay good until they are removed.
func (c *Client) AddSecret(ctx context.Context, id, secret string) (Source, error) {
	return object[Source](ctx, c, http.MethodPost, item("sources", id)+"/secrets", NewSecret{Secret: secret})
}

// AddSecretWithin is AddSecret with a time after which the secrets before it
// end; zero ends them at once.
func (c *Client) AddSecretWithin(ctx context.Context, id, secret string, overlap time.Duration) (Source, error) {
	q := url.Values{"overlap": {overlap.String()}}
	var out data[Source]
	_, err := c.do(ctx, call{method: http.MethodPost, path: item("sources", id) + "/secrets", query: q, body: NewSecret{Secret: secret}, out: &out})
	return out.Data, err
}

// RemoveSecret ends one of the source's secrets at once.
func (c *Client) RemoveSecret(ctx context.Context, id, secretID string) error {
	return c.delete(ctx, item("sources", id)+"/secrets/"+url.PathEscape(secretID))
}

// DeleteSource removes a source; what it delivered stays.
func (c *Client) DeleteSource(ctx context.Context, id string) error {
	return c.delete(ctx, item("sources", id))
}

// Keys lists the org's API keys, without their secrets.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	return list[Key](ctx, c, "/api/v1/keys")
}

// CreateKey makes a key. The answer is the only place that shows its secret.
func (c *Client) CreateKey(ctx context.Context, in NewKey) (KeySecret, error) {
	return object[KeySecret](ctx, c, http.MethodPost, "/api/v1/keys", in)
}

// DeleteKey removes a key; it stops working at once.
func (c *Client) DeleteKey(ctx context.Context, id string) error {
	return c.delete(ctx, item("keys", id))
}

func (c *Client) delete(ctx context.Context, path string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: path})
	return err
}

func item(collection, id string) string { return "/api/v1/" + collection + "/" + url.PathEscape(id) }

func object[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var out data[T]
	_, err := c.do(ctx, call{method: method, path: path, body: body, out: &out})
	return out.Data, err
}

// list reads a whole list; these are short.
func list[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var all []T
	for {
		q := query{}
		q.number("limit", 100)
		q.number("offset", len(all))
		var page Page[T]
		if _, err := c.do(ctx, call{method: http.MethodGet, path: path, query: url.Values(q), out: &page}); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if !page.Meta.HasMore || len(page.Data) == 0 {
			return all, nil
		}
	}
}
