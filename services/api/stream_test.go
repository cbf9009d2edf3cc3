package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
	"whatchanged/services/api"
)

// tail follows the stream and sends each event, as "name data", and each
// comment to the channel, until the test ends.
func (s *system) tail(query, key string) (events <-chan string, end func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/changes/stream?"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := s.Client().Do(r) //nolint:bodyclose // the goroutine below closes it
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(res.Body)
		s.t.Fatalf("%d %s %s", res.StatusCode, res.Header, text)
	}
	out := make(chan string, 1000)
	go func() {
		defer close(out)
		defer res.Body.Close()
		name := ""
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			switch line := lines.Text(); {
			case strings.HasPrefix(line, ":"):
				out <- line
			case strings.HasPrefix(line, "event: "):
				name = line[len("event: "):]
			case strings.HasPrefix(line, "data: "):
				out <- name + " " + line[len("data: "):]
			}
		}
	}()
	s.t.Cleanup(cancel)
	return out, cancel
}

// next returns the next event that begins with prefix.
func next(t *testing.T, events <-chan string, prefix string) string {
	t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream ended before %q", prefix)
			}
			if strings.HasPrefix(e, prefix) {
				return e
			}
		case <-deadline:
			t.Fatalf("no %q within 15s", prefix)
		}
	}
}

// live waits until the tail shows what is logged, by logging until it does.
func (s *system) live(events <-chan string, in client.NewChange) {
	s.t.Helper()
	eventually(s.t, func() error {
		if _, err := s.admin.LogChange(s.t.Context(), in, client.WriteOptions{}); err != nil {
			return err
		}
		select {
		case e := <-events:
			if strings.HasPrefix(e, "change ") {
				return nil
			}
		case <-time.After(300 * time.Millisecond):
		}
		return fmt.Errorf("the tail shows nothing")
	})
}

func TestStream_ShowsWhatIsLoggedAndMatches(t *testing.T) {
	t.Parallel()
	s := start(t)
	events, _ := s.tail("environment=production&q=DEPLOY", adminKey)
	s.live(events, client.NewChange{Summary: "Deploy now"})
	for _, in := range []client.NewChange{
		{Summary: "Deploy there", Environment: "staging"},
		{Summary: "Redeploy"},
		{Summary: "deploy: last"},
	} {
		s.log(s.admin, in)
	}
	for {
		e := next(t, events, "change ")
		if strings.Contains(e, "there") || strings.Contains(e, "Redeploy") {
			t.Errorf("does not match the filter: %s", e)
		}
		if strings.Contains(e, "last") {
			return
		}
	}
}

// A change that names no action has that of its type, as in lists.
func TestStream_KnowsTheActionOfAType(t *testing.T) {
	t.Parallel()
	s := start(t)
	events, _ := s.tail("action=deployment.*", adminKey)
	s.live(events, client.NewChange{Summary: "Deploy", Type: "deployment"})
}

// C21 for the live tail.
func TestStream_ShowsOneOrgOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.org("evil")
	s.key("evil", registry.Key{Scopes: []string{auth.Admin}}, "key-of-the-other-org")
	evil, _ := s.tail("", "key-of-the-other-org")
	mine, _ := s.tail("", adminKey)
	s.live(mine, client.NewChange{Summary: "zebra"})
	// The other org's own change comes after acme's; had they been sent, they were here before.
	other := s.client("key-of-the-other-org")
	if _, err := other.LogChange(t.Context(), client.NewChange{Summary: "own"}, client.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if e := next(t, evil, "change "); !strings.Contains(e, "own") {
		t.Errorf("another org's change: %s", e)
	}
}

// A heartbeat comes for as long as the reader stays, not only for as long as a
// request may take to arrive.
func TestStream_HeartbeatShowsThatItIsAlive(t *testing.T) {
	t.Parallel()
	const every = readTimeout / 4
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.Heartbeat = every })
	events, _ := s.tail("", adminKey)
	next(t, events, ": connected")
	for range 2 * (readTimeout / every) {
		next(t, events, ": heartbeat")
	}
}

// C29: a key may have so many tails and no more; one that is closed makes room.
func TestStream_HasACapPerKey(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.MaxKeyTails = 2 })
	_, end := s.tail("", adminKey)
	s.tail("", adminKey)
	if got := s.call("GET", "/api/v1/changes/stream", ""); got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("the third: %d %s %s", got.Status, got.Header, got.Body)
	}
	end()
	eventually(t, func() error {
		if got := s.call("GET", "/metrics", "").Body; !strings.Contains(got, "whatchanged_api_tails 1\n") {
			return fmt.Errorf("the closed tail is still counted")
		}
		return nil
	})
	s.tail("", adminKey)
}

// C29: a tail ends with the right to it.
func TestStream_EndsWithItsKey(t *testing.T) {
	t.Parallel()
	s := start(t, func(_ *api.Deps, cfg *api.Config) { cfg.Heartbeat = 20 * time.Millisecond })
	made := s.key(orgName, registry.Key{Scopes: []string{auth.ChangesRead}}, "key-that-will-be-deleted")
	events, _ := s.tail("", "key-that-will-be-deleted")
	next(t, events, ": connected")
	if err := s.admin.DeleteKey(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events, "end "); e != `end {"reason":"key_ended"}` {
		t.Error(e)
	}
}

// The Go client follows too, and stops when it is told.
func TestStream_ClientFollows(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen := make(chan string)
	go func() {
		defer close(seen)
		for c, err := range s.admin.Tail(ctx, client.ChangeFilter{Source: "jenkins", Limit: 5}) {
			if err != nil {
				return
			}
			select {
			case seen <- c.Summary:
			case <-ctx.Done():
			}
		}
	}()
	events := make(chan string)
	go func() {
		defer close(events)
		for summary := range seen {
			events <- "change " + summary
		}
	}()
	s.live(events, client.NewChange{Summary: "followed", Source: "jenkins"})
	stop()
	for range events {
	}
	wrong := s.client("unknown-key-of-nobody")
	for _, err := range wrong.Tail(t.Context(), client.ChangeFilter{}) {
		if diff := cmp.Diff(http.StatusUnauthorized, problemOf(err).Status); diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}
