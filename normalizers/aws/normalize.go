// Package aws makes changes of what AWS sends besides CloudTrail: EventBridge's
// native events, CloudWatch alarms, S3's notifications, and messages of SNS,
// Firehose and CloudWatch Logs with something in them that nobody knows by its
// shape.
package aws

import (
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/generic"
)

// Normalizer reads AWS's records.
type Normalizer struct {
	kinds *table
}

// New returns the normalizer.
func New() Normalizer { return Normalizer{kinds: newTable(eventKinds)} }

// Provider returns "aws".
func (Normalizer) Provider() string { return "aws" }

// Version counts the changes of what this normalizer makes of the same record.
func (Normalizer) Version() int { return 2 }

// Normalize makes at most one change of a record.
func (n Normalizer) Normalize(r normalizers.Record) (normalizers.Result, error) {
	v := gjson.ParseBytes(r.JSON)
	switch m := membersOf(v); {
	case m.detailType && m.source:
		return n.fromEvent(v, r)
	case m.s3:
		return fromObject(v), nil
	case m.bucket && m.keys:
		return normalizers.Ignore(logReason), nil
	case m.digest && m.files:
		return normalizers.Ignore("CloudTrail digest: it proves log files, and changes nothing"), nil
	case m.topic && m.message:
		return n.fromTopic(v, r)
	case m.sns:
		return n.fromTopic(v.Get("Sns"), r)
	case m.line && strings.Contains(r.Envelope, "cloudwatch-logs"):
		return normalizers.Ignore("log line"), nil
	case m.data && strings.HasSuffix(r.Envelope, "firehose"):
		return n.fromFirehose(v, r)
	case m.lines:
		return normalizers.Ignore("log lines"), nil
	}
	if res, ok, err := n.fromNotice(v, r); ok {
		return res, err
	}
	return generic.New().Normalize(r)
}

// members are what a record is told by, found in one pass.
type members struct {
	detailType, source  bool // an event
	s3                  bool // an object's notification
	bucket, keys        bool // CloudTrail's notice of a log file
	digest, files       bool // https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html
	topic, message, sns bool
	line, data, lines   bool // of CloudWatch Logs and Firehose
}

func membersOf(v gjson.Result) members {
	var m members
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "detail-type":
			m.detailType = true
		case "source":
			m.source = true
		case "s3":
			m.s3 = v.Get("bucket").Exists()
		case "s3Bucket":
			m.bucket = true
		case "s3ObjectKey":
			m.keys = true
		case "digestStartTime":
			m.digest = true
		case "logFiles":
			m.files = v.IsArray()
		case "TopicArn":
			m.topic = true
		case "Message":
			m.message = true
		case "Sns":
			m.sns = v.Get("TopicArn").Exists()
		case "message":
			m.line = true
		case "messageType":
			m.lines = m.lines || v.String() == "DATA_MESSAGE"
		case "data":
			m.data = v.Type == gjson.String
			m.lines = m.lines || v.Get("messageType").String() == "DATA_MESSAGE"
		}
		return true
	})
	return m
}

func orElse[T ~string](s, other T) T {
	if s != "" {
		return s
	}
	return other
}

// lastPart is the last part of an ARN: what people call the thing.
func lastPart(arn string) string { return arn[strings.LastIndexAny(arn, "/:")+1:] }
