package normalizers_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// Small payloads of each kind, to be wrapped.
const (
	cloudTrail = `{"eventVersion":"1.08","eventSource":"iam.amazonaws.com","eventName":"AttachRolePolicy","eventID":"e1","userIdentity":{"type":"IAMUser"}}`
	logEntry   = `{"logName":"projects/p/logs/cloudaudit.googleapis.com%2Factivity","insertId":"i1","protoPayload":{"methodName":"SetIamPolicy"}}`
	stateEvent = `{"id":"eb1","detail-type":"EC2 Instance State-change Notification","source":"aws.ec2","time":"2026-01-05T11:00:00Z","detail":{"state":"stopped"}}`
	gridEvent  = `{"id":"g1","eventType":"Microsoft.Resources.ResourceWriteSuccess","subject":"s","eventTime":"2026-01-05T11:00:00Z","data":{},"dataVersion":"1"}`
)

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func sns(message string) string {
	return `{"Type":"Notification","MessageId":"m1","TopicArn":"arn:aws:sns:eu-west-1:1:t","Timestamp":"2026-01-05T10:59:00Z","Message":` + quoted(message) + `}`
}

func pubsub(data string) string {
	return `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `","messageId":"p1","publishTime":"2026-01-05T10:58:00Z"},"subscription":"projects/p/subscriptions/s"}`
}

func firehose(records ...string) string {
	var items []string
	for _, r := range records {
		items = append(items, `{"data":"`+base64.StdEncoding.EncodeToString([]byte(r))+`"}`)
	}
	return `{"requestId":"f1","timestamp":1767610680000,"records":[` + strings.Join(items, ",") + `]}`
}

