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
	return appendInside(make([]byte, 0, len(v.Raw)), v, depth)
}

func appendInside(dst []byte, v gjson.Result, depth int) []byte {
	dst = append(dst, '{')
	empty := len(dst)
	v.ForEach(func(key, v gjson.Result) bool {
		if v.Type == gjson.Null || left(key.Str) || redact.Secret(key.Str) || v.IsObject() && depth >= maxInside {
			return true
		}
		before := len(dst)
		if before > empty {
			dst = append(dst, ',')
		}
		dst = append(append(dst, key.Raw...), ':')
		start := len(dst)
		switch {
		case v.IsObject():
			dst = appendInside(dst, v, depth+1)
		case v.IsArray():
			dst = append(dst, redact.JSON(v)...)
		default:
			dst = append(dst, v.Raw...)
		}
		switch string(dst[start:]) {
		case "", "{}", `""`: // says nothing
			dst = dst[:before]
		}
		return true
	})
	return append(dst, '}')
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
