package cloudtrail_test

import (
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"whatchanged/normalizers"
	"whatchanged/normalizers/cloudtrail"
	"whatchanged/normalizers/generic"
	"whatchanged/pkg/change"
)

func TestNormalize_ARecordIsTheSameChangeByEveryPath(t *testing.T) {
	record := `{"eventVersion":"1.09","userIdentity":{"type":"IAMUser","userName":"alice","arn":"arn:aws:iam::1:user/alice"},` +
		`"eventTime":"2025-11-03T09:15:22Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1",` +
		`"requestParameters":{"userName":"bob"},"eventID":"e-1","readOnly":false,"eventType":"AwsApiCall","recipientAccountId":"1"}`
	quoted, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	event := `{"version":"0","id":"eb-1","detail-type":"AWS API Call via CloudTrail","source":"aws.iam","account":"1","time":"2025-11-03T09:15:22Z","region":"us-east-1","resources":[],"detail":` + record + `}`
	quotedEvent, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	set := normalizers.Set{"cloudtrail": cloudtrail.New(), "generic": generic.New()}
	received := time.Date(2025, 11, 4, 0, 0, 0, 0, time.UTC)
	ids := make(map[change.ID][]string)
	for name, body := range map[string]string{
		"record":      record,
		"log file":    `{"Records":[` + record + `]}`,
		"eventbridge": event,
		"sns":         `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:us-east-1:1:t","Message":` + string(quotedEvent) + `,"Timestamp":"2025-11-03T09:15:30Z"}`,
		"cloudwatch":  `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":[],"logEvents":[{"id":"l","timestamp":1762161322000,"message":` + string(quoted) + `}]}`,
		"firehose":    `{"requestId":"r","timestamp":1762161322000,"records":[{"data":"` + base64.StdEncoding.EncodeToString([]byte(record)) + `"}]}`,
	} {
		d := &change.Delivery{ID: change.NewDeliveryID(received), Org: "org", SourceID: "src_1", ReceivedAt: change.At(received), Body: []byte(body)}
		res := set.Process(d, normalizers.Settings{}, received, received)
		if len(res.Changes) != 1 {
			t.Errorf("%s: %s %s", name, res.Outcome, res.Reason)
			continue
		}
		ids[res.Changes[0].ID] = append(ids[res.Changes[0].ID], name)
	}
	if len(ids) != 1 {
		t.Errorf("one record made several changes: %v", ids)
	}
}
