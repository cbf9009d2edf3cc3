package client_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/client"
)

func TestTrack_SendsWhoDidWhatAsOneEvent(t *testing.T) {
	var got []client.NewEvent
	reads := func(answer http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var in client.NewEvent
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				t.Error(err)
			}
			got = append(got, in)
			answer(w, r)
		}
	}
	c, asked := serve(t,
		reads(say(http.StatusBadGateway, "<html>")), reads(say(http.StatusGatewayTimeout, "{}")), // of a proxy
		reads(say(http.StatusCreated, `{"data": {"action": "config.changed"}}`)))
	actor := c.Actor("eng_k4m8p2", client.ActorInfo{Name: "Priya Sharma", Type: "engineer"})
	out, err := actor.Session("sess_b2c3d4e5").Track(t.Context(), "config.changed", "service", map[string]any{"service": "api-gateway"})
	if err != nil || out.Action != "config.changed" {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := actor.Track(t.Context(), "access.granted", "service", nil); err != nil {
		t.Fatal(err)
	}
	keys := map[string]int{}
	for _, r := range asked() {
		keys[r.Header.Get("Idempotency-Key")]++
	}
	first := client.NewEvent{
		ActorID: "eng_k4m8p2", ActorName: "Priya Sharma", ActorType: "engineer", SessionID: "sess_b2c3d4e5",
		Action: "config.changed", Resource: "service", Metadata: map[string]any{"service": "api-gateway"},
	}
	second := client.NewEvent{ActorID: "eng_k4m8p2", ActorName: "Priya Sharma", ActorType: "engineer", Action: "access.granted", Resource: "service"}
	if diff := cmp.Diff([]client.NewEvent{first, first, first, second}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(keys) != 2 {
		t.Errorf("the keys of two events, one sent three times: %v", keys)
	}
}
