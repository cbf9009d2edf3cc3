package azure

import (
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// category is one of the logs that diagnostic settings stream and alerts wrap.
type category struct {
	name   string // a last * stands for anything
	ignore string // why its records are no changes
	read   func(*event, *normalizers.Meta) normalizers.Result
	says   string // what becomes of a record, for the page
}

// categories holds every category there is something to say about; the first
// that matches wins. A record without one is of the Activity Log.
var categories = []category{
	{name: "Administrative", says: "by its operation, see the table of operations"},
	{name: "Policy", says: "by its operation; what a policy audits or denies is ignored"},
	{name: "Autoscale", says: "`scaling`", read: func(e *event, m *normalizers.Meta) normalizers.Result { return signal(e, m, change.Scaling) }},
	{name: "ServiceHealth", says: "`incident`; planned maintenance is `maintenance`", read: serviceHealth},
	{name: "ResourceHealth", says: "`incident`", read: incident},
	{name: "Alert", says: "`incident`", read: incident},
	{name: "Security", says: "`incident`", read: incident},
	{name: "Recommendation", ignore: "recommendation"},
	{name: "AuditLogs", says: "Microsoft Entra: users, groups, roles, applications and policies, with old and new values"},
	{name: "AuditEvent", says: "Key Vault: secrets, keys and certificates that are set or deleted", read: fromKeyVault},
	{name: "*SignInLogs", ignore: "sign-in, not a change"},
	{name: "RiskyUsers", ignore: "sign-in risk, not a change"},
	{name: "UserRiskEvents", ignore: "sign-in risk, not a change"},
	{name: "ProvisioningLogs", ignore: "provisioning of users by a connector: the audit log tells what it changed"},
	{name: "MicrosoftGraphActivityLogs", ignore: "calls of Microsoft Graph: the audit log tells what they changed"},
	{name: "kube-*", ignore: "log of a Kubernetes control plane: what was deployed is told by the pipeline, and by Kubernetes events"},
	{name: "AzureDiagnostics", ignore: "resource log, not the Activity Log"},
	{name: "Storage*", ignore: "data event: blobs, files, queues and tables are not configuration"},
	// Old records have the kind of operation in place of the category.
	{name: "Write"}, {name: "Delete"}, {name: "Action"}, {name: ""},
	{name: "*", ignore: "resource log, not the Activity Log"},
}

// findCategory returns the row of a category.
func findCategory(name string) *category {
	for i := range categories {
		c := &categories[i]
		if strings.EqualFold(c.name, name) || strings.Contains(c.name, "*") && matches(strings.ToLower(c.name), strings.ToLower(name)) {
			return c
		}
	}
	return &categories[len(categories)-1]
}

func incident(e *event, m *normalizers.Meta) normalizers.Result { return signal(e, m, change.Incident) }

func serviceHealth(e *event, m *normalizers.Meta) normalizers.Result {
	if e.properties.Get("incidentType").String() == "Maintenance" {
		return signal(e, m, change.Maintenance)
	}
	return signal(e, m, change.Incident)
}
