package auditlog

import (
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// action is what actions of a name become: exact, or the start of many when it
// ends in a dot. A summary is the actor and says, with {field} for the record's
// fields; {a|b} is the first of two that is there, and {verb} the action less its
// category.
type action struct {
	name    string
	ignored string // why it makes no change
	kind    change.Type
	says    string
	hints   []string
}

func hints(list ...string) []string { return list }

// Why an action makes no change.
const (
	reading  = "read-only"
	tracking = "issue tracking"
)

// actions are looked through in order. What is not here is told in GitHub's own
// words, as a change of the settings.
var actions = []action{
	{name: "git.clone", ignored: reading},
	{name: "git.fetch", ignored: reading},
	{name: "git.push", kind: change.Code, says: "pushed to {repo}"},
	{name: "api.request", ignored: reading},
	{name: "repo.download_zip", ignored: reading},
	{name: "org.audit_log_export", ignored: reading},
	{name: "org.audit_log_git_event_export", ignored: reading},
	{name: "protected_branch.rejected_ref_update", ignored: "a push that was refused"},
	{name: "audit_log_streaming.check", ignored: "a check of the streaming"},
	{name: "workflows.prepared_workflow_job", ignored: "part of a workflow run"},
	{name: "workflows.created_workflow_run", ignored: "the run is told when it is done"},
	{name: "checks.", ignored: "check of a commit"},
	{name: "issue.", ignored: tracking},
	{name: "issue_comment.", ignored: tracking},
	{name: "issues.", ignored: tracking},
	{name: "project.", ignored: tracking},
	{name: "project_", ignored: tracking},
	{name: "discussion", ignored: "discussion"},
	{name: "pull_request_review", ignored: "a review changes nothing yet"},

	{name: "repo.create", kind: change.ConfigChange, says: "created {visibility} repository {repo}"},
	{name: "repo.destroy", kind: change.ConfigChange, says: "deleted repository {repo}", hints: hints(normalizers.HintDestructive)},
	{name: "repo.rename", kind: change.ConfigChange, says: "renamed repository {old_name} to {repo}"},
	{name: "repo.transfer", kind: change.ConfigChange, says: "transferred repository {repo}", hints: hints(normalizers.HintDestructive)},
	{name: "repo.archived", kind: change.ConfigChange, says: "archived repository {repo}"},
	{name: "repo.access", kind: change.AccessChange, says: "made repository {repo} {visibility} (was {previous_visibility})"},
	{name: "repo.add_member", kind: change.AccessChange, says: "gave {user} access to {repo} ({permission|new_repo_permission})"},
	{name: "repo.update_member", kind: change.AccessChange, says: "changed {user}'s access to {repo} from {old_repo_permission|old_permission} to {new_repo_permission|permission}"},
	{name: "repo.remove_member", kind: change.AccessChange, says: "removed {user} from {repo}"},
	{name: "repo.create_actions_secret", kind: change.ConfigChange, says: "created Actions secret {key|name} of {repo}", hints: hints(normalizers.HintSecrets)},
	{name: "repo.update_actions_secret", kind: change.SecretRotation, says: "changed Actions secret {key|name} of {repo}", hints: hints(normalizers.HintSecrets)},
	{name: "repo.remove_actions_secret", kind: change.ConfigChange, says: "deleted Actions secret {key|name} of {repo}", hints: hints(normalizers.HintSecrets)},
	{name: "repo.register_self_hosted_runner", kind: change.Infrastructure, says: "registered a self-hosted runner of {repo}"},
	{name: "repo.pages_public", kind: change.AccessChange, says: "made the GitHub Pages site of {repo} public", hints: hints(normalizers.HintPublicExposure)},

	{name: "org.add_member", kind: change.AccessChange, says: "added {user} to organization {org} ({permission})"},
	{name: "org.update_member", kind: change.AccessChange, says: "changed {user}'s role in organization {org} from {old_permission} to {permission}"},
	{name: "org.remove_member", kind: change.AccessChange, says: "removed {user} from organization {org}"},
	{name: "org.invite_member", kind: change.AccessChange, says: "invited {user|email} to organization {org}"},
	{name: "org.block_user", kind: change.AccessChange, says: "blocked {blocked_user|user} in organization {org}"},
	{name: "org.delete", kind: change.ConfigChange, says: "deleted organization {org}", hints: hints(normalizers.HintDestructive)},
	{name: "org.disable_two_factor_requirement", kind: change.AccessChange, says: "no longer requires two factors in organization {org}", hints: hints(normalizers.HintNoMFA)},
	{name: "org.enable_two_factor_requirement", kind: change.AccessChange, says: "requires two factors in organization {org}"},
	{name: "org.disable_saml", kind: change.AccessChange, says: "turned off SAML single sign-on of organization {org}", hints: hints(normalizers.HintNoMFA)},
	{name: "org.enable_saml", kind: change.AccessChange, says: "turned on SAML single sign-on of organization {org}"},
	{name: "org.update_default_repository_permission", kind: change.AccessChange, says: "gave all members of organization {org} {permission} access to its repositories (was {old_permission})"},
	{name: "org.set_default_workflow_permissions", kind: change.ConfigChange, says: "changed what workflows of organization {org} may do by default"},
	{name: "repo.set_default_workflow_permissions", kind: change.ConfigChange, says: "changed what workflows of {repo} may do by default"},
	{name: "org.create_actions_secret", kind: change.ConfigChange, says: "created Actions secret {key|name} of organization {org}", hints: hints(normalizers.HintSecrets)},
	{name: "org.update_actions_secret", kind: change.SecretRotation, says: "changed Actions secret {key|name} of organization {org}", hints: hints(normalizers.HintSecrets)},
	{name: "org.remove_actions_secret", kind: change.ConfigChange, says: "deleted Actions secret {key|name} of organization {org}", hints: hints(normalizers.HintSecrets)},
	{name: "org.register_self_hosted_runner", kind: change.Infrastructure, says: "registered a self-hosted runner of organization {org}"},
	{name: "organization_moderators.add_user", kind: change.AccessChange, says: "made {user} a moderator of organization {org}"},
	{name: "organization_moderators.remove_user", kind: change.AccessChange, says: "made {user} no longer a moderator of organization {org}"},
	{name: "organization_role.assign", kind: change.AccessChange, says: "gave {user|team} the role {name} in organization {org}", hints: hints(normalizers.HintPrivilegeGrant)},
	{name: "organization_role.revoke", kind: change.AccessChange, says: "took the role {name} in organization {org} away from {user|team}"},
	{name: "business.add_admin", kind: change.AccessChange, says: "made {user} an owner of enterprise {business}", hints: hints(normalizers.HintPrivilegeGrant)},
	{name: "business.remove_admin", kind: change.AccessChange, says: "made {user} no longer an owner of enterprise {business}"},

	{name: "team.create", kind: change.AccessChange, says: "created team {team}"},
	{name: "team.destroy", kind: change.AccessChange, says: "deleted team {team}", hints: hints(normalizers.HintDestructive)},
	{name: "team.add_member", kind: change.AccessChange, says: "added {user} to team {team}"},
	{name: "team.remove_member", kind: change.AccessChange, says: "removed {user} from team {team}"},
	{name: "team.promote_maintainer", kind: change.AccessChange, says: "made {user} a maintainer of team {team}"},
	{name: "team.add_repository", kind: change.AccessChange, says: "gave team {team} access to {repo} ({permission|new_repo_permission})"},
	{name: "team.update_repository_permission", kind: change.AccessChange, says: "changed the access of team {team} to {repo} from {old_repo_permission|old_permission} to {new_repo_permission|permission}"},
	{name: "team.remove_repository", kind: change.AccessChange, says: "took access to {repo} away from team {team}"},

	{name: "protected_branch.create", kind: change.ConfigChange, says: "protected branch {name|branch} of {repo}", hints: hints(normalizers.HintBranchProtection)},
	{name: "protected_branch.destroy", kind: change.ConfigChange, says: "removed the protection of branch {name|branch} of {repo}", hints: hints(normalizers.HintBranchProtection, normalizers.HintDeletionProtection)},
	{name: "protected_branch.policy_override", kind: change.Code, says: "pushed past the protection of branch {branch|name} of {repo}", hints: hints(normalizers.HintBreakGlass)},
	{name: "protected_branch.", kind: change.ConfigChange, says: "changed the protection of branch {name|branch} of {repo}: {verb}", hints: hints(normalizers.HintBranchProtection)},
	{name: "repository_ruleset.create", kind: change.ConfigChange, says: "created ruleset '{ruleset_name|name}' of {repo|org}", hints: hints(normalizers.HintBranchProtection)},
	{name: "repository_ruleset.update", kind: change.ConfigChange, says: "edited ruleset '{ruleset_name|name}' of {repo|org}", hints: hints(normalizers.HintBranchProtection)},
	{name: "repository_ruleset.destroy", kind: change.ConfigChange, says: "deleted ruleset '{ruleset_name|name}' of {repo|org}", hints: hints(normalizers.HintBranchProtection, normalizers.HintDeletionProtection)},
	{name: "environment.", kind: change.ConfigChange},
	{name: "pull_request.merge", kind: change.Code, says: "merged '{pull_request_title}' into {repo}"},
	{name: "pull_request.", kind: change.Code},

	{name: "public_key.create", kind: change.AccessChange, says: "added SSH key '{title}' to {repo|user}"},
	{name: "public_key.delete", kind: change.AccessChange, says: "removed SSH key '{title}' from {repo|user}"},
	{name: "integration_installation.create", kind: change.AccessChange, says: "installed app {name|integration} on {org|repo}", hints: hints(normalizers.HintPrivilegeGrant)},
	{name: "integration_installation.destroy", kind: change.AccessChange, says: "uninstalled app {name|integration} from {org|repo}"},
	{name: "integration_installation.", kind: change.AccessChange},
	{name: "oauth_application.", kind: change.AccessChange},
	{name: "personal_access_token.access_granted", kind: change.AccessChange, says: "approved {user}'s fine-grained token for {org}", hints: hints(normalizers.HintPrivilegeGrant)},
	{name: "personal_access_token.access_revoked", kind: change.AccessChange, says: "revoked {user}'s fine-grained token for {org}"},
	{name: "personal_access_token.credential_regenerated", kind: change.SecretRotation, says: "regenerated a fine-grained token"},
	{name: "personal_access_token.", kind: change.AccessChange},
	{name: "role.", kind: change.AccessChange},
	{name: "hook.create", kind: change.ConfigChange, says: "added webhook {hook_id} of {repo|org}"},
	{name: "hook.destroy", kind: change.ConfigChange, says: "deleted webhook {hook_id} of {repo|org}"},
	{name: "ip_allow_list.disable", kind: change.AccessChange, says: "turned off the list of allowed addresses of {org|business}", hints: hints(normalizers.HintNetwork, normalizers.HintPublicExposure)},
	{name: "ip_allow_list", kind: change.AccessChange, hints: hints(normalizers.HintNetwork)},
	{name: "audit_log_streaming.destroy", kind: change.ConfigChange, says: "stopped streaming the audit log", hints: hints(normalizers.HintAuditDisabled)},
	{name: "audit_log_streaming.", kind: change.ConfigChange},

	{name: "workflows.completed_workflow_run", kind: change.Other, says: "workflow {name} #{run_number} by {actor} {conclusion} on {head_branch} in {repo}"},
	{name: "workflows.", kind: change.ConfigChange},
	{name: "secret_scanning_push_protection.bypass", kind: change.SecurityPatch, says: "pushed a secret past the push protection of {repo}", hints: hints(normalizers.HintSecrets, normalizers.HintBreakGlass)},
	{name: "secret_scanning_alert.", kind: change.SecurityPatch, hints: hints(normalizers.HintSecrets)},
	{name: "repository_secret_scanning.disable", kind: change.ConfigChange, says: "turned off secret scanning of {repo}", hints: hints(normalizers.HintSecrets)},
	{name: "repository_secret_scanning_push_protection.disable", kind: change.ConfigChange, says: "turned off the push protection of {repo}", hints: hints(normalizers.HintSecrets)},
	{name: "dependabot_alerts.", kind: change.ConfigChange},
	{name: "repository_vulnerability_alert.", kind: change.SecurityPatch},
	{name: "code_scanning.", kind: change.SecurityPatch},
}

// find returns what an action becomes.
func find(name string) action {
	for _, a := range actions {
		prefix := strings.HasSuffix(a.name, ".") || !strings.Contains(a.name, ".")
		if a.name == name || prefix && strings.HasPrefix(name, a.name) {
			return a
		}
	}
	return action{kind: change.ConfigChange}
}
