package bitbucket

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// commitStatus says how far a build of somebody else's has come.
func (b *builder) commitStatus() {
	s := b.Body.Object("commit_status")
	name := s.First("name", "key")
	kind := change.Other
	if forge.Deploys(name, s.Text("key")) {
		kind = change.Deployment
	}
	b.Upgrade(kind, name)
	b.Change.Description = s.Text("description")
	b.Change.PipelineURL = s.Text("url")
	b.Change.Branch = s.Text("refname")
	b.Change.CommitSHA = s.Text("commit.hash")
	if _, hash, ok := strings.Cut(s.Text("links.commit.href"), "/commit/"); ok && b.Change.CommitSHA == "" {
		b.Change.CommitSHA = hash
	}
	b.Change.CorrelationID = b.correlation("build", s.Text("key"))
	if b.Change.CommitSHA != "" {
		b.Change.CorrelationID = b.correlation("build", s.Text("key")+":"+b.Change.CommitSHA)
	}
	b.At("commit_status.updated_on", "commit_status.created_on")
	b.Resource("build", s.Text("key"), name, s.Text("url"))
	b.Copy("state=commit_status.state", "key=commit_status.key", "created_at=commit_status.created_on", "updated_at=commit_status.updated_on")
	state := strings.ToLower(s.Text("state"))
	switch state {
	case "inprogress":
		b.Status(change.Started)
	case "successful":
		b.Status(change.Succeeded)
	case "failed":
		b.Status(change.Failed)
	case "stopped":
		b.Status(change.Cancelled)
	}
	state = forge.First(string(b.Change.Status), state)
	b.Change.Action = forge.Dotted("build", state)
	b.Change.Summary = strings.TrimSpace(fmt.Sprintf("build '%s' %s", name, state)) + b.Where()
}

// config starts a change of what a repository or project is.
func (b *builder) config(action, hint string) {
	b.Change.Type = change.ConfigChange
	b.Change.Action = action
	b.Hint(hint)
}

func (b *builder) repositoryCreated() {
	b.config("repository.created", "")
	b.Change.Summary = fmt.Sprintf("%s created repository %s", b.Who(), b.Project)
	if private := b.Body.Get("repository.is_private"); private.Type == gjson.False {
		b.Hint(normalizers.HintPublicExposure)
		b.Change.Summary += ", visible to everybody"
	}
}

func (b *builder) repositoryDeleted() {
	b.config("repository.deleted", normalizers.HintDestructive)
	b.Change.Summary = fmt.Sprintf("%s deleted repository %s", b.Who(), b.Project)
}

func (b *builder) repositoryTransferred() {
	b.config("repository.transferred", normalizers.HintDestructive)
	was := b.Body.First("previous_owner.nickname", "previous_owner.username", "previous_owner.display_name")
	b.Meta.Set("previous_owner", was)
	b.Change.Summary = fmt.Sprintf("%s transferred repository %s", b.Who(), b.Project)
	if was != "" {
		b.Change.Summary += " from " + was
	}
}

// repositoryUpdated tells the settings that were changed.
func (b *builder) repositoryUpdated() {
	b.config("repository.updated", "")
	b.settings("repository " + b.Project)
}

func (b *builder) projectUpdated() {
	b.config("project.updated", "")
	project := b.Body.Object("project")
	b.Resource("project", strings.Trim(project.First("uuid", "key"), "{}"), project.First("name", "project", "key"), project.Text("links.html.href"))
	b.settings("project " + project.First("name", "project", "key"))
}

// settings says which members of changes have an old and a new value. What
// only follows from another, the links and the full name, says nothing more.
func (b *builder) settings(what string) {
	changes := b.Body.Get("changes")
	b.Copy("changes")
	var names []string
	changes.ForEach(func(key, value gjson.Result) bool {
		if value.IsObject() && key.Str != "links" && key.Str != "full_name" {
			names = append(names, strings.ReplaceAll(strings.TrimPrefix(key.Str, "is_"), "_", " "))
		}
		return len(names) < 20
	})
	b.Change.Summary = fmt.Sprintf("%s changed %s of %s", b.Who(), forge.First(strings.Join(names, ", "), "settings"), what)
	name := fields.Of(changes).Object("name")
	if len(names) == 1 && name.Text("old") != "" && name.Text("new") != "" {
		b.Change.Summary = fmt.Sprintf("%s renamed %s from %s to %s", b.Who(), what, name.Text("old"), name.Text("new"))
	}
	if private := changes.Get("is_private.new"); private.Type == gjson.False {
		b.Hint(normalizers.HintPublicExposure)
		b.Change.Summary += ": visible to everybody"
	}
}

// repositoryModified says what a Data Center's repository was and is.
func (b *builder) repositoryModified() {
	b.repository(b.Body.Object("new"))
	b.config("repository.modified", "")
	b.modified("repository", b.Project, "slug")
}

func (b *builder) projectModified() {
	b.config("project.modified", "")
	project := b.Body.Object("new")
	b.Change.Account = project.Text("key")
	b.Resource("project", project.First("id", "key"), project.First("name", "key"), project.Get("links.self").Get("0.href").String())
	b.modified("project", project.First("name", "key"), "key")
}

func (b *builder) modified(kind, name, id string) {
	was, is := b.Body.Object("old"), b.Body.Object("new")
	b.Copy("old_name=old.name", "new_name=new.name", "old_"+id+"=old."+id, "new_"+id+"=new."+id, "old_public=old.public", "new_public=new.public")
	b.Change.Summary = fmt.Sprintf("%s changed %s %s", b.Who(), kind, name)
	if was.Text("name") != is.Text("name") && was.Text("name") != "" {
		b.Change.Summary = fmt.Sprintf("%s renamed %s %s from %s", b.Who(), kind, name, was.Text("name"))
	}
	if is.Bool("public") && was.Get("public").Type == gjson.False {
		b.Hint(normalizers.HintPublicExposure)
		b.Change.Summary += ", visible to everybody"
	}
}

// secretDetected says that the scanner found a secret in a push. Where it is
// stands in the payload; what it is does not come along.
func (b *builder) secretDetected() {
	b.Change.Type = change.SecurityPatch
	b.Change.Action = "secret.detected"
	b.Hint(normalizers.HintSecrets)
	b.Change.Summary = fmt.Sprintf("a secret that %s pushed was found%s", b.Who(), b.Where())
}
