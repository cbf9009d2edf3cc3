package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/services/api"
)

func TestReplays_SayWhichFieldIsWrong(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := func(body, field string) {
		t.Helper()
		got := s.call("POST", "/api/v1/replays", body)
		if named, _ := got.json(t)["field"].(string); got.Status != http.StatusBadRequest || named != field {
			t.Errorf("%s: %d %s, want field %s", body, got.Status, got.Body, field)
		}
	}
	f(`{}`, "start_date")
	f(`{"start_date": "2026-03-30T00:00:00Z", "end_date": "2026-03-29T00:00:00Z"}`, "end_date")
	f(`{"start_date": "0001-01-02T00:00:00Z"}`, "start_date")
	f(`{"deliveries": ["nonsense"]}`, "deliveries")
	f(`{"deliveries": ["dlv_01kjx2v5c0qj3m8z4n6r7t9w1y"], "provider": "github"}`, "deliveries")

	source, err := s.admin.CreateSource(t.Context(), client.NewSource{Name: "hub"})
	if err != nil {
		t.Fatal(err)
	}
	g := func(github string) {
		t.Helper()
		got := s.call("PATCH", "/api/v1/sources/"+source.ID, `{"github": `+github+`}`)
		if named, _ := got.json(t)["field"].(string); got.Status != http.StatusBadRequest || named != "github" {
			t.Errorf("%s: %d %s", github, got.Status, got.Body)
		}
	}
	g(`{"repository": "acme/shop", "hook_id": 7}`)
	g(`{"repository": "acme", "hook_id": 7, "token": "token-of-a-test"}`)
	g(`{"repository": "acme/..", "hook_id": 7, "token": "token-of-a-test"}`)
	g(`{"repository": "acme/shop", "token": "token-of-a-test"}`)
	g(`{"repository": "acme/shop", "organization": "acme", "hook_id": 7, "token": "token-of-a-test"}`)
	g(`{"app_id": 7, "token": "token-of-a-test"}`)
	g(`{"app_id": 7, "private_key": "no key at all"}`)
	g(`{"organization": "acme", "hook_id": 7, "token": "token-of-a-test", "base_url": "ftp://github.example.com"}`)

	// A token goes to the server that it was given for, and to no other.
	good := client.GitHubCredentials{Organization: "acme", HookID: 7, Token: "token-of-a-test"}
	if _, err := s.admin.UpdateSource(t.Context(), source.ID, client.SourcePatch{GitHub: &good}); err != nil {
		t.Fatal(err)
	}
	g(`{"organization": "acme", "hook_id": 7, "base_url": "https://elsewhere.example.com"}`)
	after, err := s.admin.UpdateSource(t.Context(), source.ID, client.SourcePatch{GitHub: &client.GitHubCredentials{Organization: "acme", HookID: 8}})
	if err != nil || after.GitHub == nil || after.GitHub.HookID != 8 {
		t.Errorf("another hook of the same server: %+v, %v", after.GitHub, err)
	}
}

func TestReplays_TheSameOneIsNotStartedTwice(t *testing.T) {
	t.Parallel()
	s := start(t) // nobody does the work here
	ask := client.NewReplay{Start: new(change.At(time.Now().Add(-time.Hour))), DryRun: true}
	first, err := s.admin.StartReplay(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.admin.StartReplay(t.Context(), ask)
	if err != nil || second.ID != first.ID {
		t.Errorf("asked again: %s, want %s (%v)", second.ID, first.ID, err)
	}
	if _, err := s.admin.CancelReplay(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	third, err := s.admin.StartReplay(t.Context(), ask)
	if err != nil || third.ID == first.ID {
		t.Errorf("after it was cancelled: %s (%v)", third.ID, err)
	}
	all, err := s.admin.Replays(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != third.ID || all[1].State != "cancelled" {
		t.Errorf("%+v %v", all, err)
	}
	if page, err := s.admin.ReplayDifferences(t.Context(), third.ID, "changed", 10, ""); err != nil || len(page.Data) != 0 || page.Meta.Total != -1 {
		t.Errorf("%+v %v", page, err)
	}
	if got := s.call("GET", "/api/v1/replays/"+third.ID+"/differences?cursor=00", ""); got.json(t)["field"] != "cursor" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// recorded is the bus, and the events that the audit trail gave it.
type recorded struct {
	*bus.Bus
	mu     sync.Mutex
	events []audit.Event
}

func (r *recorded) PublishAudit(ctx context.Context, kind, name string, records []json.RawMessage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range records {
		var e audit.Event
		if err := json.Unmarshal(record, &e); err == nil && kind == audit.Events {
			r.events = append(r.events, e)
		}
	}
	return r.Bus.PublishAudit(ctx, kind, name, records)
}

// Whether a write that failed is there nobody knows, so the trail goes on naming
// the replay.
func TestReplays_OneThatFailedToStartIsInTheTrail(t *testing.T) {
	t.Parallel()
	trail := &recorded{}
	s := start(t, func(d *api.Deps, _ *api.Config) {
		trail.Bus = d.Bus
		d.Audit = audit.NewRecorder(trail, audit.DefaultLimits(), d.Log, prometheus.NewRegistry())
	})
	s.run(s.deps.Audit.Run)
	js := s.bus.JetStream()
	stream, err := js.Stream(t.Context(), "KV_"+bus.BucketState)
	if err != nil {
		t.Fatal(err)
	}
	full := stream.CachedInfo().Config
	full.MaxMsgSize = 1
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	ask := client.NewReplay{Start: new(change.At(time.Now().Add(-time.Hour)))}
	if _, err := s.admin.StartReplay(t.Context(), ask); problemOf(err).Reason != "replays_unavailable" {
		t.Fatal(err)
	}
	s.createIncident(client.NewIncident{Title: "later"})
	eventually(t, func() error { // what is said of the incident comes last
		trail.mu.Lock()
		defer trail.mu.Unlock()
		var outcomes []string
		for _, e := range trail.events {
			outcomes = append(outcomes, e.Object.Kind+" "+string(e.Outcome))
		}
		return differ([]string{"replay unknown", "incident unknown", "incident done"}, outcomes)
	})
}
