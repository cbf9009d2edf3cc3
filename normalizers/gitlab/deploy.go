package gitlab

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// deployment says how far a deployment has come. The same one comes as a job
// and in a pipeline, too; this is the one to go by.
func (b *builder) deployment() {
	env, sha, status := b.get("environment"), b.get("short_sha"), b.get("status")
	id := b.id("deployment_id")
	b.c.Environment = env
	b.c.Branch = b.get("ref")
	b.c.CommitSHA = sha
	if full := path.Base(b.get("commit_url")); sha != "" && strings.HasPrefix(full, sha) {
		b.c.CommitSHA = full // the payload has it nowhere else
	}
	b.c.CommitMessage = b.get("commit_title")
	b.c.PipelineURL = b.get("deployable_url")
	b.c.ExternalID = id
	b.c.CorrelationID = b.correlation("deployment", id)
	if job := b.id("deployable_id"); job != "" {
		b.c.CorrelationID = b.correlation("job", job) // which says the same deployment in its own event
	}
	b.at("status_changed_at")
	if id != "" {
		b.fact = fmt.Sprintf("deployment %s %s %s", id, status, b.get("status_changed_at"))
	}
	b.resource("environment", b.body.First("environment_slug", "environment"), env, b.get("environment_external_url"))
	b.copy("status", "status_changed_at", "deployment_id", "short_sha", "ref", "commit_url", "commit_title", "deployable_id", "environment_tier",
		"environment_external_url", "environment_slug")
	b.upgrade(change.Deployment, b.c.CommitMessage)
	b.production(b.get("environment_tier"), env)

	what := strings.TrimSpace(b.project + " " + sha)
	b.c.Status = statusOf(status)
	switch b.c.Status {
	case change.Succeeded:
		b.c.Action = "deployment.succeeded"
		b.c.Summary = fmt.Sprintf("%s deployed to %s", what, env)
		if b.c.ChangedBy != "" {
			b.c.Summary = fmt.Sprintf("%s deployed %s to %s", b.c.ChangedBy, what, env)
		}
	case change.Failed:
		b.c.Action = "deployment.failed"
		b.c.Summary = fmt.Sprintf("deployment of %s to %s failed", what, env)
		b.hint(normalizers.HintFailed)
	case change.Started:
		b.c.Action = "deployment.started"
		b.c.Summary = fmt.Sprintf("%s started deploying %s to %s", b.who(), what, env)
	default:
		b.c.Action = dotted("deployment", status)
		b.c.Summary = fmt.Sprintf("deployment of %s to %s is %s", what, env, words(status))
	}
}

// production hints that an environment is, by its tier or else by its name.
func (b *builder) production(tier, environment string) {
	env, ok := normalizers.Environment(environment)
	if tier == "production" || tier == "" && ok && env == normalizers.Production {
		b.hint(normalizers.HintProduction)
	}
}

// pipeline says how far a pipeline has come. One whose jobs start an
// environment, or which is named so, deploys.
func (b *builder) pipeline() {
	const a = "object_attributes."
	id, ref, name := b.id(a+"id"), b.get(a+"ref"), b.get(a+"name")
	kind := change.Other
	jobs := b.jobs()
	if jobs.environment != "" {
		kind = change.Deployment
		b.c.Environment = jobs.environment
		b.production(jobs.tier, jobs.environment)
	}
	if deploys(name) || deploys(ref) {
		kind = change.Deployment
	}
	b.upgrade(kind, name, ref)
	b.c.CommitSHA = b.get(a + "sha")
	b.c.CommitMessage = b.get("commit.message")
	if b.body.Bool(a + "tag") {
		b.c.Version = ref
	} else {
		b.c.Branch = ref
	}
	b.c.PRNumber = b.id("merge_request.iid")
	b.c.PRURL = b.get("merge_request.url")
	b.c.PipelineURL = b.get(a + "url")
	if b.c.PipelineURL == "" && b.projectURL != "" {
		b.c.PipelineURL = b.projectURL + "/-/pipelines/" + id
	}
	b.c.ExternalID = id
	b.c.CorrelationID = b.correlation("pipeline", id)
	b.resource("pipeline", id, "#"+id, b.c.PipelineURL)
	b.at(a+"finished_at", a+"created_at")
	b.copy("pipeline_iid=object_attributes.iid", "pipeline_name=object_attributes.name", "status=object_attributes.status",
		"detailed_status=object_attributes.detailed_status", "ref=object_attributes.ref", "tag=object_attributes.tag",
		"source=object_attributes.source", "created_at=object_attributes.created_at", "finished_at=object_attributes.finished_at",
		"duration=object_attributes.duration", "commit_id=commit.id", "commit_timestamp=commit.timestamp",
		"pipeline_url=object_attributes.url", "parent_pipeline_id=source_pipeline.pipeline_id")
	b.meta.Set("failed_jobs", jobs.failed)
	b.state("pipeline", "pipeline #"+id, b.get(a+"status"), ref)
	if len(jobs.failed) > 0 && b.c.Status == change.Failed {
		b.c.Summary += " (" + strings.Join(jobs.failed[:min(len(jobs.failed), 3)], ", ") + ")"
	}
}

