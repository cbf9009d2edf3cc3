package gcp

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
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
func fromBuild(v gjson.Result) change.Change {
	b := fields.Of(v)
	sub := b.Object("substitutions")
	source := b.Object("sourceProvenance")
	status := b.Text("status")
	c := change.Change{
		Type:          change.Deployment,
		Action:        "build." + strings.ToLower(status),
		Account:       b.Text("projectId"),
		CorrelationID: b.Text("id"),
		ExternalID:    b.Text("id"),
		CommitSHA: first(sub.Text("COMMIT_SHA"), sub.Text("REVISION_ID"),
			source.Text("resolvedRepoSource.commitSha"), source.Text("resolvedConnectedRepository.revision"), source.Text("resolvedGitSource.revision")),
		Branch:      sub.Text("BRANCH_NAME"),
		Repository:  first(sub.Text("REPO_FULL_NAME"), sub.Text("REPO_NAME")),
		Version:     first(sub.Text("TAG_NAME"), imageVersion(b.Get("images").Get("0").String())),
		PipelineURL: webURL(b.Text("logUrl")),
		Resource: change.Resource{
			Type: "build", ID: b.Text("id"),
			Name: first(sub.Text("TRIGGER_NAME"), sub.Text("REPO_NAME"), b.Text("id")),
		},
		Environment: first(sub.Text("_ENVIRONMENT"), sub.Text("_ENV"), sub.Text("_DEPLOY_ENV")),
		Metadata:    buildKept(b),
	}
	when := b.Text("createTime")
	became := ""
	switch status {
	case "QUEUED", "PENDING":
		c.Status, became = change.Started, "is queued"
	case "WORKING":
		c.Status, became = change.Started, "started"
		when = first(b.Text("startTime"), when)
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
		when = first(b.Text("finishTime"), when)
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
		if why := b.Text("failureInfo.detail"); why != "" {
			c.Summary += ": " + normalizers.FirstLine(why)
		}
	}
	return c
}

// buildKept is a build less its steps, whose arguments may hold anything.
func buildKept(b *fields.Object) json.RawMessage {
	var m normalizers.Meta
	for _, name := range []string{"id", "projectId", "status", "statusDetail", "buildTriggerId", "createTime", "startTime", "finishTime", "serviceAccount"} {
		m.Set(name, b.Text(name))
	}
	for _, name := range []string{"substitutions", "images", "tags", "sourceProvenance", "failureInfo"} {
		m.SetRaw(name, redact.Raw(b.Get(name)))
	}
	return m.JSON()
}

func webURL(s string) string {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return s
	}
	return ""
}
