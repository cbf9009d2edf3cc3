package azure

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// fromDirectory makes a change of an entry of Microsoft Entra's audit log
// (category AuditLogs): users, groups, roles, applications, policies. It has
// the old and new values.
// https://learn.microsoft.com/entra/identity/monitoring-health/concept-audit-logs
func fromDirectory(v gjson.Result) normalizers.Result {
	e := activityLog(v)
	p := e.properties
	if result := strings.ToLower(p.Get("result").String()); result == "failure" {
		return normalizers.Ignore("failed operation")
	}
	by := p.Get("initiatedBy.user")
	c := change.Change{
		Type:          change.AccessChange,
		Action:        "directory." + strings.ReplaceAll(strings.ToLower(e.operation), " ", "_"),
		Status:        change.Succeeded,
		Account:       e.tenant,
		ExternalID:    p.Get("id").String(),
		CorrelationID: e.correlationID,
		Actor: change.Actor{
			ID:   by.Get("id").String(),
			Name: first(by.Get("userPrincipalName").String(), by.Get("displayName").String()),
			Type: "user",
		},
	}
	if c.Actor.Name == "" {
		app := p.Get("initiatedBy.app")
		c.Actor = change.Actor{
			ID:   first(app.Get("servicePrincipalId").String(), app.Get("appId").String()),
			Name: first(app.Get("displayName").String(), app.Get("servicePrincipalName").String(), app.Get("appId").String()),
			Type: "service",
		}
	}
	if c.Actor.Name == "" {
		c.Actor = change.Actor{}
	}
	c.ChangedBy = c.Actor.Name
	target := p.Get("targetResources.0")
	c.Resource = change.Resource{
		ID:   first(target.Get("id").String(), e.resourceID),
		Type: target.Get("type").String(),
		Name: first(target.Get("displayName").String(), target.Get("userPrincipalName").String()),
	}
	op := strings.ToLower(e.operation)
	switch {
	case strings.Contains(op, "policy"):
		c.Type = change.ConfigChange
	case strings.Contains(op, "member to role"), strings.Contains(op, "consent"), strings.Contains(op, "owner"), strings.Contains(op, "credential"):
		c.RiskHints = normalizers.AddHints(c.RiskHints, privilege)
	}
	if strings.Contains(op, "delete") {
		c.RiskHints = normalizers.AddHints(c.RiskHints, destructive)
	}
	c.Summary = first(c.ChangedBy, "somebody") + ": " + e.operation
	if c.Resource.Name != "" {
		c.Summary += " " + c.Resource.Name
	}
	if t, ok := normalizers.ParseTime(first(e.time, p.Get("activityDateTime").String())); ok {
		c.OccurredAt = change.At(t)
	}
	var m normalizers.Meta
	m.Set("resourceId", e.resourceID)
	e.metadata(&m)
	c.Metadata = m.JSON()
	key := c.ExternalID
	if key == "" {
		key = e.key()
	}
	return normalizers.One(c, key)
}
