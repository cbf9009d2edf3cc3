package normalizer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/change"
)

const logKey = "AWSLogs/123456789012/CloudTrail/eu-west-1/2026/03/30/123456789012_CloudTrail_eu-west-1_20260330T1200Z_abc.json.gz"

func s3Record(event, key string) string {
	return fmt.Sprintf(`{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventTime":"2026-03-30T12:00:00.000Z",
		"eventName":%q,"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"acme-trail"},"object":{"key":%q,"size":1024}}}`, event, key)
}

func TestNotice_NamesTheLogFilesToFetch(t *testing.T) {
	digest := strings.ReplaceAll(logKey, "/CloudTrail/", "/CloudTrail-Digest/")
	f := func(name, body, reason string, want ...string) {
		t.Helper()
		d := change.Delivery{ID: change.NewDeliveryID(noon), Org: "acme", SourceID: "src_1", ReceivedAt: change.At(noon), Body: []byte(body)}
		s := Service{Deps: Deps{Normalizers: all.Set(), Fetches: func(string, string) bool { return true }}}
		res := s.Normalizers.Process(&d, normalizers.Settings{}, noon, noon)
		var got []string
		for _, file := range s.logFiles(&d, &res) {
			if file.Org != "acme" || file.SourceID != "src_1" || file.DeliveryID != d.ID || !file.NoticedAt.Equal(noon) {
				t.Errorf("%s: %+v", name, file)
			}
			got = append(got, file.Region+" "+file.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if reason != "" && (res.Outcome != change.Ignored || res.Reason != reason || len(res.Changes) > 0) {
			t.Errorf("%s: %s: %s", name, res.Outcome, res.Reason)
		}
	}
	f("CloudTrail's own", `{"s3Bucket":"acme-trail","s3ObjectKey":["`+logKey+`"]}`, reasonFetched, " s3://acme-trail/"+logKey)
	f("a digest", `{"s3Bucket":"acme-trail","s3ObjectKey":["`+digest+`"]}`, reasonDigest)
	f("both", `{"s3Bucket":"acme-trail","s3ObjectKey":["`+logKey+`","`+digest+`"]}`, reasonFetched, " s3://acme-trail/"+logKey)
	f("no bucket's name", `{"s3Bucket":"evil.example/x?","s3ObjectKey":["`+logKey+`"]}`, "")
	f("S3", `{"Records":[`+s3Record("ObjectCreated:Put", strings.ReplaceAll(logKey, "abc", "a%2Bb+c"))+`]}`, reasonFetched,
		"eu-west-1 s3://acme-trail/"+strings.ReplaceAll(logKey, "abc", "a+b c"))
	f("S3, deleted", `{"Records":[`+s3Record("ObjectRemoved:Delete", logKey)+`]}`, "")
	f("S3, another object", `{"Records":[`+s3Record("ObjectCreated:Put", "invoices/1.json.gz")+`]}`, "")
	f("EventBridge", `{"version":"0","id":"1","detail-type":"Object Created","source":"aws.s3","account":"1","time":"2026-03-30T12:00:00Z",
		"region":"eu-west-1","resources":[],"detail":{"bucket":{"name":"acme-trail"},"object":{"key":"`+logKey+`"}}}`, reasonFetched,
		"eu-west-1 s3://acme-trail/"+logKey)
}

func TestNotice_SaysWhatToSetWhereNothingCanBeFetched(t *testing.T) {
	d := change.Delivery{ID: change.NewDeliveryID(noon), Org: "acme", ReceivedAt: change.At(noon), Body: []byte(`{"s3Bucket":"acme-trail","s3ObjectKey":["` + logKey + `"]}`)}
	s := Service{Deps: Deps{Normalizers: all.Set(), Fetches: func(string, string) bool { return false }}}
	res := s.Normalizers.Process(&d, normalizers.Settings{}, noon, noon)
	if files := s.logFiles(&d, &res); len(files) > 0 || res.Outcome != change.Ignored || !strings.Contains(res.Reason, "aws.access_key_id") {
		t.Errorf("%d files, %s: %s", len(files), res.Outcome, res.Reason)
	}
}

// What is fetched names nothing more to fetch: a bucket cannot keep us busy.
func TestNotice_InsideAFetchedFileIsNone(t *testing.T) {
	d := change.Delivery{ID: change.NewDeliveryID(noon), Org: "acme", ReceivedAt: change.At(noon),
		Header: map[string][]string{"Whatchanged-Object": {"s3://acme-trail/x"}}, Body: []byte(`{"s3Bucket":"acme-trail","s3ObjectKey":["` + logKey + `"]}`)}
	s := Service{Deps: Deps{Normalizers: all.Set(), Fetches: func(string, string) bool { return true }}}
	res := s.Normalizers.Process(&d, normalizers.Settings{}, noon, noon)
	if files := s.logFiles(&d, &res); len(files) > 0 {
		t.Errorf("%d files", len(files))
	}
}
