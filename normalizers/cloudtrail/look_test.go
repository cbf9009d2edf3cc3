package cloudtrail

import (
	"fmt"
	"slices"
	"testing"

	"whatchanged/normalizers"
)

func TestDangers_LookIntoPolicies(t *testing.T) {
	f := func(service, name, request string, want ...string) {
		t.Helper()
		r := parse(fmt.Appendf(nil, `{"eventSource":"%s.amazonaws.com","eventName":"%s","requestParameters":%s}`, service, name, request))
		if got := r.dangers(); !slices.Equal(got, want) {
			t.Errorf("%s:%s %s: %v, want %v", service, name, request, got, want)
		}
	}
	f("s3", "PutBucketPolicy", `{"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":"*"}]}}`, normalizers.HintPublicExposure)
	f("s3", "PutBucketPolicy", `{"bucketPolicy":{"Statement":[{"Effect":"Deny","Principal":"*"},{"Effect":"Allow","Principal":{"AWS":"arn:x"}}]}}`)
	f("s3", "PutBucketPolicy", `{"bucketPolicy":{"Statement":{"Effect":"Allow","Principal":{"AWS":["*"]},"Condition":{"x":1}}}}`)
	f("iam", "CreatePolicy", `{"policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"*\"],\"Resource\":\"*\"}]}"}`, normalizers.HintPrivilegeGrant)
	f("iam", "CreatePolicy", `{"policyDocument":"not json"}`)
	f("iam", "AttachUserPolicy", `{"policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, normalizers.HintPrivilegeGrant)
	f("iam", "DetachUserPolicy", `{"policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`)
	f("ec2", "AuthorizeSecurityGroupIngress", `{"ipPermissions":{"items":[{"ipv6Ranges":{"items":[{"cidrIpv6":"::/0"}]}}]}}`, normalizers.HintPublicExposure)
	f("ec2", "RevokeSecurityGroupIngress", `{"cidrIp":"0.0.0.0/0"}`)
	f("ec2", "ModifyInstanceAttribute", `{"disableApiTermination":{"value":false}}`, normalizers.HintDeletionProtection)
	f("ec2", "RunInstances", `{"disableApiTermination":false}`)
	f("rds", "ModifyDBInstance", `{"publiclyAccessible":true,"deletionProtection":false}`, normalizers.HintPublicExposure, normalizers.HintDeletionProtection)
	f("rds", "DeleteDBInstance", `{"skipFinalSnapshot":true}`, normalizers.HintDestructive)
	f("lambda", "CreateFunctionUrlConfig", `{"authType":"NONE"}`, normalizers.HintPublicExposure)
	f("iam", "CreateUser", `null`)
	f("ec2", "AuthorizeSecurityGroupEgress", `{"ipPermissions":{"items":[{"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`)
	f("ec2", "CreateNetworkAclEntry", `{"ruleAction":"allow","egress":false,"cidrBlock":"0.0.0.0/0"}`, normalizers.HintPublicExposure)
	f("ec2", "CreateNetworkAclEntry", `{"ruleAction":"allow","egress":true,"cidrBlock":"0.0.0.0/0"}`)
	f("ec2", "CreateNetworkAclEntry", `{"ruleAction":"deny","egress":false,"cidrBlock":"0.0.0.0/0"}`)
	f("s3", "PutBucketAcl", `{"x-amz-acl":"public-read"}`, normalizers.HintPublicExposure)
	f("s3", "PutBucketAcl", `{"AccessControlPolicy":{"AccessControlList":{"Grant":{"Grantee":{"URI":"http://acs.amazonaws.com/groups/global/AllUsers"}}}}}`, normalizers.HintPublicExposure)
	f("s3", "PutBucketPublicAccessBlock", `{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"IgnorePublicAcls":true}}`)
	f("s3", "PutBucketPublicAccessBlock", `{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"IgnorePublicAcls":false}}`, normalizers.HintPublicExposure)
	f("eks", "UpdateClusterConfig", `{"resourcesVpcConfig":{"endpointPublicAccess":true,"publicAccessCidrs":["192.0.2.0/24"]}}`)
	f("eks", "UpdateClusterConfig", `{"resourcesVpcConfig":{"endpointPublicAccess":true}}`, normalizers.HintPublicExposure)
	f("lambda", "AddPermission", `{"principal":"*","action":"lambda:InvokeFunctionUrl"}`, normalizers.HintPublicExposure)
	f("sqs", "SetQueueAttributes", `{"attributes":{"Policy":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\"}]}"}}`, normalizers.HintPublicExposure)
	f("sqs", "SetQueueAttributes", `{"attributes":{"KmsMasterKeyId":""}}`, normalizers.HintEncryptionDisabled)
	f("rds", "ModifyDBSnapshotAttribute", `{"valuesToAdd":["all"]}`, normalizers.HintPublicExposure)
	f("rds", "CreateDBInstance", `{"storageEncrypted":false,"deletionProtection":false}`, normalizers.HintEncryptionDisabled)
	f("iam", "AddUserToGroup", `{"groupName":"Administrators","userName":"x"}`, normalizers.HintPrivilegeGrant)
	f("iam", "PutRolePolicy", `{"policyDocument":"{\"Statement\":{\"Effect\":\"Allow\",\"NotAction\":\"s3:*\",\"Resource\":\"*\"}}"}`, normalizers.HintPrivilegeGrant)
	f("cloudformation", "UpdateTerminationProtection", `{"enableTerminationProtection":false}`, normalizers.HintDeletionProtection)
}

func TestActor_IsNamedAsPeopleWould(t *testing.T) {
	f := func(identity, name, kind string) {
		t.Helper()
		a, _ := parse(fmt.Appendf(nil, `{"userIdentity":%s}`, identity)).actor()
		if a.Name != name || a.Type != kind {
			t.Errorf("%s: %q (%s), want %q (%s)", identity, a.Name, a.Type, name, kind)
		}
	}
	f(`{"type":"Root","accountId":"1","arn":"arn:aws:iam::1:root"}`, "root@1", "user")
	f(`{"type":"IAMUser","userName":"alice","arn":"arn:aws:iam::1:user/alice"}`, "alice", "user")
	f(`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/Admins/alice@example.com"}`, "alice@example.com", "user")
	f(`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/Admins/x","sessionContext":{"sourceIdentity":"alice"}}`, "alice", "user")
	f(`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/web/i-0123456789abcdef0","sessionContext":{"sessionIssuer":{"userName":"web"}}}`, "web", "service")
	f(`{"type":"AWSService","invokedBy":"autoscaling.amazonaws.com"}`, "autoscaling.amazonaws.com", "service")
	f(`{"accountId":"1","invokedBy":"AWS Internal"}`, "AWS Internal", "service")
	f(`{"type":"AWSAccount","accountId":"2"}`, "2", "service")
	f(`{"type":"WebIdentityUser","principalId":"accounts.google.com:app:bob","userName":"bob"}`, "bob", "user")
	f(`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/deploy/run-7","sessionContext":{"sessionIssuer":{"userName":"deploy"},"webIdFederationData":{"federatedProvider":"arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com"}}}`, "deploy", "ci_system")
	f(`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_0a1b/alice@example.com","sessionContext":{"sessionIssuer":{"userName":"AWSReservedSSO_Admin_0a1b"}}}`, "alice@example.com", "user")
	f(`{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/AWSServiceRoleForRDS/session","sessionContext":{"sessionIssuer":{"userName":"AWSServiceRoleForRDS"}}}`, "AWSServiceRoleForRDS", "service")
	f(`{"type":"FederatedUser","principalId":"1:alice","arn":"arn:aws:sts::1:federated-user/alice"}`, "alice", "user")
	f(`{"type":"SAMLUser","principalId":"idp:alice@example.com","userName":"alice@example.com"}`, "alice@example.com", "user")
	f(`{"type":"IdentityCenterUser","onBehalfOf":{"userId":"u-1"}}`, "u-1", "user")
	f(`{"type":"IAMUser","userName":"HIDDEN_DUE_TO_SECURITY_REASONS"}`, "", "") // a password typed as a name
	f(`null`, "", "")
}
