// Package api makes a change of the body of POST /api/v1/changes, of
// /change-events and of /events: three forms of one record. Unlike the
// providers' normalizers it is strict: whoever calls the API is told which
// field is wrong, instead of having it guessed.
package api

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// Normalizer reads what the API was sent.
type Normalizer struct{}

// New returns the normalizer.
func New() Normalizer { return Normalizer{} }

// Provider returns "api".
func (Normalizer) Provider() string { return provider }

// Version counts the changes of what this normalizer makes of the same record.
func (Normalizer) Version() int { return 1 }

// Normalize makes one change of a request's body, or of one item of a bulk
// request, or says what is wrong with it.
func (Normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	face := Changes
	if by, ok := strings.CutPrefix(r.DetectedBy, provider+"/"); ok {
		face = Face(by)
	}
	c, own, err := face.parse(r.JSON)
	if err != nil {
		return normalizers.Result{}, err
	}
	if r.Header.Get(normalizers.BulkHeader) == "" {
		c.ServiceID = "" // of a single change, the delivery has it
		return normalizers.One(c, ""), nil
	}
	c.ServiceName = serviceName(r.Header[normalizers.ServiceHeader], c.ServiceID)
	return normalizers.Result{Drafts: []normalizers.Draft{{Change: c, Own: own}}}, nil
}

// serviceName finds the name of a service among "id name" pairs.
func serviceName(resolved []string, id string) string {
	if id == "" {
		return ""
	}
	for _, pair := range resolved {
		if found, name, _ := strings.Cut(pair, " "); found == id {
			return name
		}
	}
	return ""
}

// parseChange reads the body of POST /api/v1/changes and fills in the defaults.
func parseChange(p *parser) change.Change {
	c := change.Change{
		Summary:       p.summary("summary"),
		ServiceID:     p.text("service_id", maxName),
		Type:          oneOf(p, "change_type", changeTypes, defaultType),
		Risk:          oneOf(p, "risk_level", change.Risks(), defaultRisk),
		Status:        oneOf(p, "status", change.Statuses(), ""),
		Action:        p.text("action", maxName),
		Description:   p.text("description", maxText),
		Source:        orElse(p.text("source", maxName), defaultSource),
		Environment:   orElse(p.text("environment", maxName), defaultEnvironment),
		ChangedBy:     p.text("changed_by", maxName),
		Repository:    p.text("repository", maxName),
		CommitSHA:     p.text("commit_sha", maxName),
		CommitMessage: p.text("commit_message", maxText),
		Branch:        p.text("branch", maxName),
		Version:       p.text("version", maxName),
		PRNumber:      p.number("pr_number"),
		PRURL:         p.url("pr_url"),
		PipelineURL:   p.url("pipeline_url"),
		Account:       p.text("account", maxName),
		Region:        p.text("region", maxName),
		ExternalID:    p.text("external_id", maxName),
		CorrelationID: p.text("correlation_id", maxName),
		SessionID:     p.text("session_id", maxName),
		Tags:          p.tags(),
		Metadata:      p.metadata(),
		OccurredAt:    p.time("occurred_at"),
		Actor:         p.actor(),
		Resource:      p.resource(),
	}
	setActor(&c)
	if c.Resource.ID == "" {
		c.Resource.ID = resourceOf(c.Metadata)
	}
	return c
}

// setActor fills in who changed it from the actor, or the actor from that.
func setActor(c *change.Change) {
	if c.Actor == (change.Actor{}) && c.ChangedBy != "" {
		c.Actor = change.Actor{ID: c.ChangedBy, Name: c.ChangedBy, Type: "user"}
	}
	c.ChangedBy = orElse(c.ChangedBy, orElse(c.Actor.Name, c.Actor.ID))
}

// resourceOf finds the id of a resource that a change does not name itself.
func resourceOf(metadata json.RawMessage) string {
	for _, name := range []string{"service", "secret_path", "incident_id"} {
		if v := gjson.GetBytes(metadata, name); v.Type == gjson.String && v.Str != "" {
			return v.Str
		}
	}
	return ""
}

// parser reads a request's fields and keeps the first thing wrong.
type parser struct {
	fields []field
	err    error
}

// field is a member of the body; of two with one name, the first counts.
type field struct {
	name  string
	value gjson.Result
}

func newParser(body gjson.Result) *parser {
	p := &parser{fields: make([]field, 0, 16)}
	body.ForEach(func(key, value gjson.Result) bool {
		p.fields = append(p.fields, field{key.Str, value})
		return len(p.fields) < maxFields
	})
	return p
}

