package azure

import (
	"strings"
	"unicode"

	"whatchanged/pkg/change"
)

// nouns is what people call a type of resource, by its name in lower case less
// "microsoft.". Other types are called by their own last word: sslCertificates
// is an SSL certificate.
var nouns = map[string]string{
	"compute/virtualmachines":                         "VM",
	"compute/virtualmachines/extensions":              "VM extension",
	"compute/virtualmachines/runcommands":             "run command",
	"compute/virtualmachinescalesets":                 "VM scale set",
	"containerservice/managedclusters":                "AKS cluster",
	"containerservice/managedclusters/agentpools":     "AKS node pool",
	"containerregistry/registries":                    "container registry",
	"app/containerapps":                               "container app",
	"web/sites":                                       "app",
	"web/sites/slots":                                 "app slot",
	"web/sites/config":                                "app settings",
	"web/serverfarms":                                 "app service plan",
	"storage/storageaccounts":                         "storage account",
	"storage/storageaccounts/blobservices":            "blob service",
	"storage/storageaccounts/blobservices/containers": "blob container",
	"keyvault/vaults":                                 "key vault",
	"keyvault/vaults/accesspolicies":                  "key vault access policy",
	"keyvault/vaults/secrets":                         "secret",
	"keyvault/vaults/keys":                            "key",
	"network/networksecuritygroups":                   "NSG",
	"network/networksecuritygroups/securityrules":     "NSG rule",
	"network/virtualnetworks":                         "VNet",
	"network/virtualnetworks/subnets":                 "subnet",
	"network/publicipaddresses":                       "public IP",
	"network/dnszones":                                "DNS zone",
	"network/applicationgateways":                     "application gateway",
	"sql/servers":                                     "SQL server",
	"sql/servers/databases":                           "SQL database",
	"sql/servers/firewallrules":                       "SQL firewall rule",
	"dbforpostgresql/flexibleservers":                 "PostgreSQL server",
	"dbforpostgresql/servers":                         "PostgreSQL server",
	"dbformysql/flexibleservers":                      "MySQL server",
	"documentdb/databaseaccounts":                     "Cosmos DB account",
	"cache/redis":                                     "Redis cache",
	"resources/deployments":                           "template deployment",
	"resources/subscriptions/resourcegroups":          "resource group",
	"subscriptions/resourcegroups":                    "resource group",
	"resources/resourcegroups":                        "resource group",
	"operationalinsights/workspaces":                  "Log Analytics workspace",
	"authorization/locks":                             "lock",
	"authorization/roledefinitions":                   "role",
	"logic/workflows":                                 "logic app",
	"appconfiguration/configurationstores":            "App Configuration store",
	"appconfiguration/configurationstores/keyvalues":  "App Configuration key",
	"recoveryservices/vaults":                         "recovery vault",
	"insights/diagnosticsettings":                     "diagnostic setting",
}

// lastNouns is the same by the last word alone, for types that stand under many.
var lastNouns = map[string]string{
	"rolebindings": "role binding", "clusterrolebindings": "cluster role binding", "clusterroles": "cluster role",
	"authorizationrules": "authorization rule", "federatedidentitycredentials": "federated credential",
	"privateendpointconnections": "private endpoint connection", "hostruntime": "host runtime of app", "virtualnetworkrules": "VNet rule",
	"dnszones": "DNS zone", "sslcertificates": "TLS certificate",
}

// verb is how people say an action, when it is done and when it is to be done.
type verb struct{ past, infinitive string }

// verbs are frequent ones; any other action is run.
var verbs = map[string]verb{
	"delete": {"deleted", "delete"}, "start": {"started", "start"}, "restart": {"restarted", "restart"}, "stop": {"stopped", "stop"},
	"poweroff": {"powered off", "power off"}, "deallocate": {"deallocated", "deallocate"}, "redeploy": {"redeployed", "redeploy"},
	"reimage": {"reimaged", "reimage"}, "runcommand": {"ran a command on", "run a command on"}, "publish": {"published", "publish"},
	"purge": {"purged", "purge"}, "restore": {"restored", "restore"}, "failover": {"failed over", "fail over"}, "upgrade": {"upgraded", "upgrade"},
	"scale": {"scaled", "scale"}, "listkeys": {"listed the keys of", "list the keys of"}, "rotate": {"rotated", "rotate"},
	"regeneratekey": {"regenerated a key of", "regenerate a key of"}, "regeneratekeys": {"regenerated keys of", "regenerate keys of"},
	"begingetaccess": {"opened access to", "open access to"}, "slotsswap": {"swapped the slots of", "swap the slots of"},
	"listclusteradmincredential": {"got admin credentials of", "get admin credentials of"}, "resume": {"resumed", "resume"}, "pause": {"paused", "pause"},
	"listclusterusercredential": {"got credentials of", "get credentials of"},
	"installpatches":            {"installed patches on", "install patches on"}, "importimage": {"imported an image into", "import an image into"},
	"rollback": {"rolled back", "roll back"}, "capture": {"captured", "capture"}, "register": {"registered", "register"},
}

