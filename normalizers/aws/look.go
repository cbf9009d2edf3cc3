package aws

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// look is a closer look at an event whose kind alone does not tell. at may
// complete the change, and returns why the event is ignored, or "".
type look struct {
	says string // for the documents
	at   func(*event, *change.Change) string
}

var pipeline = look{"a rollback by its trigger: `rollback`; who started it by hand is the actor", func(e *event, c *change.Change) string {
	trigger := e.detail.Get("execution-trigger")
	kind := trigger.Get("trigger-type").String() + e.detail.Get("execution-type").String()
	if strings.Contains(strings.ToLower(kind), "rollback") {
		c.Type, e.did = change.Rollback, "a rollback"
	}
	if kind == "StartPipelineExecution" || kind == "ManualRollback" {
		e.by(trigger.Get("trigger-detail").String())
	}
	if e.state == "STOPPING" {
		c.Status = ""
	}
	return ""
}}

var deploymentGroup = look{"the environment by the deployment group's name", func(e *event, c *change.Change) string {
	e.environment(e.detail.Get("deploymentGroup").String())
	if strings.Contains(e.detail.Raw, "codeDeployRollback") {
		c.Type = change.Rollback
	}
	return ""
}}

var build = look{"repository, commit and branch of the source", func(e *event, c *change.Change) string {
	info := e.detail.Get("additional-information")
	source := info.Get("source")
	if location := source.Get("location").String(); strings.HasPrefix(location, "https://") {
		_, path, _ := strings.Cut(strings.TrimPrefix(location, "https://"), "/")
		c.Repository = strings.TrimSuffix(path, ".git")
		if strings.Contains(location, "git-codecommit") {
			c.Repository = lastPart(path)
		}
	}
	switch version := orElse(info.Get("resolved-source-version").String(), info.Get("source-version").String()); {
	case isCommit(version):
		c.CommitSHA = version
	case strings.HasPrefix(version, "refs/heads/"):
		c.Branch = strings.TrimPrefix(version, "refs/heads/")
	case !strings.HasPrefix(version, "arn:"): // an artifact of a pipeline
		c.Version = version
	}
	return ""
}}

var ecsDeployment = look{"the circuit breaker or an alarm turns it back: `rollback`; the environment by the cluster's name", func(e *event, c *change.Change) string {
	parts := strings.Split(c.Resource.ID, "/") // arn:...:service/cluster/name
	if len(parts) == 3 {
		e.environment(parts[2], parts[1])
	}
	reason := e.detail.Get("reason").String()
	if c.Status == change.Failed || strings.Contains(reason, "roll") {
		e.did, c.Description = reason, reason
	}
	return ""
}}

// ecsAction tells a service's steady state, which it reports every few hours,
// from what somebody should know.
var ecsAction = look{"a new desired count: `scaling`; warnings and errors: `incident`; steady states are ignored", func(e *event, c *change.Change) string {
	switch {
	case strings.HasSuffix(e.state, "_STEADY_STATE"):
		return "a service is in a steady state"
	case e.state == "SERVICE_DESIRED_COUNT_UPDATED":
		c.Type = change.Scaling
		return ""
	}
	switch e.detail.Get("eventType").String() {
	case "WARN", "ERROR":
		c.Type, c.Status = change.Incident, change.Started
		return ""
	}
	return routine
}}

var ecsTask = look{"only tasks that failed to start", func(e *event, c *change.Change) string {
	if e.detail.Get("lastStatus").String() != "STOPPED" || e.detail.Get("stopCode").String() != "TaskFailedToStart" {
		return "tasks come and go"
	}
	c.Status = change.Failed
	return ""
}}

var image = look{"`DELETE`: `infrastructure`, `destructive`; a push that failed is ignored", func(e *event, c *change.Change) string {
	if c.Status == change.Failed {
		return "failed push"
	}
	e.did = "pushed"
	if e.detail.Get("action-type").String() == "DELETE" {
		e.did = "deleted"
		c.Type = change.Infrastructure
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	}
	return ""
}}

var imageScan = look{"only scans that found something critical or high", func(e *event, c *change.Change) string {
	counts := e.detail.Get("finding-severity-counts")
	critical, high := counts.Get("CRITICAL").Int(), counts.Get("HIGH").Int()
	if critical == 0 && high == 0 {
		return "a scan that found nothing grave"
	}
	e.did = counts.Get("CRITICAL").String() + " critical"
	if critical == 0 {
		e.did = counts.Get("HIGH").String() + " high"
	}
	e.did += " vulnerabilities"
	c.Status = change.Started
	return ""
}}

var pushed = look{"what happened to which branch or tag", func(e *event, c *change.Change) string {
	verbs := map[string]string{"referenceCreated": "created", "referenceUpdated": "pushed to", "referenceDeleted": "deleted"}
	if e.did = verbs[e.detail.Get("event").String()]; e.did == "" {
		e.did = "changed"
	}
	c.Repository = e.detail.Get("repositoryName").String()
	c.CommitSHA = e.detail.Get("commitId").String()
	if e.detail.Get("referenceType").String() == "branch" {
		c.Branch = e.detail.Get("referenceName").String()
	}
	e.transition("commitId", e.find("oldCommitId"), c.CommitSHA)
	return ""
}}

var pullRequest = look{"only merges", func(e *event, c *change.Change) string {
	if e.detail.Get("isMerged").String() != "True" && !e.detail.Get("isMerged").Bool() {
		return "a pull request that is not merged"
	}
	c.Repository = e.detail.Get("repositoryNames.0").String()
	c.PRNumber = e.detail.Get("pullRequestId").String()
	c.Branch = strings.TrimPrefix(e.detail.Get("destinationReference").String(), "refs/heads/")
	c.CommitSHA = e.detail.Get("mergeCommitId").String()
	c.Type = normalizers.Upgrade(change.Code, e.detail.Get("title").String())
	return ""
}}

