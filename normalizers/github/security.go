package github

import (
	"fmt"

	"github.com/google/go-github/v60/github"

	"whatchanged/normalizers"
)

// alert starts what the three kinds of alerts have in common.
func (b *builder) alert(number int, state, url string) {
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

// because writes the reason that somebody gave for closing an alert.
func (b *builder) because(path string) string {
	if reason := words(b.get(path).String()); reason != "" {
		return ": " + normalizers.OneLine(reason)
	}
	return ""
}

// brackets writes what is known of several things about one.
func brackets(parts ...string) string {
	out := ""
	for _, part := range parts {
		switch {
		case part == "":
		case out == "":
			out = " (" + part
		default:
			out += ", " + part
		}
	}
	if out != "" {
		out += ")"
	}
	return out
}

func (b *builder) dependabotAlert(p *github.DependabotAlertEvent) {
	a := p.GetAlert()
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
	what := name + brackets(id, advisory.GetSeverity())
	switch b.action {
	case "created":
		b.c.Summary = fmt.Sprintf("Dependabot found vulnerable %s%s", what, b.where())
	case "fixed":
		b.c.Summary = fmt.Sprintf("vulnerable %s fixed%s", what, b.where())
	case "dismissed":
		b.c.Summary = fmt.Sprintf("%s dismissed the Dependabot alert for %s%s%s", b.actor(), what, b.where(), b.because("alert.dismissed_reason"))
	default:
		b.c.Summary = fmt.Sprintf("Dependabot alert for %s %s%s", what, words(b.action), b.where())
	}
}

func (b *builder) codeScanningAlert(p *github.CodeScanningAlertEvent) {
	a := p.GetAlert()
	b.alert(a.GetNumber(), a.GetState(), a.GetHTMLURL())
	b.alertTime(a.GetCreatedAt(), a.GetUpdatedAt(), a.GetFixedAt(), a.GetDismissedAt())
	b.c.CommitSHA = p.GetCommitOID()
	b.copy("ref=ref", "rule_id=alert.rule.id", "severity=alert.rule.severity", "tool=alert.tool.name", "dismissed_reason=alert.dismissed_reason")
	b.c.Description = a.GetRule().GetDescription()
	what := fmt.Sprintf("'%s'%s", normalizers.OneLine(a.GetRule().GetDescription()), brackets(b.get("alert.rule.severity").String(), b.get("alert.tool.name").String()))
	switch b.action {
	case "created", "appeared_in_branch":
		b.c.Summary = fmt.Sprintf("code scanning found %s%s", what, b.where())
	case "fixed":
		b.c.Summary = fmt.Sprintf("code scanning alert %s fixed%s", what, b.where())
	case "closed_by_user":
		b.c.Summary = fmt.Sprintf("%s dismissed code scanning alert %s%s%s", b.actor(), what, b.where(), b.because("alert.dismissed_reason"))
	case "reopened_by_user":
		b.c.Summary = fmt.Sprintf("%s reopened code scanning alert %s%s", b.actor(), what, b.where())
	default:
		b.c.Summary = fmt.Sprintf("code scanning alert %s %s%s", what, words(b.action), b.where())
	}
}

// secretScanningAlert says that a secret was found or dealt with. The secret
// itself, which some payloads have, is never copied.
func (b *builder) secretScanningAlert(p *github.SecretScanningAlertEvent) {
	a := p.GetAlert()
	b.alert(a.GetNumber(), a.GetState(), a.GetHTMLURL())
	b.alertTime(a.GetCreatedAt(), a.GetUpdatedAt(), a.GetResolvedAt(), a.GetResolvedAt())
	b.hint(normalizers.HintSecrets)
	b.meta.Set("secret_type", a.GetSecretType())
	b.copy("resolution=alert.resolution", "publicly_leaked=alert.publicly_leaked", "validity=alert.validity",
		"push_protection_bypassed=alert.push_protection_bypassed", "push_protection_bypassed_by=alert.push_protection_bypassed_by.login")
	kind := b.get("alert.secret_type_display_name").String()
	if kind == "" {
		kind = words(a.GetSecretType())
	}
	alert := fmt.Sprintf("secret scanning alert #%d%s", a.GetNumber(), brackets(kind))
	switch b.action {
	case "created":
		b.c.Summary = fmt.Sprintf("secret scanning found a secret%s%s", brackets(kind), b.where())
		if who := b.get("alert.push_protection_bypassed_by.login").String(); who != "" {
			b.c.Summary = fmt.Sprintf("%s pushed a secret%s past the push protection%s", who, brackets(kind), b.of())
			b.hint(normalizers.HintBreakGlass)
		}
	case "publicly_leaked":
		b.c.Summary = fmt.Sprintf("a secret%s%s is public now", brackets(kind), b.of())
		b.hint(normalizers.HintPublicExposure)
	case "resolved":
		b.c.Summary = fmt.Sprintf("%s resolved %s%s%s", b.actor(), alert, b.where(), b.because("alert.resolution"))
	case "reopened":
		b.c.Summary = fmt.Sprintf("%s reopened %s%s", b.actor(), alert, b.where())
	default:
		b.c.Summary = fmt.Sprintf("%s %s%s", alert, words(b.action), b.where())
	}
}

// secretLocation says that a known secret was found in one more place.
func (b *builder) secretLocation() {
	number := int(b.get("alert.number").Int())
	b.alert(number, b.get("alert.state").String(), b.get("alert.html_url").String())
	b.c.CorrelationID = b.correlation("secret_scanning_alert", idOf(int64(number)))
	b.hint(normalizers.HintSecrets)
	b.copy("secret_type=alert.secret_type", "location_type=location.type", "path=location.details.path",
		"start_line=location.details.start_line", "commit=location.details.commit_sha")
	place := b.get("location.details.path").String()
	if place == "" {
		place = words(b.get("location.type").String())
	}
	b.c.Summary = fmt.Sprintf("secret scanning alert #%d%s: found in %s%s", number, brackets(words(b.get("alert.secret_type").String())), place, b.where())
}

func (b *builder) securityAdvisory() {
	a := b.get("security_advisory")
	id, severity := a.Get("ghsa_id").String(), a.Get("severity").String()
	b.atPath("security_advisory.updated_at")
	b.resource("advisory", id, id, "")
	b.c.ExternalID = id
	b.meta.Set("severity", severity)
	b.c.Description = a.Get("description").String()
	b.c.Summary = fmt.Sprintf("GitHub %s security advisory %s%s: %s", words(b.action), id, brackets(severity), a.Get("summary").String())
}

// repositoryAdvisory says that somebody reported a weakness of a repository's
// own code, or published it.
func (b *builder) repositoryAdvisory() {
	const path = "repository_advisory."
	id := b.get(path + "ghsa_id").String()
	b.c.ExternalID = id
	b.resource("advisory", id, id, b.get(path+"html_url").String())
	b.atPath(path + "updated_at")
	severity := b.get(path + "severity").String()
	b.meta.Set("severity", severity)
	b.copy("cve_id="+path+"cve_id", "advisory_state="+path+"state")
	b.c.Summary = fmt.Sprintf("%s %s security advisory %s%s%s: %s", b.actor(), words(b.action), id, brackets(severity), b.of(), b.get(path+"summary").String())
}

// vulnerabilityAlert is how Dependabot's alerts came before they had their name.
func (b *builder) vulnerabilityAlert() {
	number := int(b.get("alert.number").Int())
	b.alert(number, b.get("alert.state").String(), b.get("alert.html_url").String())
	b.atPath("alert.created_at")
	name := b.get("alert.affected_package_name").String()
	b.copy("severity=alert.severity", "ghsa_id=alert.ghsa_id", "external_identifier=alert.external_identifier",
		"dismiss_reason=alert.dismiss_reason")
	what := name + brackets(b.get("alert.external_identifier").String(), b.get("alert.severity").String())
	verb := map[string]string{"create": "opened", "dismiss": "dismissed", "resolve": "resolved", "reopen": "reopened"}[b.action]
	if verb == "" {
		verb = words(b.action)
	}
	b.c.Summary = fmt.Sprintf("vulnerability alert for %s %s%s%s", what, verb, b.where(), b.because("alert.dismiss_reason"))
}
