package gitlab

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/xanzy/go-gitlab"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// deployment says how far a deployment has come. The same one comes as a job
// and in a pipeline, too; this is the one to go by.
func (b *builder) deployment(p *gitlab.DeploymentEvent) {
	b.c.Environment = p.Environment
	b.c.Branch = p.Ref
	b.c.CommitSHA = p.ShortSHA
	if sha := path.Base(p.CommitURL); p.CommitURL != "" && strings.HasPrefix(sha, p.ShortSHA) {
		b.c.CommitSHA = sha // the payload has it nowhere else
	}
	b.c.CommitMessage = p.CommitTitle
	b.c.PipelineURL = p.DeployableURL
	b.c.ExternalID = idOf(p.DeploymentID)
	b.c.CorrelationID = b.correlation("deployment", idOf(p.DeploymentID))
	b.at(p.StatusChangedAt)
	b.resource("environment", first(p.EnvironmentSlug, p.Environment), p.Environment, p.EnvironmentExternalURL)
	b.copy("status", "status_changed_at", "short_sha", "ref", "commit_url", "commit_title", "deployable_id", "environment_tier",
		"environment_external_url", "environment_slug")
	b.upgrade(change.Deployment, p.CommitTitle)
	if b.get("environment_tier") == "production" || isProduction(p.Environment) {
		b.hint(normalizers.HintProduction)
	}

	what := strings.TrimSpace(b.project + " " + p.ShortSHA)
	b.c.Status = statusOf(p.Status)
	switch b.c.Status {
	case change.Succeeded:
		b.c.Action = "deployment.succeeded"
		b.c.Summary = fmt.Sprintf("%s deployed to %s", what, p.Environment)
	case change.Failed:
		b.c.Action = "deployment.failed"
		b.c.Summary = fmt.Sprintf("deployment of %s to %s failed", what, p.Environment)
		b.hint(normalizers.HintFailed)
	case change.Started:
		b.c.Action = "deployment.started"
		b.c.Summary = fmt.Sprintf("%s started deploying %s to %s", b.who(), what, p.Environment)
	default:
		b.c.Action = strings.TrimSuffix("deployment."+p.Status, ".")
		b.c.Summary = fmt.Sprintf("deployment of %s to %s is %s", what, p.Environment, words(p.Status))
	}
}

func isProduction(environment string) bool {
	env, ok := normalizers.Environment(environment)
	return ok && env == normalizers.Production
}

// pipeline says how far a pipeline has come. One whose jobs start an
// environment, or which is named so, deploys.
func (b *builder) pipeline(p *gitlab.PipelineEvent) {
	a := p.ObjectAttributes
	kind := change.Other
	for _, build := range p.Builds {
		if build.Environment.Action == "start" {
			kind = change.Deployment
			b.c.Environment = build.Environment.Name
		}
	}
	if deploys(a.Name) || deploys(a.Ref) {
		kind = change.Deployment
	}
	b.upgrade(kind, a.Name, a.Ref)
	b.c.CommitSHA = a.SHA
	b.c.CommitMessage = p.Commit.Message
	if a.Tag {
		b.c.Version = a.Ref
	} else {
		b.c.Branch = a.Ref
	}
	if p.MergeRequest.IID != 0 {
		b.c.PRNumber = idOf(p.MergeRequest.IID)
		b.c.PRURL = p.MergeRequest.URL
	}
	b.c.PipelineURL = a.URL
	if b.c.PipelineURL == "" {
		if url := b.get("project.web_url"); url != "" {
			b.c.PipelineURL = url + "/-/pipelines/" + idOf(a.ID)
		}
	}
	b.c.ExternalID = idOf(a.ID)
	b.c.CorrelationID = b.correlation("pipeline", idOf(a.ID))
	b.resource("pipeline", idOf(a.ID), "#"+idOf(a.ID), b.c.PipelineURL)
	b.at(a.CreatedAt)
	b.at(a.FinishedAt)
	b.copy("pipeline_iid=object_attributes.iid", "status=object_attributes.status", "detailed_status=object_attributes.detailed_status",
		"ref=object_attributes.ref", "tag=object_attributes.tag", "source=object_attributes.source",
		"created_at=object_attributes.created_at", "finished_at=object_attributes.finished_at",
		"duration=object_attributes.duration", "commit_id=commit.id", "commit_timestamp=commit.timestamp", "pipeline_url=object_attributes.url")
	b.state("pipeline", "pipeline #"+idOf(a.ID), a.Status, a.Ref)
}

// state says how far a pipeline or job has come.
func (b *builder) state(kind, name, status, ref string) {
	b.c.Status = statusOf(status)
	if b.c.Status != "" {
		status = string(b.c.Status)
	}
	b.c.Action = strings.TrimSuffix(kind+"."+status, ".")
	b.c.Summary = fmt.Sprintf("%s %s on %s%s", name, words(status), ref, b.where())
	if b.c.Status == change.Failed {
		b.hint(normalizers.HintFailed)
	}
}

// job says how far a job of an environment has come. All other jobs are told
// by their pipeline.
func (b *builder) job(p *gitlab.JobEvent) (ignored string) {
	if p.Environment.Name == "" {
		return "part of a pipeline"
	}
	if b.project == "" {
		b.project = strings.ReplaceAll(p.ProjectName, " / ", "/")
		b.c.Repository = strings.ReplaceAll(b.project, " ", "-")
	}
	b.upgrade(change.Deployment, p.BuildName)
	b.c.Environment = p.Environment.Name
	b.c.CommitSHA = p.SHA
	b.c.CommitMessage = p.Commit.Message
	b.c.Branch = p.Ref
	b.c.ExternalID = idOf(p.BuildID)
	b.c.CorrelationID = b.correlation("pipeline", idOf(p.PipelineID))
	b.resource("job", idOf(p.BuildID), p.BuildName, "")
	b.at(p.BuildCreatedAt)
	b.at(p.BuildStartedAt)
	b.at(p.BuildFinishedAt)
	b.copy("build_status", "build_stage", "build_started_at", "build_finished_at", "build_failure_reason", "ref", "tag", "pipeline_id",
		"repository_name=repository.name", "environment_action=environment.action", "deployment_tier=environment.deployment_tier")
	b.state("job", "job "+p.BuildName, p.BuildStatus, p.Ref)
	b.c.Summary += " for " + p.Environment.Name
	if p.Environment.Action == "stop" {
		b.hint(normalizers.HintDestructive)
	}
	if p.Environment.DeploymentTier == "production" || isProduction(p.Environment.Name) {
		b.hint(normalizers.HintProduction)
	}
	return ""
}

// featureFlag says that a flag was turned on or off. The payload has no time.
func (b *builder) featureFlag(p *gitlab.FeatureFlagEvent) {
	flag := p.ObjectAttributes
	b.c.Type = change.FeatureFlag
	b.c.Description = flag.Description
	b.c.ExternalID = idOf(flag.ID)
	b.resource("feature flag", idOf(flag.ID), flag.Name, "")
	b.copy("active=object_attributes.active")
	state := "off"
	if flag.Active {
		state = "on"
	}
	b.c.Action = "feature_flag." + state
	b.c.Summary = fmt.Sprintf("%s turned feature flag %s %s%s", b.who(), flag.Name, state, b.where())
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
	return slices.ContainsFunc([]string{"deploy", "release", "rollout", "publish", "promote"}, func(word string) bool {
		return strings.Contains(strings.ToLower(name), word)
	})
}

func words(s string) string { return strings.ReplaceAll(s, "_", " ") }
