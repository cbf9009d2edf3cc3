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
	return object(member(e.properties, "requestbody", "requestBody")).Raw
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

// dangers are signs in the request, whatever the operation.
func (e *event) dangers() []string {
	body := strings.ReplaceAll(e.body(), " ", "")
	if body == "" {
		return nil
	}
	op := strings.ToLower(e.operation)
	open := strings.Contains(body, `"allowBlobPublicAccess":true`) ||
		(strings.Contains(op, "firewallrules") && strings.Contains(body, `"0.0.0.0"`)) ||
		(strings.Contains(op, "networksecuritygroups") && strings.Contains(body, `"Allow"`) &&
			(strings.Contains(body, `"sourceAddressPrefix":"*"`) || strings.Contains(body, `"sourceAddressPrefix":"Internet"`) ||
				strings.Contains(body, `"sourceAddressPrefix":"0.0.0.0/0"`)))
	if open {
		return []string{public}
	}
	return nil
}