func logs(messages ...string) string {
	var events []string
	for i, m := range messages {
		events = append(events, fmt.Sprintf(`{"id":"l%d","timestamp":1767610680000,"message":%s}`, i, quoted(m)))
	}
	return `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"CloudTrail","logStream":"s","logEvents":[` + strings.Join(events, ",") + `]}`
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// seen is a record in short: provider, how it was seen, envelope, id.
func seen(t *testing.T, d *change.Delivery) []string {
	t.Helper()
	records, err := normalizers.Unwrap(d)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, r := range records {
		if r.Index != i {
			t.Errorf("record %d has index %d", i, r.Index)
		}
		got = append(got, strings.TrimSpace(strings.Join([]string{r.Provider, r.DetectedBy, r.Envelope, r.EnvelopeID}, " ")))
	}
	return got
}

func TestUnwrap_TellsWhoSpeaksByHeadersFirst(t *testing.T) {
	f := func(h http.Header, body, want string) {
		t.Helper()
		if diff := cmp.Diff([]string{want}, seen(t, &change.Delivery{Header: h, Body: []byte(body)})); diff != "" {
			t.Errorf("%v (-want +got):\n%s", h, diff)
		}
	}
	f(header("X-GitHub-Event", "push"), `{}`, "github header:X-GitHub-Event")
	f(header("User-Agent", "GitHub-Hookshot/044aadd", "X-GitHub-Delivery", "1"), `{}`, "github header:User-Agent")
	f(header("X-Gitea-Event", "push", "X-Gogs-Event", "push", "X-GitHub-Event", "push"), `{}`, "gitea header:X-Gitea-Event")
	f(header("X-Forgejo-Event", "push", "X-Gitea-Event", "push", "X-GitHub-Event", "push"), `{}`, "forgejo header:X-Forgejo-Event")
	f(header("X-Gogs-Event", "push", "X-GitHub-Event", "push"), `{}`, "gogs header:X-Gogs-Event")
	f(header("X-Gitlab-Event", "Push Hook", "webhook-id", "1"), `{}`, "gitlab header:X-Gitlab-Event")
	f(header("X-Event-Key", "pr:merged", "X-Hub-Signature", "sha256=00"), `{}`, "bitbucket header:X-Event-Key")
	f(header("X-Vss-Activityid", "1"), `{}`, "azure_devops header:X-Vss-Activityid")
	f(header("X-PagerDuty-Signature", "v1=00"), `{}`, "pagerduty header:X-PagerDuty-Signature")
	f(header("User-Agent", "Amazon/EventBridge/ApiDestinations"), `{"transformed":true}`, "aws header:User-Agent")
	f(header("ce-specversion", "1.0", "ce-type", "dev.cdevents.build.started.0.1.0", "ce-id", "c1"), `{"any":1}`, "cdevents header:ce-specversion cloudevents c1")
	f(header("X-Hub-Signature-256", "sha256=00"), `{}`, "generic shape:unknown") // alone it says nothing
}

func TestUnwrap_TellsWhoSpeaksByShape(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		if diff := cmp.Diff([]string{want}, seen(t, &change.Delivery{Body: []byte(body)})); diff != "" {
			t.Errorf("%.80s (-want +got):\n%s", body, diff)
		}
	}
	f(cloudTrail, "cloudtrail shape:cloudtrail-record")
	f(`{"Records":[`+cloudTrail+`]}`, "cloudtrail shape:cloudtrail-records cloudtrail-records")
	f(stateEvent, "aws shape:eventbridge")
	f(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","userIdentity":{},"s3":{"bucket":{"name":"b"}}}]}`, "aws shape:s3-records s3-records")
	f(`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}`, "aws shape:s3-test")
	f(`{"records":[{"time":"2026-01-05T11:00:00Z","resourceId":"/SUBSCRIPTIONS/1","operationName":"MICROSOFT.COMPUTE/WRITE","category":"Administrative"}]}`, "azure shape:azure-records azure-records")
	f(`{"schemaId":"azureMonitorCommonAlertSchema","data":{}}`, "azure shape:azure-common-alert")
	f(`[`+gridEvent+`]`, "azure shape:eventgrid eventgrid")
	f(logEntry, "gcp shape:logentry")
	f(`{"entries":[`+logEntry+`]}`, "gcp shape:logentries logentries")
	f(`{"object_kind":"push"}`, "gitlab shape:gitlab")
	f(`{"repository":{"full_name":"a/b"},"sender":{"login":"mona"}}`, "github shape:github")
	f(`{"zen":"z","hook_id":1,"hook":{}}`, "github shape:github")
	f(`{"event":{"event_type":"incident.triggered","resource_type":"incident","occurred_at":"2026-01-05T11:00:00Z"}}`, "pagerduty shape:pagerduty")
	f(`{"version":"4","groupKey":"k","alerts":[],"status":"firing"}`, "alertmanager shape:alertmanager")
	f(`{"action":"Create","alert":{"alertId":"1"},"integrationId":"2"}`, "opsgenie shape:opsgenie")
	f(`{"status":"firing","alerts":[]}`, "generic shape:unknown") // words alone are not enough
	f(`{"specversion":"1.0","id":"1","source":"/s","type":"com.example"}`, "cloudevents shape:cloudevents")
	f(`{"id":"1","eventType":"git.push","publisherId":"tfs","resource":{},"resourceContainers":{}}`, "azure_devops shape:azure-devops")
	f(`"just text"`, "generic shape:unknown")
	f(`[]`, "generic shape:unknown")
}

func TestUnwrap_ComparesMembersExactly(t *testing.T) {
	f := func(body string) {
		t.Helper()
		if got := seen(t, &change.Delivery{Body: []byte(body)}); got[0] != "generic shape:unknown" {
			t.Errorf("%s is taken for %s", body, got[0])
		}
	}
	f(strings.Replace(`{"Records":[`+cloudTrail+`]}`, "Records", "records", 1))
	f(strings.Replace(cloudTrail, "eventName", "EventName", 1))
	// A member that is there twice never decides, however it is written.
	f(`{"object_kind":"push","object_kind":"push"}`)
	f(`{"object_kind":"push","object\u005fkind":"tag_push"}`)
}

func TestUnwrap_OpensEnvelopes(t *testing.T) {
	f := func(h http.Header, body string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, seen(t, &change.Delivery{Header: h, Body: []byte(body)})); diff != "" {
			t.Errorf("%.80s (-want +got):\n%s", body, diff)
		}
	}
	eventBridge := `{"id":"eb1","detail-type":"AWS API Call via CloudTrail","source":"aws.iam","time":"2026-01-05T11:00:00Z","detail":` + cloudTrail + `}`
	f(nil, eventBridge, "cloudtrail shape:eventbridge-cloudtrail eventbridge eb1")
	f(nil, sns(stateEvent), "aws shape:eventbridge sns m1")
	f(nil, sns(eventBridge), "cloudtrail shape:eventbridge-cloudtrail sns/eventbridge eb1")
	f(nil, sns("disk is full"), "aws shape:sns sns m1")
	f(nil, sns(`{"some":"json"}`), "aws shape:sns sns m1")
	f(header("x-amz-sns-rawdelivery", "true", "x-amz-sns-message-id", "r1", "x-amz-sns-message-type", "Notification"), cloudTrail, "cloudtrail shape:cloudtrail-record sns r1")
	f(nil, firehose(cloudTrail, "hello"), "cloudtrail shape:cloudtrail-record firehose f1", "aws shape:firehose firehose f1")
	f(nil, firehose(gzipped(logs(cloudTrail))), "cloudtrail shape:cloudtrail-record firehose/cloudwatch-logs l0")
	f(nil, logs(cloudTrail, "text", eventBridge), "cloudtrail shape:cloudtrail-record cloudwatch-logs l0", "aws shape:cloudwatch-logs cloudwatch-logs l1",
		"cloudtrail shape:eventbridge-cloudtrail cloudwatch-logs/eventbridge eb1")
	f(nil, `{"awslogs":{"data":"`+base64.StdEncoding.EncodeToString([]byte(gzipped(logs(cloudTrail))))+`"}}`,
		"cloudtrail shape:cloudtrail-record awslogs/cloudwatch-logs l0")
	f(nil, pubsub(logEntry), "gcp shape:logentry pubsub p1")
	f(nil, pubsub("text"), "gcp shape:pubsub pubsub p1")
	f(nil, pubsub(""), "gcp shape:pubsub pubsub p1")
	f(header("x-goog-pubsub-message-id", "u1"), logEntry, "gcp shape:logentry pubsub u1")
	f(nil, `{"specversion":"1.0","id":"c1","source":"//cloudaudit.googleapis.com/x","type":"google.cloud.audit.log.v1.written","time":"2026-01-05T11:00:00Z","data":`+logEntry+`}`,
		"gcp shape:logentry cloudevents c1")
	f(nil, `[`+gridEvent+`,`+gridEvent+`]`, "azure shape:eventgrid eventgrid", "azure shape:eventgrid eventgrid")
	f(nil, `[{"specversion":"1.0","id":"1","source":"/subscriptions/1","type":"Microsoft.Storage.BlobCreated"}]`, "azure shape:cloudevents-batch cloudevents-batch")
	// Four deep, and no deeper.
	f(nil, sns(sns(sns(sns(cloudTrail)))), "cloudtrail shape:cloudtrail-record sns/sns/sns/sns m1")
	f(nil, sns(sns(sns(sns(sns(cloudTrail))))), "aws shape:sns sns/sns/sns/sns m1")
}

