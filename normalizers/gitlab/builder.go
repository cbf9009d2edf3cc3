package gitlab

import (
	"strconv"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
	"whatchanged/pkg/change"
)

// builder makes the change of one event.
type builder struct {
	kind string
	body *fields.Object
	made []normalizers.Draft // one
	c    *change.Change      // in it
	meta normalizers.Meta

	project       string
	projectID     string
	projectURL    string
	defaultBranch string

	ignored string // why there is nothing to record
	fact    string // what makes the event itself unique in its project
}

// newBuilder starts with what most events have in common.
func newBuilder(kind string, r normalizers.Record, body *fields.Object) *builder {
	b := &builder{kind: kind, body: body, made: make([]normalizers.Draft, 1)}
	b.c = &b.made[0].Change
	project, user := body.Object("project"), body.Object("user")
	b.project = project.Text("path_with_namespace")
	b.projectID = first(project.Text("id"), body.Text("project_id"))
	b.projectURL = project.Text("web_url")
	b.defaultBranch = project.Text("default_branch")
	b.c.Repository = b.project
	b.c.Type = change.Other
	b.resource("project", b.projectID, b.project, b.projectURL)

	b.meta.Set("event", r.Event)
	b.copy("object_kind", "event_name", "event_type", "action=object_attributes.action", "project_id")
	project.Copy(&b.meta, "project_id=id")
	b.meta.Set("repository_url", first(b.projectURL, body.Text("repository.homepage")))
	b.meta.Set("default_branch", b.defaultBranch)
	user.Copy(&b.meta, "user_username=username", "user_name=name", "user_email=email")
	b.copy("user_username", "user_name", "user_email")
	b.actor(user.Text("id"), user.Text("username"), user.Text("name"))
	return b
}

// actor says who did it.
func (b *builder) actor(id, username, name string) {
	by := first(username, name)
	if by == "" {
		return
	}
	kind := "user"
	if isBot(username) {
		kind = "bot"
	}
	b.c.Actor = change.Actor{ID: id, Name: by, Type: kind}
	b.c.ChangedBy = by
}

// isBot knows the users that GitLab makes for project and group access tokens,
// its own, and what people call theirs.
func isBot(username string) bool {
	made := strings.HasPrefix(username, "project_") || strings.HasPrefix(username, "group_")
	return made && strings.Contains(username, "_bot") || strings.HasSuffix(username, "-bot") || strings.HasSuffix(username, "[bot]") ||
		username == "gitlab-security-bot" || username == "renovate"
}

// nobody says that the payload does not tell who did it: the user in it is
// whom it was done to.
func (b *builder) nobody() { b.c.Actor, b.c.ChangedBy = change.Actor{}, "" }

// who is who did it, for summaries.
func (b *builder) who() string { return first(b.c.ChangedBy, "someone") }

func (b *builder) resource(kind, id, name, url string) {
	if id != "" || name != "" {
		b.c.Resource = change.Resource{Type: kind, ID: id, Name: name, URL: url}
	}
}

func (b *builder) hint(hints ...string) {
	b.c.RiskHints = normalizers.AddHints(b.c.RiskHints, hints...)
}

// at sets when it happened, by the first of the members that is a time; none
// leaves it open.
func (b *builder) at(paths ...string) {
	for _, path := range paths {
		if t, ok := normalizers.ParseTime(b.get(path)); ok {
			b.c.OccurredAt = change.At(t)
			return
		}
	}
}

func (b *builder) get(path string) string { return b.body.Text(path) }

// id is a member that is an id or number of GitLab's; 0 is none.
func (b *builder) id(path string) string {
	if id := b.get(path); id != "0" {
		return id
	}
	return ""
}

func (b *builder) copy(members ...string) { b.body.Copy(&b.meta, members...) }

// where names the project at the end of a summary.
func (b *builder) where() string {
	if b.project == "" {
		return ""
	}
	return " in " + b.project
}

// correlation ties changes about one thing of a project together.
func (b *builder) correlation(kind, id string) string {
	if id == "" || b.projectID == "" {
		return ""
	}
	return "gitlab:" + b.projectID + ":" + kind + ":" + id
}

// upgrade sets the type, or the one that the texts tell.
func (b *builder) upgrade(t change.Type, texts ...string) {
	b.c.Type = normalizers.Upgrade(t, texts...)
	if b.c.Type == change.Rollback {
		b.hint(normalizers.HintRollback)
	}
}

// finish completes the change.
func (b *builder) finish(key string) normalizers.Result {
	if b.c.Action == "" {
		b.c.Action = dotted(first(b.kind, "gitlab"), b.get("object_attributes.action"))
	}
	if b.c.Summary == "" {
		b.c.Summary = strings.TrimSpace(b.c.ChangedBy+" "+words(first(b.kind, "gitlab event"))) + b.where()
	}
	b.c.Metadata = b.meta.JSON()
	b.made[0].Key = key
	return normalizers.Result{Drafts: b.made}
}

// dotted joins a kind and what became of it, if that is said.
func dotted(kind, what string) string { return strings.TrimSuffix(kind+"."+what, ".") }

// first returns the first of the texts that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func words(s string) string { return strings.ReplaceAll(s, "_", " ") }

// count writes a number of things.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.FormatInt(n, 10) + " " + thing + "s"
}
