package cloudtrail

import (
	"path"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// operation is what we know about some calls of a service: their type, what
// makes them risky, and a closer look where the parameters decide.
type operation struct {
	service string
	names   string // event names less their API date, by spaces; * stands for anything
	typ     change.Type
	hint    string
	look    func(*record) (change.Type, string) // "" keeps what the row says
}

// Short names, so that the table below reads as one.
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
	noMFA       = normalizers.HintNoMFA
	rollback    = normalizers.HintRollback
)

// operations maps calls to types; the first row that matches wins. A call that
// is not here goes by its verb (verbs.go).
var operations = []operation{
	{"lambda", "UpdateFunctionCode PublishVersion CreateFunction UpdateAlias CreateAlias", change.Deployment, "", nil},
	{"lambda", "PutFunctionConcurrency DeleteFunctionConcurrency PutProvisionedConcurrencyConfig", change.Scaling, "", nil},
	{"lambda", "UpdateFunctionConfiguration UpdateEventSourceMapping CreateEventSourceMapping DeleteEventSourceMapping", change.ConfigChange, "", nil},
	{"lambda", "DeleteFunction", change.Infrastructure, destructive, nil},
	{"lambda", "AddPermission RemovePermission CreateFunctionUrlConfig UpdateFunctionUrlConfig", change.AccessChange, "", nil},

	{"ecs", "UpdateService", change.Deployment, "", ecsUpdate},
	{"ecs", "CreateService RunTask RegisterTaskDefinition DeregisterTaskDefinition", change.Deployment, "", nil},
	{"ecs", "DeleteService DeleteCluster", change.Infrastructure, destructive, nil},
	{"eks", "UpdateClusterVersion UpdateNodegroupVersion", change.Maintenance, "", nil},
	{"eks", "DeleteCluster DeleteNodegroup", change.Infrastructure, destructive, nil},
	{"eks", "CreateCluster CreateNodegroup", change.Infrastructure, "", nil},
	{"eks", "UpdateNodegroupConfig", change.Scaling, "", nil},
	{"eks", "UpdateClusterConfig", change.ConfigChange, "", eksConfig},
	{"eks", "CreateAccessEntry AssociateAccessPolicy", change.AccessChange, privilege, nil},
	{"ecr", "PutImage", change.Deployment, "", nil},

	{"codedeploy", "CreateDeployment StopDeployment", change.Deployment, "", codeDeploy},
	{"codepipeline", "StartPipelineExecution StopPipelineExecution PutApprovalResult", change.Deployment, "", nil},
	{"codepipeline", "RollbackStage", change.Rollback, rollback, nil},
	{"codebuild", "StartBuild", change.Deployment, "", nil},
	{"codebuild", "UpdateProject", change.ConfigChange, "", nil},
	{"elasticbeanstalk", "UpdateEnvironment CreateApplicationVersion SwapEnvironmentCNAMEs", change.Deployment, "", nil},
	{"apprunner", "StartDeployment", change.Deployment, "", nil},
	{"amplify", "StartDeployment StartJob CreateDeployment", change.Deployment, "", nil},
	{"apigateway", "CreateDeployment UpdateStage", change.Deployment, "", nil},
	{"apigateway", "UpdateRestApi PutMethod DeleteRestApi UpdateAuthorizer", change.ConfigChange, "", nil},

	{"cloudformation", "RollbackStack CancelUpdateStack ContinueUpdateRollback", change.Rollback, rollback, nil},
	{"cloudformation", "CreateStack UpdateStack ExecuteChangeSet CreateStackInstances", change.Infrastructure, "", nil},
	{"cloudformation", "DeleteStack DeleteStackInstances DeleteStackSet", change.Infrastructure, destructive, nil},
	{"cloudformation", "SetStackPolicy", change.ConfigChange, "", nil},
	{"cloudformation", "UpdateTerminationProtection", change.ConfigChange, "", nil},

	{"autoscaling", "SetDesiredCapacity UpdateAutoScalingGroup ExecutePolicy PutScalingPolicy PutScheduledUpdateGroupAction TerminateInstanceInAutoScalingGroup", change.Scaling, "", nil},
	{"autoscaling", "StartInstanceRefresh", change.Deployment, "", nil},
	{"autoscaling", "RollbackInstanceRefresh", change.Rollback, rollback, nil},
	{"autoscaling", "CreateAutoScalingGroup", change.Infrastructure, "", nil},
	{"autoscaling", "DeleteAutoScalingGroup", change.Infrastructure, destructive, nil},
	{"application-autoscaling", "RegisterScalableTarget PutScalingPolicy", change.Scaling, "", nil},

	{"ec2", "RunInstances StartInstances StopInstances RebootInstances", change.Infrastructure, "", nil},
	{"ec2", "TerminateInstances", change.Infrastructure, destructive, nil},
	{"ec2", "ModifyInstanceAttribute", change.Infrastructure, "", instanceAttribute},
	{"ec2", "DeleteVolume DeleteSnapshot", change.Infrastructure, destructive, nil},
	{"ec2", "CreateVolume ModifyVolume AttachVolume CreateSnapshot RegisterImage CreateImage DeregisterImage", change.Infrastructure, "", nil},
	{"ec2", "ModifySnapshotAttribute ModifyImageAttribute", change.AccessChange, "", nil},
	{"ec2", "AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress RevokeSecurityGroupEgress ModifySecurityGroupRules CreateSecurityGroup DeleteSecurityGroup", change.ConfigChange, network, nil},
	{"ec2", "AttachInternetGateway", change.Infrastructure, network, func(*record) (change.Type, string) { return "", public }},
	{"ec2", "CreateVpc CreateSubnet CreateRoute ReplaceRoute CreateRouteTable AssociateRouteTable DisassociateRouteTable CreateNatGateway CreateInternetGateway DetachInternetGateway CreateNetworkAclEntry ReplaceNetworkAclEntry DeleteNetworkAclEntry CreateNetworkAcl CreateVpcPeeringConnection AcceptVpcPeeringConnection CreateTransitGateway* AllocateAddress ReleaseAddress AssociateAddress DisassociateAddress", change.Infrastructure, network, nil},
	{"ec2", "DeleteVpc DeleteSubnet DeleteRoute DeleteRouteTable DeleteNatGateway DeleteInternetGateway DeleteNetworkAcl DeleteVpcPeeringConnection DeleteTransitGateway*", change.Infrastructure, network, func(*record) (change.Type, string) { return "", destructive }},
	{"ec2", "CreateLaunchTemplateVersion ModifyLaunchTemplate", change.ConfigChange, "", nil},
	{"ec2", "DeleteFlowLogs", change.ConfigChange, noAudit, nil},
	{"ec2", "CreateTags DeleteTags", change.ConfigChange, "", nil},
	{"elasticloadbalancing", "CreateLoadBalancer", change.Infrastructure, "", nil},
	{"elasticloadbalancing", "DeleteLoadBalancer", change.Infrastructure, destructive, nil},
	{"elasticloadbalancing", "ModifyListener ModifyRule CreateRule", change.ConfigChange, "", weighted},
	{"elasticloadbalancing", "SetSecurityGroups ModifyTargetGroup", change.ConfigChange, "", nil},

	{"rds", "DeleteDBInstance DeleteDBCluster", change.Infrastructure, database, func(*record) (change.Type, string) { return "", destructive }},
	{"rds", "CreateDBInstance CreateDBCluster RebootDBInstance FailoverDBCluster StopDBInstance StartDBInstance StopDBCluster StartDBCluster FailoverGlobalCluster", change.Infrastructure, database, nil},
	{"rds", "ModifyDBInstance ModifyDBCluster", change.Infrastructure, database, modifyDB},
	{"rds", "ModifyDBParameterGroup ResetDBParameterGroup ModifyDBClusterParameterGroup ModifyOptionGroup", change.ConfigChange, database, nil},
	{"rds", "ApplyPendingMaintenanceAction PromoteReadReplica", change.Maintenance, database, nil},
	{"rds", "SwitchoverBlueGreenDeployment CreateBlueGreenDeployment", change.DatabaseMigration, database, nil},
	{"rds", "RestoreDB*", change.Rollback, database, nil},
	{"rds", "ModifyDBSnapshotAttribute ModifyDBClusterSnapshotAttribute", change.AccessChange, database, nil},
	{"dms", "StartReplicationTask CreateReplicationTask StopReplicationTask", change.DatabaseMigration, database, nil},
	{"dynamodb", "DeleteTable", change.Infrastructure, destructive, nil},
	{"dynamodb", "UpdateTable", change.Infrastructure, database, throughput},
	{"dynamodb", "CreateTable RestoreTableFromBackup UpdateContinuousBackups", change.Infrastructure, database, nil},
	{"elasticache", "Delete*", change.Infrastructure, database, alsoDestructive},
	{"redshift", "Delete*", change.Infrastructure, database, alsoDestructive},
	{"es", "Delete*", change.Infrastructure, database, alsoDestructive},
	{"elasticache", "Increase* Decrease* Modify*ShardConfiguration", change.Scaling, database, nil},
	{"redshift", "Resize*", change.Scaling, database, nil},
	{"elasticache", "Reboot*", change.Maintenance, database, nil},
	{"redshift", "Reboot*", change.Maintenance, database, nil},
	{"es", "Upgrade* StartServiceSoftwareUpdate", change.Maintenance, database, nil},
	{"elasticache", "Create* Modify*", change.Infrastructure, database, nil},
	{"redshift", "Create* Modify*", change.Infrastructure, database, nil},
	{"es", "Create* Update*", change.Infrastructure, database, nil},

	{"s3", "CreateBucket", change.Infrastructure, "", nil},
	{"s3", "DeleteBucket", change.Infrastructure, destructive, nil},
	{"s3", "DeleteBucketPublicAccessBlock DeletePublicAccessBlock DeleteAccountPublicAccessBlock", change.AccessChange, public, nil},
	{"s3", "PutBucketPolicy DeleteBucketPolicy PutBucketAcl PutBucketPublicAccessBlock PutPublicAccessBlock PutAccountPublicAccessBlock", change.AccessChange, "", nil},
	{"s3", "DeleteBucketEncryption", change.ConfigChange, normalizers.HintEncryptionDisabled, nil},
	{"s3", "PutBucketLogging", change.ConfigChange, "", bucketLogging},
	{"s3", "PutBucketVersioning PutBucketLifecycle PutBucketLifecycleConfiguration PutBucketEncryption PutBucketReplication PutBucketNotification PutBucketWebsite PutBucketCors PutBucketTagging DeleteBucketLifecycle DeleteBucketTagging DeleteBucketCors DeleteBucketWebsite DeleteBucketReplication", change.ConfigChange, "", nil},

	{"iam", "CreateAccessKey CreateLoginProfile UpdateLoginProfile", change.AccessChange, privilege, nil},
	{"iam", "DeactivateMFADevice DeleteVirtualMFADevice", change.AccessChange, noMFA, nil},
	{"iam", "CreateSAMLProvider UpdateSAMLProvider CreateOpenIDConnectProvider", change.AccessChange, privilege, nil},
	{"iam", "DeleteRolePermissionsBoundary DeleteUserPermissionsBoundary", change.AccessChange, privilege, nil},
	{"iam", "UpdateAccountPasswordPolicy DeleteAccountPasswordPolicy", change.ConfigChange, "", nil},
	{"iam", "Tag* Untag*", change.ConfigChange, "", nil},
	{"iam", "*", change.AccessChange, "", nil},
	{"sso", "CreateAccountAssignment DeleteAccountAssignment PutInlinePolicyToPermissionSet AttachManagedPolicyToPermissionSet", change.AccessChange, privilege, nil},
	{"identitystore", "*", change.AccessChange, "", nil},
	{"organizations", "*", change.AccessChange, "", nil},
	{"kms", "PutKeyPolicy CreateGrant RetireGrant RevokeGrant", change.AccessChange, "", nil},
	{"kms", "ScheduleKeyDeletion", change.ConfigChange, destructive, nil},
	{"kms", "DisableKey CreateKey EnableKeyRotation DisableKeyRotation CancelKeyDeletion EnableKey", change.ConfigChange, "", nil},
	{"kms", "RotateKey RotateKeyOnDemand", change.SecretRotation, secrets, nil},
	{"secretsmanager", "RotateSecret", change.SecretRotation, secrets, nil},
	{"secretsmanager", "PutResourcePolicy DeleteResourcePolicy", change.AccessChange, secrets, nil},
	{"secretsmanager", "DeleteSecret", change.ConfigChange, secrets, alsoDestructive},
	{"secretsmanager", "*", change.ConfigChange, secrets, nil},
	{"ssm", "PutParameter DeleteParameter DeleteParameters", change.ConfigChange, "", parameter},
	{"ssm", "StartSession", change.AccessChange, breakGlass, nil},
	{"ssm", "SendCommand StartAutomationExecution", change.Maintenance, breakGlass, nil},
	{"ssm", "CreateAssociation UpdateAssociation UpdateMaintenanceWindow", change.Maintenance, "", nil},
	{"ssm", "RegisterPatchBaselineForPatchGroup UpdatePatchBaseline", change.SecurityPatch, "", nil},
	{"appconfig", "StopDeployment", change.Rollback, rollback, nil},
	{"appconfig", "StartDeployment CreateHostedConfigurationVersion", change.FeatureFlag, "", nil},
	{"evidently", "UpdateFeature StartLaunch StopLaunch", change.FeatureFlag, "", nil},

	{"route53", "DeleteHostedZone", change.Infrastructure, network, alsoDestructive},
	{"route53", "ChangeResourceRecordSets CreateHostedZone", change.Infrastructure, network, nil},
	{"cloudfront", "CreateInvalidation", change.Deployment, "", nil},
	{"cloudfront", "CreateDistribution UpdateDistribution DeleteDistribution", change.ConfigChange, "", nil},
	{"wafv2", "UpdateWebACL CreateWebACL DeleteWebACL UpdateIPSet UpdateRuleGroup DisassociateWebACL", change.ConfigChange, network, nil},
	{"waf-regional", "UpdateWebACL CreateWebACL DeleteWebACL UpdateIPSet UpdateRuleGroup DisassociateWebACL", change.ConfigChange, network, nil},
	{"acm", "RequestCertificate ImportCertificate DeleteCertificate", change.ConfigChange, "", nil},

	{"cloudtrail", "StopLogging DeleteTrail", change.ConfigChange, noAudit, nil},
	{"cloudtrail", "UpdateTrail PutEventSelectors CreateTrail StartLogging PutInsightSelectors", change.ConfigChange, "", nil},
	{"config", "StopConfigurationRecorder DeleteConfigurationRecorder DeleteDeliveryChannel", change.ConfigChange, noAudit, nil},
	{"config", "PutConfigRule", change.ConfigChange, "", nil},
	{"guardduty", "DeleteDetector", change.ConfigChange, noAudit, nil},
	{"guardduty", "UpdateDetector", change.ConfigChange, "", detector},
	{"securityhub", "DisableSecurityHub", change.ConfigChange, noAudit, nil},
	{"logs", "DeleteLogGroup DeleteLogStream", change.ConfigChange, noAudit, nil},
	{"logs", "PutRetentionPolicy DeleteSubscriptionFilter CreateLogGroup", change.ConfigChange, "", nil},
	{"monitoring", "PutMetricAlarm DeleteAlarms DisableAlarmActions", change.ConfigChange, "", nil},
	{"events", "PutRule DisableRule DeleteRule PutTargets RemoveTargets EnableRule", change.ConfigChange, "", nil},
	{"scheduler", "CreateSchedule UpdateSchedule DeleteSchedule", change.ConfigChange, "", nil},
	{"states", "CreateStateMachine UpdateStateMachine DeleteStateMachine", change.ConfigChange, "", nil},
	{"sns", "SetTopicAttributes AddPermission DeleteTopic", change.ConfigChange, "", nil},
	{"sqs", "SetQueueAttributes AddPermission DeleteQueue", change.ConfigChange, "", nil},
	{"kafka", "UpdateBrokerCount UpdateBrokerType", change.Scaling, "", nil},
	{"kafka", "UpdateClusterConfiguration", change.ConfigChange, "", nil},
	{"kinesis", "UpdateShardCount", change.Scaling, "", nil},
	{"backup", "StartRestoreJob", change.Rollback, rollback, nil},
	{"backup", "DeleteBackupVault DeleteRecoveryPoint", change.Infrastructure, destructive, nil},
	{"glue", "UpdateJob StartJobRun", change.Deployment, "", nil},
	{"athena", "StartQueryExecution", change.Other, "", nil},
	{"elasticmapreduce", "RunJobFlow", change.Infrastructure, "", nil},
	{"elasticmapreduce", "TerminateJobFlows", change.Infrastructure, destructive, nil},
	{"rolesanywhere", "CreateTrustAnchor CreateProfile DeleteTrustAnchor", change.AccessChange, privilege, nil},
}

// table is the operations as they are looked up.
type table struct {
	exact    map[string]*operation // by "service:name"
	patterns map[string][]pattern  // by service, in order
}

type pattern struct {
	glob string
	op   *operation
}

func newTable(rows []operation) *table {
	t := &table{exact: map[string]*operation{}, patterns: map[string][]pattern{}}
	for i := range rows {
		op := &rows[i]
		for name := range strings.FieldsSeq(op.names) {
			if strings.Contains(name, "*") {
				t.patterns[op.service] = append(t.patterns[op.service], pattern{name, op})
			} else if key := op.service + ":" + name; t.exact[key] == nil {
				t.exact[key] = op
			}
		}
	}
	return t
}

// find returns the row for a call, or nil.
func (t *table) find(service, name string) *operation {
	if op := t.exact[service+":"+name]; op != nil {
		return op
	}
	for _, p := range t.patterns[service] {
		if ok, _ := path.Match(p.glob, name); ok {
			return p.op
		}
	}
	return nil
}
