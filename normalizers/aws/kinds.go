package aws

import "whatchanged/pkg/change"

// eventKind says what one kind of EventBridge event is, and where it keeps what
// we want to know. Paths are inside the detail, or after "=" in the event
// itself; of several, by spaces, the first that holds something wins. Kinds that
// are not here still become changes, by the usual names.
type eventKind struct {
	detailType string // a last * stands for anything
	typ        change.Type
	ignore     string // why there is nothing to record
	state      string
	id         string // of the resource; the event's resources stand in
	name       string
	kind       string // of the resource: "codepipeline.pipeline"
	correlate  string
	version    string
	say        string // the summary, in the form of the package phrase
	by         string
	link       string // likewise
	old, now   string // of the state or value that changed
	look       *look
}

// Reasons that several kinds share.
const (
	oneOfMany = "a part of what another event tells"
	routine   = "routine"
	reading   = "nothing changed"
)

// eventKinds are the native events that say something changed, or is wrong.
// https://docs.aws.amazon.com/eventbridge/latest/ref/events.html
var eventKinds = []eventKind{
	// Deployments.
	{detailType: "CodePipeline Pipeline Execution State Change", typ: change.Deployment, kind: "codepipeline.pipeline", state: "state", name: "pipeline", correlate: "execution-id",
		say: "Pipeline {pipeline} {$verb}[ ({$did})]", link: "https://{=region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/{pipeline}/executions/{execution-id}/timeline", look: &pipeline},
	{detailType: "CodePipeline Stage Execution State Change", typ: change.Deployment, kind: "codepipeline.pipeline", state: "state", name: "pipeline", correlate: "execution-id",
		say: "Stage {stage} of pipeline {pipeline} {$verb}", look: &pipeline},
	{detailType: "CodePipeline Action Execution State Change", typ: change.Deployment, kind: "codepipeline.pipeline", state: "state", name: "pipeline", correlate: "execution-id",
		say: "Action {action} in stage {stage} of pipeline {pipeline} {$verb}[: {execution-result.external-execution-summary}]", link: "{execution-result.external-execution-url}", look: &pipeline},
	{detailType: "CodeDeploy Deployment State-change Notification", typ: change.Deployment, kind: "codedeploy.application", state: "state", name: "application", correlate: "deploymentId",
		say: "Deployment {deploymentId} of {application}[ to {deploymentGroup}] {$verb}", link: "https://{=region}.console.aws.amazon.com/codesuite/codedeploy/deployments/{deploymentId}", look: &deploymentGroup},
	{detailType: "CodeDeploy Instance State-change Notification", ignore: oneOfMany},
	{detailType: "CodeBuild Build State Change", typ: change.Deployment, kind: "codebuild.project", state: "build-status", name: "project-name", correlate: "build-id", by: "additional-information.initiator",
		say: "Build of {project-name} {$verb}", link: "{additional-information.logs.deep-link}", look: &build},
	{detailType: "CodeBuild Build Phase Change", ignore: oneOfMany},
	{detailType: "ECS Deployment State Change", typ: change.Deployment, kind: "ecs.service", state: "eventName", correlate: "deploymentId",
		say: "Deployment of service {$name} {$verb}[: {$did}]", look: &ecsDeployment},
	{detailType: "ECS Service Action", typ: change.Other, kind: "ecs.service", state: "eventName", look: &ecsAction, say: "Service {$name}: {$state}[ ({reason})]"},
	{detailType: "ECS Task State Change", typ: change.Incident, kind: "ecs.task", id: "taskArn", name: "group", correlate: "taskArn", look: &ecsTask, say: "A task of {group} failed to start[: {stoppedReason}]"},
	{detailType: "ECS Container Instance State Change", ignore: routine},
	{detailType: "ECR Image Action", typ: change.Deployment, kind: "ecr.repository", state: "result", name: "repository-name", version: "image-tag image-digest", look: &image,
		say: "Image {repository-name}[:{image-tag}] was {$did}"},
	{detailType: "ECR Image Scan", typ: change.Incident, kind: "ecr.repository", name: "repository-name", look: &imageScan, say: "The scan of image {repository-name}[:{image-tags.0}] found {$did}"},
	{detailType: "ECR Pull Through Cache Action", ignore: routine},
	{detailType: "ECR Replication Action", ignore: oneOfMany},
	{detailType: "CodeArtifact Package Version State Change", typ: change.Deployment, kind: "codeartifact.package", name: "packageName", version: "packageVersion", say: "Package {packageName} {packageVersion} is {packageVersionState} in {repositoryName}"},
	{detailType: "CodeCommit Repository State Change", typ: change.Code, kind: "codecommit.repository", name: "repositoryName", by: "callerUserArn", look: &pushed,
		say: "{$by} {$did} {referenceType} {referenceName} in {repositoryName}"},
	{detailType: "CodeCommit Pull Request State Change", typ: change.Code, kind: "codecommit.repository", name: "repositoryNames.0", by: "callerUserArn", look: &pullRequest, say: "{$by} merged #{pullRequestId} '{title}' into {destinationReference} in {repositoryNames.0}"},
	{detailType: "CodeCommit Comment on *", ignore: "a comment"},
	{detailType: "Elastic Beanstalk resource status change", typ: change.Deployment, kind: "elasticbeanstalk.environment", state: "Status", name: "EnvironmentName", say: "Environment {EnvironmentName}: {Message}"},
	{detailType: "Health status change", typ: change.Incident, kind: "elasticbeanstalk.environment", name: "EnvironmentName", say: "Environment {EnvironmentName}: {Message}"},
	{detailType: "Amplify Deployment Status Change", typ: change.Deployment, kind: "amplify.app", state: "jobStatus", name: "appId", correlate: "jobId", say: "Deployment of Amplify app {appId}[, branch {branchName},] {$verb}"},
	{detailType: "AppRunner Service Operation Status Change", typ: change.Deployment, kind: "apprunner.service", state: "operationStatus", name: "serviceName", correlate: "operationId", say: "App Runner service {serviceName}: {operationStatus}"},
	{detailType: "AppRunner Service Status Change", typ: change.Infrastructure, kind: "apprunner.service", state: "currentServiceStatus", name: "serviceName", old: "previousServiceStatus", now: "currentServiceStatus", say: "App Runner service {serviceName} is {currentServiceStatus}"},
	{detailType: "SageMaker Endpoint*", typ: change.Deployment, kind: "sagemaker.endpoint", state: "EndpointStatus", name: "EndpointName", say: "SageMaker endpoint {EndpointName} is {EndpointStatus}"},
	{detailType: "SageMaker *", ignore: routine},
	{detailType: "On Deployment Step", ignore: oneOfMany},
	{detailType: "On Deployment Baking", ignore: oneOfMany},
	{detailType: "On Deployment*", typ: change.FeatureFlag, kind: "appconfig.profile", id: "ConfigurationProfile.Id", name: "ConfigurationProfile.Name Application.Name", version: "ConfigurationVersion",
		correlate: "DeploymentNumber", look: &appConfig, say: "Deployment of configuration {ConfigurationProfile.Name|Application.Name}[ to {Environment.Name}] {$did}"},

	// Infrastructure, and how much of it there is.
	{detailType: "CloudFormation Stack Status Change", typ: change.Infrastructure, kind: "cloudformation.stack", state: "status-details.status", id: "stack-id", correlate: "client-request-token", look: &stack,
		say: "Stack {$name} is {$state}[: {status-details.status-reason}]"},
	{detailType: "CloudFormation Resource Status Change", ignore: oneOfMany},
	{detailType: "CloudFormation Drift Detection Status Change", typ: change.Other, kind: "cloudformation.stack", id: "stack-id", look: &drift, say: "Stack {$name} has drifted from its template"},
	{detailType: "CloudFormation StackSet Operation Status Change", typ: change.Infrastructure, kind: "cloudformation.stackset", id: "stack-set-arn", state: "status-details.status", correlate: "operation-id", say: "Stack set {$name}: {$state}"},
	{detailType: "CloudFormation StackSet*", ignore: oneOfMany},
	{detailType: "EC2 Instance Launch*", typ: change.Scaling, kind: "autoscaling.group", name: "AutoScalingGroupName", correlate: "ActivityId RequestId", look: &scaled, say: "{AutoScalingGroupName} {$did}[ instance {EC2InstanceId}][: {StatusMessage}]"},
	{detailType: "EC2 Instance Terminate*", typ: change.Scaling, kind: "autoscaling.group", name: "AutoScalingGroupName", correlate: "ActivityId RequestId", look: &scaled, say: "{AutoScalingGroupName} {$did}[ instance {EC2InstanceId}][: {StatusMessage}]"},
	{detailType: "EC2 Instance-*", ignore: oneOfMany},
	{detailType: "EC2 Auto Scaling Instance Refresh*", typ: change.Deployment, kind: "autoscaling.group", name: "AutoScalingGroupName", correlate: "InstanceRefreshId", look: &refresh, say: "{$did} of {AutoScalingGroupName} {$verb}"},
	{detailType: "EC2 Instance State-change Notification", typ: change.Infrastructure, kind: "ec2.instance", state: "state", name: "instance-id", look: &instance, say: "Instance {instance-id} is {$state}"},
	{detailType: "EC2 Spot Instance Interruption Warning", typ: change.Maintenance, kind: "ec2.instance", name: "instance-id", say: "Spot instance {instance-id} is about to be taken away ({instance-action})"},
	{detailType: "EC2 Instance Rebalance Recommendation", ignore: "advice"},
	{detailType: "EC2 Spot *", ignore: oneOfMany},
	{detailType: "EBS Volume Notification", typ: change.Infrastructure, kind: "ec2.volume", state: "result", correlate: "request-id", say: "Volume {$name}: {event} {result}[ ({cause})]"},
	{detailType: "EBS Snapshot Notification", typ: change.Infrastructure, kind: "ec2.snapshot", state: "result", id: "snapshot_id", correlate: "request-id", look: &snapshot, say: "Snapshot {$name}: {event} {result}[ ({cause})]"},
	{detailType: "RDS DB*", typ: change.Infrastructure, kind: "rds", id: "SourceArn", name: "SourceIdentifier", look: &database, say: "{SourceIdentifier}: {Message}"},
	{detailType: "RDS *", typ: change.Infrastructure, kind: "rds", id: "SourceArn", name: "SourceIdentifier", look: &database, say: "{SourceIdentifier}: {Message}"},
	{detailType: "DMS Replication Task State Change", typ: change.DatabaseMigration, kind: "dms.task", say: "Replication task {$name}: {detailMessage|eventType}"},
	{detailType: "DMS *", typ: change.Infrastructure, kind: "dms", say: "{$name}: {detailMessage|eventType}"},
	{detailType: "EMR Cluster State Change", typ: change.Infrastructure, kind: "elasticmapreduce.cluster", state: "state", id: "clusterId", name: "name", say: "EMR cluster {name|clusterId} is {state}"},
	{detailType: "EMR *", ignore: oneOfMany},
	{detailType: "Glue Job State Change", typ: change.Other, kind: "glue.job", state: "state", name: "jobName", correlate: "jobRunId", say: "Glue job {jobName} {$verb}[: {message}]"},
	{detailType: "Glue *", ignore: routine},
	{detailType: "Batch Job State Change", ignore: "jobs come and go"},
	{detailType: "Tag Change on Resource", typ: change.ConfigChange, look: &tagged, say: "Tags {changed-tag-keys} of {service} {resource-type} {$name} changed"},

	// Configuration, access and secrets.
	{detailType: "Parameter Store Change", typ: change.ConfigChange, kind: "ssm.parameter", name: "name", look: &parameter, say: "Parameter {name} was {$did}"},
	{detailType: "Parameter Store Policy Action", typ: change.ConfigChange, kind: "ssm.parameter", name: "parameter-name", say: "Parameter {parameter-name}: {policy-type} {action-status}[ ({action-reason})]"},
	{detailType: "Config Configuration Item Change", typ: change.ConfigChange, id: "configurationItem.ARN configurationItem.resourceId configurationItemSummary.resourceId", name: "configurationItem.resourceName configurationItem.resourceId configurationItemSummary.resourceId",
		correlate: "configurationItem.relatedEvents.0", look: &item, say: "{$kind} {$name} was {$did}"},
	{detailType: "Config Rules Compliance Change", typ: change.Incident, id: "resourceId", name: "resourceId", correlate: "configRuleARN configRuleName", look: &compliance, old: "oldEvaluationResult.complianceType", now: "newEvaluationResult.complianceType",
		say: "{resourceType} {resourceId} is {$state} with {configRuleName}"},
	{detailType: "Config *", ignore: routine},
	{detailType: "KMS CMK Rotation", typ: change.SecretRotation, kind: "kms.key", id: "=resources.0 key-id", say: "Key {key-id} was rotated"},
	{detailType: "KMS CMK Deletion", typ: change.ConfigChange, kind: "kms.key", id: "=resources.0 key-id", look: &gone, say: "Key {key-id} was deleted"},
	{detailType: "KMS Imported Key Material Expiration", typ: change.ConfigChange, kind: "kms.key", id: "=resources.0 key-id", look: &gone, say: "The imported material of key {key-id} has expired"},
	{detailType: "ACM Certificate *", typ: change.Maintenance, kind: "acm.certificate", name: "CommonName", say: "Certificate {CommonName|$name}: {$event}[, {DaysToExpiry} days left]"},

	// Maintenance.
	{detailType: "AWS Health Event", typ: change.Maintenance, kind: "health.event", state: "statusCode", id: "affectedEntities.0.entityValue", correlate: "eventArn", look: &health,
		say: "AWS Health, {service}: {eventDescription.0.latestDescription|eventTypeCode}"},
	{detailType: "AWS Health Abuse Event", typ: change.Incident, kind: "health.event", state: "statusCode", id: "affectedEntities.0.entityValue", correlate: "eventArn",
		say: "AWS Health, {service}: {eventDescription.0.latestDescription|eventTypeCode}"},
	{detailType: "EC2 Automation Execution Status-change Notification", typ: change.Maintenance, kind: "ssm.automation", state: "Status", id: "ExecutionId", name: "Definition", correlate: "ExecutionId", by: "ExecutedBy", say: "Automation {Definition} {$verb}"},
	{detailType: "EC2 Automation Step Status-change Notification", ignore: oneOfMany},
	{detailType: "EC2 Command Status-change Notification", typ: change.Maintenance, kind: "ssm.command", state: "status", id: "command-id", name: "document-name", correlate: "command-id", say: "Command {document-name} {$verb}"},
	{detailType: "EC2 Command Invocation Status-change Notification", ignore: oneOfMany},
	{detailType: "Maintenance Window Execution State-change Notification", typ: change.Maintenance, kind: "ssm.maintenance_window", state: "status", name: "window-id", correlate: "window-execution-id", say: "Maintenance window {window-id} {$verb}"},
	{detailType: "Maintenance Window Task *", ignore: oneOfMany},
	{detailType: "Maintenance Window *", typ: change.ConfigChange, kind: "ssm.maintenance_window", name: "window-id", say: "Maintenance window {window-id}: {status}"},
	{detailType: "EC2 State Manager Association State Change", typ: change.Maintenance, kind: "ssm.association", state: "association-status", id: "association-id", name: "document-name", correlate: "association-id", say: "Association of {document-name} {$verb}"},
	{detailType: "EC2 State Manager *", ignore: oneOfMany},
	{detailType: "Calendar State Change", typ: change.Maintenance, kind: "ssm.calendar", state: "", name: "=resources.0", say: "Change calendar {$name} is {state}"},
	{detailType: "Change Request Status Update", typ: change.Maintenance, kind: "ssm.change_request", state: "change-request-status", id: "ops-item-id", name: "change-request-title", correlate: "ops-item-id", say: "Change request {change-request-title} is {change-request-status}"},
	{detailType: "Inventory Resource State Change", ignore: routine},
	{detailType: "Configuration Compliance State Change", ignore: routine},
	{detailType: "OpsItem *", typ: change.Incident, kind: "ssm.ops_item", id: "ops-item-id", name: "title", state: "status", correlate: "ops-item-id", say: "OpsItem {title} is {status}"},
	{detailType: "Backup Job State Change", typ: change.Incident, kind: "backup.job", state: "state status", id: "resourceArn", correlate: "backupJobId", look: &onlyFailures, say: "The backup of {$name} {$verb}[: {statusMessage}]"},
	{detailType: "Copy Job State Change", typ: change.Incident, kind: "backup.job", state: "state status", id: "resourceArn", correlate: "copyJobId", look: &onlyFailures, say: "The copy of a backup of {$name} {$verb}[: {statusMessage}]"},
	{detailType: "Restore Job State Change", typ: change.Rollback, kind: "backup.job", state: "status state", id: "createdResourceArn recoveryPointArn", correlate: "restoreJobId", say: "The restore of {$name} {$verb}[: {statusMessage}]"},
	{detailType: "Recovery Point State Change", ignore: routine},
	{detailType: "Backup Plan State Change", typ: change.ConfigChange, kind: "backup.plan", id: "backupPlanId", state: "", say: "Backup plan {backupPlanId}: {state}"},
	{detailType: "Backup Vault State Change", typ: change.ConfigChange, kind: "backup.vault", name: "backupVaultName", state: "", say: "Backup vault {backupVaultName}: {state}"},
	{detailType: "Region Setting State Change", typ: change.ConfigChange, kind: "backup.settings", say: "The settings of AWS Backup changed"},

	// What is wrong.
	{detailType: "CloudWatch Alarm State Change", typ: change.Incident, kind: "cloudwatch.alarm", state: "state.value", id: "=resources.0", name: "alarmName", correlate: "=resources.0 alarmName", old: "previousState.value", now: "state.value", look: &alarm,
		say: "Alarm {alarmName}: {state.value}[, {state.reason}]"},
	{detailType: "CloudWatch Alarm Configuration Change", typ: change.ConfigChange, kind: "cloudwatch.alarm", name: "alarmName", say: "Alarm {alarmName} was changed[ ({operation})]", look: &alarmConfig},
	{detailType: "GuardDuty Finding", typ: change.Incident, kind: "guardduty.finding", id: "id arn", name: "type", correlate: "id", look: &finding, say: "GuardDuty: {title|type}"},
	{detailType: "Security Hub Findings*", typ: change.Incident, kind: "securityhub.finding", id: "findings.0.Id", name: "findings.0.Title", correlate: "findings.0.Id", look: &securityHub, say: "Security Hub: {findings.0.Title|actionName}[ ({actionName})]"},
	{detailType: "Inspector2 Finding", typ: change.Incident, kind: "inspector2.finding", state: "", id: "findingArn", name: "title", correlate: "findingArn", look: &inspected, say: "Inspector: {title}"},
	{detailType: "Inspector2 *", ignore: routine},
	{detailType: "Macie Finding", typ: change.Incident, kind: "macie.finding", id: "id", name: "type", correlate: "id", say: "Macie: {title|type}"},
	{detailType: "Access Analyzer Finding", typ: change.Incident, kind: "access-analyzer.finding", id: "resource", correlate: "id", look: &analyzed, say: "Access Analyzer: {resource} can be reached from outside ({status})"},
	{detailType: "Trusted Advisor Check Item Refresh Notification", typ: change.Other, kind: "trustedadvisor.check", id: "resource_id", name: "check-name", look: &advice, say: "Trusted Advisor, {check-name}: {status}[ for {resource_id}]"},
	{detailType: "Step Functions Execution Status Change", typ: change.Other, kind: "states.execution", state: "status", id: "executionArn", name: "name", correlate: "executionArn", look: &machine, say: "Execution {name} of state machine {$did} {$verb}"},

	// What is no change.
	{detailType: "Lambda Function Invocation Result*", ignore: "data event: a function ran"},
	{detailType: "Scheduled Event", ignore: "scheduled event"},
	{detailType: "AWS Insight via CloudTrail", ignore: "insight event"},
	{detailType: "Object*", ignore: objectReason, look: &object},
}
