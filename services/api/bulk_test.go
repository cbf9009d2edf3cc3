package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

// bulkFaces are the three faces, each with a good item that %s names and a bad one.
var bulkFaces = []struct{ path, good, bad, field string }{
	{"/api/v1/changes/bulk", `{"summary": "%s", "tags": ["a"]}`, `{"summary": "bad", "risk_level": "huge"}`, "risk_level"},
	{"/api/v1/change-events/bulk", `{"title": "%s", "tags": {"a": "b"}}`, `{"title": "bad", "type": "incident"}`, "type"},
	{"/api/v1/events/bulk", `{"actor_id": "a", "action": "x", "metadata": {"title": "%s"}}`, `{"actor_id": "a"}`, "action"},
}

// Each item has its own result, in order; the good are recorded with the ids
// that were answered, by one delivery, and the bad are not.
func TestBulk_GoodItemsAreRecordedWhateverTheOthersAre(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i, face := range bulkFaces {
		for _, form := range []string{"application/json", "application/x-ndjson"} {
			items := []string{fmt.Sprintf(face.good, "first"), face.bad, fmt.Sprintf(face.good, "third"), `[1]`, `{"nonsense": 1}`}
			body := `{"data": [` + strings.Join(items, ",") + `]}`
			if form != "application/json" {
				body = strings.Join(items, "\n") + "\n\n"
			}
			got := s.call("POST", face.path+"?wait=10s", body, "Content-Type", form)
			if got.Status != http.StatusMultiStatus || got.Header.Get("X-Whatchanged-Visible") != "true" {
				t.Fatalf("%s %s: %d %s", face.path, form, got.Status, got.Body)
			}
			data := got.json(t)["data"].([]any)
			var statuses, fields []any
			for _, d := range data {
				item := d.(map[string]any)
				statuses = append(statuses, item["status"])
				if e, ok := item["error"].(map[string]any); ok {
					fields = append(fields, e["field"])
				}
			}
			if diff := cmp.Diff([]any{201.0, 400.0, 201.0, 400.0, 400.0}, statuses); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", face.path, form, diff)
			}
			if fields[0] != face.field || fields[1] != nil {
				t.Errorf("%s: fields %v", face.path, fields)
			}
			var delivery any
			for place, title := range map[int]string{0: "first", 2: "third"} {
				id := data[place].(map[string]any)["data"].(map[string]any)["id"].(string)
				c := s.read("/api/v1/changes/" + id)
				if c["summary"] != title {
					t.Errorf("%s: item %d is %v", face.path, place, c)
				}
				from := c["provenance"].(map[string]any)
				if delivery == nil {
					delivery = from["delivery_id"]
				}
				if from["delivery_id"] != delivery || from["index"] != float64(place) {
					t.Errorf("%s: item %d comes from %v, the other from %v", face.path, place, from, delivery)
				}
			}
			if payload := s.call("GET", "/api/v1/deliveries/"+delivery.(string)+"/payload", ""); payload.Body != body {
				t.Errorf("%s: kept %q", face.path, payload.Body)
			}
		}
		page, err := s.admin.Changes(t.Context(), client.ChangeFilter{})
		if err != nil || page.Meta.Total != int64(4*(i+1)) {
			t.Errorf("%d changes, %v", page.Meta.Total, err)
		}
		if letters := s.call("GET", "/api/v1/dead", "").json(t)["data"].([]any); len(letters) != 0 {
			t.Errorf("what was refused to the caller's face is a dead letter: %v", letters)
		}
	}
}

// Items name their services, and get their names.
func TestBulk_ItemsNameTheirServices(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, id := range []string{"svc_a", "svc_b"} {
		if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: id, Name: "The service " + id}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.admin.BulkChanges(t.Context(), []client.BulkChange{
		{NewChange: client.NewChange{Summary: "a", ServiceID: "svc_a"}},
		{NewChange: client.NewChange{Summary: "b", ServiceID: "svc_b"}},
		{NewChange: client.NewChange{Summary: "c", ServiceID: "svc_c"}},
		{NewChange: client.NewChange{Summary: "d"}},
	}, client.WriteOptions{Wait: 10e9})
	if err != nil {
		t.Fatal(err)
	}
	if got.Counts != (client.BulkCounts{Accepted: 3, Refused: 1}) || got.Data[2].Error.Field != "service_id" {
		t.Errorf("%+v", got)
	}
	for i, name := range map[int]string{0: "The service svc_a", 1: "The service svc_b", 3: ""} {
		c, err := s.admin.Change(t.Context(), got.Data[i].Data.ID)
		if err != nil || c.ServiceName != name {
			t.Errorf("item %d: %q %v", i, c.ServiceName, err)
		}
	}
}

