package api_test

import (
	"net/http"
	"testing"
	"time"

	"whatchanged/normalizers"
	"whatchanged/normalizers/api"
	"whatchanged/normalizers/generic"
	"whatchanged/pkg/change"
)

func process(d change.Delivery) change.Result {
	set := normalizers.Set{"api": api.New(), "generic": generic.New()}
	received := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	d.ID, d.Org, d.SourceID, d.Provider, d.ReceivedAt = change.NewDeliveryID(received), "org", "key_1", "api", change.At(received)
	return set.Process(&d, normalizers.Settings{DefaultEnvironment: "staging"}, received, received)
}

func TestProcess_KeepsWhatTheDoorResolvedAndTheCallerSaid(t *testing.T) {
	res := process(change.Delivery{
		Body:    []byte(`{"summary": "hello", "records": [], "Type": "Notification", "TopicArn": "x", "MessageId": "y"}`),
		Header:  http.Header{"X-Github-Event": {"push"}}, // not the API's business
		Service: change.Service{ID: "svc_abc123", Name: "checkout"},
	})
	if res.Outcome != change.Stored || len(res.Changes) != 1 {
		t.Fatalf("%s: %s", res.Outcome, res.Reason)
	}
	c := res.Changes[0]
	if c.ServiceID != "svc_abc123" || c.ServiceName != "checkout" || c.Environment != "production" || c.Source != "api" || c.Risk != change.Low {
		t.Errorf("%+v", c)
	}
}

func TestProcess_SameIdempotencyKeyIsTheSameChange(t *testing.T) {
	body := []byte(`{"summary": "hello"}`)
	first, again := process(change.Delivery{Body: body, Identity: "key:1"}), process(change.Delivery{Body: body, Identity: "key:1"})
	other := process(change.Delivery{Body: body, Identity: "key:2"})
	if first.Changes[0].ID != again.Changes[0].ID {
		t.Error("the same key made another change")
	}
	if first.Changes[0].ID == other.Changes[0].ID {
		t.Error("another key made the same change")
	}
}
