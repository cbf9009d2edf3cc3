// Package azuredevops makes changes of Azure DevOps's service hooks: builds,
// pipeline runs with their stages, releases, pushes and pull requests.
package azuredevops

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/pkg/change"
)

// Normalizer reads Azure DevOps's events.
type Normalizer struct{}

// New returns the normalizer.
func New() Normalizer { return Normalizer{} }

// Provider returns "azure_devops".
func (Normalizer) Provider() string { return "azure_devops" }

// Version counts the changes of what this normalizer makes of the same record.
func (Normalizer) Version() int { return 1 }

// Normalize makes a change of an event; of a push, one for each branch and tag.
func (Normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	v := gjson.ParseBytes(r.JSON)
	if !v.IsObject() {
		return normalizers.Result{}, fmt.Errorf("%w: an event of Azure DevOps is a JSON object", change.ErrMalformed)
	}
	e := parse(v)
	if e.kind == "" {
		e.kind = r.Event
	}
	k := find(e.kind)
	if k.ignore != "" {
		return normalizers.Ignore(k.ignore), nil
	}
	return k.read(e, k), nil
}

// event is what all events have.
// https://learn.microsoft.com/azure/devops/service-hooks/events
type event struct {
	id, kind, publisher, created, subscription string
	text                                       string // the message, as Azure DevOps words it
	resource                                   gjson.Result
	project                                    string // its id
}

func parse(v gjson.Result) *event {
	e := new(event)
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "id":
			e.id = text(v)
		case "eventType", "eventId": // agent pools have the latter
			e.kind = text(v)
		case "publisherId":
			e.publisher = text(v)
		case "createdDate":
			e.created = text(v)
		case "subscriptionId":
			e.subscription = text(v)
		case "message":
			e.text = text(v.Get("text"))
		case "detailedMessage":
			if e.text == "" {
				e.text = text(v.Get("text"))
			}
		case "resource":
			e.resource = v
		case "resourceContainers":
			e.project = text(v.Get("project.id"))
		}
		return true
	})
	return e
}

// change fills in what all kinds of events share.
func (e *event) change(typ change.Type, when ...string) change.Change {
	c := change.Change{
		Type:       typ,
		Action:     e.kind,
		ExternalID: e.id,
		Account:    e.projectName(),
		Metadata:   e.metadata(),
	}
	for _, at := range append(when, e.created) {
		if t, ok := normalizers.ParseTime(at); ok && t.Year() > 1 { // year 1 is .NET's "not yet"
			c.OccurredAt = change.At(t)
			break
		}
	}
	return c
}

// one returns the change as the only one. Its key is the event's id, which is
// the same in every delivery and for every subscription. Where the
// subscription sends no details, Azure DevOps's own words are all there is.
func (e *event) one(c change.Change) normalizers.Result {
	if line := normalizers.FirstLine(e.text); !e.resource.IsObject() && line != "" {
		c.Summary = line
	}
	return normalizers.One(c, e.key(""))
}

func (e *event) key(part string) string {
	if e.id == "" {
		return ""
	}
	return e.id + part
}

func (e *event) projectName() string {
	resource := fields.Of(e.resource)
	for _, path := range []string{
		"project.name", "repository.project.name", "definition.project.name", "run.project.name", "repository.project.id",
	} {
		if name := resource.Text(path); name != "" {
			return name
		}
	}
	return e.project
}

// setActor takes the first identity that has a name.
func setActor(c *change.Change, who ...gjson.Result) {
	for _, id := range who {
		unique := text(id.Get("uniqueName"))
		name := first(text(id.Get("displayName")), unique, text(id.Get("name")))
		if name == "" {
			continue
		}
		c.Actor = change.Actor{ID: first(unique, text(id.Get("id")), text(id.Get("email")), name), Name: name, Type: "user"}
		if isService(name, unique) {
			c.Actor.Type = "ci_system"
		}
		c.ChangedBy = name
		return
	}
}

// isService knows the accounts that Azure DevOps itself works under.
func isService(name, unique string) bool {
	return strings.HasPrefix(name, "Microsoft.VisualStudio.Services") || strings.Contains(name, "Build Service (") ||
		strings.HasPrefix(unique, `Build\`)
}

// who is the actor's name with a space behind it, for the start of a summary,
// or what stands there when nobody is named.
func who(c *change.Change, nobody string) string { return first(c.ChangedBy, nobody) + " " }

// link returns a page for people.
func link(v gjson.Result) string {
	s := text(v)
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return s
	}
	return ""
}

// branch shortens the name of a reference.
func branch(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }

// text is a string, or a number as it is written.
func text(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Number:
		return v.Raw
	}
	return ""
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
