package gcp

import (
	"path"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// row is what we know about some methods of a service. A method is given by
// its last parts: "instances.insert" is v1.compute.instances.insert and
// beta.compute.instances.insert, "Services.CreateService" is
// google.cloud.run.v1.Services.CreateService. In a part, * stands for anything.
type row struct {
	service string // less ".googleapis.com"; * for any
	methods string // by spaces
	typ     change.Type
	hint    string
	look    func(*entry) (change.Type, string) // "" keeps what the row says
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
	noMFA       = normalizers.HintNoMFA
)

// methods maps methods to types; the first row that matches wins. A method
// that is not here goes by its verb.
var methods = []row{
	{"run", "Services.DeleteService Jobs.DeleteJob", change.Infrastructure, destructive, nil},
	{"run", "Services.CreateService Services.ReplaceService Services.UpdateService Jobs.RunJob Jobs.UpdateJob Jobs.ReplaceJob Jobs.CreateJob", change.Deployment, "", nil},
	{"cloudfunctions", "DeleteFunction", change.Infrastructure, destructive, nil},
	{"cloudfunctions", "CreateFunction UpdateFunction", change.Deployment, "", nil},
	{"appengine", "Versions.CreateVersion Services.UpdateService Versions.DeleteVersion Versions.UpdateVersion", change.Deployment, "", nil},
	{"appengine", "Firewall.*", change.ConfigChange, network, nil},
	{"cloudbuild", "CreateBuildTrigger UpdateBuildTrigger DeleteBuildTrigger", change.ConfigChange, "", nil},
	{"cloudbuild", "CreateBuild RunBuildTrigger CancelBuild RetryBuild", change.Deployment, "", nil},
	{"clouddeploy", "RollbackTarget", change.Rollback, rollback, nil},
	{"clouddeploy", "CreateRelease CreateRollout ApproveRollout AdvanceRollout CancelRollout", change.Deployment, "", nil},
	{"artifactregistry", "Docker-PutManifest UploadArtifact DeletePackage DeleteVersion", change.Deployment, "", nil},

	{"container", "DeleteCluster DeleteNodePool", change.Infrastructure, destructive, nil},
	{"container", "CreateCluster CreateNodePool", change.Infrastructure, "", nil},
	{"container", "RollbackNodePoolUpgrade", change.Rollback, rollback, nil},
	{"container", "UpdateMaster UpdateNodePool", change.Maintenance, "", nil},
	{"container", "UpdateCluster SetMaintenancePolicy", change.ConfigChange, "", nil},
	{"container", "SetNodePoolSize SetNodePoolAutoscaling", change.Scaling, "", nil},
	{"container", "SetMasterAuth SetLegacyAbac", change.AccessChange, privilege, nil},
	{"container", "SetNetworkPolicy", change.ConfigChange, network, nil},

	{"k8s.io", "pods.exec.create pods.attach.create pods.portforward.create pods.exec.get pods.attach.get", change.AccessChange, breakGlass, nil},
	{"k8s.io", "horizontalpodautoscalers.* *.scale.*", change.Scaling, "", nil},
	{"k8s.io", "deployments.* statefulsets.* daemonsets.*", change.Deployment, "", replicasOnly},
	{"k8s.io", "secrets.*", change.ConfigChange, secrets, nil},
	{"k8s.io", "configmaps.*", change.ConfigChange, "", nil},
	{"k8s.io", "roles.* rolebindings.* clusterroles.* clusterrolebindings.*", change.AccessChange, "", clusterAdmin},
	{"k8s.io", "networkpolicies.*", change.ConfigChange, network, nil},
	{"k8s.io", "ingresses.* services.* namespaces.*", change.Infrastructure, "", nil},

	{"compute", "instances.delete", change.Infrastructure, destructive, nil},
	{"compute", "instances.insert instances.start instances.stop instances.reset instances.resume instances.suspend", change.Infrastructure, "", nil},
	{"compute", "instances.setMachineType", change.Scaling, "", nil},
	{"compute", "instances.setMetadata projects.setCommonInstanceMetadata", change.ConfigChange, "", sshKeys},
	{"compute", "instances.setServiceAccount *.setIamPolicy", change.AccessChange, "", nil},
	{"compute", "instances.setDeletionProtection", change.ConfigChange, noProtect, nil},
	{"compute", "instanceGroupManagers.resize autoscalers.* regionInstanceGroupManagers.resize regionAutoscalers.*", change.Scaling, "", nil},
	{"compute", "instanceGroupManagers.patch instanceGroupManagers.update instanceTemplates.insert regionInstanceGroupManagers.patch", change.Deployment, "", nil},
	{"compute", "firewalls.* firewallPolicies.* securityPolicies.* networkFirewallPolicies.*", change.ConfigChange, network, nil},
	{"compute", "networks.* subnetworks.* routes.* routers.* addresses.* globalAddresses.* vpnTunnels.* vpnGateways.* interconnect*.*", change.Infrastructure, network, nil},
	{"compute", "urlMaps.* backendServices.* backendBuckets.* forwardingRules.* globalForwardingRules.* target*.* sslCertificates.* *ealthChecks.*", change.ConfigChange, network, nil},
	{"compute", "disks.* snapshots.* images.*", change.Infrastructure, "", nil},
	{"dns", "changes.create managedZones.* *.dns.*", change.Infrastructure, network, nil},

	{"cloudsql", "instances.restart", change.Maintenance, database, nil},
	{"cloudsql", "instances.import instances.export instances.clone", change.DatabaseMigration, database, nil},
	{"cloudsql", "instances.restoreBackup backupRuns.restore", change.Rollback, database, nil},
	{"cloudsql", "instances.update instances.patch", change.Infrastructure, database, tier},
	{"cloudsql", "instances.*", change.Infrastructure, database, nil},
	{"cloudsql", "users.*", change.AccessChange, database, nil},
	{"cloudsql", "databases.* backupRuns.*", change.Infrastructure, database, nil},
	{"spanner", "UpdateDatabaseDdl", change.DatabaseMigration, database, nil},
	{"spanner", "UpdateInstance", change.Infrastructure, database, nodes},
	{"bigtableadmin", "UpdateCluster PartialUpdateCluster", change.Scaling, database, nil},
	{"datamigration", "*", change.DatabaseMigration, database, nil},
	{"bigquery", "DatasetService.* TableService.*", change.Infrastructure, database, datasetAccess},

	{"storage", "buckets.delete", change.Infrastructure, destructive, nil},
	{"storage", "buckets.create", change.Infrastructure, "", nil},
	{"storage", "buckets.update buckets.patch", change.ConfigChange, "", nil},
	{"storage", "setIamPermissions", change.AccessChange, "", nil},

	{"cloudresourcemanager", "DeleteProject DeleteFolder", change.Infrastructure, destructive, nil},
	{"cloudresourcemanager", "CreateProject UndeleteProject MoveProject CreateFolder UpdateProject", change.Infrastructure, "", nil},
	{"cloudresourcemanager", "InsertProjectOwnershipInvite", change.AccessChange, privilege, nil},
	{"cloudresourcemanager", "SetOrgPolicy CreatePolicy UpdatePolicy DeletePolicy", change.ConfigChange, "", nil},
	{"iam", "CreateServiceAccountKey UploadServiceAccountKey", change.AccessChange, privilege, nil},
	{"iam", "WorkloadIdentityPools.* WorkforcePools.*", change.AccessChange, privilege, nil},
	{"iam", "*", change.AccessChange, "", nil},
	{"orgpolicy", "*", change.ConfigChange, "", nil},
	{"serviceusage", "*", change.ConfigChange, "", nil},
	{"apikeys", "*", change.AccessChange, privilege, nil},
	{"secretmanager", "SetIamPolicy", change.AccessChange, secrets, nil},
	{"secretmanager", "DestroySecretVersion DeleteSecret", change.ConfigChange, secrets, alsoDestructive},
	{"secretmanager", "*", change.ConfigChange, secrets, nil},
	{"cloudkms", "SetIamPolicy", change.AccessChange, secrets, nil},
	{"cloudkms", "DestroyCryptoKeyVersion", change.ConfigChange, destructive, nil},
	{"cloudkms", "*", change.ConfigChange, "", nil},
	{"logging", "Delete* CreateExclusion UpdateExclusion", change.ConfigChange, noAudit, nil},
	{"logging", "*", change.ConfigChange, "", nil},
	{"monitoring", "AlertPolicyService.* NotificationChannelService.*", change.ConfigChange, "", nil},
	{"pubsub", "DeleteTopic DeleteSubscription", change.Infrastructure, destructive, nil},
	{"pubsub", "CreateTopic UpdateTopic CreateSubscription UpdateSubscription", change.Infrastructure, "", nil},
	{"cloudscheduler", "*", change.ConfigChange, "", nil},
	{"workflows", "CreateWorkflow UpdateWorkflow", change.Deployment, "", nil},
	{"composer", "UpdateEnvironment", change.ConfigChange, "", nil},
	{"dataflow", "jobs.create jobs.update", change.Deployment, "", nil},
	{"ml", "CreateJob CreateVersion", change.Deployment, "", nil},
	{"deploymentmanager", "deployments.delete", change.Infrastructure, destructive, nil},
	{"deploymentmanager", "*", change.Infrastructure, "", nil},
	{"config", "CreateDeployment UpdateDeployment", change.Infrastructure, "", nil},
	{"config", "DeleteDeployment", change.Infrastructure, destructive, nil},
	{"iap", "SetIamPolicy UpdateIapSettings", change.AccessChange, "", nil},
	{"accesscontextmanager", "*", change.ConfigChange, network, nil},
	{"osconfig", "ExecutePatchJob CreatePatchDeployment", change.SecurityPatch, "", nil},
	{"binaryauthorization", "UpdatePolicy", change.ConfigChange, "", nil},
	{"securitycenter", "Update*", change.ConfigChange, "", nil},
	{"firebaseremoteconfig", "RollbackRemoteConfig", change.Rollback, rollback, nil},
	{"firebaseremoteconfig", "UpdateRemoteConfig", change.FeatureFlag, "", nil},
	{"admin", "toggle2sv* *2sv* *TwoStep*", change.AccessChange, noMFA, nil},
	{"admin", "addGroupMember assignRole *Role* *Privilege*", change.AccessChange, privilege, nil},
	{"admin", "*", change.AccessChange, "", nil},
	{"login", "*", change.AccessChange, "", nil},
	{"cloudbilling", "*", change.ConfigChange, "", nil},
	{"*", "SetIamPolicy setIamPolicy setIamPermissions", change.AccessChange, "", nil},
}

// find returns the row for an entry, or nil.
func find(e *entry) *row {
	for i := range methods {
		r := &methods[i]
		if r.service != "*" && r.service != e.service {
			continue
		}
		for m := range strings.FieldsSeq(r.methods) {
			if endsWith(e.method, m) {
				return r
			}
		}
	}
	return nil
}

// endsWith compares the last parts of a method with a pattern's parts.
func endsWith(method []string, pattern string) bool {
	n := strings.Count(pattern, ".") + 1
	if len(method) < n {
		return false
	}
	for _, part := range method[len(method)-n:] {
		want, rest, _ := strings.Cut(pattern, ".")
		pattern = rest
		if want == "*" {
			continue
		}
		if strings.Contains(want, "*") {
			if ok, _ := path.Match(want, part); !ok {
				return false
			}
		} else if !strings.EqualFold(want, part) {
			return false
		}
	}
	return true
}

// verbs say what a method does that no row names.
var verbs = []struct {
	words string // starts, by spaces, in any case
	typ   change.Type
	hint  string
}{
	{"restore rollback revert", change.Rollback, rollback},
	{"setiam", change.AccessChange, ""},
	{"undelete", change.Infrastructure, ""},
	{"delete destroy remove purge", change.Infrastructure, destructive},
	{"create insert add upload batchcreate bulkinsert", change.Infrastructure, ""},
	{"update patch set modify replace enable disable batchenable attach detach assign move put partialupdate", change.ConfigChange, ""},
	{"start stop reset resume suspend restart reboot failover migrate", change.Maintenance, ""},
	{"resize scale", change.Scaling, ""},
	{"deploy release promote run", change.Deployment, ""},
}

// byVerb returns the type that a method's last part suggests.
func byVerb(verb string) (typ change.Type, hint string) {
	verb = strings.ToLower(verb)
	for _, v := range verbs {
		for w := range strings.FieldsSeq(v.words) {
			if strings.HasPrefix(verb, w) {
				return v.typ, v.hint
			}
		}
	}
	return change.Other, ""
}

// The functions below look into the request where the method alone does not
// tell. They belong to rows of methods.

// replicasOnly finds a patch that says nothing but how many.
func replicasOnly(e *entry) (change.Type, string) {
	spec := e.request.Get("spec")
	if n := len(spec.Map()); n == 1 && spec.Get("replicas").Exists() {
		return change.Scaling, ""
	}
	return "", ""
}

func clusterAdmin(e *entry) (change.Type, string) {
	if strings.Contains(e.request.Raw, `"cluster-admin"`) || strings.HasSuffix(e.resourceName, "/cluster-admin") {
		return "", privilege
	}
	return "", ""
}

func sshKeys(e *entry) (change.Type, string) {
	if strings.Contains(e.payload.Raw, `"ssh-keys"`) || strings.Contains(e.payload.Raw, `"enable-oslogin"`) {
		return "", privilege
	}
	return "", ""
}

func tier(e *entry) (change.Type, string) {
	if e.request.Get("body.settings.tier").Exists() || e.request.Get("settings.tier").Exists() {
		return change.Scaling, ""
	}
	return "", ""
}

func nodes(e *entry) (change.Type, string) {
	if e.request.Get("instance.nodeCount").Exists() || e.request.Get("instance.processingUnits").Exists() {
		return change.Scaling, ""
	}
	return "", ""
}

func datasetAccess(e *entry) (change.Type, string) {
	if strings.Contains(e.methodName, "Dataset") && strings.Contains(e.payload.Raw, `"acl"`) && !strings.Contains(e.methodName, "Insert") {
		return change.AccessChange, ""
	}
	return "", ""
}

func alsoDestructive(*entry) (change.Type, string) { return "", destructive }