// jobs are what a pipeline's list of jobs tells about it.
type jobs struct {
	environment, tier string   // that the last job which starts one starts
	failed            []string // and may not fail
}

const maxFailed = 20

func (b *builder) jobs() (j jobs) {
	b.body.Get("builds").ForEach(func(_, build gjson.Result) bool {
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
	b.c.Status = statusOf(status)
	if b.c.Status != "" {
		status = string(b.c.Status)
	}
	b.c.Action = dotted(kind, status)
	b.c.Summary = fmt.Sprintf("%s %s on %s%s", name, words(status), ref, b.where())
	if b.c.Status == change.Failed {
		b.hint(normalizers.HintFailed)
	}
}

// job says how far a job of an environment has come. All other jobs are told
// by their pipeline.
func (b *builder) job() {
	env := b.get("environment.name")
	if env == "" {
		b.ignored = "part of a pipeline"
		return
	}
	if b.project == "" {
		b.project = strings.ReplaceAll(b.get("project_name"), " / ", "/")
		b.c.Repository = strings.ReplaceAll(b.project, " ", "-")
	}
	name, id := b.get("build_name"), b.id("build_id")
	b.upgrade(change.Deployment, name)
	b.c.Environment = env
	b.c.CommitSHA = b.get("sha")
	b.c.CommitMessage = b.get("commit.message")
	b.c.Branch = b.get("ref")
	if b.body.Bool("tag") {
		b.c.Branch, b.c.Version = "", b.c.Branch
	}
	b.c.ExternalID = id
	b.c.CorrelationID = b.correlation("job", id)
	url := ""
	if b.projectURL != "" {
		url = b.projectURL + "/-/jobs/" + id
		if pipeline := b.id("pipeline_id"); pipeline != "" {
			b.c.PipelineURL = b.projectURL + "/-/pipelines/" + pipeline
		}
	}
	b.resource("job", id, name, url)
	b.at("build_finished_at", "build_started_at", "build_created_at")
	b.copy("build_status", "build_stage", "build_started_at", "build_finished_at", "build_failure_reason", "retries_count", "ref", "tag",
		"pipeline_id", "repository_name=repository.name", "environment_action=environment.action", "deployment_tier=environment.deployment_tier")
	b.state("job", "job "+name, b.get("build_status"), b.get("ref"))
	b.c.Summary += " for " + env
	if b.get("environment.action") == "stop" {
		b.hint(normalizers.HintDestructive)
	}
	b.production(b.get("environment.deployment_tier"), env)
}

// featureFlag says that a flag was turned on or off. The payload has no time.
func (b *builder) featureFlag() {
	id, name := b.id("object_attributes.id"), b.get("object_attributes.name")
	b.c.Type = change.FeatureFlag
	b.c.Description = b.get("object_attributes.description")
	b.c.ExternalID = id
	url := ""
	if b.projectURL != "" {
		url = b.projectURL + "/-/feature_flags"
	}
	b.resource("feature flag", id, name, url)
	b.copy("active=object_attributes.active")
	state := "off"
	if b.body.Bool("object_attributes.active") {
		state = "on"
	}
	b.c.Action = "feature_flag." + state
	b.c.Summary = fmt.Sprintf("%s turned feature flag %s %s%s", b.who(), name, state, b.where())
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

// deploys reports whether a name is one of a deployment.
func deploys(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"deploy", "release", "rollout", "publish", "promote"}, func(word string) bool {
		return strings.Contains(name, word)
	})
}
