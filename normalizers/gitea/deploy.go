package gitea

import (
	"fmt"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// release says what became of a release; a new one is a deployment.
func (b *builder) release() {
	r := b.Body.Object("release")
	action, tag := b.Text("action"), r.Text("tag_name")
	b.Change.Type = change.Code
	b.Change.Version = tag
	b.Change.Description = r.First("body", "note")
	b.Change.Branch = r.Text("target_commitish")
	b.Change.ExternalID = b.ID("release.id")
	b.Resource("release", b.ID("release.id"), tag, r.Text("html_url"))
	b.Copy("release_name=release.name", "release_draft=release.draft", "prerelease=release.prerelease",
		"created_at=release.created_at", "published_at=release.published_at")
	b.Change.Action = forge.Dotted("release", action)
	what := "release " + tag
	if r.Bool("prerelease") {
		what = "prerelease " + tag
	}
	b.Change.Summary = fmt.Sprintf("%s %s %s%s", b.Who(), forge.First(action, "changed"), what, b.Where())
	switch action {
	case "published":
		b.At("release.published_at", "release.created_at")
		b.Upgrade(change.Deployment, r.Text("name"), tag)
		b.Change.Status = change.Succeeded
	case "deleted":
		b.Hint(normalizers.HintDestructive)
	}
}

// repository says that a repository is new or gone.
func (b *builder) repository() {
	action := b.Text("action")
	b.Change.Type = change.ConfigChange
	b.Change.Action = forge.Dotted("repository", action)
	b.Change.Summary = strings.TrimSpace(fmt.Sprintf("%s %s repository %s", b.Who(), forge.First(action, "changed"), b.Project))
	switch action {
	case "created":
		b.At("repository.created_at")
		if v := b.Body.Get("repository.private"); v.Exists() && !v.Bool() {
			b.Hint(normalizers.HintPublicExposure)
			b.Change.Summary += ", visible to everybody"
		}
	case "deleted":
		b.Hint(normalizers.HintDestructive)
	}
}

// pack says that a version of a package is new or gone.
func (b *builder) pack() {
	p := b.Body.Object("package")
	action, name := b.Text("action"), p.Text("name")
	b.Change.Type = change.Deployment
	b.Change.Version = p.Text("version")
	b.Change.ExternalID = b.ID("package.id")
	if b.Project == "" {
		b.Project = p.Text("repository.full_name")
		b.Change.Repository = b.Project
	}
	b.Resource("package", b.ID("package.id"), name, p.Text("html_url"))
	b.Copy("package_type=package.type", "package_owner=package.owner.login", "created_at=package.created_at")
	b.Change.Action = forge.Dotted("package", action)
	what := strings.Join(strings.Fields(fmt.Sprintf("%s package %s %s", p.Text("type"), name, b.Change.Version)), " ")
	owner := ""
	if b.Project == "" && p.Text("owner.login") != "" {
		owner = " of " + p.Text("owner.login")
	}
	switch action {
	case "created":
		b.At("package.created_at")
		b.Change.Status = change.Succeeded
		b.Change.Summary = fmt.Sprintf("%s published %s%s%s", b.Who(), what, owner, b.Where())
	case "deleted":
		b.Change.Type = change.Infrastructure
		b.Hint(normalizers.HintDestructive)
		fallthrough
	default:
		b.Change.Summary = fmt.Sprintf("%s %s %s%s%s", b.Who(), forge.First(action, "changed"), what, owner, b.Where())
	}
}

// workflowRun says how far a run of a workflow has come.
func (b *builder) workflowRun() {
	run := b.Body.Object("workflow_run")
	file, _, _ := strings.Cut(run.Text("path"), "@")
	name := forge.First(b.Text("workflow.name"), file, run.Text("display_title"))
	kind := change.Other
	if forge.Deploys(name, file, run.Text("display_title"), run.Text("head_branch")) {
		kind = change.Deployment
	}
	b.Upgrade(kind, name, run.Text("display_title"))
	b.Change.CommitMessage = run.Text("display_title")
	b.Copy("run_number=workflow_run.run_number", "run_attempt=workflow_run.run_attempt", "run_event=workflow_run.event",
		"workflow_path=workflow_run.path", "started_at=workflow_run.started_at", "completed_at=workflow_run.completed_at")
	b.ran("workflow_run", run, name)
	b.Change.CorrelationID = b.correlation("run", b.ID("workflow_run.id"))
}

// workflowJob says how far a job has come that deploys. All others are told by
// their run.
func (b *builder) workflowJob() {
	job := b.Body.Object("workflow_job")
	name := job.Text("name")
	if !forge.Deploys(name) {
		b.Ignored = "part of a workflow run"
		return
	}
	b.Upgrade(change.Deployment, name)
	b.Copy("run_id=workflow_job.run_id", "run_attempt=workflow_job.run_attempt", "runner_name=workflow_job.runner_name",
		"started_at=workflow_job.started_at", "completed_at=workflow_job.completed_at")
	b.ran("workflow_job", job, name)
	b.Change.CorrelationID = b.correlation("run", b.ID("workflow_job.run_id"))
}

// ran is what a run and a job have in common.
func (b *builder) ran(kind string, run *fields.Object, name string) {
	status, conclusion := run.Text("status"), run.Text("conclusion")
	b.Change.CommitSHA = run.Text("head_sha")
	b.Change.Branch = run.Text("head_branch")
	b.Change.PipelineURL = run.Text("html_url")
	b.Change.ExternalID = run.Text("id")
	b.Copy("status="+kind+".status", "conclusion="+kind+".conclusion")
	b.At(kind+".completed_at", kind+".started_at", kind+".created_at")
	what := strings.ReplaceAll(kind, "_", " ")
	b.Resource(what, run.Text("id"), name, b.Change.PipelineURL)
	b.Status(statusOf(status, conclusion))
	state := forge.First(string(b.Change.Status), conclusion, status, b.Text("action"))
	b.Change.Action = forge.Dotted(kind, state)
	b.Change.Summary = fmt.Sprintf("%s '%s' %s", strings.TrimPrefix(what, "workflow "), name, forge.Words(state))
	if kind == "workflow_run" {
		b.Change.Summary = fmt.Sprintf("workflow '%s' %s", name, forge.Words(state))
	}
	if b.Change.Branch != "" {
		b.Change.Summary += " on " + b.Change.Branch
	}
	b.Change.Summary += b.Where()
}

// statusOf reads the words that Gitea took over from GitHub.
func statusOf(status, conclusion string) change.Status {
	switch conclusion {
	case "success":
		return change.Succeeded
	case "failure", "timed_out", "startup_failure":
		return change.Failed
	case "cancelled":
		return change.Cancelled
	}
	if status == "in_progress" || status == "running" {
		return change.Started
	}
	return ""
}
