package cloudtrail

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/aws/phrase"
	"whatchanged/pkg/change"
)

// summary is one line for the timeline: who did what to which, where.
func (r *record) summary(actor string, res change.Resource) string {
	if actor == "" {
		actor = first(r.sourceIP, "somebody")
	}
	via := ""
	switch by := r.identity.invokedBy; {
	case r.console():
		via = " via console"
	case strings.HasSuffix(by, ".amazonaws.com") && by != actor: // it did so on somebody's behalf
		via = " via " + strings.TrimSuffix(by, ".amazonaws.com")
	}
	if said := r.said(); said != "" {
		s := actor + " " + said + via
		if r.account != "" {
			s += " (" + r.account + ")"
		}
		return s
	}
	s := actor + " called " + r.service + ":" + r.name
	if name := first(res.Name, res.ID); name != "" {
		s += " on " + name
	}
	if where := strings.Trim(r.account+"/"+r.region, "/"); where != "" {
		s += " in " + where
	}
	return s + via
}

// said says the call in words, or returns "" when there are none for it or
// something is missing.
func (r *record) said() string {
	if say := sayings[call{r.service, r.name}]; say != nil {
		return say(r)
	}
	said, ok := phrase.Fill(phrases[call{r.service, r.name}], r.word)
	if !ok {
		return ""
	}
	return said
}

// word is what stands at a path of the request, or of the answer after "=", as
// people would name it.
func (r *record) word(path string) string {
	if path == "@name" { // of the resource
		return r.resource().Name
	}
	v := r.request
	if of, ok := strings.CutPrefix(path, "="); ok {
		v, path = r.response, of
	}
	switch v = v.Get(path); {
	case v.Type == gjson.String:
		if v.Str == latest {
			return ""
		}
		return short(v.Str)
	case v.Type == gjson.Null, v.IsObject():
		return ""
	case v.IsArray():
		return short(strings.ReplaceAll(text(v), ",", ", "))
	default:
		return v.Raw
	}
}

func short(s string) string { return normalizers.Truncate(arnName(s), 100) }

// sayings are for the calls whose parameters take more than a phrase.
var sayings = map[call]func(*record) string{
	{"ecs", "UpdateService"}:                    saidECS,
	{"ec2", "AuthorizeSecurityGroupIngress"}:    saidRules,
	{"ec2", "AuthorizeSecurityGroupEgress"}:     saidRules,
	{"ec2", "RevokeSecurityGroupIngress"}:       saidRules,
	{"ec2", "RevokeSecurityGroupEgress"}:        saidRules,
	{"ec2", "ModifySecurityGroupRules"}:         saidModifiedRules,
	{"ec2", "CreateNetworkAclEntry"}:            saidACL,
	{"ec2", "ReplaceNetworkAclEntry"}:           saidACL,
	{"ec2", "DeleteNetworkAclEntry"}:            saidACL,
	{"ec2", "RunInstances"}:                     saidInstances,
	{"ec2", "StartInstances"}:                   saidInstances,
	{"ec2", "StopInstances"}:                    saidInstances,
	{"ec2", "TerminateInstances"}:               saidInstances,
	{"ec2", "RebootInstances"}:                  saidInstances,
	{"ec2", "ModifySnapshotAttribute"}:          saidShared,
	{"ec2", "ModifyImageAttribute"}:             saidShared,
	{"rds", "ModifyDBSnapshotAttribute"}:        saidSharedDB,
	{"rds", "ModifyDBClusterSnapshotAttribute"}: saidSharedDB,
	{"ec2", "CreateTags"}:                       saidTags,
	{"ec2", "DeleteTags"}:                       saidTags,
	{"rds", "ModifyDBInstance"}:                 saidDB,
	{"rds", "ModifyDBCluster"}:                  saidDB,
	{"route53", "ChangeResourceRecordSets"}:     saidRecords,
	{"s3", "PutBucketPublicAccessBlock"}:        saidAccessBlock,
	{"s3", "PutAccountPublicAccessBlock"}:       saidAccessBlock,
	{"s3", "PutBucketPolicy"}:                   saidBucketPolicy,
	{"elasticloadbalancing", "ModifyListener"}:  saidListener,
	{"elasticloadbalancing", "ModifyRule"}:      saidListener,
}

