package github

import (
	"fmt"

	"github.com/google/go-github/v60/github"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// grants are the roles whose giving is a risk.
func (b *builder) grant(role string) {
	switch role {
	case "admin", "maintain", "write", "push", "owner":
		b.hint(normalizers.HintPrivilegeGrant)
	}
}

// member says that somebody's access to a repository changed.
func (b *builder) member(p *github.MemberEvent) {
	b.c.Type = change.AccessChange
	login := p.GetMember().GetLogin()
	b.meta.Set("member", login)
	b.changes()
	role := b.get("changes.permission.to").String()
	if role == "" {
		role = b.get("changes.role_name.to").String()
	}
	b.meta.Set("role", role)
	switch b.action {
	case "added":
		b.c.Summary = fmt.Sprintf("%s added %s as collaborator on %s", b.actor(), login, b.repo)
	case "removed":
		b.c.Summary = fmt.Sprintf("%s removed %s as collaborator from %s", b.actor(), login, b.repo)
	default:
		b.c.Summary = fmt.Sprintf("%s changed the access of %s to %s", b.actor(), login, b.repo)
	}
	if role != "" && b.action != "removed" {
		b.c.Summary += " (" + role + ")"
		b.grant(role)
	}
}

// membership says that somebody joined or left a team.
func (b *builder) membership(p *github.MembershipEvent) {
	b.c.Type = change.AccessChange
	login, team := p.GetMember().GetLogin(), p.GetTeam().GetName()
	b.meta.Set("member", login)
	b.meta.Set("scope", p.GetScope())
	b.teamFacts(p.GetTeam())
	verb, preposition := "added", "to"
	if b.action == "removed" {
		verb, preposition = "removed", "from"
	}
	b.c.Summary = fmt.Sprintf("%s %s %s %s team %s", b.actor(), verb, login, preposition, team)
	b.grantIf(b.action == "added", p.GetTeam().GetPermission())
}

func (b *builder) grantIf(granted bool, role string) {
	if granted {
		b.grant(role)
	}
}

// organization says who belongs to an organization, or what became of it.
func (b *builder) organization(p *github.OrganizationEvent) {
	b.c.Type = change.AccessChange
	org := p.GetOrganization()
	login := p.GetMembership().GetUser().GetLogin()
	if login == "" {
		login = p.GetInvitation().GetLogin()
	}
	if login == "" {
		login = b.get("user.login").String()
	}
	b.resource("organization", idOf(org.GetID()), org.GetLogin(), org.GetHTMLURL())
	b.meta.Set("member", login)
	b.meta.Set("membership_role", p.GetMembership().GetRole())
	b.changes()
	switch b.action {
	case "renamed", "deleted":
		b.c.Type = change.ConfigChange
		b.c.Summary = fmt.Sprintf("%s %s organization %s", b.actor(), b.action, org.GetLogin())
		if b.action == "deleted" {
			b.hint(normalizers.HintDestructive)
		}
	case "member_removed":
		b.c.Summary = fmt.Sprintf("%s removed %s from organization %s", b.actor(), login, org.GetLogin())
	case "member_invited":
		b.c.Summary = fmt.Sprintf("%s invited %s to organization %s", b.actor(), login, org.GetLogin())
	default:
		b.c.Summary = fmt.Sprintf("%s: %s %s in organization %s", b.actor(), words(b.action), login, org.GetLogin())
	}
	b.grantIf(b.action == "member_added", p.GetMembership().GetRole())
}

func (b *builder) orgBlock(p *github.OrgBlockEvent) {
	b.c.Type = change.AccessChange
	org := p.GetOrganization()
	b.resource("organization", idOf(org.GetID()), org.GetLogin(), org.GetHTMLURL())
	b.meta.Set("blocked_user", p.GetBlockedUser().GetLogin())
	b.c.Summary = fmt.Sprintf("%s %s %s in organization %s", b.actor(), words(b.action), p.GetBlockedUser().GetLogin(), org.GetLogin())
}

// team says that a team changed, or what it may do in a repository.
func (b *builder) team(t *github.Team, action string) {
	b.c.Type = change.AccessChange
	b.teamFacts(t)
	b.changes()
	name := t.GetName()
	switch action {
	case "added_to_repository":
		b.c.Summary = fmt.Sprintf("%s gave team %s access to %s (%s)", b.actor(), name, b.repo, t.GetPermission())
		b.grant(t.GetPermission())
	case "removed_from_repository":
		b.c.Summary = fmt.Sprintf("%s took team %s's access to %s away", b.actor(), name, b.repo)
	case "deleted":
		b.c.Summary = fmt.Sprintf("%s deleted team %s", b.actor(), name)
		b.hint(normalizers.HintDestructive)
	default:
		b.c.Summary = fmt.Sprintf("%s %s team %s", b.actor(), words(action), name)
	}
}

func (b *builder) teamFacts(t *github.Team) {
	b.resource("team", idOf(t.GetID()), t.GetName(), t.GetHTMLURL())
	b.meta.Set("team_permission", t.GetPermission())
}

// deployKey says that a key may read, or also write, a repository.
func (b *builder) deployKey(k *github.Key) {
	b.c.Type = change.AccessChange
	b.at(k.GetCreatedAt())
	b.c.ExternalID = idOf(k.GetID())
	b.meta.Set("key_title", k.GetTitle())
	b.copy("read_only=key.read_only")
	b.c.Summary = fmt.Sprintf("%s %s deploy key '%s' of %s", b.actor(), words(b.action), normalizers.OneLine(k.GetTitle()), b.repo)
	if b.action == "created" && !b.get("key.read_only").Bool() {
		b.hint(normalizers.HintPrivilegeGrant)
	}
	if b.action == "deleted" {
		b.c.OccurredAt = change.Time{} // the payload has only when it was made
	}
}

// installation says what a GitHub App may do for an account. The events from
// before go-github's types come with nil.
func (b *builder) installation(i *github.Installation) {
	b.c.Type = change.AccessChange
	app, account := i.GetAppSlug(), b.get("installation.account.login").String()
	if app == "" {
		app = b.get("installation.app_id").String()
	}
	b.resource("app", b.get("installation.id").String(), app, b.get("installation.html_url").String())
	b.c.Account = account
	b.copy("installation_id=installation.id", "repository_selection=installation.repository_selection", "permissions=installation.permissions",
		"repositories_added=repositories_added.#.full_name", "repositories_removed=repositories_removed.#.full_name")
	what := "app " + app
	if hasAny(b.event, "repositories") {
		what = "repositories of app " + app
	}
	b.c.Summary = fmt.Sprintf("%s %s %s on %s", b.actor(), words(b.action), what, account)
	b.grantIf(b.action == "created" || b.action == "new_permissions_accepted", "admin")
}

// accessToken says what became of a request for a fine-grained token.
func (b *builder) accessToken(p *github.PersonalAccessTokenRequest) {
	b.c.Type = change.AccessChange
	b.c.ExternalID = idOf(p.GetID())
	b.resource("token", idOf(p.GetID()), "", "")
	b.at(p.GetCreatedAt())
	b.meta.Set("owner", p.GetOwner().GetLogin())
	b.copy("permissions_added=personal_access_token_request.permissions_added",
		"repository_selection=personal_access_token_request.repository_selection")
	b.c.Summary = fmt.Sprintf("%s %s a personal access token request of %s", b.actor(), words(b.action), p.GetOwner().GetLogin())
	b.grantIf(b.action == "approved", "write")
}
