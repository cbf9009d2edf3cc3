package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
)

// transitions are where records have both what was and what is, in the form of
// the place of a phrase: the request's, or after "=" the answer's.
var transitions = map[call][]struct{ name, old, now string }{
	{"ec2", "StartInstances"}:     {{"state", "=instancesSet.items.0.previousState.name", "=instancesSet.items.0.currentState.name"}},
	{"ec2", "StopInstances"}:      {{"state", "=instancesSet.items.0.previousState.name", "=instancesSet.items.0.currentState.name"}},
	{"ec2", "TerminateInstances"}: {{"state", "=instancesSet.items.0.previousState.name", "=instancesSet.items.0.currentState.name"}},
	{"ec2", "ModifyVolume"}: {
		{"size", "=ModifyVolumeResponse.volumeModification.originalSize", "=ModifyVolumeResponse.volumeModification.targetSize"},
		{"iops", "=ModifyVolumeResponse.volumeModification.originalIops", "=ModifyVolumeResponse.volumeModification.targetIops"},
		{"volumeType", "=ModifyVolumeResponse.volumeModification.originalVolumeType", "=ModifyVolumeResponse.volumeModification.targetVolumeType"},
	},
	{"kinesis", "UpdateShardCount"}: {{"shardCount", "=currentShardCount", "=targetShardCount"}},
	{"dynamodb", "UpdateTable"}: {
		{"readCapacityUnits", "=tableDescription.provisionedThroughput.readCapacityUnits", "provisionedThroughput.readCapacityUnits"},
		{"writeCapacityUnits", "=tableDescription.provisionedThroughput.writeCapacityUnits", "provisionedThroughput.writeCapacityUnits"},
	},
	{"organizations", "MoveAccount"}: {{"parentId", "sourceParentId", "destinationParentId"}},
	{"iam", "UpdateUser"}:            {{"userName", "userName", "newUserName"}},
	{"iam", "UpdateGroup"}:           {{"groupName", "groupName", "newGroupName"}},
}

// values returns the old and new values that the record has, as two objects.
func (r *record) values() (old, now []byte) {
	var was, is normalizers.Meta
	add := func(name string, a, b gjson.Result) {
		if a.Type == gjson.Null || b.Type == gjson.Null || a.IsObject() || b.IsObject() || a.Raw == b.Raw || redact.Secret(name) {
			return
		}
		was.SetRaw(name, a.Raw)
		is.SetRaw(name, b.Raw)
	}
	for _, t := range transitions[call{r.service, r.name}] {
		add(t.name, r.at(t.old), r.at(t.now))
	}
	// Databases and caches answer with what is, and what is to come.
	if strings.Contains(r.response.Raw, `"pendingModifiedValues"`) {
		r.response.Get("pendingModifiedValues").ForEach(func(key, v gjson.Result) bool {
			add(key.Str, r.response.Get(gjson.Escape(key.Str)), v)
			return true
		})
	}
	if r.service == "ecs" && r.name == "UpdateService" {
		if a, b := r.taskDefinitions(); a != b && a != "" && b != "" {
			was.Set("taskDefinition", a)
			is.Set("taskDefinition", b)
		}
	}
	return was.JSON(), is.JSON()
}

func (r *record) at(path string) gjson.Result {
	if of, ok := strings.CutPrefix(path, "="); ok {
		return r.response.Get(of)
	}
	return r.request.Get(path)
}

// taskDefinitions are the one that runs so far, and the one that is to run.
func (r *record) taskDefinitions() (old, now string) {
	r.response.Get("service.deployments").ForEach(func(_, d gjson.Result) bool {
		task := afterLast(d.Get("taskDefinition").String(), '/')
		switch d.Get("status").String() {
		case "PRIMARY":
			now = task
		case "ACTIVE":
			old = first(old, task)
		}
		return true
	})
	return old, now
}
