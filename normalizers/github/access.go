package github

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// powers orders the roles of a repository, an organization or a team.
var powers = map[string]int{
	"read": 1, "pull": 1, "triage": 2, "write": 3, "push": 3, "maintain": 4, "admin": 5, "owner": 5,
}

// grant hints at a role that was given, when one can change code with it and
// could not with the one before.
func (b *builder) grant(role, before string) {
	if powers[role] >= powers["write"] && powers[role] > powers[before] {
		b.hint(normalizers.HintPrivilegeGrant)
	}
}

// member says that somebody's access to a repository changed.
func (b *builder) member(p *github.MemberEvent) {
	login := p.GetMember().GetLogin()
	b.meta.Set("member", login)
	edits := b.changes("")
	role, ok := find(edits, "role_name")
	if permission, found := find(edits, "permission"); found && (!ok || permission.to != "") {
		role = permission
	}
	if old, found := find(edits, "old_permission"); found && role.from == "" {
		role.from = old.from
	}
	b.meta.Set("role", role.to)
	switch b.action {
	case "added":
		b.c.Summary = fmt.Sprintf("%s added %s as collaborator on %s", b.actor(), login, b.repo)
		if login == b.c.ChangedBy { // having been invited
			b.c.Summary = fmt.Sprintf("%s became a collaborator on %s", login, b.repo)
		}
		if role.to != "" {
			b.c.Summary += " (" + role.to + ")"
		}
		b.grant(role.to, "")
	case "removed":
		b.c.Summary = fmt.Sprintf("%s removed %s as collaborator from %s", b.actor(), login, b.repo)
		if login == b.c.ChangedBy {
			b.c.Summary = fmt.Sprintf("%s left %s, where they were a collaborator", login, b.repo)
		}
	default:
		role.name = "role"
		b.c.Summary = fmt.Sprintf("%s changed %s's access to %s%s", b.actor(), login, b.repo, sentence([]edit{role}))
		b.grant(role.to, role.from)
	}
}

// membership says that somebody joined or left a team.
func (b *builder) membership(p *github.MembershipEvent) {
	login, team := p.GetMember().GetLogin(), p.GetTeam().GetName()
	b.meta.Set("member", login)
	b.meta.Set("scope", p.GetScope())
	b.teamFacts(p.GetTeam())
	if b.action == "removed" {
		b.c.Summary = fmt.Sprintf("%s removed %s from team %s", b.actor(), login, team)
	} else {
		b.c.Summary = fmt.Sprintf("%s added %s to team %s", b.actor(), login, team)
		b.grant(p.GetTeam().GetPermission(), "")
	}
	b.inOrganization()
}

// inOrganization names the organization at the end of a summary.
func (b *builder) inOrganization() {
	if b.org != "" {
		b.c.Summary += " in organization " + b.org
	}
}

// organization says who belongs to an organization, or what became of it.
func (b *builder) organization(p *github.OrganizationEvent) {
	org := p.GetOrganization()
	login, role := p.GetMembership().GetUser().GetLogin(), p.GetMembership().GetRole()
	for _, other := range []string{p.GetInvitation().GetLogin(), b.get("user.login").String(), "somebody"} {
		if login == "" {
			login = other
		}
	}
	if role == "" {
		role = p.GetInvitation().GetRole()
	}
	b.resource("organization", idOf(org.GetID()), org.GetLogin(), org.GetHTMLURL())
	if login != "somebody" {
		b.meta.Set("member", login)
	}
	b.meta.Set("membership_role", role)
	edits := b.changes("organization")
	own := login == b.c.ChangedBy
	as := ""
	if role == "admin" {
		as = " as owner"
	}
	switch b.action {
	case "renamed":
		b.c.Type = change.ConfigChange
		old, _ := find(edits, "login")
		b.c.Summary = fmt.Sprintf("%s renamed organization %s to %s", b.actor(), old.from, org.GetLogin())
	case "deleted":
		b.c.Type = change.ConfigChange
		b.c.Summary = fmt.Sprintf("%s deleted organization %s", b.actor(), org.GetLogin())
		b.hint(normalizers.HintDestructive)
	case "member_added":
		b.c.Summary = fmt.Sprintf("%s added %s to organization %s%s", b.actor(), login, org.GetLogin(), as)
		if own {
			b.c.Summary = fmt.Sprintf("%s joined organization %s%s", login, org.GetLogin(), as)
		}
		b.grant(role, "")
	case "member_removed":
		b.c.Summary = fmt.Sprintf("%s removed %s from organization %s", b.actor(), login, org.GetLogin())
		if own {
			b.c.Summary = fmt.Sprintf("%s left organization %s", login, org.GetLogin())
		}
	case "member_invited":
		b.c.Summary = fmt.Sprintf("%s invited %s to organization %s%s", b.actor(), login, org.GetLogin(), as)
		b.grant(role, "")
	default:
		b.c.Summary = fmt.Sprintf("%s: %s %s in organization %s", b.actor(), words(b.action), login, org.GetLogin())
	}
}

