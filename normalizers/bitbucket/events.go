package bitbucket

import (
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

const (
	cloud      = "Cloud"
	dataCenter = "Data Center"
)

// events lists every kind that Bitbucket's documents name, by X-Event-Key.
var events = []forge.Event[*builder]{
	{Kind: "repo:push", Hook: cloud, Becomes: change.Code, Fill: (*builder).push,
		Says: "for each ref: who pushed how many commits, created or deleted a branch or tag; forced, direct to the main branch, more than 20 commits"},
	{Kind: "pullrequest:created", Hook: cloud, Becomes: change.Code, Fill: (*builder).cloudPullRequest, Says: "who opened it"},
	{Kind: "pullrequest:updated", Hook: cloud, Becomes: change.Code, Fill: (*builder).cloudPullRequest, Says: "who updated it"},
	{Kind: "pullrequest:approved", Hook: cloud, Becomes: change.Code, Fill: (*builder).cloudPullRequest, Says: "who approved it"},
	{Kind: "pullrequest:unapproved", Hook: cloud, Becomes: change.Code, Fill: (*builder).cloudPullRequest, Says: "who withdrew the approval"},
	{Kind: "pullrequest:changes_request_created", Hook: cloud, Becomes: change.Code, Fill: (*builder).cloudPullRequest, Says: "who asked for changes"},
	{Kind: "pullrequest:changes_request_removed", Hook: cloud, Becomes: change.Code, Fill: (*builder).cloudPullRequest, Says: "who no longer does"},
	{Kind: "pullrequest:fulfilled", Hook: cloud, Becomes: change.Code, Fill: (*builder).cloudPullRequest, Says: "who merged it into which branch; without an approval"},
	{Kind: "pullrequest:rejected", Hook: cloud, Becomes: change.Code, Fill: (*builder).cloudPullRequest, Says: "who declined it, and why"},
	{Kind: "repo:commit_status_created", Hook: cloud, Becomes: change.Other, Fill: (*builder).commitStatus, Says: "how far a build has come; a deployment when its name says so"},
	{Kind: "repo:commit_status_updated", Hook: cloud, Becomes: change.Other, Fill: (*builder).commitStatus, Says: "the same"},
	{Kind: "repo:created", Hook: cloud, Becomes: change.ConfigChange, Fill: (*builder).repositoryCreated, Says: "a repository; one that anybody can read is public exposure"},
	{Kind: "repo:imported", Hook: cloud, Becomes: change.ConfigChange, Fill: (*builder).repositoryCreated, Says: "the same"},
	{Kind: "repo:updated", Hook: cloud, Becomes: change.ConfigChange, Fill: (*builder).repositoryUpdated, Says: "which settings, old and new"},
	{Kind: "repo:transfer", Hook: cloud, Becomes: change.ConfigChange, Fill: (*builder).repositoryTransferred, Says: "a repository has another owner"},
	{Kind: "repo:deleted", Hook: cloud, Becomes: change.ConfigChange, Fill: (*builder).repositoryDeleted, Says: "a repository is gone"},
	{Kind: "project:updated", Hook: cloud, Becomes: change.ConfigChange, Fill: (*builder).projectUpdated, Says: "which settings of a project, old and new"},

	{Kind: "repo:refs_changed", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).refChanged,
		Says: "for each ref: who pushed to, created or deleted a branch or tag; direct to the main branch"},
	{Kind: "pr:opened", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who opened it"},
	{Kind: "pr:from_ref_updated", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who pushed to it"},
	{Kind: "pr:modified", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who renamed or moved it, from what"},
	{Kind: "pr:reviewer:approved", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who approved it"},
	{Kind: "pr:reviewer:unapproved", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who withdrew the approval"},
	{Kind: "pr:reviewer:needs_work", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who asked for changes"},
	{Kind: "pr:reviewer:changes_requested", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who asked for changes"},
	{Kind: "pr:merged", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who merged it into which branch; without an approval"},
	{Kind: "pr:declined", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who declined it"},
	{Kind: "pr:deleted", Hook: dataCenter, Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who deleted it"},
	{Kind: "repo:modified", Hook: dataCenter, Becomes: change.ConfigChange, Fill: (*builder).repositoryModified, Says: "old and new name of a repository"},
	{Kind: "project:modified", Hook: dataCenter, Becomes: change.ConfigChange, Fill: (*builder).projectModified, Says: "old and new name of a project"},
	{Kind: "repo:secret_detected", Hook: dataCenter, Becomes: change.SecurityPatch, Fill: (*builder).secretDetected, Says: "a secret was pushed; the secret stays out"},

	{Kind: "pullrequest:comment_created", Hook: cloud, Ignored: "comment"},
	{Kind: "pullrequest:comment_updated", Hook: cloud, Ignored: "comment"},
	{Kind: "pullrequest:comment_deleted", Hook: cloud, Ignored: "comment"},
	{Kind: "pullrequest:comment_resolved", Hook: cloud, Ignored: "comment"},
	{Kind: "pullrequest:comment_reopened", Hook: cloud, Ignored: "comment"},
	{Kind: "repo:commit_comment_created", Hook: cloud, Ignored: "comment"},
	{Kind: "repo:fork", Hook: cloud, Ignored: "a fork is another repository"},
	{Kind: "issue:created", Hook: cloud, Ignored: "issue tracking"},
	{Kind: "issue:updated", Hook: cloud, Ignored: "issue tracking"},
	{Kind: "issue:comment_created", Hook: cloud, Ignored: "issue tracking"},
	{Kind: "pr:comment:added", Hook: dataCenter, Ignored: "comment"},
	{Kind: "pr:comment:edited", Hook: dataCenter, Ignored: "comment"},
	{Kind: "pr:comment:deleted", Hook: dataCenter, Ignored: "comment"},
	{Kind: "repo:comment:added", Hook: dataCenter, Ignored: "comment"},
	{Kind: "repo:comment:edited", Hook: dataCenter, Ignored: "comment"},
	{Kind: "repo:comment:deleted", Hook: dataCenter, Ignored: "comment"},
	{Kind: "pr:reviewer:updated", Hook: dataCenter, Ignored: "who looks at a pull request"},
	{Kind: "repo:forked", Hook: dataCenter, Ignored: "a fork is another repository"},
	{Kind: "mirror:repo_synchronized", Hook: dataCenter, Ignored: "a mirror copied what was pushed before"},
	{Kind: "diagnostics:ping", Hook: dataCenter, Ignored: "ping"},
}
