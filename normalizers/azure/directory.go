package azure

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// directoryKind is what we know about some operations of Microsoft Entra.
type directoryKind struct {
	words string // part of the operation's name, in lower case
	typ   change.Type
	hint  string
}

// directoryKinds tell what is risky; the first that fits wins. Anything else
// is a change of access.
var directoryKinds = []directoryKind{
	{"disable strong authentication", change.AccessChange, normalizers.HintNoMFA},
	{"conditional access", change.ConfigChange, ""},
	{"policy", change.ConfigChange, ""},
	{"member to role", change.AccessChange, privilege},
	{"eligible member", change.AccessChange, privilege},
	{"app role assignment", change.AccessChange, privilege},
	{"delegated permission grant", change.AccessChange, privilege},
	{"consent to application", change.AccessChange, privilege},
	{"owner to", change.AccessChange, privilege},
	{"certificates and secrets", change.AccessChange, privilege},
	{"credential", change.AccessChange, privilege},
	{"federation settings", change.ConfigChange, privilege},
	{"domain authentication", change.ConfigChange, privilege},
	{"domain", change.ConfigChange, ""},
	{"company", change.ConfigChange, ""},
}

// fromDirectory makes a change of an entry of Microsoft Entra's audit log
// (category AuditLogs): users, groups, roles, applications, policies. It has
// the old and new values.
// https://learn.microsoft.com/entra/identity/monitoring-health/concept-audit-logs
func fromDirectory(v gjson.Result) normalizers.Result {
	e := activityLog(v)
	p := e.properties
	if strings.EqualFold(p.Get("result").String(), "failure") {
		return normalizers.Ignore("failed operation")
	}
	c := change.Change{
		Type:          change.AccessChange,
		Action:        "directory." + strings.ReplaceAll(strings.ToLower(e.operation), " ", "_"),
		Status:        change.Succeeded,
		Account:       e.tenant,
		ExternalID:    p.Get("id").String(),
		CorrelationID: e.correlationID,
		Actor:         initiator(p.Get("initiatedBy")),
	}
	c.ChangedBy = c.Actor.Name
	target := p.Get("targetResources.0")
	c.Resource = change.Resource{
		ID:   first(target.Get("id").String(), e.resourceID),
		Type: target.Get("type").String(),
		Name: first(target.Get("userPrincipalName").String(), target.Get("displayName").String()),
	}
	op := strings.ToLower(e.operation)
	for _, k := range directoryKinds {
		if strings.Contains(op, k.words) {
			c.Type = k.typ
			if !strings.HasPrefix(op, "remove") && !strings.HasPrefix(op, "delete") {
				c.RiskHints = normalizers.AddHints(c.RiskHints, k.hint)
			}
			break
		}
	}
	if strings.HasPrefix(op, "delete") || strings.HasPrefix(op, "hard delete") {
		c.RiskHints = normalizers.AddHints(c.RiskHints, destructive)
	}
	edits := editsOf(p.Get("targetResources"))
	c.Summary = directorySummary(&c, e.operation, edits)
	c.Description = describe(edits)
	if strings.Contains(op, "conditional access policy") && (strings.HasPrefix(op, "delete") || switchedOff(edits)) {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintNoMFA)
	}
	if t, ok := normalizers.ParseTime(first(e.time, p.Get("activityDateTime").String())); ok {
		c.OccurredAt = change.At(t)
	}
	var m normalizers.Meta
	m.Set("resourceId", e.resourceID)
	m.SetRaw("changes", editsJSON(edits))
	m.Set("properties", directoryProperties(p))
	e.metadata(&m)
	c.Metadata = m.JSON()
	return normalizers.One(c, first(c.ExternalID, e.key()))
}

// initiator is the user or the application that did it.
func initiator(by gjson.Result) change.Actor {
	user, app := by.Get("user"), by.Get("app")
	name := first(user.Get("userPrincipalName").String(), user.Get("displayName").String())
	if name != "" {
		return change.Actor{ID: first(user.Get("id").String(), name), Name: name, Type: "user"}
	}
	name = first(app.Get("displayName").String(), app.Get("servicePrincipalName").String(), app.Get("appId").String())
	if name != "" {
		return change.Actor{ID: first(app.Get("servicePrincipalId").String(), app.Get("appId").String(), name), Name: name, Type: "service"}
	}
	return change.Actor{}
}

// edit is an old and a new value.
type edit struct{ Property, Old, New string }

// editsJSON writes [{"property", "old", "new"}].
func editsJSON(edits []edit) string {
	b := []byte{'['}
	for i, ed := range edits {
		if i > 0 {
			b = append(b, ',')
		}
		b = normalizers.AppendString(append(b, `{"property":`...), ed.Property)
		if ed.Old != "" {
			b = normalizers.AppendString(append(b, `,"old":`...), ed.Old)
		}
		if ed.New != "" {
			b = normalizers.AppendString(append(b, `,"new":`...), ed.New)
		}
		b = append(b, '}')
	}
	return string(append(b, ']'))
}

