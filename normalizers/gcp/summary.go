package gcp

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// happened is what Google itself does to resources, by the last part of the
// method of a system event.
var happened = map[string]string{
	"automaticRestart":           "restarted %s",
	"hostError":                  "restarted %s after its host failed",
	"migrateOnHostMaintenance":   "moved %s to another host for maintenance",
	"terminateOnHostMaintenance": "stopped %s for maintenance of its host",
	"preempted":                  "took %s back (preempted)",
	"recreateInstance":           "recreated %s",
	"resetInstance":              "reset %s",
	"expireResources":            "deleted %s as expired",
	"repair":                     "repaired %s",
}

// summary says who did what, where: "ann@example.com deleted VM web-1 in shop-prod".
func (e *entry) summary(c *change.Change) string {
	who := first(c.ChangedBy, "Somebody")
	if said := e.policySaid(); said != "" {
		return who + " " + said + " on " + e.scope(c)
	}
	object := e.object(c)
	if how, ok := happened[e.verb()]; ok && e.log() == "system_event" {
		return who + " " + strings.Replace(how, "%s", object, 1) + in(c.Account, object)
	}
	if e.service == "admin" || e.service == "login" {
		return who + ": " + e.workspace()
	}
	v, object := e.verbAndObject(c, object)
	s := who + " " + v.past + " " + object
	switch c.Status {
	case change.Started:
		s = who + " started to " + v.infinitive + " " + object
	case change.Failed:
		s = who + " failed to " + v.infinitive + " " + object
	}
	s += in(c.Account, object)
	if c.Version != "" && !strings.Contains(s, c.Version) && c.Type != change.Infrastructure {
		s += ", version " + c.Version
	}
	if e.firewallOpen() {
		s += ", open to 0.0.0.0/0"
		if ports := e.ports(); ports != "" {
			s += " (" + ports + ")"
		}
	}
	if open := e.openTo(); open != "" {
		s += ", now open to " + memberName(open)
	}
	if c.Status == change.Failed {
		s += ": " + first(e.status.Get("message").String(), codeName(e.status.Get("code").Int()))
	}
	return s
}

// workspace says what an event of Google Workspace was:
// "add group member, user bob@example.com, group admins@example.com".
func (e *entry) workspace() string {
	said := spaced(e.verb())
	n := 0
	e.metadata.Get("event.0.parameter").ForEach(func(_, p gjson.Result) bool {
		name, value := p.Get("name").String(), p.Get("value").String()
		if value != "" && !redact.Secret(name) {
			said += ", " + strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(name, "_EMAIL"), "_", " ")) + " " + value
			n++
		}
		return n < 4
	})
	return said
}

// verbAndObject says what was done to what.
func (e *entry) verbAndObject(c *change.Change, object string) (verb, string) {
	v, noun := e.saying()
	if e.service == "k8s.io" {
		return e.kubernetesVerb(v), object
	}
	name := e.created(v)
	if name == "" {
		name = c.Resource.Name
	}
	if strings.HasPrefix(v.starts, "setiam") {
		return v, e.scope(c)
	}
	if strings.HasPrefix(v.past, "called ") {
		return v, first(object, e.serviceName)
	}
	if name == c.Account && noun != "project" && c.Resource.Type != "project" {
		name = ""
	}
	return v, first(strings.TrimSpace(noun+" "+name), e.serviceName)
}

// created is the name of what a method creates: its resource is the parent,
// and the request has the new one's id.
func (e *entry) created(v verb) string {
	if v.past != "created" && v.past != "uploaded" {
		return ""
	}
	found := ""
	verb := strings.ToLower(e.verb())
	e.request.ForEach(func(key, value gjson.Result) bool {
		name := strings.ToLower(strings.ReplaceAll(key.Str, "_", ""))
		if id, ok := strings.CutSuffix(name, "id"); ok && value.Type == gjson.String && id != "" && strings.HasSuffix(verb, id) && id != "project" {
			found = value.Str
		}
		return found == ""
	})
	if found == "" && e.service == "iam" && strings.HasSuffix(verb, "serviceaccount") {
		found = e.request.Get("account_id").String()
	}
	return found
}

// object is the resource as people name it: "VM web-1".
func (e *entry) object(c *change.Change) string {
	if e.service == "k8s.io" {
		return e.kubernetes()
	}
	kind := e.called(strings.TrimPrefix(e.resource.Get("type").String(), "audited_resource"))
	return strings.TrimSpace(kind + " " + c.Resource.Name)
}

// scope is where a policy holds: "project shop-prod", "bucket exports".
func (e *entry) scope(c *change.Change) string {
	kind := first(scopes[e.resource.Get("type").String()], scopeOf(e.resourceName))
	return first(strings.TrimSpace(kind+" "+first(c.Resource.Name, c.Account)), e.serviceName)
}

// scopes is what people call the resource types that policies hold for.
var scopes = map[string]string{
	"project": "project", "folder": "folder", "organization": "organization", "gcs_bucket": "bucket", "service_account": "service account",
	"pubsub_topic": "Pub/Sub topic", "pubsub_subscription": "Pub/Sub subscription", "bigquery_dataset": "BigQuery dataset",
	"cloud_run_revision": "Cloud Run service", "cloud_function": "Cloud Function", "gce_instance": "VM", "cloudkms_cryptokey": "KMS key",
	"cloudkms_keyring": "KMS key ring", "billing_account": "billing account",
}

// scopeOf goes by the last collection in a resource's name:
// projects/p/secrets/db is a secret.
func scopeOf(name string) string {
	parts := strings.Split(strings.Trim(name, "/"), "/")
	if len(parts) < 2 {
		return ""
	}
	return spaced(singular(parts[len(parts)-2]))
}

