package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// provider is what a person needs to know to make a provider send here.
type provider struct {
	name   string // as a source is pinned to it
	title  string
	auth   string // the best that it can do, and what a secret is taken for
	header string // for auth token: where it puts the secret
	theirs bool   // it makes the secret itself, and shows it once it has the URL
	page   string // of the documents
	steps  string // what to click; a line each
}

// providers lists those with a setup of their own, in the order in which they
// are shown.
func providers() []provider {
	return []provider{
		{name: "github", title: "GitHub", auth: "github_hmac", page: "github.md",
			steps: "Repository or organisation > Settings > Webhooks > Add webhook\nPayload URL: the URL; Content type: application/json; Secret: the secret; Send me everything"},
		{name: "github_audit_log", title: "GitHub's audit log", auth: "token", page: "github.md",
			steps: "Whatever streams the audit log: POST its records to the URL\nwith the header Authorization: Bearer and the secret"},
		{name: "gitlab", title: "GitLab", auth: "gitlab_token", page: "gitlab.md",
			steps: "Project or group > Settings > Webhooks > Add new webhook\nURL: the URL; Secret token: the secret; tick the triggers. From 19.0 on, --auth gitlab_signing with the signing token is better"},
		{name: "gitea", title: "Gitea", auth: "hmac", page: "gitea.md",
			steps: "Repository or organisation > Settings > Webhooks > Add Webhook > Gitea\nTarget URL: the URL; POST Content Type: application/json; Secret: the secret; All Events"},
		{name: "forgejo", title: "Forgejo", auth: "hmac", page: "gitea.md",
			steps: "Repository or organisation > Settings > Webhooks > Add webhook > Forgejo\nTarget URL: the URL; POST content type: application/json; Secret: the secret; All events"},
		{name: "gogs", title: "Gogs", auth: "hmac", page: "gitea.md",
			steps: "Repository > Settings > Webhooks > Add a new webhook > Gogs\nPayload URL: the URL; Content Type: application/json; Secret: the secret; I need everything"},
		{name: "bitbucket", title: "Bitbucket", auth: "hmac", page: "bitbucket.md",
			steps: "Repository settings > Webhooks > Add webhook\nURL: the URL; Secret: the secret; Choose from a full list of triggers"},
		{name: "aws", title: "AWS: SNS, EventBridge, Firehose", auth: "sns", page: "aws.md",
			steps: "SNS > Topics > the topic > Create subscription\nProtocol: HTTPS; Endpoint: the URL. It confirms itself; --topic says which topics may send"},
		{name: "cloudtrail", title: "AWS CloudTrail by Firehose", auth: "token", header: "X-Amz-Firehose-Access-Key", page: "aws.md",
			steps: "Amazon Data Firehose > Create Firehose stream > Destination: HTTP Endpoint\nHTTP endpoint URL: the URL; Access key: the secret; Content encoding: GZIP"},
		{name: "azure", title: "Azure: Event Grid, Activity Log, alerts", auth: "token", header: "X-Webhook-Secret", page: "azure.md",
			steps: "Event Grid > Event subscription > Endpoint type: Web Hook; Endpoint: the URL\nDelivery Properties: header X-Webhook-Secret, Static, Is secret, with the secret as its value"},
		{name: "azure_devops", title: "Azure DevOps", auth: "basic", page: "azure-devops.md",
			steps: "Project settings > Service hooks > Create subscription > Web Hooks\nURL: the URL; Basic authentication username and password: the two halves of the secret"},
		{name: "gcp", title: "Google Cloud: Pub/Sub push", auth: "oidc", page: "gcp.md",
			steps: "Pub/Sub > Subscriptions > Create subscription > Delivery type: Push\nEndpoint URL: the URL; Enable authentication: the service account of --email; Audience: that of --audience"},
		{name: "terraform", title: "Terraform Cloud", auth: "hmac", page: "ci.md",
			steps: "Workspace > Settings > Notifications > Create a Notification > Webhook\nWebhook URL: the URL; Token: the secret"},
		{name: "argocd", title: "Argo CD", auth: "token", page: "ci.md",
			steps: "argocd-notifications-cm: service.webhook.whatchanged with the URL\nand the header Authorization: Bearer and the secret"},
		{name: "flux", title: "Flux", auth: "hmac", page: "ci.md",
			steps: "A notification Provider of type generic-hmac with address: the URL\nand a Secret whose token is the secret; an Alert that names it"},
		{name: "jenkins", title: "Jenkins", auth: "token", page: "ci.md",
			steps: "In the pipeline, httpRequest to the URL\nwith the header Authorization: Bearer and the secret"},
		{name: "circleci", title: "CircleCI", auth: "hmac", page: "ci.md",
			steps: "Project Settings > Webhooks > Add Webhook\nReceiver URL: the URL; Secret token: the secret; Workflow Completed, Job Completed"},
		{name: "buildkite", title: "Buildkite", auth: "token", header: "X-Buildkite-Token", page: "ci.md",
			steps: "Organization Settings > Notification Services > Add Webhook\nWebhook URL: the URL; Token: the secret, sent as X-Buildkite-Token"},
		{name: "cdevents", title: "CDEvents", auth: "token", page: "ci.md",
			steps: "POST the events to the URL\nwith the header Authorization: Bearer and the secret"},
		{name: "cloudevents", title: "CloudEvents", auth: "token", page: "ci.md",
			steps: "POST the events to the URL\nwith the header Authorization: Bearer and the secret"},
		{name: "kubernetes", title: "Kubernetes events", auth: "token", page: "ci.md",
			steps: "Point your event exporter's webhook at the URL\nwith the header Authorization: Bearer and the secret"},
		{name: "pagerduty", title: "PagerDuty", auth: "hmac", theirs: true, page: "alerts.md",
			steps: "Integrations > Generic Webhooks (v3) > New Webhook > Webhook URL: the URL\nPagerDuty shows the secret once: give it to sources update ID --secret-file -"},
		{name: "datadog", title: "Datadog", auth: "token", page: "alerts.md",
			steps: "Integrations > Webhooks > New: URL: the URL\nCustom Headers: {\"Authorization\": \"Bearer the-secret\"}"},
		{name: "grafana", title: "Grafana", auth: "hmac", page: "alerts.md",
			steps: "Alerting > Contact points > Create > Webhook > URL: the URL\nHMAC Signature > Secret: the secret"},
		{name: "launchdarkly", title: "LaunchDarkly", auth: "hmac", page: "alerts.md",
			steps: "Integrations > Webhooks > Add integration > URL: the URL\nSign this webhook > Secret: the secret"},
		{name: "sentry", title: "Sentry", auth: "hmac", theirs: true, page: "alerts.md",
			steps: "Settings > Developer Settings > Create New Integration > Internal > Webhook URL: the URL\nThe Client Secret is the secret: give it to sources update ID --secret-file -"},
	}
}

