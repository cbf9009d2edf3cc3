package azure

import (
	"strings"

	"github.com/tidwall/gjson"
)

// role is a built-in role of Azure.
// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
type role struct {
	name   string
	strong bool // can do nearly everything, or give it away
}

// roles are the built-in roles one meets most, by their ids, which are the
// same in every tenant.
var roles = map[string]role{
	"8e3af657-a8ff-443c-a75c-2fe8c4bcb635": {"Owner", true},
	"b24988ac-6180-42a0-ab88-20f7382dd24c": {"Contributor", true},
	"acdd72a7-3385-48ef-bd42-f606fba81ae7": {"Reader", false},
	"18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": {"User Access Administrator", true},
	"f58310d9-a9f6-439a-9e8d-f62e7b41a168": {"Role Based Access Control Administrator", true},
	"9980e02c-c2be-4d73-94e8-173b1dc7cf3c": {"Virtual Machine Contributor", false},
	"1c0163c0-47e6-4577-8991-ea5c82e286e4": {"Virtual Machine Administrator Login", true},
	"4d97b98b-1d4f-4787-a291-c67834d212e7": {"Network Contributor", false},
	"17d1049b-9a84-46fb-8f53-869881c3d3ab": {"Storage Account Contributor", false},
	"b7e6dc6d-f1e8-4753-8033-0f276bb0955b": {"Storage Blob Data Owner", true},
	"ba92f5b4-2d11-453d-a403-e96b0029c9fe": {"Storage Blob Data Contributor", false},
	"2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": {"Storage Blob Data Reader", false},
	"00482a5a-887f-4fb3-b363-3b7fe8e74483": {"Key Vault Administrator", true},
	"b86a8fe4-44ce-4948-aee5-eccb2c155cd7": {"Key Vault Secrets Officer", false},
	"4633458b-17de-408a-b874-0445c86b69e6": {"Key Vault Secrets User", false},
	"14b46e9e-c2b7-41b4-b07b-48a6ebf60603": {"Key Vault Crypto Officer", false},
	"f25e0fa2-a7c8-4377-a976-54943a77a395": {"Key Vault Contributor", false},
	"7f951dda-4ed3-4680-a7ca-43fe172d538d": {"AcrPull", false},
	"8311e382-0749-4cb8-b61a-304f252e45ec": {"AcrPush", false},
	"0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8": {"Azure Kubernetes Service Cluster Admin Role", true},
	"4abbcc35-e782-43d8-92c5-2d3f1bd2253f": {"Azure Kubernetes Service Cluster User Role", false},
	"b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b": {"Azure Kubernetes Service RBAC Cluster Admin", true},
	"749f88d5-cbae-40b8-bcfc-e573ddc772fa": {"Monitoring Contributor", false},
	"43d0d8ad-25c7-4714-9337-8ba259a9fe05": {"Monitoring Reader", false},
	"fb1c8493-542b-48eb-b624-b4c8fea62acd": {"Security Admin", true},
	"9b7fa17d-e63e-47b0-bb0a-15c516ac86ec": {"SQL DB Contributor", false},
	"de139f84-1756-47ae-9be6-808fbbe84772": {"Website Contributor", false},
}

// assignment is what a record says about who got which role where.
type assignment struct {
	role      string // its name, or its id
	strong    bool
	principal string // an id, with its kind: Azure does not tell the name here
	scope     string
}

// assigned reads a role assignment: the request has it, and when one is
// deleted, the answer.
func (e *event) assigned() *assignment {
	if e.assignment == nil {
		e.assignment = e.readAssignment()
	}
	return e.assignment
}

func (e *event) readAssignment() *assignment {
	body := member(e.request, "properties", "Properties")
	if !body.IsObject() {
		body = member(object(e.response), "properties", "Properties")
	}
	a := &assignment{scope: e.resourceID}
	if i := indexFold(a.scope, "/providers/microsoft.authorization/"); i >= 0 {
		a.scope = a.scope[:i]
	}
	id := strings.ToLower(lastSegment(text(body, "roleDefinitionId", "RoleDefinitionId")))
	a.role = id
	if known, ok := roles[id]; ok {
		a.role, a.strong = known.name, known.strong
	}
	a.principal = text(body, "principalId", "PrincipalId")
	if kind := text(body, "principalType", "PrincipalType"); kind != "" && a.principal != "" {
		a.principal = spaced(kind) + " " + a.principal
	}
	return a
}

// text returns the first of the members that is a string.
func text(v gjson.Result, names ...string) string {
	for _, name := range names {
		if s := v.Get(name); s.Type == gjson.String && s.Str != "" {
			return s.Str
		}
	}
	return ""
}

// scopeName says what a scope is: "resource group rg-prod", "VM web-1", "the
// subscription".
func scopeName(id string) string {
	segments := strings.Split(strings.Trim(id, "/"), "/")
	switch {
	case id == "" || id == "/":
		return "the whole directory"
	case len(segments) == 2 && strings.EqualFold(segments[0], "subscriptions"):
		return "the subscription"
	case len(segments) == 4 && strings.EqualFold(segments[2], "resourcegroups"):
		return "resource group " + calm(segments[3])
	case indexFold(id, "/managementgroups/") >= 0:
		return "management group " + calm(lastSegment(id))
	}
	return noun(shortType(typeOf(id)), typeOf(id)) + " " + calm(lastSegment(id))
}

// indexFold is strings.Index without regard to case, for ASCII.
func indexFold(s, lower string) int { return strings.Index(strings.ToLower(s), lower) }
