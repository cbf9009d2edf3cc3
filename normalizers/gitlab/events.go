package gitlab

import (
	"strings"

	"whatchanged/pkg/change"
)

// event is a kind of event and what becomes of it.
type event struct {
	kind    string         // GitLab's object_kind, or event_name where there is none
	hook    string         // X-Gitlab-Event, where the kind has one of its own
	fill    func(*builder) // nil: a change that says only that it happened
	becomes change.Type
	says    string // what the change says, for the document
	ignored string // why no change is made
}

// events lists every kind that GitLab's documents and go-gitlab name. Whatever
// has no hook of its own comes as a System Hook.
var events = []event{
	{kind: "push", hook: "Push Hook", becomes: change.Code, fill: (*builder).push,
		says: "who pushed how many commits where, created or deleted a branch; a direct push to the default branch, more than 20 commits, a deleted default or protected branch"},
	{kind: "tag_push", hook: "Tag Push Hook", becomes: change.Code, fill: (*builder).push, says: "who pushed or deleted which tag"},
	{kind: "repository_update", becomes: change.Code, fill: (*builder).repositoryUpdate, says: "who pushed to how many refs"},
	{kind: "merge_request", hook: "Merge Request Hook", becomes: change.Code, fill: (*builder).mergeRequest,
		says: "who opened, merged, closed, reopened, approved or changed it, and what was changed with old and new values; a merge that was not approved"},
	{kind: "deployment", hook: "Deployment Hook", becomes: change.Deployment, fill: (*builder).deployment,
		says: "what was started, deployed, failed or cancelled in which environment; tied to its job by correlation"},
	{kind: "pipeline", hook: "Pipeline Hook", becomes: change.Other, fill: (*builder).pipeline,
		says: "how far it has come and which jobs failed; a deployment when a job of it starts an environment or its name or ref says so"},
	{kind: "build", hook: "Job Hook", becomes: change.Deployment, fill: (*builder).job,
		says: "how far a job of an environment has come; a job without one is ignored, its pipeline tells"},
	{kind: "build", hook: "Build Hook", becomes: change.Deployment, fill: (*builder).job, says: "the same, as older versions call it"},
	{kind: "release", hook: "Release Hook", becomes: change.Deployment, fill: (*builder).release,
		says: "who created, updated or deleted a release (code, unless created)"},
	{kind: "feature_flag", hook: "Feature Flag Hook", becomes: change.FeatureFlag, fill: (*builder).featureFlag, says: "who turned which flag on or off"},
	{kind: "vulnerability", hook: "Vulnerability Hook", becomes: change.SecurityPatch, fill: (*builder).vulnerability, says: "a finding and its state"},
	{kind: "gitlab_subscription_member_approval", becomes: change.AccessChange, fill: (*builder).memberApproval,
		says: "a paid role waits for approval, was approved or denied"},
	{kind: "gitlab_subscription_member_approvals", becomes: change.AccessChange, fill: (*builder).memberApproval, says: "the same, for several"},

	{kind: "user_add_to_group", hook: "Member Hook", becomes: change.AccessChange, fill: (*builder).member, says: "who was added, as what; Owner and Maintainer are a privilege granted"},
	{kind: "user_update_for_group", hook: "Member Hook", becomes: change.AccessChange, fill: (*builder).member, says: "who is now what"},
	{kind: "user_remove_from_group", hook: "Member Hook", becomes: change.AccessChange, fill: (*builder).member, says: "who was removed"},
	{kind: "user_add_to_team", becomes: change.AccessChange, fill: (*builder).member, says: "the same, of a project"},
	{kind: "user_update_for_team", becomes: change.AccessChange, fill: (*builder).member, says: "the same, of a project"},
	{kind: "user_remove_from_team", becomes: change.AccessChange, fill: (*builder).member, says: "the same, of a project"},
	{kind: "user_access_request_to_group", hook: "Member Hook", becomes: change.AccessChange, fill: (*builder).accessRequest, says: "who asked for access"},
	{kind: "user_access_request_denied_for_group", hook: "Member Hook", becomes: change.AccessChange, fill: (*builder).accessRequest, says: "who was denied it"},
	{kind: "user_access_request_revoked_for_group", hook: "Member Hook", becomes: change.AccessChange, fill: (*builder).accessRequest, says: "who no longer asks"},
	{kind: "user_access_request_to_project", becomes: change.AccessChange, fill: (*builder).accessRequest, says: "the same, of a project"},
	{kind: "user_access_request_denied_for_project", becomes: change.AccessChange, fill: (*builder).accessRequest, says: "the same, of a project"},
	{kind: "user_access_request_revoked_for_project", becomes: change.AccessChange, fill: (*builder).accessRequest, says: "the same, of a project"},
	{kind: "user_create", becomes: change.AccessChange, fill: (*builder).user, says: "a user of the instance"},
	{kind: "user_destroy", becomes: change.AccessChange, fill: (*builder).user, says: "a user was deleted"},
	{kind: "user_rename", becomes: change.AccessChange, fill: (*builder).user, says: "old and new name"},
	{kind: "user_failed_login", becomes: change.AccessChange, fill: (*builder).user, says: "a blocked user tried to sign in"},
	{kind: "key_create", becomes: change.AccessChange, fill: (*builder).accessKey, says: "whose SSH key; the key stays out"},
	{kind: "key_destroy", becomes: change.AccessChange, fill: (*builder).accessKey, says: "whose SSH key"},

	{kind: "project_create", hook: "Project Hook", becomes: change.ConfigChange, fill: (*builder).space, says: "a project; one that anybody can read is public exposure"},
	{kind: "project_update", becomes: change.ConfigChange, fill: (*builder).space, says: "a project's settings"},
	{kind: "project_destroy", hook: "Project Hook", becomes: change.ConfigChange, fill: (*builder).space, says: "a project was deleted"},
	{kind: "project_rename", becomes: change.ConfigChange, fill: (*builder).space, says: "old and new path"},
	{kind: "project_transfer", becomes: change.ConfigChange, fill: (*builder).space, says: "old and new path"},
	{kind: "subgroup_create", hook: "Subgroup Hook", becomes: change.ConfigChange, fill: (*builder).space, says: "a subgroup"},
	{kind: "subgroup_destroy", hook: "Subgroup Hook", becomes: change.ConfigChange, fill: (*builder).space, says: "a subgroup was deleted"},
	{kind: "group_create", becomes: change.ConfigChange, fill: (*builder).space, says: "a group"},
	{kind: "group_destroy", becomes: change.ConfigChange, fill: (*builder).space, says: "a group was deleted"},
	{kind: "group_rename", becomes: change.ConfigChange, fill: (*builder).space, says: "old and new path"},

	{kind: "issue", hook: "Issue Hook", ignored: "issue tracking"},
	{kind: "issue", hook: "Confidential Issue Hook", ignored: "issue tracking"},
	{kind: "work_item", hook: "Work Item Hook", ignored: "issue tracking"},
	{kind: "milestone", hook: "Milestone Hook", ignored: "issue tracking"},
	{kind: "note", hook: "Note Hook", ignored: "comment"},
	{kind: "note", hook: "Confidential Note Hook", ignored: "comment"},
	{kind: "emoji", hook: "Emoji Hook", ignored: "comment"},
	{kind: "wiki_page", hook: "Wiki Page Hook", ignored: "wiki"},
	{kind: "access_token", hook: "Resource Access Token Hook", ignored: "a token will expire"},
	{kind: "expiring_access_token", hook: "Resource Access Token Hook", ignored: "a token will expire"},
	{kind: "deploy_token", hook: "Resource Deploy Token Hook", ignored: "a token will expire"},
	{kind: "expiring_deploy_token", hook: "Resource Deploy Token Hook", ignored: "a token will expire"},
}

// eventOf returns what becomes of a kind. One that nobody knows yet is taken by
// how its name starts, as GitLab names what it administers.
func eventOf(kind string) event {
	for i := range events {
		if events[i].kind == kind {
			return events[i]
		}
	}
	e := event{kind: kind, becomes: change.Other}
	switch {
	case strings.HasPrefix(kind, "user_access_request"):
		e.fill = (*builder).accessRequest
	case strings.HasPrefix(kind, "user_") && (strings.HasSuffix(kind, "_group") || strings.HasSuffix(kind, "_team")):
		e.fill = (*builder).member
	case strings.HasPrefix(kind, "user_"):
		e.fill = (*builder).user
	case strings.HasPrefix(kind, "key_"):
		e.fill = (*builder).accessKey
	case strings.HasPrefix(kind, "project_"), strings.HasPrefix(kind, "group_"), strings.HasPrefix(kind, "subgroup_"):
		e.fill = (*builder).space
	}
	return e
}
