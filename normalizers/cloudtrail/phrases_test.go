package cloudtrail

import (
	"fmt"
	"strings"
	"testing"

	"whatchanged/normalizers/aws/phrase"
)

func TestPhrases_AreWellFormed(t *testing.T) {
	for call, sentence := range phrases {
		said, ok := phrase.Fill(sentence, func(string) string { return "x" })
		if !ok || said == "" || strings.ContainsAny(said, "{}[]") {
			t.Errorf("%s:%s is said as %q", call.service, call.name, said)
		}
		if sayings[call] != nil {
			continue // the phrase is what the documents show
		}
		if strings.Contains(sentence, "alue}") && !strings.Contains(sentence, ".value}") {
			t.Errorf("%s:%s tells a value: %q", call.service, call.name, sentence)
		}
	}
}

func TestSummary_SaysCallsAsPeopleDo(t *testing.T) {
	f := func(service, name, request, want string) {
		t.Helper()
		r := parse(fmt.Appendf(nil, `{"eventSource":"%s.amazonaws.com","eventName":"%s","requestParameters":%s,"recipientAccountId":"123456789012"}`, service, name, request))
		if got := r.summary("alice", r.resource()); got != want {
			t.Errorf("%s:%s %s\ngot  %s\nwant %s", service, name, request, got, want)
		}
	}
	f("iam", "AttachRolePolicy", `{"roleName":"deploy","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, "alice attached AdministratorAccess to role deploy (123456789012)")
	f("lambda", "UpdateFunctionCode20150331v2", `{"functionName":"arn:aws:lambda:eu-west-1:123456789012:function:mailer"}`, "alice deployed new code to function mailer (123456789012)")
	f("ec2", "AuthorizeSecurityGroupIngress", `{"groupId":"sg-1","ipProtocol":"tcp","fromPort":22,"toPort":22,"cidrIp":"0.0.0.0/0"}`, "alice opened tcp port 22 from anywhere (0.0.0.0/0) in security group sg-1 (123456789012)")
	f("ec2", "RevokeSecurityGroupIngress", `{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":0,"toPort":65535,"groups":{"items":[{"groupId":"sg-2"}]}}]}}`, "alice closed all tcp ports from sg-2 in security group sg-1 (123456789012)")
	f("ec2", "CreateNetworkAclEntry", `{"networkAclId":"acl-1","ruleNumber":100,"egress":false,"ruleAction":"allow","aclProtocol":"6","cidrBlock":"0.0.0.0/0","portRange":{"from":443,"to":443}}`, "alice allowed tcp port 443 from anywhere (0.0.0.0/0) in network ACL acl-1 (rule 100) (123456789012)")
	f("ec2", "CreateTags", `{"resourcesSet":{"items":[{"resourceId":"i-1"}]},"tagSet":{"items":[{"key":"env","value":"prod"},{"key":"team","value":"a"}]}}`, "alice set tags env, team of i-1 (123456789012)")
	f("rds", "ModifyDBSnapshotAttribute", `{"dBSnapshotIdentifier":"s1","attributeName":"restore","valuesToAdd":["all"]}`, "alice shared snapshot s1 with everybody (123456789012)")
	f("autoscaling", "UpdateAutoScalingGroup", `{"autoScalingGroupName":"web","minSize":2,"maxSize":8}`, "alice changed web, at least 2, at most 8 (123456789012)")
	f("eks", "UpdateNodegroupConfig", `{"name":"shop","nodegroupName":"ng1","scalingConfig":{"desiredSize":5}}`, "alice changed node group ng1 of cluster shop to 5 nodes (123456789012)")
	f("cloudformation", "ExecuteChangeSet", `{"changeSetName":"arn:aws:cloudformation:eu-west-1:123456789012:changeSet/cs1/0a1b","stackName":"arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/0a1b"}`, "alice executed change set cs1 of stack shop (123456789012)")
	f("sqs", "DeleteQueue", `{"queueUrl":"https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"}`, "alice deleted queue jobs (123456789012)")
	f("monitoring", "DisableAlarmActions", `{"alarmNames":["a","b"]}`, "alice silenced alarms a, b (123456789012)")
	f("codepipeline", "PutApprovalResult", `{"pipelineName":"shop","stageName":"prod","actionName":"approve","result":{"status":"Approved","summary":"ok"}}`, "alice answered approve of pipeline shop with Approved (123456789012)")
	f("guardduty", "DeleteDetector", `{"detectorId":"d1"}`, "alice switched GuardDuty off (detector d1) (123456789012)")
	f("iam", "AttachRolePolicy", `{"roleName":"deploy"}`, "alice called iam:AttachRolePolicy on deploy in 123456789012")
	f("unheard", "Frobnicate", `{}`, "alice called unheard:Frobnicate in 123456789012")
}
