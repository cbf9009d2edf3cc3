package normalizers_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/change"
)

// Here are the places where one provider's delivery looks like another's.

func TestUnwrap_Traps(t *testing.T) {
	const (
		s3Item    = `{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-01-05T11:00:00Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AIDA"},"requestParameters":{},"responseElements":{},"s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}`
		azureItem = `{"time":"2026-01-05T11:00:00Z","resourceId":"/SUBSCRIPTIONS/1","operationName":"MICROSOFT.COMPUTE/WRITE","category":"Administrative"}`
		cloud     = `{"specversion":"1.0","id":"c1","source":"/s","type":"com.example","time":"2026-01-05T11:00:00Z","data":{"a":1}}`
		hub       = `{"ref":"refs/heads/main","repository":{"full_name":"a/b"},"sender":{"login":"mona"}}`
	)
	f := func(what string, pairs []string, body string, want ...string) {
		t.Helper()
		var got []string
		for _, r := range unwrapped(t, pairs, body) {
			got = append(got, r.Provider)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	f("Records and records are not the same", nil, `{"Records":[`+cloudTrail+`],"records":[`+azureItem+`]}`, "cloudtrail")
	f("records of Firehose are text in base64", nil, firehose(azureItem), "azure")
	f("records of Azure are objects", nil, `{"requestId":"1","records":[`+azureItem+`]}`, "azure")
	f("S3 has CloudTrail's members", nil, `{"Records":[`+s3Item+`]}`, "aws")
	f("S3 and CloudTrail in one list", nil, `{"Records":[`+cloudTrail+`,`+s3Item+`]}`, "cloudtrail", "aws")
	f("Gitea sends GitHub's headers", []string{"X-GitHub-Event", "push", "X-GitHub-Delivery", "1", "X-Gitea-Event", "push"}, hub, "gitea")
	f("Bitbucket Server signs as GitHub does", []string{"X-Event-Key", "repo:refs_changed", "X-Hub-Signature", "sha256=00"}, hub, "bitbucket")
	f("GitLab's custom template has nothing of GitLab's", []string{"X-Gitlab-Event", "Push Hook"}, `{"text":"pushed"}`, "gitlab")
	f("GitLab signs by Standard Webhooks", []string{"X-Gitlab-Event", "Push Hook", "webhook-id", "1", "webhook-timestamp", "1"}, `{"object_kind":"push"}`, "gitlab")
	f("GitHub's form", []string{"X-GitHub-Event", "push", "Content-Type", "application/x-www-form-urlencoded"}, "payload="+url.QueryEscape(hub), "github")
	f("EventBridge's transformer made it something else", []string{"User-Agent", "Amazon/EventBridge/ApiDestinations"}, `{"what":"odd"}`, "aws")
	f("EventBridge's transformer left the bare record", []string{"User-Agent", "Amazon/EventBridge/ApiDestinations"}, cloudTrail, "cloudtrail")
	f("SNS posts JSON as text", []string{"Content-Type", "text/plain; charset=UTF-8", "x-amz-sns-message-type", "Notification"}, sns(cloudTrail), "cloudtrail")
	f("Event Grid posts a list of one", nil, `[`+gridEvent+`]`, "azure")
	f("CloudEvents in a list", []string{"Content-Type", "application/cloudevents-batch+json"}, `[`+cloud+`,`+cloud+`]`, "cloudevents", "cloudevents")
	f("a CloudEvent is no EventBridge event", nil, cloud, "cloudevents")
	f("an EventBridge event is no CloudEvent", nil, stateEvent, "aws")
	f("Azure DevOps has Event Grid's eventType", nil, `{"id":"1","eventType":"git.push","publisherId":"tfs","subject":"s","eventTime":"2026-01-05T11:00:00Z","data":{},"resource":{},"resourceContainers":{}}`, "azure_devops")
	f("Pub/Sub without data", nil, `{"message":{"attributes":{"a":"b"},"messageId":"1","message_id":"1","data":""},"subscription":"projects/p/subscriptions/s"}`, "gcp")
	f("alerts alone are nobody's", nil, `{"status":"firing","alerts":[{"status":"firing"}]}`, "generic")
	f("Alertmanager and Grafana differ by their version", nil, `{"version":"4","groupKey":"k","alerts":[],"status":"firing"}`, "alertmanager")
	f("Grafana", nil, `{"version":"1","groupKey":"k","orgId":1,"alerts":[],"status":"firing"}`, "grafana")
	f("a list of everybody's", nil, `[`+hub+`,`+cloudTrail+`,`+cloud+`,{"odd":1},`+sns(logEntry)+`]`, "github", "cloudtrail", "cloudevents", "generic", "gcp")
	f("Firehose with everybody's inside", nil, firehose(cloudTrail, stateEvent, gzipped(logs(cloudTrail)), azureItem, "text"), "cloudtrail", "aws", "cloudtrail", "azure", "aws")
	f("a signature of GitHub's alone says nothing", []string{"X-Hub-Signature-256", "sha256=00"}, `{"a":1}`, "generic")
}

func unwrapped(t *testing.T, pairs []string, body string) []normalizers.Record {
	t.Helper()
	records, err := normalizers.Unwrap(&change.Delivery{Header: header(pairs...), Body: []byte(body)})
	if err != nil {
		t.Fatalf("%.60s: %v", body, err)
	}
	return records
}

func TestUnwrap_RecordsOfSeveralGoEachToTheirOwn(t *testing.T) {
	set := all.Set()
	d := &change.Delivery{
		ID: change.DeliveryID{1}, Org: "acme", SourceID: "src_1",
		Body: []byte(firehose(cloudTrail, logEntry, `{"object_kind":"push","ref":"refs/heads/main","project":{"path_with_namespace":"a/b"},"commits":[],"user_username":"mona"}`)),
	}
	res := set.Process(d, normalizers.Settings{}, d.ReceivedAt.Time, d.ReceivedAt.Time)
	var got []string
	for _, c := range res.Changes {
		got = append(got, c.Provenance.Normalizer)
	}
	for _, dead := range res.Dead {
		t.Errorf("record %d is dead: %s", dead.Index, dead.Reason)
	}
	for _, name := range got {
		if name == "generic" {
			t.Errorf("made by %v", got)
		}
	}
	if len(got) == 0 {
		t.Errorf("no changes: %s %s", res.Outcome, res.Reason)
	}
}

func TestUnwrap_PinnedTakesItsFamilyOnly(t *testing.T) {
	f := func(pinned string, pairs []string, body, want string) {
		t.Helper()
		records, err := normalizers.Unwrap(&change.Delivery{Provider: pinned, Header: header(pairs...), Body: []byte(body)})
		if err != nil || len(records) != 1 || records[0].Provider != want {
			t.Errorf("pinned to %s: %+v %v, want %s", pinned, records, err, want)
		}
	}
	f("azure", []string{"X-Vss-Activityid", "1"}, `{}`, "azure_devops")
	f("azure_devops", nil, `[`+gridEvent+`]`, "azure")
	f("gitea", []string{"X-Forgejo-Event", "push", "X-GitHub-Event", "push"}, `{}`, "forgejo")
	f("gitea", []string{"X-GitHub-Event", "push"}, `{}`, "gitea")
	f("github", []string{"X-Gitea-Event", "push", "X-GitHub-Event", "push"}, `{}`, "github")
	f("gcp", nil, cloudTrail, "gcp")
	f("grafana", nil, `{"version":"4","groupKey":"k","alerts":[]}`, "alertmanager")
	f("gitlab", nil, sns(cloudTrail), "gitlab")
	f("generic", nil, `{"title":"Deploy","type":"deployment","environment":"production"}`, "generic")
}

// FuzzUnwrap_Envelopes puts the same bytes into every envelope there is: none
// may panic, lose its place, go deeper than allowed or open more than allowed.
func FuzzUnwrap_Envelopes(f *testing.F) {
	for _, inside := range []string{
		cloudTrail, logEntry, stateEvent, `[` + gridEvent + `]`, sns(stateEvent), pubsub(logEntry), firehose(gzipped(logs(cloudTrail))), "text", "", "null",
		gzipped(gzipped(cloudTrail)), `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` + cloudTrail + `}`, `[{"a":1},` + cloudTrail + `]`, `{"data":[` + logEntry + `]}`,
		`{"awslogs":{"data":"H4sIAAAAAAAA"}}`, `{"context":{"type":"dev.cdevents.build.started.0.1.1"},"subject":{}}`, `{"messages":[{"event":"incident.trigger","incident":{}}]}`,
	} {
		for kind := range byte(12) {
			f.Add(kind, []byte(inside))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, inside []byte) {
		d := envelope(kind, inside)
		records, err := normalizers.Unwrap(&d)
		if err != nil {
			if records != nil {
				t.Fatalf("%d records and %v", len(records), err)
			}
			return
		}
		for i, r := range records {
			if r.Provider == "" || r.DetectedBy == "" || r.Index != i || normalizers.CheckJSON(r.JSON) != nil {
				t.Fatalf("record %d: %+v", i, r)
			}
			if depth := strings.Count(r.Envelope, "/"); depth > 4 {
				t.Fatalf("record %d lies %d deep: %s", i, depth+1, r.Envelope)
			}
		}
		again, err := normalizers.Unwrap(&d)
		if diff := cmp.Diff(records, again); err != nil || diff != "" {
			t.Fatalf("not the same the second time: %v\n%s", err, diff)
		}
	})
}

// envelope puts bytes into one of the envelopes.
func envelope(kind byte, inside []byte) change.Delivery {
	text := string(inside)
	d := change.Delivery{Body: inside}
	switch kind % 12 {
	case 0:
		d.Body = []byte(sns(text))
	case 1:
		d.Body = []byte(firehose(text))
	case 2:
		d.Body = []byte(firehose(gzipped(text), text))
	case 3:
		d.Body = []byte(logs(text, text))
	case 4:
		d.Body = []byte(`{"awslogs":{"data":"` + base64.StdEncoding.EncodeToString([]byte(gzipped(text))) + `"}}`)
	case 5:
		d.Body = []byte(pubsub(text))
	case 6:
		d.Header, d.Body = header("Content-Type", "application/x-www-form-urlencoded"), []byte("payload="+url.QueryEscape(text))
	case 7:
		d.Header, d.Body = header("Content-Encoding", "gzip"), []byte(gzipped(text))
	case 8:
		d.Header = header("ce-specversion", "1.0", "ce-type", "com.example", "ce-id", "1")
	case 9:
		d.Body = fmt.Appendf(nil, `[%s,{"specversion":"1.0","id":"1","source":"/s","type":"t","data":%s}]`, inside, inside)
	case 10:
		d.Body = fmt.Appendf(nil, `{"id":"1","detail-type":"x","source":"aws.x","detail":%s}`, inside)
	case 11:
		d.Body = []byte(sns(pubsub(firehose(logs(sns(text))))))
	}
	d.Body = bytes.Clone(d.Body)
	return d
}
