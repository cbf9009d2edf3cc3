package gcp

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// fromIncident reads an incident of Cloud Monitoring that opens or closes, by
// webhook or by Pub/Sub.
// https://cloud.google.com/monitoring/support/notification-options
func fromIncident(v gjson.Result) normalizers.Result {
	i := v.Get("incident")
	str := func(name string) string { return i.Get(name).String() }
	state := strings.ToLower(str("state"))
	c := change.Change{
		Type:          change.Incident,
		Action:        "incident." + first(state, "open"),
		Status:        change.Started,
		ExternalID:    str("incident_id"),
		CorrelationID: str("incident_id"),
		Account:       first(str("scoping_project_id"), i.Get("resource.labels.project_id").String()),
		Actor:         change.Actor{ID: "monitoring.googleapis.com", Name: "Cloud Monitoring", Type: "alerting"},
		ChangedBy:     "Cloud Monitoring",
		Resource: change.Resource{
			Type: first(str("resource_type_display_name"), i.Get("resource.type").String()),
			ID:   first(str("resource_name"), str("resource_id"), str("policy_name")),
			Name: first(str("resource_display_name"), str("resource_name"), str("policy_name")),
			URL:  webURL(str("url")),
		},
		Description: first(str("summary"), i.Get("documentation.content").String()),
	}
	verb, when := "opened", str("started_at")
	if state == "closed" {
		c.Status, verb, when = change.Succeeded, "closed", first(str("ended_at"), when)
	}
	switch strings.ToLower(str("severity")) {
	case "critical":
		c.Risk = change.Critical
	case "error":
		c.Risk = change.High
	case "warning":
		c.Risk = change.Medium
	}
	if t, ok := normalizers.ParseTime(when); ok {
		c.OccurredAt = change.At(t)
	}
	c.Summary = "Incident " + verb + ": " + first(str("policy_name"), str("condition_name"), str("incident_id"))
	if name := first(str("resource_display_name"), str("resource_name")); name != "" && !strings.Contains(c.Summary, name) {
		c.Summary += " on " + name
	}
	setLabels(&c, i.Get("policy_user_labels"))
	inferEnvironment(&c, c.Resource.Name, c.Account)
	var m normalizers.Meta
	m.Set("version", v.Get("version").String())
	m.SetRaw("incident", redact.Raw(i))
	c.Metadata = m.JSON()
	return normalizers.One(c, strings.Join([]string{"incident", c.ExternalID, state, when}, "|"))
}

// fromAsset reads a change that a feed of Cloud Asset Inventory tells, with the
// state before. Nobody is named.
// https://cloud.google.com/asset-inventory/docs/monitoring-asset-changes
func fromAsset(v gjson.Result) normalizers.Result {
	a, before := v.Get("asset"), v.Get("priorAsset")
	name := a.Get("name").String()
	kind := a.Get("assetType").String()
	service, noun, _ := strings.Cut(kind, ".googleapis.com/")
	e := entry{auditLog: auditLog{service: service}}
	c := change.Change{
		Type:     change.ConfigChange,
		Action:   "asset.updated",
		Status:   change.Succeeded,
		Account:  after(name, "projects/"),
		Region:   a.Get("resource.location").String(),
		Resource: change.Resource{Type: kind, ID: strings.TrimPrefix(name, "//"), Name: lastSegment(name)},
	}
	verb := "updated"
	switch {
	case v.Get("deleted").Bool():
		c.Type, c.Action, verb = change.Infrastructure, "asset.deleted", "deleted"
		c.RiskHints = []string{destructive}
	case v.Get("priorAssetState").String() == "DOES_NOT_EXIST":
		c.Type, c.Action, verb = change.Infrastructure, "asset.created", "created"
	}
	object := first(strings.TrimSpace(e.called(noun)+" "+c.Resource.Name), "something")
	c.Summary = sentence(object) + " was " + verb
	if a.Get("iamPolicy").Exists() || before.Get("iamPolicy").Exists() {
		c.Type, c.Action = change.AccessChange, "asset.iam_policy"
		edits := policyEdits(before.Get("iamPolicy"), a.Get("iamPolicy"))
		said := make([]string, 0, 2)
		for _, g := range edits {
			if len(said) < 2 {
				said = append(said, g.said())
			}
			if g.action == "ADD" && strongRole(g.role) {
				c.RiskHints = normalizers.AddHints(c.RiskHints, privilege)
			}
			if g.action == "ADD" && (g.member == "allUsers" || g.member == "allAuthenticatedUsers") {
				c.RiskHints = normalizers.AddHints(c.RiskHints, public)
			}
		}
		c.Summary = sentence(object) + ": access was changed"
		if len(said) > 0 {
			c.Summary = "Somebody " + strings.Join(said, ", ") + more(len(edits)-len(said)) + " on " + object
		}
	}
	when := first(v.Get("window.startTime").String(), a.Get("updateTime").String())
	if t, ok := normalizers.ParseTime(when); ok {
		c.OccurredAt = change.At(t)
	}
	setLabels(&c, a.Get("resource.data.labels"))
	inferEnvironment(&c, c.Resource.Name, c.Account)
	var m normalizers.Meta
	m.SetRaw("window", redact.Raw(v.Get("window")))
	m.Set("priorAssetState", v.Get("priorAssetState").String())
	m.SetRaw("iamPolicy", redact.Raw(a.Get("iamPolicy")))
	m.SetRaw("resource", redact.Raw(a.Get("resource.data")))
	m.SetRaw("priorIamPolicy", redact.Raw(before.Get("iamPolicy")))
	m.SetRaw("priorResource", redact.Raw(before.Get("resource.data")))
	c.Metadata = m.JSON()
	return normalizers.One(c, strings.Join([]string{"asset", name, c.Action, when}, "|"))
}

// policyEdits compares who has which role before and after.
func policyEdits(before, after gjson.Result) []grant {
	had, has := members(before), members(after)
	var out []grant
	for _, g := range has {
		if !slices.Contains(had, g) {
			out = append(out, grant{"ADD", g.role, g.member})
		}
	}
	for _, g := range had {
		if !slices.Contains(has, g) {
			out = append(out, grant{"REMOVE", g.role, g.member})
		}
	}
	return out
}

// maxMembers bounds the members of a policy that are compared.
const maxMembers = 500

func members(policy gjson.Result) []grant {
	var out []grant
	policy.Get("bindings").ForEach(func(_, b gjson.Result) bool {
		role := b.Get("role").String()
		b.Get("members").ForEach(func(_, m gjson.Result) bool {
			out = append(out, grant{"", role, m.String()})
			return len(out) < maxMembers
		})
		return len(out) < maxMembers
	})
	return out
}

// sentence starts with a capital.
func sentence(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
