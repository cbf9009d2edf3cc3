package gcp

import (
	"strings"
	"unicode"
)

// verb is how people say what a method does, when it is done and when it is to
// be done.
type verb struct{ starts, past, infinitive string }

// sayings are the verbs that methods start with; the first that fits wins.
var sayings = []verb{
	{"create", "created", "create"}, {"insert", "created", "create"}, {"batchcreate", "created", "create"}, {"bulkinsert", "created", "create"},
	{"undelete", "restored", "restore"}, {"delete", "deleted", "delete"}, {"destroy", "destroyed", "destroy"}, {"remove", "removed", "remove"}, {"purge", "purged", "purge"},
	{"partialupdate", "updated", "update"}, {"update", "updated", "update"}, {"patch", "updated", "update"}, {"replace", "replaced", "replace"}, {"modify", "updated", "update"},
	{"setiampolicy", "changed who may use", "change who may use"}, {"setiampermissions", "changed who may use", "change who may use"},
	{"set", "set", "set"}, {"add", "added", "add"}, {"upload", "uploaded", "upload"}, {"batchenable", "enabled", "enable"}, {"enable", "enabled", "enable"}, {"disable", "disabled", "disable"},
	{"start", "started", "start"}, {"stop", "stopped", "stop"}, {"reset", "reset", "reset"}, {"restart", "restarted", "restart"}, {"resume", "resumed", "resume"},
	{"suspend", "suspended", "suspend"}, {"failover", "failed over", "fail over"}, {"resize", "resized", "resize"}, {"attach", "attached", "attach"}, {"detach", "detached", "detach"},
	{"assign", "assigned", "assign"}, {"move", "moved", "move"}, {"deploy", "deployed", "deploy"}, {"promote", "promoted", "promote"}, {"approve", "approved", "approve"},
	{"advance", "advanced", "advance"}, {"cancel", "cancelled", "cancel"}, {"rollback", "rolled back", "roll back"}, {"restore", "restored", "restore"},
	{"import", "imported into", "import into"}, {"export", "exported", "export"}, {"clone", "cloned", "clone"}, {"run", "ran", "run"}, {"execute", "executed", "execute"},
	{"retry", "retried", "retry"}, {"recreate", "recreated", "recreate"}, {"migrate", "migrated", "migrate"}, {"abandon", "abandoned", "abandon"}, {"put", "put", "put"},
	{"rotate", "rotated", "rotate"}, {"undeploy", "undeployed", "undeploy"}, {"exec", "opened a shell in", "open a shell in"},
}

// nouns is what people call a resource, by the noun in the method's name or by
// the resource's kind in lower case, without spaces; anything else is called
// as it is, in words.
var nouns = map[string]string{
	"instance": "VM", "gceinstance": "VM", "disk": "disk", "firewall": "firewall rule", "network": "VPC network", "subnetwork": "subnet", "route": "route",
	"instancegroupmanager": "instance group", "regioninstancegroupmanager": "instance group", "forwardingrule": "forwarding rule", "globalforwardingrule": "forwarding rule",
	"autoscaler": "autoscaler", "serviceaccount": "service account", "serviceaccountkey": "key of service account", "cryptokey": "KMS key", "cryptokeyversion": "KMS key version",
	"hmackey": "HMAC key", "iamrole": "role", "sink": "log sink", "exclusion": "log exclusion", "logmetric": "log metric", "bucket": "bucket", "topic": "Pub/Sub topic", "subscription": "Pub/Sub subscription",
	"dataset": "BigQuery dataset", "table": "BigQuery table", "secret": "secret", "secretversion": "version of secret", "nodepool": "node pool", "cluster": "GKE cluster",
	"rollout": "rollout", "release": "release", "buildtrigger": "build trigger", "build": "build", "managedzone": "DNS zone", "change": "DNS records of", "project": "project", "folder": "folder",
	"sslcertificate": "TLS certificate", "targethttpsproxy": "HTTPS proxy", "urlmap": "URL map", "backendservice": "backend service", "backendbucket": "backend bucket",
	"databaseddl": "schema of database", "remoteconfig": "Remote Config", "orgpolicy": "organization policy", "iampolicy": "", "iampermissions": "", "deletionprotection": "deletion protection of",
	"machinetype": "machine type of", "metadata": "metadata of", "commoninstancemetadata": "metadata of all VMs in", "labels": "labels of", "tags": "tags of",
	"nodepoolsize": "size of node pool", "nodepoolautoscaling": "autoscaling of node pool", "maintenancepolicy": "maintenance policy of", "networkpolicy": "network policy of",
	"master": "control plane of", "masterauth": "authentication of", "legacyabac": "legacy authorization of", "backuprun": "backup of", "user": "database user of", "database": "database",
	"workloadidentitypool": "workload identity pool", "workforcepool": "workforce pool", "service": "service", "function": "function", "job": "job",
}

