package generic

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// forms are the shapes that have names of their own, whoever sends them: what
// a script posts, and the forms in which products keep such records.
var forms = map[string]*provider{
	"change-event": {
		titled:  true,
		profile: profile{headline: "title", actor: "author", service: "service tags.service", name: "@", resource: "resource_id", action: "action type", typ: "type"},
		tell:    tellPosted,
	},
	"change": {
		titled:  true,
		profile: profile{headline: "summary", typ: "change_type", action: "action change_type", actor: "changed_by", service: "service_name service_id", external: "external_id"},
		tell:    tellPosted,
	},
	"user-action": {
		fallback: change.ConfigChange,
		profile: profile{
			key: "_id", time: "createdAt updatedAt", actor: "user_email user_id", actorID: "user_id", action: "action", resource: "target_id", name: "target_name target_id",
			kind: "type", account: "account", external: "_id", headline: "@", typ: "@", status: "status",
		},
		tell: tellUserAction,
	},
	"token-use": {
		fallback: change.Other,
		profile: profile{
			key: "_id", time: "createdAt updatedAt", actor: "user_email user_id", actorID: "user_id", action: "=token.used", resource: "token_id", name: "target",
			kind: "=access_token", account: "account", external: "_id", headline: "@", typ: "@", status: "@",
		},
		tell: tellTokenUse,
	},
	"audit-event": {
		fallback: change.ConfigChange,
		titled:   true,
		profile: profile{
			key: "id", time: "date", actor: "user", action: "action", headline: "event description", resource: "object_id object_name object", name: "object_name object",
			kind: "object_type", external: "id", typ: "@", status: "@", description: "@",
		},
		tell: tellAuditEvent,
	},
	"infrastructure-event": {
		profile: profile{
			key: "id", time: "occurred_at timestamp created_at", actor: "actor_name actor_id", actorID: "actor_id", action: "action", resource: "resource_id", name: "resource_name resource_id",
			kind: "resource", session: "session_id", environment: "metadata.environment", region: "metadata.region", commit: "metadata.git_sha metadata.commit_sha", branch: "metadata.git_branch",
			version: "metadata.git_tag metadata.rolled_back_to metadata.version metadata.new_version", pr: "metadata.pr_number", service: "metadata.service", external: "id",
			headline: "metadata.title", description: "metadata.change_reason metadata.rotation_reason metadata.rollback_reason", correlation: "metadata.correlation_id metadata.incident_id",
		},
		tell: tellInfrastructure,
	},
	"grafana-annotation": {
		titled:   true,
		fallback: change.Other,
		profile: profile{
			time: "time timeEnd", headline: "text", action: "=annotation", resource: "dashboardUID dashboardId", kind: "=dashboard", description: "@", name: "@",
			typ: "@", actor: "login user.login userName", external: "id annotationId",
		},
		tell: tellAnnotation,
	},
	"grafana-graphite": {
		titled:   true,
		fallback: change.Other,
		profile:  profile{time: "when", headline: "what", action: "=annotation", description: "data", typ: "@"},
		tell:     tellAnnotation,
	},
}

// tellPosted takes over where the record says it comes from.
func tellPosted(t *telling) string {
	t.c.Source = t.text("source")
	t.hide("source", "tags")
	t.lift("metadata")
	return ""
}

// pastOf writes what was done.
var pastOf = map[string]string{
	"start": "started", "stop": "stopped", "reset": "reset", "resume": "resumed", "approve": "approved", "edit": "edited", "change": "changed", "create": "created",
	"update": "updated", "delete": "deleted", "duplicate": "duplicated", "publish": "published", "login": "logged in to", "logout": "logged out of", "add": "added", "remove": "removed",
	"rotate": "rotated", "enable": "enabled", "disable": "disabled", "rollback": "rolled back", "deploy": "deployed", "scale": "scaled",
}

func past(verb string) string { return orElse(pastOf[strings.ToLower(verb)], plainWords(verb)) }

// tellUserAction reads an entry of a log of what users do.
func tellUserAction(t *telling) string {
	area, action := t.text("type"), t.text("action")
	t.c.Action = area + "." + action
	switch {
	case area == "authentication":
		t.c.Type = change.AccessChange
	case area == "pipeline" && (action == "start" || action == "resume"):
		t.c.Type, t.c.Status = change.Deployment, change.Started
	case area == "pipeline" && action == "stop":
		t.c.Type, t.c.Status = change.Deployment, change.Cancelled
	case area == "pipeline" && action == "approve":
		t.c.Type = change.Deployment
	}
	destructive(t.c, action)
	t.hide("type", "action", "createdAt", "updatedAt")
	t.say(t.c.ChangedBy, past(action), area, t.c.Resource.Name)
	return ""
}

