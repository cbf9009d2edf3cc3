package azuredevops

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// fromDeployment reads that a release starts to be deployed to an environment,
// or how that ended.
func fromDeployment(e *event, k *kind) normalizers.Result {
	deployment := e.resource.Get("deployment")
	c, env := e.releaseChange(k.typ, text(deployment.Get("completedOn")), text(deployment.Get("lastModifiedOn")))
	setActor(&c, deployment.Get("requestedFor"), deployment.Get("requestedBy"), e.resource.Get("release.createdBy"), e.resource.Get("environment.owner"))
	release := first(c.Version, "a release")
	if strings.Contains(e.kind, "started") {
		c.Status = change.Started
		c.Summary = who(&c, "Somebody") + "started to deploy " + release
	} else {
		result := first(text(e.resource.Get("environment.status")), text(deployment.Get("deploymentStatus")))
		ended(&c, result)
		c.Summary = e.finished(&c, result, release)
	}
	if c.Resource.Name != "" {
		c.Summary += " of " + c.Resource.Name
	}
	if env != "" {
		c.Summary += " to " + env
	}
	c.Description = text(e.resource.Get("comment"))
	return e.one(c)
}

func (e *event) finished(c *change.Change, result, release string) string {
	switch c.Status {
	case change.Succeeded:
		if strings.EqualFold(result, "partiallySucceeded") {
			return who(c, "Somebody") + "deployed, with some failures, " + release
		}
		return who(c, "Somebody") + "deployed " + release
	case change.Failed:
		return who(c, "Somebody") + "failed to deploy " + release
	case change.Cancelled:
		return who(c, "Somebody") + "cancelled the deployment of " + release
	}
	return who(c, "Somebody") + "finished deploying " + release
}

// fromApproval reads that somebody let a deployment through, or not.
func fromApproval(e *event, k *kind) normalizers.Result {
	approval := e.resource.Get("approval")
	c, env := e.releaseChange(k.typ, text(approval.Get("modifiedOn")))
	setActor(&c, approval.Get("approvedBy"), approval.Get("approver"))
	verb := approved(&c, text(approval.Get("status")))
	c.Summary = who(&c, "Somebody") + verb + " " + first(c.Version, "a release")
	if c.Resource.Name != "" {
		c.Summary += " of " + c.Resource.Name
	}
	if env != "" {
		c.Summary += " for " + env
	}
	c.Description = text(approval.Get("comments"))
	return e.one(c)
}

// fromRelease reads that a release was made or given up.
func fromRelease(e *event, k *kind) normalizers.Result {
	release := e.resource.Get("release")
	verb, when := "created", text(release.Get("createdOn"))
	abandoned := strings.Contains(e.kind, "abandoned")
	if abandoned {
		verb, when = "abandoned", text(release.Get("modifiedOn"))
	}
	c, _ := e.releaseChange(k.typ, when)
	c.Environment = ""
	setActor(&c, release.Get("modifiedBy"), release.Get("createdBy"))
	if abandoned {
		c.Status = change.Cancelled
	}
	c.Summary = who(&c, "Somebody") + verb + " " + first(c.Version, "a release")
	if c.Resource.Name != "" {
		c.Summary += " of " + c.Resource.Name
	}
	c.Description = text(release.Get("description"))
	return e.one(c)
}

// releaseChange fills in what the events about releases share, and returns the
// environment's name as people write it.
func (e *event) releaseChange(typ change.Type, when ...string) (c change.Change, env string) {
	release, environment := e.resource.Get("release"), e.resource.Get("environment")
	if !environment.IsObject() {
		environment = e.resource.Get("approval.releaseEnvironment")
	}
	env = text(environment.Get("name"))
	inner := environment.Get("release") // a started deployment has its release here only
	if name := text(release.Get("name")); name == "" && inner.IsObject() {
		release = inner
	}
	if !release.IsObject() {
		release = e.resource.Get("approval.release")
	}
	definition := e.resource.Get("release.releaseDefinition")
	if !definition.IsObject() {
		definition = first2(environment.Get("releaseDefinition"), e.resource.Get("approval.releaseDefinition"))
	}
	c = e.change(typ, when...)
	c.Environment = env
	if known, ok := normalizers.Environment(env); ok {
		c.Environment = known
	}
	c.Version = text(release.Get("name"))
	c.PipelineURL = first(link(release.Get("_links.web.href")), link(release.Get("webAccessUri")))
	id := first(text(definition.Get("id")), text(definition.Get("name")))
	c.Resource = change.Resource{Type: "release_pipeline", ID: id, Name: text(definition.Get("name"))}
	if number := text(release.Get("id")); number != "" {
		c.CorrelationID = strings.TrimSuffix("azure_devops:release:"+e.project+":"+number+":"+text(environment.Get("id")), ":")
	}
	setArtifact(&c, e.resource.Get("release.artifacts"))
	c.Type = normalizers.Upgrade(c.Type, c.Resource.Name, env)
	return c, env
}

// setArtifact takes the code from the artifact that leads the release.
func setArtifact(c *change.Change, artifacts gjson.Result) {
	all := artifacts.Array()
	if len(all) == 0 {
		return
	}
	lead := all[0]
	for _, a := range all {
		if a.Get("isPrimary").Bool() {
			lead = a
			break
		}
	}
	ref := lead.Get("definitionReference")
	c.CommitSHA = first(text(ref.Get("sourceVersion.id")), text(ref.Get("sourceVersion.name")))
	c.Branch = branch(first(text(ref.Get("branch.id")), text(ref.Get("branch.name")), text(ref.Get("branches.id"))))
	c.Repository = text(ref.Get("repository.name"))
}

func first2(a, b gjson.Result) gjson.Result {
	if a.IsObject() {
		return a
	}
	return b
}
