package cloudtrail

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/pkg/change"
)

// idKeys are where requests name what they are about, by service; the first
// one that is there wins. Most specific first: a subnet's VPC is not the thing.
// RDS really writes a lower-case d before DB.
var idKeys = map[string][]string{
	"ec2": {
		"groupId", "groupName", "routeTableId", "networkAclId", "snapshotId", "volumeId", "imageId",
		"natGatewayId", "internetGatewayId", "networkInterfaceId", "allocationId", "publicIp", "associationId", "subnetId",
		"vpcPeeringConnectionId", "transitGatewayId", "vpcEndpointId", "launchTemplateId", "launchTemplateName", "keyName",
		"securityGroupRuleIds", "DeleteFlowLogsRequest.FlowLogId.content", "vpcId", "instanceId", "resourcesSet.items.#.resourceId",
	},
	"iam": {
		"userName", "instanceProfileName", "roleName", "groupName", "policyArn", "policyName", "accessKeyId",
		"openIDConnectProviderArn", "sAMLProviderArn", "aWSServiceName", "serialNumber", "accountAlias",
	},
	"rds": {
		"dBInstanceIdentifier", "dBClusterIdentifier", "dBSnapshotIdentifier", "dBClusterSnapshotIdentifier",
		"dBParameterGroupName", "dBClusterParameterGroupName", "dBSubnetGroupName", "optionGroupName",
		"globalClusterIdentifier", "blueGreenDeploymentIdentifier", "resourceIdentifier", "dbiResourceId", "dbClusterResourceId", "sourceArn",
	},
	"lambda":                  {"functionName", "name", "uUID", "layerName"},
	"s3":                      {"bucketName", "accountId"},
	"ecs":                     {"service", "serviceName", "taskDefinition", "family", "cluster", "clusterName"},
	"eks":                     {"nodegroupName", "name", "clusterName", "principalArn"},
	"ecr":                     {"repositoryName"},
	"ssm":                     {"name", "instanceIds", "documentName", "target", "windowId", "associationId", "baselineId", "instanceId", "names"},
	"secretsmanager":          {"secretId", "name"},
	"cloudformation":          {"stackName", "stackSetName", "changeSetName"},
	"kms":                     {"keyId", "aliasName"},
	"autoscaling":             {"autoScalingGroupName", "instanceId", "launchConfigurationName"},
	"application-autoscaling": {"resourceId"},
	"elasticloadbalancing":    {"loadBalancerArn", "listenerArn", "ruleArn", "targetGroupArn", "loadBalancerName", "name"},
	"dynamodb":                {"tableName", "targetTableName"},
	"route53":                 {"hostedZoneId", "name"},
	"cloudtrail":              {"name", "trailName"},
	"logs":                    {"logGroupName"},
	"sns":                     {"topicArn", "name"},
	"sqs":                     {"queueUrl", "queueName"},
	"codedeploy":              {"applicationName", "deploymentId"},
	"codepipeline":            {"pipelineName", "name", "pipeline.name"},
	"codebuild":               {"projectName", "name"},
	"elasticbeanstalk":        {"environmentName", "applicationName"},
	"apigateway":              {"restApiId", "resourceArn"},
	"cloudfront":              {"distributionId", "id", "resource"},
	"guardduty":               {"detectorId"},
	"events":                  {"name", "rule"},
	"organizations":           {"targetId", "policyId", "accountId"},
	"dms":                     {"replicationTaskArn", "replicationTaskIdentifier"},
	"appconfig":               {"applicationId"},
	"monitoring":              {"alarmName", "alarmNames", "dashboardName"},
	"kinesis":                 {"streamARN", "streamName"},
	"elasticache":             {"replicationGroupId", "cacheClusterId"},
}