func TestUnwrap_UndoesEncodings(t *testing.T) {
	const push = `{"ref":"refs/heads/main"}`
	form := "payload=" + url.QueryEscape(push)
	f := func(h http.Header, body string) {
		t.Helper()
		records, err := normalizers.Unwrap(&change.Delivery{Header: h, Body: []byte(body)})
		if err != nil || len(records) != 1 || string(records[0].JSON) != push {
			t.Errorf("%v: %v %v", h, records, err)
		}
	}
	f(header("Content-Encoding", "gzip"), gzipped(push))
	f(header("Content-Encoding", "deflate"), deflated(push))
	f(header("Content-Encoding", "gzip, gzip"), gzipped(gzipped(push)))
	f(header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"), form)
	f(header("Content-Type", "application/x-www-form-urlencoded", "Content-Encoding", "gzip"), gzipped("a=b&"+form+"&payload=second"))
	f(header("Content-Type", "application/x-www-form-urlencoded"), push) // curl -d calls everything a form
	f(header("Content-Type", "text/plain"), push)
	f(nil, "\xef\xbb\xbf"+push)
}

func TestUnwrap_RefusesWhatCannotBe(t *testing.T) {
	f := func(what string, h http.Header, body string, want error) {
		t.Helper()
		records, err := normalizers.Unwrap(&change.Delivery{Header: h, Body: []byte(body)})
		if !errors.Is(err, want) || !errors.Is(err, change.ErrMalformed) || records != nil {
			t.Errorf("%s: %d records, %v; want %v", what, len(records), err, want)
		}
	}
	bomb := gzipped(strings.Repeat("a", 65<<20))
	f("empty", nil, "", change.ErrMalformed)
	f("not JSON", nil, "hello", change.ErrMalformed)
	f("not gzip", header("Content-Encoding", "gzip"), "{}", change.ErrMalformed)
	f("cut gzip", header("Content-Encoding", "gzip"), gzipped("{}")[:20], change.ErrMalformed)
	f("unknown coding", header("Content-Encoding", "br"), "{}", normalizers.ErrEncoding)
	f("too many codings", header("Content-Encoding", "gzip,gzip,gzip,gzip,gzip"), "{}", normalizers.ErrEncoding)
	f("bomb", header("Content-Encoding", "gzip"), bomb, normalizers.ErrTooLarge)
	f("bomb inside", nil, firehose(bomb), normalizers.ErrTooLarge)
	f("form without payload", header("Content-Type", "application/x-www-form-urlencoded"), "a=b", change.ErrMalformed)
	f("form with a bad escape", header("Content-Type", "application/x-www-form-urlencoded"), "payload=%zz", change.ErrMalformed)
	f("too many records", nil, `{"Records":[`+strings.Repeat(cloudTrail+",", 50_000)+cloudTrail+`]}`, change.ErrMalformed)
}

func TestUnwrap_PinnedProviderWins(t *testing.T) {
	f := func(pinned string, h http.Header, body, want string) {
		t.Helper()
		got := seen(t, &change.Delivery{Provider: pinned, Header: h, Body: []byte(body)})
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("pinned to %s (-want +got):\n%s", pinned, diff)
		}
	}
	f("github", header("X-GitHub-Event", "push"), `{}`, "github header:X-GitHub-Event")
	f("github", nil, cloudTrail, "github source")
	f("generic", header("X-GitHub-Event", "push"), `{}`, "generic source")
	f("github", nil, sns(cloudTrail), "github source") // not GitHub's path: it stays closed
	f("aws", nil, sns(cloudTrail), "cloudtrail shape:cloudtrail-record sns m1")
	f("cloudtrail", nil, stateEvent, "aws shape:eventbridge")
}

