// Package auditlog turns the records of GitHub's audit log, streamed or read
// with the API, into changes.
package auditlog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// New returns the normalizer of GitHub's audit log.
func New() normalizers.Normalizer { return normalizer{} }

type normalizer struct{}

func (normalizer) Provider() string { return "github_audit_log" }
func (normalizer) Version() int     { return 2 }

// Normalize turns one record into one change.
func (normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	body := gjson.ParseBytes(r.JSON)
	if !body.IsObject() {
		return normalizers.Result{}, fmt.Errorf("%w: a record of GitHub's audit log is a JSON object", change.ErrMalformed)
	}
	f := fieldsOf(body)
	name := f.text("action")
	a := find(name)
	switch kind := f.text("operation_type"); {
	case a.ignored != "":
		return normalizers.Ignore(a.ignored), nil
	case (kind == "access" || kind == "authentication") && a.says == "":
		return normalizers.Ignore(reading), nil
	}
	c := change.Change{
		Type:       a.kind,
		Action:     name,
		Repository: f.text("repo"),
		Branch:     strings.TrimPrefix(f.first("head_branch", "branch"), branches),
		CommitSHA:  f.text("head_sha"),
		Account:    f.first("org", "business"),
		ExternalID: f.text("_document_id"),
		PRURL:      f.text("pull_request_url"),
		ChangedBy:  f.text("actor"),
		RiskHints:  normalizers.AddHints(nil, a.hints...),
	}
	if c.ChangedBy != "" {
		c.Actor = change.Actor{ID: f.text("actor_id"), Name: c.ChangedBy, Type: f.actorType()}
	}
	c.Resource = f.resource()
	for _, member := range []string{"@timestamp", "created_at", "at_sign_timestamp"} {
		if t, ok := normalizers.ParseTime(f.text(member)); ok && c.OccurredAt.IsZero() {
			c.OccurredAt = change.At(t)
		}
	}
	if name == "workflows.completed_workflow_run" {
		f.run(&c)
	}
	f.judge(name, &c)
	c.Summary = f.summary(a, name)
	c.Metadata = f.metadata()
	return normalizers.One(c, key(&c, r.JSON)), nil
}

