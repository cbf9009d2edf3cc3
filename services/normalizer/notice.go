package normalizer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
)

// Reasons of notices, which tell of a file and hold no events themselves.
const (
	reasonFetched = "a notice: its log file is fetched"
	reasonDigest  = "a notice of a digest file, which proves that log files are whole and holds no events"
	reasonNoKeys  = "a notice of a log file, which is not fetched: give the source AWS credentials (aws.region, aws.access_key_id, aws.secret_access_key)"
)

const maxNoticed = 1000 // log files in one delivery

// bucketForm and regionForm keep what becomes part of a host's name to names.
var (
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionForm = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
)

// object is a file in a bucket that a notice names.
type object struct{ bucket, key, region string }

// digest reports whether the file is one of CloudTrail's digests.
func (o object) digest() bool { return strings.Contains(o.key, "/CloudTrail-Digest/") }

// log reports whether the file looks like one of CloudTrail's logs.
func (o object) log() bool {
	return strings.Contains(o.key, "AWSLogs/") && (strings.HasSuffix(o.key, ".json.gz") || strings.HasSuffix(o.key, ".json")) &&
		(strings.Contains(o.key, "/CloudTrail/") || strings.Contains(o.key, "/CloudTrail-Insight/"))
}

func (o object) valid() bool {
	return bucketForm.MatchString(o.bucket) && o.key != "" && len(o.key) <= 1024 && utf8.ValidString(o.key)
}

// logFiles returns the log files that a delivery asks to fetch. When it holds
// nothing but notices, its result says what is done with them.
func (s *Service) logFiles(d *change.Delivery, res *change.Result) []bus.LogFile {
	if res.Provider != "aws" || res.Outcome != change.Ignored && res.Outcome != change.Stored || d.Header.Get("Whatchanged-Object") != "" {
		return nil
	}
	records, err := normalizers.Unwrap(d)
	if err != nil {
		return nil // the result says so
	}
	var objects []object
	alone := true
	for i := range records {
		found := noticed(&records[i])
		alone = alone && len(found) > 0
		objects = append(objects, found...)
	}
	if len(objects) == 0 {
		return nil
	}
	reason := reasonDigest
	var files []bus.LogFile
	for _, o := range objects[:min(len(objects), maxNoticed)] {
		switch {
		case o.digest():
		case !s.Fetches(d.Org, d.SourceID):
			reason = reasonNoKeys
		default:
			reason = reasonFetched
			files = append(files, bus.LogFile{
				Org: d.Org, SourceID: d.SourceID, DeliveryID: d.ID, Bucket: o.bucket, Key: o.key, Region: o.region, NoticedAt: d.ReceivedAt,
			})
		}
	}
	if alone {
		res.Outcome, res.Reason, res.Changes = change.Ignored, reason, nil
	}
	return files
}

// noticed returns the log and digest files that a record tells of: CloudTrail's
// own notice, or S3's of an object that was made, on its own or by EventBridge.
func noticed(r *normalizers.Record) []object {
	if r.Provider != "aws" {
		return nil
	}
	v := gjson.ParseBytes(r.JSON)
	var objects []object
	switch {
	case v.Get("s3Bucket").Type == gjson.String && v.Get("s3ObjectKey").IsArray():
		for _, key := range v.Get("s3ObjectKey").Array() {
			objects = append(objects, object{bucket: v.Get("s3Bucket").Str, key: key.String()})
		}
		return slices.DeleteFunc(objects, func(o object) bool { return !o.valid() })
	case v.Get("s3.bucket.name").Exists() && strings.HasPrefix(strings.TrimPrefix(v.Get("eventName").Str, "s3:"), "ObjectCreated:"):
		key, err := url.QueryUnescape(v.Get("s3.object.key").String()) // as S3 writes it there, and only there
		if err != nil {
			return nil
		}
		objects = []object{{bucket: v.Get("s3.bucket.name").String(), key: key, region: v.Get("awsRegion").String()}}
	case v.Get("source").Str == "aws.s3" && v.Get("detail-type").Str == "Object Created":
		objects = []object{{bucket: v.Get("detail.bucket.name").String(), key: v.Get("detail.object.key").String(), region: v.Get("region").String()}}
	}
	for i := range objects {
		if !regionForm.MatchString(objects[i].region) {
			objects[i].region = "" // the source's
		}
	}
	return slices.DeleteFunc(objects, func(o object) bool { return !o.valid() || !o.log() && !o.digest() })
}

// queue notes what is to be fetched, before the notices' own results are stored.
func (s *Service) queue(ctx context.Context, f *bus.DeliveryFrame, files []bus.LogFile) error {
	for _, file := range files {
		err := s.Bus.PublishFetch(ctx, f.Lane, file)
		if errors.Is(err, bus.ErrFetchFull) {
			letter := file.Letter(err.Error())
			letter.Chain, letter.Frame = f.Chain, f.Number
			err = s.Bus.PublishDead(ctx, letter)
		}
		if err != nil {
			return fmt.Errorf("note a log file of %s: %w", file.DeliveryID, err)
		}
	}
	return nil
}
