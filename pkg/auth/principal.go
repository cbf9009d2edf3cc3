package auth

import (
	"context"
	"slices"
)

// Scope is a right that a key carries.
type Scope = string

// The scopes a key can have.
const (
	ChangesRead       Scope = "changes:read"
	ChangesWrite      Scope = "changes:write"
	ChangeEventsWrite Scope = "change-events:write"
	EventsRead        Scope = "events:read"
	EventsWrite       Scope = "events:write"
	SourcesAdmin      Scope = "sources:admin"
	KeysAdmin         Scope = "keys:admin"
	AuditRead         Scope = "audit:read" // also known as the "Security Logs" scope
	API               Scope = "api"        // all but what administers
	Admin             Scope = "admin"      // everything
)

// Scopes lists every scope, in the order documents show them.
func Scopes() []Scope {
	return []Scope{
		ChangesRead, ChangesWrite, ChangeEventsWrite, EventsRead, EventsWrite,
		SourcesAdmin, KeysAdmin, AuditRead, API, Admin,
	}
}

// The roles a key's user can have.
const (
	SiteAdmin = "site_admin"
	PowerUser = "power_user"
	Member    = "member"
)

// Roles lists every role.
func Roles() []string { return []string{SiteAdmin, PowerUser, Member} }

// RoleScopes returns the scopes of a person who signed in with an account and
// has the role.
func RoleScopes(role string) []Scope {
	switch role {
	case SiteAdmin:
		return []Scope{Admin}
	case PowerUser:
		return []Scope{API, SourcesAdmin}
	case Member:
		return []Scope{ChangesRead, ChangesWrite, ChangeEventsWrite, EventsRead, EventsWrite}
	default:
		return nil
	}
}

// Principal is who is calling.
type Principal struct {
	Org       string
	KeyID     string // of the key; usr_... of a person who signed in with an account
	SessionID string // of the session; empty for who shows a key with each request
	Scopes    []Scope
	Role      string
	Name      string
	Mail      string
	Shown     Digest // of the key or cookie that proved it
}

// Allows reports whether the principal may do what scope names. The scope api
// grants all but sources:admin, keys:admin and admin; admin grants everything.
func (p Principal) Allows(scope Scope) bool {
	if slices.Contains(p.Scopes, Admin) || slices.Contains(p.Scopes, scope) {
		return true
	}
	switch scope {
	case SourcesAdmin, KeysAdmin, Admin:
		return false
	default:
		return slices.Contains(p.Scopes, API)
	}
}

// HasRole reports whether the principal has one of the roles. No scope stands
// in for a role: what only some people may see is not opened by a key's rights.
func (p Principal) HasRole(roles ...string) bool { return slices.Contains(roles, p.Role) }

type principalKey struct{}

// WithPrincipal returns a context that says who is calling.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns who is calling; false when nobody was authenticated.
func PrincipalFrom(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// Org returns the org of who is calling, or "" when nobody was authenticated:
// a query for that org finds nothing.
func Org(ctx context.Context) string {
	p, _ := PrincipalFrom(ctx)
	return p.Org
}
