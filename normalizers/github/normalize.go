// Package github turns GitHub's webhooks into changes. What it does not know
// becomes a change of type other, never an error.
package github

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/google/go-github/v60/github"
	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

const (
	provider = "github"
	version  = 1
)

// New returns the normalizer of GitHub's webhooks.
func New() normalizers.Normalizer { return normalizer{} }

type normalizer struct{}

func (normalizer) Provider() string { return provider }
func (normalizer) Version() int     { return version }

// Normalize turns one webhook into one change.
func (normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	event := r.Event
	if event == "" {
		event = eventOf(gjson.ParseBytes(r.JSON))
	}
	if why, ok := noise[event]; ok && isObject(r.JSON) {
		return normalizers.Ignore(why), nil
	}
	payload, err := decode(event, r.JSON)
	if err != nil {
		return normalizers.Result{}, err
	}
	b := newBuilder(event, r.JSON, payload)
	b.describe(payload)
	return normalizers.One(b.finish(), key(r)), nil
}

// noise are the events that record no change, with why.
var noise = map[string]string{
	"ping":                        "ping",
	"pull_request_review":         "a review changes nothing yet",
	"pull_request_review_comment": "comment",
	"pull_request_review_thread":  "comment",
	"commit_comment":              "comment",
	"issue_comment":               "comment",
	"discussion_comment":          "comment",
	"workflow_job":                "part of a workflow run",
	"check_run":                   "check of a commit",
	"check_suite":                 "check of a commit",
	"status":                      "check of a commit",
	"issues":                      "issue tracking",
	"label":                       "issue tracking",
	"milestone":                   "issue tracking",
	"sub_issues":                  "issue tracking",
	"issue_dependencies":          "issue tracking",
	"project":                     "issue tracking",
	"project_card":                "issue tracking",
	"project_column":              "issue tracking",
	"projects_v2":                 "issue tracking",
	"projects_v2_item":            "issue tracking",
	"projects_v2_status_update":   "issue tracking",
	"discussion":                  "discussion",
	"star":                        "star",
	"watch":                       "star",
	"fork":                        "fork",
	"gollum":                      "wiki",
	"sponsorship":                 "sponsorship",
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
		b.meta.Set("organization", p.GetOrg().GetLogin())
	case interface{ GetOrganization() *github.Organization }:
		b.meta.Set("organization", p.GetOrganization().GetLogin())
	}
	if p, ok := payload.(interface{ GetInstallation() *github.Installation }); ok && p.GetInstallation().GetID() != 0 {
		b.meta.Set("installation_id", p.GetInstallation().GetID())
	}
	if b.event != "push" { // the hot one, and it can do without
		b.meta.Set("enterprise", b.get("enterprise.slug").String())
	}
	b.resource("repository", idOf(b.repoID), b.repo, b.repoURL)
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
	kind := "user"
	if u.GetType() == "Bot" || strings.HasSuffix(u.GetLogin(), "[bot]") {
		kind = "bot"
	}
	b.c.Actor = change.Actor{ID: idOf(u.GetID()), Name: u.GetLogin(), Type: kind}
	b.c.ChangedBy = u.GetLogin()
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

func (b *builder) hint(hints ...string) { b.c.RiskHints = append(b.c.RiskHints, hints...) }

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

// changes keeps the old values that GitHub gives when something is edited.
func (b *builder) changes() {
	if v := b.get("changes"); v.IsObject() {
		b.meta.SetRaw("changes", v.Raw)
	}
}

// finish completes the change.
func (b *builder) finish() change.Change {
	if b.c.Action == "" {
		b.c.Action = dotted(b.event, b.action)
	}
	if b.c.Summary == "" {
		b.c.Summary = b.actor() + ": " + strings.ReplaceAll(b.event, "_", " ") + " " + words(b.action) + b.where()
	}
	b.c.Metadata = b.meta.JSON()
	return b.c
}

// where names the repository at the end of a summary.
func (b *builder) where() string {
	if b.repo == "" {
		return ""
	}
	return " in " + b.repo
}

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
