// Package gcp makes changes of what Google Cloud sends: entries of the audit
// logs, findings of Security Command Center, and messages of Pub/Sub. It
// leaves out reads, data access, denials and what controllers write all day.
package gcp

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/generic"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// Normalizer reads Google Cloud's records.
type Normalizer struct{}

// New returns the normalizer.
func New() Normalizer { return Normalizer{} }

// Provider returns "gcp".
func (Normalizer) Provider() string { return "gcp" }

// Version counts the changes of what this normalizer makes of the same record.
func (Normalizer) Version() int { return 2 }

// Normalize makes at most one change of a log entry.
func (Normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	v := gjson.ParseBytes(r.JSON)
	switch {
	case v.Get("protoPayload").Exists():
		return fromAuditLog(parse(v)), nil
	case v.Get("logName").Exists():
		return normalizers.Ignore("log entry, not an audit log"), nil
	case v.Get("finding").IsObject():
		return fromFinding(v), nil
	case v.Get("incident").IsObject():
		return fromIncident(v), nil
	case v.Get("asset").IsObject():
		return fromAsset(v), nil
	case v.Get("message").IsObject():
		return fromPubSub(v, r)
	case isBuild(v):
		return normalizers.One(fromBuild(v), buildKey(v)), nil
	}
	return generic.New().Normalize(r) // what came by Google's ways and is none of its own kinds
}

func fromAuditLog(e *entry) normalizers.Result {
	if reason := e.notAChange(); reason != "" {
		return normalizers.Ignore(reason)
	}
	c := change.Change{
		Action:        e.methodName,
		Status:        e.progress(),
		Account:       e.project(),
		Region:        e.region(),
		ExternalID:    e.insertID,
		CorrelationID: e.operation.Get("id").String(),
		Resource: change.Resource{
			Type: e.resource.Get("type").String(),
			ID:   e.resourceName,
			Name: lastSegment(e.resourceName),
		},
	}
	c.Type, c.RiskHints = e.classify()
	if c.Status == change.Failed {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	}
	if e.service == "k8s.io" && len(e.method) > 1 {
		c.Resource.Type = "k8s." + e.method[len(e.method)-2]
	}
	c.Actor = e.actor()
	c.ChangedBy = c.Actor.Name
	e.build(&c)
	c.Summary = e.summary(&c)
	setLabels(&c, e.labels())
	inferEnvironment(&c, c.Resource.Name, after(e.resourceName, "namespaces/"), c.Account)
	if t, ok := normalizers.ParseTime(first(e.timestamp, e.received)); ok {
		c.OccurredAt = change.At(t)
	}
	c.Metadata = e.kept()
	return normalizers.One(c, strings.Join([]string{e.logName, e.timestamp, e.insertID}, "|"))
}

// classify finds the type of a call and what is risky about it.
func (e *entry) classify() (typ change.Type, hints []string) {
	typ, hint := byVerb(e.verb())
	if e.log() == "system_event" {
		return change.Maintenance, nil
	}
	if r := find(e); r != nil {
		typ = r.typ
		deletes := hint == destructive && (typ == change.Infrastructure || e.service == "k8s.io")
		hints = normalizers.AddHints(hints, r.hint)
		if deletes {
			hints = normalizers.AddHints(hints, destructive)
		}
		if r.look != nil {
			closer, hint := r.look(e)
			if closer != "" {
				typ = closer
			}
			hints = normalizers.AddHints(hints, hint)
		}
	} else {
		hints = normalizers.AddHints(hints, hint)
	}
	return typ, normalizers.AddHints(hints, e.dangers()...)
}

// progress is how far a long operation has come; the first entry has the
// request, the last the outcome. Anything else is done when it is logged.
func (e *entry) progress() change.Status {
	isFirst, isLast := e.operation.Get("first").Bool(), e.operation.Get("last").Bool()
	switch {
	case e.status.Get("code").Int() != 0:
		return change.Failed
	case isFirst && !isLast:
		return change.Started
	default:
		return change.Succeeded
	}
}

// principal is the caller as the log has it.
func (e *entry) principal() string {
	a := e.authentication
	return first(a.Get("principalEmail").String(), a.Get("principalSubject").String())
}

// actor names who called; behind an impersonated account, the one who
// impersonated it.
func (e *entry) actor() change.Actor {
	a := e.authentication
	name := e.principal()
	id := first(a.Get("principalSubject").String(), name)
	if chain := a.Get("serviceAccountDelegationInfo").Array(); len(chain) > 0 {
		last := chain[len(chain)-1]
		if human := first(last.Get("firstPartyPrincipal.principalEmail").String(), last.Get("principalSubject").String()); human != "" {
			name = human
		}
	}
	kind := "user"
	switch {
	case name == "" && e.log() == "system_event":
		return change.Actor{ID: "google", Name: "Google", Type: "system"}
	case name == "":
		return change.Actor{}
	case strings.HasPrefix(name, "system:"):
		kind = "system"
	case strings.HasSuffix(name, ".gserviceaccount.com"), strings.HasPrefix(name, "serviceAccount:"):
		kind = "service"
	}
	if kind != "system" {
		name = bareMember(name)
	}
	return change.Actor{ID: id, Name: name, Type: kind}
}

// kept is the metadata: under the log's own names, what has no field of its own.
func (e *entry) kept() []byte {
	var m normalizers.Meta
	m.Set("serviceName", e.serviceName)
	m.Set("logName", e.logName)
	m.Set("severity", e.severity)
	m.Set("receiveTimestamp", e.received)
	m.SetRaw("operation", redact.Raw(e.operation))
	m.SetRaw("status", redact.Raw(e.status))
	m.Set("authenticationInfo", authentication(e.authentication))
	m.SetRaw("authorizationInfo", redact.Raw(e.authorization))
	m.Set("requestMetadata", chosen(e.requestMetadata, "callerIp", "callerSuppliedUserAgent"))
	m.SetRaw("resource", redact.Raw(e.resource))
	m.SetRaw("serviceData", redact.Raw(e.serviceData))
	m.SetRaw("metadata", redact.Raw(e.metadata))
	if e.service == "k8s.io" && strings.Contains(e.methodName, ".secrets.") {
		return m.JSON() // the request is the secret itself
	}
	m.SetRaw("request", redact.Raw(e.request))
	m.Set("image", e.image)
	return m.JSON()
}

// authentication leaves out tokens and claims.
func authentication(v gjson.Result) json.RawMessage {
	return chosen(v, "principalEmail", "principalSubject", "serviceAccountKeyName", "authoritySelector", "serviceAccountDelegationInfo")
}

// chosen copies some members of an object.
func chosen(v gjson.Result, names ...string) json.RawMessage {
	if !v.IsObject() {
		return nil
	}
	out := make([]byte, 1, 256)
	out[0] = '{'
	v.ForEach(func(key, v gjson.Result) bool {
		if !slices.Contains(names, key.Str) || v.Type == gjson.Null || v.Type == gjson.String && v.Str == "" {
			return true
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, key.Raw...), ':'), redact.JSON(v)...)
		if out[len(out)-1] == ':' {
			out = append(out, "null"...)
		}
		return true
	})
	return append(out, '}')
}
