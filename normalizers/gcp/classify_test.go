package gcp

import (
	"fmt"
	"testing"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

func TestClassify_ByServiceMethodAndRequest(t *testing.T) {
	f := func(service, method, request string, want change.Type) {
		t.Helper()
		e := parse(gjson.Parse(fmt.Sprintf(`{"protoPayload":{"serviceName":"%s.googleapis.com","methodName":%q,"request":%s},"logName":"projects/p/logs/x%%2Factivity"}`, service, method, request)))
		if service == "k8s.io" {
			e.service = service
		}
		if got, hints := e.classify(); got != want {
			t.Errorf("%s %s: %s %v, want %s", service, method, got, hints, want)
		}
	}
	f("run", "google.cloud.run.v1.Services.ReplaceService", `{}`, change.Deployment)
	f("run", "google.cloud.run.v2.Services.SetIamPolicy", `{}`, change.AccessChange)
	f("container", "google.container.v1.ClusterManager.UpdateMaster", `{}`, change.Maintenance)
	f("container", "google.container.v1.ClusterManager.SetNodePoolSize", `{}`, change.Scaling)
	f("k8s.io", "io.k8s.apps.v1.deployments.patch", `{"spec":{"replicas":3}}`, change.Scaling)
	f("k8s.io", "io.k8s.apps.v1.deployments.patch", `{"spec":{"replicas":3,"template":{}}}`, change.Deployment)
	f("k8s.io", "io.k8s.apps.v1.deployments.scale.update", `{}`, change.Scaling)
	f("k8s.io", "io.k8s.core.v1.pods.exec.create", `{}`, change.AccessChange)
	f("k8s.io", "io.k8s.core.v1.configmaps.update", `{}`, change.ConfigChange)
	f("k8s.io", "io.k8s.authorization.rbac.v1.clusterrolebindings.create", `{}`, change.AccessChange)
	f("compute", "beta.compute.instances.insert", `{}`, change.Infrastructure)
	f("compute", "v1.compute.instances.setMachineType", `{}`, change.Scaling)
	f("compute", "v1.compute.firewalls.patch", `{}`, change.ConfigChange)
	f("compute", "v1.compute.instanceGroupManagers.resize", `{}`, change.Scaling)
	f("cloudsql", "cloudsql.instances.restoreBackup", `{}`, change.Rollback)
	f("cloudsql", "cloudsql.instances.update", `{"body":{"settings":{"tier":"db-n1"}}}`, change.Scaling)
	f("spanner", "google.spanner.admin.database.v1.DatabaseAdmin.UpdateDatabaseDdl", `{}`, change.DatabaseMigration)
	f("cloudresourcemanager", "SetIamPolicy", `{}`, change.AccessChange)
	f("secretmanager", "google.cloud.secretmanager.v1.SecretManagerService.AddSecretVersion", `{}`, change.ConfigChange)
	f("clouddeploy", "google.cloud.deploy.v1.CloudDeploy.RollbackTarget", `{}`, change.Rollback)
	f("osconfig", "google.cloud.osconfig.v1.OsConfigService.ExecutePatchJob", `{}`, change.SecurityPatch)
	f("newthing", "google.cloud.newthing.v1.Things.CreateThing", `{}`, change.Infrastructure)
	f("newthing", "google.cloud.newthing.v1.Things.SetIamPolicy", `{}`, change.AccessChange)
	f("newthing", "google.cloud.newthing.v1.Things.Frobnicate", `{}`, change.Other)
}

func TestDangers_LookAtWhatWasGranted(t *testing.T) {
	f := func(action, role, member string, want int) {
		t.Helper()
		e := parse(gjson.Parse(fmt.Sprintf(`{"protoPayload":{"serviceName":"x.googleapis.com","methodName":"SetIamPolicy","serviceData":{"policyDelta":{"bindingDeltas":[{"action":%q,"role":%q,"member":%q}]}}}}`, action, role, member)))
		if got := e.dangers(); len(got) != want {
			t.Errorf("%s %s to %s: %v, want %d", action, role, member, got, want)
		}
	}
	f("ADD", "roles/owner", "user:bob@example.com", 1)
	f("ADD", "roles/storage.admin", "allUsers", 2)
	f("ADD", "roles/viewer", "user:bob@example.com", 0)
	f("REMOVE", "roles/owner", "allUsers", 0)
}
