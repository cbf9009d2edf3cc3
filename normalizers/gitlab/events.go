package gitlab

import (
	"strings"

	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// events lists every kind that GitLab's documents and go-gitlab name. Whatever
// has no hook of its own comes as a System Hook.
var events = []forge.Event[*builder]{
	{Kind: "push", Hook: "Push Hook", Becomes: change.Code, Fill: (*builder).push,
		Says: "who pushed how many commits where, created or deleted a branch; a direct push to the default branch, more than 20 commits, a deleted default or protected branch"},
	{Kind: "tag_push", Hook: "Tag Push Hook", Becomes: change.Code, Fill: (*builder).push, Says: "who pushed or deleted which tag"},
	{Kind: "repository_update", Becomes: change.Code, Fill: (*builder).repositoryUpdate, Says: "who pushed to how many refs"},
	{Kind: "merge_request", Hook: "Merge Request Hook", Becomes: change.Code, Fill: (*builder).mergeRequest,
		Says: "who opened, merged, closed, reopened, approved or changed it, and what was changed with old and new values; a merge that was not approved"},
	{Kind: "deployment", Hook: "Deployment Hook", Becomes: change.Deployment, Fill: (*builder).deployment,
		Says: "what was started, deployed, failed or cancelled in which environment; tied to its job by correlation"},
	{Kind: "pipeline", Hook: "Pipeline Hook", Becomes: change.Other, Fill: (*builder).pipeline,
		Says: "how far it has come and which jobs failed; a deployment when a job of it starts an environment or its name or ref says so"},
	{Kind: "build", Hook: "Job Hook", Becomes: change.Deployment, Fill: (*builder).job,
		Says: "how far a job of an environment has come; a job without one is ignored, its pipeline tells"},
	{Kind: "build", Hook: "Build Hook", Becomes: change.Deployment, Fill: (*builder).job, Says: "the same, as older versions call it"},
	{Kind: "release", Hook: "Release Hook", Becomes: change.Deployment, Fill: (*builder).release,
		Says: "who created, updated or deleted a release (code, unless created)"},
	{Kind: "feature_flag", Hook: "Feature Flag Hook", Becomes: change.FeatureFlag, Fill: (*builder).featureFlag, Says: "who turned which flag on or off"},
	{Kind: "vulnerability", Hook: "Vulnerability Hook", Becomes: change.SecurityPatch, Fill: (*builder).vulnerability, Says: "a finding and its state"},
	{Kind: "gitlab_subscription_member_approval", Becomes: change.AccessChange, Fill: (*builder).memberApproval,
		Says: "a paid role waits for approval, was approved or denied"},
	{Kind: "gitlab_subscription_member_approvals", Becomes: change.AccessChange, Fill: (*builder).memberApproval, Says: "the same, for several"},

	{Kind: "user_add_to_group", Hook: "Member Hook", Becomes: change.AccessChange, Fill: (*builder).member, Says: "who was added, as what; Owner and Maintainer are a privilege granted"},
	{Kind: "user_update_for_group", Hook: "Member Hook", Becomes: change.AccessChange, Fill: (*builder).member, Says: "who is now what"},
	{Kind: "user_remove_from_group", Hook: "Member Hook", Becomes: change.AccessChange, Fill: (*builder).member, Says: "who was removed"},
	{Kind: "user_add_to_team", Becomes: change.AccessChange, Fill: (*builder).member, Says: "the same, of a project"},
	{Kind: "user_update_for_team", Becomes: change.AccessChange, Fill: (*builder).member, Says: "the same, of a project"},
	{Kind: "user_remove_from_team", Becomes: change.AccessChange, Fill: (*builder).member, Says: "the same, of a project"},
	{Kind: "user_access_request_to_group", Hook: "Member Hook", Becomes: change.AccessChange, Fill: (*builder).accessRequest, Says: "who asked for access"},
	{Kind: "user_access_request_denied_for_group", Hook: "Member Hook", Becomes: change.AccessChange, Fill: (*builder).accessRequest, Says: "who was denied it"},
	{Kind: "user_access_request_revoked_for_group", Hook: "Member Hook", Becomes: change.AccessChange, Fill: (*builder).accessRequest, Says: "who no longer asks"},
	{Kind: "user_access_request_to_project", Becomes: change.AccessChange, Fill: (*builder).accessRequest, Says: "the same, of a project"},
	{Kind: "user_access_request_denied_for_project", Becomes: change.AccessChange, Fill: (*builder).accessRequest, Says: "the same, of a project"},
	{Kind: "user_access_request_revoked_for_project", Becomes: change.AccessChange, Fill: (*builder).accessRequest, Says: "the same, of a project"},
	{Kind: "user_create", Becomes: change.AccessChange, Fill: (*builder).user, Says: "a user of the instance"},
	{Kind: "user_destroy", Becomes: change.AccessChange, Fill: (*builder).user, Says: "a user was deleted"},
	{Kind: "user_rename", Becomes: change.AccessChange, Fill: (*builder).user, Says: "old and new name"},
	{Kind: "user_failed_login", Becomes: change.AccessChange, Fill: (*builder).user, Says: "a blocked user tried to sign in"},
	{Kind: "key_create", Becomes: change.AccessChange, Fill: (*builder).accessKey, Says: "whose SSH key; the key stays out"},
	{Kind: "key_destroy", Becomes: change.AccessChange, Fill: (*builder).accessKey, Says: "whose SSH key"},

	{Kind: "project_create", Hook: "Project Hook", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "a project; one that anybody can read is public exposure"},
	{Kind: "project_update", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "a project's settings"},
	{Kind: "project_destroy", Hook: "Project Hook", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "a project was deleted"},
	{Kind: "project_rename", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "old and new path"},
	{Kind: "project_transfer", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "old and new path"},
	{Kind: "subgroup_create", Hook: "Subgroup Hook", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "a subgroup"},
	{Kind: "subgroup_destroy", Hook: "Subgroup Hook", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "a subgroup was deleted"},
	{Kind: "group_create", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "a group"},
	{Kind: "group_destroy", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "a group was deleted"},
	{Kind: "group_rename", Becomes: change.ConfigChange, Fill: (*builder).space, Says: "old and new path"},

	{Kind: "issue", Hook: "Issue Hook", Ignored: "issue tracking"},
	{Kind: "issue", Hook: "Confidential Issue Hook", Ignored: "issue tracking"},
	{Kind: "work_item", Hook: "Work Item Hook", Ignored: "issue tracking"},
	{Kind: "milestone", Hook: "Milestone Hook", Ignored: "issue tracking"},
	{Kind: "note", Hook: "Note Hook", Ignored: "comment"},
	{Kind: "note", Hook: "Confidential Note Hook", Ignored: "comment"},
	{Kind: "emoji", Hook: "Emoji Hook", Ignored: "comment"},
	{Kind: "wiki_page", Hook: "Wiki Page Hook", Ignored: "wiki"},
	{Kind: "access_token", Hook: "Resource Access Token Hook", Ignored: "a token will expire"},
	{Kind: "expiring_access_token", Hook: "Resource Access Token Hook", Ignored: "a token will expire"},
	{Kind: "deploy_token", Hook: "Resource Deploy Token Hook", Ignored: "a token will expire"},
	{Kind: "expiring_deploy_token", Hook: "Resource Deploy Token Hook", Ignored: "a token will expire"},
}

// eventOf returns what becomes of a kind. One that nobody knows yet is taken by
// how its name starts, as GitLab names what it administers.
func eventOf(kind string) forge.Event[*builder] {
	e := forge.Find(events, kind)
	if e.Fill != nil || e.Ignored != "" {
		return e
	}
	switch {
	case strings.HasPrefix(kind, "user_access_request"):
		e.Fill = (*builder).accessRequest
	case strings.HasPrefix(kind, "user_") && (strings.HasSuffix(kind, "_group") || strings.HasSuffix(kind, "_team")):
		e.Fill = (*builder).member
	case strings.HasPrefix(kind, "user_"):
		e.Fill = (*builder).user
	case strings.HasPrefix(kind, "key_"):
		e.Fill = (*builder).accessKey
	case strings.HasPrefix(kind, "project_"), strings.HasPrefix(kind, "group_"), strings.HasPrefix(kind, "subgroup_"):
		e.Fill = (*builder).space
	}
	return e
}
