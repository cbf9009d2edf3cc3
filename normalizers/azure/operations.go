package azure

import (
	"path"
	"slices"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// operation is what we know about some operations: resource type (lower case,
// less "microsoft."), what is done, the change's type and what makes it risky.
type operation struct {
	resource string // * stands for one segment; a last ** for any number
	verbs    string // write, delete, or the names of actions; by spaces; * for any
	typ      change.Type
	hint     string
	look     func(*event) (change.Type, string) // "" keeps what the row says
}

const (
	destructive = normalizers.HintDestructive
	public      = normalizers.HintPublicExposure
	privilege   = normalizers.HintPrivilegeGrant
	noAudit     = normalizers.HintAuditDisabled
	noProtect   = normalizers.HintDeletionProtection
	database    = normalizers.HintDatabase
	secrets     = normalizers.HintSecrets
	network     = normalizers.HintNetwork
	breakGlass  = normalizers.HintBreakGlass
	rollback    = normalizers.HintRollback
)

const wd = "write delete"

// operations maps operations to types; the first row that matches wins. What is
// not here goes by its verb. Deleting infrastructure is destructive in any row.
var operations = []operation{
	{"compute/virtualmachines", "installpatches assesspatches", change.SecurityPatch, "", nil},
	{"compute/virtualmachines", "start restart poweroff deallocate redeploy reimage", change.Maintenance, "", nil},
	{"compute/virtualmachines", "runcommand", change.ConfigChange, breakGlass, nil},
	{"compute/virtualmachines/runcommands", wd, change.ConfigChange, breakGlass, nil},
	{"compute/virtualmachines/extensions", "write", change.ConfigChange, breakGlass, nil},
	{"compute/virtualmachines", wd, change.Infrastructure, "", setting(change.Scaling, "vmSize")},
	{"compute/virtualmachinescalesets", "upgrade manualupgrade rollingupgrades", change.Deployment, "", nil},
	{"compute/virtualmachinescalesets", wd, change.Infrastructure, "", setting(change.Scaling, "capacity")},
	{"compute/disks", "begingetaccess", change.AccessChange, secrets, nil},
	{"compute/snapshots", "begingetaccess", change.AccessChange, secrets, nil},
	{"compute/disks", wd, change.Infrastructure, "", nil},
	{"compute/snapshots", wd, change.Infrastructure, "", nil},
	{"compute/images", wd, change.Infrastructure, "", nil},
	{"compute/galleries/**", wd, change.Infrastructure, "", nil},

	{"containerservice/managedclusters", "listclusteradmincredential listclusterusercredential", change.AccessChange, privilege, nil},
	{"containerservice/managedclusters/agentpools", "write", change.Scaling, "", nil},
	{"containerservice/managedclusters", wd, change.Infrastructure, "", setting(change.Maintenance, "kubernetesVersion")},
	{"containerservice/managedclusters/rbac.authorization.k8s.io/**", wd, change.AccessChange, privilege, nil},
	{"kubernetes/connectedclusters/rbac.authorization.k8s.io/**", wd, change.AccessChange, privilege, nil},
	{"containerregistry/registries/push", "write", change.Deployment, "", nil},
	{"containerregistry/registries", "importimage", change.Deployment, "", nil},
	{"app/containerapps", "write", change.Deployment, "", nil},
	{"app/containerapps/revisions", "*", change.Deployment, "", nil},

	{"web/sites/slots", "slotsswap", change.Deployment, "", nil},
	{"web/sites", "slotsswap applyslotconfig", change.Deployment, "", nil},
	{"web/sites", "publish publishxml publishprofile", change.Deployment, "", nil},
	{"web/sites/deployments", "write", change.Deployment, "", nil},
	{"web/sites/extensions", "write", change.Deployment, "", nil},
	{"web/sites/config", "write", change.ConfigChange, secrets, nil},
	{"web/sites/config/appsettings", "write", change.ConfigChange, secrets, nil},
	{"web/sites", "restart start stop", change.Maintenance, "", nil},
	{"web/sites", "delete", change.Infrastructure, "", nil},
	{"web/sites", "write", change.ConfigChange, "", nil},
	{"web/serverfarms", "write", change.Scaling, "", nil},
	{"web/serverfarms", "delete", change.Infrastructure, "", nil},
	{"insights/autoscalesettings", "*", change.Scaling, "", nil},
	{"insights/autoscalesettings/**", "*", change.Scaling, "", nil},

	{"logic/workflows", "write", change.Deployment, "", nil},
	{"automation/automationaccounts/runbooks", "write publish", change.Deployment, "", nil},
	{"automation/automationaccounts/softwareupdateconfigurations", "write", change.SecurityPatch, "", nil},
	{"datafactory/factories/**", "write", change.Deployment, "", nil},
	{"resources/deployments", "write", change.Infrastructure, "", nil},
	{"resources/subscriptions/resourcegroups", wd, change.Infrastructure, "", nil},
	{"resources/deploymentstacks", wd, change.Infrastructure, "", nil},

	{"sql/servers/databases", "import export importexport", change.DatabaseMigration, database, nil},
	{"sql/servers/databases", "restore failover pause resume", change.Maintenance, database, restored},
	{"sql/servers/databases", wd, change.Infrastructure, database, setting(change.Scaling, "sku")},
	{"sql/servers/firewallrules", wd, change.ConfigChange, "", nil},
	{"sql/servers/administrators", wd, change.AccessChange, privilege, nil},
	{"sql/servers", "write", change.AccessChange, privilege, nil},
	{"datamigration/**", "*", change.DatabaseMigration, database, nil},
	{"dbforpostgresql/*", "restart failover start stop", change.Maintenance, database, nil},
	{"dbforpostgresql/*", wd, change.Infrastructure, database, nil},
	{"dbforpostgresql/*/configurations", "write", change.ConfigChange, database, nil},
	{"dbformysql/*", "restart failover start stop", change.Maintenance, database, nil},
	{"dbformysql/*", wd, change.Infrastructure, database, nil},
	{"dbformysql/*/configurations", "write", change.ConfigChange, database, nil},
	{"documentdb/databaseaccounts", wd, change.Infrastructure, database, nil},
	{"documentdb/databaseaccounts", "regeneratekey failoverprioritychange", change.ConfigChange, database, nil},
	{"cache/redis", "regeneratekey forcereboot", change.ConfigChange, "", nil},
	{"cache/redis", wd, change.Infrastructure, "", nil},

	{"storage/storageaccounts", "regeneratekey", change.ConfigChange, secrets, nil},
	{"storage/storageaccounts", "listkeys listaccountsas listservicesas", change.AccessChange, secrets, nil},
	{"storage/storageaccounts", "delete", change.Infrastructure, "", nil},
	{"storage/storageaccounts", "write", change.ConfigChange, "", nil},
	{"storage/storageaccounts/blobservices/containers", "delete", change.Infrastructure, "", nil},
	{"storage/storageaccounts/blobservices/containers/immutabilitypolicies", "delete", change.ConfigChange, noProtect, nil},
	{"keyvault/vaults/accesspolicies", wd, change.AccessChange, secrets, nil},
	{"keyvault/**", "purge", change.ConfigChange, secrets, alsoDestructive},
	{"keyvault/**", "rotate", change.SecretRotation, secrets, nil},
	{"keyvault/**", wd, change.ConfigChange, secrets, deleted},

	{"authorization", "elevateaccess", change.AccessChange, privilege, asRoot},
	{"authorization/roleassignments", wd, change.AccessChange, "", strongRole},
	{"authorization/roledefinitions", wd, change.AccessChange, privilege, nil},
	{"authorization/locks", "delete", change.ConfigChange, noProtect, nil},
	{"authorization/locks", "write", change.ConfigChange, "", nil},
	{"authorization/policyassignments", wd, change.ConfigChange, "", nil},
	{"authorization/policydefinitions", wd, change.ConfigChange, "", nil},
	{"managedidentity/userassignedidentities/**", wd, change.AccessChange, "", nil},
	{"managedidentity/userassignedidentities", wd, change.AccessChange, "", nil},

	{"network/networksecuritygroups", wd, change.ConfigChange, network, nil},
	{"network/networksecuritygroups/securityrules", wd, change.ConfigChange, network, nil},
	{"network/networkwatchers/flowlogs", "delete", change.ConfigChange, noAudit, nil},
	{"network/azurefirewalls", wd, change.ConfigChange, network, nil},
	{"network/firewallpolicies/**", wd, change.ConfigChange, network, nil},
	{"network/firewallpolicies", wd, change.ConfigChange, network, nil},
	{"network/ddosprotectionplans", wd, change.ConfigChange, network, nil},
	{"network/applicationgatewaywebapplicationfirewallpolicies", wd, change.ConfigChange, network, nil},
	{"network/*", wd, change.Infrastructure, network, nil},
	{"network/*/*", wd, change.Infrastructure, network, nil},
	{"cdn/profiles", wd, change.Infrastructure, network, nil},
	{"cdn/profiles/**", wd, change.Infrastructure, network, nil},

	{"appconfiguration/configurationstores/keyvalues", wd, change.ConfigChange, "", featureFlag},
	{"apimanagement/service/apis", "write", change.Deployment, "", nil},
	{"servicebus/namespaces/**", "*", change.ConfigChange, "", keys},
	{"servicebus/namespaces", "*", change.ConfigChange, "", nil},
	{"eventhub/namespaces/**", "*", change.ConfigChange, "", keys},
	{"eventhub/namespaces", "*", change.ConfigChange, "", nil},

	{"insights/diagnosticsettings", "delete", change.ConfigChange, noAudit, nil},
	{"insights/*", wd, change.ConfigChange, "", silenced},
	{"operationalinsights/workspaces", "delete", change.ConfigChange, noAudit, nil},
	{"operationalinsights/workspaces", "write", change.ConfigChange, "", nil},
	{"security/alertssuppressionrules", "write", change.ConfigChange, noAudit, nil},
	{"security/**", "delete", change.ConfigChange, noAudit, nil},
	{"security/**", "write", change.ConfigChange, "", nil},
	{"securityinsights/**", "delete", change.ConfigChange, noAudit, nil},
	{"securityinsights/**", "write", change.ConfigChange, "", nil},
	{"recoveryservices/vaults/**", "restore", change.Rollback, rollback, nil},
	{"recoveryservices/vaults/**", "delete", change.Infrastructure, "", nil},
	{"maintenance/maintenanceconfigurations", "write", change.Maintenance, "", nil},
	{"maintenance/applyupdates", "write", change.Maintenance, "", nil},
	{"machinelearningservices/workspaces/onlineendpoints/deployments", "write", change.Deployment, "", nil},

	// By the verb alone.
	{"**", "restore rollback", change.Rollback, rollback, nil},
	{"**", "start restart stop poweroff deallocate redeploy reimage failover resume pause forcereboot", change.Maintenance, "", nil},
	{"**", "scale", change.Scaling, "", nil},
	{"**", "upgrade", change.Maintenance, "", nil},
	{"**", "swap slotsswap publish", change.Deployment, "", nil},
	{"**", "runcommand", change.ConfigChange, breakGlass, nil},
	{"**", "regeneratekey regeneratekeys", change.ConfigChange, secrets, nil},
	{"**", "rotate*", change.SecretRotation, secrets, nil},
	{"**", "listkeys listaccountsas listcredentials listclusteradmincredential getsecret begingetaccess", change.AccessChange, secrets, nil},
	{"**", "purge", change.Infrastructure, destructive, nil},
	{"**", "write", change.ConfigChange, "", nil},
	{"**", "delete", change.Infrastructure, "", nil},
}

// find returns the row for a resource type and verb, both in lower case; nil
// for actions that nothing is known about.
func find(resource, verb string) *operation {
	for i := range operations {
		op := &operations[i]
		if op.resource[0] != '*' && (resource == "" || op.resource[0] != resource[0]) {
			continue // most rows, soon
		}
		if op.covers(resource) && op.does(verb) {
			return op
		}
	}
	return nil
}

func (op *operation) covers(resource string) bool {
	if before, ok := strings.CutSuffix(op.resource, "**"); ok {
		return strings.HasPrefix(resource, before)
	}
	if !strings.Contains(op.resource, "*") {
		return op.resource == resource
	}
	ok, _ := path.Match(op.resource, resource)
	return ok
}

func (op *operation) does(verb string) bool {
	for v := range strings.FieldsSeq(op.verbs) {
		if before, ok := strings.CutSuffix(v, "*"); ok && strings.HasPrefix(verb, before) || v == verb {
			return true
		}
	}
	return false
}

// split takes an operation's name apart: of Microsoft.Web/sites/slots/slotsswap/action
// the resource is web/sites/slots and the verb slotsswap.
func split(operation string) (resource, verb string, isAction bool) {
	name := strings.TrimPrefix(strings.ToLower(operation), "microsoft.")
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return name, "", false
	}
	resource, verb = name[:i], name[i+1:]
	if verb != "action" {
		return resource, verb, false
	}
	if i = strings.LastIndexByte(resource, '/'); i >= 0 {
		return resource[:i], resource[i+1:], true
	}
	return "", resource, true
}

// readActions are actions that only look, whatever their name starts with.
var readActions = []string{
	"validate", "validatemoveresources", "whatif", "generaterecommendations", "audit", "auditifnotexists",
}

var readPrefixes = []string{"list", "get", "check", "export", "query", "search", "calculate", "resolve", "download"}

// noise are writes that nobody would call a change.
var noise = []string{"resources/tags", "advisor", "authorization/policies"}

// notAChange says why an operation of the Activity Log changes nothing, or "".
func notAChange(resource, verb string, isAction bool) string {
	if verb == "read" {
		return "read-only operation"
	}
	for _, n := range noise {
		if strings.HasPrefix(resource, n) {
			return "noise: " + n
		}
	}
	if !isAction {
		return ""
	}
	if verb == "join" {
		return "noise: join"
	}
	if op := find(resource, verb); op != nil { // keys that are listed are access
		return ""
	}
	if slices.Contains(readActions, verb) || slices.ContainsFunc(readPrefixes, func(p string) bool { return strings.HasPrefix(verb, p) }) {
		return "read-only operation"
	}
	return ""
}