func in(account, object string) string {
	if account == "" || strings.Contains(object, account) {
		return ""
	}
	return " in " + account
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}

// kubernetesVerb says what was done to an object of Kubernetes.
func (e *entry) kubernetesVerb(v verb) verb {
	switch m := e.methodName; {
	case strings.Contains(m, ".pods.exec."), strings.Contains(m, ".pods.attach."):
		return verb{"", "opened a shell in", "open a shell in"}
	case strings.Contains(m, ".pods.portforward."):
		return verb{"", "forwarded ports of", "forward ports of"}
	case strings.Contains(m, ".scale."):
		return verb{"", "scaled", "scale"}
	case e.verb() == "deletecollection":
		return verb{"", "deleted all of", "delete all of"}
	case strings.HasPrefix(v.past, "called"):
		return verb{"", "did " + e.verb() + " on", "do " + e.verb() + " on"}
	}
	return v
}

// kubernetes names an object as people do: deployment web in namespace shop of
// cluster prod-1.
func (e *entry) kubernetes() string {
	parts := strings.Split(e.resourceName, "/")
	at := -1
	for i := 0; i+1 < len(parts); i++ {
		if parts[i] == "namespaces" && i+3 < len(parts) {
			at = i + 2
			break
		}
	}
	namespace := after(e.resourceName, "namespaces/")
	var name string
	switch {
	case at > 0:
		name = spaced(singular(parts[at])) + " " + parts[at+1]
	case len(parts) >= 2:
		name = spaced(singular(parts[len(parts)-2])) + " " + parts[len(parts)-1]
	default:
		return e.resourceName
	}
	if namespace != "" && at > 0 {
		name += " in namespace " + namespace
	}
	if cluster := e.resource.Get("labels.cluster_name").String(); cluster != "" {
		name += " of cluster " + cluster
	}
	return name
}

// build takes what a build, a rollout or a deployment says about the code.
func (e *entry) build(c *change.Change) {
	if id := e.resource.Get("labels.build_id").String(); id != "" {
		c.CorrelationID = first(c.CorrelationID, id)
	}
	if email := e.resource.Get("labels.email_id").String(); email != "" && c.Resource.Type == "service_account" {
		c.Resource.Name = email
	}
	if _, instance, ok := strings.Cut(e.resource.Get("labels.database_id").String(), ":"); ok && instance != "" && e.service == "cloudsql" {
		c.Resource.Name = instance
	}
	r := e.request
	switch e.service {
	case "cloudbuild":
		sub := r.Get("build.substitutions")
		c.CommitSHA = first(sub.Get("COMMIT_SHA").String(), sub.Get("REVISION_ID").String())
		c.Branch, c.Repository, c.Version = sub.Get("BRANCH_NAME").String(), sub.Get("REPO_NAME").String(), sub.Get("TAG_NAME").String()
	case "run":
		c.CommitSHA = first(r.Get("service.metadata.labels.commit-sha").String(), r.Get("service.labels.commit-sha").String())
	case "clouddeploy":
		c.Version = r.Get("releaseId").String()
	case "container":
		c.Version = first(r.Get("update.desiredMasterVersion").String(), r.Get("update.desiredNodeVersion").String(), r.Get("nodeVersion").String())
	}
	c.Version = first(c.Version, imageVersion(e.image))
}

// imageOf finds the image of the first container.
func (e *entry) imageOf() string {
	switch e.service {
	case "run", "k8s.io":
	default:
		return ""
	}
	for _, path := range []string{
		"service.spec.template.spec.containers.0.image", "service.template.containers.0.image", "job.template.template.containers.0.image",
		"spec.template.spec.containers.0.image",
	} {
		if image := e.request.Get(path); image.Type == gjson.String {
			return image.Str
		}
	}
	return ""
}

// imageVersion is an image's tag, or its digest where there is none.
func imageVersion(image string) string {
	name, digest, ok := strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[i+1:]
	}
	if ok {
		return digest
	}
	return ""
}

// labels are what the request puts on a resource.
func (e *entry) labels() gjson.Result {
	if e.service == "k8s.io" {
		return e.request.Get("metadata.labels")
	}
	for _, path := range []string{"labels", "service.labels", "service.metadata.labels", "cluster.resourceLabels", "bucket.labels", "body.settings.userLabels", "instance.labels", "build.tags"} {
		if l := e.request.Get(path); l.Exists() {
			return l
		}
	}
	return gjson.Result{}
}

// maxLabels is the most labels a resource of Google Cloud can have.
const maxLabels = 64

// setLabels takes labels, an object or a list of key and value, and the
// environment where one of them says it.
func setLabels(c *change.Change, labels gjson.Result) {
	labels.ForEach(func(key, v gjson.Result) bool {
		name, value := key.Str, v.Str
		if v.IsObject() {
			name, value = v.Get("key").String(), v.Get("value").String()
		}
		if name == "" || value == "" || redact.Secret(name) {
			return true
		}
		c.Tags = append(c.Tags, name+":"+value)
		switch strings.ToLower(name) {
		case "env", "environment", "stage":
			c.Environment = first(c.Environment, value)
		}
		return len(c.Tags) < maxLabels
	})
}

// inferEnvironment takes the environment from names where nothing else says it.
func inferEnvironment(c *change.Change, names ...string) {
	if c.Environment != "" {
		return
	}
	if env, ok := normalizers.Environment(names...); ok {
		c.Environment = env
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
	}
}
