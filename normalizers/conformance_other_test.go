package normalizers_test

// otherProviders says who must be detected where the corpus's own name for it
// is not ours.
var otherProviders = map[string]string{
	"azure-devops":           "azure_devops",
	"bitbucket-cloud":        "bitbucket",
	"bitbucket-server":       "bitbucket",
	"docker-hub":             "docker_hub",
	"github-audit-log":       "github_audit_log",
	"harness-code":           "harness",
	"pagerduty-change-event": "pagerduty",
	"pagerduty-webhook-v3":   "pagerduty",
	"terraform-cloud":        "terraform",
}

var otherConformance = conformance{
	dir: "other",
	provider: func(e entry) string {
		if name, ok := otherProviders[e.Provider]; ok {
			return name
		}
		return e.Provider
	},
	ignored: func(entry, map[string]any) bool { return false },
	facts:   factTable{},
}
