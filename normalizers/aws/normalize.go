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
	switch {
	case v.Get("detail-type").Exists() && v.Get("source").Exists():
		return n.fromEvent(v, r)
	case v.Get("s3.bucket").Exists():
		return fromObject(v), nil
	case v.Get("s3Bucket").Exists() && v.Get("s3ObjectKey").Exists():
		return normalizers.Ignore(logReason), nil
	case isDigest(v):
		return normalizers.Ignore("CloudTrail digest: it proves log files, and changes nothing"), nil
	case v.Get("TopicArn").Exists() && v.Get("Message").Exists():
		return n.fromTopic(v, r)
	case v.Get("Sns.TopicArn").Exists():
		return n.fromTopic(v.Get("Sns"), r)
	case v.Get("message").Exists() && strings.Contains(r.Envelope, "cloudwatch-logs"):
		return normalizers.Ignore("log line"), nil
	case v.Get("data").Type == gjson.String && strings.HasSuffix(r.Envelope, "firehose"):
		return n.fromFirehose(v, r)
	case v.Get("messageType").String() == "DATA_MESSAGE", v.Get("data.messageType").String() == "DATA_MESSAGE":
		return normalizers.Ignore("log lines"), nil
	}
	if res, ok, err := n.fromNotice(v, r); ok {
		return res, err
	}
	return generic.New().Normalize(r)
}

// isDigest reports whether v is a digest file of CloudTrail's log validation.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html
func isDigest(v gjson.Result) bool {
	return v.Get("digestStartTime").Exists() && v.Get("logFiles").IsArray()
}

func orElse[T ~string](s, other T) T {
	if s != "" {
		return s
	}
	return other
}

// lastPart is the last part of an ARN: what people call the thing.
func lastPart(arn string) string { return arn[strings.LastIndexAny(arn, "/:")+1:] }
