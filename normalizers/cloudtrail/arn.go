package cloudtrail

import "strings"

// arnForms say how the ARN of a thing is made of its id, where account, region
// and id are all there is to it. The others (a path, a random suffix) stay what
// the request called them.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
var arnForms = map[string]struct {
	service, before string
	noRegion        bool
	noAccount       bool
}{
	"lambda.function":         {service: "lambda", before: "function:"},
	"s3.bucket":               {service: "s3", noRegion: true, noAccount: true},
	"rds.db_instance":         {service: "rds", before: "db:"},
	"rds.db_cluster":          {service: "rds", before: "cluster:"},
	"rds.snapshot":            {service: "rds", before: "snapshot:"},
	"rds.cluster_snapshot":    {service: "rds", before: "cluster-snapshot:"},
	"rds.parameter_group":     {service: "rds", before: "pg:"},
	"dynamodb.table":          {service: "dynamodb", before: "table/"},
	"sns.topic":               {service: "sns"},
	"sqs.queue":               {service: "sqs"},
	"ecr.repository":          {service: "ecr", before: "repository/"},
	"eks.cluster":             {service: "eks", before: "cluster/"},
	"ecs.cluster":             {service: "ecs", before: "cluster/"},
	"ecs.service":             {service: "ecs", before: "service/"},
	"ssm.parameter":           {service: "ssm", before: "parameter/"},
	"logs.log_group":          {service: "logs", before: "log-group:"},
	"cloudtrail.trail":        {service: "cloudtrail", before: "trail/"},
	"cloudfront.distribution": {service: "cloudfront", before: "distribution/", noRegion: true},
	"route53.hosted_zone":     {service: "route53", before: "hostedzone/", noRegion: true, noAccount: true},
	"codepipeline.pipeline":   {service: "codepipeline"},
	"codebuild.project":       {service: "codebuild", before: "project/"},
	"monitoring.alarm":        {service: "cloudwatch", before: "alarm:"},
	"ec2.instance":            {service: "ec2", before: "instance/"},
	"ec2.security_group":      {service: "ec2", before: "security-group/"},
	"ec2.vpc":                 {service: "ec2", before: "vpc/"},
	"ec2.subnet":              {service: "ec2", before: "subnet/"},
	"ec2.volume":              {service: "ec2", before: "volume/"},
	"ec2.route_table":         {service: "ec2", before: "route-table/"},
	"ec2.network_acl":         {service: "ec2", before: "network-acl/"},
	"ec2.internet_gateway":    {service: "ec2", before: "internet-gateway/"},
	"ec2.nat_gateway":         {service: "ec2", before: "natgateway/"},
	"ec2.network_interface":   {service: "ec2", before: "network-interface/"},
	"ec2.launch_template":     {service: "ec2", before: "launch-template/"},
	"ec2.snapshot":            {service: "ec2", before: "snapshot/", noAccount: true},
	"ec2.image":               {service: "ec2", before: "image/", noAccount: true},
	"kms.key":                 {service: "kms", before: "key/"},
	"guardduty.detector":      {service: "guardduty", before: "detector/"},
}

// ec2Prefixes are the beginnings of ids, which say more about what a thing is
// than the call does.
var ec2Prefixes = map[string]string{
	"i": "instance", "sg": "security_group", "vpc": "vpc", "subnet": "subnet", "vol": "volume", "rtb": "route_table",
	"acl": "network_acl", "igw": "internet_gateway", "nat": "nat_gateway", "eni": "network_interface", "lt": "launch_template",
	"snap": "snapshot", "ami": "image", "eipalloc": "address", "fl": "flow_log", "pcx": "vpc_peering", "tgw": "transit_gateway", "vpce": "vpc_endpoint",
}

// arn returns the ARN of the thing with this id, or the id where its ARN
// cannot be known.
func (r *record) arn(kind, id string) string {
	form, ok := arnForms[kind]
	if !ok || strings.HasPrefix(id, "arn:") || strings.ContainsAny(id, ", *{") || id == "" {
		return id
	}
	switch kind {
	case "sqs.queue":
		id = afterLast(id, '/')
	case "ssm.parameter", "route53.hosted_zone":
		id = strings.TrimPrefix(strings.TrimPrefix(id, "/"), "hostedzone/")
	case "kms.key":
		if len(id) != 36 && !strings.HasPrefix(id, "mrk-") { // an alias
			return id
		}
	case "ecs.service":
		if !strings.Contains(id, "/") { // the cluster is part of it
			return id
		}
	case "lambda.function":
		if strings.Contains(id, ":") {
			return id
		}
	}
	if prefix, _, _ := strings.Cut(id, "-"); r.service == "ec2" && ec2Prefixes[prefix] == "" { // an association, a name
		return id
	}
	region, account := r.region, r.account
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	if form.noRegion {
		region = ""
	}
	if form.noAccount {
		account = ""
	}
	if region == "" && !form.noRegion || account == "" && !form.noAccount {
		return id
	}
	return "arn:" + partition + ":" + form.service + ":" + region + ":" + account + ":" + form.before + id
}
