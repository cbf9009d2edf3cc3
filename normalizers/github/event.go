package github

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// telling are the members, given by path, that an event alone has, in an order
// in which the first match is right: a job can have a deployment, and a
// deployment's status always has one.
var telling = []struct {
	event   string
	members []string
}{
	{"ping", []string{"zen", "hook_id"}},
	{"cache_sync", []string{"cache_location"}},
	{"push", []string{"ref", "before", "after"}},
	{"create", []string{"ref_type", "master_branch"}},
	{"delete", []string{"ref_type", "ref"}},
	{"check_run", []string{"check_run"}},
	{"check_suite", []string{"check_suite"}},
	{"pull_request_review", []string{"review", "pull_request"}},
	{"pull_request_review_comment", []string{"comment", "pull_request"}},
	{"pull_request_review_thread", []string{"thread", "pull_request"}},
	{"issue_comment", []string{"comment", "issue"}},
	{"discussion_comment", []string{"comment", "discussion"}},
	{"commit_comment", []string{"comment"}},
	{"code_scanning_alert", []string{"alert", "commit_oid"}},
	{"secret_scanning_alert", []string{"alert.secret_type"}},
	{"dependabot_alert", []string{"alert.security_advisory"}},
	{"repository_vulnerability_alert", []string{"alert.affected_package_name"}},
	{"security_advisory", []string{"security_advisory"}},
	{"membership", []string{"team", "member"}},
	{"team", []string{"team", "action"}},
	{"team_add", []string{"team"}},
	{"branch_protection_rule", []string{"rule"}},
	{"deploy_key", []string{"key"}},
	{"status", []string{"context", "state", "sha"}},
	{"organization", []string{"membership"}},
	{"organization", []string{"invitation"}},
	{"org_block", []string{"blocked_user"}},
	{"workflow_job", []string{"workflow_job"}},
	{"deployment_status", []string{"deployment_status"}},
	{"deployment_protection_rule", []string{"deployment_callback_url"}},
	{"deployment_review", []string{"approver"}},
	{"deployment", []string{"deployment"}},
	{"workflow_run", []string{"workflow_run"}},
	{"workflow_dispatch", []string{"inputs", "workflow"}},
	{"release", []string{"release"}},
	{"pull_request", []string{"pull_request"}},
	{"merge_group", []string{"merge_group"}},
	{"member", []string{"member"}},
	{"package", []string{"package"}},
	{"registry_package", []string{"registry_package"}},
	{"repository_ruleset", []string{"repository_ruleset"}},
	{"repository_dispatch", []string{"client_payload"}},
	{"installation_repositories", []string{"repositories_added"}},
	{"personal_access_token_request", []string{"personal_access_token_request"}},
	{"page_build", []string{"build"}},
	{"meta", []string{"hook_id", "hook"}},
	{"discussion", []string{"discussion"}},
	{"issues", []string{"issue"}},
	{"label", []string{"label"}},
	{"milestone", []string{"milestone"}},
	{"project_card", []string{"project_card"}},
	{"project_column", []string{"project_column"}},
	{"project", []string{"project"}},
	{"projects_v2_item", []string{"projects_v2_item"}},
	{"projects_v2", []string{"projects_v2"}},
	{"sponsorship", []string{"sponsorship"}},
	{"marketplace_purchase", []string{"marketplace_purchase"}},
	{"fork", []string{"forkee"}},
	{"star", []string{"starred_at"}},
	{"gollum", []string{"pages"}},
	{"repository_import", []string{"status", "repository"}},
}

// eventOf finds out which event a payload without its header is; "" when it
// cannot be told.
func eventOf(body []byte) string {
	members := make(map[string]gjson.Result)
	gjson.ParseBytes(body).ForEach(func(name, v gjson.Result) bool {
		members[name.Str] = v
		return len(members) < maxMembers
	})
	has := func(path string) bool {
		name, inner, nested := strings.Cut(path, ".")
		v, ok := members[name]
		return ok && (!nested || v.Get(inner).Exists())
	}
	for _, t := range telling {
		if !slices.ContainsFunc(t.members, func(path string) bool { return !has(path) }) {
			return t.event
		}
	}
	switch {
	case has("repository") && members["action"].Str == "started":
		return "watch"
	case has("repository") && has("action"):
		return "repository"
	case has("repository"):
		return "public" // it has nothing else
	case has("installation") && has("action"):
		return "installation"
	}
	return ""
}

// maxMembers is how many members of a payload are looked at: GitHub sends
// fewer than twenty.
const maxMembers = 100
