package cloudtrail

import (
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// byService reports whether an AWS service made the call, for itself or as a
// consequence of what somebody asked of it.
func (r *record) byService() bool {
	return r.identity.Get("type").Str == "AWSService" || r.identity.Get("invokedBy").Str != ""
}

// actor names who called, as people would: the person behind an assumed role
// where the session carries a name, the role otherwise.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
func (r *record) actor() (change.Actor, []string) {
	id := r.identity
	arn := id.Get("arn").String()
	a := change.Actor{ID: arn, Type: "user"}
	var hints []string
	switch id.Get("type").String() {
	case "Root":
		a.Name = "root@" + id.Get("accountId").String()
		hints = append(hints, normalizers.HintRootActor)
	case "IAMUser":
		a.Name = id.Get("userName").String()
	case "AssumedRole", "Role":
		a.Name = id.Get("sessionContext.sourceIdentity").String()
		if a.Name == "" {
			a.Name = afterLast(arn, '/')
		}
		if a.Name == "" {
			a.Name = id.Get("sessionContext.sessionIssuer.userName").String()
		}
		role := id.Get("sessionContext.sessionIssuer.userName").String()
		switch {
		case strings.Contains(id.Get("sessionContext.webIdFederationData.federatedProvider").String(), "token.actions.githubusercontent.com"),
			strings.Contains(id.Get("sessionContext.webIdFederationData.federatedProvider").String(), "gitlab"),
			a.Name == "GitHubActions":
			a.Name, a.Type = first(role, a.Name), "ci_system"
		case machineSession(a.Name), strings.HasPrefix(role, "AWSServiceRole"), id.Get("inScopeOf").Exists():
			a.Name, a.Type = first(role, a.Name), "service"
		}
	case "IdentityCenterUser":
		a.Name = first(id.Get("userName").String(), id.Get("onBehalfOf.userId").String())
	case "AWSService":
		a.Name, a.Type = id.Get("invokedBy").String(), "service"
	case "AWSAccount":
		a.Name, a.Type = id.Get("accountId").String(), "service"
	default: // FederatedUser, SAMLUser, WebIdentityUser, Directory, Unknown, and none at all
		a.Name = first(id.Get("userName").String(), afterLast(id.Get("principalId").String(), ':'))
		if id.Get("type").String() == "WebIdentityUser" && strings.Contains(id.Get("identityProvider").String(), "token.actions.githubusercontent.com") {
			a.Type = "ci_system"
		}
	}
	if a.Name == "" || strings.HasPrefix(a.Name, "HIDDEN_DUE") {
		a.Name = first(afterLast(afterLast(arn, '/'), ':'), id.Get("invokedBy").String(), afterLast(id.Get("principalId").String(), ':'))
	}
	if a.Name != "" && a.Name == id.Get("invokedBy").String() {
		a.Type = "service"
	}
	a.ID = first(a.ID, id.Get("principalId").String(), a.Name)
	if a.Name == "" {
		a = change.Actor{}
	}
	return a, hints
}

// machineSession reports whether a session name was made by a machine: an
// instance id, a long number, or AWS's own names.
func machineSession(name string) bool {
	switch {
	case strings.HasPrefix(name, "i-") && len(name) >= 10,
		strings.HasPrefix(name, "AWS"),
		strings.HasPrefix(name, "aws-"),
		strings.HasPrefix(name, "eks-"),
		strings.HasPrefix(name, "terraform-run-"),
		strings.HasPrefix(name, "botocore-session-"):
		return true
	}
	return digits(name) == len(name) && len(name) >= 8
}

func afterLast(s string, sep byte) string {
	return s[strings.LastIndexByte(s, sep)+1:]
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
