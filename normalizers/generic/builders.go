package generic

import (
	"strings"
	"unicode/utf16"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// builders are what builds and deploys.
var builders = map[string]*provider{
	"harness": &harness,
	"docker_hub": {
		fallback: change.Deployment,
		profile: profile{
			time: "push_data.pushed_at", actor: "push_data.pusher", version: "push_data.tag",
			action: "=image.pushed", headline: "repository.repo_name", resource: "repository.repo_name", name: "repository.repo_name",
			kind: "=container_image", link: "repository.repo_url", repository: "repository.repo_name",
		},
		tell: tellDockerHub,
	},
	"cdevents": {
		fallback: change.Other,
		kinds: []kind{
			{"dev.cdevents.service.rolledback", change.Rollback}, {"dev.cdevents.service", change.Deployment}, {"dev.cdevents.environment", change.Infrastructure},
			{"dev.cdevents.artifact", change.Deployment}, {"dev.cdevents.build", change.Deployment}, {"dev.cdevents.pipelinerun", change.Deployment},
			{"dev.cdevents.taskrun", change.Deployment}, {"dev.cdevents.repository", change.Code}, {"dev.cdevents.branch", change.Code},
			{"dev.cdevents.change", change.Code}, {"dev.cdevents.incident", change.Incident}, {"dev.cdevents.ticket", change.Incident},
		},
		profile: profile{
			key: "context.source context.id", time: "context.timestamp", action: "context.type", external: "context.id",
			actor: "subject.content.user subject.content.owner subject.content.creator", headline: "subject.content.name subject.content.pipelineName subject.content.taskName subject.content.summary subject.id",
			description: "subject.content.description", status: "subject.content.outcome", environment: "subject.content.environment.id",
			version: "subject.content.artifactId", repository: "subject.content.repository.id subject.content.repository.name",
			resource: "subject.id", name: "subject.content.name subject.id", kind: "subject.type", correlation: "context.chainId",
			pipeline: "subject.content.url subject.content.uri", service: "subject.content.service.id", link: "subject.content.uri subject.content.url",
		},
		tell: tellCDEvent,
	},
	"cloudevents": {
		fallback: change.Other,
		profile: profile{
			key: "source id", time: "time", action: "type", external: "id", resource: "subject source", name: "subject source", kind: "@",
			headline: "data.summary data.title data.message subject", correlation: "traceparent", actor: "data.actor data.user",
		},
		tell: tellCloudEvent,
	},
	"terraform": {
		fallback: change.Infrastructure,
		profile: profile{
			time: "notifications.0.run_updated_at run_created_at", actor: "run_created_by notifications.0.run_updated_by",
			action: "notifications.0.trigger", headline: "run_message notifications.0.message", status: "notifications.0.run_status",
			pipeline: "run_url", resource: "workspace_id", name: "workspace_name", kind: "=workspace", external: "run_id", correlation: "run_id",
			account: "organization_name", key: "run_id notifications.0.trigger notifications.0.run_status notifications.0.run_updated_at",
		},
		tell: tellTerraform,
	},
	"circleci": {
		fallback: change.Deployment,
		profile: profile{
			key: "id", time: "happened_at", actor: "pipeline.trigger.actor.login pipeline.vcs.commit.author.name", action: "type",
			headline: "workflow.name job.name", status: "job.status workflow.status", pipeline: "workflow.url",
			repository: "project.slug", branch: "pipeline.vcs.branch", commit: "pipeline.vcs.revision", message: "pipeline.vcs.commit.subject",
			version: "pipeline.vcs.tag", external: "workflow.id", correlation: "workflow.id", resource: "workflow.id", name: "workflow.name",
			kind: "=workflow", account: "organization.name", link: "workflow.url",
		},
		tell: tellCircleCI,
	},
	"buildkite": {
		fallback: change.Deployment,
		profile: profile{
			time: "build.finished_at build.started_at build.created_at job.finished_at job.started_at", actor: "build.creator.name sender.name",
			actorID: "build.creator.id sender.id", action: "event", headline: "build.message pipeline.name", status: "job.state build.state",
			pipeline: "build.web_url", repository: "pipeline.repository", branch: "build.branch", commit: "build.commit", message: "build.message",
			version: "build.tag", external: "build.id", correlation: "build.id", resource: "build.id", name: "pipeline.name", kind: "=build",
			account: "organization.slug", link: "build.web_url",
		},
		tell: tellBuildkite,
	},
	"jenkins": {
		fallback: change.Deployment,
		profile: profile{
			key: "build.full_url build.phase", time: "build.timestamp timestamp", action: "=build", headline: "display_name name projectName buildName", status: "@",
			pipeline: "build.full_url buildUrl", link: "build.full_url buildUrl", branch: "build.scm.branch", commit: "build.scm.commit", repository: "build.scm.url",
			environment: "build.parameters.ENVIRONMENT build.parameters.ENV build.parameters.environment build.parameters.env buildVars.ENVIRONMENT buildVars.ENV",
			version:     "build.parameters.VERSION build.parameters.version build.parameters.TAG buildVars.VERSION", actor: "build.parameters.BUILD_USER build.userName",
			resource: "build.full_url buildUrl", name: "display_name name projectName", kind: "=build", external: "build.number", correlation: "build.full_url buildUrl",
		},
		tell: tellJenkins,
	},
	"spinnaker": {
		fallback: change.Deployment,
		profile: profile{
			key: "content.execution.id details.type content.execution.status", time: "content.execution.endTime content.execution.startTime details.created",
			actor: "content.execution.trigger.user content.execution.authentication.user", action: "details.type", headline: "content.execution.name content.name",
			status: "content.execution.status", service: "content.execution.application details.application", external: "content.execution.id",
			correlation: "content.execution.id", resource: "content.execution.id content.executionId", name: "content.execution.name", kind: "=pipeline",
		},
		tell: tellSpinnaker,
	},
	"octopus": {
		fallback: change.ConfigChange,
		kinds: []kind{
			{"deployment", change.Deployment}, {"runbookrun", change.Deployment}, {"release", change.Deployment}, {"autodeploy", change.Deployment},
			{"machine", change.Infrastructure}, {"taskfailed", change.Incident}, {"login", change.AccessChange}, {"user", change.AccessChange}, {"apikey", change.AccessChange},
			{"certificate", change.SecretRotation}, {"guidedfailure", change.Incident}, {"manualintervention", change.Deployment},
		},
		titled: true,
		profile: profile{
			key: "Payload.Event.Id", time: "Payload.Event.Occurred Timestamp", actor: "Payload.Event.Username", actorID: "Payload.Event.UserId",
			action: "Payload.Event.Category", headline: "Payload.Event.Message", description: "Payload.Event.Comments", external: "Payload.Event.Id",
			resource: "Payload.Event.RelatedDocumentIds.0", name: "Payload.Event.RelatedDocumentIds.0", account: "Payload.Event.SpaceId",
			correlation: "Payload.Event.RelatedDocumentIds.0", status: "@", service: "@", environment: "@", typ: "@", kind: "@",
		},
		tell: tellOctopus,
	},
	"launchdarkly": {
		fallback: change.FeatureFlag,
		kinds: []kind{
			{"flag", change.FeatureFlag}, {"segment", change.FeatureFlag}, {"experiment", change.FeatureFlag}, {"release", change.FeatureFlag},
			{"member", change.AccessChange}, {"role", change.AccessChange}, {"team", change.AccessChange}, {"token", change.AccessChange},
			{"", change.ConfigChange},
		},
		profile: profile{
			key: "_id", time: "date", actor: "member.email token.name app.name", actorID: "member._id", action: "kind",
			headline: "title titleVerb name", description: "description comment", external: "_id", resource: "target.resources.0 accesses.0.resource name",
			name: "name", kind: "kind", environment: "@", typ: "@", link: "@",
		},
		tell: tellLaunchDarkly,
	},
	"unleash": {
		fallback: change.ConfigChange,
		kinds: []kind{
			{"feature-", change.FeatureFlag}, {"segment-", change.FeatureFlag}, {"strategy-", change.FeatureFlag}, {"change-", change.FeatureFlag}, {"release-plan", change.FeatureFlag},
			{"user-", change.AccessChange}, {"role-", change.AccessChange}, {"group-", change.AccessChange}, {"project-access", change.AccessChange},
			{"project-user", change.AccessChange}, {"api-token", change.SecretRotation},
		},
		profile: profile{
			key: "id", time: "createdAt", actor: "createdBy", action: "type", headline: "featureName", environment: "environment", account: "project",
			resource: "featureName", name: "featureName", kind: "=feature", external: "id", typ: "@", status: "@",
		},
		tell: tellUnleash,
	},
}

func tellDockerHub(t *telling) string {
	image := t.c.Repository
	if t.c.Version != "" {
		image += ":" + t.c.Version
	}
	t.say(t.c.ChangedBy, pick(t.c.ChangedBy != "", "pushed image", "Image pushed:"), image)
	return ""
}

// tellCDEvent says what happened to what: "Service shop was deployed in
// production", of dev.cdevents.service.deployed.0.2.0.
func tellCDEvent(t *telling) string {
	subject, predicate, _ := strings.Cut(short(t.c.Action), ".")
	t.c.Version = purlVersion(t.c.Version)
	if t.c.Status == "" {
		t.c.Status = cdStatus(predicate, t.text("subject.content.outcome"))
	}
	words := map[string]string{"pipelinerun": "pipeline run", "taskrun": "task run", "testcaserun": "test case run", "testsuiterun": "test suite run", "testoutput": "test output"}
	noun := orElse(words[subject], subject)
	predicate = orElse(map[string]string{"rolledback": "rolled back"}[predicate], predicate)
	t.say(upperFirst(noun), shortName(t.headline), "was", predicate, with("in", t.c.Environment),
		with("with", outcome(t.text("subject.content.outcome"))), pick(subject == "service", with("at", t.c.Version), ""))
	return ""
}

func outcome(s string) string {
	if s == "" {
		return ""
	}
	return "outcome " + s
}

func cdStatus(predicate, outcome string) change.Status {
	switch strings.ToLower(outcome) {
	case "cancel":
		return change.Cancelled
	case "":
	default:
		return statusOf(outcome)
	}
	switch predicate {
	case "queued", "started":
		return change.Started
	case "deployed", "upgraded", "rolledback", "published", "packaged", "signed", "merged", "removed", "resolved":
		return change.Succeeded
	}
	return ""
}

// purlVersion is the version inside a package URL: pkg:oci/shop@1.4?arch=arm64.
func purlVersion(s string) string {
	if !strings.HasPrefix(s, "pkg:") {
		return s
	}
	s, query, _ := strings.Cut(s, "?")
	for param := range strings.SplitSeq(query, "&") {
		if tag, ok := strings.CutPrefix(param, "tag="); ok && tag != "" {
			return tag
		}
	}
	if _, version, ok := strings.Cut(s, "@"); ok {
		return strings.ReplaceAll(version, "%3A", ":")
	}
	return ""
}

// shortName is the last part of an id that is a path.
func shortName(s string) string {
	if trimmed := strings.TrimRight(s, "/"); strings.Count(trimmed, "/") > 1 {
		return trimmed[strings.LastIndexByte(trimmed, '/')+1:]
	}
	return s
}

// tellCloudEvent takes the attributes from the headers where the body is the
// data alone.
func tellCloudEvent(t *telling) string {
	h := t.record.Header
	if t.get("specversion").Exists() || h.Get("Ce-Id") == "" {
		return ""
	}
	t.c.Action, t.c.ExternalID = h.Get("Ce-Type"), h.Get("Ce-Id")
	t.c.Resource.ID = orElse(h.Get("Ce-Subject"), h.Get("Ce-Source"))
	t.c.Resource.Name = t.c.Resource.ID
	if at, ok := normalizers.ParseTime(h.Get("Ce-Time")); ok {
		t.c.OccurredAt = change.At(at)
	}
	t.meta.Set("source", h.Get("Ce-Source"))
	t.headline = orElse(t.text("summary", "title", "message"), h.Get("Ce-Subject"))
	return ""
}

// runStatuses are Terraform's, less those whose words are everybody's.
var runStatuses = map[string]change.Status{
	"planned_and_finished": change.Succeeded, "planned_and_saved": change.Succeeded, "force_canceled": change.Cancelled,
	"planning": change.Started, "planned": change.Started, "applying": change.Started, "confirmed": change.Started,
	"cost_estimated": change.Started, "policy_checked": change.Started, "policy_override": change.Started, "policy_soft_failed": change.Failed,
}

func tellTerraform(t *telling) string {
	trigger, status := t.text("notifications.0.trigger"), t.text("notifications.0.run_status")
	if trigger == "verification" {
		return "Terraform's verification of the URL"
	}
	if s, ok := runStatuses[status]; ok {
		t.c.Status = s
	}
	workspace := strings.Trim(t.c.Account+"/"+t.c.Resource.Name, "/")
	if strings.HasPrefix(trigger, "assessment:") {
		t.say("Terraform:", orElse(t.text("notifications.0.message"), strings.ReplaceAll(trigger, ":", " ")), with("in", workspace))
		return ""
	}
	t.say("Terraform run", quoted(t.text("run_message")), strings.ReplaceAll(orElse(status, lastWord(trigger)), "_", " "), with("in", workspace), with("by", t.c.ChangedBy))
	return ""
}

func tellCircleCI(t *telling) string {
	if t.c.Action == "ping" {
		return "ping"
	}
	if t.text("workflow.status", "job.status") == "unauthorized" {
		t.c.Status = change.Failed
	}
	what := "workflow " + t.text("workflow.name")
	if job := t.text("job.name"); job != "" {
		what = "job " + job + " of " + what
	}
	t.say("CircleCI", what, stateWord(t.c.Status), with("in", t.c.Repository), at(t.c))
	return ""
}

func tellBuildkite(t *telling) string {
	event := t.text("event")
	switch {
	case event == "ping":
		return "ping"
	case strings.HasPrefix(event, "agent."):
		return "about an agent of Buildkite's, not a build"
	case event == "build.scheduled" || event == "job.scheduled":
		t.c.Status = change.Started
	}
	if t.text("build.state") == "blocked" || t.text("build.state") == "failing" {
		t.c.Status = change.Started
	}
	what := "build " + t.text("pipeline.name")
	if n := t.text("build.number"); n != "" {
		what += " #" + n
	}
	if job := t.text("job.name"); job != "" {
		what = "job " + job + " of " + what
	}
	t.say("Buildkite", what, orElse(stateWord(t.c.Status), lastWord(event)), quoted(t.c.CommitMessage), at(t.c))
	return ""
}

// stateWord is a status inside a sentence.
func stateWord(s change.Status) string {
	switch s {
	case change.Started:
		return "started"
	case change.Cancelled:
		return "was cancelled"
	}
	return string(s)
}

// at says at which branch and commit.
func at(c *change.Change) string {
	if c.Branch == "" && c.CommitSHA == "" {
		return ""
	}
	return "at " + join(c.Branch, normalizers.ShortSHA(c.CommitSHA))
}

// tellJenkins reads the Notification plugin's builds, and the Outbound WebHook
// plugin's.
func tellJenkins(t *telling) string {
	phase, status := strings.ToLower(t.text("build.phase", "event")), t.text("build.status")
	switch {
	case phase == "queued":
		return "a build that waits in the queue"
	case phase == "started", phase == "start":
		t.c.Status = change.Started
	case status == "UNSTABLE", status == "NOT_BUILT":
		t.c.Status = change.Failed
	default:
		t.c.Status = statusOf(orElse(status, phase))
	}
	t.c.Action = "build." + orElse(phase, "unknown")
	if status == "" && phase == "finalized" {
		t.c.Status = change.Succeeded
	}
	t.c.Branch = strings.TrimPrefix(t.c.Branch, "origin/")
	number := t.text("build.number", "buildName")
	if number != "" && !strings.HasPrefix(number, "#") {
		number = "#" + number
	}
	t.say("Jenkins job", orElse(t.c.Resource.Name, t.text("name")), number, stateWord(t.c.Status), with("in", t.c.Environment), at(t.c))
	return ""
}

// tellSpinnaker takes pipelines and orchestrations; their stages and tasks are
// told with them.
func tellSpinnaker(t *telling) string {
	kind := t.text("details.type")
	if strings.HasPrefix(kind, "orca:stage") || strings.HasPrefix(kind, "orca:task") {
		return "a part of a pipeline that is told as a whole"
	}
	switch t.text("content.execution.status") {
	case "TERMINAL", "FAILED_CONTINUE":
		t.c.Status = change.Failed
	case "NOT_STARTED", "PAUSED":
		t.c.Status = change.Started
	}
	if t.c.Status == "" {
		switch lastWord(kind) {
		case "starting":
			t.c.Status = change.Started
		case "failed":
			t.c.Status = change.Failed
		}
	}
	t.say("Spinnaker pipeline", t.c.Resource.Name, stateWord(t.c.Status), with("of", t.c.ServiceName), with("by", t.c.ChangedBy))
	return ""
}

// tellOctopus takes names out of the message: Octopus says which document each
// part of it is about.
func tellOctopus(t *telling) string {
	event := t.get("Payload.Event")
	t.c.Status = octopusStatus(t.c.Action)
	message := utf16.Encode([]rune(event.Get("Message").String()))
	event.Get("MessageReferences").ForEach(func(_, ref gjson.Result) bool {
		start, length := ref.Get("StartIndex").Int(), ref.Get("Length").Int()
		if start < 0 || length <= 0 || length > 500 || start > int64(len(message)) || start+length > int64(len(message)) {
			return true
		}
		name := string(utf16.Decode(message[start : start+length]))
		switch kind, _, _ := strings.Cut(ref.Get("ReferencedDocumentId").String(), "-"); kind {
		case "Environments":
			t.c.Environment = orElse(t.c.Environment, name)
		case "Projects":
			t.c.ServiceName = orElse(t.c.ServiceName, name)
		case "Releases":
			t.c.Version = orElse(t.c.Version, name)
		case "Deployments":
			t.c.CorrelationID = ref.Get("ReferencedDocumentId").String()
		case "Users", "Teams", "UserRoles", "ApiKeys":
			t.c.Type = change.AccessChange
		}
		return true
	})
	if t.c.ChangedBy != "" && !strings.HasPrefix(t.headline, t.c.ChangedBy) {
		t.headline = join(normalizers.FirstLine(t.headline), "("+t.c.ChangedBy+")")
	}
	t.c.Actor.Type = pick(event.Get("IsService").Bool() || t.c.ChangedBy == "system", "service", t.c.Actor.Type)
	return ""
}

func octopusStatus(category string) change.Status {
	switch {
	case strings.HasSuffix(category, "Succeeded"):
		return change.Succeeded
	case strings.HasSuffix(category, "Failed"):
		return change.Failed
	case strings.HasSuffix(category, "Started"), strings.HasSuffix(category, "Queued"), strings.HasSuffix(category, "Resumed"):
		return change.Started
	case strings.HasSuffix(category, "Canceled"), strings.HasSuffix(category, "Cancelled"):
		return change.Cancelled
	}
	return ""
}

// tellLaunchDarkly reads the resource, "proj/shop:env/production:flag/dark-mode",
// and what the flag was and is.
func tellLaunchDarkly(t *telling) string {
	resource := t.text("target.resources.0", "accesses.0.resource")
	for part := range strings.SplitSeq(resource, ":") {
		kind, name, _ := strings.Cut(part, "/")
		name, _, _ = strings.Cut(name, ";") // tags
		switch {
		case name == "" || name == "*":
		case kind == "proj":
			t.c.Account = name
		case kind == "env":
			t.c.Environment = name
		default:
			t.c.Resource.Name = name
		}
	}
	if action := t.text("accesses.0.action"); action != "" {
		t.c.Action = t.c.Action + "." + action
	}
	was, is := t.get("previousVersion"), t.get("currentVersion")
	if t.c.Environment != "" {
		path := "environments." + gjson.Escape(t.c.Environment)
		if is.Get(path).Exists() {
			was, is = was.Get(path), is.Get(path)
		}
	}
	was, is = differing(was, is)
	t.oldAndNew(was, is)
	t.hide("previousVersion", "currentVersion", "_links")
	title := strings.ReplaceAll(plainLinks(t.text("title")), "`", "")
	if title == "" {
		title = join(t.c.ChangedBy, t.text("titleVerb"), t.text("name"))
	}
	t.say(title, pick(t.c.Environment != "" && !strings.Contains(strings.ToLower(title), strings.ToLower(t.c.Environment)), with("in", t.c.Environment), ""))
	return ""
}

// differing returns the members of two objects that are not the same in both.
func differing(was, is gjson.Result) (before, now gjson.Result) {
	if !was.IsObject() || !is.IsObject() {
		return gjson.Result{}, gjson.Result{}
	}
	const most = 30
	var old, fresh normalizers.Meta
	n := 0
	is.ForEach(func(key, v gjson.Result) bool {
		other := was.Get(gjson.Escape(key.Str))
		if other.Raw != v.Raw && !strings.HasPrefix(key.Str, "_") && len(v.Raw)+len(other.Raw) < 4096 {
			old.SetRaw(key.Str, other.Raw)
			fresh.SetRaw(key.Str, v.Raw)
			n++
		}
		return n < most
	})
	return gjson.ParseBytes(old.JSON()), gjson.ParseBytes(fresh.JSON())
}

// plainLinks writes the links of Markdown as their text.
func plainLinks(s string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(s, '[')
		middle := strings.Index(s, "](")
		if open < 0 || middle < open {
			break
		}
		end := strings.IndexByte(s[middle:], ')')
		if end < 0 {
			break
		}
		b.WriteString(s[:open])
		b.WriteString(s[open+1 : middle])
		s = s[middle+end+1:]
	}
	b.WriteString(s)
	return b.String()
}

// tellUnleash turns "feature-environment-enabled" around: "mona enabled
// feature dark-mode in production".
func tellUnleash(t *telling) string {
	t.oldAndNew(t.get("preData"), t.get("data"))
	t.hide("preData", "data")
	words := strings.Split(t.c.Action, "-")
	verb := words[len(words)-1]
	noun := strings.Join(words[:len(words)-1], " ")
	noun = strings.TrimSuffix(noun, " environment")
	if verb == "add" || verb == "remove" || verb == "update" {
		verb += pick(strings.HasSuffix(verb, "e"), "d", "ed")
	}
	t.say(t.c.ChangedBy, verb, noun, orElse(t.c.Resource.Name, t.text("data.name", "project")), with("in", t.c.Environment))
	return ""
}

func pick(when bool, yes, no string) string {
	if when {
		return yes
	}
	return no
}

func upperFirst(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