func (b *builder) orgBlock(p *github.OrgBlockEvent) {
	org := p.GetOrganization()
	b.resource("organization", idOf(org.GetID()), org.GetLogin(), org.GetHTMLURL())
	b.meta.Set("blocked_user", p.GetBlockedUser().GetLogin())
	b.c.Summary = fmt.Sprintf("%s %s %s", b.actor(), words(b.action), p.GetBlockedUser().GetLogin())
	b.inOrganization()
}

func (b *builder) teamEvent(p *github.TeamEvent)  { b.team(p.GetTeam(), b.action) }
func (b *builder) teamAdd(p *github.TeamAddEvent) { b.team(p.GetTeam(), "added_to_repository") }

// team says that a team changed, or what it may do in a repository.
func (b *builder) team(t *github.Team, action string) {
	b.teamFacts(t)
	edits := b.changes("team")
	name := t.GetName()
	switch action {
	case "added_to_repository":
		b.c.Summary = fmt.Sprintf("%s gave team %s access to %s (%s)", b.actor(), name, b.repo, t.GetPermission())
		b.grant(t.GetPermission(), "")
	case "removed_from_repository":
		b.c.Summary = fmt.Sprintf("%s took access to %s away from team %s", b.actor(), b.repo, name)
	case "deleted":
		b.c.Summary = fmt.Sprintf("%s deleted team %s", b.actor(), name)
		b.inOrganization()
		b.hint(normalizers.HintDestructive)
	case "edited":
		b.teamEdited(name, edits)
	default:
		b.c.Summary = fmt.Sprintf("%s %s team %s", b.actor(), words(action), name)
		b.inOrganization()
	}
}

// teamEdited says which setting of a team changed: with a repository, it is
// what the team may do there.
func (b *builder) teamEdited(name string, edits []edit) {
	if !b.get("changes.repository").Exists() {
		b.c.Summary = fmt.Sprintf("%s edited team %s%s", b.actor(), name, sentence(edits))
		return
	}
	before, now := b.strongest("changes.repository.permissions.from."), b.strongest("repository.permissions.")
	b.meta.Set("permission_from", before)
	b.meta.Set("permission_to", now)
	b.c.Summary = fmt.Sprintf("%s changed the access of team %s to %s%s", b.actor(), name, b.repo, sentence([]edit{{"permission", before, now}}))
	b.grant(now, before)
}

// strongest returns the strongest of the permissions that are true.
func (b *builder) strongest(path string) string {
	for _, name := range []string{"admin", "maintain", "push", "triage", "pull"} {
		if b.get(path + name).Bool() {
			return name
		}
	}
	return ""
}

func (b *builder) teamFacts(t *github.Team) {
	b.resource("team", idOf(t.GetID()), t.GetName(), t.GetHTMLURL())
	b.meta.Set("team_permission", t.GetPermission())
}

