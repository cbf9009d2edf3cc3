package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/normalizers"
	"whatchanged/normalizers/api"
	"whatchanged/normalizers/generic"
	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

// S0-10 to S0-19: the short form's fields and its defaults.
func TestChangeEvents_Parse(t *testing.T) {
	f := func(body string, want change.Change) {
		t.Helper()
		got, err := api.ChangeEvents.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	f(`{"title": "Deploy  v2"}`, change.Change{Summary: "Deploy v2", Type: change.Deployment, Source: "api", Environment: "production", Risk: change.Low})
	f(`{"title": "x", "author": "null", "type": "access_change", "tags": {"team": "a", "service": "api-gateway", "empty": ""}, "metadata": {"k": 1}}`, change.Change{
		Summary: "x", Type: change.AccessChange, Source: "api", Environment: "production", Risk: change.Low, ChangedBy: "null",
		Actor: change.Actor{ID: "null", Name: "null", Type: "user"}, Resource: change.Resource{ID: "api-gateway"},
		Tags: []string{"team:a", "service:api-gateway", "empty:"}, Metadata: json.RawMessage(`{"k": 1}`),
	})
}

// S4-11, S4-12, S4-13: an event's fields, and what is read out of its metadata.
func TestEvents_Parse(t *testing.T) {
	f := func(body string, want change.Change) {
		t.Helper()
		got, err := api.Events.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		got.Metadata = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	f(`{"actor_id": "a", "action": "deployment.failed", "resource": "service", "metadata": {"service": "gw", "git_tag": "v2", "git_sha": "abc", "git_branch": "main",
		"pr_number": 7, "region": "eu", "account": "12", "repository": "a/b", "environment": "staging", "incident_id": "i1", "severity": "high", "change_reason": "why"}}`, change.Change{
		Summary: "deployment failed: gw v2", Type: change.Deployment, Status: change.Failed, Action: "deployment.failed", Source: "api", Environment: "staging",
		Risk: change.High, ChangedBy: "a", Actor: change.Actor{ID: "a", Type: "user"}, Resource: change.Resource{Type: "service", ID: "gw"},
		Version: "v2", CommitSHA: "abc", Branch: "main", PRNumber: "7", Region: "eu", Account: "12", Repository: "a/b", CorrelationID: "i1", Description: "why",
	})
	// Metadata of another form than is looked for says nothing.
	f(`{"actor_id": "a", "action": "config.changed", "metadata": {"service": ["gw"], "git_tag": {"a": 1}, "environment": null, "severity": "sev1", "config_key": "rate"}}`, change.Change{
		Summary: "config changed, rate", Type: change.ConfigChange, Action: "config.changed", Source: "api", Environment: "production",
		Risk: change.Low, ChangedBy: "a", Actor: change.Actor{ID: "a", Type: "user"},
	})
}

// The delivery says which face took it, and what of a bulk request was refused.
func TestProcess_ReadsADeliveryByItsFace(t *testing.T) {
	f := func(d change.Delivery, want ...string) {
		t.Helper()
		d.Header = d.Header.Clone()
		var got []string
		res := process(d)
		for _, c := range res.Changes {
			got = append(got, c.Provenance.DetectedBy+" "+c.Summary+" "+c.ServiceName)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(res.Dead) > 0 {
			t.Errorf("%s (-want +got):\n%s%v %s", d.Body, diff, res.Dead, res.Reason)
		}
	}
	face := func(face string, more ...string) http.Header {
		h := http.Header{normalizers.FaceHeader: {face}}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = append(h[more[i]], more[i+1])
		}
		return h
	}
	f(change.Delivery{Header: face("changes"), Body: []byte("\xef\xbb\xbf" + `{"summary": "a", "Type": "Notification", "TopicArn": "x", "MessageId": "y"}`)}, "api/changes a ")
	f(change.Delivery{Header: face("change-events"), Body: []byte(`{"title": "b"}`)}, "api/change-events b ")
	f(change.Delivery{Header: face("events"), Body: []byte(`{"actor_id": "x", "action": "c"}`)}, "api/events c ")
	f(change.Delivery{Body: []byte(`{"summary": "as it was before there were faces"}`)}, "source as it was before there were faces ")
	f(change.Delivery{
		Header: face("changes", normalizers.BulkHeader, normalizers.BulkLines, normalizers.SkipHeader, "1,2",
			normalizers.ServiceHeader, "svc_a The A", normalizers.ServiceHeader, "svc_b B"),
		Body: []byte("{\"summary\": \"one\", \"service_id\": \"svc_b\"}\n\nnot json\r\n{\"summary\": \"known\"}\n{\"summary\": \"four\", \"service_id\": \"svc_a\"}"),
	}, "api/changes one B", "api/changes four The A")
	f(change.Delivery{
		Header: face("change-events", normalizers.BulkHeader, normalizers.BulkList, normalizers.SkipHeader, "0"),
		Body:   []byte(` {"more": 1, "data": [ {"title": 5}, {"title": "two"} ]}`),
	}, "api/change-events two ")
}

// A webhook's sender sets headers as it likes, and decides nothing by ours.
func TestProcess_OnlyAKeysDeliveryHasAFace(t *testing.T) {
	set := normalizers.Set{"api": api.New(), "generic": generic.New()}
	d := change.Delivery{
		ID: change.DeliveryID{1}, Org: "org", SourceID: "src_1", Provider: "api",
		Header: http.Header{normalizers.FaceHeader: {"change-events"}, normalizers.SkipHeader: {"0"}}, Body: []byte(`{"summary": "x"}`),
	}
	res := set.Process(&d, normalizers.Settings{}, d.ReceivedAt.Time, d.ReceivedAt.Time)
	if res.Outcome != change.Stored || res.Changes[0].Provenance.DetectedBy != "source" {
		t.Errorf("%s %s", res.Outcome, res.Reason)
	}
}

// An item's own key makes the same change, whichever delivery brings it.
func TestProcess_AnItemsOwnKeyIsItsFact(t *testing.T) {
	bulk := func(identity, body string) change.ID {
		t.Helper()
		res := process(change.Delivery{
			Identity: identity, Body: []byte(body), Header: http.Header{normalizers.FaceHeader: {"events"}, normalizers.BulkHeader: {normalizers.BulkList}},
		})
		if len(res.Changes) == 0 {
			t.Fatal(res.Reason)
		}
		return res.Changes[len(res.Changes)-1].ID
	}
	const item = `{"actor_id": "a", "action": "x", "idempotency_key": "k"}`
	first := bulk("key:1", `{"data": [`+item+`]}`)
	if again := bulk("key:2", `{"data": [{"actor_id": "a", "action": "y"}, `+item+`]}`); again != first {
		t.Error("the same key made another change")
	}
	if other := bulk("key:1", `{"data": [{"actor_id": "a", "action": "x", "idempotency_key": "k2"}]}`); other == first {
		t.Error("another key made the same change")
	}
}

func FuzzFaces(f *testing.F) {
	f.Add("events", []byte(`{"actor_id": "a", "action": "secret.rotated", "metadata": {"config_key": "db.password", "old_value": "x", "a": [{"value": "y"}]}}`))
	f.Add("change-events", []byte(`{"title": "x", "tags": {"a": "b"}}`))
	f.Add("changes", []byte(`{"summary": "x", "actor": "y", "resource": {"id": 5}}`))
	f.Fuzz(func(t *testing.T, face string, body []byte) {
		before := bytes.Clone(body)
		c, _, err := api.Face(face).ParseItem(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if _, ok := errors.AsType[*api.FieldError](err); err != nil && !ok {
			t.Fatalf("%v is not a FieldError", err)
		}
		if err != nil {
			return
		}
		if c.Summary == "" || len(c.Metadata) > 0 && !json.Valid(c.Metadata) {
			t.Fatalf("%+v", c)
		}
		res := process(change.Delivery{Header: http.Header{normalizers.FaceHeader: {face}}, Body: body})
		if res.Outcome != change.Stored {
			t.Fatalf("parsed, and then %s: %s", res.Outcome, res.Reason)
		}
		if res.Outcome == change.Stored {
			normtest.Check(t, res)
		}
	})
}
