package github

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/go-github/v60/github"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// deployment says that a deployment was asked for. Its statuses follow as
// changes of their own, tied by the correlation id.
func (b *builder) deployment(p *github.DeploymentEvent) {
	d := p.GetDeployment()
	b.deploymentFacts(d)
	if b.c.Actor.Type == "bot" {
		b.setActor(d.GetCreator())
	}
	b.at(d.GetCreatedAt())
	b.c.Action = dotted("deployment", b.action)
	b.c.Status = change.Started
	b.c.Summary = fmt.Sprintf("%s started deploying %s to %s", b.actor(), b.what(d.GetSHA()), d.GetEnvironment())
	if b.c.Type == change.Rollback {
		b.c.Summary = fmt.Sprintf("%s started rolling back %s to %s", b.actor(), b.inEnvironment(), normalizers.ShortSHA(d.GetSHA()))
	}
	b.runOfDeployment()
}

// deploymentStatus says how far a deployment has come.
func (b *builder) deploymentStatus(p *github.DeploymentStatusEvent) {
	d, s := p.GetDeployment(), p.GetDeploymentStatus()
	b.deploymentFacts(d)
	b.setActor(d.GetCreator())
	b.at(s.GetCreatedAt())
	if env := s.GetEnvironment(); env != "" {
		b.c.Environment = env
	}
	state := s.GetState()
	b.meta.Set("status_id", s.GetID())
	b.meta.Set("status_state", state)
	b.meta.Set("status_creator", s.GetCreator().GetLogin())
	b.meta.Set("status_environment", s.GetEnvironment())
	b.meta.Set("status_created_at", s.GetCreatedAt().Time)
	b.meta.Set("environment_url", s.GetEnvironmentURL())
	b.meta.Set("status_description", s.GetDescription())
	for _, url := range []string{s.GetLogURL(), s.GetTargetURL()} {
		if b.c.PipelineURL == "" {
			b.c.PipelineURL = url
		}
	}
	b.runOfDeployment()

	what := fmt.Sprintf("deployment of %s to %s", b.what(d.GetSHA()), b.c.Environment)
	done := fmt.Sprintf("%s deployed %s to %s", b.actor(), b.what(d.GetSHA()), b.c.Environment)
	if b.c.Type == change.Rollback {
		what = fmt.Sprintf("rollback of %s to %s", b.inEnvironment(), normalizers.ShortSHA(d.GetSHA()))
		done = fmt.Sprintf("%s rolled back %s to %s", b.actor(), b.inEnvironment(), normalizers.ShortSHA(d.GetSHA()))
	}
	switch state {
	case "success":
		b.c.Status, b.c.Action = change.Succeeded, "deployment.succeeded"
		b.c.Summary = done
	case "failure", "error":
		b.c.Status, b.c.Action = change.Failed, "deployment.failed"
		b.c.Summary = what + " failed"
		if text := normalizers.OneLine(s.GetDescription()); text != "" {
			b.c.Summary += ": " + text
		}
		b.hint(normalizers.HintFailed)
	case "queued", "waiting", "pending", "in_progress":
		b.c.Status, b.c.Action = change.Started, "deployment."+state
		b.c.Summary = what + " is " + words(state)
	default:
		b.c.Action = dotted("deployment", state)
		b.c.Summary = what + ": " + words(state)
	}
}

// inEnvironment names what is deployed where.
func (b *builder) inEnvironment() string {
	if b.c.Environment == "" {
		return b.repo
	}
	return b.repo + " in " + b.c.Environment
}

// deploymentFacts keeps what the deployment itself says.
func (b *builder) deploymentFacts(d *github.Deployment) {
	b.c.Type = normalizers.Upgrade(change.Deployment, d.GetTask(), d.GetRef(), d.GetDescription())
	b.c.Environment = d.GetEnvironment()
	b.c.CommitSHA = d.GetSHA()
	b.c.Branch = d.GetRef()
	b.c.Description = d.GetDescription()
	b.c.ExternalID = idOf(d.GetID())
	b.c.CorrelationID = b.correlation("deployment", idOf(d.GetID()))
	b.meta.Set("sender", b.sender)
	b.meta.Set("task", d.GetTask())
	b.meta.Set("ref", d.GetRef())
	b.meta.Set("deployment_creator", d.GetCreator().GetLogin())
	b.meta.Set("deployment_created_at", d.GetCreatedAt().Time)
	b.copy("original_environment=deployment.original_environment", "production_environment=deployment.production_environment")
	b.meta.SetRaw("payload", redact.Raw(b.get("deployment.payload")))
	if b.c.Type == change.Rollback {
		b.hint(normalizers.HintRollback)
	}
	if b.get("deployment.production_environment").Bool() || isProduction(d.GetEnvironment()) {
		b.hint(normalizers.HintProduction)
	}
}

