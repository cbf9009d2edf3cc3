package github

import (
	"strings"

	"github.com/google/go-github/v60/github"

	"whatchanged/pkg/change"
)

// describe fills in what the kind of event tells. What is not here is of type
// other.
func (b *builder) describe(payload any) {
	b.c.Type = change.Other
	switch p := payload.(type) {
	case *github.PushEvent:
		b.push(p)
	case *github.CreateEvent:
		b.ref(p.GetRefType(), p.GetRef(), "created", p.GetMasterBranch())
	case *github.DeleteEvent:
		b.ref(p.GetRefType(), p.GetRef(), "deleted", "")
	case *github.PullRequestEvent:
		b.pullRequest(p.GetPullRequest())
	case *github.PullRequestTargetEvent:
		b.pullRequest(p.GetPullRequest())
	case *github.MergeGroupEvent:
		b.mergeGroup(p)
	case *github.ReleaseEvent:
		b.release(p.GetRelease())
	case *github.DeploymentEvent:
		b.deployment(p)
	case *github.DeploymentStatusEvent:
		b.deploymentStatus(p)
	case *github.DeploymentProtectionRuleEvent:
		b.deploymentProtection(p)
	case *github.WorkflowRunEvent:
		b.workflowRun(p)
	case *github.PageBuildEvent:
		b.pageBuild(p.GetBuild())
	case *github.PackageEvent:
		b.packageVersion("package")
	case *github.MemberEvent:
		b.member(p)
	case *github.MembershipEvent:
		b.membership(p)
	case *github.OrganizationEvent:
		b.organization(p)
	case *github.OrgBlockEvent:
		b.orgBlock(p)
	case *github.TeamEvent:
		b.team(p.GetTeam(), b.action)
	case *github.TeamAddEvent:
		b.team(p.GetTeam(), "added_to_repository")
	case *github.DeployKeyEvent:
		b.deployKey(p.GetKey())
	case *github.InstallationEvent:
		b.installation(p.GetInstallation())
	case *github.InstallationRepositoriesEvent:
		b.installation(p.GetInstallation())
	case *github.PersonalAccessTokenRequestEvent:
		b.accessToken(p.GetPersonalAccessTokenRequest())
	case *github.GitHubAppAuthorizationEvent:
		b.c.Type = change.AccessChange
		b.c.Summary = b.actor() + " " + words(b.action) + " a GitHub App's authorization"
	case *github.BranchProtectionRuleEvent:
		b.branchProtection(p.GetRule())
	case *github.RepositoryEvent:
		b.repository(p.GetRepo())
	case *github.PublicEvent:
		b.public(p.GetRepo())
	case *github.SecurityAndAnalysisEvent:
		b.settings("security and analysis settings changed")
	case *github.MetaEvent:
		b.webhookDeleted(p)
	case *github.RepositoryDispatchEvent:
		b.dispatch("repository")
	case *github.WorkflowDispatchEvent:
		b.dispatch("workflow")
	case *github.DependabotAlertEvent:
		b.dependabotAlert(p.GetAlert())
	case *github.CodeScanningAlertEvent:
		b.codeScanningAlert(p)
	case *github.SecretScanningAlertEvent:
		b.secretScanningAlert(p.GetAlert())
	case *github.SecurityAdvisoryEvent:
		b.securityAdvisory(p.GetSecurityAdvisory())
	case *github.RepositoryVulnerabilityAlertEvent:
		b.vulnerabilityAlert()
	default:
		b.describeUntyped()
	}
}

// describeUntyped does so for the events that go-github has no type for.
func (b *builder) describeUntyped() {
	switch b.event {
	case "deployment_review":
		b.deploymentReview()
	case "registry_package":
		b.packageVersion("registry_package")
	case "integration_installation":
		b.installation(nil)
	case "integration_installation_repositories":
		b.installation(nil)
	case "branch_protection_configuration":
		b.protectionConfiguration()
	case "repository_ruleset":
		b.ruleset()
	case "custom_property", "custom_property_values", "custom_property_promoted_to_enterprise":
		b.settings(strings.ReplaceAll(b.event, "_", " ") + " " + words(b.action))
	case "repository_advisory":
		b.c.Type = change.SecurityPatch
	case "secret_scanning_alert_location":
		b.c.Type = change.SecurityPatch
		b.hint("secrets")
	}
}