// unknown is a field that is not among those known, or empty.
func (p *parser) unknown(known []string) string {
	for i := range p.fields {
		if !slices.Contains(known, p.fields[i].name) {
			return p.fields[i].name
		}
	}
	return ""
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// get returns a field, or with a dot one inside it; null is the same as none.
func (p *parser) get(name string) (gjson.Result, bool) {
	name, inside, nested := strings.Cut(name, ".")
	for i := range p.fields {
		if p.fields[i].name != name {
			continue
		}
		v := p.fields[i].value
		if nested {
			v = v.Get(inside)
		}
		return v, v.Exists() && v.Type != gjson.Null
	}
	return gjson.Result{}, false
}

func (p *parser) text(field string, limit int) string {
	v, ok := p.get(field)
	switch {
	case !ok:
		return ""
	case v.Type != gjson.String:
		p.fail(wrong(field, "must be a string"))
	case len(v.Str) > limit:
		p.fail(wrong(field, "must be at most %d bytes, is %d", limit, len(v.Str)))
	default:
		return strings.TrimSpace(v.Str)
	}
	return ""
}

func (p *parser) summary(field string) string {
	s := normalizers.OneLine(p.text(field, maxText))
	if n := utf8.RuneCountInString(s); n > change.MaxSummary {
		p.fail(wrong(field, "must be at most %d characters, is %d", change.MaxSummary, n))
	} else if s == "" {
		p.fail(wrong(field, "is required"))
	}
	return s
}

// required reads a text that must be there.
func (p *parser) required(field string) string {
	s := p.text(field, maxName)
	if s == "" {
		p.fail(wrong(field, "is required"))
	}
	return s
}

// oneOf reads a field that can only have certain values.
func oneOf[T ~string](p *parser, field string, allowed []T, missing T) T {
	s := T(p.text(field, maxName))
	switch {
	case s == "":
		return missing
	case !slices.Contains(allowed, s):
		words := make([]string, len(allowed))
		for i, a := range allowed {
			words[i] = string(a)
		}
		p.fail(wrong(field, "%q is not one of %s", normalizers.Truncate(string(s), 40), strings.Join(words, ", ")))
	}
	return s
}

// number reads a number that is kept as a string.
func (p *parser) number(field string) string {
	if v, ok := p.get(field); ok && v.Type == gjson.Number {
		if len(v.Raw) > 32 || strings.Trim(v.Raw, "0123456789") != "" {
			p.fail(wrong(field, "must be a whole number"))
		}
		return v.Raw
	}
	return p.text(field, maxName)
}

func (p *parser) url(field string) string {
	s := p.text(field, maxName)
	if s != "" && !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") {
		p.fail(wrong(field, "must be an http or https URL"))
	}
	return s
}

func (p *parser) time(field string) change.Time {
	s := p.text(field, maxName)
	if s == "" {
		return change.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		p.fail(wrong(field, "must be a time such as 2026-01-02T15:04:05Z (RFC 3339)"))
		return change.Time{}
	}
	return change.At(t)
}

// tags reads a list of strings, or an object whose members become "key:value".
func (p *parser) tags() []string {
	v, ok := p.get("tags")
	if !ok {
		return nil
	}
	if !v.IsArray() && !v.IsObject() {
		p.fail(wrong("tags", "must be a list of strings, or an object"))
		return nil
	}
	var tags []string
	v.ForEach(func(key, tag gjson.Result) bool {
		s := tag.String()
		if v.IsObject() {
			s = key.String() + ":" + s
		}
		switch {
		case tag.Type == gjson.JSON, tag.Type == gjson.Null, v.IsArray() && tag.Type != gjson.String:
			p.fail(wrong("tags", "must hold strings only"))
		case len(s) > maxName:
			p.fail(wrong("tags", "a tag must be at most %d bytes", maxName))
		case len(tags) == maxTags:
			p.fail(wrong("tags", "must be at most %d", maxTags))
		case s != "":
			tags = append(tags, s)
		}
		return p.err == nil
	})
	return tags
}

func (p *parser) metadata() json.RawMessage {
	v, ok := p.get("metadata")
	switch {
	case !ok:
	case !v.IsObject():
		p.fail(wrong("metadata", "must be an object"))
	case len(v.Raw) > change.MaxMetadata:
		p.fail(wrong("metadata", "must be at most %d bytes, is %d", change.MaxMetadata, len(v.Raw)))
	case v.Raw != "{}":
		return json.RawMessage(v.Raw)
	}
	return nil
}

// actor reads an object, or just a name.
func (p *parser) actor() change.Actor {
	v, ok := p.get("actor")
	if !ok {
		return change.Actor{}
	}
	if !v.IsObject() {
		name := p.text("actor", maxName)
		return change.Actor{ID: name, Name: name, Type: "user"}
	}
	return change.Actor{
		ID:   p.text("actor.id", maxName),
		Name: p.text("actor.name", maxName),
		Type: oneOf(p, "actor.type", actorTypes, "user"),
	}
}

// resource reads an object, or just an id.
func (p *parser) resource() change.Resource {
	v, ok := p.get("resource")
	if !ok {
		return change.Resource{}
	}
	if !v.IsObject() {
		id := p.text("resource", maxName)
		return change.Resource{ID: id, Name: id}
	}
	return change.Resource{
		Type: p.text("resource.type", maxName),
		ID:   p.text("resource.id", maxName),
		Name: p.text("resource.name", maxName),
		URL:  p.url("resource.url"),
	}
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
