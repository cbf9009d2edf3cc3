package gitlab

import (
	"fmt"
	"strings"
	"time"

	"whatchanged/normalizers"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// The events below have only a name: who may do what, and what became of
// projects, groups, users and keys. Group hooks send some of them and system
// hooks all. None says who did it.

// administers starts such an event.
func (b *builder) administers(t change.Type) {
	b.Nobody()
	b.Change.Type = t
	b.At("updated_at", "created_at")
	b.Copy("created_at", "updated_at")
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
	access := b.Body.First("group_access", "access_level", "project_access")
	group := b.Body.First("group_path", "group_name")
	b.Resource("group", b.ID("group_id"), group, "")
	if project := b.Text("project_path_with_namespace"); project != "" {
		group = project
		b.Change.Repository = project
		b.Resource("project", b.Text("project_id"), project, "")
	}
	b.Copy("group_path", "group_name", "group_access", "access_level", "expires_at")
	who := b.Body.First("user_username", "user_name", "user_email")
	switch {
	case strings.Contains(b.kind, "_remove_"):
		b.Change.Action = "member.removed"
		b.Change.Summary = who + " removed from " + group
		return
	case strings.Contains(b.kind, "_update_"):
		b.Change.Action = "member.updated"
		b.Change.Summary = who + " is now " + forge.First(access, "a member") + " in " + group
	default:
		b.Change.Action = "member.added"
		b.Change.Summary = who + " added to " + group + " as " + forge.First(access, "a member")
	}
	if until, ok := normalizers.ParseTime(b.Text("expires_at")); ok {
		b.Change.Summary += " until " + until.Format(time.DateOnly)
	}
	if access == "Owner" || access == "Maintainer" {
		b.Hint(normalizers.HintPrivilegeGrant)
	}
}

func (b *builder) accessRequest() {
	b.administers(change.AccessChange)
	kind, group := "group", b.Body.First("group_path", "group_name")
	id := b.ID("group_id")
	if group == "" {
		kind, group, id = "project", b.Text("project_path_with_namespace"), b.ID("project_id")
		b.Change.Repository = group
	}
	b.Resource(kind, id, group, "")
	b.Copy("group_path", "group_name", "group_access")
	who := b.Body.First("user_username", "user_name", "user_email")
	switch {
	case strings.Contains(b.kind, "denied"):
		b.Change.Action = "member.access_denied"
		b.Change.Summary = fmt.Sprintf("%s was denied access to %s", who, group)
	case strings.Contains(b.kind, "revoked"):
		b.Change.Action = "member.access_request_revoked"
		b.Change.Summary = fmt.Sprintf("%s no longer asks for access to %s", who, group)
	default:
		b.Change.Action = "member.access_requested"
		b.Change.Summary = fmt.Sprintf("%s asked for access to %s", who, group)
	}
}

// memberApproval says what became of somebody's wish for a role that is paid.
func (b *builder) memberApproval() {
	b.Change.Type = change.AccessChange
	b.At("object_attributes.updated_at", "updated_at", "object_attributes.created_at", "created_at")
	b.Copy("new_access_level=object_attributes.new_access_level", "old_access_level=object_attributes.old_access_level",
		"status=object_attributes.status", "user_id", "requested_by_user_id", "reviewed_by_user_id")
	b.Nobody() // the user in it is who waits
	who := "several users"
	if id := b.ID("user_id"); id != "" {
		who = "user " + id
		b.Resource("user", id, "", "")
	}
	action := b.Body.First("action", "object_attributes.status")
	b.Change.Action = forge.Dotted("member_approval", action)
	switch action {
	case "enqueue":
		b.Change.Summary = "a paid role of " + who + " waits for approval"
	case "approve", "approved":
		b.Change.Summary = "a paid role of " + who + " was approved"
		b.Hint(normalizers.HintPrivilegeGrant)
	case "deny", "denied":
		b.Change.Summary = "a paid role of " + who + " was denied"
	default:
		b.Change.Summary = fmt.Sprintf("a paid role of %s: %s", who, forge.First(forge.Words(action), "changed"))
	}
}

// space says what became of a project or group itself.
func (b *builder) space() {
	b.administers(change.ConfigChange)
	kind, _, _ := strings.Cut(b.kind, "_")
	verb := b.verb()
	var name string
	if kind == "project" {
		name = b.Body.First("path_with_namespace", "name")
		b.Change.Repository = b.Text("path_with_namespace")
		b.Resource(kind, b.Text("project_id"), name, "")
	} else {
		name = b.Body.First("full_path", "path")
		b.Resource(kind, b.Text("group_id"), name, "")
	}
	b.Copy("name", "path", "path_with_namespace", "full_path", "old_path=old_path_with_namespace", "old_path", "old_full_path",
		"owner_name", "owner_email", "project_visibility")
	b.Change.Action = kind + "." + done(verb)
	b.Change.Summary = fmt.Sprintf("%s %s %s", kind, name, done(verb))
	if old := b.Body.First("old_path_with_namespace", "old_full_path"); old != "" {
		b.Change.Summary = fmt.Sprintf("%s %s %s to %s", kind, old, done(verb), name)
	}
	switch verb {
	case "destroy", "transfer":
		b.Hint(normalizers.HintDestructive)
	case "create":
		if b.Text("project_visibility") == "public" {
			b.Hint(normalizers.HintPublicExposure)
			b.Change.Summary += ", visible to everybody"
		}
	}
}

// user says what became of a user of the instance.
func (b *builder) user() {
	b.administers(change.AccessChange)
	verb, username := b.verb(), b.Text("username")
	b.Resource("user", b.Text("user_id"), username, "")
	b.Copy("username", "name", "email", "state", "old_username")
	b.Change.Action = "user." + done(verb)
	b.Change.Summary = fmt.Sprintf("user %s %s", username, forge.Words(done(verb)))
	switch verb {
	case "failed_login":
		b.Change.Summary = strings.Join(strings.Fields(fmt.Sprintf("login of %s user %s failed", b.Text("state"), username)), " ")
		b.Change.Status = change.Failed
		b.Hint(normalizers.HintFailed)
	case "rename":
		b.Change.Summary = fmt.Sprintf("user %s renamed to %s", b.Text("old_username"), username)
	case "destroy":
		b.Hint(normalizers.HintDestructive)
	}
}

// accessKey says that somebody got a key or lost one. The key itself stays out.
func (b *builder) accessKey() {
	b.administers(change.AccessChange)
	verb := b.verb()
	b.Resource("key", b.Text("id"), "", "")
	b.Copy("username")
	b.Change.Action = "key." + done(verb)
	b.Change.Summary = fmt.Sprintf("SSH key of %s %s", b.Text("username"), done(verb))
}

// vulnerability says that a finding appeared or was dealt with.
func (b *builder) vulnerability() {
	b.Change.Type = change.SecurityPatch
	title, state := b.Text("object_attributes.title"), b.Text("object_attributes.state")
	severity := b.Text("object_attributes.severity")
	b.At("object_attributes.updated_at", "object_attributes.created_at")
	b.Copy("state=object_attributes.state", "severity=object_attributes.severity", "created_at=object_attributes.created_at",
		"confirmed_at=object_attributes.confirmed_at", "dismissed_at=object_attributes.dismissed_at", "resolved_at=object_attributes.resolved_at",
		"report_type=object_attributes.report_type", "location=object_attributes.location")
	var identifiers []string
	for _, name := range b.Body.Get("object_attributes.identifiers").Get("#.name").Array() {
		identifiers = append(identifiers, name.String())
	}
	b.Meta.Set("identifiers", identifiers)
	b.Resource("vulnerability", b.ID("object_attributes.id"), title, b.Text("object_attributes.url"))
	b.Change.Action = forge.Dotted("vulnerability", state)
	b.Change.Summary = fmt.Sprintf("%s: %s%s", title, state, b.Where())
	if severity != "" {
		b.Change.Summary = fmt.Sprintf("%s (%s): %s%s", title, severity, state, b.Where())
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
