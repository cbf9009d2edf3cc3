package github

import (
	"fmt"
	"strings"

	"github.com/google/go-github/v60/github"
	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// branchProtection says that the rule for a branch changed.
func (b *builder) branchProtection(p *github.BranchProtectionRuleEvent) {
	r := p.GetRule()
	b.c.Branch = r.GetName()
	b.at(r.GetUpdatedAt())
	b.resource("branch rule", idOf(r.GetID()), r.GetName(), "")
	b.meta.Set("rule_updated_at", r.GetUpdatedAt().Time)
	b.copy("admin_enforced=rule.admin_enforced", "allow_force_pushes_enforcement_level=rule.allow_force_pushes_enforcement_level",
		"allow_deletions_enforcement_level=rule.allow_deletions_enforcement_level",
		"required_approving_review_count=rule.required_approving_review_count",
		"required_status_checks=rule.required_status_checks")
	b.hint(normalizers.HintBranchProtection)
	edits := b.changes("rule")
	switch b.action {
	case "deleted":
		b.c.OccurredAt = change.Time{} // the payload has only when it was last edited
		b.c.Summary = fmt.Sprintf("%s removed the protection of branch %s%s", b.actor(), r.GetName(), b.where())
		b.hint(normalizers.HintDeletionProtection) // who may push may delete it now
	case "created":
		b.c.Summary = fmt.Sprintf("%s protected branch %s%s", b.actor(), r.GetName(), b.where())
	default:
		b.c.Summary = fmt.Sprintf("%s %s the protection of branch %s%s%s", b.actor(), words(b.action), r.GetName(), b.where(), sentence(edits))
		if e, ok := find(edits, "allow_deletions_enforcement_level"); ok && e.from == "off" && e.to != "off" {
			b.hint(normalizers.HintDeletionProtection)
		}
	}
}

func (b *builder) protectionConfiguration() {
	b.c.Summary = fmt.Sprintf("%s %s all branch protections%s", b.actor(), words(b.action), b.of())
	if b.action == "disabled" {
		b.hint(normalizers.HintBranchProtection)
	}
}

func (b *builder) ruleset() {
	r := b.get("repository_ruleset")
	name := r.Get("name").String()
	b.resource("ruleset", r.Get("id").String(), name, r.Get("_links.html.href").String())
	b.copy("target=repository_ruleset.target", "enforcement=repository_ruleset.enforcement", "rules=repository_ruleset.rules.#.type")
	b.hint(normalizers.HintBranchProtection)
	edits := b.changes("repository_ruleset")
	off := b.action == "deleted"
	if e, ok := find(edits, "enforcement"); ok && e.from == "active" {
		off = true
	}
	if off && r.Get(`rules.#(type=="deletion")`).Exists() {
		b.hint(normalizers.HintDeletionProtection)
	}
	if b.action != "deleted" {
		b.atPath("repository_ruleset.updated_at")
	}
	b.c.Summary = fmt.Sprintf("%s %s ruleset '%s'%s%s", b.actor(), words(b.action), normalizers.OneLine(name), b.of(), sentence(edits))
}

// repository says what became of a repository itself.
func (b *builder) repository(p *github.RepositoryEvent) {
	r := p.GetRepo()
	b.at(r.GetUpdatedAt())
	b.meta.Set("repo_updated_at", r.GetUpdatedAt().Time)
	b.meta.Set("visibility", r.GetVisibility())
	b.copy("renamed_from=changes.repository.name.from")
	from := b.get("changes.owner.from.user.login").String() + b.get("changes.owner.from.organization.login").String()
	b.meta.Set("previous_owner", from)
	edits := b.changes("repository")
	b.c.Summary = fmt.Sprintf("%s %s repository %s%s", b.actor(), words(b.action), b.repo, sentence(edits))
	switch b.action {
	case "publicized":
		b.visible("public")
	case "privatized":
		b.visible("private")
	case "deleted":
		b.hint(normalizers.HintDestructive)
	case "transferred":
		b.hint(normalizers.HintDestructive)
		if from != "" {
			b.c.Summary = fmt.Sprintf("%s transferred repository %s from %s", b.actor(), b.repo, from)
		}
	case "renamed":
		if e, ok := find(edits, "name"); ok {
			b.c.Summary = fmt.Sprintf("%s renamed repository %s to %s", b.actor(), e.from, b.repo)
		}
	}
}

// visible says who can see the repository from now on.
func (b *builder) visible(how string) {
	b.c.Type = change.AccessChange
	b.c.Summary = fmt.Sprintf("%s made repository %s %s", b.actor(), b.repo, how)
	if how == "public" {
		b.hint(normalizers.HintPublicExposure)
	}
}

func (b *builder) public(p *github.PublicEvent) {
	b.at(p.GetRepo().GetUpdatedAt())
	b.visible("public")
}

func (b *builder) repositoryImport(p *github.RepositoryImportEvent) {
	b.c.Action = dotted("repository_import", p.GetStatus())
	b.c.Status = statusOf(p.GetStatus())
	b.meta.Set("import_status", p.GetStatus())
	outcome := p.GetStatus()
	if b.c.Status != "" {
		outcome = string(b.c.Status)
	}
	b.c.Summary = fmt.Sprintf("%s's import of repository %s: %s", b.actor(), b.repo, outcome)
	if b.c.Status == change.Failed {
		b.hint(normalizers.HintFailed)
	}
}

func (b *builder) customProperty() {
	name := b.get("definition.property_name").String()
	b.resource("custom property", name, name, "")
	b.copy("definition=definition")
	b.c.Summary = fmt.Sprintf("%s %s custom property '%s'%s", b.actor(), words(b.action), normalizers.OneLine(name), b.of())
	if b.event == "custom_property_promoted_to_enterprise" {
		b.c.Summary = fmt.Sprintf("%s promoted custom property '%s' to the enterprise", b.actor(), normalizers.OneLine(name))
	}
}

// customPropertyValues says which values a repository has now, which decide
// what rulesets hold for it.
func (b *builder) customPropertyValues() {
	b.copy("new_property_values=new_property_values", "old_property_values=old_property_values")
	old := make(map[string]string)
	for _, v := range b.get("old_property_values").Array() {
		old[v.Get("property_name").String()] = v.Get("value").String()
	}
	var edits []edit
	for _, v := range b.get("new_property_values").Array() {
		name := v.Get("property_name").String()
		edits = append(edits, edit{name, old[name], v.Get("value").String()})
	}
	b.c.Summary = fmt.Sprintf("%s set custom properties%s%s", b.actor(), b.of(), sentence(edits))
}

// securityAndAnalysis says which of GitHub's guards were turned on or off.
func (b *builder) securityAndAnalysis() {
	var edits []edit
	now := b.get("repository.security_and_analysis")
	b.get("changes.from.security_and_analysis").ForEach(func(name, v gjson.Result) bool {
		e := edit{name.Str, v.Get("status").String(), now.Get(gjson.Escape(name.Str) + ".status").String()}
		if e.to == e.from {
			return true
		}
		edits = append(edits, e)
		if e.to == "disabled" && strings.HasPrefix(e.name, "secret_scanning") {
			b.hint(normalizers.HintSecrets)
		}
		return true
	})
	values := make(map[string]map[string]string)
	for _, e := range edits {
		values[e.name] = map[string]string{"from": e.from, "to": e.to}
	}
	if len(values) > 0 {
		b.meta.Set("changes", values)
	}
	b.c.Summary = fmt.Sprintf("%s changed security settings%s%s", b.actor(), b.of(), sentence(edits))
}

// webhookDeleted says that GitHub will tell us nothing more on this path.
func (b *builder) webhookDeleted(p *github.MetaEvent) {
	b.resource("webhook", idOf(p.GetHookID()), idOf(p.GetHookID()), "")
	b.hint(normalizers.HintAuditDisabled)
	b.c.Summary = fmt.Sprintf("%s deleted webhook %d%s, which reported here", b.actor(), p.GetHookID(), b.of())
}

func (b *builder) repositoryDispatch() { b.dispatch("event '" + normalizers.OneLine(b.action) + "'") }

func (b *builder) workflowDispatch() {
	b.dispatch("workflow " + normalizers.OneLine(b.get("workflow").String()))
}

// dispatch says that somebody started a workflow by hand or through the API.
// What they gave it is theirs: it may hold anything.
func (b *builder) dispatch(what string) {
	b.copy("ref=ref", "branch=branch", "workflow=workflow")
	for _, name := range []string{"client_payload", "inputs"} {
		given := b.get(name)
		b.meta.SetRaw(name, redact.Raw(given))
		if env := given.Get("environment"); env.Type == gjson.String {
			b.c.Environment = env.Str
		}
	}
	b.c.Branch = strings.TrimPrefix(b.get("ref").String()+b.get("branch").String(), "refs/heads/")
	on := ""
	if b.c.Branch != "" {
		on = " on " + b.c.Branch
	}
	b.c.Summary = fmt.Sprintf("%s dispatched %s%s%s", b.actor(), what, on, b.where())
}

// cacheSync says that a cache of GitHub Enterprise Server has caught up.
func (b *builder) cacheSync() {
	b.copy("cache_location=cache_location", "ref=ref", "before=before", "after=after")
	b.c.CommitSHA = b.get("after").String()
	b.c.Summary = fmt.Sprintf("repository cache %s synced %s%s", b.get("cache_location").String(),
		strings.TrimPrefix(b.get("ref").String(), "refs/heads/"), b.where())
}

// marketplace says that an account bought, or no longer buys, an app of ours.
func (b *builder) marketplace() {
	plan, account := b.get("marketplace_purchase.plan.name").String(), b.get("marketplace_purchase.account.login").String()
	b.c.Account = account
	b.copy("effective_date=effective_date", "plan=marketplace_purchase.plan.name", "previous_plan=previous_marketplace_purchase.plan.name",
		"billing_cycle=marketplace_purchase.billing_cycle")
	b.atPath("effective_date")
	b.c.Summary = fmt.Sprintf("%s's plan in the marketplace %s: %s", account, words(b.action), plan)
}
