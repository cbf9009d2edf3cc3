package gitlab

import (
	"fmt"
	"path"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// deployment says how far a deployment has come. The same one comes as a job
// and in a pipeline, too; this is the one to go by.
func (b *builder) deployment() {
	env, sha, status := b.Text("environment"), b.Text("short_sha"), b.Text("status")
	id := b.ID("deployment_id")
	b.Change.Environment = env
	b.Change.Branch = b.Text("ref")
	b.Change.CommitSHA = sha
	if full := path.Base(b.Text("commit_url")); sha != "" && strings.HasPrefix(full, sha) {
		b.Change.CommitSHA = full // the payload has it nowhere else
	}
	b.Change.CommitMessage = b.Text("commit_title")
	b.Change.PipelineURL = b.Text("deployable_url")
	b.Change.ExternalID = id
	b.Change.CorrelationID = b.correlation("deployment", id)
	if job := b.ID("deployable_id"); job != "" {
		b.Change.CorrelationID = b.correlation("job", job) // which says the same deployment in its own event
	}
	b.At("status_changed_at")
	if id != "" {
		b.fact = fmt.Sprintf("deployment %s %s %s", id, status, b.Text("status_changed_at"))
	}
	b.Resource("environment", b.Body.First("environment_slug", "environment"), env, b.Text("environment_external_url"))
	b.Copy("status", "status_changed_at", "deployment_id", "short_sha", "ref", "commit_url", "commit_title", "deployable_id", "environment_tier",
		"environment_external_url", "environment_slug")
	b.Upgrade(change.Deployment, b.Change.CommitMessage)
	b.Production(b.Text("environment_tier"), env)

	what := strings.TrimSpace(b.Project + " " + sha)
	b.Status(statusOf(status))
	switch b.Change.Status {
	case change.Succeeded:
		b.Change.Action = "deployment.succeeded"
		b.Change.Summary = fmt.Sprintf("%s deployed to %s", what, env)
		if b.Change.ChangedBy != "" {
			b.Change.Summary = fmt.Sprintf("%s deployed %s to %s", b.Change.ChangedBy, what, env)
		}
	case change.Failed:
		b.Change.Action = "deployment.failed"
		b.Change.Summary = fmt.Sprintf("deployment of %s to %s failed", what, env)
	case change.Started:
		b.Change.Action = "deployment.started"
		b.Change.Summary = fmt.Sprintf("%s started deploying %s to %s", b.Who(), what, env)
	default:
		b.Change.Action = forge.Dotted("deployment", status)
		b.Change.Summary = fmt.Sprintf("deployment of %s to %s is %s", what, env, forge.Words(status))
	}
}

// pipeline says how far a pipeline has come. One whose jobs start an
// environment, or which is named so, deploys.
func (b *builder) pipeline() {
	const a = "object_attributes."
	id, ref, name := b.ID(a+"id"), b.Text(a+"ref"), b.Text(a+"name")
	kind := change.Other
	jobs := b.jobs()
	if jobs.environment != "" {
		kind = change.Deployment
		b.Change.Environment = jobs.environment
		b.Production(jobs.tier, jobs.environment)
	}
	if forge.Deploys(name) || forge.Deploys(ref) {
		kind = change.Deployment
	}
	b.Upgrade(kind, name, ref)
	b.Change.CommitSHA = b.Text(a + "sha")
	b.Change.CommitMessage = b.Text("commit.message")
	if b.Body.Bool(a + "tag") {
		b.Change.Version = ref
	} else {
		b.Change.Branch = ref
	}
	b.Change.PRNumber = b.ID("merge_request.iid")
	b.Change.PRURL = b.Text("merge_request.url")
	b.Change.PipelineURL = b.Text(a + "url")
	if b.Change.PipelineURL == "" && b.projectURL != "" {
		b.Change.PipelineURL = b.projectURL + "/-/pipelines/" + id
	}
	b.Change.ExternalID = id
	b.Change.CorrelationID = b.correlation("pipeline", id)
	b.Resource("pipeline", id, "#"+id, b.Change.PipelineURL)
	b.At(a+"finished_at", a+"created_at")
	b.Copy("pipeline_iid=object_attributes.iid", "pipeline_name=object_attributes.name", "status=object_attributes.status",
		"detailed_status=object_attributes.detailed_status", "ref=object_attributes.ref", "tag=object_attributes.tag",
		"source=object_attributes.source", "created_at=object_attributes.created_at", "finished_at=object_attributes.finished_at",
		"duration=object_attributes.duration", "commit_id=commit.id", "commit_timestamp=commit.timestamp",
		"pipeline_url=object_attributes.url", "parent_pipeline_id=source_pipeline.pipeline_id")
	b.Meta.Set("failed_jobs", jobs.failed)
	b.state("pipeline", "pipeline #"+id, b.Text(a+"status"), ref)
	if len(jobs.failed) > 0 && b.Change.Status == change.Failed {
		b.Change.Summary += " (" + strings.Join(jobs.failed[:min(len(jobs.failed), 3)], ", ") + ")"
	}
}

// jobs are what a pipeline's list of jobs tells about it.
type jobs struct {
	environment, tier string   // that the last job which starts one starts
	failed            []string // and may not fail
}

const maxFailed = 20

func (b *builder) jobs() (j jobs) {
	b.Body.Get("builds").ForEach(func(_, build gjson.Result) bool {
		var name, status, environment string
		may := false
		build.ForEach(func(key, value gjson.Result) bool {
			switch key.Str {
			case "name":
				name = value.Str
			case "status":
				status = value.Str
			case "allow_failure":
				may = value.Bool()
			case "environment":
				environment = value.Raw
			}
			return true
		})
		if environment != "" && gjson.Get(environment, "action").Str == "start" {
			j.environment, j.tier = gjson.Get(environment, "name").Str, gjson.Get(environment, "deployment_tier").Str
		}
		if status == "failed" && !may && name != "" && len(j.failed) < maxFailed {
			j.failed = append(j.failed, name)
		}
		return true
	})
	return j
}

// state says how far a pipeline or job has come.
func (b *builder) state(kind, name, status, ref string) {
	b.Status(statusOf(status))
	if b.Change.Status != "" {
		status = string(b.Change.Status)
	}
	b.Change.Action = forge.Dotted(kind, status)
	b.Change.Summary = fmt.Sprintf("%s %s on %s%s", name, forge.Words(status), ref, b.Where())
}

// job says how far a job of an environment has come. All other jobs are told
// by their pipeline.
func (b *builder) job() {
	env := b.Text("environment.name")
	if env == "" {
		b.Ignored = "part of a pipeline"
		return
	}
	if b.Project == "" {
		b.Project = strings.ReplaceAll(b.Text("project_name"), " / ", "/")
		b.Change.Repository = strings.ReplaceAll(b.Project, " ", "-")
	}
	name, id := b.Text("build_name"), b.ID("build_id")
	b.Upgrade(change.Deployment, name)
	b.Change.Environment = env
	b.Change.CommitSHA = b.Text("sha")
	b.Change.CommitMessage = b.Text("commit.message")
	b.Change.Branch = b.Text("ref")
	if b.Body.Bool("tag") {
		b.Change.Branch, b.Change.Version = "", b.Change.Branch
	}
	b.Change.ExternalID = id
	b.Change.CorrelationID = b.correlation("job", id)
	url := ""
	if b.projectURL != "" {
		url = b.projectURL + "/-/jobs/" + id
		if pipeline := b.ID("pipeline_id"); pipeline != "" {
			b.Change.PipelineURL = b.projectURL + "/-/pipelines/" + pipeline
		}
	}
	b.Resource("job", id, name, url)
	b.At("build_finished_at", "build_started_at", "build_created_at")
	b.Copy("build_status", "build_stage", "build_started_at", "build_finished_at", "build_failure_reason", "retries_count", "ref", "tag",
		"pipeline_id", "repository_name=repository.name", "environment_action=environment.action", "deployment_tier=environment.deployment_tier")
	b.state("job", "job "+name, b.Text("build_status"), b.Text("ref"))
	b.Change.Summary += " for " + env
	if b.Text("environment.action") == "stop" {
		b.Hint(normalizers.HintDestructive)
	}
	b.Production(b.Text("environment.deployment_tier"), env)
}

// featureFlag says that a flag was turned on or off. The payload has no time.
func (b *builder) featureFlag() {
	id, name := b.ID("object_attributes.id"), b.Text("object_attributes.name")
	b.Change.Type = change.FeatureFlag
	b.Change.Description = b.Text("object_attributes.description")
	b.Change.ExternalID = id
	url := ""
	if b.projectURL != "" {
		url = b.projectURL + "/-/feature_flags"
	}
	b.Resource("feature flag", id, name, url)
	b.Copy("active=object_attributes.active")
	state := "off"
	if b.Body.Bool("object_attributes.active") {
		state = "on"
	}
	b.Change.Action = "feature_flag." + state
	b.Change.Summary = fmt.Sprintf("%s turned feature flag %s %s%s", b.Who(), name, state, b.Where())
}

func statusOf(status string) change.Status {
	switch status {
	case "running":
		return change.Started
	case "success":
		return change.Succeeded
	case "failed":
		return change.Failed
	case "canceled", "canceling":
		return change.Cancelled
	}
	return ""
}
