package gcp

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/generic"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// fromFinding makes a change of a finding of Security Command Center: a sign
// that something is not as it should be.
// https://cloud.google.com/security-command-center/docs/how-to-notifications
func fromFinding(v gjson.Result) normalizers.Result {
	f := v.Get("finding")
	c := change.Change{
		Type:       change.Incident,
		Action:     "finding." + strings.ToLower(first(f.Get("state").String(), "active")),
		Status:     change.Started,
		ExternalID: f.Get("name").String(),
		Actor:      change.Actor{ID: "securitycenter.googleapis.com", Name: "Security Command Center", Type: "alerting"},
		ChangedBy:  "Security Command Center",
		Resource: change.Resource{
			ID:   f.Get("resourceName").String(),
			Name: lastSegment(f.Get("resourceName").String()),
			Type: first(v.Get("resource.type").String(), "gcp_resource"),
			URL:  f.Get("externalUri").String(),
		},
		CorrelationID: f.Get("name").String(),
		Account:       after(f.Get("resourceName").String(), "projects/"),
	}
	if f.Get("state").String() == "INACTIVE" {
		c.Status = change.Succeeded
	}
	switch f.Get("severity").String() {
	case "CRITICAL":
		c.Risk = change.Critical
	case "HIGH":
		c.Risk = change.High
	case "MEDIUM":
		c.Risk = change.Medium
	}
	c.Summary = "Finding: " + strings.ToLower(strings.ReplaceAll(f.Get("category").String(), "_", " ")) +
		" on " + first(v.Get("resource.displayName").String(), c.Resource.Name, "a resource")
	c.Description = f.Get("sourceProperties.Explanation").String()
	if t, ok := normalizers.ParseTime(first(f.Get("eventTime").String(), f.Get("createTime").String())); ok {
		c.OccurredAt = change.At(t)
	}
	var m normalizers.Meta
	m.Set("notificationConfigName", v.Get("notificationConfigName").String())
	m.Set("finding", redact.JSON(f))
	m.Set("resource", redact.JSON(v.Get("resource")))
	c.Metadata = m.JSON()
	return normalizers.One(c, strings.Join([]string{c.ExternalID, f.Get("state").String(), f.Get("eventTime").String()}, "|"))
}

// fromPubSub makes a change of a message that holds nothing we know by its
// shape: a build of Cloud Build, a rollout of Cloud Deploy, any JSON, or text.
func fromPubSub(v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
	message := v.Get("message")
	data, _ := base64.StdEncoding.DecodeString(message.Get("data").String())
	attributes := message.Get("attributes")
	res := normalizers.Result{Drafts: make([]normalizers.Draft, 1)}
	c := &res.Drafts[0].Change
	inner := gjson.Result{}
	if normalizers.CheckJSON(data) == nil {
		inner = gjson.ParseBytes(data)
	}
	switch {
	case inner.IsObject() && inner.Get("status").Exists() && attributes.Get("buildId").Exists():
		*c = fromBuild(inner)
	case attributes.Get("ResourceType").Exists() && attributes.Get("Action").Exists():
		*c = fromDelivery(attributes)
	case inner.IsObject():
		r.JSON = data
		made, err := generic.New().Normalize(r)
		if err != nil || len(made.Drafts) == 0 {
			return made, err
		}
		*c = made.Drafts[0].Change
	default:
		*c = change.Change{Type: change.Other, Action: "pubsub.message"}
		if utf8.Valid(data) && len(data) > 0 && strings.IndexFunc(string(data), unprintable) < 0 {
			c.Summary = string(data)
		} else {
			c.Summary = "Pub/Sub message " + message.Get("messageId").String() + " from " + lastSegment(v.Get("subscription").String())
		}
	}
	var m normalizers.Meta
	m.Set("subscription", v.Get("subscription").String())
	m.Set("messageId", first(message.Get("messageId").String(), message.Get("message_id").String()))
	m.Set("publishTime", first(message.Get("publishTime").String(), message.Get("publish_time").String()))
	m.Set("orderingKey", message.Get("orderingKey").String())
	m.Set("attributes", redact.JSON(attributes))
	switch {
	case len(c.Metadata) > 0:
		m.Set("message", c.Metadata)
	case inner.Exists():
		m.Set("message", redact.JSON(inner))
	default:
		m.Set("data", message.Get("data").String())
	}
	c.Metadata = m.JSON()
	id := first(message.Get("messageId").String(), message.Get("message_id").String())
	c.ExternalID = first(c.ExternalID, id)
	c.Account = first(c.Account, after(v.Get("subscription").String(), "projects/"))
	if c.OccurredAt.IsZero() {
		if t, ok := normalizers.ParseTime(first(message.Get("publishTime").String(), r.EnvelopeTime)); ok {
			c.OccurredAt = change.At(t)
		}
	}
	if id != "" {
		res.Drafts[0].Key = "pubsub|" + v.Get("subscription").String() + "|" + id
	}
	return res, nil
}

