package azure

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// fromActivityLog makes a change of an Activity Log event, or of a record that
// comes the same way.
func fromActivityLog(e *event, m *normalizers.Meta) normalizers.Result {
	c := findCategory(e.category)
	switch {
	case c.ignore != "":
		return normalizers.Ignore(c.ignore)
	case c.read == nil:
		return administrative(e, m)
	}
	return c.read(e, m)
}

func administrative(e *event, m *normalizers.Meta) normalizers.Result {
	resource, verb, isAction := split(e.operation)
	if verb == "" {
		return normalizers.Ignore("not an operation")
	}
	if reason := notAChange(resource, verb, isAction); reason != "" {
		return normalizers.Ignore(reason)
	}
	if status := strings.ToLower(e.status); e.outcome == "" && (status == "accept" || status == "accepted") {
		return normalizers.Ignore("accepted: the operation's start and end are told as well")
	}
	c := e.change(m)
	c.Type = change.Other
	if op := find(resource, verb); op != nil {
		c.Type = op.typ
		c.RiskHints = normalizers.AddHints(c.RiskHints, op.hint)
		if op.look != nil {
			closer, hint := op.look(e)
			if closer != "" {
				c.Type = closer
			}
			c.RiskHints = normalizers.AddHints(c.RiskHints, hint)
		}
	}
	if verb == "delete" && c.Type == change.Infrastructure {
		c.RiskHints = normalizers.AddHints(c.RiskHints, destructive)
	}
	c.RiskHints = normalizers.AddHints(c.RiskHints, e.dangers()...)
	c.Summary = e.summary(c.ChangedBy, resource, verb)
	return normalizers.One(c, e.key())
}

// signal makes a change of an event that Azure itself raised: health, alerts,
// autoscale.
func signal(e *event, m *normalizers.Meta, typ change.Type) normalizers.Result {
	c := e.change(m)
	c.Type = typ
	if c.ChangedBy == "" {
		c.Actor = change.Actor{ID: "azure", Name: "Azure", Type: "system"}
		c.ChangedBy = "Azure"
	}
	switch strings.ToLower(e.status) {
	case "active", "activated", "fired":
		c.Status = change.Started
	case "resolved", "deactivated":
		c.Status = change.Succeeded
	}
	title := first(
		e.properties.Get("title").String(), e.properties.Get("defaultLanguageTitle").String(),
		e.properties.Get("RuleName").String(), e.properties.Get("eventProperties.title").String(),
		e.localized, e.description, e.operation,
	)
	c.Summary = words(strings.ToLower(e.category)) + ": " + title
	if name := c.Resource.Name; name != "" && !strings.Contains(title, name) {
		c.Summary += " on " + name
	}
	if e.status != "" {
		c.Summary += " (" + e.status + ")"
	}
	if id := e.properties.Get("trackingId").String(); id != "" {
		c.CorrelationID = id
		c.Resource.URL = "https://app.azure.com/h/" + id
	}
	return normalizers.One(c, e.key())
}

// words spells a category as people do.
func words(category string) string {
	switch category {
	case "resourcehealth":
		return "Resource health"
	case "servicehealth":
		return "Service health"
	case "autoscale":
		return "Autoscale"
	case "security":
		return "Security alert"
	}
	return "Alert"
}

// change fills in what all kinds of events share.
func (e *event) change(m *normalizers.Meta) change.Change {
	c := change.Change{
		Action:        e.operationName(),
		Status:        e.progress(),
		Account:       e.subscription,
		ExternalID:    first(e.eventID, e.operationID),
		CorrelationID: e.correlationID,
		Resource: change.Resource{
			ID:   e.resourceID,
			Type: e.resourceType,
			Name: lastSegment(e.resourceID),
		},
	}
	if !strings.EqualFold(e.location, "global") {
		c.Region = e.location
	}
	if c.Status == change.Failed {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	}
	if t, ok := normalizers.ParseTime(e.time); ok {
		c.OccurredAt = change.At(t)
	}
	setTags(&c, member(e.request, "tags"))
	inferEnvironment(&c, c.Resource.Name, e.resourceGroup)
	c.Actor = e.actor()
	c.ChangedBy = c.Actor.Name
	e.metadata(m)
	m.Set("properties", e.propertiesKept())
	c.Metadata = m.JSON()
	return c
}

// operationName is the operation as Azure documents it where the record says
// it twice: streamed records often have it in capitals.
func (e *event) operationName() string {
	if action := e.authorization.Get("action").String(); strings.EqualFold(action, e.operation) {
		return action
	}
	return e.operation
}

