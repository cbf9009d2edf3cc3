package generic

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// actions tell the type of a change by how its action starts, as the API's
// events do.
var actions = []kind{
	{"deployment.rollback", change.Rollback}, {"rollback", change.Rollback}, {"revert", change.Rollback}, {"deployment.rolledback", change.Rollback},
	{"deploy", change.Deployment}, {"release", change.Deployment}, {"rollout", change.Deployment}, {"build", change.Deployment},
	{"pipeline", change.Deployment}, {"job", change.Deployment}, {"workflow", change.Deployment},
	{"config", change.ConfigChange}, {"setting", change.ConfigChange},
	{"secret", change.SecretRotation}, {"credential", change.SecretRotation}, {"key.rotat", change.SecretRotation},
	{"incident", change.Incident}, {"alert", change.Incident}, {"firing", change.Incident}, {"outage", change.Incident},
	{"access", change.AccessChange}, {"permission", change.AccessChange}, {"role", change.AccessChange}, {"member", change.AccessChange},
	{"scal", change.Scaling}, {"feature_flag", change.FeatureFlag}, {"flag", change.FeatureFlag}, {"feature-flag", change.FeatureFlag},
	{"migrat", change.DatabaseMigration}, {"database_migration", change.DatabaseMigration},
	{"maintenance", change.Maintenance}, {"security", change.SecurityPatch}, {"infra", change.Infrastructure},
	{"push", change.Code}, {"pull_request", change.Code}, {"merge", change.Code}, {"commit", change.Code}, {"code", change.Code},
}

// typeOf finds the type: what the record says itself if it is one of ours,
// else what its provider's actions mean, else what the words suggest.
func typeOf(who *provider, p *payload, action, headline string) change.Type {
	said := change.Type(strings.ToLower(p.find(who.typ, usual.typ)))
	if slices.Contains(change.Types(), said) {
		return said
	}
	lower := strings.ToLower(action)
	for _, k := range who.kinds {
		if strings.HasPrefix(lower, k.start) {
			return normalizers.Upgrade(k.typ, headline)
		}
	}
	if who.fallback != "" {
		return normalizers.Upgrade(who.fallback, headline)
	}
	for _, word := range []string{lower, string(said)} {
		for _, k := range actions {
			if word != "" && strings.HasPrefix(word, k.start) {
				return k.typ
			}
		}
	}
	if len(p.scopes) > 0 && p.scopes[0].inner("incident") != nil {
		return change.Incident
	}
	if strings.Contains(strings.ToLower(headline), "deploy") {
		return normalizers.Upgrade(change.Deployment, headline)
	}
	return normalizers.Upgrade(change.Other, headline)
}

// statuses are the words for how far something has come.
var statuses = map[string]change.Status{
	"start": change.Started, "started": change.Started, "running": change.Started, "pending": change.Started, "queued": change.Started,
	"in_progress": change.Started, "inprogress": change.Started, "created": "", "triggered": change.Started, "firing": change.Started,
	"success": change.Succeeded, "succeeded": change.Succeeded, "successful": change.Succeeded, "passed": change.Succeeded, "ok": change.Succeeded,
	"completed": change.Succeeded, "complete": change.Succeeded, "finished": change.Succeeded, "done": change.Succeeded, "deployed": change.Succeeded,
	"resolved": change.Succeeded, "merged": change.Succeeded, "applied": change.Succeeded, "published": change.Succeeded,
	"failure": change.Failed, "failed": change.Failed, "fail": change.Failed, "error": change.Failed, "errored": change.Failed,
	"rejected": change.Failed, "broken": change.Failed, "timeout": change.Failed, "timed_out": change.Failed,
	"cancelled": change.Cancelled, "canceled": change.Cancelled, "aborted": change.Cancelled, "stopped": change.Cancelled, "declined": change.Cancelled,
	"cancel": change.Cancelled, "force_canceled": change.Cancelled, "terminal": change.Failed, "failing": change.Failed, "unstable": change.Failed,
	"skipped": change.Cancelled, "discarded": change.Cancelled, "abandoned": change.Cancelled,
}

func statusOf(word string) change.Status { return statuses[strings.ToLower(word)] }

// lastWord is the last part of a dotted action.
func lastWord(action string) string {
	return action[strings.LastIndexAny(action, ".:/")+1:]
}

// branchOrTag takes a ref apart: refs/heads/main is a branch, refs/tags/v1 a version.
func branchOrTag(c *change.Change, ref, kind string) {
	if kind == "tag" {
		ref = "refs/tags/" + strings.TrimPrefix(ref, "refs/tags/")
	}
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		c.Version = orElse(c.Version, tag)
		return
	}
	c.Branch = strings.TrimPrefix(ref, "refs/heads/")
}

// short is an action without the prefix and the version that CDEvents writes:
// dev.cdevents.artifact.packaged.0.3.0.
func short(action string) string {
	if rest, ok := strings.CutPrefix(action, "dev.cdevents."); ok {
		return strings.TrimRight(rest, ".0123456789")
	}
	return action
}

// commit returns what may be a commit: no zeros, no sentence.
func commit(s string) string {
	if strings.Trim(s, "0") == "" || len(s) > 64 || strings.ContainsAny(s, " \n") {
		return ""
	}
	return s
}

func number(s string) string {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

func link(s string) string {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return s
	}
	return ""
}

// actorTypes are the types that an actor can have.
var actorTypes = []string{"user", "service", "bot", "system", "ci_system", "engineer", "secret_manager", "alerting"}

func (p *payload) actorType(name string) string {
	for _, path := range []string{"actor_type", "actor.type", "user.type"} {
		if t := strings.ToLower(text(p.scopes[0].get(path))); slices.Contains(actorTypes, t) {
			return t
		}
	}
	if strings.HasSuffix(name, "[bot]") || strings.HasSuffix(name, "-bot") {
		return "bot"
	}
	return "user"
}

// tags are those of the record.
func (p *payload) tags() []string { return tags(p.scopes[0].get("tags"), p.scopes[0].get("labels")) }

// tags reads a list of words, a list of objects with a name, or an object.
func tags(lists ...gjson.Result) []string {
	const most = 50
	var out []string
	for _, list := range lists {
		list.ForEach(func(key, tag gjson.Result) bool {
			switch {
			case empty(tag), key.Type == gjson.String && redact.Secret(key.Str):
			case key.Exists() && key.Type == gjson.String:
				out = append(out, key.Str+":"+text(tag))
			default:
				if s := text(tag); s != "" {
					out = append(out, s)
				}
			}
			return len(out) < most
		})
	}
	return out
}

// empty reports whether a tag's value says nothing.
func empty(tag gjson.Result) bool { return tag.Type == gjson.Null || tag.IsArray() }

func hints(c *change.Change) []string {
	var out []string
	if c.Status == change.Failed {
		out = append(out, normalizers.HintFailed)
	}
	if c.Type == change.Rollback {
		out = append(out, normalizers.HintRollback)
	}
	return out
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
