// Package gitlab turns GitLab's webhooks and system hooks into changes. What
// it does not know becomes a change of type other, never an error.
package gitlab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

const (
	provider = "gitlab"
	version  = 2
)

// New returns the normalizer of GitLab's webhooks.
func New() normalizers.Normalizer { return normalizer{} }

type normalizer struct{}

func (normalizer) Provider() string { return provider }
func (normalizer) Version() int     { return version }

// Normalize turns one webhook into one change.
func (normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	payload := gjson.ParseBytes(r.JSON)
	if !payload.IsObject() {
		return normalizers.Result{}, fmt.Errorf("%w: a GitLab payload is a JSON object", change.ErrMalformed)
	}
	body := fields.Of(payload)
	kind := kindOf(body, r.Event)
	e := eventOf(kind)
	if e.Ignored != "" {
		return normalizers.Ignore(e.Ignored), nil
	}
	b := newBuilder(kind, r, body)
	if e.Fill != nil {
		e.Fill(b)
	}
	return b.Result(b.key(r), forge.Dotted(forge.First(kind, "event"), b.Text("object_attributes.action"))), nil
}

// kindOf returns GitLab's word for the event: object_kind, or event_name for
// the events that have none. A custom template may leave out both: then the
// header tells.
func kindOf(body *fields.Object, header string) string {
	for _, name := range []string{"object_kind", "event_name"} {
		if kind := body.Get(name); kind.Type == gjson.String && kind.Str != "" {
			return kind.Str
		}
	}
	kind := strings.ToLower(strings.TrimSuffix(header, " Hook"))
	kind = strings.TrimPrefix(kind, "confidential ")
	switch kind {
	case "job":
		return "build"
	case "resource access token", "resource deploy token":
		kind = strings.TrimPrefix(kind, "resource ")
	}
	return strings.ReplaceAll(kind, " ", "_")
}

// key names the fact. A deployment or merge request says enough of itself to be
// the same by way of a project's, a group's and the instance's hook. For all
// else it is the request: GitLab's ids of a delivery are the same when it is
// sent again, but one X-Gitlab-Event-UUID can stand for a chain of events, and
// X-Gitlab-Webhook-UUID is a new one each time.
func (b *builder) key(r normalizers.Record) string {
	if b.fact != "" && b.projectURL != "" {
		return b.projectURL + " " + b.fact
	}
	for _, name := range []string{"Webhook-Id", "Idempotency-Key"} {
		if id := r.Header.Get(name); id != "" {
			return id + " " + b.kind
		}
	}
	content := "sha256-" + hash(r.JSON)
	if id := r.Header.Get("X-Gitlab-Event-Uuid"); id != "" {
		return id + " " + b.kind + " " + content
	}
	return content
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