// actor names the caller: a person by the user principal name, a managed
// identity by its resource's name, an application by its name or id.
func (e *event) actor() change.Actor {
	upn := first(e.claim("upn"), e.claim("unique_name"), mail(e.claim("name")), mail(e.caller))
	evidence := e.authorization.Get("evidence")
	app := first(e.claim("appid"), e.claim("azp"), e.claim("spn"))
	principal := evidence.Get("principalId").String()
	managed := first(e.claim("xms_mirid"), e.claim("xms_az_rid")) // the resource behind a managed identity
	a := change.Actor{
		ID:   first(e.claim("objectidentifier"), e.claim("oid"), principal, upn, app, e.caller),
		Name: first(upn, lastSegment(managed), e.claim("name"), e.claim("app_displayname"), e.caller, app, principal),
		Type: "user",
	}
	if managed != "" || strings.EqualFold(evidence.Get("principalType").String(), "ServicePrincipal") ||
		strings.EqualFold(e.claim("idtyp"), "app") || upn == "" && app != "" && e.claim("name") == "" {
		a.Type = "service"
	}
	if a.Name == "" {
		return change.Actor{}
	}
	return a
}

func mail(s string) string {
	if strings.Contains(s, "@") {
		return s
	}
	return ""
}

// key is the event's own id, or, since streamed records have none, all that
// tells them apart. Case varies between paths.
func (e *event) key() string {
	if e.eventID != "" {
		return e.eventID
	}
	return strings.ToLower(strings.Join([]string{e.correlationID, e.operation, e.resourceID, e.status, e.time}, "|"))
}

// progress is how far the operation has come.
func (e *event) progress() change.Status {
	return statusOf(first(e.outcome, e.status), e.subStatus)
}

// statusOf translates Azure's words for how far an operation has come.
func statusOf(status, sub string) change.Status {
	switch strings.ToLower(status) {
	case "start", "started", "accept", "accepted", "inprogress", "running":
		return change.Started
	case "success", "succeeded", "completed", "ok", "updated":
		return change.Succeeded
	case "failure", "failed", "error":
		return change.Failed
	case "cancel", "canceled", "cancelled":
		return change.Cancelled
	}
	switch strings.ToLower(sub) {
	case "created", "ok":
		return change.Succeeded
	case "accepted":
		return change.Started
	}
	return ""
}

// claimsKept are the claims that say who called; the rest is about the token.
var claimsKept = []string{"name", "upn", "appid", "spn", "ipaddr", "objectidentifier", "authnmethodsreferences", "groups"}

// metadata keeps, under Azure's own names, what has no field of its own.
func (e *event) metadata(m *normalizers.Meta) {
	m.Set("operationName", e.operation)
	m.Set(first(e.categoryName, "category"), e.category)
	m.Set(first(e.statusName, "status"), e.status)
	m.Set("resultSignature", e.signature)
	m.Set("subStatus", e.subStatus)
	m.Set("eventName", e.eventName)
	m.Set("level", e.level)
	m.Set("location", e.location)
	m.Set("tenantId", e.tenant)
	m.Set("callerIpAddress", e.ip)
	m.Set("caller", e.caller)
	m.Set("resourceGroupName", e.resourceGroup)
	m.Set("resourceProviderName", e.provider)
	m.Set("id", e.recordID)
	m.Set("operationId", e.operationID)
	m.Set("description", e.description)
	var claims normalizers.Meta
	for _, name := range claimsKept {
		claims.Set(name, e.claim(name))
	}
	m.Set("claims", claims.JSON())
	m.SetRaw("authorization", redact.Raw(e.authorization))
}

// propertiesKept opens the request inside the properties, so that its secrets
// are seen, and leaves out the answer, which repeats it at length.
func (e *event) propertiesKept() json.RawMessage {
	if !e.properties.IsObject() {
		return nil
	}
	out := make([]byte, 1, len(e.properties.Raw)+1)
	out[0] = '{'
	e.properties.ForEach(func(key, v gjson.Result) bool {
		if strings.EqualFold(key.Str, "responseBody") || redact.Secret(key.Str) || key.Str == "hierarchy" {
			return true
		}
		kept := redact.JSON(object(v))
		if len(kept) == 0 || string(kept) == `""` {
			return true
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, key.Raw...), ':'), kept...)
		return true
	})
	return append(out, '}')
}
