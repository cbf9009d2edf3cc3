package api_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
	"whatchanged/services/api"
)

// With wait, a change can be read as soon as it is answered.
func TestLog_WaitMakesItReadable(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.call("POST", "/api/v1/changes?wait=10s", `{"summary": "now you see me"}`)
	if got.Status != http.StatusCreated || got.Header.Get("X-Whatchanged-Visible") != "true" {
		t.Fatalf("%d %s %s", got.Status, got.Header, got.Body)
	}
	id := got.json(t)["data"].(map[string]any)["id"].(string)
	if read := s.call("GET", "/api/v1/changes/"+id, ""); read.Status != http.StatusOK {
		t.Errorf("%d %s", read.Status, read.Body)
	}
}

// Waiting may take longer than the request's body might have taken.
func TestLog_WaitOutlastsTheBodysDeadline(t *testing.T) {
	t.Parallel()
	const body = 100 * time.Millisecond
	s := start(t, func(d *api.Deps, cfg *api.Config) {
		cfg.BodyTimeout = body
		d.Committer = &lateCommitter{Committer: d.Committer, t: t, after: 4 * body}
	})
	got := s.call("POST", "/api/v1/changes?wait=10s", `{"summary": "late"}`)
	if got.Status != http.StatusCreated || got.Header.Get("X-Whatchanged-Visible") != "true" {
		t.Errorf("%d %s %s", got.Status, got.Header, got.Body)
	}
}

// lateCommitter says that it has committed some time before it does.
type lateCommitter struct {
	api.Committer
	t     *testing.T
	after time.Duration
}

func (c *lateCommitter) Commit(ctx context.Context, d *change.Delivery) (bus.Position, error) {
	late := *d
	late.Body = slices.Clone(d.Body)
	time.AfterFunc(c.after, func() {
		if _, err := c.Committer.Commit(ctx, &late); err != nil {
			c.t.Error(err)
		}
	})
	return bus.Position{}, nil
}

// A wait that ends too early is still a 201, and says so.
func TestLog_WaitThatIsOverStillAnswersCreated(t *testing.T) {
	t.Parallel()
	// What this committer takes never reaches the pipeline.
	s := start(t, func(d *api.Deps, _ *api.Config) { d.Committer = failing{nil} })
	got := s.call("POST", "/api/v1/changes?wait=50ms", `{"summary": "now you do not"}`)
	if got.Status != http.StatusCreated || got.Header.Get("X-Whatchanged-Visible") != "false" {
		t.Errorf("%d %s %s", got.Status, got.Header, got.Body)
	}
	if got := s.call("POST", "/api/v1/changes", `{"summary": "no wait"}`); got.Header.Values("X-Whatchanged-Visible") != nil {
		t.Errorf("without wait: %s", got.Header)
	}
}

// The same Idempotency-Key is one change, for everybody who asks: at once,
// later from the store, and by another process.
func TestLog_SameIdempotencyKeyIsOneChange(t *testing.T) {
	t.Parallel()
	s := start(t)
	again := s.another() // a second API process, which remembers nothing of the first
	body := `{"summary": "Deploy v1"}`
	post := func(s *system, path, body string) answer {
		t.Helper()
		return s.call("POST", path, body, "Idempotency-Key", "job-17")
	}
	first := post(s, "/api/v1/changes?wait=10s", body)
	if first.Status != http.StatusCreated {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	eventually(t, func() error { // another process knows what is written
		page, err := s.admin.Deliveries(t.Context(), client.DeliveryFilter{Identity: "key:job-17"})
		return errors.Join(err, differ(1, len(page.Data)))
	})
	for name, other := range map[string]*system{"same process": s, "another process": again} {
		repeat := post(other, "/api/v1/changes", body)
		if diff := cmp.Diff(first.json(t), repeat.json(t)); diff != "" || repeat.Status != http.StatusCreated {
			t.Errorf("%s: %d (-first +repeat):\n%s", name, repeat.Status, diff)
		}
		if conflict := post(other, "/api/v1/changes", `{"summary": "Deploy v2"}`); conflict.Status != http.StatusConflict ||
			conflict.json(t)["reason"] != "idempotency_key_reused" {
			t.Errorf("%s, another body: %d %s", name, conflict.Status, conflict.Body)
		}
	}
	// All three are deliveries, and one is stored.
	eventually(t, func() error {
		page, err := s.admin.Deliveries(t.Context(), client.DeliveryFilter{Identity: "key:job-17"})
		if err != nil {
			return err
		}
		got := map[string]int{}
		for _, d := range page.Data {
			got[d.Outcome]++
		}
		return differ(map[string]int{"stored": 1, "duplicate": 2}, got)
	})
	if page, err := s.admin.Changes(t.Context(), client.ChangeFilter{}); err != nil || page.Meta.Total != 1 {
		t.Errorf("%d changes, %v", page.Meta.Total, err)
	}
	// Keys of two callers do not meet.
	s.key(orgName, registry.Key{Scopes: []string{auth.ChangesWrite}}, "key-of-another-caller")
	other := s.call("POST", "/api/v1/changes", body, "Idempotency-Key", "job-17", "Authorization", "Bearer key-of-another-caller")
	if other.Status != http.StatusCreated || other.json(t)["data"].(map[string]any)["id"] == first.json(t)["data"].(map[string]any)["id"] {
		t.Errorf("another caller: %d %s", other.Status, other.Body)
	}
}

// A key that was used for one service is not another service's.
func TestLog_IdempotencyKeyOfAnotherServiceIsAConflict(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, id := range []string{"svc_a", "svc_b"} {
		if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: id, Name: id}); err != nil {
			t.Fatal(err)
		}
	}
	post := func(s *system, service string, want int) {
		t.Helper()
		got := s.call("POST", "/api/v1/services/"+service+"/changes?wait=10s", `{"summary": "x"}`, "Idempotency-Key", "one")
		if got.Status != want {
			t.Errorf("%s: %d %s; want %d", service, got.Status, got.Body, want)
		}
	}
	post(s, "svc_a", http.StatusCreated)
	eventually(t, func() error {
		page, err := s.admin.Deliveries(t.Context(), client.DeliveryFilter{Identity: "key:one"})
		return errors.Join(err, differ(1, len(page.Data)))
	})
	post(s, "svc_b", http.StatusConflict)
	post(s.another(), "svc_b", http.StatusConflict)
	post(s, "svc_a", http.StatusCreated)
}

