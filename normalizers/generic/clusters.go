package generic

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// clusters are what speaks out of a Kubernetes cluster.
var clusters = map[string]*provider{
	"argocd": {
		fallback: change.Deployment,
		profile: profile{
			time: "app.status.operationState.finishedAt app.status.operationState.startedAt status.operationState.finishedAt status.operationState.startedAt " +
				"finished_at finishedAt timestamp time started_at startedAt",
			actor: "app.status.operationState.operation.initiatedBy.username status.operationState.operation.initiatedBy.username initiated_by initiatedBy user author",
			// A template names what it likes: ours first, then the ones of the catalog.
			action: "trigger event context.trigger =sync", status: "app.status.operationState.phase status.operationState.phase operation_phase operationPhase phase",
			headline: "app.metadata.name metadata.name app application app_name", service: "app.metadata.name metadata.name app application app_name",
			environment: "environment env app.metadata.labels.environment app.metadata.labels.env metadata.labels.environment metadata.labels.env",
			commit:      "app.status.operationState.syncResult.revision app.status.sync.revision status.operationState.syncResult.revision status.sync.revision revision commit sha",
			repository:  "app.spec.source.repoURL spec.source.repoURL repo_url repoURL repository", branch: "app.spec.source.targetRevision spec.source.targetRevision target_revision targetRevision",
			resource: "app.metadata.uid metadata.uid app.metadata.name metadata.name app application", name: "app.metadata.name metadata.name app application app_name", kind: "=application",
			account: "app.spec.project spec.project project", link: "url link argocd_url", version: "version image_tag", external: "app.metadata.uid metadata.uid", correlation: "@", pipeline: "@",
		},
		tell: tellArgo,
	},
	"flux": {
		fallback: change.Deployment,
		profile: profile{
			time: "timestamp", action: "reason", headline: "message", status: "@", environment: "metadata.env metadata.environment metadata.cluster",
			resource: "involvedObject.uid involvedObject.name", name: "involvedObject.name", kind: "involvedObject.kind", service: "involvedObject.name",
			actor: "reportingController", account: "involvedObject.namespace", typ: "@", commit: "@", link: "@",
		},
		tell: tellFlux,
	},
	"kubernetes": {
		fallback: change.Infrastructure,
		profile: profile{
			time: "stageTimestamp requestReceivedTimestamp eventTime lastTimestamp deprecatedLastTimestamp firstTimestamp metadata.creationTimestamp", action: "reason verb",
			headline: "message note", status: "@", kind: "involvedObject.kind regarding.kind objectRef.resource", name: "involvedObject.name regarding.name objectRef.name",
			resource: "involvedObject.uid regarding.uid objectRef.uid involvedObject.name regarding.name objectRef.name", account: "metadata.cluster clusterName",
			actor:   "impersonatedUser.username user.username source.component reportingComponent reportingController deprecatedSource.component",
			actorID: "user.uid", external: "auditID metadata.uid", correlation: "@", environment: "@", typ: "@", link: "@", service: "@", version: "@", commit: "@", branch: "@",
		},
		tell: tellKubernetes,
	},
}

