package azuredevops

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
)

// maxInside is how deep the resource's own objects are kept.
const maxInside = 3

// metadata keeps, under Azure DevOps's own names, what has no field of its own.
func (e *event) metadata() json.RawMessage {
	var m normalizers.Meta
	m.Set("publisherId", e.publisher)
	m.Set("createdDate", e.created)
	m.Set("subscriptionId", e.subscription)
	m.Set("message", e.text)
	m.Set("resource", inside(e.resource, 0))
	return m.JSON()
}

// inside copies an object less what is long and says nothing: links, the
// settings of a release's steps, and whatever may hold a secret.
func inside(v gjson.Result, depth int) json.RawMessage {
	if !v.IsObject() {
		return redact.JSON(v)
	}
	var m normalizers.Meta
	v.ForEach(func(key, v gjson.Result) bool {
		switch {
		case left(key.Str), redact.Secret(key.Str), v.Type == gjson.Null:
		case v.IsObject() && depth < maxInside:
			m.Set(key.Str, inside(v, depth+1))
		case v.IsObject():
		case v.IsArray():
			m.Set(key.Str, redact.JSON(v))
		case v.Type == gjson.String:
			m.Set(key.Str, v.Str)
		default:
			m.SetRaw(key.Str, v.Raw)
		}
		return true
	})
	return m.JSON()
}

// left reports whether a member is left out by its name. Variables and the
// inputs of tasks are where people put passwords.
func left(name string) bool {
	switch name {
	case "url", "_links", "imageUrl", "html", "markdown", "descriptor", "variables", "variableGroups", "workflowTasks", "inputs",
		"environments", "deployPhasesSnapshot", "deploySteps", "preDeployApprovals", "postDeployApprovals", "environmentOptions",
		"demands", "conditions", "schedules", "plans", "logs", "log", "drop", "properties", "templateParameters", "queue", "processParameters":
		return true
	}
	return strings.HasSuffix(name, "Snapshot")
}
