package aws

import "whatchanged/pkg/change"

// eventKind says where one kind of EventBridge event keeps what we want to
// know. Paths are inside the detail, by spaces, the first that holds something
// wins. Kinds that are not here still become changes, by the usual names.
type eventKind struct {
	detailType string // a last * stands for anything
	typ        change.Type
	ignore     string // why there is nothing to record
	state      string
	id         string // of the resource; the event's resources stand in
	name       string
	correlate  string
	version    string
	title      string // words for the summary
	by         string
	link       string
}

// eventKinds are the native events that say something changed, or is wrong.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event.html
var eventKinds = []eventKind{
	{detailType: "CodePipeline Pipeline Execution State Change", typ: change.Deployment, state: "state", name: "pipeline", correlate: "execution-id", version: "version"},
	{detailType: "CodePipeline Stage Execution State Change", typ: change.Deployment, state: "state", name: "pipeline", title: "stage", correlate: "execution-id"},
	{detailType: "CodePipeline Action Execution State Change", typ: change.Deployment, state: "state", name: "pipeline", title: "action", correlate: "execution-id"},
	{detailType: "CodeDeploy Deployment State-change Notification", typ: change.Deployment, state: "state", name: "application", title: "deploymentGroup", correlate: "deploymentId"},
	{detailType: "CodeDeploy Instance State-change Notification", ignore: "one instance of a deployment"},
	{detailType: "CodeBuild Build State Change", typ: change.Deployment, state: "build-status", name: "project-name", correlate: "build-id", version: "additional-information.source-version", by: "additional-information.initiator", link: "additional-information.logs.deep-link"},
	{detailType: "CodeBuild Build Phase Change", ignore: "one phase of a build"},
	{detailType: "ECS Deployment State Change", typ: change.Deployment, state: "eventName", correlate: "deploymentId", title: "reason"},
	{detailType: "ECS Service Action", typ: change.Scaling, state: "eventName", title: "eventName", id: "clusterArn"},
	{detailType: "ECS Task State Change", ignore: "tasks come and go"},
	{detailType: "ECS Container Instance State Change", ignore: "agents report"},
	{detailType: "CloudFormation Stack Status Change", typ: change.Infrastructure, state: "status-details.status", id: "stack-id", correlate: "client-request-token", title: "status-details.status-reason"},
	{detailType: "CloudFormation Resource Status Change", ignore: "one resource of a stack"},
	{detailType: "EC2 Instance Launch*", typ: change.Scaling, state: "StatusCode", name: "AutoScalingGroupName", correlate: "ActivityId", title: "Description"},
	{detailType: "EC2 Instance Terminate*", typ: change.Scaling, state: "StatusCode", name: "AutoScalingGroupName", correlate: "ActivityId", title: "Description"},
	{detailType: "EC2 Instance-launch Lifecycle Action", ignore: "a step of scaling"},
	{detailType: "EC2 Instance-terminate Lifecycle Action", ignore: "a step of scaling"},
	{detailType: "EC2 Instance State-change Notification", typ: change.Infrastructure, state: "state", id: "instance-id"},
	{detailType: "EC2 Spot Instance Interruption Warning", typ: change.Maintenance, id: "instance-id", title: "instance-action"},
	{detailType: "RDS DB*", typ: change.Infrastructure, id: "SourceArn SourceIdentifier", name: "SourceIdentifier", title: "Message", correlate: "EventID"},
	{detailType: "Parameter Store Change", typ: change.ConfigChange, name: "name", title: "operation"},
	{detailType: "Config Configuration Item Change", typ: change.ConfigChange, state: "configurationItemDiff.changeType", id: "configurationItem.ARN configurationItem.resourceId", name: "configurationItem.resourceName configurationItem.resourceId"},
	{detailType: "Config Rules Compliance Change", typ: change.ConfigChange, state: "newEvaluationResult.complianceType", id: "resourceId", name: "configRuleName"},
	{detailType: "AWS Health Event", typ: change.Maintenance, state: "statusCode", id: "affectedEntities.0.entityValue", title: "eventTypeCode", correlate: "eventArn"},
	{detailType: "CloudWatch Alarm State Change", typ: change.Incident, state: "state.value", name: "alarmName", title: "state.reason", correlate: "alarmName"},
	{detailType: "ECR Image Action", typ: change.Deployment, state: "result", name: "repository-name", version: "image-tag image-digest", title: "action-type"},
	{detailType: "GuardDuty Finding", typ: change.Incident, id: "id", title: "title", correlate: "id"},
	{detailType: "Security Hub Findings*", typ: change.Incident, id: "findings.0.Id", title: "findings.0.Title actionName", correlate: "findings.0.Id"},
	{detailType: "Step Functions Execution Status Change", typ: change.Other, state: "status", id: "executionArn", name: "name", correlate: "executionArn"},
	{detailType: "On Deployment*", typ: change.FeatureFlag, id: "Deployment.Id", name: "Application.Name"},
	{detailType: "Elastic Beanstalk*", typ: change.Deployment, state: "Status", name: "EnvironmentName", title: "Message"},
	{detailType: "KMS CMK Rotation", typ: change.SecretRotation, id: "key-id"},
	{detailType: "KMS CMK Deletion", typ: change.ConfigChange, id: "key-id"},
	{detailType: "Scheduled Event", ignore: "scheduled event"},
	{detailType: "AWS Insight via CloudTrail", ignore: "insight event"},
	{detailType: "Object*", ignore: "data event: objects are not configuration"},
	{detailType: "Tag Change on Resource", typ: change.ConfigChange, title: "changed-tag-keys"},
}

// states are AWS's words for how far something has come.
var states = map[string]change.Status{
	"STARTED": change.Started, "START": change.Started, "IN_PROGRESS": change.Started, "INPROGRESS": change.Started, "RESUMED": change.Started,
	"RUNNING": change.Started, "READY": change.Started, "SERVICE_DEPLOYMENT_IN_PROGRESS": change.Started, "OPEN": change.Started, "ALARM": change.Started,
	"PENDING": change.Started, "SHUTTING-DOWN": change.Started, "STOPPING": change.Started,
	"SUCCEEDED": change.Succeeded, "SUCCESS": change.Succeeded, "SUCCESSFUL": change.Succeeded, "SERVICE_DEPLOYMENT_COMPLETED": change.Succeeded,
	"CLOSED": change.Succeeded, "OK": change.Succeeded, "TERMINATED": change.Succeeded, "STOPPED": change.Succeeded,
	"FAILED": change.Failed, "FAILURE": change.Failed, "SERVICE_DEPLOYMENT_FAILED": change.Failed, "TIMED_OUT": change.Failed, "FAULT": change.Failed,
	"CANCELED": change.Cancelled, "CANCELLED": change.Cancelled, "SUPERSEDED": change.Cancelled, "STOP": change.Cancelled, "ABORTED": change.Cancelled,
}
