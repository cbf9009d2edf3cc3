package gcp

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
)

// grant is one change of who has which role.
type grant struct{ action, role, member string }

// maxGrants is the most grants of one entry that are looked at.
const maxGrants = 20

// grants returns what a change of a policy added and removed.
func (e *entry) grants() []grant {
	var out []grant
	for _, from := range []gjson.Result{e.serviceData, e.metadata} {
		from.Get("policyDelta.bindingDeltas").ForEach(func(_, d gjson.Result) bool {
			out = append(out, grant{d.Get("action").String(), d.Get("role").String(), d.Get("member").String()})
			return len(out) < maxGrants
		})
	}
	return out
}

// said is a grant in words: "granted roles/owner to bob@example.com".
func (g grant) said() string {
	if g.action == "REMOVE" {
		return "took " + g.role + " from " + memberName(g.member)
	}
	return "granted " + g.role + " to " + memberName(g.member)
}

// memberName says who a member of a policy is.
func memberName(member string) string {
	switch kind, name, _ := strings.Cut(member, ":"); {
	case member == "allUsers":
		return "everybody (allUsers)"
	case member == "allAuthenticatedUsers":
		return "everybody with a Google account (allAuthenticatedUsers)"
	case kind == "serviceAccount":
		return "service account " + name
	case kind == "group":
		return "group " + name
	case kind == "domain":
		return "everybody at " + name
	}
	return bareMember(member)
}

// bareMember is a member's name without its kind; of a principal of a pool,
// its subject.
func bareMember(member string) string {
	kind, name, ok := strings.Cut(member, ":")
	switch {
	case !ok:
		return member
	case strings.HasPrefix(kind, "principal"):
		return lastSegment(name)
	}
	return name
}

// auditEdit is one change of what is logged.
type auditEdit struct{ action, service, logType, exempted string }

// auditEdits returns what a change of a policy does to the audit logs.
func (e *entry) auditEdits() []auditEdit {
	var out []auditEdit
	for _, from := range []gjson.Result{e.serviceData, e.metadata} {
		from.Get("policyDelta.auditConfigDeltas").ForEach(func(_, d gjson.Result) bool {
			out = append(out, auditEdit{d.Get("action").String(), d.Get("service").String(), d.Get("logType").String(), d.Get("exemptedMember").String()})
			return len(out) < maxGrants
		})
	}
	return out
}

// off reports whether less is logged afterwards.
func (a auditEdit) off() bool { return (a.action == "REMOVE") != (a.exempted != "") }

func (a auditEdit) said() string {
	logs := strings.TrimSpace(first(a.logType, "all") + " audit logs of " + a.service)
	switch {
	case a.exempted != "" && a.off():
		return "exempted " + memberName(a.exempted) + " from the " + logs
	case a.off():
		return "switched off the " + logs
	}
	return "switched on the " + logs
}

// policySaid says what a change of a policy did, or "" where the entry does
// not tell.
func (e *entry) policySaid() string {
	var said []string
	for _, a := range e.auditEdits() {
		said = append(said, a.said())
	}
	for _, g := range e.grants() {
		said = append(said, g.said())
	}
	switch n := len(said); {
	case n == 0:
		return ""
	case n <= 2:
		return strings.Join(said, " and ")
	default:
		return said[0] + ", " + said[1] + more(n-2)
	}
}

// openTo returns the members that stand for everybody in a policy that was set
// as a whole.
func (e *entry) openTo() string {
	if !strings.HasPrefix(strings.ToLower(e.verb()), "setiam") {
		return ""
	}
	for _, member := range []string{"allUsers", "allAuthenticatedUsers"} {
		if strings.Contains(e.request.Raw, `"`+member+`"`) {
			return member
		}
	}
	return ""
}

// strongRole reports whether a role can do nearly everything, or give it away.
func strongRole(role string) bool {
	role = strings.ToLower(role)
	switch role {
	case "roles/owner", "roles/editor", "roles/iam.serviceaccounttokencreator", "roles/iam.serviceaccountuser", "roles/iam.serviceaccountkeyadmin":
		return true
	}
	return strings.HasSuffix(role, "admin")
}

// sign is what makes a request risky, whatever else it asks for.
type sign struct {
	service, method string // part of the method's name
	body            string // part of the request
	hint            string
	says            string // for the page
}

var signs = []sign{
	{"cloudsql", "instances.", `"0.0.0.0/0"`, public, "a database that all addresses may reach"},
	{"cloudsql", "instances.", `"requireSsl":false`, normalizers.HintEncryptionDisabled, "connections without TLS"},
	{"cloudsql", "instances.", `"deletionProtectionEnabled":false`, noProtect, "no protection against deletion"},
	{"", "", `"deletionProtection":false`, noProtect, "no protection against deletion"},
	{"logging", "Sink", `"disabled":true`, noAudit, "a sink that is off"},
	{"container", "Cluster", `"cidrBlock":"0.0.0.0/0"`, public, "a control plane that all addresses may reach"},
	{"storage", "buckets.", `"publicAccessPrevention":"inherited"`, noProtect, "a bucket that may be made public"},
}

// dangers are the hints of what the request asks for, whatever the method.
func (e *entry) dangers() []string {
	var hints []string
	for _, g := range e.grants() {
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
	for _, a := range e.auditEdits() {
		if a.off() {
			hints = normalizers.AddHints(hints, noAudit)
		}
	}
	if len(e.grants()) == 0 && e.openTo() != "" {
		hints = normalizers.AddHints(hints, public)
	}
	if e.firewallOpen() {
		hints = normalizers.AddHints(hints, public)
	}
	if !e.request.Exists() {
		return hints
	}
	for i := range signs {
		s := &signs[i]
		if (s.service == "" || s.service == e.service) && strings.Contains(e.methodName, s.method) && strings.Contains(e.request.Raw, s.body) {
			hints = normalizers.AddHints(hints, s.hint)
		}
	}
	return hints
}

// firewallOpen reports whether a firewall rule lets all addresses in. What it
// lets out is no exposure.
func (e *entry) firewallOpen() bool {
	if e.service != "compute" || !strings.Contains(strings.ToLower(e.methodName), "firewall") || strings.HasSuffix(e.methodName, ".delete") {
		return false
	}
	r := e.request
	if r.Get("direction").String() == "EGRESS" || r.Get("disabled").Bool() || r.Get("denieds").Exists() || strings.EqualFold(r.Get("action").String(), "deny") {
		return false
	}
	for _, path := range []string{"sourceRanges", "match.srcIpRanges"} {
		if raw := r.Get(path).Raw; strings.Contains(raw, `"0.0.0.0/0"`) || strings.Contains(raw, `"::/0"`) {
			return true
		}
	}
	return false
}

// ports are what a firewall rule allows: "tcp:22".
func (e *entry) ports() string {
	var out []string
	e.request.Get("alloweds").ForEach(func(_, a gjson.Result) bool {
		protocol := first(a.Get("IPProtocol").String(), a.Get("ipProtocol").String())
		var ports []string
		a.Get("ports").ForEach(func(_, p gjson.Result) bool {
			ports = append(ports, p.String())
			return len(ports) < maxGrants
		})
		out = append(out, strings.TrimSuffix(protocol+":"+strings.Join(ports, ","), ":"))
		return len(out) < maxGrants
	})
	return strings.Join(out, " ")
}
