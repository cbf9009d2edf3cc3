package normalizers

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// speakers says who sends which header, first match wins. Gitea, Forgejo and
// Gogs stand before GitHub because they send GitHub's headers as well, with
// payloads that are not GitHub's; GitLab before all who follow Standard
// Webhooks, because it does so too.
var speakers = []struct {
	header   string // in Go's canonical form
	provider string
}{
	{"X-Forgejo-Event", "forgejo"}, // sends X-Gitea-Event as well
	{"X-Gitea-Event", "gitea"},     // sends X-Gogs-Event as well
	{"X-Gogs-Event", "gogs"},
	{"X-Github-Event", "github"},
	{"X-Gitlab-Event", "gitlab"},
	{"X-Vss-Activityid", "azure_devops"},
	{"X-Vss-Subscriptionid", "azure_devops"},
	{"X-Pagerduty-Signature", "pagerduty"},
	{"X-Event-Key", "bitbucket"},
	{"X-Hook-Uuid", "bitbucket"},
	{"X-Harness-Trigger", "harness"},
	{"X-Tfe-Notification-Signature", "terraform"},
	{"Circleci-Event-Type", "circleci"},
	{"X-Buildkite-Event", "buildkite"},
	{"X-Ld-Signature", "launchdarkly"},
	{"Sentry-Hook-Resource", "sentry"},
	{"X-Atlassian-Webhook-Identifier", "jira"},
	{"X-Slack-Signature", "slack"},
	{"X-Grafana-Alerting-Signature", "grafana"},
	{"Gotk-Component", "flux"},
}

// carriers are the headers of those who carry other people's messages: what is
// inside decides, and the header only when the inside says nothing.
var carriers = []struct {
	header   string
	provider string
}{
	{"X-Amz-Sns-Message-Type", "aws"},
	{"X-Amz-Firehose-Request-Id", "aws"},
	{"X-Amz-Firehose-Protocol-Version", "aws"},
	{"Aeg-Event-Type", "azure"},
	{"X-Goog-Pubsub-Message-Id", "gcp"},
	{"X-Goog-Pubsub-Subscription-Name", "gcp"},
}

// Detect says who sent a request with this JSON and how that was seen:
// "header:X-GitHub-Event", "shape:cloudtrail-records". It looks at the outside
// only; Unwrap opens envelopes.
func Detect(h http.Header, body []byte) (provider, by string) {
	if provider, by, ok := detectHeader(h); ok {
		return provider, by
	}
	kind := shapeOf(gjson.ParseBytes(body))
	if kind.provider != "" {
		return kind.provider, kind.by()
	}
	if provider, by, ok := detectCarrier(h); ok {
		return provider, by
	}
	return Generic, kind.by()
}

// detectHeader decides by a header that only one provider sends.
func detectHeader(h http.Header) (provider, by string, ok bool) {
	for _, s := range speakers {
		if h[s.header] != nil {
			return s.provider, "header:" + headerName(s.header), true
		}
	}
	switch agent := h.Get("User-Agent"); {
	case strings.HasPrefix(agent, "GitHub-Hookshot/") && h.Get("X-Github-Delivery") != "":
		return "github", "header:User-Agent", true
	case strings.HasPrefix(agent, "GitLab/") && h.Get("X-Gitlab-Instance") != "":
		return "gitlab", "header:User-Agent", true
	case strings.HasPrefix(agent, "Bitbucket-Webhooks/"):
		return "bitbucket", "header:User-Agent", true
	case strings.HasPrefix(agent, "Alertmanager/"):
		return "alertmanager", "header:User-Agent", true
	}
	return "", "", false
}

// detectCarrier decides by a header of a carrier.
func detectCarrier(h http.Header) (provider, by string, ok bool) {
	for _, c := range carriers {
		if h[c.header] != nil {
			return c.provider, "header:" + headerName(c.header), true
		}
	}
	switch agent := h.Get("User-Agent"); {
	case strings.HasPrefix(agent, "Amazon/EventBridge"):
		return "aws", "header:User-Agent", true
	case strings.Contains(agent, "APIs-Google"):
		return "gcp", "header:User-Agent", true
	case h.Get("Ce-Specversion") != "":
		return cloudEventProvider(h.Get("Ce-Type"), h.Get("Ce-Source")), "header:ce-specversion", true
	}
	return "", "", false
}

// headerName writes a header as its provider does.
func headerName(canonical string) string {
	switch canonical {
	case "X-Github-Event":
		return "X-GitHub-Event"
	case "X-Pagerduty-Signature":
		return "X-PagerDuty-Signature"
	}
	return canonical
}

// eventHeaders name the kind of event.
var eventHeaders = map[string]string{
	"forgejo":   "X-Forgejo-Event",
	"gitea":     "X-Gitea-Event",
	"gogs":      "X-Gogs-Event",
	"github":    "X-Github-Event",
	"gitlab":    "X-Gitlab-Event",
	"bitbucket": "X-Event-Key",
	"harness":   "X-Harness-Trigger",
	"circleci":  "Circleci-Event-Type",
	"buildkite": "X-Buildkite-Event",
	"sentry":    "Sentry-Hook-Resource",
}

// families are the providers whose paths a pinned provider may take: what
// AWS delivers is CloudTrail's as well as its own, and who picked Azure from a
// menu may have meant its DevOps.
var families = [][]string{
	{"aws", "cloudtrail"},
	{"azure", "azure_devops"},
	{"gitea", "forgejo", "gogs"},
	{"github", "github_audit_log"},
	{"cdevents", "cloudevents"},
	{"grafana", "alertmanager"}, // Grafana's own Alertmanager speaks like the other one
}

// sameFamily reports whether a source pinned to one provider takes what
// another says.
func sameFamily(pinned, provider string) bool {
	if pinned == provider {
		return true
	}
	return slices.ContainsFunc(families, func(f []string) bool {
		return slices.Contains(f, pinned) && slices.Contains(f, provider)
	})
}

// cloudEventProvider says who speaks in a CloudEvent.
func cloudEventProvider(kind, source string) string {
	switch {
	case strings.HasPrefix(kind, "dev.cdevents"): // and dev.cdeventsx, for events of one's own
		return "cdevents"
	case strings.HasPrefix(kind, "google."):
		return "gcp"
	case strings.HasPrefix(kind, "Microsoft."), strings.HasPrefix(strings.ToLower(source), "/subscriptions/"):
		return "azure"
	}
	return "cloudevents"
}

// Recognition is one way to tell who speaks.
type Recognition struct {
	Provider string
	By       string // as in a record's DetectedBy: "header:X-GitHub-Event", "shape:sns"
	Asks     string // what must be there, in words
}

// Recognitions lists how it is seen who speaks, in the order in which it is
// looked for: headers of one provider, shapes, and headers of those who carry
// other people's messages.
func Recognitions() []Recognition {
	var all []Recognition
	for _, s := range speakers {
		all = append(all, Recognition{s.provider, "header:" + headerName(s.header), "the header is there"})
	}
	for i := range forms {
		f := &forms[i]
		asks := strings.Join(f.asks, ", ")
		if f.says != "" && asks != "" {
			asks += "; "
		}
		all = append(all, Recognition{f.provider, f.by(), asks + f.says})
	}
	for _, c := range carriers {
		all = append(all, Recognition{c.provider, "header:" + headerName(c.header), "the header is there, and nothing inside is known"})
	}
	return all
}
