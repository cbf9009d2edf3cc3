package github

import (
	"fmt"
	"strings"

	"github.com/google/go-github/v60/github"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// branchProtection says that the rule for a branch changed.
func (b *builder) branchProtection(r *github.BranchProtectionRule) {
	b.c.Type = change.ConfigChange
	b.c.Branch = r.GetName()
	b.at(r.GetUpdatedAt())
	b.resource("branch rule", idOf(r.GetID()), r.GetName(), "")
	b.meta.Set("rule_updated_at", r.GetUpdatedAt().Time)
	b.copy("admin_enforced=rule.admin_enforced", "allow_force_pushes_enforcement_level=rule.allow_force_pushes_enforcement_level",
		"allow_deletions_enforcement_level=rule.allow_deletions_enforcement_level",
		"required_approving_review_count=rule.required_approving_review_count",
		"required_status_checks=rule.required_status_checks")
	b.changes()
	b.hint(normalizers.HintBranchProtection)
	b.c.Summary = fmt.Sprintf("%s %s branch protection of %s%s", b.actor(), words(b.action), r.GetName(), b.where())
}

func (b *builder) protectionConfiguration() {
	b.c.Type = change.ConfigChange
	b.c.Summary = fmt.Sprintf("%s %s branch protection%s", b.actor(), words(b.action), b.where())
	if b.action == "disabled" {
		b.hint(normalizers.HintBranchProtection)
	}
}

func (b *builder) ruleset() {
	b.c.Type = change.ConfigChange
	r := b.get("repository_ruleset")
	b.resource("ruleset", r.Get("id").String(), r.Get("name").String(), r.Get("_links.html.href").String())
	b.atPath("repository_ruleset.updated_at")
	b.copy("target=repository_ruleset.target", "enforcement=repository_ruleset.enforcement")
	b.changes()
	b.hint(normalizers.HintBranchProtection)
	b.c.Summary = fmt.Sprintf("%s %s ruleset %s%s", b.actor(), words(b.action), r.Get("name").String(), b.where())
}

// repository says what became of a repository itself.
func (b *builder) repository(r *github.Repository) {
	b.c.Type = change.ConfigChange
	b.at(r.GetUpdatedAt())
	b.meta.Set("repo_updated_at", r.GetUpdatedAt().Time)
	b.meta.Set("visibility", r.GetVisibility())
	b.copy("renamed_from=changes.repository.name.from", "previous_owner=changes.owner.from.user.login")
	b.changes()
	b.c.Summary = fmt.Sprintf("%s %s repository %s", b.actor(), words(b.action), b.repo)
	switch b.action {
	case "publicized":
		b.c.Type = change.AccessChange
		b.hint(normalizers.HintPublicExposure)
		b.c.Summary = fmt.Sprintf("%s made repository %s public", b.actor(), b.repo)
	case "privatized":
		b.c.Type = change.AccessChange
		b.c.Summary = fmt.Sprintf("%s made repository %s private", b.actor(), b.repo)
	case "deleted", "transferred":
		b.hint(normalizers.HintDestructive)
	case "renamed":
		if from := b.get("changes.repository.name.from").String(); from != "" {
			b.c.Summary = fmt.Sprintf("%s renamed repository %s to %s", b.actor(), from, b.repo)
		}
	}
}

func (b *builder) public(r *github.Repository) {
	b.c.Type = change.AccessChange
	b.at(r.GetUpdatedAt())
	b.hint(normalizers.HintPublicExposure)
	b.c.Summary = fmt.Sprintf("%s made repository %s public", b.actor(), b.repo)
}

// settings says that settings changed which are told in words only.
func (b *builder) settings(what string) {
	b.c.Type = change.ConfigChange
	b.changes()
	b.copy("definition=definition", "new_property_values=new_property_values", "old_property_values=old_property_values")
	b.c.Summary = fmt.Sprintf("%s: %s%s", b.actor(), strings.TrimSpace(what), b.where())
}

// webhookDeleted says that GitHub will tell us nothing more on this path.
func (b *builder) webhookDeleted(p *github.MetaEvent) {
	b.c.Type = change.ConfigChange
	b.resource("webhook", idOf(p.GetHookID()), idOf(p.GetHookID()), "")
	b.hint(normalizers.HintAuditDisabled)
	b.c.Summary = fmt.Sprintf("%s deleted webhook %d%s", b.actor(), p.GetHookID(), b.where())
}

// dispatch says that somebody started a workflow by hand or through the API.
func (b *builder) dispatch(what string) {
	b.c.Type = change.Other
	b.copy("client_payload=client_payload", "inputs=inputs", "ref=ref", "branch=branch", "workflow=workflow")
	b.c.Branch = strings.TrimPrefix(b.get("ref").String()+b.get("branch").String(), "refs/heads/")
	name := b.action // of a repository_dispatch it is the sender's own word
	if name == "" {
		name = b.get("workflow").String()
	}
	b.c.Summary = fmt.Sprintf("%s dispatched %s %s%s", b.actor(), what, name, b.where())
}