// tellTokenUse reads an entry of a log of the uses of access tokens.
func tellTokenUse(t *telling) string {
	t.c.Actor.Type = "service"
	t.meta.Set("token_id", t.text("token_id"))
	t.hide("createdAt", "updatedAt")
	t.say("An access token of", t.c.ChangedBy, "called", t.text("target"), with("with scope", t.text("scope")))
	return ""
}

// tellAuditEvent reads "user U did create on object O", with a sentence that says so.
func tellAuditEvent(t *telling) string {
	object, action := t.text("object_type"), t.text("action")
	if object != "" {
		t.c.Action = object + "." + action
	}
	switch kind := strings.ToLower(object); {
	case strings.HasPrefix(kind, "deployment"), strings.HasPrefix(kind, "version"):
		t.c.Type = change.Deployment
	case strings.Contains(kind, "user"), strings.Contains(kind, "role"), strings.Contains(kind, "permission"):
		t.c.Type = change.AccessChange
	}
	destructive(t.c, action)
	if t.c.ChangedBy != "" && t.headline != "" && !strings.Contains(t.headline, t.c.ChangedBy) {
		t.headline = t.c.ChangedBy + ": " + normalizers.FirstLine(t.headline)
	}
	return ""
}

// tellInfrastructure reads an actor, an action such as "deployment.started", a
// resource and what more there is to it.
func tellInfrastructure(t *telling) string {
	m := t.get("metadata")
	noun, verb, _ := strings.Cut(t.c.Action, ".")
	key := orElse(m.Get("config_key").String(), m.Get("key").String())
	old, now := m.Get("old_value"), m.Get("new_value")
	secret := redact.Secret(key) || noun == "secret"
	if !secret {
		t.oldAndNew(old, now)
	}
	thing := orElse(t.c.Resource.Name, t.c.Resource.ID)
	where := with("in", t.c.Environment)
	from, to := "", ""
	if !secret && old.Exists() && now.Exists() {
		from, to = with("from", text(old)), with("to", text(now))
	}
	switch {
	case noun == "deployment" && strings.HasPrefix(verb, "roll"), noun == "rollback":
		t.c.Type = change.Rollback
		t.say(t.c.ChangedBy, "rolled back", thing, with("from", m.Get("rolled_back_from").String()), with("to", m.Get("rolled_back_to").String()), where)
	case noun == "deployment":
		t.say(t.c.ChangedBy, past(verb), "deployment of", thing, t.c.Version, where)
	case noun == "config":
		t.say(t.c.ChangedBy, past(verb), orElse(key, "config"), "of", thing, from, to, where)
	case noun == "secret":
		t.c.Type, t.c.Version = change.SecretRotation, ""
		t.c.RiskHints = normalizers.AddHints(t.c.RiskHints, normalizers.HintSecrets)
		t.say(t.c.ChangedBy, past(verb), "secret", thing, where)
	case noun == "incident":
		t.say(t.c.ChangedBy, past(verb), "incident", thing+pick(t.headline != "", ":", ""), normalizers.FirstLine(t.headline), where)
	default:
		t.say(t.c.ChangedBy, past(verb), plainWords(noun), pick(verb != "" && thing != "", "of", ""), thing, from, to, where)
	}
	destructive(t.c, verb)
	t.lift("metadata")
	t.hide("resource", "actor_type", "resource_name")
	if secret {
		t.meta = without(t.meta, "old_value", "new_value")
	}
	return ""
}

// without copies metadata less some members.
func without(m normalizers.Meta, names ...string) normalizers.Meta {
	var out normalizers.Meta
	gjson.ParseBytes(m.JSON()).ForEach(func(key, v gjson.Result) bool {
		if slices.Contains(names, key.Str) {
			return true
		}
		out.SetRaw(key.Str, v.Raw)
		return true
	})
	return out
}

// tellAnnotation goes by the words: tags and text of a note on a graph.
func tellAnnotation(t *telling) string {
	var words strings.Builder
	words.WriteString(t.headline)
	for _, tag := range t.c.Tags {
		words.WriteString(" " + tag)
		if name, value, ok := strings.Cut(tag, ":"); ok && name == "service" {
			t.c.ServiceName = value
		}
	}
	t.headline = stripTags(t.headline)
	switch lower := strings.ToLower(words.String()); {
	case strings.Contains(lower, "deploy"), strings.Contains(lower, "release"):
		t.c.Type = normalizers.Upgrade(change.Deployment, words.String())
	default:
		t.c.Type = normalizers.Upgrade(t.c.Type, words.String())
	}
	return ""
}

// stripTags leaves out the HTML that a note may have.
func stripTags(s string) string {
	var b strings.Builder
	inside := false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '<' && i+1 < len(s) && (s[i+1] == '/' || s[i+1]|0x20 >= 'a' && s[i+1]|0x20 <= 'z'):
			inside = true
		case c == '>' && inside:
			inside = false
		case !inside:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func destructive(c *change.Change, verb string) {
	if strings.HasPrefix(verb, "delete") || strings.HasPrefix(verb, "destroy") || strings.HasPrefix(verb, "purge") {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
