package azure

import (
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// The functions here look into a record where the operation's name alone does
// not tell the type. They belong to rows of operations.

// body is what was asked for, where the record has it.
func (e *event) body() string {
	return e.request.Raw
}

// setting returns a look that takes a type when the request sets a member. A
// new resource sets everything, which is no change of it.
func setting(typ change.Type, member string) func(*event) (change.Type, string) {
	return func(e *event) (change.Type, string) {
		if strings.Contains(e.body(), `"`+member+`"`) && !strings.Contains(e.subStatus+e.signature, "Created") {
			return typ, ""
		}
		return "", ""
	}
}

func restored(e *event) (change.Type, string) {
	if strings.Contains(strings.ToLower(e.operation), "/restore/") {
		return change.Rollback, rollback
	}
	return "", ""
}

func alsoDestructive(*event) (change.Type, string) { return "", destructive }

func deleted(e *event) (change.Type, string) {
	if strings.HasSuffix(strings.ToLower(e.operation), "/delete") {
		return "", destructive
	}
	return "", ""
}

func asRoot(*event) (change.Type, string) { return "", normalizers.HintRootActor }

// strongRole marks the assignment of a role that can do nearly everything.
func strongRole(e *event) (change.Type, string) {
	if e.assigned().strong && !strings.HasSuffix(strings.ToLower(e.operation), "/delete") {
		return "", privilege
	}
	return "", ""
}

func featureFlag(e *event) (change.Type, string) {
	if strings.Contains(strings.ToLower(e.resourceID), ".appconfig.featureflag") {
		return change.FeatureFlag, ""
	}
	return "", ""
}

// keys marks the operations on authorization rules, which are keys.
func keys(e *event) (change.Type, string) {
	op := strings.ToLower(e.operation)
	switch {
	case strings.Contains(op, "/listkeys/"):
		return change.AccessChange, secrets
	case strings.Contains(op, "/authorizationrules/"):
		return "", secrets
	}
	return "", ""
}

// silenced marks alert rules and action groups that were taken away.
func silenced(e *event) (change.Type, string) {
	op := strings.ToLower(e.operation)
	if strings.HasSuffix(op, "/delete") && (strings.Contains(op, "alert") || strings.Contains(op, "actiongroups")) {
		return "", noAudit
	}
	return "", ""
}

// sign is what makes a request risky, whatever else it asks for.
type sign struct {
	operation string // part of the operation's name, in lower case
	body      string // part of the request, without spaces
	hint      string
	says      string // for the page
}

var signs = []sign{
	{"", `"allowBlobPublicAccess":true`, public, "blobs may be public"},
	{"/containers/", `"publicAccess":"Blob"`, public, "a container anybody can read"},
	{"/containers/", `"publicAccess":"Container"`, public, "a container anybody can read"},
	{"", `"defaultAction":"Allow"`, public, "the resource's firewall lets everybody in"},
	{"firewallrules", `"0.0.0.0"`, public, "a firewall rule for all addresses"},
	{"networksecuritygroups", `"sourceAddressPrefix":"*"`, public, "an NSG rule that allows any source"},
	{"networksecuritygroups", `"sourceAddressPrefix":"Internet"`, public, "an NSG rule that allows any source"},
	{"networksecuritygroups", `"sourceAddressPrefix":"0.0.0.0/0"`, public, "an NSG rule that allows any source"},
	{"", `"supportsHttpsTrafficOnly":false`, normalizers.HintEncryptionDisabled, "plain HTTP is let in"},
	{"", `"httpsOnly":false`, normalizers.HintEncryptionDisabled, "plain HTTP is let in"},
	{"", `"minimumTlsVersion":"TLS1_0"`, normalizers.HintEncryptionDisabled, "TLS 1.0 is let in"},
	{"transparentdataencryption", `"Disabled"`, normalizers.HintEncryptionDisabled, "a database without encryption at rest"},
	{"blobservices", `"isVersioningEnabled":false`, noProtect, "no versions of blobs"},
	{"blobservices", `"deleteRetentionPolicy":{"enabled":false`, noProtect, "no soft delete"},
	{"keyvault", `"enableSoftDelete":false`, noProtect, "no soft delete"},
	{"keyvault", `"enablePurgeProtection":false`, noProtect, "no protection against purging"},
	{"auditingsettings", `"state":"Disabled"`, noAudit, "auditing of a database is off"},
}

// dangers are the hints of all signs in the request.
func (e *event) dangers() []string {
	body := strings.ReplaceAll(e.body(), " ", "")
	if body == "" {
		return nil
	}
	var hints []string
	op := strings.ToLower(e.operation)
	for i := range signs {
		s := &signs[i]
		if s.operation == "networksecuritygroups" && !strings.Contains(body, `"access":"Allow"`) {
			continue
		}
		if strings.Contains(op, s.operation) && strings.Contains(body, s.body) {
			hints = normalizers.AddHints(hints, s.hint)
		}
	}
	return hints
}
