package gitea

import (
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// events lists every kind that Gitea's, Forgejo's and Gogs's servers send, by
// the names of X-Gitea-Event and the finer ones of X-Gitea-Event-Type.
var events = []forge.Event[*builder]{
	{Kind: "push", Becomes: change.Code, Fill: (*builder).push,
		Says: "who pushed how many commits where, or a new branch or tag; a direct push to the default branch, more than 20 commits"},
	{Kind: "create", Becomes: change.Code, Fill: (*builder).create, Says: "who created which branch or tag"},
	{Kind: "delete", Becomes: change.Code, Fill: (*builder).delete, Says: "who deleted which branch or tag; a tag or the default branch is destructive"},
	{Kind: "pull_request", Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who opened, merged, closed, reopened or edited it, with old values"},
	{Kind: "pull_request_sync", Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who pushed to it"},
	{Kind: "pull_request_approved", Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who approved it"},
	{Kind: "pull_request_review_approved", Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who approved it"},
	{Kind: "pull_request_rejected", Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who asked for changes"},
	{Kind: "pull_request_review_rejected", Becomes: change.Code, Fill: (*builder).pullRequest, Says: "who asked for changes"},
	{Kind: "release", Becomes: change.Deployment, Fill: (*builder).release, Says: "who published, updated or deleted a release (code, unless published)"},
	{Kind: "repository", Becomes: change.ConfigChange, Fill: (*builder).repository, Says: "who created or deleted which repository; one that anybody can read is public exposure"},
	{Kind: "package", Becomes: change.Deployment, Fill: (*builder).pack, Says: "who published or deleted which version of which package (infrastructure, when deleted)"},
	{Kind: "workflow_run", Becomes: change.Other, Fill: (*builder).workflowRun, Says: "how far a run has come; a deployment when its name, file or branch says so"},
	{Kind: "workflow_job", Becomes: change.Deployment, Fill: (*builder).workflowJob, Says: "how far a job has come whose name says that it deploys; others are ignored, their run tells"},

	{Kind: "status", Ignored: "a check's result"},
	{Kind: "fork", Ignored: "a fork is another repository"},
	{Kind: "issues", Ignored: "issue tracking"},
	{Kind: "issue_assign", Ignored: "issue tracking"},
	{Kind: "issue_label", Ignored: "issue tracking"},
	{Kind: "issue_milestone", Ignored: "issue tracking"},
	{Kind: "issue_comment", Ignored: "comment"},
	{Kind: "pull_request_comment", Ignored: "comment"},
	{Kind: "pull_request_review_comment", Ignored: "comment"},
	{Kind: "pull_request_review", Ignored: "comment"},
	{Kind: "pull_request_assign", Ignored: "who looks at a pull request"},
	{Kind: "pull_request_label", Ignored: "labels of a pull request"},
	{Kind: "pull_request_milestone", Ignored: "milestone of a pull request"},
	{Kind: "pull_request_review_request", Ignored: "who looks at a pull request"},
	{Kind: "wiki", Ignored: "wiki"},
	{Kind: "schedule", Ignored: "a workflow's clock; its run tells"},
}