// An item's own key makes it one change: in the same request, in another, and
// for another process.
func TestBulk_ItemsOwnKeysAreOneChange(t *testing.T) {
	t.Parallel()
	s := start(t)
	again := s.another()
	item := func(title, key string) client.BulkEvent {
		return client.BulkEvent{NewEvent: client.NewEvent{ActorID: "a", Action: "x", Metadata: map[string]any{"title": title}}, IdempotencyKey: key}
	}
	send := func(s *system, items ...client.BulkEvent) []change.ID {
		t.Helper()
		got, err := s.client(adminKey).BulkEvents(t.Context(), items, client.WriteOptions{Wait: 10e9})
		if err != nil || got.Counts.Refused != 0 {
			t.Fatalf("%+v %v", got, err)
		}
		var ids []change.ID
		for _, d := range got.Data {
			ids = append(ids, d.Data.ID)
		}
		return ids
	}
	first := send(s, item("one", "k1"), item("two", "k2"), item("one", "k1"), item("three", ""))
	if first[0] != first[2] || first[0] == first[1] {
		t.Errorf("in one request: %v", first)
	}
	for name, other := range map[string]*system{"same process": s, "another process": again} {
		if got := send(other, item("two", "k2"), item("one", "k1")); got[0] != first[1] || got[1] != first[0] {
			t.Errorf("%s: %v, first %v", name, got, first)
		}
	}
	got := send(again, item("one", "k1"), item("four", "k4"))
	if got[0] != first[0] {
		t.Errorf("%v, first %v", got, first)
	}
	eventually(t, func() error {
		page, err := s.admin.Events(t.Context(), client.EventFilter{})
		return errors.Join(err, differ(int64(4), page.Meta.Total))
	})
}

// A repeat of a whole request answers what was recorded of the first, and no
// more: what was refused then is not recorded now, though it would be good.
func TestBulk_RepeatAnswersWhatTheFirstRecorded(t *testing.T) {
	t.Parallel()
	s := start(t)
	again := s.another()
	post := func(s *system) answer {
		t.Helper()
		return s.call("POST", "/api/v1/changes/bulk?wait=10s", `{"data": [{"summary": "a"}, {"summary": "b", "service_id": "svc_late"}]}`, "Idempotency-Key", "once")
	}
	first := post(s)
	eventually(t, func() error {
		page, err := s.admin.Deliveries(t.Context(), client.DeliveryFilter{Identity: "key:once"})
		return errors.Join(err, differ(1, len(page.Data)))
	})
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_late", Name: "Late"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { // the other process knows it, too
		_, err := again.client(adminKey).Service(t.Context(), "svc_late")
		return err
	})
	for name, other := range map[string]*system{"same process": s, "another process": again} {
		got := post(other)
		if got.Status != http.StatusMultiStatus || cmp.Diff(first.json(t)["counts"], got.json(t)["counts"]) != "" ||
			cmp.Diff(first.json(t)["data"].([]any)[0], got.json(t)["data"].([]any)[0]) != "" || !strings.Contains(got.Body, "idempotency_key_reused") {
			t.Errorf("%s: %s, first %s", name, got.Body, first.Body)
		}
	}
	if page, err := s.admin.Changes(t.Context(), client.ChangeFilter{}); err != nil || page.Meta.Total != 1 {
		t.Errorf("%d changes, %v", page.Meta.Total, err)
	}
}

// What is wrong with the whole request is said of it as a whole.
func TestBulk_Refusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(body string, status int, says string, headers ...string) {
		t.Helper()
		got := s.call("POST", "/api/v1/changes/bulk", body, headers...)
		if got.Status != status || !strings.Contains(got.Body, says) {
			t.Errorf("%.60s: %d %.300s; want %d ...%s...", body, got.Status, got.Body, status, says)
		}
	}
	one := `{"summary": "x"}`
	f(`{}`, 400, `"field":"data"`)
	f(`[`+one+`]`, 400, `"field":"data"`)
	f(`{"data": {}}`, 400, `"field":"data"`)
	f(`{"data": []}`, 400, "nothing")
	f(`{"data": [`, 400, "ends too early")
	f(``, 400, "required")
	f(`{"data": [`+strings.Repeat(one+",", 1000)+one+`]}`, 400, "more than 1000 items")
	f(strings.Repeat(one+"\n", 1001), 400, "more than 1000 items", "Content-Type", "application/x-ndjson")
	f(one+"\n{not json\n", 207, `not JSON at byte 1`, "Content-Type", "application/x-ndjson")
	f(one, 415, "x-ndjson", "Content-Type", "text/csv")
	f(`{"data": ["`+strings.Repeat("x", 17<<20)+`"]}`, 413, "16777216")
	f(`{"data": [{"summary": "x", "idempotency_key": 5}]}`, 207, `"field":"idempotency_key"`)
	f(`{"data": [{"summary": "x", "colour": "red"}]}`, 207, `"reason":"unknown_field"`)
	f(`{"data": [{"summary": "x", "change_type": "incident"}]}`, 207, `"field":"change_type"`)
	f(`{"data": [{"summary": "x", "tags": {"a": 5}}]}`, 207, `"field":"tags"`)
}
