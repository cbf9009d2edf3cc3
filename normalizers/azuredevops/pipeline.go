package azuredevops

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// fromBuild reads a build that is complete, in the old form of the resource
// (1.0) and the new (2.0).
func fromBuild(e *event, k *kind) normalizers.Result {
	b := e.resource
	name := text(b.Get("definition.name"))
	number := text(b.Get("buildNumber"))
	c := e.change(k.typ, text(b.Get("finishTime")), text(b.Get("startTime")))
	c.Type = typeOf(c.Type, name)
	c.Version = number
	c.CorrelationID = e.run(text(b.Get("id")))
	c.PipelineURL = link(b.Get("_links.web.href"))
	c.Resource = change.Resource{Type: "pipeline", ID: first(text(b.Get("definition.id")), name), Name: name, URL: c.PipelineURL}
	c.Repository = text(b.Get("repository.name"))
	c.Branch = branch(text(b.Get("sourceBranch")))
	c.CommitSHA = text(b.Get("sourceVersion"))
	if got := strings.Split(text(b.Get("sourceGetVersion")), ":"); len(got) == 3 { // LG:refs/heads/main:<commit>
		c.Branch, c.CommitSHA = branch(got[1]), got[2]
	}
	setActor(&c, b.Get("requestedFor"), b.Get("requests.0.requestedFor"), b.Get("requestedBy"), b.Get("lastChangedBy"))
	result := first(text(b.Get("result")), text(b.Get("status")))
	ended(&c, result)
	c.Summary = phrase(&c, "Build", number, name, result)
	return e.one(c)
}

// fromRun reads how far the run of a pipeline has come.
func fromRun(e *event, k *kind) normalizers.Result {
	run := e.resource.Get("run")
	state, result := text(run.Get("state")), text(run.Get("result"))
	if strings.EqualFold(state, "canceling") {
		return normalizers.Ignore("a run that is about to be cancelled, which it says next")
	}
	c := e.pipelineChange(k.typ, state)
	ended(&c, first(result, state))
	c.Summary = phrase(&c, "Run", c.Version, c.Resource.Name, first(result, state))
	return e.one(c)
}

// fromStage reads how far a stage of a run has come.
func fromStage(e *event, k *kind) normalizers.Result { return e.part(k, "stage") }

// fromJob reads how far a job of a stage has come, if it is one that deploys.
func fromJob(e *event, k *kind) normalizers.Result {
	if job := partName(e.resource.Get("job")); typeOf(change.Other, job) == change.Other && !tellsWhere(job) {
		return normalizers.Ignore("a job: its stage tells of it")
	}
	return e.part(k, "job")
}

// part reads a stage or a job.
func (e *event) part(k *kind, word string) normalizers.Result {
	part := e.resource.Get(word)
	state, result := text(part.Get("state")), text(part.Get("result"))
	switch strings.ToLower(state) {
	case "notstarted", "waiting", "pending":
		return normalizers.Ignore("a " + word + " that waits, nothing has changed yet")
	case "canceling":
		return normalizers.Ignore("a " + word + " that is about to be cancelled, which it says next")
	}
	if strings.EqualFold(result, "skipped") {
		return normalizers.Ignore("a " + word + " that is skipped")
	}
	c := e.pipelineChange(k.typ, state)
	name := partName(part)
	if env, ok := normalizers.Environment(name); ok {
		c.Environment = env
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
		c.Type = change.Deployment
	}
	c.Type = typeOf(c.Type, name, c.Resource.Name)
	ended(&c, first(result, state))
	title := strings.ToUpper(word[:1]) + word[1:]
	c.Summary = phrase(&c, title, name, strings.TrimSpace(c.Resource.Name+" "+c.Version), first(result, state))
	return e.one(c)
}

// partName is what people see of a stage or a job; the only stage of a
// pipeline without stages has no name.
func partName(part gjson.Result) string {
	name := first(text(part.Get("displayName")), text(part.Get("name")))
	if name == "__default" {
		return ""
	}
	return name
}

