package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// identity is who called.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
type identity struct {
	all                                                  gjson.Result
	kind, arn, userName, principalID, account, invokedBy string
	provider                                             string // of a federated identity
	onBehalfOf                                           string
	inScope                                              bool   // issued to a thing, such as a function
	issuer, sourceIdentity, mfa, federated               string // of the session
}

func parseIdentity(v gjson.Result) identity {
	id := identity{all: v}
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "type":
			id.kind = v.String()
		case "arn":
			id.arn = v.String()
		case "userName":
			id.userName = v.String()
		case "principalId":
			id.principalID = v.String()
		case "accountId":
			id.account = v.String()
		case "invokedBy":
			id.invokedBy = v.String()
		case "identityProvider":
			id.provider = v.String()
		case "onBehalfOf":
			id.onBehalfOf = v.Get("userId").String()
		case "inScopeOf":
			id.inScope = v.IsObject()
		case "sessionContext":
			id.session(v)
		}
		return true
	})
	return id
}

func (id *identity) session(v gjson.Result) {
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "sessionIssuer":
			id.issuer = v.Get("userName").String()
		case "sourceIdentity":
			id.sourceIdentity = v.String()
		case "attributes":
			id.mfa = v.Get("mfaAuthenticated").String()
		case "webIdFederationData":
			id.federated = v.Get("federatedProvider").String()
		}
		return true
	})
}

// byService reports whether an AWS service made the call, for itself or as a
// consequence of what somebody asked of it.
func (r *record) byService() bool {
	return r.identity.kind == "AWSService" || r.identity.invokedBy != ""
}

// actor names who called, as people would: the person behind an assumed role
// where the session carries a name, the role otherwise.
func (r *record) actor() (change.Actor, []string) {
	id := &r.identity
	a := change.Actor{ID: id.arn, Type: "user"}
	var hints []string
	switch id.kind {
	case "Root":
		a.Name = "root@" + id.account
		hints = append(hints, normalizers.HintRootActor)
	case "IAMUser":
		a.Name = id.userName
	case "AssumedRole", "Role":
		a.Name = first(id.sourceIdentity, afterLast(id.arn, '/'), id.issuer)
		switch {
		case isCI(id.federated), a.Name == "GitHubActions":
			a.Name, a.Type = first(id.issuer, a.Name), "ci_system"
		case machineSession(a.Name), strings.HasPrefix(id.issuer, "AWSServiceRole"), id.inScope:
			a.Name, a.Type = first(id.issuer, a.Name), "service"
		}
	case "IdentityCenterUser":
		a.Name = first(id.userName, id.onBehalfOf)
	case "AWSService":
		a.Name, a.Type = id.invokedBy, "service"
	case "AWSAccount":
		a.Name, a.Type = id.account, "service"
	default: // FederatedUser, SAMLUser, WebIdentityUser, Directory, Unknown, and none at all
		a.Name = first(id.userName, afterLast(id.principalID, ':'))
		if isCI(id.provider) {
			a.Type = "ci_system"
		}
	}
	if a.Name == "" || strings.HasPrefix(a.Name, "HIDDEN_DUE") {
		a.Name = first(afterLast(afterLast(id.arn, '/'), ':'), id.invokedBy, afterLast(id.principalID, ':'))
	}
	if a.Name != "" && a.Name == id.invokedBy {
		a.Type = "service"
	}
	a.ID = first(a.ID, id.principalID, a.Name)
	if a.Name == "" {
		a = change.Actor{}
	}
	return a, hints
}

// isCI reports whether an identity provider is one that builds come from.
func isCI(provider string) bool {
	for _, host := range []string{"token.actions.githubusercontent.com", "gitlab", "bitbucket.org", "circleci", "buildkite", "vstoken", "app.terraform.io"} {
		if provider != "" && strings.Contains(provider, host) {
			return true
		}
	}
	return false
}

// machineSession reports whether a session name was made by a machine: an
// instance id, a long number, or AWS's own names.
func machineSession(name string) bool {
	for _, start := range []string{"AWS", "aws-", "eks-", "botocore-session-", "terraform-run-"} {
		if strings.HasPrefix(name, start) {
			return true
		}
	}
	return strings.HasPrefix(name, "i-") && len(name) >= 10 || digits(name) == len(name) && len(name) >= 8
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