// runOfDeployment keeps which workflow run deploys.
func (b *builder) runOfDeployment() {
	if url := b.get("workflow_run.html_url").String(); url != "" && b.c.PipelineURL == "" {
		b.c.PipelineURL = url
	}
	b.copy("workflow_name=workflow_run.name", "workflow_name=workflow.name", "workflow_run_id=workflow_run.id", "workflow_run_url=workflow_run.html_url",
		"workflow_head_branch=workflow_run.head_branch", "workflow_head_sha=workflow_run.head_sha")
}

func isProduction(environment string) bool {
	env, ok := normalizers.Environment(environment)
	return ok && env == normalizers.Production
}

// what names what is deployed.
func (b *builder) what(sha string) string {
	if sha == "" {
		return b.repo
	}
	return b.repo + " " + normalizers.ShortSHA(sha)
}

func (b *builder) deploymentProtection(p *github.DeploymentProtectionRuleEvent) {
	b.deploymentFacts(p.GetDeployment())
	if env := p.GetEnvironment(); env != "" {
		b.c.Environment = env
	}
	b.c.Action = dotted(b.event, b.action)
	b.c.Summary = fmt.Sprintf("deployment of %s to %s waits for a protection rule", b.what(p.GetDeployment().GetSHA()), b.c.Environment)
}

// deploymentReview says who let a workflow run go on to an environment, or not.
func (b *builder) deploymentReview() {
	for _, path := range []string{"environment", "workflow_job_run.environment", "workflow_job_runs.0.environment"} {
		if b.c.Environment == "" {
			b.c.Environment = b.get(path).String()
		}
	}
	for _, path := range []string{"approver", "requester", "requestor"} {
		if login := b.get(path + ".login").String(); login != "" {
			kind := b.get(path + ".type").String()
			b.setActor(&github.User{Login: &login, ID: integer(b.get(path + ".id")), Type: &kind})
			break
		}
	}
	run := b.get("workflow_run")
	b.c.PipelineURL = run.Get("html_url").String()
	b.c.CommitSHA = run.Get("head_sha").String()
	b.c.Branch = run.Get("head_branch").String()
	b.c.CorrelationID = b.correlation("run", run.Get("id").String())
	b.atPath("since")
	b.copy("comment=comment", "run_id=workflow_run.id", "run_name=workflow_run.name")
	switch b.action {
	case "requested":
		b.c.Summary = fmt.Sprintf("deployment of %s to %s waits for a review", b.what(b.c.CommitSHA), b.c.Environment)
		return
	case "rejected":
		b.c.Status = change.Cancelled
	}
	if isProduction(b.c.Environment) {
		b.hint(normalizers.HintProduction)
	}
	b.c.Summary = fmt.Sprintf("%s %s the deployment of %s to %s", b.actor(), words(b.action), b.what(b.c.CommitSHA), b.c.Environment)
}

