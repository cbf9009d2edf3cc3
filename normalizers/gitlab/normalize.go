// Package gitlab turns GitLab's webhooks and system hooks into changes. What
// it does not know becomes a change of type other, never an error.
package gitlab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/xanzy/go-gitlab"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

const (
	provider = "gitlab"
	version  = 1
)

// New returns the normalizer of GitLab's webhooks.
func New() normalizers.Normalizer { return normalizer{} }

type normalizer struct{}

func (normalizer) Provider() string { return provider }
func (normalizer) Version() int     { return version }

// Normalize turns one webhook into one change.
func (normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	body := gjson.ParseBytes(r.JSON)
	if !body.IsObject() {
		return normalizers.Result{}, fmt.Errorf("%w: a GitLab payload is a JSON object", change.ErrMalformed)
	}
	kind := kindOf(body, r.Event)
	if why, ok := noise[kind]; ok {
		return normalizers.Ignore(why), nil
	}
	b := newBuilder(kind, r, body)
	if why := b.describe(); why != "" {
		return normalizers.Ignore(why), nil
	}
	return normalizers.One(b.finish(), key(r, kind)), nil
}

// noise are the kinds that record no change, with why.
var noise = map[string]string{
	"wiki_page":             "wiki",
	"issue":                 "issue tracking",
	"work_item":             "issue tracking",
	"milestone":             "issue tracking",
	"note":                  "comment",
	"emoji":                 "comment",
	"access_token":          "a token will expire",
	"expiring_access_token": "a token will expire",
}

// key names the fact. GitLab's ids of a delivery are the same when it is sent
// again, but one X-Gitlab-Event-UUID can stand for a chain of events, and
// X-Gitlab-Webhook-UUID is a new one each time.
func key(r normalizers.Record, kind string) string {
	for _, name := range []string{"Webhook-Id", "Idempotency-Key"} {
		if id := r.Header.Get(name); id != "" {
			return id + " " + kind
		}
	}
	sum := sha256.Sum256(r.JSON)
	content := "sha256-" + hex.EncodeToString(sum[:])
	if id := r.Header.Get("X-Gitlab-Event-Uuid"); id != "" {
		return id + " " + kind + " " + content
	}
	return content
}

// builder makes the change of one event.
type builder struct {
	kind string
	body gjson.Result
	raw  []byte
	c    change.Change
	meta normalizers.Meta

	project       string
	projectID     string
	defaultBranch string
}

// newBuilder starts with what most events have in common.
func newBuilder(kind string, r normalizers.Record, body gjson.Result) *builder {
	b := &builder{kind: kind, body: body, raw: r.JSON}
	project := body.Get("project")
	b.project = project.Get("path_with_namespace").String()
	b.projectID = first(project.Get("id").String(), body.Get("project_id").String())
	b.defaultBranch = project.Get("default_branch").String()
	b.c.Repository = b.project
	b.c.Type = change.Other
	b.resource("project", b.projectID, b.project, project.Get("web_url").String())

	b.meta.Set("event", r.Event)
	b.copy("object_kind", "event_name", "event_type", "action=object_attributes.action", "project_id")
	if b.projectID != "" {
		b.meta.Set("project_id", project.Get("id").Int())
	}
	b.meta.Set("repository_url", first(project.Get("web_url").String(), body.Get("repository.homepage").String()))
	b.meta.Set("default_branch", b.defaultBranch)
	b.copy("user_username=user.username", "user_name=user.name", "user_email=user.email", "user_username", "user_name", "user_email")
	b.actor(body.Get("user.id").String(), body.Get("user.username").String(), body.Get("user.name").String())
	return b
}

// actor says who did it.
func (b *builder) actor(id, username, name string) {
	by := first(username, name)
	if by == "" {
		return
	}
	kind := "user"
	if strings.HasPrefix(by, "project_") && strings.Contains(by, "_bot") || strings.HasSuffix(by, "-bot") {
		kind = "bot"
	}
	b.c.Actor = change.Actor{ID: id, Name: by, Type: kind}
	b.c.ChangedBy = by
}

// who is who did it, for summaries.
func (b *builder) who() string { return first(b.c.ChangedBy, "someone") }

func (b *builder) resource(kind, id, name, url string) {
	if id != "" || name != "" {
		b.c.Resource = change.Resource{Type: kind, ID: id, Name: name, URL: url}
	}
}

func (b *builder) hint(hints ...string) { b.c.RiskHints = append(b.c.RiskHints, hints...) }

// at sets when it happened; what is no time leaves it open.
func (b *builder) at(text string) {
	if t, ok := normalizers.ParseTime(text); ok {
		b.c.OccurredAt = change.At(t)
	}
}

func (b *builder) get(path string) string { return b.body.Get(path).String() }

// copy copies members of the payload to the metadata, each given as
// "key=path", or only the key where both are the same.
func (b *builder) copy(members ...string) {
	for _, m := range members {
		name, path, ok := strings.Cut(m, "=")
		if !ok {
			path = name
		}
		switch v := b.body.Get(path); v.Type {
		case gjson.Null:
		case gjson.String:
			b.meta.Set(name, v.Str)
		default:
			b.meta.SetRaw(name, v.Raw)
		}
	}
}

// where names the project at the end of a summary.
func (b *builder) where() string {
	if b.project == "" {
		return ""
	}
	return " in " + b.project
}

// correlation ties changes about one thing of a project together.
func (b *builder) correlation(kind, id string) string {
	if id == "" || id == "0" || b.projectID == "" {
		return ""
	}
	return "gitlab:" + b.projectID + ":" + kind + ":" + id
}

// finish completes the change.
func (b *builder) finish() change.Change {
	if b.c.Action == "" {
		b.c.Action = strings.TrimSuffix(first(b.kind, "gitlab")+"."+b.get("object_attributes.action"), ".")
	}
	if b.c.Summary == "" {
		b.c.Summary = strings.TrimSpace(b.c.ChangedBy+" "+strings.ReplaceAll(first(b.kind, "gitlab event"), "_", " ")) + b.where()
	}
	b.c.Metadata = b.meta.JSON()
	return b.c
}

// describe fills in what the kind of event tells, or says why there is nothing
// to record.
func (b *builder) describe() (ignored string) {
	switch b.kind {
	case "push", "tag_push":
		b.push(into[gitlab.PushEvent](b))
	case "merge_request":
		b.mergeRequest(into[gitlab.MergeEvent](b))
	case "pipeline":
		b.pipeline(into[gitlab.PipelineEvent](b))
	case "build":
		return b.job(into[gitlab.JobEvent](b))
	case "deployment":
		b.deployment(into[gitlab.DeploymentEvent](b))
	case "release":
		b.release(into[gitlab.ReleaseEvent](b))
	case "feature_flag":
		b.featureFlag(into[gitlab.FeatureFlagEvent](b))
	case "vulnerability":
		b.vulnerability()
	case "repository_update":
		b.repositoryUpdate()
	default:
		b.administration()
	}
	return ""
}

// into decodes the payload into one of go-gitlab's types.
func into[T any](b *builder) *T {
	event := new(T)
	decode(b.raw, event)
	return event
}

// first returns the first of the texts that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
