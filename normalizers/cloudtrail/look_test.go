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
	f(`{"type":"IdentityCenterUser","onBehalfOf":{"userId":"u-1"}}`, "u-1", "user")
	f(`{"type":"IAMUser","userName":"HIDDEN_DUE_TO_SECURITY_REASONS"}`, "", "") // a password typed as a name
	f(`null`, "", "")
}
