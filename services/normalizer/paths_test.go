package normalizer_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"whatchanged/pkg/change"
)

const cloudTrailRecord = `{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDA1","arn":"arn:aws:iam::123456789012:user/alice",
	"accountId":"123456789012","userName":"alice"},"eventTime":"2026-03-30T12:00:00Z","eventSource":"ec2.amazonaws.com",
	"eventName":"AuthorizeSecurityGroupIngress","awsRegion":"eu-central-1","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli",
	"requestParameters":{"groupId":"sg-1"},"responseElements":null,"requestID":"r-1","eventID":"7a6dc1a1-3c0d-4c8e-8b0e-111111111111",
	"readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"123456789012","eventCategory":"Management"}`

// An organisation may well have all of these paths at the same time.
func TestPaths_OneCloudTrailEventIsOneChangeHoweverItArrives(t *testing.T) {
	p := start(t)
	run(t, p.service(p.store).Run)
	var file bytes.Buffer
	w := gzip.NewWriter(&file)
	fmt.Fprintf(w, `{"Records":[%s]}`, cloudTrailRecord)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	paths := []struct {
		name string
		id   change.DeliveryID
	}{
		{"EventBridge", p.deliver(fmt.Sprintf(`{"version":"0","id":"c1","detail-type":"AWS API Call via CloudTrail","source":"aws.ec2",
			"account":"123456789012","time":"2026-03-30T12:00:01Z","region":"eu-central-1","resources":[],"detail":%s}`, cloudTrailRecord))},
		{"Firehose", p.deliver(fmt.Sprintf(`{"requestId":"f1","timestamp":1774872000000,"records":[{"data":%q}]}`,
			base64.StdEncoding.EncodeToString([]byte(cloudTrailRecord))), "X-Amz-Firehose-Request-Id", "f1")},
		{"S3", p.deliverAs("cloudtrail", file.String(), "Content-Encoding", "gzip")},
		{"a log file posted", p.deliver(fmt.Sprintf(`{"Records":[%s]}`, cloudTrailRecord))},
	}
	for _, path := range paths {
		if d := p.outcome(path.id); d.Outcome != change.Stored || d.Changes != 1 || d.Provider != "cloudtrail" {
			t.Errorf("by %s: %s, %d changes, of %s: %s", path.name, d.Outcome, d.Changes, d.Provider, d.Reason)
		}
	}
	got := p.stored(1)
	if !strings.Contains(got[0].Summary, "alice") {
		t.Errorf("summary %q", got[0].Summary)
	}
}

const githubRelease = `{"action":"published","release":{"id":5,"tag_name":"v1.0.0","name":%q,"html_url":"https://github.com/acme/shop/releases/5",
	"created_at":"2026-03-30T12:00:00Z","published_at":"2026-03-30T12:00:00Z","author":{"login":"mona","id":1,"type":"User"}},
	"repository":{"id":7,"name":"shop","full_name":"acme/shop"},"sender":{"login":"mona","id":1,"type":"User"}}`

// GitHub's "Redeliver" button sends the same delivery id once more.
func TestPaths_ARedeliveryByHandIsOneChange(t *testing.T) {
	p := start(t)
	run(t, p.service(p.store).Run)
	body := fmt.Sprintf(githubRelease, "First")
	first := p.deliver(body, "X-GitHub-Event", "release", "X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	p.stored(1)
	again := p.deliver(body, "X-GitHub-Event", "release", "X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	if d := p.outcome(again); d.Outcome != change.Duplicate || d.Conflict || !strings.Contains(d.Reason, first.String()) {
		t.Errorf("the second ended %s, conflict %v: %s", d.Outcome, d.Conflict, d.Reason)
	}
	p.stored(1)
}

// B20, C10: the first is kept, and what comes again is said to be another.
func TestPaths_TheSameIDWithAnotherBodyIsAConflict(t *testing.T) {
	p := start(t)
	run(t, p.service(p.store).Run)
	first := p.deliver(fmt.Sprintf(githubRelease, "First"), "X-GitHub-Event", "release", "X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	if d := p.outcome(first); d.Outcome != change.Stored || d.Conflict {
		t.Errorf("the first ended %s, conflict %v", d.Outcome, d.Conflict)
	}
	other := p.deliver(fmt.Sprintf(githubRelease, "Second"), "X-GitHub-Event", "release", "X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	if d := p.outcome(other); d.Outcome != change.Duplicate || !d.Conflict {
		t.Errorf("the second ended %s, conflict %v", d.Outcome, d.Conflict)
	}
	p.stored(1)
	// A normalizer that has just been started knows both from the store only.
	if err := p.service(p.store).Handle(t.Context(), p.frames()); err != nil {
		t.Fatal(err)
	}
	p.caughtUp()
	if d := p.outcome(other); d.Outcome != change.Duplicate || !d.Conflict {
		t.Errorf("by another normalizer it ended %s, conflict %v", d.Outcome, d.Conflict)
	}
	p.stored(1)
}
