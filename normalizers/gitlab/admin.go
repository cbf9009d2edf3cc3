package gitlab

import (
	"fmt"
	"strings"

	"github.com/xanzy/go-gitlab"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// administration takes the events that have only a name: who may do what, and
// what became of projects, groups, users and keys. Group hooks send some of
// them and system hooks all. None says who did it: the user in them is whom it
// was done to.
func (b *builder) administration() {
	b.c.Actor, b.c.ChangedBy = change.Actor{}, ""
	b.at(b.get("created_at"))
	b.at(b.get("updated_at"))
	b.copy("created_at", "updated_at")
	subject, verb, _ := strings.Cut(b.kind, "_")
	switch {
	case strings.HasPrefix(b.kind, "user_access_request"):
		b.accessRequest()
	case strings.HasSuffix(b.kind, "_group") && subject == "user", strings.HasSuffix(b.kind, "_team") && subject == "user":
		b.member(into[gitlab.MemberEvent](b))
	case subject == "project":
		b.space(subject, verb, first(b.get("path_with_namespace"), b.get("name")), b.get("project_id"))
	case subject == "group", subject == "subgroup":
		b.space(subject, verb, first(b.get("full_path"), b.get("path")), b.get("group_id"))
	case subject == "user":
		b.user(verb)
	case subject == "key":
		b.accessKey(verb)
	}
}

// member says that somebody joined or left a group or project, or may do
// something else in it.
func (b *builder) member(p *gitlab.MemberEvent) {
	b.c.Type = change.AccessChange
	access := first(p.GroupAccess, b.get("access_level"), b.get("project_access"))
	group := first(p.GroupPath, p.GroupName)
	b.resource("group", idOf(p.GroupID), group, "")
	if project := b.get("project_path_with_namespace"); project != "" {
		group = project
		b.c.Repository = project
		b.resource("project", b.get("project_id"), project, "")
	}
	b.copy("group_path", "group_name", "group_access", "access_level", "expires_at")
	who := first(p.UserUsername, p.UserName, p.UserEmail)
	switch {
	case strings.Contains(b.kind, "_remove_"):
		b.c.Action = "member.removed"
		b.c.Summary = fmt.Sprintf("%s removed from %s", who, group)
		return
	case strings.Contains(b.kind, "_update_"):
		b.c.Action = "member.updated"
		b.c.Summary = fmt.Sprintf("%s is now %s in %s", who, first(access, "a member"), group)
	default:
		b.c.Action = "member.added"
		b.c.Summary = fmt.Sprintf("%s added to %s as %s", who, group, first(access, "a member"))
	}
	if access == "Owner" || access == "Maintainer" {
		b.hint(normalizers.HintPrivilegeGrant)
	}
}

func (b *builder) accessRequest() {
	b.c.Type = change.AccessChange
	group := first(b.get("group_path"), b.get("group_name"))
	b.resource("group", b.get("group_id"), group, "")
	b.copy("group_path", "group_name", "group_access")
	b.c.Action = "member.access_requested"
	b.c.Summary = fmt.Sprintf("%s asked for access to %s", b.get("user_username"), group)
	if strings.Contains(b.kind, "denied") {
		b.c.Action = "member.access_denied"
		b.c.Summary = fmt.Sprintf("%s was denied access to %s", b.get("user_username"), group)
	}
}

// space says what became of a project or group itself.
func (b *builder) space(kind, verb, name, id string) {
	b.c.Type = change.ConfigChange
	b.resource(kind, id, name, "")
	if kind == "project" {
		b.c.Repository = b.get("path_with_namespace")
	}
	b.copy("name", "path", "path_with_namespace", "full_path", "old_path=old_path_with_namespace", "old_path=old_path", "old_full_path",
		"owner_name", "owner_email", "project_visibility")
	b.c.Action = kind + "." + done(verb)
	b.c.Summary = fmt.Sprintf("%s %s %s", kind, name, done(verb))
	if old := first(b.get("old_path_with_namespace"), b.get("old_full_path")); old != "" {
		b.c.Summary = fmt.Sprintf("%s %s %s to %s", kind, old, done(verb), name)
	}
	if verb == "destroy" || verb == "transfer" {
		b.hint(normalizers.HintDestructive)
	}
}

// user says what became of a user of the instance.
func (b *builder) user(verb string) {
	b.c.Type = change.AccessChange
	username := b.get("username")
	b.resource("user", b.get("user_id"), username, "")
	b.copy("username", "name", "email", "state", "old_username")
	b.c.Action = "user." + done(verb)
	b.c.Summary = fmt.Sprintf("user %s %s", username, strings.ReplaceAll(done(verb), "_", " "))
	switch verb {
	case "failed_login":
		b.c.Summary = fmt.Sprintf("login of %s user %s failed", b.get("state"), username)
		b.c.Status = change.Failed
		b.hint(normalizers.HintFailed)
	case "rename":
		b.c.Summary = fmt.Sprintf("user %s renamed to %s", b.get("old_username"), username)
	case "destroy":
		b.hint(normalizers.HintDestructive)
	}
}

// accessKey says that somebody got a key or lost one. The key itself stays out.
func (b *builder) accessKey(verb string) {
	b.c.Type = change.AccessChange
	b.resource("key", b.get("id"), "", "")
	b.copy("username")
	b.c.Action = "key." + done(verb)
	b.c.Summary = fmt.Sprintf("SSH key of %s %s", b.get("username"), done(verb))
}

// vulnerability says that a finding appeared or was dealt with.
func (b *builder) vulnerability() {
	b.c.Type = change.SecurityPatch
	title, state := b.get("object_attributes.title"), b.get("object_attributes.state")
	b.at(b.get("object_attributes.created_at"))
	b.at(b.get("object_attributes.updated_at"))
	b.copy("state=object_attributes.state", "severity=object_attributes.severity", "identifiers=object_attributes.identifiers.#.name")
	b.resource("vulnerability", b.get("object_attributes.id"), title, b.get("object_attributes.url"))
	b.c.Action = strings.TrimSuffix("vulnerability."+state, ".")
	b.c.Summary = fmt.Sprintf("%s: %s%s", title, state, b.where())
}

// done writes the verb of an event's name in the past.
func done(verb string) string {
	switch verb {
	case "destroy":
		return "deleted"
	case "transfer":
		return "transferred"
	}
	return past(verb)
}