// findProvider returns what is known of a provider; false for auto and others.
func findProvider(name string) (provider, bool) {
	all := providers()
	i := slices.IndexFunc(all, func(p provider) bool { return p.name == name })
	if i < 0 {
		return provider{title: "the sender"}, false
	}
	return all[i], true
}

// printNext says what to do at the provider with a URL that was just made.
func (p provider) printNext(w io.Writer) {
	if p.steps == "" {
		fmt.Fprintln(w, "Next: enter the URL wherever webhooks are set up; who sends is recognised (see docs/providers/README.md).")
		return
	}
	fmt.Fprintf(w, "Next, at %s:\n  %s\n  (docs/providers/%s has it step by step)\n", p.title, strings.ReplaceAll(p.steps, "\n", "\n  "), p.page)
}

// how returns the flags that make a source check who sends.
func (p provider) how() string {
	flags := map[string]string{
		"basic": "--secret-file FILE (user:password)",
		"sns":   "--auth sns --topic ARN",
		"oidc":  "--audience AUDIENCE --email SERVICE-ACCOUNT",
	}
	switch {
	case p.theirs:
		return "--provider " + p.name + ", then sources update ID --secret-file -"
	case p.name == "":
		return "--auth token --new-secret FILE"
	case flags[p.auth] != "":
		return "--provider " + p.name + " " + flags[p.auth]
	default:
		return "--provider " + p.name + " --new-secret FILE"
	}
}

func newSourcesProviders(env *Environment) *cobra.Command {
	return &cobra.Command{
		Use:   "providers",
		Short: "List the providers, how each proves who it is, and where its setup is described",
		Long: `Lists the providers that have a setup of their own. AUTH is the best that a provider
can do: it is what --provider takes --secret-file and --new-secret for. Anything else
that can POST JSON is recognised, or read as it is, with --provider auto.`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			t := newTable(env.Stdout, "PROVIDER", "WHAT", "AUTH", "CREATE WITH", "PAGE")
			for _, p := range providers() {
				t.row(p.name, p.title, p.auth, p.how(), "docs/providers/"+p.page)
			}
			return t.flush()
		},
	}
}