// createdKeys are where the answer of a call that makes something names it.
var createdKeys = map[string][]string{
	"ec2": {
		"vpc.vpcId", "subnet.subnetId", "groupId", "routeTable.routeTableId", "volumeId",
		"snapshotId", "imageId", "networkInterface.networkInterfaceId", "internetGateway.internetGatewayId",
		"CreateNatGatewayResponse.natGateway.natGatewayId", "networkAcl.networkAclId", "allocationId", "keyPairId",
		"CreateLaunchTemplateResponse.launchTemplate.launchTemplateId", "CreateFlowLogsResponse.flowLogIdSet.item",
	},
	"route53":              {"hostedZone.id"},
	"cloudfront":           {"distribution.id"},
	"apigateway":           {"id"},
	"kms":                  {"keyMetadata.keyId"},
	"iam":                  {"policy.arn", "role.arn", "user.arn", "group.arn", "instanceProfile.arn"},
	"rds":                  {"dBInstanceArn", "dBClusterArn", "dBSnapshotArn", "dBClusterSnapshotArn"},
	"sns":                  {"topicArn"},
	"cloudformation":       {"stackId"},
	"elasticloadbalancing": {"loadBalancers.0.loadBalancerArn", "targetGroups.0.targetGroupArn", "listeners.0.listenerArn", "rules.0.ruleArn"},
}

// resource says what the call was about: the ARNs that the record lists where
// it does, else the ids in the request, or in the answer for what is new.
func (r *record) resource() change.Resource {
	if res, ok := r.listed(); ok {
		return res
	}
	if r.service == "ec2" {
		if ids := r.instances(); ids != "" {
			return r.named(ids)
		}
	}
	request := unnest(r.request)
	if strings.HasPrefix(r.name, "Create") || strings.HasPrefix(r.name, "Run") || r.name == "AllocateAddress" {
		if id := lookup(r.response, createdKeys[r.service]); id != "" {
			return r.named(id)
		}
		if own := ownIDs(r.name); own != nil {
			if id := lookup(request, own); id != "" {
				return r.named(id)
			}
		}
	}
	if r.service == "ecs" {
		if res, ok := r.ecsService(request); ok {
			return res
		}
	}
	if id := lookup(request, idKeys[r.service]); id != "" {
		return r.named(id)
	}
	return r.named(guessID(request))
}

// instances are the ids of the machines that the call is about, or that it made.
func (r *record) instances() string {
	if !strings.HasSuffix(r.name, "Instances") {
		return ""
	}
	if r.machines == "" {
		for _, v := range []gjson.Result{r.request, r.response} {
			var ids []string
			v.Get("instancesSet.items").ForEach(func(_, item gjson.Result) bool {
				if id := item.Get("instanceId").String(); id != "" {
					ids = append(ids, id)
				}
				return len(ids) < mostIDs
			})
			if r.machines = strings.Join(ids, ","); r.machines != "" {
				break
			}
		}
	}
	return r.machines
}

// listed takes the first of the record's own resources; when there are
// several, the one that belongs to the service called.
func (r *record) listed() (res change.Resource, ok bool) {
	r.resources.ForEach(func(_, item gjson.Result) bool {
		arn := first(item.Get("ARN").String(), item.Get("arn").String(), item.Get("ARNPrefix").String())
		if arn == "" {
			return true
		}
		mine := strings.Contains(arn, ":"+r.service+":")
		if !ok || mine {
			res = change.Resource{ID: arn, Name: arnName(arn), Type: item.Get("type").String()}
			ok = true
		}
		return !mine
	})
	if ok && res.Type == "" {
		res.Type = r.service
	}
	return res, ok
}

func (r *record) named(id string) change.Resource {
	if id == "" {
		return change.Resource{Type: r.service}
	}
	kind := r.resourceType(id)
	return change.Resource{ID: r.arn(kind, id), Name: arnName(id), Type: kind}
}

// resourceType is the service and the noun of the call: AttachRolePolicy of
// iam is about an "iam.role". EC2's ids say by themselves what they are.
func (r *record) resourceType(id string) string {
	if r.service == "ec2" {
		prefix, _, _ := strings.Cut(id, "-")
		if noun := ec2Prefixes[prefix]; noun != "" {
			return "ec2." + noun
		}
	}
	for _, row := range nouns {
		if row.service == r.service && strings.Contains(r.name, row.in) {
			return r.service + "." + row.noun
		}
	}
	return r.service
}

