package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// phrases say frequent calls as people do. {x} is the last part of the ARN or
// name that the request has under x; a phrase with one missing is not used.
var phrases = map[string]string{
	"iam:AttachRolePolicy":               "attached {policyArn} to role {roleName}",
	"iam:AttachUserPolicy":               "attached {policyArn} to user {userName}",
	"iam:AttachGroupPolicy":              "attached {policyArn} to group {groupName}",
	"iam:DetachRolePolicy":               "detached {policyArn} from role {roleName}",
	"iam:DetachUserPolicy":               "detached {policyArn} from user {userName}",
	"iam:DetachGroupPolicy":              "detached {policyArn} from group {groupName}",
	"iam:PutRolePolicy":                  "put inline policy {policyName} on role {roleName}",
	"iam:PutUserPolicy":                  "put inline policy {policyName} on user {userName}",
	"iam:DeleteRolePolicy":               "deleted inline policy {policyName} of role {roleName}",
	"iam:AddUserToGroup":                 "added user {userName} to group {groupName}",
	"iam:RemoveUserFromGroup":            "removed user {userName} from group {groupName}",
	"iam:CreateUser":                     "created user {userName}",
	"iam:DeleteUser":                     "deleted user {userName}",
	"iam:CreateRole":                     "created role {roleName}",
	"iam:DeleteRole":                     "deleted role {roleName}",
	"iam:CreateAccessKey":                "created an access key for user {userName}",
	"iam:DeleteAccessKey":                "deleted an access key of user {userName}",
	"iam:CreateLoginProfile":             "gave user {userName} a console password",
	"iam:UpdateAssumeRolePolicy":         "changed who may assume role {roleName}",
	"lambda:UpdateFunctionCode":          "deployed new code to function {functionName}",
	"lambda:CreateFunction":              "created function {functionName}",
	"lambda:UpdateFunctionConfiguration": "changed the configuration of function {functionName}",
	"lambda:DeleteFunction":              "deleted function {functionName}",
	"ecr:PutImage":                       "pushed image {repositoryName}:{imageTag}",
	"s3:CreateBucket":                    "created bucket {bucketName}",
	"s3:DeleteBucket":                    "deleted bucket {bucketName}",
	"s3:PutBucketPolicy":                 "changed the policy of bucket {bucketName}",
	"s3:DeleteBucketPolicy":              "deleted the policy of bucket {bucketName}",
	"s3:DeleteBucketEncryption":          "removed the encryption of bucket {bucketName}",
	"cloudformation:CreateStack":         "created stack {stackName}",
	"cloudformation:UpdateStack":         "updated stack {stackName}",
	"cloudformation:DeleteStack":         "deleted stack {stackName}",
	"cloudtrail:StopLogging":             "stopped the logging of trail {name}",
	"cloudtrail:DeleteTrail":             "deleted trail {name}",
	"rds:CreateDBInstance":               "created database {dBInstanceIdentifier}",
	"rds:ModifyDBInstance":               "modified database {dBInstanceIdentifier}",
	"rds:DeleteDBInstance":               "deleted database {dBInstanceIdentifier}",
	"rds:ModifyDBCluster":                "modified database cluster {dBClusterIdentifier}",
	"rds:DeleteDBCluster":                "deleted database cluster {dBClusterIdentifier}",
	"rds:FailoverDBCluster":              "failed over database cluster {dBClusterIdentifier}",
	"secretsmanager:CreateSecret":        "created secret {name}",
	"secretsmanager:PutSecretValue":      "stored a new value of secret {secretId}",
	"secretsmanager:RotateSecret":        "rotated secret {secretId}",
	"secretsmanager:DeleteSecret":        "deleted secret {secretId}",
	"ssm:PutParameter":                   "set parameter {name}",
	"ssm:DeleteParameter":                "deleted parameter {name}",
	"ecs:CreateService":                  "created service {serviceName} with {taskDefinition}",
	"autoscaling:SetDesiredCapacity":     "set {autoScalingGroupName} to {desiredCapacity} instances",
	"kms:ScheduleKeyDeletion":            "scheduled the deletion of key {keyId}",
	"kms:DisableKey":                     "disabled key {keyId}",
	"logs:DeleteLogGroup":                "deleted log group {logGroupName}",
	"ec2:AttachInternetGateway":          "attached internet gateway {internetGatewayId} to {vpcId}",
	"eks:UpdateClusterVersion":           "updated cluster {name} to version {version}",
}

