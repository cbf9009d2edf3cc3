// Package github turns GitHub's webhooks into changes. What it does not know
// becomes a change of type other, never an error.
package github

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/go-github/v60/github"
	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

const (
	provider = "github"
	version  = 2
)

// New returns the normalizer of GitHub's webhooks.
func New() normalizers.Normalizer { return normalizer{} }

type normalizer struct{}

func (normalizer) Provider() string { return provider }
func (normalizer) Version() int     { return version }

// Normalize turns one webhook into one change.
func (normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	if !isObject(r.JSON) {
		return normalizers.Result{}, fmt.Errorf("%w: a GitHub payload is a JSON object", change.ErrMalformed)
	}
	name := r.Event
	if name == "" {
		name = eventOf(r.JSON)
	}
	if why := events[name].ignored; why != "" {
		return normalizers.Ignore(why), nil
	}
	b, err := build(name, r.JSON, true)
	if err != nil {
		return normalizers.Result{}, err
	}
	return normalizers.One(b.finish(), key(r)), nil
}

// build makes the change of one event, of a payload that is an object.
func build(name string, body []byte, pruned bool) (*builder, error) {
	if name == "push" {
		return newBuilder(name, body, decodePush(body)), nil
	}
	if pruned {
		body = prune(body)
	}
	payload, err := decode(name, body)
	if err != nil {
		return nil, err
	}
	return newBuilder(name, body, payload), nil
}

// key names the fact: GitHub's delivery id is the same for every hook and
// every redelivery of one event. Without it the content stands in.
func key(r normalizers.Record) string {
	if id := r.Header.Get("X-Github-Delivery"); id != "" {
		return id
	}
	sum := sha256.Sum256(r.JSON)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// builder makes the change of one event.
type builder struct {
	event  string
	action string // the payload's own, often empty
	body   []byte
	c      change.Change
	meta   normalizers.Meta

	sender        string
	org           string
	subject       string // what an event of a kind nobody knows is about
	repo          string
	repoID        int64
	repoURL       string
	defaultBranch string
}

// newBuilder starts with what all events have in common.
func newBuilder(event string, body []byte, payload any) *builder {
	b := &builder{event: event, body: body}
	b.meta.Set("event", event)
	if p, ok := payload.(interface{ GetAction() string }); ok {
		b.action = p.GetAction()
	} else {
		b.action = b.get("action").String()
	}
	b.meta.Set("action", b.action)
	switch p := payload.(type) {
	case interface {
		GetRepo() *github.PushEventRepository
	}:
		r := p.GetRepo()
		b.repo, b.repoID, b.repoURL, b.defaultBranch = r.GetFullName(), r.GetID(), r.GetHTMLURL(), r.GetDefaultBranch()
	case interface{ GetRepo() *github.Repository }:
		b.setRepo(p.GetRepo())
	case interface{ GetRepository() *github.Repository }:
		b.setRepo(p.GetRepository())
	}
	b.c.Repository = b.repo
	b.meta.Set("repository_url", b.repoURL)
	b.meta.Set("default_branch", b.defaultBranch)
	if p, ok := payload.(interface{ GetSender() *github.User }); ok {
		b.sender = p.GetSender().GetLogin()
		b.setActor(p.GetSender())
	}
	switch p := payload.(type) {
	case interface{ GetOrg() *github.Organization }:
		b.org = p.GetOrg().GetLogin()
	case interface{ GetOrganization() *github.Organization }:
		b.org = p.GetOrganization().GetLogin()
	}
	b.meta.Set("organization", b.org)
	if p, ok := payload.(interface{ GetInstallation() *github.Installation }); ok && p.GetInstallation().GetID() != 0 {
		b.meta.Set("installation_id", p.GetInstallation().GetID())
	}
	if b.event != "push" { // the hot one, and it can do without
		b.meta.Set("enterprise", b.get("enterprise.slug").String())
	}
	b.resource("repository", idOf(b.repoID), b.repo, b.repoURL)
	b.describe(payload)
	return b
}

func (b *builder) setRepo(r *github.Repository) {
	b.repo, b.repoID, b.repoURL, b.defaultBranch = r.GetFullName(), r.GetID(), r.GetHTMLURL(), r.GetDefaultBranch()
}

// setActor says who did it; the first one known stays unless a later one is
// nearer to the deed.
func (b *builder) setActor(u *github.User) {
	if u.GetLogin() == "" {
		return
	}
	b.c.Actor = change.Actor{ID: idOf(u.GetID()), Name: u.GetLogin(), Type: actorType(u)}
	b.c.ChangedBy = u.GetLogin()
}

// actorType tells people from machines: an app, and GitHub itself, which sends
// what nobody did in the name of an organization.
func actorType(u *github.User) string {
	switch {
	case u.GetType() == "Bot", strings.HasSuffix(u.GetLogin(), "[bot]"):
		return "bot"
	case u.GetType() == "Organization":
		return "system"
	}
	return "user"
}

// actor returns who did it, for summaries.
func (b *builder) actor() string {
	if b.c.ChangedBy == "" {
		return "someone"
	}
	return b.c.ChangedBy
}

// resource says what it was done to, unless there is nothing to say.
func (b *builder) resource(kind, id, name, url string) {
	if id != "" || name != "" {
		b.c.Resource = change.Resource{Type: kind, ID: id, Name: name, URL: url}
	}
}

func (b *builder) hint(hints ...string) {
	b.c.RiskHints = normalizers.AddHints(b.c.RiskHints, hints...)
}

// at sets when it happened; a time that is not there leaves it open.
func (b *builder) at(t github.Timestamp) {
	if !t.IsZero() {
		b.c.OccurredAt = change.At(t.Time)
	}
}

// get reads what go-github's types do not have.
func (b *builder) get(path string) gjson.Result { return gjson.GetBytes(b.body, path) }

// atPath sets when it happened from the payload.
func (b *builder) atPath(path string) {
	if t, ok := normalizers.ParseTime(b.get(path).String()); ok {
		b.c.OccurredAt = change.At(t)
	}
}

// copy copies members of the payload to the metadata, each given as
// "key=path".
func (b *builder) copy(members ...string) {
	for _, m := range members {
		name, path, _ := strings.Cut(m, "=")
		switch v := b.get(path); v.Type {
		case gjson.Null:
		case gjson.String:
			b.meta.Set(name, v.Str)
		default:
			b.meta.SetRaw(name, v.Raw)
		}
	}
}

// finish completes the change.
func (b *builder) finish() change.Change {
	if b.c.Action == "" {
		b.c.Action = dotted(b.event, b.action)
	}
	if b.c.Summary == "" {
		b.c.Summary = strings.TrimSpace(b.actor() + ": " + words(b.event) + " " + words(b.action))
		if b.subject != "" {
			b.c.Summary += " '" + b.subject + "'"
		}
		b.c.Summary += b.where()
	}
	b.c.Metadata = b.meta.JSON()
	return b.c
}

// where names the repository, or else the organization, at the end of a
// summary.
func (b *builder) where() string {
	switch {
	case b.repo != "":
		return " in " + b.repo
	case b.org != "":
		return " in organization " + b.org
	}
	return ""
}

// of names it as the owner of what stands before.
func (b *builder) of() string { return strings.Replace(b.where(), " in ", " of ", 1) }

func dotted(event, action string) string {
	switch {
	case event == "":
		event = "github"
		fallthrough
	case action != "":
		return strings.TrimSuffix(event+"."+action, ".")
	}
	return event
}

// words writes an action as people say it.
func words(action string) string { return strings.ReplaceAll(action, "_", " ") }

func idOf(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}