func saidECS(r *record) string {
	service := arnName(first(r.request.Get("service").String(), r.request.Get("serviceName").String()))
	if service == "" {
		return ""
	}
	if in := arnName(r.request.Get("cluster").String()); in != "" {
		service += " in " + in
	}
	count := r.request.Get("desiredCount").String()
	if task := r.request.Get("taskDefinition").String(); task != "" {
		s := "deployed " + afterLast(task, '/') + " to service " + service
		if old, _ := r.taskDefinitions(); old != "" && old != afterLast(task, '/') {
			s += " (was " + old + ")"
		}
		return s
	}
	switch {
	case r.is("forceNewDeployment", true):
		return "deployed service " + service + " anew"
	case count != "":
		return "scaled service " + service + " to " + count + " tasks"
	}
	return "updated service " + service
}

func saidInstances(r *record) string {
	verb := map[string]string{
		"RunInstances": "launched", "StartInstances": "started", "StopInstances": "stopped",
		"TerminateInstances": "terminated", "RebootInstances": "rebooted",
	}[r.name]
	ids := r.instances()
	if ids == "" {
		return ""
	}
	s := verb + " instance " + ids
	if strings.Contains(ids, ",") {
		s = verb + " instances " + strings.ReplaceAll(ids, ",", ", ")
	}
	if kind := r.request.Get("instanceType").String(); kind != "" && r.name == "RunInstances" {
		s += " (" + kind + ")"
	}
	return s
}

// saidShared says who may use a snapshot or an image from now on.
func saidShared(r *record) string {
	what := first(r.word("snapshotId"), r.word("imageId"))
	permission := r.request.Get("createVolumePermission")
	kind := "snapshot "
	if r.name == "ModifyImageAttribute" {
		permission, kind = r.request.Get("launchPermission"), "image "
	}
	for _, row := range []struct{ list, verb string }{{"add", "shared %s with "}, {"remove", "stopped sharing %s with "}} {
		items := permission.Get(row.list + ".items")
		who := text(items.Get("#.userId"))
		if strings.Contains(items.Raw, `"all"`) {
			who = "everybody"
		}
		if what != "" && who != "" {
			return strings.Replace(row.verb, "%s", kind+what, 1) + strings.ReplaceAll(who, ",", ", ")
		}
	}
	return ""
}

func saidSharedDB(r *record) string {
	what := first(r.word("dBSnapshotIdentifier"), r.word("dBClusterSnapshotIdentifier"))
	everybody := func(who string) string {
		if who == "all" {
			return "everybody"
		}
		return who
	}
	switch added, removed := r.word("valuesToAdd"), r.word("valuesToRemove"); {
	case what == "":
		return ""
	case added != "":
		return "shared snapshot " + what + " with " + everybody(added)
	case removed != "":
		return "stopped sharing snapshot " + what + " with " + everybody(removed)
	}
	return ""
}

func saidTags(r *record) string {
	ids := lookup(r.request, []string{"resourcesSet.items.#.resourceId"})
	keys := lookup(r.request, []string{"tagSet.items.#.key"})
	if ids == "" || keys == "" {
		return ""
	}
	verb := "set"
	if r.name == "DeleteTags" {
		verb = "deleted"
	}
	return verb + " tags " + strings.ReplaceAll(keys, ",", ", ") + " of " + strings.ReplaceAll(ids, ",", ", ")
}

// settings are what a change of a database is told by, first the ones that
// matter most.
var settings = []string{
	"engineVersion", "dBInstanceClass", "dBClusterInstanceClass", "allocatedStorage", "storageType", "iops", "multiAZ", "publiclyAccessible",
	"deletionProtection", "backupRetentionPeriod", "dBParameterGroupName", "dBClusterParameterGroupName", "newDBInstanceIdentifier", "cACertificateIdentifier",
}