// nouns tell from an event's name what kind of thing it is about, the first
// match wins.
var nouns = []struct{ service, in, noun string }{
	{"ec2", "SecurityGroup", "security_group"}, {"ec2", "RouteTable", "route_table"}, {"ec2", "Route", "route_table"},
	{"ec2", "Subnet", "subnet"}, {"ec2", "NatGateway", "nat_gateway"}, {"ec2", "InternetGateway", "internet_gateway"},
	{"ec2", "Vpc", "vpc"}, {"ec2", "NetworkAcl", "network_acl"}, {"ec2", "NetworkInterface", "network_interface"},
	{"ec2", "Snapshot", "snapshot"}, {"ec2", "Volume", "volume"}, {"ec2", "Image", "image"},
	{"ec2", "Address", "address"}, {"ec2", "FlowLogs", "flow_log"}, {"ec2", "LaunchTemplate", "launch_template"},
	{"ec2", "Instance", "instance"}, {"ec2", "KeyPair", "key_pair"},
	{"iam", "InstanceProfile", "instance_profile"}, {"iam", "Role", "role"}, {"iam", "AccessKey", "user"},
	{"iam", "LoginProfile", "user"}, {"iam", "MFADevice", "user"}, {"iam", "User", "user"}, {"iam", "Group", "group"},
	{"iam", "Policy", "policy"},
	{"rds", "RestoreDBInstance", "db_instance"}, {"rds", "RestoreDBCluster", "db_cluster"}, {"rds", "ClusterSnapshot", "cluster_snapshot"}, {"rds", "Snapshot", "snapshot"}, {"rds", "DBInstance", "db_instance"}, {"rds", "DBCluster", "db_cluster"},
	{"rds", "ClusterParameterGroup", "cluster_parameter_group"}, {"rds", "ParameterGroup", "parameter_group"},
	{"s3", "", "bucket"}, {"lambda", "", "function"}, {"ecs", "Cluster", "cluster"}, {"ecs", "TaskDefinition", "task_definition"},
	{"ecs", "", "service"}, {"eks", "Nodegroup", "nodegroup"}, {"eks", "", "cluster"}, {"ecr", "", "repository"},
	{"ssm", "Parameter", "parameter"}, {"ssm", "Command", "command"}, {"secretsmanager", "", "secret"},
	{"cloudformation", "", "stack"}, {"kms", "", "key"}, {"autoscaling", "", "group"}, {"dynamodb", "", "table"},
	{"cloudtrail", "", "trail"}, {"logs", "LogGroup", "log_group"}, {"sns", "", "topic"}, {"sqs", "", "queue"},
	{"codepipeline", "", "pipeline"}, {"codebuild", "Project", "project"}, {"cloudfront", "Distribution", "distribution"},
	{"cloudfront", "Invalidation", "distribution"}, {"route53", "", "hosted_zone"}, {"guardduty", "Detector", "detector"},
	{"monitoring", "Alarm", "alarm"}, {"codedeploy", "", "application"},
	{"elasticloadbalancing", "TargetGroup", "target_group"}, {"elasticloadbalancing", "Listener", "listener"}, {"elasticloadbalancing", "LoadBalancer", "load_balancer"},
}

// ecsService joins cluster and service, since service names repeat.
func (r *record) ecsService(request gjson.Result) (change.Resource, bool) {
	service := first(request.Get("service").String(), request.Get("serviceName").String())
	cluster := arnName(request.Get("cluster").String())
	if service == "" || cluster == "" {
		return change.Resource{}, false
	}
	if strings.HasPrefix(service, "arn:") {
		return change.Resource{ID: service, Name: arnName(service), Type: "ecs.service"}, true
	}
	return change.Resource{ID: r.arn("ecs.service", cluster+"/"+service), Name: service, Type: "ecs.service"}, true
}

