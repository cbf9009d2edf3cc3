package api

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// parseEvent reads the body of POST /api/v1/events: who did what to what. The
// metadata is kept as it is; what a change has a field for is read out of it.
func parseEvent(p *parser) change.Change {
	c := change.Change{
		Action: p.action("action"),
		Actor: change.Actor{
			ID:   p.required("actor_id"),
			Name: p.text("actor_name", maxName),
			Type: oneOf(p, "actor_type", actorTypes, "user"),
		},
		Resource: change.Resource{
			Type: p.text("resource", maxName),
			ID:   p.text("resource_id", maxName),
			Name: p.text("resource_name", maxName),
		},
		ServiceID:  p.text("service_id", maxName),
		SessionID:  p.text("session_id", maxName),
		Metadata:   p.metadata(),
		OccurredAt: p.time("occurred_at"),
		Source:     defaultSource,
	}
	setActor(&c)
	c.Type, c.Status = TypeOf(c.Action), statusOf(c.Action)
	m := said{gjson.ParseBytes(c.Metadata)}
	c.Resource.ID = orElse(c.Resource.ID, resourceOf(c.Metadata))
	c.Environment = orElse(m.text("environment"), defaultEnvironment)
	c.Region = m.text("region")
	c.Account = m.text("account")
	c.Repository = m.text("repository")
	c.CommitSHA = m.text("git_sha", "commit_sha")
	c.Branch = m.text("git_branch", "branch")
	c.Version = m.text("git_tag", "version", "rolled_back_to", "new_version")
	c.PRNumber = m.text("pr_number")
	c.CorrelationID = m.text("incident_id")
	c.Description = m.text("description", "change_reason", "rollback_reason", "rotation_reason")
	c.Risk = defaultRisk
	if severity := change.Risk(m.text("severity")); slices.Contains(change.Risks(), severity) {
		c.Risk = severity
	}
	c.Summary = summaryOf(&c, m)
	if strings.HasPrefix(c.Action, "secret.") {
		refuseValues(p, "metadata", m.Result, 0)
	}
	return c
}

// action reads a dotted verb.
func (p *parser) action(field string) string {
	s := p.required(field)
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-:/", rune(c)) {
			p.fail(wrong(field, "must be a dotted verb such as deployment.started: letters, digits and . _ - : /"))
			break
		}
	}
	return s
}

// said reads metadata: what is not of the form that is looked for says nothing.
type said struct{ gjson.Result }

// text returns the first of these members that is a text or a number.
func (m said) text(names ...string) string {
	for _, name := range names {
		v := m.Get(name)
		switch {
		case v.Type == gjson.String && v.Str != "":
			return strings.TrimSpace(normalizers.Truncate(v.Str, maxText/4))
		case v.Type == gjson.Number:
			return v.Raw
		}
	}
	return ""
}

// summaryOf says in one line what an event reports: its own title, or what was
// done to what.
func summaryOf(c *change.Change, m said) string {
	if title := normalizers.OneLine(m.text("title", "summary")); title != "" {
		return normalizers.Truncate(title, change.MaxSummary)
	}
	text := strings.NewReplacer(".", " ", "_", " ").Replace(c.Action)
	if what := orElse(c.Resource.Name, orElse(c.Resource.ID, c.Resource.Type)); what != "" {
		text += ": " + what
	}
	if key := m.text("config_key"); key != "" {
		text += ", " + key
	}
	if c.Version != "" {
		text += " " + c.Version
	}
	return normalizers.Truncate(normalizers.OneLine(text), change.MaxSummary)
}

// actionTypes says what the first part of an action stands for.
var actionTypes = map[string]change.Type{
	"deployment":   change.Deployment,
	"config":       change.ConfigChange,
	"secret":       change.SecretRotation,
	"incident":     change.Incident,
	"access":       change.AccessChange,
	"permission":   change.AccessChange,
	"role":         change.AccessChange,
	"scaling":      change.Scaling,
	"feature_flag": change.FeatureFlag,
	"migration":    change.DatabaseMigration,
}

// TypeOf returns the type of change that a dotted action reports.
func TypeOf(action string) change.Type {
	if action == "deployment.rollback" {
		return change.Rollback
	}
	kind, _, dotted := strings.Cut(action, ".")
	if t, ok := actionTypes[kind]; ok && dotted {
		return t
	}
	return change.Other
}

// statusOf is what the last part of an action says of how far it has come.
func statusOf(action string) change.Status {
	switch action[strings.LastIndexByte(action, '.')+1:] {
	case "started":
		return change.Started
	case "succeeded", "completed", "finished":
		return change.Succeeded
	case "failed":
		return change.Failed
	case "cancelled", "canceled":
		return change.Cancelled
	}
	return ""
}
