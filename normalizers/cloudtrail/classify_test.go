package cloudtrail

import (
	"fmt"
	"testing"

	"whatchanged/pkg/change"
)

func TestClassify_ByServiceNameAndParameters(t *testing.T) {
	n := New()
	f := func(service, name, request string, want change.Type) {
		t.Helper()
		r := parse(fmt.Appendf(nil, `{"eventSource":"%s.amazonaws.com","eventName":"%s","requestParameters":%s}`, service, name, request))
		if got, hints := n.classify(r); got != want {
			t.Errorf("%s:%s %s is %s %v, want %s", service, name, request, got, hints, want)
		}
	}
	f("lambda", "UpdateFunctionCode20150331v2", `{}`, change.Deployment)
	f("lambda", "PutFunctionConcurrency20171031", `{}`, change.Scaling)
	f("ecs", "UpdateService", `{"taskDefinition":"web:3","desiredCount":2}`, change.Deployment)
	f("ecs", "UpdateService", `{"desiredCount":2}`, change.Scaling)
	f("codedeploy", "CreateDeployment", `{"creator":"codeDeployRollback"}`, change.Rollback)
	f("elasticloadbalancing", "ModifyListener", `{"defaultActions":[{"forwardConfig":{"targetGroups":[{"weight":10}]}}]}`, change.Deployment)
	f("elasticloadbalancing", "ModifyListener", `{"port":443}`, change.ConfigChange)
	f("ec2", "ModifyInstanceAttribute", `{"instanceType":{"value":"m5.large"}}`, change.Scaling)
	f("ec2", "CreateTransitGatewayRoute", `{}`, change.Infrastructure)
	f("rds", "ModifyDBInstance", `{"dBInstanceClass":"db.r5.large"}`, change.Scaling)
	f("rds", "ModifyDBInstance", `{"engineVersion":"15.4"}`, change.Maintenance)
	f("rds", "ModifyDBInstance", `{"backupRetentionPeriod":7}`, change.Infrastructure)
	f("rds", "RestoreDBInstanceToPointInTime", `{}`, change.Rollback)
	f("dynamodb", "UpdateTable", `{"billingMode":"PAY_PER_REQUEST"}`, change.Scaling)
	f("redshift", "ResizeCluster", `{}`, change.Scaling)
	f("elasticache", "RebootCacheCluster", `{}`, change.Maintenance)
	f("iam", "DetachRolePolicy", `{}`, change.AccessChange)
	f("kms", "PutKeyPolicy", `{}`, change.AccessChange)
	f("secretsmanager", "RotateSecret", `{}`, change.SecretRotation)
	f("secretsmanager", "PutResourcePolicy", `{}`, change.AccessChange)
	f("ssm", "PutParameter", `{"name":"/shop/feature-flags/new-checkout"}`, change.FeatureFlag)
	f("ssm", "PutParameter", `{"name":"/shop/db/host"}`, change.ConfigChange)
	f("appconfig", "StopDeployment", `{}`, change.Rollback)

	f("neptune", "RestoreDBClusterFromSnapshot", `{}`, change.Rollback)
	f("neptune", "DeleteDBCluster", `{}`, change.Infrastructure)
	f("glacier", "SetVaultAccessPolicy", `{}`, change.AccessChange)
	f("workspaces", "RebootWorkspaces", `{}`, change.Maintenance)
	f("quicksight", "UpdateDashboard", `{}`, change.ConfigChange)
	f("new-service", "Frobnicate", `{}`, change.Other)
}