// Requests with one key that arrive together wait for the first of them.
func TestLog_SimultaneousRepeatsAgree(t *testing.T) {
	t.Parallel()
	s := start(t)
	var wg sync.WaitGroup
	ids := make([]any, 8)
	for i := range ids {
		wg.Go(func() {
			got := s.call("POST", "/api/v1/changes", `{"summary": "once"}`, "Idempotency-Key", "together")
			ids[i] = got.json(t)["data"].(map[string]any)["id"]
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("ids differ: %v", ids)
		}
	}
	eventually(t, func() error {
		page, err := s.admin.Changes(t.Context(), client.ChangeFilter{})
		if err != nil {
			return err
		}
		return differ(int64(1), page.Meta.Total)
	})
}

// What is answered is what is stored, whatever the registry adds: here the
// service that a repository belongs to.
func TestLog_RepositoryFindsItsService(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := s.admin.CreateService(t.Context(), client.NewService{ID: "svc_gw", Name: "Gateway", Repositories: []string{"acme/gw*"}})
	if err != nil {
		t.Fatal(err)
	}
	logged, err := s.admin.LogChange(t.Context(), client.NewChange{Summary: "x", Repository: "acme/gw-eu"}, client.WriteOptions{})
	if err != nil || logged.ServiceName != "Gateway" {
		t.Errorf("service %q %q, %v", logged.ServiceID, logged.ServiceName, err)
	}
}

// The bytes of the request are kept as they came.
func TestLog_PayloadIsTheRequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	body := "{ \"summary\" : \"spaces \u00e9\" ,\n \"metadata\": {\"n\": 12345678901234567890} }"
	got := s.call("POST", "/api/v1/changes?wait=10s", body)
	delivery := got.json(t)["data"].(map[string]any)["provenance"].(map[string]any)["delivery_id"].(string)
	payload := s.call("GET", "/api/v1/deliveries/"+delivery+"/payload", "")
	if payload.Body != body || payload.Header.Get("Content-Type") != "application/json" {
		t.Errorf("payload %q %s", payload.Body, payload.Header)
	}
}

// A caller who leaves while the bus is slow has still been taken in, and a
// repeat gets the same change.
func TestLog_CallerWhoLeavesIsRemembered(t *testing.T) {
	t.Parallel()
	slow := &slowCommitter{release: make(chan struct{}), began: make(chan struct{}, 1)}
	s := start(t, func(d *api.Deps, _ *api.Config) {
		slow.Committer = d.Committer
		d.Committer = slow
	})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	opt := client.WriteOptions{IdempotencyKey: "impatient"}
	go func() {
		_, err := s.admin.LogChange(ctx, client.NewChange{Summary: "slow"}, opt)
		left <- err
	}()
	<-slow.began
	leave()
	if err := <-left; err == nil {
		t.Fatal("the caller did not leave")
	}
	close(slow.release)
	again, err := s.admin.LogChange(t.Context(), client.NewChange{Summary: "slow"}, opt)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := s.admin.Change(t.Context(), again.ID)
		return err
	})
	if page, err := s.admin.Changes(t.Context(), client.ChangeFilter{}); err != nil || page.Meta.Total != 1 {
		t.Errorf("%d changes, %v", page.Meta.Total, err)
	}
}

// slowCommitter commits when it is released.
type slowCommitter struct {
	api.Committer
	began, release chan struct{}
}

func (c *slowCommitter) Commit(ctx context.Context, d *change.Delivery) (bus.Position, error) {
	select {
	case c.began <- struct{}{}:
	default:
	}
	select {
	case <-c.release:
	case <-time.After(10 * time.Second):
	}
	return c.Committer.Commit(ctx, d)
}