// summary is one line for the timeline: who did what to which, where.
func (r *record) summary(actor string, res change.Resource) string {
	if actor == "" {
		actor = first(r.sourceIP, "somebody")
	}
	via := ""
	switch by := r.identity.Get("invokedBy").String(); {
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

// said fills in the call's phrase, or returns "" when it has none or lacks a part.
func (r *record) said() string {
	switch r.service + ":" + r.name {
	case "ecs:UpdateService":
		return r.saidECS()
	case "ec2:AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupEgress":
		return r.saidIngress()
	case "ec2:RunInstances", "ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances", "ec2:RebootInstances":
		return r.saidInstances()
	}
	phrase, ok := phrases[r.service+":"+r.name]
	if !ok {
		return ""
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(phrase, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		v := r.request.Get(name)
		if v.IsArray() || v.IsObject() || v.String() == "" {
			return ""
		}
		b.WriteString(arnName(v.String()))
		phrase = after
	}
}

func (r *record) saidECS() string {
	service := arnName(first(r.request.Get("service").String(), r.request.Get("serviceName").String()))
	if service == "" {
		return ""
	}
	if in := arnName(r.request.Get("cluster").String()); in != "" {
		service += " in " + in
	}
	if task := r.request.Get("taskDefinition").String(); task != "" {
		return "deployed " + afterLast(task, '/') + " to service " + service
	}
	if count := r.request.Get("desiredCount").String(); count != "" {
		return "scaled service " + service + " to " + count + " tasks"
	}
	return "updated service " + service
}

func (r *record) saidIngress() string {
	group := first(r.request.Get("groupId").String(), r.request.Get("groupName").String())
	rule := r.request.Get("ipPermissions.items.0")
	if group == "" || !rule.Exists() {
		return ""
	}
	cidr := first(rule.Get("ipRanges.items.0.cidrIp").String(), rule.Get("ipv6Ranges.items.0.cidrIpv6").String(), rule.Get("groups.items.0.groupId").String())
	if cidr == "" {
		return ""
	}
	direction := " from "
	if strings.HasSuffix(r.name, "Egress") {
		direction = " to "
	}
	return "opened " + ports(rule) + direction + cidr + " in security group " + group
}

func ports(rule gjson.Result) string {
	protocol, from, to := rule.Get("ipProtocol").String(), rule.Get("fromPort").String(), rule.Get("toPort").String()
	switch {
	case protocol == "-1":
		return "all traffic"
	case from == "" || from == "-1":
		return protocol
	case from == to || to == "":
		return protocol + " port " + from
	default:
		return protocol + " ports " + from + "-" + to
	}
}

func (r *record) saidInstances() string {
	verb := map[string]string{
		"RunInstances": "launched", "StartInstances": "started", "StopInstances": "stopped",
		"TerminateInstances": "terminated", "RebootInstances": "rebooted",
	}[r.name]
	ids := lookup(r.request, []string{"instancesSet.items.#.instanceId"})
	if ids == "" {
		ids = lookup(r.response, []string{"instancesSet.items.#.instanceId"})
	}
	if ids == "" {
		return ""
	}
	if strings.Contains(ids, ",") {
		return verb + " instances " + strings.ReplaceAll(ids, ",", ", ")
	}
	return verb + " instance " + ids
}

// console reports whether the call was made in the AWS console.
func (r *record) console() bool {
	return r.fromConsole || r.userAgent == "console.amazonaws.com" || r.userAgent == "signin.amazonaws.com" ||
		strings.HasPrefix(r.userAgent, "AWS Internal Console") || r.eventType == "AwsConsoleAction"
}

// tags returns the tags that the call sets, as "key:value".
func (r *record) tags() []string {
	const most = 50
	var tags []string
	collect := func(list gjson.Result) {
		if !list.IsArray() {
			return
		}
		list.ForEach(func(_, tag gjson.Result) bool {
			key := first(tag.Get("key").String(), tag.Get("Key").String())
			value := first(tag.Get("value").String(), tag.Get("Value").String())
			if key != "" && !strings.HasPrefix(key, "HIDDEN_DUE") && len(tags) < most {
				tags = append(tags, key+":"+value)
			}
			return true
		})
	}
	for _, path := range []string{"tags", "tagList", "tagsList", "tagSet.items", "tagSpecificationSet.items.0.tags"} {
		if v := r.request.Get(path); v.Exists() {
			collect(v)
		}
	}
	return tags
}
