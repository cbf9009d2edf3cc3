package github

import (
	"fmt"
	"strings"

	"github.com/google/go-github/v60/github"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// release says what became of a release; a published one is a deployment.
func (b *builder) release(p *github.ReleaseEvent) {
	r := p.GetRelease()
	b.c.Version = r.GetTagName()
	b.c.Description = r.GetBody()
	b.c.ExternalID = idOf(r.GetID())
	if target := r.GetTargetCommitish(); len(target) == len(zeros) {
		b.c.CommitSHA = target
	} else {
		b.c.Branch = target
	}
	b.resource("release", idOf(r.GetID()), r.GetTagName(), r.GetHTMLURL())
	b.meta.Set("release_name", r.GetName())
	b.meta.Set("release_author", r.GetAuthor().GetLogin())
	b.meta.Set("target_commitish", r.GetTargetCommitish())
	b.meta.Set("draft", r.GetDraft())
	b.meta.Set("prerelease", r.GetPrerelease())
	b.meta.Set("release_created_at", r.GetCreatedAt().Time)
	b.meta.Set("published_at", r.GetPublishedAt().Time)
	b.c.Summary = fmt.Sprintf("%s %s release %s%s", b.actor(), words(b.action), r.GetTagName(), b.where())
	b.c.Summary += sentence(b.changes("release"))
	switch b.action {
	case "published", "released", "prereleased":
		if b.action != "published" {
			b.c.Summary = fmt.Sprintf("%s marked %s as a %s%s", b.actor(), r.GetTagName(), strings.TrimSuffix(b.action, "d"), b.where())
		}
		b.c.Type = normalizers.Upgrade(change.Deployment, r.GetName(), r.GetTagName())
		b.at(r.GetPublishedAt())
		b.c.Status = change.Succeeded
	case "created":
		b.at(r.GetCreatedAt())
	case "deleted":
		b.hint(normalizers.HintDestructive)
	}
}
