package azuredevops

import (
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// kind says what an event becomes. The page about Azure DevOps shows this table.
type kind struct {
	event  string // its eventType; a last * stands for anything
	typ    change.Type
	ignore string // why it is no change
	read   func(*event, *kind) normalizers.Result
	says   string // what it becomes, for the page
}

// kinds holds every event that service hooks offer; the first that matches wins.
var kinds = []kind{
	{event: "build.complete", typ: change.Other, read: fromBuild, says: "`deployment` when the pipeline's name says that it deploys"},
	{event: "ms.vss-pipelines.run-state-changed-event", typ: change.Other, read: fromRun, says: "as a build; `canceling` is ignored"},
	{event: "ms.vss-pipelines.stage-state-changed-event", typ: change.Other, read: fromStage,
		says: "`deployment` when the stage's or pipeline's name says that it deploys, or where to; waiting is ignored"},
	{event: "ms.vss-pipelines.job-state-changed-event", typ: change.Other, read: fromJob,
		says: "`deployment` when the job's name says so; other jobs are ignored, the stage tells of them"},
	{event: "ms.vss-pipelinechecks-events.approval-pending", ignore: "waits for approval, nothing has changed yet"},
	{event: "ms.vss-pipelinechecks-events.approval-completed", typ: change.Deployment, read: fromCheck, says: "approved: started; rejected: cancelled"},
	{event: "ms.vss-pipelinechecks-events.*", ignore: "a check of a pipeline, not a change"},

	{event: "ms.vss-release.deployment-started-event", typ: change.Deployment, read: fromDeployment, says: "environment, release as version, commit"},
	{event: "ms.vss-release.deployment-completed-event", typ: change.Deployment, read: fromDeployment, says: "how it ended; rejected is failed"},
	{event: "ms.vss-release.deployment-approval-pending-event", ignore: "waits for approval, nothing has changed yet"},
	{event: "ms.vss-release.deployment-approval-completed-event", typ: change.Deployment, read: fromApproval, says: "approved: started; rejected: cancelled"},
	{event: "ms.vss-release.release-created-event", typ: change.Other, read: fromRelease, says: "nothing is deployed yet"},
	{event: "ms.vss-release.release-abandoned-event", typ: change.Other, read: fromRelease, says: "cancelled"},

	{event: "git.push", typ: change.Code, read: fromPush, says: "one change for each branch and tag"},
	{event: "git.pullrequest.created", typ: change.Code, read: fromPullRequest, says: "opened"},
	{event: "git.pullrequest.updated", typ: change.Code, read: fromPullRequest, says: "merged or abandoned; updates of an open one are ignored"},
	{event: "git.pullrequest.merged", typ: change.Code, read: fromPullRequest,
		says: "merged; the trial merge of an open one is ignored. The same change as the update that completed it"},
	{event: "ms.vss-code.git-pullrequest-comment-event", ignore: "comment"},
	{event: "git.repo.*", typ: change.ConfigChange, read: fromRepository, says: "repository created, deleted, renamed, forked, disabled"},
	{event: "tfvc.checkin", typ: change.Code, read: fromCheckin, says: "a changeset of Team Foundation Version Control"},

	{event: "workitem.*", ignore: "work item: planning, not a change"},
	{event: "message.posted", ignore: "message of a team room"},
	{event: "*", typ: change.Other, read: fromAnything, says: "under the words of its own message"},
}

// find returns the row of an event.
func find(event string) *kind {
	for i := range kinds {
		k := &kinds[i]
		if start, ok := strings.CutSuffix(k.event, "*"); ok && strings.HasPrefix(event, start) || k.event == event {
			return k
		}
	}
	return &kinds[len(kinds)-1]
}

// fromAnything takes what Azure DevOps may send next year, and agent pools.
func fromAnything(e *event, k *kind) normalizers.Result {
	c := e.change(k.typ)
	if e.kind == "" {
		c.Action = "event"
	}
	c.Resource = change.Resource{
		Type: "azure_devops",
		ID:   first(text(e.resource.Get("id")), text(e.resource.Get("name"))),
		Name: first(text(e.resource.Get("name")), text(e.resource.Get("displayName"))),
	}
	setActor(&c, e.resource.Get("modifiedBy"), e.resource.Get("changedBy"), e.resource.Get("createdBy"), e.resource.Get("initiatedBy"))
	c.Summary = first(normalizers.FirstLine(e.text), "Azure DevOps: "+c.Action)
	return e.one(c)
}