// services name the resource where the method's own noun could be anybody's.
var services = map[string]map[string]string{
	"run":            {"service": "Cloud Run service", "job": "Cloud Run job", "replaceservice": "Cloud Run service"},
	"cloudfunctions": {"function": "Cloud Function"},
	"cloudsql":       {"instance": "SQL instance"},
	"spanner":        {"instance": "Spanner instance", "database": "Spanner database"},
	"bigtableadmin":  {"instance": "Bigtable instance", "cluster": "Bigtable cluster", "table": "Bigtable table"},
	"redis":          {"instance": "Redis instance"},
	"file":           {"instance": "Filestore instance"},
	"alloydb":        {"instance": "AlloyDB instance", "cluster": "AlloyDB cluster"},
	"dataproc":       {"cluster": "Dataproc cluster", "job": "Dataproc job"},
	"cloudscheduler": {"job": "scheduler job"},
	"appengine":      {"service": "App Engine service", "version": "App Engine version"},
	"composer":       {"environment": "Composer environment"},
	"ml":             {"job": "ML job", "version": "model version"},
	"bigquery":       {"job": "BigQuery job"},
	"serviceusage":   {"service": "API"},
	"apikeys":        {"key": "API key"},
	"iam":            {"role": "role"},
	"admin":          {},
}

// saying returns the words for a method and the noun it is about: of
// CreateServiceAccountKey, "created" and "key of service account"; of
// v1.compute.instances.insert, "created" and "VM".
func (e *entry) saying() (verb, string) {
	name := e.verb()
	lower := strings.ToLower(name)
	for _, v := range sayings {
		if !strings.HasPrefix(lower, v.starts) {
			continue
		}
		rest := name[len(v.starts):]
		if rest != "" && !unicode.IsUpper(rune(rest[0])) && name[0] >= 'a' && name[0] <= 'z' {
			continue // settings is not set
		}
		if rest == "" || len(v.starts) > len("setiam") && strings.HasPrefix(v.starts, "setiam") {
			rest = e.noun()
		}
		return v, e.called(rest)
	}
	return verb{"", "called " + name + " on", "call " + name + " on"}, e.called(e.noun())
}

// noun is the part of the method before its verb, in the singular: instances.
func (e *entry) noun() string {
	if len(e.method) < 2 {
		return strings.TrimPrefix(e.resource.Get("type").String(), "audited_resource")
	}
	n := e.method[len(e.method)-2]
	if strings.HasSuffix(n, "Service") || strings.HasSuffix(n, "Manager") || strings.HasSuffix(n, "Admin") || strings.HasPrefix(n, "v1") {
		return strings.TrimPrefix(e.resource.Get("type").String(), "audited_resource")
	}
	return singular(n)
}

// called is what people call the thing that a noun of the API means.
func (e *entry) called(noun string) string {
	key := strings.ToLower(strings.ReplaceAll(noun, "_", ""))
	if n, ok := services[e.service][key]; ok {
		return n
	}
	if n, ok := nouns[key]; ok {
		return n
	}
	return spaced(strings.ReplaceAll(noun, "_", " "))
}

func singular(s string) string {
	switch {
	case strings.HasSuffix(s, "ies"):
		return strings.TrimSuffix(s, "ies") + "y"
	case strings.HasSuffix(s, "sses"):
		return strings.TrimSuffix(s, "es")
	case strings.HasSuffix(s, "ss"):
		return s
	}
	return strings.TrimSuffix(s, "s")
}

// spaced writes camelCase as words: serviceAccount is service account.
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
