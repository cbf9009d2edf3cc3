package azure

import (
	"fmt"
	"testing"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

func TestAdministrative_ByOperationAndRequest(t *testing.T) {
	f := func(operation, request string, want change.Type) {
		t.Helper()
		e := activityLog(gjson.Parse(fmt.Sprintf(`{"operationName":%q,"category":"Administrative","resultType":"Success","properties":{"requestbody":%q}}`, operation, request)))
		res := fromActivityLog(e, new(normalizers.Meta))
		if len(res.Drafts) != 1 || res.Drafts[0].Type != want {
			t.Errorf("%s %s: %+v, want %s", operation, request, res, want)
		}
	}
	f("Microsoft.Compute/virtualMachines/write", `{"properties":{"hardwareProfile":{"vmSize":"Standard_D4"}}}`, change.Scaling)
	f("Microsoft.Compute/virtualMachines/write", `{"tags":{}}`, change.Infrastructure)
	f("Microsoft.Compute/virtualMachines/runCommand/action", ``, change.ConfigChange)
	f("Microsoft.Compute/virtualMachines/installPatches/action", ``, change.SecurityPatch)
	f("Microsoft.ContainerService/managedClusters/write", `{"properties":{"kubernetesVersion":"1.30"}}`, change.Maintenance)
	f("Microsoft.ContainerService/managedClusters/agentPools/write", ``, change.Scaling)
	f("Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action", ``, change.AccessChange)
	f("MICROSOFT.WEB/SITES/SLOTS/SLOTSSWAP/ACTION", ``, change.Deployment)
	f("Microsoft.Web/sites/config/write", ``, change.ConfigChange)
	f("Microsoft.Sql/servers/databases/write", `{"sku":{"name":"S3"}}`, change.Scaling)
	f("Microsoft.Sql/servers/databases/import/action", ``, change.DatabaseMigration)
	f("Microsoft.DBforPostgreSQL/flexibleServers/restart/action", ``, change.Maintenance)
	f("Microsoft.DBforPostgreSQL/flexibleServers/configurations/write", ``, change.ConfigChange)
	f("Microsoft.KeyVault/vaults/accessPolicies/write", ``, change.AccessChange)
	f("Microsoft.KeyVault/vaults/keys/rotate/action", ``, change.SecretRotation)
	f("Microsoft.Authorization/elevateAccess/action", ``, change.AccessChange)
	f("Microsoft.Authorization/policyAssignments/write", ``, change.ConfigChange)
	f("Microsoft.Network/networkSecurityGroups/securityRules/write", ``, change.ConfigChange)
	f("Microsoft.Network/virtualNetworks/subnets/write", ``, change.Infrastructure)
	f("Microsoft.Network/dnsZones/A/write", ``, change.Infrastructure)
	f("Microsoft.EventHub/namespaces/authorizationRules/listKeys/action", ``, change.AccessChange)
	f("Microsoft.Storage/storageAccounts/regenerateKey/action", ``, change.ConfigChange)
	f("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action", ``, change.Rollback)
	f("Microsoft.NewThing/widgets/write", ``, change.ConfigChange)
	f("Microsoft.NewThing/widgets/delete", ``, change.Infrastructure)
	f("Microsoft.NewThing/widgets/frobnicate/action", ``, change.Other)
}

func TestStatusOf(t *testing.T) {
	f := func(status, sub string, want change.Status) {
		t.Helper()
		if got := statusOf(status, sub); got != want {
			t.Errorf("statusOf(%q, %q) = %q, want %q", status, sub, got, want)
		}
	}
	f("Start", "", change.Started)
	f("Accepted", "", change.Started)
	f("SUCCEEDED", "", change.Succeeded)
	f("Failure", "", change.Failed)
	f("Canceled", "", change.Cancelled)
	f("", "Created", change.Succeeded)
	f("Active", "", "")
}
