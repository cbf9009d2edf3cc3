package gcp

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// isBuild knows a build of Cloud Build by its members.
func isBuild(v gjson.Result) bool {
	return v.Get("id").Exists() && v.Get("projectId").Exists() && v.Get("status").Exists() &&
		(v.Get("buildTriggerId").Exists() || v.Get("logUrl").Exists())
}

// buildKey is the same by every path: a build publishes each status once.
func buildKey(b gjson.Result) string {
	return strings.Join([]string{"build", b.Get("projectId").String(), b.Get("id").String(), b.Get("status").String()}, "|")
}

// fromBuild reads the build that Cloud Build publishes at each step.
// https://cloud.google.com/build/docs/subscribe-build-notifications
func fromBuild(b gjson.Result) change.Change {
	sub := b.Get("substitutions")
	source := b.Get("sourceProvenance")
	status := b.Get("status").String()
	c := change.Change{
		Type:          change.Deployment,
		Action:        "build." + strings.ToLower(status),
		Account:       b.Get("projectId").String(),
		CorrelationID: b.Get("id").String(),
		ExternalID:    b.Get("id").String(),
		CommitSHA: first(sub.Get("COMMIT_SHA").String(), sub.Get("REVISION_ID").String(),
			source.Get("resolvedRepoSource.commitSha").String(), source.Get("resolvedConnectedRepository.revision").String(), source.Get("resolvedGitSource.revision").String()),
		Branch:      sub.Get("BRANCH_NAME").String(),
		Repository:  first(sub.Get("REPO_FULL_NAME").String(), sub.Get("REPO_NAME").String()),
		Version:     first(sub.Get("TAG_NAME").String(), imageVersion(b.Get("images.0").String())),
		PipelineURL: webURL(b.Get("logUrl").String()),
		Resource: change.Resource{
			Type: "build", ID: b.Get("id").String(),
			Name: first(sub.Get("TRIGGER_NAME").String(), sub.Get("REPO_NAME").String(), b.Get("id").String()),
		},
		Environment: first(sub.Get("_ENVIRONMENT").String(), sub.Get("_ENV").String(), sub.Get("_DEPLOY_ENV").String()),
		Metadata:    buildKept(b),
	}
	when := b.Get("createTime").String()
	became := ""
	switch status {
	case "QUEUED", "PENDING":
		c.Status, became = change.Started, "is queued"
	case "WORKING":
		c.Status, became = change.Started, "started"
		when = first(b.Get("startTime").String(), when)
	case "SUCCESS":
		c.Status, became = change.Succeeded, "succeeded"
	case "CANCELLED":
		c.Status, became = change.Cancelled, "was cancelled"
	case "TIMEOUT", "EXPIRED":
		c.Status, became = change.Failed, "ran out of time"
	default:
		c.Status, became = change.Failed, "failed"
	}
	if c.Status == change.Failed {
		c.RiskHints = []string{normalizers.HintFailed}
	}
	if c.Status != change.Started {
		when = first(b.Get("finishTime").String(), when)
	}
	if t, ok := normalizers.ParseTime(when); ok {
		c.OccurredAt = change.At(t)
	}
	c.Type = normalizers.Upgrade(c.Type, c.Resource.Name)
	inferEnvironment(&c, c.Resource.Name)
	c.Summary = "Build of " + c.Resource.Name
	if c.Branch != "" {
		c.Summary += " (" + c.Branch + ")"
	}
	c.Summary += " " + became
	if c.Status == change.Failed {
		if why := b.Get("failureInfo.detail").String(); why != "" {
			c.Summary += ": " + normalizers.FirstLine(why)
		}
	}
	return c
}

// buildKept is a build less its steps, whose arguments may hold anything.
func buildKept(b gjson.Result) json.RawMessage {
	var m normalizers.Meta
	for _, name := range []string{"id", "projectId", "status", "statusDetail", "buildTriggerId", "createTime", "startTime", "finishTime", "serviceAccount"} {
		m.Set(name, b.Get(name).String())
	}
	for _, name := range []string{"substitutions", "images", "tags", "sourceProvenance", "failureInfo"} {
		m.Set(name, redact.JSON(b.Get(name)))
	}
	return m.JSON()
}

func webURL(s string) string {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return s
	}
	return ""
}