// deployKey says that a key may read, or also write, a repository.
func (b *builder) deployKey(p *github.DeployKeyEvent) {
	k := p.GetKey()
	b.c.ExternalID = idOf(k.GetID())
	b.meta.Set("key_title", k.GetTitle())
	b.copy("read_only=key.read_only")
	title := normalizers.OneLine(k.GetTitle())
	if b.action == "deleted" {
		b.c.Summary = fmt.Sprintf("%s removed deploy key '%s' from %s", b.actor(), title, b.repo)
		return // the payload has only when it was made
	}
	b.at(k.GetCreatedAt())
	access := "write"
	if b.get("key.read_only").Bool() {
		access = "read-only"
	}
	b.c.Summary = fmt.Sprintf("%s added deploy key '%s' with %s access to %s", b.actor(), title, access, b.repo)
	b.grant(access, "")
}

// installation says that a GitHub App was installed for an account, or may do
// something else there now.
func (b *builder) installation() {
	app, account := b.app()
	where := app + " on " + account
	switch b.action {
	case "created":
		b.atPath("installation.created_at")
		b.c.Summary = fmt.Sprintf("%s installed %s (%s)", b.actor(), where, b.repositories("repositories"))
		b.hint(normalizers.HintPrivilegeGrant)
	case "deleted":
		b.c.Summary = fmt.Sprintf("%s uninstalled %s from %s", b.actor(), app, account)
	case "suspend":
		b.atPath("installation.suspended_at")
		b.c.Summary = fmt.Sprintf("%s suspended %s", b.actor(), where)
	case "unsuspend":
		b.c.Summary = fmt.Sprintf("%s let %s work again", b.actor(), where)
	case "new_permissions_accepted":
		b.atPath("installation.updated_at")
		b.c.Summary = fmt.Sprintf("%s accepted new permissions of %s", b.actor(), where)
		b.hint(normalizers.HintPrivilegeGrant)
	default:
		b.c.Summary = fmt.Sprintf("%s: %s %s", b.actor(), words(b.action), where)
	}
}

// installationRepositories says which repositories a GitHub App may use.
func (b *builder) installationRepositories() {
	app, account := b.app()
	if b.action == "removed" {
		b.c.Summary = fmt.Sprintf("%s took access to %s away from %s on %s", b.actor(), b.repositories("repositories_removed"), app, account)
		return
	}
	b.c.Summary = fmt.Sprintf("%s gave %s on %s access to %s", b.actor(), app, account, b.repositories("repositories_added"))
	b.hint(normalizers.HintPrivilegeGrant)
}

// app keeps what an event says about an installed app, and names it and the
// account that has it.
func (b *builder) app() (name, account string) {
	name, account = b.get("installation.app_slug").String(), b.get("installation.account.login").String()
	if name == "" {
		name = b.get("installation.app_id").String()
	}
	b.resource("app", b.get("installation.id").String(), name, b.get("installation.html_url").String())
	b.c.Account = account
	b.copy("installation_id=installation.id", "app_id=installation.app_id", "repository_selection=installation.repository_selection",
		"permissions=installation.permissions", "repositories=repositories.#.full_name",
		"repositories_added=repositories_added.#.full_name", "repositories_removed=repositories_removed.#.full_name",
		"requester=requester.login")
	return "app " + name, account
}

// repositories names a few repositories of a list, or says how many there are.
func (b *builder) repositories(member string) string {
	if b.action == "created" && b.get("installation.repository_selection").Str == "all" {
		return "all repositories"
	}
	var names []string
	for _, name := range b.get(member + ".#.full_name").Array() {
		names = append(names, name.String())
	}
	if len(names) == 0 || len(names) > maxEdits {
		return counted(len(names), "repository", "repositories")
	}
	return strings.Join(names, ", ")
}

func (b *builder) installationTarget(p *github.InstallationTargetEvent) {
	edits := b.changes("account")
	account := p.GetAccount().GetLogin()
	b.resource("account", idOf(p.GetAccount().GetID()), account, p.GetAccount().GetHTMLURL())
	b.c.Account = account
	old, ok := find(edits, "login")
	if !ok {
		old, _ = find(edits, "slug")
	}
	b.meta.Set("target_type", p.GetTargetType())
	b.c.Summary = fmt.Sprintf("%s %s %s %s to %s", b.actor(), words(b.action), strings.ToLower(p.GetTargetType()), old.from, account)
}

