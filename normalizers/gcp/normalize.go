// Package gcp makes changes of what Google Cloud sends: entries of the audit
// logs, findings of Security Command Center, and messages of Pub/Sub. It
// leaves out reads, data access, denials and what controllers write all day.
package gcp

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
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
func (Normalizer) Version() int { return 1 }

// Normalize makes at most one change of a log entry.
func (Normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	if err := normalizers.CheckJSON(r.JSON); err != nil {
		return normalizers.Result{}, fmt.Errorf("read Google Cloud record: %w", err)
	}
	v := gjson.ParseBytes(r.JSON)
	switch {
	case v.Get("protoPayload").Exists():
		return fromAuditLog(parse(v)), nil
	case v.Get("logName").Exists():
		return normalizers.Ignore("log entry, not an audit log"), nil
	case v.Get("finding").IsObject():
		return fromFinding(v), nil
	case v.Get("message").IsObject():
		return fromPubSub(v, r)
	default:
		return fromOther(r)
	}
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
	past := ""
	c.Type, c.RiskHints, past = e.classify()
	if c.Status == change.Failed {
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	}
	if e.service == "k8s.io" && len(e.method) > 1 {
		c.Resource.Type = "k8s." + e.method[len(e.method)-2]
	}
	c.Actor = e.actor()
	c.ChangedBy = c.Actor.Name
	e.build(&c)
	c.Summary = e.summary(&c, past)
	if env, ok := normalizers.Environment(c.Resource.Name, after(e.resourceName, "namespaces/"), c.Account); ok {
		c.Environment = env
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
	}
	if t, ok := normalizers.ParseTime(first(e.timestamp, e.received)); ok {
		c.OccurredAt = change.At(t)
	}
	c.Metadata = e.kept()
	return normalizers.One(c, strings.Join([]string{e.logName, e.timestamp, e.insertID}, "|"))
}

