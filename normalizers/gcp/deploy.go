package gcp

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// delivery is one kind of message of Cloud Deploy.
type delivery struct {
	kind, action string // the attributes ResourceType and Action; * for any
	typ          change.Type
	status       change.Status
	past         string // "Rollout r-1 of checkout to prod" + this
	ignore       string
}

// deliveries hold what Cloud Deploy publishes on its topics
// clouddeploy-resources, -operations, -approvals and -advances; the first that
// matches wins.
// https://cloud.google.com/deploy/docs/subscribe-deploy-notifications
var deliveries = []delivery{
	{"JobRun", "*", "", "", "", "a job of a rollout: the rollout tells of it"},
	{"AutomationRun", "*", "", "", "", "a run of an automation: the rollout tells of it"},
	{"Rollout", "Start", change.Deployment, change.Started, "started", ""},
	{"Rollout", "Succeed", change.Deployment, change.Succeeded, "succeeded", ""},
	{"Rollout", "Failure", change.Deployment, change.Failed, "failed", ""},
	{"Rollout", "Cancelled", change.Deployment, change.Cancelled, "was cancelled", ""},
	{"Rollout", "Required", "", "", "", "waits for approval, nothing has changed yet"},
	{"Rollout", "Approved", change.Deployment, change.Started, "was approved", ""},
	{"Rollout", "Rejected", change.Deployment, change.Cancelled, "was rejected", ""},
	{"Rollout", "Pending", "", "", "", "waits to be advanced, nothing has changed yet"},
	{"Rollout", "Advanced", change.Deployment, change.Started, "was advanced", ""},
	{"Rollout", "*", "", "", "", "a rollout's own record: the topic clouddeploy-operations tells how it goes"},
	{"Release", "Create", change.Other, "", "was created", ""},
	{"Release", "Failure", change.Other, change.Failed, "could not be rendered", ""},
	{"Release", "Abandoned", change.Other, change.Cancelled, "was abandoned", ""},
	{"Release", "*", "", "", "", "a release is being rendered, nothing is deployed yet"},
	{"*", "Create", change.ConfigChange, change.Succeeded, "was created", ""},
	{"*", "Update", change.ConfigChange, change.Succeeded, "was updated", ""},
	{"*", "Delete", change.ConfigChange, change.Succeeded, "was deleted", ""},
	{"*", "*", change.Other, "", "", ""},
}

func findDelivery(a gjson.Result) *delivery {
	kind, action := a.Get("ResourceType").String(), a.Get("Action").String()
	if kind == "" && a.Get("Rollout").Exists() {
		kind = "Rollout"
	}
	for i := range deliveries {
		d := &deliveries[i]
		if (d.kind == "*" || d.kind == kind) && (d.action == "*" || d.action == action) {
			return d
		}
	}
	return &deliveries[len(deliveries)-1]
}

// fromDelivery reads a message of Cloud Deploy, which is all in its attributes.
func fromDelivery(a gjson.Result, row *delivery) change.Change {
	str := func(name string) string { return a.Get(name).String() }
	kind, action := str("ResourceType"), str("Action")
	name := first(str("Resource"), str("Rollout"))
	c := change.Change{
		Type:        row.typ,
		Status:      row.status,
		Action:      strings.ToLower(kind + "." + action),
		Resource:    change.Resource{Type: strings.ToLower(kind), ID: name, Name: lastSegment(name)},
		Environment: str("TargetId"),
		Account:     first(after(name, "projects/"), str("ProjectNumber")),
		Region:      first(str("Location"), after(name, "locations/")),
		Version:     first(str("ReleaseId"), after(name, "releases/")),
	}
	pipeline := first(str("DeliveryPipelineId"), after(name, "deliveryPipelines/"))
	if kind == "Rollout" || kind == "Release" {
		c.CorrelationID = name
		c.Resource.Name = first(pipeline, c.Resource.Name)
	}
	if env, ok := normalizers.Environment(c.Environment); ok {
		c.Environment = env
	}
	if c.Status == change.Failed {
		c.RiskHints = []string{normalizers.HintFailed}
	}
	if rollout := lastSegment(name); kind == "Rollout" && normalizers.Upgrade(c.Type, rollout) == change.Rollback {
		c.Type = change.Rollback
		c.RiskHints = append(c.RiskHints, rollback)
	}
	c.Summary = first(kind, "Cloud Deploy") + " " + lastSegment(name)
	if kind == "Rollout" {
		c.Summary = "Rollout of " + strings.TrimSpace(pipeline+" "+c.Version)
	}
	if target := str("TargetId"); target != "" {
		c.Summary += " to " + target
	}
	c.Summary += " " + first(row.past, strings.ToLower(action))
	if kind == "Release" && pipeline != "" {
		c.Summary += " in " + pipeline
	}
	return c
}

