package cloudtrail

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// dangers are signs in the parameters and the caller, whatever the call.
func (r *record) dangers() []string {
	var hints []string
	add := func(is bool, hint string) {
		if is {
			hints = append(hints, hint)
		}
	}
	if r.request.IsObject() {
		if r.grants() {
			add(r.exposes(), public)
			add(r.policy(everybody), public)
			add(r.privileges(), privilege)
		}
		// What is new has not lost a protection that it never had.
		fresh := strings.HasPrefix(r.name, "Create") || strings.HasPrefix(r.name, "Run") || strings.HasPrefix(r.name, "Restore")
		if r.mentions("rotection") || r.mentions("disableApi") {
			add(!fresh && (r.is("deletionProtection", false) || r.is("deletionProtectionEnabled", false) || r.is("disableApiTermination", false) ||
				r.is("disableApiStop", false) || r.is("enableTerminationProtection", false)), noProtect)
		}
		add(r.unencrypted(), noCrypt)
		add(r.is("skipFinalSnapshot", true) || r.is("forceDeleteWithoutRecovery", true), destructive)
	}
	add(r.fromMFALess(), noMFA)
	add(r.inEmergency(), breakGlass)
	return hints
}

// mentions reports whether the request has a word anywhere: a quick no before
// a closer look.
func (r *record) mentions(word string) bool { return strings.Contains(r.request.Raw, word) }

// grants reports whether the call gives something rather than take it away.
func (r *record) grants() bool {
	for _, verb := range []string{"Revoke", "Remove", "Delete", "Detach", "Disassociate", "Disable"} {
		if strings.HasPrefix(r.name, verb) {
			return false
		}
	}
	return true
}

// exposes reports whether the call opens something to the whole world.
func (r *record) exposes() bool {
	switch r.service {
	case "ec2":
		switch {
		case strings.HasSuffix(r.name, "SnapshotAttribute"), strings.HasSuffix(r.name, "ImageAttribute"):
			return r.mentions(`"add"`) && r.mentions(`"all"`)
		case strings.Contains(r.name, "SecurityGroup") && !strings.HasSuffix(r.name, "Egress"):
			return r.anywhere()
		case strings.Contains(r.name, "NetworkAclEntry"):
			return r.anywhere() && r.request.Get("ruleAction").String() != "deny" && !r.is("egress", true)
		}
	case "rds":
		return r.is("publiclyAccessible", true) ||
			strings.HasSuffix(r.name, "SnapshotAttribute") && text(r.request.Get("valuesToAdd")) == "all"
	case "s3":
		return r.mentions("AllUsers") || r.mentions("AuthenticatedUsers") || r.mentions(`"public-read`) || r.mentions("PublicAccessBlockConfiguration") && r.blocksLess()
	case "eks":
		cidrs := r.request.Get("resourcesVpcConfig.publicAccessCidrs")
		return r.is("resourcesVpcConfig.endpointPublicAccess", true) && (!cidrs.Exists() || strings.Contains(cidrs.Raw, `"0.0.0.0/0"`) || len(cidrs.Array()) == 0)
	case "lambda":
		if r.request.Get("authType").String() == "NONE" || r.request.Get("functionUrlAuthType").String() == "NONE" {
			return true
		}
	}
	return r.is("publiclyAccessible", true) || r.request.Get("principal").String() == "*"
}

// anywhere reports whether the request names the whole internet.
func (r *record) anywhere() bool { return r.mentions(`"0.0.0.0/0"`) || r.mentions(`"::/0"`) }

// blocksLess reports whether a block of public access lets something through.
func (r *record) blocksLess() bool {
	less := false
	r.request.Get("PublicAccessBlockConfiguration").ForEach(func(_, block gjson.Result) bool {
		less = block.String() == "false"
		return !less
	})
	return less
}

// privileges reports whether the call gives somebody everything, or nearly.
func (r *record) privileges() bool {
	if slices.ContainsFunc([]string{"policy/AdministratorAccess", "policy/PowerUserAccess", "policy/IAMFullAccess", "policy/AmazonEKSClusterAdminPolicy"}, r.mentions) {
		return true
	}
	if r.name == "AddUserToGroup" && strings.Contains(strings.ToLower(r.request.Get("groupName").String()), "admin") {
		return true
	}
	if r.name == "UpdateAssumeRolePolicy" || r.name == "CreateRole" {
		return r.policy(r.trustsOthers)
	}
	return r.policy(everything)
}