func unprintable(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' }

// fromBuild reads the build that Cloud Build publishes at each step.
// https://cloud.google.com/build/docs/subscribe-build-notifications
func fromBuild(b gjson.Result) change.Change {
	sub := b.Get("substitutions")
	status := b.Get("status").String()
	c := change.Change{
		Type:          change.Deployment,
		Action:        "build." + strings.ToLower(status),
		Account:       b.Get("projectId").String(),
		CorrelationID: b.Get("id").String(),
		ExternalID:    b.Get("id").String(),
		CommitSHA:     first(sub.Get("COMMIT_SHA").String(), b.Get("sourceProvenance.resolvedRepoSource.commitSha").String()),
		Branch:        sub.Get("BRANCH_NAME").String(),
		Repository:    sub.Get("REPO_NAME").String(),
		Version:       sub.Get("TAG_NAME").String(),
		PipelineURL:   b.Get("logUrl").String(),
		Resource:      change.Resource{Type: "build", ID: b.Get("id").String(), Name: first(sub.Get("TRIGGER_NAME").String(), sub.Get("REPO_NAME").String(), b.Get("id").String())},
	}
	when := b.Get("createTime").String()
	switch status {
	case "QUEUED", "PENDING", "WORKING":
		c.Status = change.Started
		when = first(b.Get("startTime").String(), when)
	case "SUCCESS":
		c.Status = change.Succeeded
	case "CANCELLED":
		c.Status = change.Cancelled
	default:
		c.Status = change.Failed
		c.RiskHints = []string{normalizers.HintFailed}
	}
	if c.Status != change.Started {
		when = first(b.Get("finishTime").String(), when)
	}
	if t, ok := normalizers.ParseTime(when); ok {
		c.OccurredAt = change.At(t)
	}
	c.Summary = "Build of " + c.Resource.Name
	if c.Branch != "" {
		c.Summary += " (" + c.Branch + ")"
	}
	c.Summary += ": " + strings.ToLower(status)
	return c
}

// fromDelivery reads what Cloud Deploy publishes about releases and rollouts.
// https://cloud.google.com/deploy/docs/subscribe-deploy-notifications
func fromDelivery(a gjson.Result) change.Change {
	kind, action := a.Get("ResourceType").String(), a.Get("Action").String()
	name := a.Get("Resource").String()
	c := change.Change{
		Type:        change.Deployment,
		Action:      strings.ToLower(kind + "." + action),
		Resource:    change.Resource{Type: strings.ToLower(kind), ID: name, Name: lastSegment(name)},
		Environment: a.Get("TargetId").String(),
		Account:     a.Get("ProjectNumber").String(),
		Region:      a.Get("Location").String(),
		Version:     a.Get("ReleaseId").String(),
	}
	switch action {
	case "Start":
		c.Status = change.Started
	case "Succeed":
		c.Status = change.Succeeded
	case "Failure":
		c.Status = change.Failed
	}
	c.Summary = kind + " " + c.Resource.Name + ": " + action
	if c.Environment != "" {
		c.Summary += " to " + c.Environment
	}
	return c
}

// fromOther takes what came by Google's ways and is none of its own kinds.
func fromOther(r normalizers.Record) (normalizers.Result, error) {
	return generic.New().Normalize(r)
}