// key is the record's own id; without one the content stands in.
func key(c *change.Change, body []byte) string {
	if c.ExternalID != "" {
		return c.ExternalID
	}
	sum := sha256.Sum256(body)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// fields are a record's members, in its order.
type fields []field

type field struct {
	name  string
	value gjson.Result
}

// maxFields is how many are looked at: GitHub writes at most some fifty.
const maxFields = 500

func fieldsOf(body gjson.Result) fields {
	f := make(fields, 0, 40)
	body.ForEach(func(name, v gjson.Result) bool {
		f = append(f, field{name.Str, v})
		return len(f) < maxFields
	})
	return f
}

// get returns the first field of a name.
func (f fields) get(name string) gjson.Result {
	for i := range f {
		if f[i].name == name {
			return f[i].value
		}
	}
	return gjson.Result{}
}

// text returns a field; of a list its items, since records about several
// repositories have a list where others have one.
func (f fields) text(name string) string {
	v := f.get(name)
	switch {
	case v.IsArray():
		var items []string
		v.ForEach(func(_, item gjson.Result) bool {
			items = append(items, item.String())
			return len(items) < 5
		})
		return strings.Join(items, ", ")
	case v.IsObject():
		return ""
	}
	return v.String()
}

// first returns the first of the fields that says something.
func (f fields) first(names ...string) string {
	for _, name := range names {
		if text := f.text(name); text != "" {
			return text
		}
	}
	return ""
}

func (f fields) actorType() string {
	if f.get("actor_is_bot").Bool() || strings.HasSuffix(f.text("actor"), "[bot]") {
		return "bot"
	}
	return "user"
}

// resource is the nearest thing that the record names.
func (f fields) resource() change.Resource {
	for _, r := range []struct{ kind, field string }{{"repository", "repo"}, {"team", "team"}, {"user", "user"}, {"organization", "org"}, {"enterprise", "business"}} {
		if name := f.text(r.field); name != "" {
			return change.Resource{Type: r.kind, ID: f.text(r.field + "_id"), Name: name}
		}
	}
	return change.Resource{}
}

// run adds what a workflow run says.
func (f fields) run(c *change.Change) {
	c.Type = normalizers.Upgrade(change.Other, f.text("name"))
	if strings.Contains(strings.ToLower(f.text("name")), "deploy") && c.Type == change.Other {
		c.Type = change.Deployment
	}
	if id := f.text("workflow_run_id"); id != "" {
		c.CorrelationID = "github:run:" + id
	}
	switch f.text("conclusion") {
	case "success":
		c.Status = change.Succeeded
	case "failure", "timed_out", "startup_failure":
		c.Status = change.Failed
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	case "cancelled":
		c.Status = change.Cancelled
	}
}

// judge hints at what the action's name alone does not tell.
func (f fields) judge(name string, c *change.Change) {
	hint := func(more string) { c.RiskHints = normalizers.AddHints(c.RiskHints, more) }
	switch role := f.first("new_repo_permission", "permission"); name {
	case "repo.create", "repo.access":
		if f.text("visibility") == "public" {
			hint(normalizers.HintPublicExposure)
		}
	case "repo.add_member", "repo.update_member", "team.add_repository", "team.update_repository_permission",
		"org.add_member", "org.update_member", "org.update_default_repository_permission":
		if role == "admin" || role == "write" || role == "maintain" || role == "owner" {
			hint(normalizers.HintPrivilegeGrant)
		}
	case "public_key.create":
		if f.get("read_only").String() == "false" {
			hint(normalizers.HintPrivilegeGrant)
		}
	}
}

// branches is how refs of branches start.
const branches = "refs/heads/"

var conclusions = map[string]string{"success": "succeeded", "failure": "failed", "timed_out": "timed out", "startup_failure": "failed to start"}

var (
	spaced  = strings.NewReplacer(".", " ", "_", " ")
	emptied = strings.NewReplacer(" (was )", "", " ()", "", " ''", "", "  ", " ")
)

// summary fills in what the action says, or says it in GitHub's own words.
func (f fields) summary(a action, name string) string {
	actor := f.text("actor")
	if actor == "" {
		actor = "someone"
	}
	if a.says == "" {
		text := strings.TrimSpace(actor + ": " + spaced.Replace(name))
		if about := f.first("name", "title", "user", "team"); about != "" {
			text += " '" + about + "'"
		}
		if where := f.first("repo", "org", "business"); where != "" {
			text += " in " + where
		}
		return text
	}
	text := f.fill(a.says)
	if strings.Contains(a.says, "{actor}") {
		return text
	}
	return actor + " " + text
}

// fill puts the record's fields into a text; a remark in brackets without a
// field to fill it falls away.
func (f fields) fill(says string) string {
	var b strings.Builder
	for says != "" {
		before, rest, found := strings.Cut(says, "{")
		b.WriteString(before)
		if !found {
			break
		}
		names, after, _ := strings.Cut(rest, "}")
		b.WriteString(f.said(names))
		says = after
	}
	return strings.TrimSpace(emptied.Replace(b.String()))
}

// said returns a field as people say it.
func (f fields) said(names string) string {
	switch names {
	case "verb":
		_, verb, _ := strings.Cut(f.text("action"), ".")
		return spaced.Replace(verb)
	case "conclusion":
		if said, ok := conclusions[f.text(names)]; ok {
			return said
		}
	}
	return strings.TrimPrefix(f.first(strings.Split(names, "|")...), branches)
}

// metadata keeps what has no field of its own, less what may be secret. Which
// token it was is worth knowing, and no secret.
func (f fields) metadata() []byte {
	var meta normalizers.Meta
	for _, m := range f {
		switch m.name {
		case "action", "actor", "actor_id", "repo", "org", "_document_id", "@timestamp", "at_sign_timestamp":
			continue
		}
		switch v := m.value; v.Type {
		case gjson.String:
			if m.name == "token_id" || m.name == "token_scopes" || !redact.Secret(m.name) {
				meta.Set(m.name, v.Str)
			}
		case gjson.True, gjson.False:
			meta.Set(m.name, v.Bool())
		case gjson.Number:
			if n, err := strconv.ParseInt(v.Raw, 10, 64); err == nil {
				meta.Set(m.name, n)
			} else {
				meta.SetRaw(m.name, v.Raw)
			}
		case gjson.JSON:
			if !redact.Secret(m.name) {
				meta.SetRaw(m.name, redact.Raw(v))
			}
		}
	}
	return meta.JSON()
}