// tellArgo reads an Application or a Rollout as it is, or inside app, or what
// a template made of one.
func tellArgo(t *telling) string {
	root := t.json
	if app := t.get("app"); app.IsObject() {
		root = app
	}
	kind := root.Get("kind").String()
	name := t.c.Resource.Name
	t.c.CorrelationID = ""
	if phase := root.Get("status.operationState"); phase.Exists() {
		t.c.CorrelationID = "argocd:" + root.Get("metadata.namespace").String() + "/" + name + ":" + phase.Get("startedAt").String()
		t.c.Description = phase.Get("message").String()
		if phase.Get("operation.initiatedBy.automated").Bool() && t.c.ChangedBy == "" {
			t.c.ChangedBy, t.c.Actor = "Argo CD", change.Actor{ID: "argocd", Name: "Argo CD", Type: "service"}
		}
	}
	health := orElse(root.Get("status.health.status").String(), t.text("health_status", "healthStatus", "health", "app.health"))
	where := orElse(t.c.Environment, orElse(root.Get("spec.destination.name").String(), root.Get("spec.destination.namespace").String()))
	revision := with("to", normalizers.ShortSHA(t.c.CommitSHA))
	var images []string
	root.Get("status.summary.images").ForEach(func(_, image gjson.Result) bool {
		images = append(images, image.String())
		return len(images) < 20
	})
	t.meta.Set("images", images)
	t.meta.Set("health", health)
	who := orElse(t.c.ChangedBy, "Argo CD")
	switch {
	case kind == "Rollout":
		t.c.Status = map[string]change.Status{"Healthy": change.Succeeded, "Degraded": change.Failed, "Progressing": change.Started, "Paused": change.Started}[root.Get("status.phase").String()]
		t.say("Rollout", name, "is", orElse(root.Get("status.phase").String(), "changed"), with("in", where))
	case t.c.Status == change.Started:
		t.say(who, "syncs", name, revision, with("in", where))
	case t.c.Status == change.Failed:
		t.say(who, "failed to sync", name, revision, with("in", where))
	case t.c.Status == change.Succeeded:
		t.say(who, "synced", name, revision, with("in", where))
	case health == "Degraded" || health == "Missing":
		t.c.Type, t.c.Action = change.Incident, "health."+strings.ToLower(health)
		t.say("Argo CD:", name, "is", strings.ToLower(health), with("in", where))
	default:
		sync := orElse(root.Get("status.sync.status").String(), t.text("sync_status", "syncStatus", "sync"))
		t.say("Argo CD:", name, "is", orElse(strings.Trim(sync+" and "+health, " and"), "changed"), with("in", where))
	}
	return ""
}

// tellFlux reads the revision, "main@sha1:731f7ea..." or "main/731f7ea...".
func tellFlux(t *telling) string {
	revision := ""
	t.get("metadata").ForEach(func(key, v gjson.Result) bool {
		if name := key.String(); name == "revision" || strings.HasSuffix(name, "/revision") {
			revision = v.String()
		}
		return true
	})
	branch, sha, ok := strings.Cut(revision, "@")
	if !ok {
		if i := strings.LastIndexByte(revision, '/'); i >= 0 {
			branch, sha = revision[:i], revision[i+1:]
		}
	}
	if algorithm, hash, ok := strings.Cut(sha, ":"); ok && algorithm == "sha1" {
		sha = hash
	}
	switch kind := t.c.Resource.Type; {
	case kind == "HelmRelease":
		t.c.Version = orElse(revision, t.c.Version)
	case strings.HasPrefix(kind, "OCI"), strings.HasPrefix(kind, "Helm"), strings.HasPrefix(kind, "Image"):
		t.c.Type, t.c.Version = change.Deployment, revision
	default:
		t.c.Branch, t.c.CommitSHA = branch, commit(sha)
		if kind == "GitRepository" {
			t.c.Type = change.Code
		}
	}
	reason := t.c.Action
	switch {
	case t.text("severity") == "error":
		t.c.Status = change.Failed
	case strings.HasPrefix(reason, "Progressing"):
		t.c.Status = change.Started
	case strings.HasSuffix(reason, "Succeeded"), reason == "NewArtifact":
		t.c.Status = change.Succeeded
	}
	if strings.Contains(strings.ToLower(reason), "rollback") || strings.Contains(reason, "RolledBack") {
		t.c.Type = change.Rollback
	}
	t.c.Actor.Type = "service"
	t.environmentOf(t.text("involvedObject.namespace"))
	object := join(t.c.Resource.Type, strings.Trim(t.text("involvedObject.namespace")+"/"+t.c.Resource.Name, "/"))
	t.c.Description = t.headline
	t.key = join(t.text("involvedObject.uid"), t.text("timestamp"), reason, revision)
	t.say("Flux:", object, unCamel(reason), with("at", normalizers.ShortSHA(orElse(t.c.CommitSHA, revision))),
		pick(t.c.Status == change.Failed, "- "+normalizers.FirstLine(t.headline), ""))
	return ""
}