// unnest goes one level down where a call holds everything in one member named
// after itself: {"CreateNatGatewayRequest": {...}}, {"createStageInput": {...}}.
func unnest(request gjson.Result) gjson.Result {
	inner := request
	members := 0
	request.ForEach(func(key, v gjson.Result) bool {
		members++
		if v.IsObject() && strings.HasSuffix(key.Str, "Request") {
			inner = v
		}
		return true
	})
	if members == 1 {
		return inner
	}
	return request
}

// mostIDs is how many of a list of ids are looked at: a call may name a thousand.
const mostIDs = 5

// lookup returns the first of the paths that holds something; names that the
// nested EC2 forms write with a capital are found too.
func lookup(v gjson.Result, paths []string) string {
	if !v.IsObject() {
		return ""
	}
	for _, path := range paths {
		if id := text(v.Get(path)); id != "" {
			return id
		}
	}
	for _, path := range paths {
		if id := text(v.Get(strings.ToUpper(path[:1]) + path[1:])); id != "" {
			return id
		}
	}
	return ""
}

// text is a string, or the strings of an array joined by commas (the first
// few: a call may name a thousand).
func text(v gjson.Result) string {
	switch {
	case v.Type == gjson.String:
		return v.Str
	case v.IsArray():
		var ids []string
		v.ForEach(func(_, item gjson.Result) bool {
			if item.Type == gjson.String && item.Str != "" {
				ids = append(ids, item.Str)
			}
			return len(ids) < mostIDs
		})
		return strings.Join(ids, ",")
	default:
		return ""
	}
}

// ownIDs are the names a Create call itself gives to what it makes, where the
// service's usual keys would find what it is attached to instead.
func ownIDs(name string) []string {
	switch name {
	case "CreateDBSnapshot":
		return []string{"dBSnapshotIdentifier"}
	case "CreateDBClusterSnapshot":
		return []string{"dBClusterSnapshotIdentifier"}
	case "CreatePolicy":
		return []string{"policyName"}
	}
	return nil
}

// guessID finds an id in the request of a service we have no keys for: the
// member that says Arn, else Id or Identifier, else Name.
func guessID(request gjson.Result) string {
	var arn, id, name string
	request.ForEach(func(key, v gjson.Result) bool {
		if v.Type != gjson.String || v.Str == "" || len(v.Str) > 512 {
			return true
		}
		k := strings.ToLower(key.Str)
		switch {
		case strings.Contains(k, "token"), strings.HasSuffix(k, "rolearn"):
		case arn == "" && (strings.HasSuffix(k, "arn") || strings.HasPrefix(v.Str, "arn:")):
			arn = v.Str
		case id == "" && (strings.HasSuffix(k, "id") || strings.HasSuffix(k, "identifier")) && k != "clientrequestid":
			id = v.Str
		case name == "" && strings.HasSuffix(k, "name"):
			name = v.Str
		}
		return true
	})
	return first(arn, id, name)
}

// arnName is the last part of an ARN's resource: what people call it.
func arnName(arn string) string {
	if !strings.HasPrefix(arn, "arn:") {
		if strings.HasPrefix(arn, "https://") { // an SQS queue is named by its URL
			return afterLast(arn, '/')
		}
		return arn
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return arn
	}
	res := parts[5]
	switch parts[2] {
	case "ssm":
		return strings.TrimPrefix(res, "parameter")
	case "lambda", "secretsmanager", "rds":
		if _, name, ok := strings.Cut(res, ":"); ok {
			return name
		}
	case "cloudformation": // stack/shop/8a1c...: the name is in the middle
		if parts := strings.Split(res, "/"); len(parts) > 2 {
			return parts[1]
		}
	case "elasticloadbalancing": // loadbalancer/app/shop/50dc..., targetgroup/shop/73e2..., listener/app/shop/50dc.../f2f7...
		parts := strings.Split(res, "/")
		if len(parts) > 3 && (parts[1] == "app" || parts[1] == "net" || parts[1] == "gwy") {
			return parts[2]
		}
		if len(parts) > 2 {
			return parts[1]
		}
	case "logs":
		return strings.TrimSuffix(strings.TrimPrefix(res, "log-group:"), ":*")
	}
	return first(afterLast(afterLast(res, '/'), ':'), res)
}
