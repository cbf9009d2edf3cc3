package gitlab

import (
	"fmt"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/normalizers/forge"
	"whatchanged/pkg/change"
)

// release says what became of a release; a new one is a deployment.
func (b *builder) release() {
	action, tag := b.Text("action"), b.Text("tag")
	b.Change.Type = change.Code
	b.Change.Version = tag
	b.Change.Description = b.Text("description")
	b.Change.CommitSHA = b.Text("commit.id")
	b.Change.CommitMessage = b.Text("commit.message")
	b.Change.ExternalID = b.ID("id")
	b.Change.CorrelationID = b.correlation("commit", b.Change.CommitSHA)
	if action == "create" {
		b.At("released_at", "created_at")
	} else {
		b.At("created_at", "released_at")
	}
	b.Resource("release", b.ID("id"), tag, b.Text("url"))
	b.Copy("action", "release_name=name", "created_at", "released_at")
	b.Change.Action = "release." + past(action)
	b.Change.Summary = fmt.Sprintf("release %s %s%s", tag, past(action), b.Where())
	switch action {
	case "create":
		b.Upgrade(change.Deployment, b.Text("name"), tag)
		b.Change.Status = change.Succeeded
	case "delete":
		b.Hint(normalizers.HintDestructive)
	}
}

// past writes create, update and delete in the past.
func past(action string) string {
	if strings.HasSuffix(action, "e") {
		return action + "d"
	}
	return forge.First(action, "changed")
}