// pipelineChange fills in what runs, stages and jobs share.
func (e *event) pipelineChange(typ change.Type, state string) change.Change {
	run := e.resource.Get("run")
	pipeline := e.resource.Get("pipeline")
	if !pipeline.IsObject() {
		pipeline = run.Get("pipeline")
	}
	var when []string
	if strings.EqualFold(state, "completed") {
		when = append(when, text(run.Get("finishedDate")))
	}
	if !e.resource.Get("stage").Exists() && !e.resource.Get("job").Exists() {
		when = append(when, text(run.Get("createdDate")))
	} else {
		when = nil // the run's times are not the stage's
	}
	c := e.change(typ, when...)
	name := text(pipeline.Get("name"))
	c.Type = typeOf(typ, name)
	c.Version = first(text(run.Get("name")), text(run.Get("id")))
	c.CorrelationID = e.run(text(run.Get("id")))
	c.PipelineURL = first(link(run.Get("_links.web.href")), link(e.resource.Get("stage._links.web.href")), link(e.resource.Get("job._links.web.href")))
	c.Resource = change.Resource{Type: "pipeline", ID: first(text(pipeline.Get("id")), name), Name: name, URL: link(run.Get("_links.pipeline\\.web.href"))}
	self := run.Get("resources.repositories.self")
	c.Repository = first(text(self.Get("repository.name")), text(self.Get("repository.fullName")), text(self.Get("name")))
	c.Branch = branch(text(self.Get("refName")))
	c.CommitSHA = text(self.Get("version"))
	source := e.resource.Get("repositories.0")
	if c.Repository == "" {
		c.Repository = lastSegment(text(source.Get("url")))
	}
	c.CommitMessage = text(source.Get("change.message"))
	setActor(&c, run.Get("requestedFor"), run.Get("createdBy"))
	return c
}

// run correlates all that one run of a pipeline does; a build is a run.
func (e *event) run(id string) string {
	if id == "" {
		return ""
	}
	return "azure_devops:run:" + e.project + ":" + id
}

// fromCheck reads an approval of a stage that is done.
func fromCheck(e *event, k *kind) normalizers.Result {
	approval := e.resource.Get("approval")
	c := e.pipelineChange(k.typ, "")
	where := first(text(e.resource.Get("stageName")), partName(e.resource.Get("stage")), text(e.resource.Get("resource.name")))
	if env, ok := normalizers.Environment(text(e.resource.Get("resource.name")), where); ok {
		c.Environment = env
	}
	steps := approval.Get("steps").Array()
	for _, step := range slices.Backward(steps) { // the last one decided
		setActor(&c, step.Get("actualApprover"), step.Get("assignedApprover"))
		if c.ChangedBy != "" {
			break
		}
	}
	verb := approved(&c, text(approval.Get("status")))
	c.Summary = who(&c, "Somebody") + verb + " " + first(strings.TrimSpace(c.Resource.Name+" "+c.Version), "a run")
	if where != "" {
		c.Summary += " for " + where
	}
	if c.Resource.Name == "" && e.text != "" {
		c.Summary = normalizers.FirstLine(e.text)
	}
	return e.one(c)
}

// approved sets what an approval did, and returns the word for it.
func approved(c *change.Change, status string) string {
	switch strings.ToLower(status) {
	case "rejected", "canceled", "timedout":
		c.Status = change.Cancelled
		return "rejected"
	}
	c.Status = change.Started
	return "approved"
}

// ended translates a result, or the state where there is none yet.
func ended(c *change.Change, result string) {
	switch strings.ToLower(result) {
	case "succeeded", "partiallysucceeded", "succeededwithissues", "completed":
		c.Status = change.Succeeded
	case "failed", "rejected":
		c.Status = change.Failed
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintFailed)
	case "canceled", "cancelled", "stopped", "abandoned":
		c.Status = change.Cancelled
	case "inprogress", "running", "queued", "started":
		c.Status = change.Started
	}
}

// phrase says what became of a build, run, stage or job:
// "Run 20260105.1 of shop-cd succeeded (main), requested by Ann".
func phrase(c *change.Change, what, name, of, result string) string {
	s := strings.TrimSpace(what + " " + name)
	if of != "" && of != name {
		s += " of " + of
	}
	s += " " + outcome(result)
	if c.Branch != "" {
		s += " (" + c.Branch + ")"
	}
	if c.ChangedBy != "" {
		s += ", by " + c.ChangedBy
	}
	return s
}

// outcome says a result as people do.
func outcome(result string) string {
	switch strings.ToLower(result) {
	case "partiallysucceeded", "succeededwithissues":
		return "partly succeeded"
	case "canceled", "cancelled", "stopped":
		return "was cancelled"
	case "rejected":
		return "was rejected"
	case "inprogress", "running", "queued", "started":
		return "started"
	case "":
		return "changed"
	}
	return strings.ToLower(result)
}

// deploys are the words in a name that say that it deploys.
var deploys = []string{"deploy", "release", "rollout", "publish", "promote", "ship", "cd"}

// typeOf goes by names: a pipeline called shop-deploy deploys, one called
// rollback rolls back, and any other builds or tests.
func typeOf(typ change.Type, names ...string) change.Type {
	for _, name := range names {
		for word := range strings.FieldsFuncSeq(strings.ToLower(name), notWord) {
			for _, d := range deploys {
				if word == d || len(d) > 4 && strings.HasPrefix(word, d) {
					typ = change.Deployment
				}
			}
		}
	}
	return normalizers.Upgrade(typ, names...)
}

func tellsWhere(name string) bool {
	_, ok := normalizers.Environment(name)
	return ok
}

func notWord(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }

func lastSegment(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }
