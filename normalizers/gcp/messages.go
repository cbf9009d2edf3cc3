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
	if f.Get("mute").String() == "MUTED" {
		return normalizers.Ignore("muted finding")
	}
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
	m.SetRaw("finding", redact.Raw(f))
	m.SetRaw("resource", redact.Raw(v.Get("resource")))
	c.Metadata = m.JSON()
	return normalizers.One(c, strings.Join([]string{c.ExternalID, f.Get("state").String(), f.Get("eventTime").String()}, "|"))
}

// fromPubSub makes a change of a message that holds nothing we know by its
// shape: a build of Cloud Build, a rollout of Cloud Deploy, an upgrade of GKE,
// any JSON, or text.
func fromPubSub(v gjson.Result, r normalizers.Record) (normalizers.Result, error) {
	message := v.Get("message")
	data, _ := base64.StdEncoding.DecodeString(message.Get("data").String())
	attributes := message.Get("attributes")
	id := first(message.Get("messageId").String(), message.Get("message_id").String())
	inner := gjson.Result{}
	if normalizers.CheckJSON(data) == nil {
		inner = gjson.ParseBytes(data)
	}
	var c change.Change
	key := ""
	switch {
	case inner.IsObject() && attributes.Get("buildId").Exists() && inner.Get("status").Exists():
		c, key = fromBuild(inner), buildKey(inner)
	case attributes.Get("ResourceType").Exists() && attributes.Get("Action").Exists():
		row := findDelivery(attributes)
		if row.ignore != "" {
			return normalizers.Ignore(row.ignore), nil
		}
		c = fromDelivery(attributes, row)
	case attributes.Get("type_url").Exists() && attributes.Get("cluster_name").Exists():
		row := findNotification(attributes)
		if row.ignore != "" {
			return normalizers.Ignore(row.ignore), nil
		}
		c = fromCluster(attributes, row, string(data))
	case inner.IsObject():
		r.JSON = data
		made, err := generic.New().Normalize(r)
		if err != nil || len(made.Drafts) == 0 {
			return made, err
		}
		c = made.Drafts[0].Change
	default:
		c = change.Change{Type: change.Other, Action: "pubsub.message"}
		c.Summary = "Pub/Sub message " + id + " from " + lastSegment(v.Get("subscription").String())
		if text := string(data); utf8.Valid(data) && text != "" && strings.IndexFunc(text, unprintable) < 0 {
			c.Summary = text
		}
	}
	var m normalizers.Meta
	m.Set("subscription", v.Get("subscription").String())
	m.Set("messageId", id)
	m.Set("publishTime", first(message.Get("publishTime").String(), message.Get("publish_time").String()))
	m.Set("orderingKey", message.Get("orderingKey").String())
	m.SetRaw("attributes", redact.Raw(attributes))
	switch {
	case len(c.Metadata) > 0:
		m.Set("message", c.Metadata)
	case inner.Exists():
		m.SetRaw("message", redact.Raw(inner))
	default:
		m.Set("data", message.Get("data").String())
	}
	c.Metadata = m.JSON()
	c.ExternalID = first(c.ExternalID, id)
	c.Account = first(c.Account, after(v.Get("subscription").String(), "projects/"))
	if c.OccurredAt.IsZero() {
		if t, ok := normalizers.ParseTime(first(message.Get("publishTime").String(), r.EnvelopeTime)); ok {
			c.OccurredAt = change.At(t)
		}
	}
	if key == "" && id != "" {
		key = "pubsub|" + v.Get("subscription").String() + "|" + id
	}
	return normalizers.One(c, key), nil
}

func unprintable(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' }