func (b *builder) appAuthorization(*github.GitHubAppAuthorizationEvent) {
	b.c.Summary = fmt.Sprintf("%s %s the authorization of a GitHub App to act for them", b.actor(), words(b.action))
}

// accessToken says what became of a request for a fine-grained token.
func (b *builder) accessToken(p *github.PersonalAccessTokenRequestEvent) {
	r := p.GetPersonalAccessTokenRequest()
	owner := r.GetOwner().GetLogin()
	b.c.ExternalID = idOf(r.GetID())
	b.c.CorrelationID = "github:token_request:" + idOf(r.GetID())
	b.resource("token", idOf(r.GetID()), b.get("personal_access_token_request.token_name").String(), "")
	b.meta.Set("owner", owner)
	b.copy("permissions_added=personal_access_token_request.permissions_added",
		"permissions_upgraded=personal_access_token_request.permissions_upgraded",
		"repository_selection=personal_access_token_request.repository_selection",
		"repositories=personal_access_token_request.repositories.#.full_name",
		"token_expires_at=personal_access_token_request.token_expires_at")
	if b.action == "created" {
		b.at(r.GetCreatedAt())
		b.c.Summary = owner + " asked for a fine-grained token"
	} else {
		b.c.Summary = fmt.Sprintf("%s %s %s's request for a fine-grained token", b.actor(), words(b.action), owner)
	}
	b.inOrganization()
	if b.action == "approved" {
		b.hint(normalizers.HintPrivilegeGrant)
	}
}

// user says that somebody got an account of GitHub Enterprise Server, or lost it.
func (b *builder) user(p *github.UserEvent) {
	b.resource("user", idOf(p.GetUser().GetID()), p.GetUser().GetLogin(), p.GetUser().GetHTMLURL())
	b.c.Summary = fmt.Sprintf("%s %s user %s", b.actor(), words(b.action), p.GetUser().GetLogin())
}

// enterprise says whether GitHub Enterprise Server lets anybody read.
func (b *builder) enterprise() {
	b.c.Summary = fmt.Sprintf("%s changed a setting of the enterprise: %s", b.actor(), words(b.action))
	if b.action == "anonymous_access_enabled" {
		b.hint(normalizers.HintPublicExposure)
	}
}

// exemption says what became of a request to be let past a rule once.
func (b *builder) exemption() {
	const path = "exemption_request."
	who := b.get(path + "requester_login").String()
	if who == "" {
		who = "somebody"
	}
	what, hint := exempted(b.event)
	status := words(b.get(path + "status").String())
	b.c.ExternalID = b.get(path + "id").String()
	b.c.CorrelationID = b.correlation("exemption", b.c.ExternalID)
	b.resource("exemption request", b.c.ExternalID, "#"+b.get(path+"number").String(), b.get(path+"html_url").String())
	b.copy("request_type="+path+"request_type", "request_status="+path+"status", "requester="+path+"requester_login",
		"requester_comment="+path+"requester_comment", "expires_at="+path+"expires_at", "resource_identifier="+path+"resource_identifier")
	switch {
	case b.action == "created":
		b.atPath(path + "created_at")
		b.c.Summary = fmt.Sprintf("%s asked to %s%s", who, what, b.where())
		return
	case b.action == "response_submitted" && status != "":
		b.c.Summary = fmt.Sprintf("%s answered %s's request to %s%s: %s", b.actor(), who, what, b.where(), status)
	default:
		b.c.Summary = fmt.Sprintf("%s's request to %s%s: %s", who, what, b.where(), words(b.action))
	}
	if slices.Contains([]string{"approved", "completed"}, status) {
		b.hint(normalizers.HintBreakGlass, hint)
	}
}

// exempted says past which rule a request would let somebody.
func exempted(event string) (what, hint string) {
	switch {
	case strings.HasSuffix(event, "push_ruleset"):
		return "push past the rules", normalizers.HintBranchProtection
	case strings.HasPrefix(event, "dismissal_request_"):
		return "dismiss a " + words(strings.TrimPrefix(event, "dismissal_request_")) + " alert", ""
	default:
		return "push a secret", normalizers.HintSecrets
	}
}