func TestDetect_SaysWhoAndHow(t *testing.T) {
	f := func(h http.Header, body, want string) {
		t.Helper()
		provider, by := normalizers.Detect(h, []byte(body))
		if got := provider + " " + by; got != want {
			t.Errorf("Detect(%v, %.40s) = %s, want %s", h, body, got, want)
		}
	}
	f(header("X-GitHub-Event", "push"), cloudTrail, "github header:X-GitHub-Event")
	f(nil, sns("x"), "aws shape:sns")
	f(header("aeg-event-type", "Notification"), `[{"odd":1}]`, "azure header:Aeg-Event-Type")
	f(nil, `{}`, "generic shape:unknown")
}

func TestIdentity_IsTheSameForEveryAttempt(t *testing.T) {
	f := func(want string, pairs ...string) {
		t.Helper()
		if got := normalizers.Identity(header(pairs...)); got != want {
			t.Errorf("Identity(%v) = %q, want %q", pairs, got, want)
		}
	}
	f("")
	f("github:72d3162e", "X-GitHub-Delivery", "72d3162e")
	f("gitea:1", "X-Gitea-Delivery", "1", "X-GitHub-Delivery", "1")
	f("gitlab:i", "X-Gitlab-Event", "Push Hook", "webhook-id", "i", "Idempotency-Key", "i", "X-Gitlab-Event-UUID", "u")
	f("gitlab:u", "X-Gitlab-Event", "Push Hook", "X-Gitlab-Event-UUID", "u", "X-Gitlab-Webhook-UUID", "fresh")
	f("", "X-Gitlab-Event", "Push Hook", "X-Gitlab-Webhook-UUID", "fresh")
	f("sns:m", "x-amz-sns-message-id", "m")
	f("webhook:msg_1", "webhook-id", "msg_1")
	f("key:k", "Idempotency-Key", "k")
	f("cloudevents:/s#1", "ce-id", "1", "ce-source", "/s")
	long := normalizers.Identity(header("Idempotency-Key", strings.Repeat("k", 5000)))
	if len(long) > 100 || !strings.HasPrefix(long, "key:sha256-") {
		t.Errorf("a long key becomes %q", long)
	}
}

