package gcp

import (
	"strings"

	"github.com/tidwall/gjson"
)

// notAChange says why an entry changes nothing, or "" for one that does.
func (e *entry) notAChange() string {
	switch {
	case e.kind != "" && !strings.HasSuffix(e.kind, "audit.AuditLog"):
		return "not an audit log entry"
	case e.methodName == "":
		return "log entry, not an audit log"
	case e.split.Get("index").Int() > 0:
		return "continuation of a split entry"
	}
	switch e.log() {
	case "data_access":
		return "data access"
	case "policy":
		return "denied by policy"
	case "access_transparency":
		return "access transparency"
	case "system_event":
		return ""
	}
	if reason := e.permissions(); reason != "" {
		return reason
	}
	if e.service != "k8s.io" && readOnly(e.verb()) || e.service == "k8s.io" && k8sReads[e.verb()] {
		return "read-only call"
	}
	if e.noise() {
		return "noise: controllers and agents"
	}
	if code := e.status.Get("code").Int(); code != 0 && !e.ends() {
		return "failed call: " + codeName(code)
	}
	if e.dryRun() {
		return "dry run"
	}
	return ""
}

// permissions decides by the permissions that were asked for, where the entry
// says what kind they are.
func (e *entry) permissions() string {
	var adminWrite, read, dataWrite, denied bool
	e.authorization.ForEach(func(_, info gjson.Result) bool {
		switch info.Get("permissionType").String() {
		case "ADMIN_WRITE":
			adminWrite = true
		case "ADMIN_READ", "DATA_READ":
			read = true
		case "DATA_WRITE":
			dataWrite = true
		}
		if g := info.Get("granted"); g.IsBool() && !g.Bool() {
			denied = true
		}
		return true
	})
	switch {
	case denied:
		return "failed call: PERMISSION_DENIED"
	case adminWrite:
		return ""
	case dataWrite:
		return "data access"
	case read:
		return "read-only call"
	}
	return ""
}

// readVerbs start the names of methods that only look.
var readVerbs = []string{
	"get", "list", "aggregatedList", "search", "query", "test", "lookup", "describe", "check", "validate", "fetch",
	"watch", "read", "batchGet", "count", "resolve", "preview", "simulate", "generateAccessToken",
	"generateIdToken", "signBlob", "signJwt", "connect", "encrypt", "decrypt",
}

var k8sReads = map[string]bool{"get": true, "list": true, "watch": true}

// readOnly compares in any case: methods are written listKeys and ListKeys.
func readOnly(verb string) bool {
	for _, v := range readVerbs {
		if len(verb) < len(v) || !strings.EqualFold(verb[:len(v)], v) {
			continue
		}
		// A verb ends where the next word starts: getting is not get.
		if rest := verb[len(v):]; rest == "" || rest[0] < 'a' || rest[0] > 'z' {
			return true
		}
	}
	return false
}

// noise is what controllers and agents write all the time.
func (e *entry) noise() bool {
	m := e.methodName
	switch {
	case strings.HasPrefix(m, "storage.objects."), strings.HasPrefix(m, "google.cloud.oslogin."):
		return true
	case e.service == "bigquery" && (strings.HasSuffix(m, ".InsertJob") || strings.HasSuffix(m, ".Query") || strings.EqualFold(m, "jobservice.insert")):
		return true
	case e.service != "k8s.io":
		return false
	case strings.Contains(m, ".coordination.") && strings.Contains(m, ".leases."),
		strings.Contains(m, ".events."), strings.Contains(m, ".endpoints."), strings.Contains(m, ".endpointslices."),
		strings.Contains(m, ".subjectaccessreviews."), strings.Contains(m, ".tokenreviews."), strings.Contains(m, ".nodes.status."):
		return true
	}
	who := e.principal()
	return strings.HasPrefix(who, "system:serviceaccount:kube-system:") || strings.HasPrefix(who, "system:node:") ||
		strings.HasPrefix(who, "system:kube-") || who == "system:apiserver" || who == "system:addon-manager" ||
		(strings.HasPrefix(who, "system:") && strings.Contains(m, ".status."))
}

func (e *entry) dryRun() bool {
	for _, path := range []string{"validateOnly", "dryRun", "validate_only"} {
		if v := e.request.Get(path); v.String() == "true" || v.Raw == `["All"]` || v.String() == "All" {
			return true
		}
	}
	return strings.Contains(e.resourceName, "dryRun=All")
}

// ends reports whether the entry is the second of a long operation, whose
// start was a change already: then failing is news.
func (e *entry) ends() bool {
	return e.operation.Get("last").Bool() && !e.operation.Get("first").Bool()
}

// codeName is gRPC's word for a status code.
func codeName(code int64) string {
	names := []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	if code > 0 && code < int64(len(names)) {
		return names[code]
	}
	return "UNKNOWN"
}