// unCamel writes "ReconciliationSucceeded" as "reconciliation succeeded".
func unCamel(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			if i > 0 && (s[i-1] < 'A' || s[i-1] > 'Z') {
				b.WriteByte(' ')
			}
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// routine are the reasons of events that only tell how a pod starts, and the
// cluster's own housekeeping.
var routine = []string{
	"Scheduled", "Pulling", "Pulled", "Created", "Started", "SuccessfulMountVolume", "SuccessfulAttachVolume", "LeaderElection", "Sync",
	"SuccessfulCreate", "SuccessfulDelete", "Completed", "SawCompletedJob", "NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID",
	"WaitForFirstConsumer", "Provisioning", "ExternalProvisioning", "NoPods", "EnsuringLoadBalancer", "UpToDate",
}

// tellKubernetes reads events, and the records of the audit log.
func tellKubernetes(t *telling) string {
	if t.get("auditID").Exists() {
		return tellKubernetesAudit(t)
	}
	object := t.get("involvedObject")
	if !object.IsObject() {
		object = t.get("regarding")
	}
	reason, warning := t.c.Action, t.text("type") == "Warning"
	if !warning && slices.Contains(routine, reason) {
		return "part of starting a pod, or the cluster's housekeeping"
	}
	switch {
	case reason == "ScalingReplicaSet", reason == "SuccessfulRescale":
		t.c.Type = change.Scaling
	case strings.Contains(reason, "Rollback"):
		t.c.Type = change.Rollback
	case warning && (object.Get("kind").Str == "Node" || strings.HasPrefix(reason, "Fail") || slices.Contains([]string{"BackOff", "Unhealthy", "Evicted", "OOMKilling", "Preempted"}, reason)):
		t.c.Type = change.Incident
	case object.Get("kind").Str == "Deployment" || object.Get("kind").Str == "StatefulSet" || object.Get("kind").Str == "DaemonSet" || object.Get("kind").Str == "HelmRelease":
		t.c.Type = change.Deployment
	}
	if warning {
		t.c.Status = change.Failed
	}
	t.c.Actor.Type = "system"
	namespace := object.Get("namespace").String()
	name := strings.Trim(namespace+"/"+object.Get("name").String(), "/")
	t.meta.Set("namespace", namespace)
	t.key = join(t.text("metadata.uid"), t.text("count", "series.count", "deprecatedCount"))
	if t.text("metadata.uid") == "" {
		t.key = ""
	}
	t.environmentOf(namespace)
	t.say(object.Get("kind").String(), name+":", orElse(normalizers.FirstLine(t.headline), unCamel(reason)))
	return ""
}

// environmentOf takes the environment that a namespace's name suggests.
func (t *telling) environmentOf(namespace string) {
	if env, ok := normalizers.Environment(namespace); ok && t.c.Environment == "" {
		t.c.Environment = env
		t.c.RiskHints = normalizers.AddHints(t.c.RiskHints, normalizers.HintEnvInferred)
	}
}

// auditNoise are the resources that clusters write all the time by themselves.
var auditNoise = []string{
	"events", "leases", "tokenreviews", "subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "localsubjectaccessreviews",
	"endpoints", "endpointslices", "componentstatuses", "selfsubjectreviews",
}

// auditTypes say what a change of a resource is.
var auditTypes = map[string]change.Type{
	"deployments": change.Deployment, "statefulsets": change.Deployment, "daemonsets": change.Deployment, "pods": change.Deployment, "replicasets": change.Deployment,
	"jobs": change.Deployment, "cronjobs": change.Deployment, "helmreleases": change.Deployment, "applications": change.Deployment, "rollouts": change.Deployment,
	"configmaps": change.ConfigChange, "secrets": change.SecretRotation, "certificatesigningrequests": change.SecretRotation,
	"roles": change.AccessChange, "rolebindings": change.AccessChange, "clusterroles": change.AccessChange, "clusterrolebindings": change.AccessChange,
	"serviceaccounts": change.AccessChange, "horizontalpodautoscalers": change.Scaling,
}

var auditVerbs = map[string]string{"create": "created", "update": "updated", "patch": "changed", "delete": "deleted", "deletecollection": "deleted all", "approve": "approved", "bind": "bound"}

func tellKubernetesAudit(t *telling) string {
	verb, resource, sub := t.text("verb"), t.text("objectRef.resource"), t.text("objectRef.subresource")
	switch {
	case t.text("stage") != "ResponseComplete" && t.text("stage") != "Panic":
		return "a request that is not complete yet"
	case verb == "get" || verb == "list" || verb == "watch" || verb == "head":
		if sub != "exec" && sub != "attach" && sub != "portforward" && sub != "proxy" {
			return "read-only call"
		}
	case slices.Contains(auditNoise, resource), sub == "status", resource == "nodes" && sub == "proxy":
		return "the cluster's housekeeping"
	}
	if strings.Contains(t.text("requestURI"), "dryRun=All") {
		return "a dry run"
	}
	if typ, ok := auditTypes[resource]; ok {
		t.c.Type = typ
	}
	did := orElse(auditVerbs[verb], verb)
	var add []string
	switch sub {
	case "exec", "attach", "portforward", "proxy", "ephemeralcontainers":
		t.c.Type, did = change.AccessChange, map[string]string{"exec": "ran a command in", "attach": "attached to", "portforward": "forwarded a port of"}[sub]
		did = orElse(did, "reached into")
		add = append(add, normalizers.HintBreakGlass)
	case "scale":
		t.c.Type, did = change.Scaling, "scaled"
	case "eviction":
		did = "evicted"
	case "token":
		t.c.Type, did = change.SecretRotation, "issued a token for"
	}
	if code := t.get("responseStatus.code").Int(); code >= 400 {
		t.c.Status = change.Failed
		t.meta.Set("code", code)
		did = "was refused: " + verb
	} else {
		t.c.Status = change.Succeeded
		if strings.HasPrefix(verb, "delete") {
			add = append(add, normalizers.HintDestructive)
		}
		if strings.HasSuffix(resource, "rolebindings") && !strings.HasPrefix(verb, "delete") {
			add = append(add, normalizers.HintPrivilegeGrant)
		}
	}
	if resource == "secrets" {
		add = append(add, normalizers.HintSecrets)
	}
	if resource == "networkpolicies" {
		add = append(add, normalizers.HintNetwork)
	}
	t.c.RiskHints = normalizers.AddHints(t.c.RiskHints, add...)
	t.c.Action = strings.Trim(resource+"/"+sub, "/") + "." + verb
	user := t.c.ChangedBy
	switch {
	case strings.HasPrefix(user, "system:serviceaccount:"):
		t.c.Actor.Type = "service"
	case strings.HasPrefix(user, "system:"):
		t.c.Actor.Type = "system"
	}
	namespace := t.text("objectRef.namespace")
	t.meta.Set("namespace", namespace)
	images(t, "requestObject")
	t.hide("requestObject", "responseObject", "managedFields")
	t.environmentOf(namespace)
	t.key = "audit:" + t.text("auditID")
	t.say(user, did, strings.TrimSuffix(resource, "s"), strings.Trim(namespace+"/"+t.text("objectRef.name"), "/"))
	return ""
}

// images notes what a workload runs, and takes the first one's tag for the version.
func images(t *telling, path string) {
	var list []string
	for _, containers := range []string{path + ".spec.template.spec.containers", path + ".spec.containers"} {
		t.get(containers).ForEach(func(_, c gjson.Result) bool {
			if image := c.Get("image").String(); image != "" {
				list = append(list, image)
			}
			return len(list) < 20
		})
	}
	t.meta.Set("images", list)
	if len(list) > 0 {
		if i := strings.LastIndexByte(list[0], ':'); i > strings.LastIndexByte(list[0], '/') && !strings.Contains(list[0], "@") {
			t.c.Version = list[0][i+1:]
		}
	}
}