// classify finds the type of a call, what is risky about it, and its verb.
func (e *entry) classify() (typ change.Type, hints []string, past string) {
	typ, hint, past := byVerb(e.verb())
	if e.log() == "system_event" {
		return change.Maintenance, nil, past
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
	return typ, normalizers.AddHints(hints, e.dangers()...), past
}

// dangers are signs in the request, whatever the method.
func (e *entry) dangers() []string {
	var hints []string
	grants := e.grants()
	for _, g := range grants {
		if g.action != "ADD" {
			continue
		}
		if strongRole(g.role) {
			hints = normalizers.AddHints(hints, privilege)
		}
		if g.member == "allUsers" || g.member == "allAuthenticatedUsers" {
			hints = normalizers.AddHints(hints, public)
		}
	}
	raw := e.request.Raw
	if len(grants) == 0 && strings.Contains(strings.ToLower(e.verb()), "setiam") &&
		(strings.Contains(raw, `"allUsers"`) || strings.Contains(raw, `"allAuthenticatedUsers"`)) {
		hints = normalizers.AddHints(hints, public)
	}
	if strings.Contains(e.methodName, "firewall") && !strings.HasSuffix(e.methodName, ".delete") && strings.Contains(raw, `"0.0.0.0/0"`) {
		hints = normalizers.AddHints(hints, public)
	}
	return hints
}

// strongRole reports whether a role can do nearly everything, or give it away.
func strongRole(role string) bool {
	role = strings.ToLower(role)
	return role == "roles/owner" || role == "roles/editor" || strings.HasSuffix(role, "admin")
}

// grant is one change of who has which role.
type grant struct{ action, role, member string }

// grants returns what a change of a policy added and removed.
func (e *entry) grants() []grant {
	const most = 20
	var out []grant
	for _, from := range []gjson.Result{e.serviceData, e.metadata} {
		from.Get("policyDelta.bindingDeltas").ForEach(func(_, d gjson.Result) bool {
			out = append(out, grant{d.Get("action").String(), d.Get("role").String(), d.Get("member").String()})
			return len(out) < most
		})
	}
	return out
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
	if _, bare, ok := strings.Cut(name, ":"); ok && kind != "system" {
		name = bare
	}
	return change.Actor{ID: id, Name: name, Type: kind}
}

// build takes what a build or a rollout says about the code.
func (e *entry) build(c *change.Change) {
	if id := e.resource.Get("labels.build_id").String(); id != "" {
		c.CorrelationID = first(c.CorrelationID, id)
	}
	sub := e.request.Get("build.substitutions")
	c.CommitSHA = first(sub.Get("COMMIT_SHA").String(), sub.Get("REVISION_ID").String(),
		e.request.Get("service.metadata.labels.commit-sha").String(), e.request.Get("service.labels.commit-sha").String())
	c.Branch = sub.Get("BRANCH_NAME").String()
	c.Repository = sub.Get("REPO_NAME").String()
	c.Version = first(sub.Get("TAG_NAME").String(), e.request.Get("releaseId").String())
}

// summary says who did what: "ann@example.com created gce_instance web-1 in shop-prod".
func (e *entry) summary(c *change.Change, past string) string {
	who := first(c.ChangedBy, "somebody")
	if grants := e.grants(); len(grants) > 0 {
		return who + " " + grants[0].said() + more(len(grants)-1) + " on " + first(c.Resource.Name, c.Account)
	}
	what := strings.TrimSpace(strings.TrimPrefix(c.Resource.Type, "audited_resource") + " " + c.Resource.Name)
	if e.service == "k8s.io" {
		what = e.kubernetes()
	}
	done := past
	switch verb := e.verb(); {
	case e.log() == "system_event":
		done = "did " + e.methodName + " on"
	case past == "changed who may use":
	case past == "" || (!strings.EqualFold(verb, "insert") && !strings.EqualFold(verb, "create") &&
		!strings.EqualFold(verb, "delete") && !strings.EqualFold(verb, "update") && !strings.EqualFold(verb, "patch")):
		done = "called " + verb + " on"
	}
	s := who + " " + done + " " + first(what, e.serviceName)
	if c.Account != "" && !strings.Contains(s, c.Account) {
		s += " in " + c.Account
	}
	switch c.Status {
	case change.Started:
		s += " (started)"
	case change.Failed:
		s += " (failed: " + first(e.status.Get("message").String(), codeName(e.status.Get("code").Int())) + ")"
	}
	return s
}

func (g grant) said() string {
	if g.action == "REMOVE" {
		return "took " + g.role + " from " + g.member
	}
	return "gave " + g.role + " to " + g.member
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}

// kubernetes names an object as kubectl would: deployments/web in namespace shop.
func (e *entry) kubernetes() string {
	parts := strings.Split(e.resourceName, "/")
	if len(parts) < 2 {
		return e.resourceName
	}
	namespace := after(e.resourceName, "namespaces/")
	name := parts[len(parts)-2] + "/" + parts[len(parts)-1]
	if namespace != "" && !strings.HasPrefix(name, "namespaces/") {
		name += " in namespace " + namespace
	}
	if cluster := e.resource.Get("labels.cluster_name").String(); cluster != "" {
		name += " of " + cluster
	}
	return name
}

// kept is the metadata: under the log's own names, what has no field of its own.
func (e *entry) kept() []byte {
	var m normalizers.Meta
	m.Set("serviceName", e.serviceName)
	m.Set("logName", e.logName)
	m.Set("severity", e.severity)
	m.Set("receiveTimestamp", e.received)
	m.Set("operation", redact.JSON(e.operation))
	m.Set("status", redact.JSON(e.status))
	m.Set("authenticationInfo", authentication(e.authentication))
	m.Set("authorizationInfo", redact.JSON(e.authorization))
	var req normalizers.Meta
	req.Set("callerIp", e.requestMetadata.Get("callerIp").String())
	req.Set("callerSuppliedUserAgent", e.requestMetadata.Get("callerSuppliedUserAgent").String())
	m.Set("requestMetadata", req.JSON())
	m.Set("resource", redact.JSON(e.resource))
	m.Set("serviceData", redact.JSON(e.serviceData))
	m.Set("metadata", redact.JSON(e.metadata))
	if e.service == "k8s.io" && strings.Contains(e.methodName, ".secrets.") {
		return m.JSON() // the request is the secret itself
	}
	m.Set("request", redact.JSON(e.request))
	return m.JSON()
}

func authentication(v gjson.Result) json.RawMessage {
	var m normalizers.Meta
	for _, name := range []string{"principalEmail", "principalSubject", "serviceAccountKeyName", "authoritySelector"} {
		m.Set(name, v.Get(name).String())
	}
	m.Set("serviceAccountDelegationInfo", redact.JSON(v.Get("serviceAccountDelegationInfo")))
	return m.JSON()
}