// notification is one kind of message about a GKE cluster.
type notification struct {
	kind   string // the last part of type_url
	ignore string
	says   string
}

// notifications are what GKE publishes about its clusters; the first that
// matches wins.
// https://cloud.google.com/kubernetes-engine/docs/concepts/cluster-notifications
var notifications = []notification{
	{"UpgradeEvent", "", "`maintenance`, started: the old and new version"},
	{"UpgradeInfoEvent", "", "`maintenance`: how an upgrade ended"},
	{"UpgradeAvailableEvent", "offer of a new version", ""},
	{"SecurityBulletinEvent", "security bulletin: nothing has changed yet", ""},
	{"*", "", "`other`"},
}

func findNotification(a gjson.Result) *notification {
	kind := a.Get("type_url").String()
	kind = kind[strings.LastIndexByte(kind, '.')+1:]
	for i := range notifications {
		if n := &notifications[i]; n.kind == kind || n.kind == "*" {
			return n
		}
	}
	return &notifications[len(notifications)-1]
}

// fromCluster reads a message about a GKE cluster; the attribute payload is
// JSON, the data is a sentence.
func fromCluster(a gjson.Result, row *notification, sentence string) change.Change {
	payload := gjson.Result{}
	if text := a.Get("payload").String(); gjson.Valid(text) {
		payload = gjson.Parse(text)
	}
	cluster := a.Get("cluster_name").String()
	kind := a.Get("type_url").String()
	kind = kind[strings.LastIndexByte(kind, '.')+1:]
	c := change.Change{
		Type:          change.Maintenance,
		Action:        "gke." + strings.ToLower(spaced(kind)),
		Account:       a.Get("project_id").String(),
		Region:        a.Get("cluster_location").String(),
		Version:       payload.Get("targetVersion").String(),
		CorrelationID: payload.Get("operation").String(),
		Actor:         change.Actor{ID: "container.googleapis.com", Name: "GKE", Type: "system"},
		ChangedBy:     "GKE",
		Resource:      change.Resource{Type: "gke_cluster", ID: cluster, Name: cluster},
		Description:   sentence,
	}
	c.Action = strings.ReplaceAll(c.Action, " ", "_")
	if row.kind == "*" {
		c.Type = change.Other
	}
	switch payload.Get("state").String() {
	case "SUCCEEDED":
		c.Status = change.Succeeded
	case "FAILED":
		c.Status = change.Failed
		c.RiskHints = []string{normalizers.HintFailed}
	case "CANCELED", "CANCELLED":
		c.Status = change.Cancelled
	default:
		if row.kind != "*" {
			c.Status = change.Started
		}
	}
	when := payload.Get("operationStartTime").String()
	if c.Status == change.Started {
		when = first(when, payload.Get("startTime").String())
	} else {
		when = payload.Get("endTime").String()
	}
	if t, ok := normalizers.ParseTime(when); ok {
		c.OccurredAt = change.At(t)
	}
	inferEnvironment(&c, cluster, c.Account)
	what := "control plane"
	if payload.Get("resourceType").String() == "NODE_POOL" {
		what = strings.TrimSpace("node pool " + lastSegment(payload.Get("resource").String()))
	}
	from, to := payload.Get("currentVersion").String(), c.Version
	if to == "" {
		c.Summary = first(normalizers.FirstLine(sentence), "GKE cluster "+cluster+": "+spaced(kind))
		return c
	}
	verb := map[change.Status]string{change.Succeeded: "upgraded", change.Failed: "failed to upgrade", change.Cancelled: "cancelled upgrading"}[c.Status]
	c.Summary = "GKE " + first(verb, "started to upgrade") + " the " + what + " of cluster " + cluster
	if from != "" {
		c.Summary += " from " + from
	}
	c.Summary += " to " + to
	return c
}
