package api

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// Face is one of the forms in which the API takes and shows a change.
type Face string

// The faces, by the last part of their paths.
const (
	Changes      Face = "changes"
	ChangeEvents Face = "change-events"
	Events       Face = "events"
)

// fields are what each face knows, with what only items of a bulk request have.
var fields = map[Face][]string{
	Changes: {
		"summary", "service_id", "change_type", "action", "status", "description", "source", "environment", "risk_level",
		"changed_by", "actor", "resource", "repository", "commit_sha", "commit_message", "branch", "version", "pr_number",
		"pr_url", "pipeline_url", "account", "region", "external_id", "correlation_id", "session_id", "tags", "metadata",
		"occurred_at", ownKey,
	},
	ChangeEvents: {
		"title", "description", "type", "environment", "source", "author", "version", "commit_sha", "repository", "tags",
		"service_id", "metadata", "occurred_at", ownKey,
	},
	Events: {
		"actor_id", "actor_name", "actor_type", "action", "resource", "resource_id", "resource_name", "session_id",
		"metadata", "occurred_at", "service_id", ownKey,
	},
}

// ownKey names an item of a bulk request, over all requests of its sender.
const ownKey = "idempotency_key"

// Parse reads what a face was sent and fills in the defaults. An error is a
// *FieldError.
func (f Face) Parse(body []byte) (change.Change, error) {
	c, _, err := f.parse(body)
	return c, err
}

// ParseItem is Parse for an item of a bulk request, in which no field may be
// unknown. It returns the item's own idempotency key as well.
func (f Face) ParseItem(body []byte) (c change.Change, own string, err error) {
	if c, own, err = f.parse(body); err != nil {
		return c, "", err
	}
	if name := newParser(gjson.ParseBytes(body)).unknown(fields[f]); name != "" {
		return c, "", wrong(normalizers.Truncate(name, 64), "there is no such field; see /openapi.json")
	}
	return c, own, nil
}

func (f Face) parse(body []byte) (c change.Change, own string, err error) {
	if err := normalizers.CheckJSON(body); err != nil {
		return c, "", wrong("", "%s", strings.TrimPrefix(err.Error(), change.ErrMalformed.Error()+": "))
	}
	v := gjson.ParseBytes(body)
	if !v.IsObject() {
		return c, "", wrong("", "the body must be a JSON object")
	}
	p := newParser(v)
	switch f {
	case ChangeEvents:
		c = parseChangeEvent(p)
	case Events:
		c = parseEvent(p)
	default:
		c = parseChange(p)
	}
	own = p.text(ownKey, maxKey)
	if p.err != nil {
		return change.Change{}, "", p.err
	}
	maskNamed(&c)
	return c, own, nil
}

// changeEventTypes are the types that POST /api/v1/change-events takes.
var changeEventTypes = []change.Type{
	change.Deployment, change.ConfigChange, change.Rollback, change.Scaling, change.Maintenance, change.AccessChange,
}

// parseChangeEvent reads the body of POST /api/v1/change-events.
func parseChangeEvent(p *parser) change.Change {
	c := change.Change{
		Summary:     p.summary("title"),
		Description: p.text("description", maxText),
		Type:        oneOf(p, "type", changeEventTypes, defaultType),
		Risk:        defaultRisk,
		Environment: orElse(p.text("environment", maxName), defaultEnvironment),
		Source:      orElse(p.text("source", maxName), defaultSource),
		ChangedBy:   p.text("author", maxName),
		Version:     p.text("version", maxName),
		CommitSHA:   p.text("commit_sha", maxName),
		Repository:  p.text("repository", maxName),
		Tags:        p.pairs("tags"),
		ServiceID:   p.text("service_id", maxName),
		Metadata:    p.metadata(),
		OccurredAt:  p.time("occurred_at"),
	}
	setActor(&c)
	c.Resource.ID = resourceOf(c.Metadata)
	if tag := slices.IndexFunc(c.Tags, func(t string) bool { return strings.HasPrefix(t, "service:") }); tag >= 0 && c.Resource.ID == "" {
		c.Resource.ID = strings.TrimPrefix(c.Tags[tag], "service:")
	}
	return c
}

// pairs reads an object of strings, whose members become "key:value". A key
// without a colon is what lets them become an object again.
func (p *parser) pairs(field string) []string {
	v, ok := p.get(field)
	if !ok {
		return nil
	}
	if !v.IsObject() {
		p.fail(wrong(field, "must be an object of strings, such as {\"team\": \"platform\"}"))
		return nil
	}
	var tags []string
	seen := map[string]bool{}
	v.ForEach(func(key, value gjson.Result) bool {
		name := field + "." + normalizers.Truncate(key.Str, 64)
		switch tag := key.Str + ":" + value.Str; {
		case value.Type != gjson.String:
			p.fail(wrong(name, "must be a string"))
		case key.Str == "" || strings.Contains(key.Str, ":"):
			p.fail(wrong(name, "the name of a tag must have a character, and no colon"))
		case seen[key.Str]:
			p.fail(wrong(name, "is given more than once"))
		case len(tag) > maxName:
			p.fail(wrong(name, "a tag must be at most %d bytes, with its name", maxName))
		case len(tags) == maxTags:
			p.fail(wrong(field, "must be at most %d", maxTags))
		default:
			tags = append(tags, tag)
			seen[key.Str] = true
		}
		return p.err == nil
	})
	return tags
}
