package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"whatchanged/pkg/change"
)

// KeyPatch changes what it names of a key; scopes are replaced as a whole.
type KeyPatch struct {
	Name         *string      `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Scopes       *[]string    `json:"scopes,omitempty" minItems:"1" maxItems:"20"`
	Role         *string      `json:"role,omitempty" enum:"site_admin,power_user,member"`
	UserName     *string      `json:"user_name,omitempty" maxLength:"200"`
	UserEmail    *string      `json:"user_email,omitempty" maxLength:"200"`
	ExpiresAt    *change.Time `json:"expires_at,omitempty"`
	NeverExpires bool         `json:"never_expires,omitempty" doc:"Takes expires_at away"`
}

// Session is who calls, and until when they can.
type Session struct {
	Org       string      `json:"org" example:"default"`
	ID        string      `json:"id" doc:"Of the key, or usr_... of who signed in with an account" example:"key_7m2p"`
	Name      string      `json:"name,omitempty" example:"Jane Doe"`
	Email     string      `json:"email,omitempty" example:"jane@acme.example"`
	Role      string      `json:"role" example:"member"`
	Scopes    []string    `json:"scopes" nullable:"false" example:"[\"changes:read\"]"`
	SessionID string      `json:"session_id,omitempty" doc:"Missing when a key was shown instead of a cookie" example:"ses_2l6c"`
	ExpiresAt change.Time `json:"expires_at,omitzero" doc:"When the session ends, or the key"`
}

// Key returns one key, without its secret.
func (c *Client) Key(ctx context.Context, id string) (Key, error) {
	return object[Key](ctx, c, http.MethodGet, item("keys", id), nil)
}

// UpdateKey changes what the patch names.
func (c *Client) UpdateKey(ctx context.Context, id string, in KeyPatch) (Key, error) {
	return object[Key](ctx, c, http.MethodPatch, item("keys", id), in)
}

// RotateKey gives a key a new secret, shown here only. The old one is good for
// overlap longer; zero ends it at once.
func (c *Client) RotateKey(ctx context.Context, id string, overlap time.Duration) (KeySecret, error) {
	q := url.Values{"overlap": {overlap.String()}}
	var out data[KeySecret]
	_, err := c.do(ctx, call{method: http.MethodPost, path: item("keys", id) + "/rotate", query: q, out: &out})
	return out.Data, err
}

// Session says who is calling with this client's key.
func (c *Client) Session(ctx context.Context) (Session, error) {
	return object[Session](ctx, c, http.MethodGet, "/api/v1/session", nil)
}