func saidDB(r *record) string {
	s := "modified database " + r.word("dBInstanceIdentifier")
	if r.name == "ModifyDBCluster" {
		s = "modified database cluster " + r.word("dBClusterIdentifier")
	}
	if strings.HasSuffix(s, " ") {
		return ""
	}
	var changes []string
	for _, name := range settings {
		now := r.word(name)
		if now == "" {
			continue
		}
		if old := r.word("=" + name); old != "" && old != now {
			now = old + " to " + now
		}
		changes = append(changes, name+" "+now)
	}
	if r.has("masterUserPassword") {
		changes = append(changes, "a new master password")
	}
	if len(changes) > 0 {
		s += ": " + list(changes)
	}
	return s
}

// saidRecords says what a batch of DNS changes does.
func saidRecords(r *record) string {
	var changes []string
	more := 0
	r.request.Get("changeBatch.changes").ForEach(func(_, c gjson.Result) bool {
		if len(changes) == 3 {
			more++
			return true
		}
		set := c.Get("resourceRecordSet")
		name := set.Get("type").String() + " record " + set.Get("name").String()
		to := first(set.Get("aliasTarget.dNSName").String(), strings.ReplaceAll(text(set.Get("resourceRecords.#.value")), ",", ", "))
		switch c.Get("action").String() {
		case "DELETE":
			changes = append(changes, "deleted "+name)
		case "CREATE":
			changes = append(changes, "created "+name+" for "+to)
		default:
			changes = append(changes, "set "+name+" to "+to)
		}
		return true
	})
	return and(changes, more)
}

func saidAccessBlock(r *record) string {
	of := "the account"
	if bucket := r.word("bucketName"); bucket != "" {
		of = "bucket " + bucket
	}
	var off []string
	r.request.Get("PublicAccessBlockConfiguration").ForEach(func(key, v gjson.Result) bool {
		if v.String() == "false" {
			off = append(off, key.Str)
		}
		return true
	})
	if len(off) > 0 {
		return "switched off " + list(off) + " of " + of
	}
	return "blocked public access to " + of
}

func saidBucketPolicy(r *record) string {
	bucket := r.word("bucketName")
	if bucket == "" {
		return ""
	}
	if r.policy(everybody) {
		return "opened bucket " + bucket + " to everybody by its policy"
	}
	return "changed the policy of bucket " + bucket
}

// saidListener says how traffic is split between target groups.
func saidListener(r *record) string {
	what := "listener " + r.word("listenerArn")
	actions := "defaultActions"
	if r.name == "ModifyRule" {
		what, actions = "rule "+r.word("ruleArn"), "actions"
	}
	if strings.HasSuffix(what, " ") {
		return ""
	}
	var weights []string
	r.request.Get(actions + ".#.forwardConfig.targetGroups|@flatten").ForEach(func(_, group gjson.Result) bool {
		if arn := group.Get("targetGroupArn").String(); arn != "" && group.Get("weight").Exists() {
			// The name is in the middle: targetgroup/blue/0123456789abcdef.
			name := arn[:max(0, strings.LastIndexByte(arn, '/'))]
			weights = append(weights, afterLast(name, '/')+" "+group.Get("weight").String())
		}
		return len(weights) < 5
	})
	if len(weights) == 0 {
		return "changed " + what
	}
	return "weighed the traffic of " + what + ": " + list(weights)
}

// list joins a few things, and says how many more there are.
func list(items []string) string {
	const most = 4
	if len(items) > most {
		return and(items[:most], len(items)-most)
	}
	return strings.Join(items, ", ")
}

func and(items []string, more int) string {
	s := strings.Join(items, ", ")
	if more > 0 {
		s += " and " + strconv.Itoa(more) + " more"
	}
	return s
}

// console reports whether the call was made in the AWS console.
func (r *record) console() bool {
	return r.fromConsole || r.userAgent == "console.amazonaws.com" || r.userAgent == "signin.amazonaws.com" ||
		strings.HasPrefix(r.userAgent, "AWS Internal Console") || r.eventType == "AwsConsoleAction"
}
