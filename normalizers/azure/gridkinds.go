package azure

import "whatchanged/pkg/change"

// gridKind says what events of Event Grid are.
type gridKind struct {
	kind   string // less "Microsoft."; one * stands for anything
	typ    change.Type
	ignore string // why they are no changes
	read   func(*gridEvent, *change.Change)
}

// gridKinds holds the events that are not about resources (those go the way of
// the Activity Log); the first row that matches wins. A kind that is not here
// goes by its last word.
// https://learn.microsoft.com/azure/event-grid/system-topics
var gridKinds = []gridKind{
	{kind: "Storage.*", ignore: "data event: blobs are not configuration"},
	{kind: "ServiceBus.*", ignore: "messages waiting, not a change"},
	{kind: "EventHub.CaptureFileCreated", ignore: "data event"},
	{kind: "Devices.Device*onnected", ignore: "device telemetry"},
	{kind: "Devices.DeviceTelemetry", ignore: "device telemetry"},
	{kind: "Devices.*", typ: change.Infrastructure},
	{kind: "Communication.*", ignore: "messages and calls, not a change"},
	{kind: "SignalRService.*", ignore: "clients that connect, not a change"},
	{kind: "EventGrid.MQTTClient*", ignore: "clients that connect, not a change"},
	{kind: "HealthcareApis.*", ignore: "data event"},
	{kind: "Maps.*", ignore: "telemetry"},
	{kind: "Media.*", ignore: "telemetry"},
	{kind: "EventGrid.Subscription*", ignore: "Event Grid subscription handshake"},

	{kind: "KeyVault.*NearExpiry", ignore: "reminder: near expiry"},
	{kind: "KeyVault.*Expired", ignore: "reminder: expired"},
	{kind: "KeyVault.*NewVersionCreated", typ: change.SecretRotation, read: (*gridEvent).vault},
	{kind: "KeyVault.VaultAccessPolicyChanged", typ: change.AccessChange, read: (*gridEvent).vault},
	{kind: "KeyVault.*", typ: change.ConfigChange, read: (*gridEvent).vault},
	{kind: "AppConfiguration.KeyValue*", typ: change.ConfigChange, read: (*gridEvent).keyValue},
	{kind: "AppConfiguration.*", typ: change.ConfigChange},
	{kind: "ContainerRegistry.*Deleted", typ: change.Infrastructure, read: (*gridEvent).image},
	{kind: "ContainerRegistry.*", typ: change.Deployment, read: (*gridEvent).image},
	{kind: "ContainerService.NewKubernetesVersionAvailable", ignore: "offer of a new version"},
	{kind: "ContainerService.ClusterSupport*", ignore: "reminder: support of the version ends"},
	{kind: "ContainerService.NodePoolRolling*", typ: change.Maintenance, read: (*gridEvent).nodePool},
	{kind: "ContainerService.*", typ: change.Maintenance},
	{kind: "Web.SlotSwap*", typ: change.Deployment, read: (*gridEvent).slotSwap},
	{kind: "Web.BackupOperation*", typ: change.Maintenance},
	{kind: "Web.RestoreOperation*", typ: change.Rollback},
	{kind: "Web.AppServicePlanUpdated", typ: change.Scaling},
	{kind: "Web.AppUpdated", typ: change.ConfigChange, read: (*gridEvent).app},
	{kind: "Web.*", typ: change.Deployment},
	{kind: "Cache.Scaling*", typ: change.Scaling},
	{kind: "Cache.*", typ: change.Maintenance},
	{kind: "ApiManagement.API*", typ: change.Deployment},
	{kind: "ApiManagement.User*", typ: change.AccessChange},
	{kind: "ApiManagement.Subscription*", typ: change.AccessChange},
	{kind: "ApiManagement.*", typ: change.ConfigChange},
	{kind: "PolicyInsights.*", typ: change.ConfigChange, read: (*gridEvent).policy},
	{kind: "MachineLearningServices.ModelDeployed", typ: change.Deployment},
	{kind: "MachineLearningServices.*", typ: change.Other},
	{kind: "AVS.*", typ: change.Infrastructure},
	{kind: "HealthResources.*", typ: change.Incident, read: (*gridEvent).health},
	{kind: "ResourceNotifications.HealthResources.*", typ: change.Incident, read: (*gridEvent).health},
	{kind: "ResourceNotifications.ContainerServiceEventResources.*", typ: change.Maintenance, read: (*gridEvent).scheduled},
	{kind: "ResourceNotifications.AKSResources.*", typ: change.Maintenance, read: (*gridEvent).scheduled},
}

// findGridKind returns the row of a kind, or nil.
func findGridKind(kind string) *gridKind {
	for i := range gridKinds {
		if matches(gridKinds[i].kind, kind) {
			return &gridKinds[i]
		}
	}
	return nil
}
