package gitlab

import (
	"fmt"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// The events below have only a name: who may do what, and what became of
// projects, groups, users and keys. Group hooks send some of them and system
// hooks all. None says who did it.

// administers starts such an event.
func (b *builder) administers(t change.Type) {
	b.nobody()
	b.c.Type = t
	b.at("updated_at", "created_at")
	b.copy("created_at", "updated_at")
}

// verb is what the event's name says was done.
func (b *builder) verb() string {
	_, verb, _ := strings.Cut(b.kind, "_")
	return verb
}

// member says that somebody joined or left a group or project, or may do
// something else in it.
func (b *builder) member() {
	b.administers(change.AccessChange)
	access := b.body.First("group_access", "access_level", "project_access")
	group := b.body.First("group_path", "group_name")
	b.resource("group", b.id("group_id"), group, "")
	if project := b.get("project_path_with_namespace"); project != "" {
		group = project
		b.c.Repository = project
		b.resource("project", b.get("project_id"), project, "")
	}
	b.copy("group_path", "group_name", "group_access", "access_level", "expires_at")
	who := b.body.First("user_username", "user_name", "user_email")
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
	if until := b.get("expires_at"); until != "" {
		b.c.Summary += " until " + until
	}
	if access == "Owner" || access == "Maintainer" {
		b.hint(normalizers.HintPrivilegeGrant)
	}
}

func (b *builder) accessRequest() {
	b.administers(change.AccessChange)
	kind, group := "group", b.body.First("group_path", "group_name")
	id := b.id("group_id")
	if group == "" {
		kind, group, id = "project", b.get("project_path_with_namespace"), b.id("project_id")
		b.c.Repository = group
	}
	b.resource(kind, id, group, "")
	b.copy("group_path", "group_name", "group_access")
	who := b.body.First("user_username", "user_name", "user_email")
	switch {
	case strings.Contains(b.kind, "denied"):
		b.c.Action = "member.access_denied"
		b.c.Summary = fmt.Sprintf("%s was denied access to %s", who, group)
	case strings.Contains(b.kind, "revoked"):
		b.c.Action = "member.access_request_revoked"
		b.c.Summary = fmt.Sprintf("%s no longer asks for access to %s", who, group)
	default:
		b.c.Action = "member.access_requested"
		b.c.Summary = fmt.Sprintf("%s asked for access to %s", who, group)
	}
}

// memberApproval says what became of somebody's wish for a role that is paid.
func (b *builder) memberApproval() {
	b.c.Type = change.AccessChange
	b.at("object_attributes.updated_at", "object_attributes.created_at")
	b.copy("new_access_level=object_attributes.new_access_level", "old_access_level=object_attributes.old_access_level",
		"status=object_attributes.status", "reviewed_by_user_id=object_attributes.reviewed_by_user_id")
	action := b.body.First("action", "object_attributes.status")
	who := b.body.First("user.username", "user_username", "object_attributes.user_id")
	b.nobody() // the user is who waits
	b.resource("membership", b.id("object_attributes.id"), who, "")
	b.c.Action = dotted("member_approval", action)
	b.c.Summary = strings.TrimSpace(fmt.Sprintf("paid role of %s: %s", first(who, "several members"), words(first(action, "changed"))))
}

// space says what became of a project or group itself.
func (b *builder) space() {
	b.administers(change.ConfigChange)
	kind, _, _ := strings.Cut(b.kind, "_")
	verb := b.verb()
	var name string
	if kind == "project" {
		name = b.body.First("path_with_namespace", "name")
		b.c.Repository = b.get("path_with_namespace")
		b.resource(kind, b.get("project_id"), name, "")
	} else {
		name = b.body.First("full_path", "path")
		b.resource(kind, b.get("group_id"), name, "")
	}
	b.copy("name", "path", "path_with_namespace", "full_path", "old_path=old_path_with_namespace", "old_path", "old_full_path",
		"owner_name", "owner_email", "project_visibility")
	b.c.Action = kind + "." + done(verb)
	b.c.Summary = fmt.Sprintf("%s %s %s", kind, name, done(verb))
	if old := b.body.First("old_path_with_namespace", "old_full_path"); old != "" {
		b.c.Summary = fmt.Sprintf("%s %s %s to %s", kind, old, done(verb), name)
	}
	switch verb {
	case "destroy", "transfer":
		b.hint(normalizers.HintDestructive)
	case "create":
		if b.get("project_visibility") == "public" {
			b.hint(normalizers.HintPublicExposure)
			b.c.Summary += ", visible to everybody"
		}
	}
}

// user says what became of a user of the instance.
func (b *builder) user() {
	b.administers(change.AccessChange)
	verb, username := b.verb(), b.get("username")
	b.resource("user", b.get("user_id"), username, "")
	b.copy("username", "name", "email", "state", "old_username")
	b.c.Action = "user." + done(verb)
	b.c.Summary = fmt.Sprintf("user %s %s", username, words(done(verb)))
	switch verb {
	case "failed_login":
		b.c.Summary = strings.Join(strings.Fields(fmt.Sprintf("login of %s user %s failed", b.get("state"), username)), " ")
		b.c.Status = change.Failed
		b.hint(normalizers.HintFailed)
	case "rename":
		b.c.Summary = fmt.Sprintf("user %s renamed to %s", b.get("old_username"), username)
	case "destroy":
		b.hint(normalizers.HintDestructive)
	}
}

// accessKey says that somebody got a key or lost one. The key itself stays out.
func (b *builder) accessKey() {
	b.administers(change.AccessChange)
	verb := b.verb()
	b.resource("key", b.get("id"), "", "")
	b.copy("username")
	b.c.Action = "key." + done(verb)
	b.c.Summary = fmt.Sprintf("SSH key of %s %s", b.get("username"), done(verb))
}

// vulnerability says that a finding appeared or was dealt with.
func (b *builder) vulnerability() {
	b.c.Type = change.SecurityPatch
	title, state := b.get("object_attributes.title"), b.get("object_attributes.state")
	severity := b.get("object_attributes.severity")
	b.at("object_attributes.updated_at", "object_attributes.created_at")
	b.copy("state=object_attributes.state", "severity=object_attributes.severity", "created_at=object_attributes.created_at",
		"confirmed_at=object_attributes.confirmed_at", "dismissed_at=object_attributes.dismissed_at", "resolved_at=object_attributes.resolved_at",
		"report_type=object_attributes.report_type", "location=object_attributes.location")
	var identifiers []string
	for _, name := range b.body.Get("object_attributes.identifiers").Get("#.name").Array() {
		identifiers = append(identifiers, name.String())
	}
	b.meta.Set("identifiers", identifiers)
	b.resource("vulnerability", b.id("object_attributes.id"), title, b.get("object_attributes.url"))
	b.c.Action = dotted("vulnerability", state)
	b.c.Summary = fmt.Sprintf("%s: %s%s", title, state, b.where())
	if severity != "" {
		b.c.Summary = fmt.Sprintf("%s (%s): %s%s", title, severity, state, b.where())
	}
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