func FuzzUnwrap(f *testing.F) {
	for _, body := range []string{
		cloudTrail, logEntry, stateEvent, `[` + gridEvent + `]`, sns(stateEvent), pubsub(logEntry), firehose(gzipped(logs(cloudTrail))),
		`{"Records":[` + cloudTrail + `]}`, "payload=%7B%7D", `{"object_kind":"push"}`, `{`, "",
	} {
		f.Add("Content-Type", "application/json", []byte(body))
	}
	f.Add("X-GitHub-Event", "push", []byte(`{}`))
	f.Add("Content-Encoding", "gzip", []byte(gzipped(`{}`)))
	f.Add("Content-Type", "application/x-www-form-urlencoded", []byte("payload=%7B%22a%22%3A1%7D&payload=x"))
	f.Fuzz(func(t *testing.T, name, value string, body []byte) {
		d := &change.Delivery{Header: header(name, value), Body: bytes.Clone(body)}
		records, err := normalizers.Unwrap(d)
		if !bytes.Equal(d.Body, body) {
			t.Fatal("the body was changed")
		}
		switch {
		case err != nil && (!errors.Is(err, change.ErrMalformed) || records != nil):
			t.Fatalf("%d records and %v", len(records), err)
		case err != nil:
			return
		case len(records) == 0 && bytes.ContainsRune(body, '['):
			return // an empty list of records
		case len(records) == 0:
			t.Fatal("neither records nor an error")
		}
		for i, r := range records {
			if r.Provider == "" || r.DetectedBy == "" || r.Index != i || normalizers.CheckJSON(r.JSON) != nil {
				t.Fatalf("record %d: %+v", i, r)
			}
		}
		again, err := normalizers.Unwrap(d)
		if diff := cmp.Diff(records, again); err != nil || diff != "" {
			t.Fatalf("not the same the second time: %v\n%s", err, diff)
		}
	})
}

func FuzzFormPayload(f *testing.F) {
	f.Add([]byte("payload=%7B%22a%22%3A1%7D"))
	f.Add([]byte("a=b&payload=%zz"))
	f.Add([]byte("payload=a+b&payload="))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := normalizers.FormPayload(body)
		if (err == nil) == (got == nil) {
			t.Fatalf("payload %q and error %v", got, err)
		}
		values, standard := url.ParseQuery(string(body))
		if err == nil && standard == nil && values.Get("payload") != string(got) {
			t.Fatalf("payload is %q, net/url says %q", got, values.Get("payload"))
		}
	})
}