var appConfig = look{"`Rolled Back`: `rollback`; the environment as AppConfig calls it", func(e *event, c *change.Change) string {
	c.Environment = e.detail.Get("Environment.Name").String()
	c.CorrelationID = strings.Trim(e.detail.Get("Application.Id").String()+"/"+e.detail.Get("Environment.Id").String()+"/"+e.detail.Get("DeploymentNumber").String(), "/")
	switch what := strings.TrimPrefix(e.detailType, "On Deployment "); what {
	case "Start":
		c.Status, e.did = change.Started, "started"
	case "Complete":
		c.Status, e.did = change.Succeeded, "is complete"
	case "Rolled Back":
		c.Type, c.Status, e.did = change.Rollback, change.Failed, "was rolled back"
	}
	return ""
}}

var stack = look{"`*ROLLBACK*`: `rollback`; `DELETE_*`: `destructive`; cleaning up and reviewing are ignored", func(e *event, c *change.Change) string {
	switch {
	case strings.HasSuffix(e.state, "_CLEANUP_IN_PROGRESS"):
		return "a stack cleans up"
	case e.state == "REVIEW_IN_PROGRESS":
		return "a change set is under review"
	case strings.HasPrefix(e.state, "DELETE_"):
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	}
	if parts := strings.Split(c.Resource.ID, "/"); len(parts) == 3 { // arn:...:stack/name/id
		c.Resource.Name = parts[1]
		c.CorrelationID = orElse(c.CorrelationID, c.Resource.ID)
	}
	return ""
}}

var drift = look{"only stacks that drifted", func(e *event, c *change.Change) string {
	if e.detail.Get("status-details.stack-drift-status").String() != "DRIFTED" {
		return "a stack is as its template says"
	}
	if parts := strings.Split(c.Resource.ID, "/"); len(parts) == 3 {
		c.Resource.Name = parts[1]
	}
	return ""
}}

var scaled = look{"`Unsuccessful`: failed", func(e *event, c *change.Change) string {
	verb := "launched"
	if strings.Contains(e.detailType, "Terminate") {
		verb = "terminated"
	}
	c.Status, e.did = change.Succeeded, verb
	if strings.HasSuffix(e.detailType, "Unsuccessful") {
		c.Status, e.did = change.Failed, "failed to "+strings.TrimSuffix(verb, "ed")
		if verb == "terminated" {
			e.did = "failed to terminate"
		}
	}
	c.Description = e.find("Cause Description")
	return ""
}}

var refresh = look{"`Rollback`: `rollback`; checkpoints are ignored", func(e *event, c *change.Change) string {
	if strings.Contains(e.detailType, "Checkpoint") {
		return oneOfMany
	}
	e.did = "Instance refresh"
	if strings.Contains(e.detailType, "Rollback") {
		c.Type, e.did = change.Rollback, "Rollback of the instance refresh"
	}
	c.Status = statusOf(lastWord(e.detailType))
	return ""
}}

var instance = look{"on the way to another state it has `started`", func(e *event, c *change.Change) string {
	switch strings.ToLower(e.state) {
	case "running", "stopped", "terminated":
		c.Status = change.Succeeded
	}
	return ""
}}

var snapshot = look{"snapshots that were made are routine; shared ones: `access_change`", func(e *event, c *change.Change) string {
	switch {
	case e.detail.Get("event").String() == "shareSnapshot":
		c.Type = change.AccessChange
	case c.Status != change.Failed:
		return routine
	}
	return ""
}}

// database goes by the categories that RDS gives its events.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
var database = look{"by category: failures and low storage are `incident`, restorations `rollback`, patches `security_patch`, maintenance `maintenance`, configuration `config_change`; backups are ignored", func(e *event, c *change.Change) string {
	c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDatabase)
	categories := strings.ToLower(e.detail.Get("EventCategories").Raw)
	c.Resource.Type = "rds." + strings.ToLower(orElse(e.detail.Get("SourceType").String(), "database"))
	switch has := func(word string) bool { return strings.Contains(categories, word) }; {
	case has(`"failure"`), has("low storage"):
		c.Type, c.Status = change.Incident, change.Started
	case has("security patching"):
		c.Type = change.SecurityPatch
	case has("maintenance"):
		c.Type = change.Maintenance
	case has("configuration change"):
		c.Type = change.ConfigChange
	case has("restoration"), has("recovery"):
		c.Type = change.Rollback
	case has("deletion"):
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	case has("backup"), has("backtrack"):
		return routine
	}
	return ""
}}

var tagged = look{"", func(e *event, c *change.Change) string {
	e.tags(e.detail.Get("tags"))
	return ""
}}

var gone = look{"`destructive`", func(_ *event, c *change.Change) string {
	c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	return ""
}}

func (e *event) environment(names ...string) {
	if env, ok := normalizers.Environment(names...); ok && e.change.Environment == "" {
		e.change.Environment = env
		e.change.RiskHints = normalizers.AddHints(e.change.RiskHints, normalizers.HintEnvInferred)
	}
}

// tags takes an object of tags.
func (e *event) tags(v gjson.Result) {
	if !v.IsObject() {
		return
	}
	v.ForEach(func(key, value gjson.Result) bool {
		if value.Type == gjson.String {
			e.change.Tags = append(e.change.Tags, key.Str+":"+value.Str)
		}
		return len(e.change.Tags) < 50
	})
}

func isCommit(s string) bool { return len(s) == 40 && normalizers.ShortSHA(s) != s }

func lastWord(s string) string { return s[strings.LastIndexByte(s, ' ')+1:] }
