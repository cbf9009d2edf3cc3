package gitlab

import (
	"fmt"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// release says what became of a release; a new one is a deployment.
func (b *builder) release() {
	action, tag := b.get("action"), b.get("tag")
	b.c.Type = change.Code
	b.c.Version = tag
	b.c.Description = b.get("description")
	b.c.CommitSHA = b.get("commit.id")
	b.c.CommitMessage = b.get("commit.message")
	b.c.ExternalID = b.id("id")
	b.c.CorrelationID = b.correlation("commit", b.c.CommitSHA)
	if action == "create" {
		b.at("released_at", "created_at")
	} else {
		b.at("created_at", "released_at")
	}
	b.resource("release", b.id("id"), tag, b.get("url"))
	b.copy("action", "release_name=name", "created_at", "released_at")
	b.c.Action = "release." + past(action)
	b.c.Summary = fmt.Sprintf("release %s %s%s", tag, past(action), b.where())
	switch action {
	case "create":
		b.upgrade(change.Deployment, b.get("name"), tag)
		b.c.Status = change.Succeeded
	case "delete":
		b.hint(normalizers.HintDestructive)
	}
}

// past writes create, update and delete in the past.
func past(action string) string {
	if strings.HasSuffix(action, "e") {
		return action + "d"
	}
	return first(action, "changed")
}
