package github

import (
	"fmt"

	"github.com/google/go-github/v60/github"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// alert starts what the three kinds of alerts have in common.
func (b *builder) alert(number int, state, url string) {
	b.c.Type = change.SecurityPatch
	b.c.ExternalID = idOf(int64(number))
	b.c.CorrelationID = b.correlation(b.event, idOf(int64(number)))
	b.resource("alert", idOf(int64(number)), b.event+" #"+idOf(int64(number)), url)
	b.meta.Set("alert_state", state)
	b.copy("alert_created_at=alert.created_at")
}

// alertTime takes the time of what happened to the alert, not of the alert.
func (b *builder) alertTime(created, updated, fixed, dismissed github.Timestamp) {
	b.at(created)
	b.at(updated)
	switch b.action {
	case "fixed", "resolved":
		b.at(fixed)
	case "dismissed", "auto_dismissed", "closed_by_user":
		b.at(dismissed)
	case "created":
		b.at(created)
	}
}

func (b *builder) dependabotAlert(a *github.DependabotAlert) {
	b.alert(a.GetNumber(), a.GetState(), a.GetHTMLURL())
	b.alertTime(a.GetCreatedAt(), a.GetUpdatedAt(), a.GetFixedAt(), a.GetDismissedAt())
	if a.GetDismissedBy().GetLogin() != "" {
		b.setActor(a.GetDismissedBy())
		b.meta.Set("sender", b.sender)
	}
	advisory := a.GetSecurityAdvisory()
	name := a.GetDependency().GetPackage().GetName()
	id := advisory.GetCVEID()
	if id == "" {
		id = advisory.GetGHSAID()
	}
	b.resource("dependency", name, name, a.GetHTMLURL())
	b.meta.Set("severity", advisory.GetSeverity())
	b.meta.Set("ghsa_id", advisory.GetGHSAID())
	b.meta.Set("cve_id", advisory.GetCVEID())
	b.copy("ecosystem=alert.dependency.package.ecosystem", "manifest_path=alert.dependency.manifest_path", "dismissed_reason=alert.dismissed_reason")
	b.c.Description = advisory.GetSummary()
	b.c.Summary = fmt.Sprintf("Dependabot: %s %s %s %s%s", name, advisory.GetSeverity(), id, words(b.action), b.where())
}

func (b *builder) codeScanningAlert(p *github.CodeScanningAlertEvent) {
	a := p.GetAlert()
	b.alert(a.GetNumber(), a.GetState(), a.GetHTMLURL())
	b.alertTime(a.GetCreatedAt(), a.GetUpdatedAt(), a.GetFixedAt(), a.GetDismissedAt())
	b.c.CommitSHA = p.GetCommitOID()
	b.copy("ref=ref", "rule_id=alert.rule.id", "severity=alert.rule.severity", "tool=alert.tool.name", "dismissed_reason=alert.dismissed_reason")
	b.c.Description = a.GetRule().GetDescription()
	b.c.Summary = fmt.Sprintf("code scanning alert #%d %s: %s%s", a.GetNumber(), words(b.action), a.GetRule().GetDescription(), b.where())
}

// secretScanningAlert says that a secret was found or dealt with. The secret
// itself, which some payloads have, is never copied.
func (b *builder) secretScanningAlert(a *github.SecretScanningAlert) {
	b.alert(a.GetNumber(), a.GetState(), a.GetHTMLURL())
	b.alertTime(a.GetCreatedAt(), a.GetUpdatedAt(), a.GetResolvedAt(), a.GetResolvedAt())
	b.hint(normalizers.HintSecrets)
	b.meta.Set("secret_type", a.GetSecretType())
	b.copy("resolution=alert.resolution", "publicly_leaked=alert.publicly_leaked")
	b.c.Summary = fmt.Sprintf("secret scanning alert #%d (%s) %s%s", a.GetNumber(), a.GetSecretType(), words(b.action), b.where())
}

func (b *builder) securityAdvisory(a *github.SecurityAdvisory) {
	b.c.Type = change.SecurityPatch
	b.atPath("security_advisory.updated_at")
	b.resource("advisory", a.GetGHSAID(), a.GetGHSAID(), "")
	b.c.ExternalID = a.GetGHSAID()
	b.meta.Set("severity", b.get("security_advisory.severity").String())
	b.c.Description = a.GetDescription()
	b.c.Summary = fmt.Sprintf("security advisory %s %s: %s", a.GetGHSAID(), words(b.action), a.GetSummary())
}

// vulnerabilityAlert is how Dependabot's alerts came before they had their name.
func (b *builder) vulnerabilityAlert() {
	number := int(b.get("alert.number").Int())
	b.alert(number, b.get("alert.state").String(), b.get("alert.html_url").String())
	b.atPath("alert.created_at")
	name := b.get("alert.affected_package_name").String()
	b.copy("severity=alert.severity", "ghsa_id=alert.ghsa_id", "external_identifier=alert.external_identifier")
	b.c.Summary = fmt.Sprintf("vulnerability alert for %s: %s%s", name, words(b.action), b.where())
}
