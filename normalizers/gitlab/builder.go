package gitlab

import (
	"strings"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/normalizers/forge"
)

// builder makes the change of one event.
type builder struct {
	forge.Builder
	kind string

	projectID     string
	projectURL    string
	defaultBranch string

	fact string // what makes the event itself unique in its project
}

// newBuilder starts with what most events have in common.
func newBuilder(kind string, r normalizers.Record, body *fields.Object) *builder {
	b := &builder{Builder: forge.NewBuilder(body), kind: kind}
	b.Meta.Set("event", r.Event)
	b.Copy("object_kind", "event_name", "project_id")
	if body.Object("object_attributes") != nil {
		b.Copy("event_type", "action=object_attributes.action")
	}
	b.projectID = body.Text("project_id")
	if project := body.Object("project"); project != nil {
		b.Project = project.Text("path_with_namespace")
		b.projectID = forge.First(project.Text("id"), b.projectID)
		b.projectURL = project.Text("web_url")
		b.defaultBranch = project.Text("default_branch")
		b.Change.Repository = b.Project
		project.Copy(&b.Meta, "project_id=id")
	}
	b.Resource("project", b.projectID, b.Project, b.projectURL)
	b.Meta.Set("repository_url", forge.First(b.projectURL, body.Text("repository.homepage")))
	b.Meta.Set("default_branch", b.defaultBranch)
	if user := body.Object("user"); user != nil {
		user.Copy(&b.Meta, "user_username=username", "user_name=name", "user_email=email")
		b.actor(user.Text("id"), user.Text("username"), user.Text("name"))
	}
	b.Copy("user_username", "user_name", "user_email")
	return b
}

func (b *builder) actor(id, username, name string) { b.Actor(id, username, name, isBot(username)) }

// isBot knows the users that GitLab makes for project and group access tokens,
// its own, and what people call theirs.
func isBot(username string) bool {
	made := strings.HasPrefix(username, "project_") || strings.HasPrefix(username, "group_")
	return made && strings.Contains(username, "_bot") || strings.HasSuffix(username, "-bot") || strings.HasSuffix(username, "[bot]") ||
		username == "renovate"
}

// correlation ties changes about one thing of a project together.
func (b *builder) correlation(kind, id string) string {
	if id == "" || b.projectID == "" {
		return ""
	}
	return "gitlab:" + b.projectID + ":" + kind + ":" + id
}
