// Package gitea turns the webhooks of Gitea, Forgejo and Gogs into changes.
// Gitea grew out of Gogs and Forgejo out of Gitea: they send the same payloads,
// which look like GitHub's and are not.
package gitea

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

const version = 1

// New returns the normalizer of Gitea's webhooks.
func New() normalizers.Normalizer { return normalizer{"gitea"} }

// NewForgejo returns the normalizer of Forgejo's webhooks.
func NewForgejo() normalizers.Normalizer { return normalizer{"forgejo"} }

// NewGogs returns the normalizer of Gogs's webhooks.
func NewGogs() normalizers.Normalizer { return normalizer{"gogs"} }

type normalizer struct{ provider string }

func (n normalizer) Provider() string { return n.provider }
func (normalizer) Version() int       { return version }

// Normalize turns one webhook into one change.
func (n normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	payload := gjson.ParseBytes(r.JSON)
	if !payload.IsObject() {
		return normalizers.Result{}, fmt.Errorf("%w: a payload of Gitea, Forgejo or Gogs is a JSON object", change.ErrMalformed)
	}
	body := fields.Of(payload)
	kind := kindOf(body, r)
	e := forge.Find(events, kind)
	if e.Ignored != "" {
		return normalizers.Ignore(e.Ignored), nil
	}
	b := newBuilder(n.provider, kind, r, body)
	if e.Fill != nil {
		e.Fill(b)
	}
	return b.Result(key(r), forge.Dotted(forge.First(kind, n.provider), body.Text("action"))), nil
}

// eventTypes are the headers that tell a review, label or assignment from the
// pull request or issue that X-Gitea-Event says it is about.
var eventTypes = []string{"X-Forgejo-Event-Type", "X-Gitea-Event-Type", "X-Gogs-Event-Type"}

// kindOf returns the word for the event; a payload without its headers says by
// its members what it is.
func kindOf(body *fields.Object, r normalizers.Record) string {
	for _, name := range eventTypes {
		if kind := r.Header.Get(name); isKnown(kind) {
			return kind
		}
	}
	if r.Event != "" {
		return r.Event
	}
	has := func(name string) bool { return body.Get(name).Exists() }
	switch {
	case has("comment"):
		return "issue_comment"
	case has("workflow_job"):
		return "workflow_job"
	case has("workflow_run"):
		return "workflow_run"
	case has("pull_request"):
		return "pull_request"
	case has("release"):
		return "release"
	case has("issue"):
		return "issues"
	case has("package"):
		return "package"
	case has("forkee"):
		return "fork"
	case has("page"):
		return "wiki"
	case has("commits"), has("before"):
		return "push"
	case has("ref_type") && has("pusher_type"):
		return "delete"
	case has("ref_type"):
		return "create"
	case has("context") && has("state"):
		return "status"
	case has("repository") && has("action"):
		return "repository"
	}
	return ""
}

func isKnown(kind string) bool {
	e := forge.Find(events, kind)
	return e.Fill != nil || e.Ignored != ""
}

// deliveries are the headers that name a request; sent again by hand it has a
// new name, as it does for another hook.
var deliveries = []string{"X-Forgejo-Delivery", "X-Gitea-Delivery", "X-Gogs-Delivery"}

// key names the fact: the request when it has a name.
func key(r normalizers.Record) string {
	for _, name := range deliveries {
		if id := r.Header.Get(name); id != "" {
			return id
		}
	}
	sum := sha256.Sum256(r.JSON)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// builder makes the change of one event.
type builder struct {
	forge.Builder
	provider string
	kind     string

	repositoryID  string
	repositoryURL string
	defaultBranch string
}

// newBuilder starts with what all events have in common.
func newBuilder(provider, kind string, r normalizers.Record, body *fields.Object) *builder {
	b := &builder{Builder: forge.NewBuilder(body), provider: provider, kind: kind}
	repository := body.Object("repository")
	b.Project = repository.Text("full_name")
	b.repositoryID = repository.Text("id")
	b.repositoryURL = repository.Text("html_url")
	b.defaultBranch = repository.Text("default_branch")
	b.Change.Repository = b.Project
	b.Change.Account = body.First("organization.username", "organization.login", "organization.name")
	b.Resource("repository", forge.First(b.repositoryID, b.Project), b.Project, b.repositoryURL)

	b.Meta.Set("event", forge.First(r.Event, kind))
	if kind != r.Event {
		b.Meta.Set("event_type", kind)
	}
	b.Copy("action", "repository_id=repository.id", "repository_url=repository.html_url", "default_branch=repository.default_branch",
		"private=repository.private")
	who := body.Object("sender")
	if who.First("login", "username") == "" {
		who = body.Object("pusher")
	}
	b.actor(who)
	return b
}

func (b *builder) actor(who *fields.Object) {
	login := who.First("login", "username")
	b.Actor(b.id(who), login, who.First("full_name", "name"), isBot(login))
}

// id is a user's; Gitea's own and deleted users have none above 0.
func (b *builder) id(who *fields.Object) string {
	id := who.Text("id")
	if id == "0" || strings.HasPrefix(id, "-") {
		return ""
	}
	return id
}

// isBot knows the users who act for Gitea, and what people call theirs.
func isBot(login string) bool {
	return login == "gitea-actions" || login == "forgejo-actions" || login == "actions-user" || strings.HasSuffix(login, "-bot") ||
		strings.HasSuffix(login, "[bot]") || login == "renovate"
}

// correlation ties changes about one thing of a repository together.
func (b *builder) correlation(kind, id string) string {
	repository := forge.First(b.repositoryID, b.Project)
	if id == "" || id == "0" || repository == "" {
		return ""
	}
	return b.provider + ":" + repository + ":" + kind + ":" + id
}