// Limits of the edits that are kept.
const (
	maxEdits = 40
	maxValue = 1000
)

// editsOf reads what an entry changed. Values are JSON inside text: "\"on\"".
func editsOf(targets gjson.Result) []edit {
	var edits []edit
	targets.ForEach(func(_, target gjson.Result) bool {
		target.Get("modifiedProperties").ForEach(func(_, p gjson.Result) bool {
			name := p.Get("displayName").String()
			if name != "" && !redact.Secret(name) {
				edits = append(edits, compare(name, p.Get("oldValue").String(), p.Get("newValue").String())...)
			}
			return len(edits) < maxEdits
		})
		return len(edits) < maxEdits
	})
	return edits
}

// compare returns how two values differ; of two objects, member by member.
func compare(name, before, after string) []edit {
	a, b := opened(before), opened(after)
	if !a.IsObject() || !b.IsObject() {
		if ed := (edit{name, plain(a), plain(b)}); ed.Old != ed.New {
			return []edit{ed}
		}
		return nil
	}
	var edits []edit
	b.ForEach(func(key, v gjson.Result) bool {
		if was := a.Get(gjson.Escape(key.Str)); was.Raw != v.Raw && !redact.Secret(key.Str) && !strings.HasPrefix(key.Str, "modified") {
			edits = append(edits, edit{name + "." + key.Str, plain(was), plain(v)})
		}
		return len(edits) < maxEdits
	})
	return edits
}

// opened reads a value that is JSON inside text, and the only item of a list.
func opened(s string) gjson.Result {
	if !gjson.Valid(s) {
		return gjson.Result{Type: gjson.String, Str: s}
	}
	v := gjson.Parse(s)
	if v.IsArray() {
		if items := v.Array(); len(items) == 1 {
			return items[0]
		}
	}
	return v
}

// plain is a value as text, less what may be secret.
func plain(v gjson.Result) string {
	s := v.String()
	if v.IsObject() || v.IsArray() {
		s = string(redact.JSON(v))
	}
	return s[:min(len(s), maxValue)]
}

// switchedOff reports whether a policy was disabled.
func switchedOff(edits []edit) bool {
	return slices.ContainsFunc(edits, func(ed edit) bool {
		return strings.EqualFold(lastWord(ed.Property), "state") && ed.Old != "" && ed.New == "disabled"
	})
}

func lastWord(property string) string { return property[strings.LastIndexByte(property, '.')+1:] }

// describe says the edits in a line each.
func describe(edits []edit) string {
	var b strings.Builder
	for _, ed := range edits {
		if strings.HasPrefix(ed.Property, "Included Updated Properties") || strings.HasPrefix(ed.Property, "TargetId") {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(ed.Property + ": " + first(ed.Old, "nothing") + " -> " + first(ed.New, "nothing"))
	}
	return b.String()
}

// newValue is what a property was set to, or what it was when it was removed.
func newValue(edits []edit, property string) string {
	for _, ed := range edits {
		if ed.Property == property {
			return first(ed.New, ed.Old)
		}
	}
	return ""
}

// directorySummary says who did what: "eve@example.com: Add member to role bob@example.com, role Global Administrator".
func directorySummary(c *change.Change, operation string, edits []edit) string {
	who := first(c.ChangedBy, "Somebody")
	op := strings.ToLower(operation)
	role, group := newValue(edits, "Role.DisplayName"), newValue(edits, "Group.DisplayName")
	to := ""
	switch {
	case role != "":
		to = "role " + role
	case group != "":
		to = "group " + group
	}
	switch {
	case to != "" && strings.HasPrefix(op, "add"):
		return who + " added " + c.Resource.Name + " to " + to
	case to != "" && strings.HasPrefix(op, "remove"):
		return who + " removed " + c.Resource.Name + " from " + to
	}
	s := who + ": " + operation
	if c.Resource.Name != "" {
		s += " " + c.Resource.Name
	}
	if one := describe(edits); one != "" && !strings.Contains(one, "\n") && len(one) < 100 {
		s += " (" + one + ")"
	}
	return s
}

// directoryProperties keeps the rest; what was modified is among the changes.
func directoryProperties(p gjson.Result) json.RawMessage {
	var m normalizers.Meta
	for _, name := range []string{"id", "category", "result", "resultReason", "activityDisplayName", "operationType", "loggedByService", "identityType"} {
		m.Set(name, p.Get(name).String())
	}
	m.SetRaw("initiatedBy", redact.Raw(p.Get("initiatedBy")))
	var targets []string
	p.Get("targetResources").ForEach(func(_, t gjson.Result) bool {
		targets = append(targets, strings.TrimSpace(t.Get("type").String()+" "+first(t.Get("userPrincipalName").String(), t.Get("displayName").String(), t.Get("id").String())))
		return len(targets) < maxEdits
	})
	m.Set("targetResources", targets)
	return m.JSON()
}
