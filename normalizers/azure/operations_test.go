package azure

import (
	"testing"
)

func TestSplit(t *testing.T) {
	f := func(operation, resource, verb string, isAction bool) {
		t.Helper()
		gotResource, gotVerb, gotAction := split(operation)
		if gotResource != resource || gotVerb != verb || gotAction != isAction {
			t.Errorf("split(%q) = %q, %q, %v", operation, gotResource, gotVerb, gotAction)
		}
	}
	f("Microsoft.Compute/virtualMachines/write", "compute/virtualmachines", "write", false)
	f("MICROSOFT.WEB/SITES/SLOTS/SLOTSSWAP/ACTION", "web/sites/slots", "slotsswap", true)
	f("Microsoft.Authorization/elevateAccess/action", "authorization", "elevateaccess", true)
	f("DeleteBlob", "deleteblob", "", false)
	f("", "", "", false)
}

func TestNotAChange(t *testing.T) {
	f := func(operation string, ignored bool) {
		t.Helper()
		if reason := notAChange(split(operation)); (reason != "") != ignored {
			t.Errorf("notAChange(%q) = %q", operation, reason)
		}
	}
	f("Microsoft.Compute/virtualMachines/read", true)
	f("Microsoft.Compute/virtualMachines/instanceView/read", true)
	f("Microsoft.Resources/tags/write", true)
	f("Microsoft.Network/virtualNetworks/subnets/join/action", true)
	f("Microsoft.Resources/subscriptions/resourceGroups/validateMoveResources/action", true)
	f("Microsoft.Authorization/policies/audit/action", true)
	f("Microsoft.OperationalInsights/workspaces/query/action", true)
	f("Microsoft.Storage/storageAccounts/listKeys/action", false)
	f("Microsoft.Compute/virtualMachines/restart/action", false)
	f("Microsoft.Resources/deployments/write", false)
}