// workflowRun says how a run of GitHub Actions goes. By its names it may be a
// deployment.
func (b *builder) workflowRun(p *github.WorkflowRunEvent) {
	run := p.GetWorkflowRun()
	if run == nil {
		run = new(github.WorkflowRun)
	}
	name := run.GetName()
	if name == "" {
		name = p.GetWorkflow().GetName()
	}
	path := p.GetWorkflow().GetPath()
	b.c.Type = normalizers.Upgrade(runType(name, path), name, path)
	if b.c.Type == change.Deployment && strings.HasPrefix(b.get("workflow_run.display_title").Str, `Revert "`) {
		b.c.Type = change.Rollback
	}
	if b.c.Type == change.Rollback {
		b.hint(normalizers.HintRollback)
	}
	b.meta.Set("sender", b.sender)
	if u := run.GetTriggeringActor(); u.GetLogin() != "" {
		b.setActor(u)
	} else {
		b.setActor(run.GetActor())
	}
	b.c.CommitSHA = run.GetHeadSHA()
	b.c.CommitMessage = run.GetHeadCommit().GetMessage()
	b.c.Branch = run.GetHeadBranch()
	b.c.PipelineURL = run.GetHTMLURL()
	b.c.ExternalID = idOf(run.GetID())
	b.c.CorrelationID = b.correlation("run", idOf(run.GetID()))
	if len(run.PullRequests) > 0 && run.PullRequests[0].GetNumber() != 0 {
		b.c.PRNumber = strconv.Itoa(run.PullRequests[0].GetNumber())
	}
	b.resource("workflow", idOf(run.GetWorkflowID()), name, p.GetWorkflow().GetHTMLURL())
	b.copy("run_number=workflow_run.run_number", "run_attempt=workflow_run.run_attempt", "trigger=workflow_run.event",
		"status=workflow_run.status", "conclusion=workflow_run.conclusion", "run_started_at=workflow_run.run_started_at",
		"run_created_at=workflow_run.created_at", "run_updated_at=workflow_run.updated_at",
		"display_title=workflow_run.display_title", "path=workflow.path")

	conclusion := run.GetConclusion()
	state := words(b.action)
	b.at(run.GetRunStartedAt())
	switch b.action {
	case "completed":
		b.at(run.GetUpdatedAt())
		b.c.Status = statusOf(conclusion)
		outcome := conclusion
		if b.c.Status != "" {
			outcome = string(b.c.Status)
		}
		state = words(outcome)
		b.c.Action = dotted("workflow_run", outcome)
		if b.c.Status == change.Failed {
			b.hint(normalizers.HintFailed)
		}
	case "in_progress":
		b.c.Status = change.Started
	}
	if b.c.OccurredAt.IsZero() {
		b.at(run.GetCreatedAt())
	}
	by := ""
	if b.c.ChangedBy != "" {
		by = " by " + b.c.ChangedBy
	}
	b.c.Summary = fmt.Sprintf("workflow %s #%d%s %s on %s%s", name, run.GetRunNumber(), by, state, run.GetHeadBranch(), b.where())
}

// runType tells a deployment from other runs by name.
func runType(names ...string) change.Type {
	for _, name := range names {
		if hasAny(name, "deploy", "release", "rollout", "publish", "promote") {
			return change.Deployment
		}
	}
	for _, name := range names {
		if hasAny(name, "migrat") {
			return change.DatabaseMigration
		}
	}
	return change.Other
}

func statusOf(conclusion string) change.Status {
	switch conclusion {
	case "success":
		return change.Succeeded
	case "failure", "timed_out", "startup_failure":
		return change.Failed
	case "cancelled":
		return change.Cancelled
	}
	return "" // skipped, neutral, stale, action_required
}

func (b *builder) pageBuild(p *github.PageBuildEvent) {
	build := p.GetBuild()
	b.c.Environment = "github-pages"
	b.c.CommitSHA = build.GetCommit()
	b.at(build.GetUpdatedAt())
	b.setActor(build.GetPusher())
	b.copy("build_status=build.status", "build_error=build.error.message")
	b.c.Action = dotted("page_build", build.GetStatus())
	b.c.Summary = fmt.Sprintf("GitHub Pages site of %s: %s", b.repo, build.GetStatus())
	switch build.GetStatus() {
	case "built":
		b.c.Status = change.Succeeded
		b.c.Summary = fmt.Sprintf("%s published the GitHub Pages site of %s", b.actor(), b.repo)
	case "errored":
		b.c.Status = change.Failed
		b.hint(normalizers.HintFailed)
		b.c.Summary = fmt.Sprintf("GitHub Pages site of %s failed to build%s", b.repo, b.because("build.error.message"))
	case "building", "queued":
		b.c.Status = change.Started
	}
}

// packageVersion says that a version of a package was published; the member
// has the event's name.
func (b *builder) packageVersion() {
	p := b.get(b.event)
	name, number := p.Get("name").String(), p.Get("package_version.version").String()
	b.c.Version = number
	b.c.ExternalID = p.Get("package_version.id").String()
	b.resource("package", p.Get("id").String(), name, p.Get("html_url").String())
	b.atPath(b.event + ".package_version.created_at")
	if b.c.OccurredAt.IsZero() {
		b.atPath(b.event + ".created_at")
	}
	tag := p.Get("package_version.container_metadata.tag.name").String()
	kind := strings.ToLower(p.Get("package_type").String())
	b.meta.Set("package_type", p.Get("package_type").String())
	b.meta.Set("container_tag", tag)
	if tag != "" {
		number = tag // what people call it, rather than its digest
	}
	if strings.HasPrefix(number, "sha256:") {
		number = number[:min(len(number), len("sha256:")+12)]
	}
	if kind != "" {
		kind += " "
	}
	b.c.Summary = fmt.Sprintf("%s %s %spackage %s %s%s", b.actor(), words(b.action), kind, name, number, b.where())
}

// hasAny reports whether name has one of the words in it, in any case.
func hasAny(name string, words ...string) bool {
	name = strings.ToLower(name)
	for _, w := range words {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}
