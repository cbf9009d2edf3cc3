package aws

import (
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// Why an object of S3 is no change. Most are data; a bucket whose name says
// that it holds configuration, releases or state is not.
const (
	objectReason = "data event: objects are not configuration"
	logReason    = "CloudTrail's notice of a new log file"
)

// telling are words of bucket names, and ends of keys, that make an object a
// change.
var (
	tellingBuckets = []string{"config", "configs", "configuration", "deploy", "deploys", "deployment", "deployments", "release", "releases", "artifact", "artifacts", "tfstate"}
	tellingKeys    = []string{".tfstate", "appspec.yml", "appspec.yaml", "imagedefinitions.json"}
)

// object is what EventBridge says of one.
var object = look{"a bucket whose name says config, deploy, release or artifact, or a Terraform state: `config_change`, `deployment` or `infrastructure`", func(e *event, c *change.Change) string {
	o := s3Object{bucket: e.detail.Get("bucket.name").String(), key: e.detail.Get("object.key").String(), version: e.detail.Get("object.version-id").String()}
	switch e.detailType {
	case "Object Created":
	case "Object Deleted":
		o.deleted = true
	default:
		return objectReason
	}
	if why := o.reason(); why != "" {
		return why
	}
	e.by(e.detail.Get("requester").String())
	if strings.Trim(c.ChangedBy, "0123456789") == "" && c.ChangedBy != "" { // an account
		c.Actor.Type = "service"
	}
	o.fill(c)
	return ""
}}

// s3Object is an object that came or went.
type s3Object struct {
	bucket, key, version string
	deleted              bool
}

// reason says why the object is no change, or nothing.
func (o s3Object) reason() string {
	if strings.Contains(o.key, "AWSLogs/") && strings.Contains(o.key, "/CloudTrail") {
		return logReason
	}
	if o.typ() == "" {
		return objectReason
	}
	return ""
}

func (o s3Object) typ() change.Type {
	for _, end := range tellingKeys {
		if strings.HasSuffix(o.key, end) {
			if end == ".tfstate" {
				return change.Infrastructure
			}
			return change.Deployment
		}
	}
	words := strings.FieldsFunc(strings.ToLower(o.bucket), func(r rune) bool { return r == '-' || r == '.' || r == '_' })
	for _, word := range words {
		for _, telling := range tellingBuckets {
			if word != telling {
				continue
			}
			if strings.HasPrefix(word, "config") || word == "tfstate" {
				return change.ConfigChange
			}
			return change.Deployment
		}
	}
	return ""
}

func (o s3Object) fill(c *change.Change) {
	c.Type, c.Status = o.typ(), change.Succeeded
	c.Resource = change.Resource{Type: "s3.object", ID: "arn:aws:s3:::" + o.bucket + "/" + o.key, Name: o.bucket + "/" + o.key}
	c.Version = o.version
	verb := "written to"
	if o.deleted {
		verb = "deleted from"
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintDestructive)
	}
	c.Summary = "Object " + o.key + " was " + verb + " bucket " + o.bucket
	if env, ok := normalizers.Environment(o.bucket, o.key); ok {
		c.Environment = env
		c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintEnvInferred)
	}
}

// fromObject makes a change of a record of S3's own notifications. Their keys
// are escaped as in a URL's query.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func fromObject(v gjson.Result) normalizers.Result {
	o := s3Object{bucket: v.Get("s3.bucket.name").String(), key: v.Get("s3.object.key").String(), version: v.Get("s3.object.versionId").String()}
	if key, err := url.QueryUnescape(o.key); err == nil {
		o.key = key
	}
	name := v.Get("eventName").String()
	switch {
	case strings.HasPrefix(name, "ObjectCreated:"):
	case strings.HasPrefix(name, "ObjectRemoved:"):
		o.deleted = true
	default:
		return normalizers.Ignore(objectReason)
	}
	if why := o.reason(); why != "" {
		return normalizers.Ignore(why)
	}
	c := change.Change{Action: "s3." + name, Region: v.Get("awsRegion").String(), ExternalID: v.Get("responseElements.x-amz-request-id").String()}
	if who := v.Get("userIdentity.principalId").String(); who != "" { // AWS:AIDA..., AWS:AROA...:alice
		id := strings.TrimPrefix(who, "AWS:")
		c.Actor = change.Actor{ID: id, Name: id[strings.LastIndexByte(id, ':')+1:], Type: "user"}
		c.ChangedBy = c.Actor.Name
	}
	o.fill(&c)
	if t, ok := normalizers.ParseTime(v.Get("eventTime").String()); ok {
		c.OccurredAt = change.At(t)
	}
	var m normalizers.Meta
	m.Set("eventName", name)
	m.Set("configurationId", v.Get("s3.configurationId").String())
	m.Set("size", v.Get("s3.object.size").Int())
	m.Set("eTag", v.Get("s3.object.eTag").String())
	m.Set("sequencer", v.Get("s3.object.sequencer").String())
	m.Set("sourceIPAddress", v.Get("requestParameters.sourceIPAddress").String())
	c.Metadata = m.JSON()
	key := ""
	if sequence := v.Get("s3.object.sequencer").String(); sequence != "" {
		key = "s3|" + o.bucket + "|" + o.key + "|" + sequence
	}
	return normalizers.One(c, key)
}