// trustsOthers reports whether a statement is about somebody in another account.
func (r *record) trustsOthers(statement gjson.Result) bool {
	if r.account == "" {
		return false
	}
	others := false
	check := func(_, who gjson.Result) bool {
		account := who.Str
		if parts := strings.SplitN(account, ":", 6); len(parts) == 6 {
			account = parts[4]
		}
		others = len(account) == 12 && digits(account) == 12 && account != r.account
		return !others
	}
	if who := statement.Get("Principal.AWS"); who.IsArray() {
		who.ForEach(check)
	} else {
		check(who, who)
	}
	return others
}

// unencrypted reports whether the call leaves data without encryption.
func (r *record) unencrypted() bool {
	if !r.mentions("ncrypt") && !r.mentions("sSESpecification") && !r.mentions("KmsMasterKeyId") {
		return false
	}
	return r.is("storageEncrypted", false) || r.is("transitEncryptionEnabled", false) || r.is("atRestEncryptionEnabled", false) ||
		r.is("sSESpecification.enabled", false) || r.is("encryptionAtRestOptions.enabled", false) ||
		r.request.Get("attributes.KmsMasterKeyId").Raw == `""` || r.is("attributes.SqsManagedSseEnabled", false) ||
		r.request.Get("attributeName").String() == "KmsMasterKeyId" && r.request.Get("attributeValue").String() == ""
}

// policyKeys are where requests have a policy.
var policyKeys = []string{
	"policyDocument", "policy", "policyInJson", "bucketPolicy", "resourcePolicy", "assumeRolePolicyDocument", "policyText", "content",
	"inlinePolicy", "attributes.Policy", "attributeValue",
}

// policy reports whether a statement of a policy in the request is allowed and
// as said, without a condition. Policies come as JSON in a string, or as an object.
func (r *record) policy(is func(statement gjson.Result) bool) bool {
	if !r.mentions("Statement") {
		return false
	}
	for _, key := range policyKeys {
		policy := r.request.Get(key)
		if policy.Type == gjson.String && strings.HasPrefix(strings.TrimSpace(policy.Str), "{") {
			policy = gjson.Parse(policy.Str)
		}
		statements := policy.Get("Statement")
		if statements.IsObject() && allows(statements) && is(statements) {
			return true
		}
		found := false
		statements.ForEach(func(_, statement gjson.Result) bool {
			found = allows(statement) && is(statement)
			return !found
		})
		if found {
			return true
		}
	}
	return false
}

func allows(statement gjson.Result) bool {
	return statement.Get("Effect").String() == "Allow" && !statement.Get("Condition").Exists()
}

// everybody reports whether a statement is about anybody at all.
func everybody(statement gjson.Result) bool {
	who := statement.Get("Principal")
	return star(who) || star(who.Get("AWS"))
}

// everything reports whether a statement lets do anything at all, with users
// and roles among it: whoever may change those may become anybody.
func everything(statement gjson.Result) bool {
	return star(statement.Get("Action")) || statement.Get("NotAction").Exists()
}

// star reports whether a value, or one of a list, stands for all.
func star(v gjson.Result) bool {
	all := func(s string) bool { return s == "*" || s == "*:*" || s == "iam:*" }
	if v.Type == gjson.String {
		return all(v.Str)
	}
	found := false
	if v.IsArray() {
		v.ForEach(func(_, item gjson.Result) bool {
			found = item.Type == gjson.String && all(item.Str)
			return !found
		})
	}
	return found
}

// fromMFALess reports whether a person in the console went without a second
// factor; for keys and services the field says nothing.
func (r *record) fromMFALess() bool {
	return r.fromConsole && r.identity.mfa == "false" && r.identity.kind != "AssumedRole"
}

// inEmergency reports whether the caller's role or user is one that is kept
// for emergencies, by its name.
func (r *record) inEmergency() bool {
	arn := r.identity.arn
	if len(arn) < len("breakglass") {
		return false
	}
	arn = strings.ToLower(arn)
	for _, word := range []string{"breakglass", "break-glass", "break_glass", "firefighter", "emergency"} {
		if strings.Contains(arn, word) {
			return true
		}
	}
	return false
}