// saying returns the words for what an operation does.
func (e *event) saying(name string) verb {
	made := e.subStatus + e.signature
	switch {
	case name == "write" && strings.Contains(made, "Created"):
		return verb{"created", "create"}
	case name == "write" && strings.Contains(made, "OK"):
		return verb{"updated", "update"}
	case name == "write":
		return verb{"created or updated", "create or update"}
	}
	if v, ok := verbs[name]; ok {
		return v
	}
	action := calm(actionName(e.operationName()))
	return verb{"ran " + action + " on", "run " + action + " on"}
}

// summary says who did what, where:
// "rob@contoso.com deleted VM web-1 in rg-prod (subscription 11111111-...)".
func (e *event) summary(actor, resource, name string) string {
	if actor == "" {
		actor = "Somebody"
		if e.ip != "" {
			actor += " at " + e.ip
		}
	}
	v, object := e.saying(name), e.objectName(resource)
	switch resource {
	case "authorization/roleassignments":
		v, object = e.assignmentSaying(name)
	case "authorization":
		if name == "elevateaccess" {
			v, object = verb{"took", "take"}, "access to everything in the directory (User Access Administrator at the root)"
		}
	}
	s := actor + " " + v.past
	cancelled := false
	switch e.progress() {
	case change.Failed:
		s = actor + " failed to " + v.infinitive
	case change.Started:
		s = actor + " started to " + v.infinitive
	case change.Cancelled:
		s, cancelled = actor+" tried to "+v.infinitive, true
	}
	s += " " + object
	if e.resourceGroup != "" && !strings.HasSuffix(object, " "+calm(e.resourceGroup)) {
		s += " in " + calm(e.resourceGroup)
	}
	if e.subscription != "" {
		s += " (subscription " + calm(e.subscription) + ")"
	}
	if cancelled {
		s += ": cancelled"
	}
	return s
}

// objectName is the resource as people name it: "VM web-1".
func (e *event) objectName(resource string) string {
	kind := noun(resource, e.resourceType)
	name := calm(lastSegment(e.resourceID))
	if parent := parentName(e.resourceID, resource); parent != "" {
		name += " of " + calm(parent)
	}
	return strings.TrimSpace(kind + " " + name)
}

// parentName is the resource that a part belongs to: of a node pool, the cluster.
func parentName(id, resource string) string {
	if strings.Count(resource, "/") < 2 || strings.HasPrefix(resource, "resources/") || indexFold(id, "/providers/") < 0 {
		return ""
	}
	segments := strings.Split(id[indexFold(id, "/providers/")+1:], "/")
	if len(segments) < 6 || strings.EqualFold(segments[len(segments)-2], "providers") {
		return ""
	}
	return segments[3]
}

// assignmentSaying says what was done with a role: "assigned Owner to User
// 5e... on the subscription".
func (e *event) assignmentSaying(name string) (verb, string) {
	a := e.assigned()
	v, to := verb{"assigned", "assign"}, " to "
	if name == "delete" {
		v, to = verb{"took", "take"}, " from "
	}
	s := first(a.role, "a role")
	if a.principal != "" {
		s += to + a.principal
	}
	return v, s + " on " + scopeName(a.scope)
}

// noun is what people call a type of resource, of which both the name in lower
// case and, where known, the name as it is written are given.
func noun(lower, written string) string {
	if n, ok := nouns[lower]; ok {
		return n
	}
	last := lastSegment(lower)
	if n, ok := lastNouns[last]; ok {
		return n
	}
	if w := lastSegment(written); strings.EqualFold(w, last) && strings.ToUpper(w) != w {
		last = w
	}
	return singular(spaced(last))
}

// spaced writes camelCase as words: metricAlerts is metric alerts.
func spaced(s string) string {
	var b strings.Builder
	was := 'A'
	for _, r := range s {
		if unicode.IsUpper(r) && unicode.IsLower(was) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
		was = r
	}
	return b.String()
}

func singular(s string) string {
	switch {
	case strings.HasSuffix(s, "ies"):
		return strings.TrimSuffix(s, "ies") + "y"
	case strings.HasSuffix(s, "sses"):
		return strings.TrimSuffix(s, "es")
	case strings.HasSuffix(s, "ss"), strings.HasSuffix(s, "settings"):
		return s
	}
	return strings.TrimSuffix(s, "s")
}

// calm writes what streamed records have in capitals in small letters.
func calm(s string) string {
	if strings.ToUpper(s) == s {
		return strings.ToLower(s)
	}
	return s
}

// shortType is a type of resource as the tables have it: in lower case less "microsoft.".
func shortType(typ string) string { return strings.TrimPrefix(strings.ToLower(typ), "microsoft.") }

// actionName is the name of an action: "restart" of .../virtualMachines/restart/action.
func actionName(operation string) string {
	parts := strings.Split(operation, "/")
	if len(parts) < 2 {
		return operation
	}
	return parts[len(parts)-2]
}
