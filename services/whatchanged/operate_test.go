package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/health"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// A process without the API shows its metrics to whom the API would.
func TestMayOperate_IsForWhoRunsTheInstallation(t *testing.T) {
	s := &server{registry: newSettings(t).registry}
	if _, err := s.registry.CreateOrg(t.Context(), registry.Org{ID: registry.DefaultOrg, Name: "Default"}); err != nil {
		t.Fatal(err)
	}
	for secret, k := range map[string]registry.Key{
		"key-of-who-runs-all":   {Org: registry.DefaultOrg, Name: "operator", Scopes: []auth.Scope{auth.Admin}},
		"key-of-who-only-reads": {Org: registry.DefaultOrg, Name: "reader", Scopes: []auth.Scope{auth.ChangesRead}},
		"key-of-a-tenant-admin": {Org: "acme", Name: "tenant", Scopes: []auth.Scope{auth.Admin}, Role: auth.SiteAdmin},
	} {
		if _, err := s.registry.ImportKey(t.Context(), k, secret); err != nil {
			t.Fatal(err)
		}
	}
	f := func(from, key, want string, headers ...string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr = from
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		for _, name := range headers {
			r.Header.Set(name, "127.0.0.1")
		}
		got := ""
		if err := s.mayOperate(r); err != nil {
			got = problem.From(err).Reason
		}
		if got != want {
			t.Errorf("from %s with %q: %q, want %q", from, key, got, want)
		}
	}
	f("127.0.0.1:5000", "", "")
	f("127.0.0.1:5000", "", "unauthenticated", "X-Forwarded-For")
	f("10.0.0.1:5000", "key-of-who-runs-all", "")
	f("10.0.0.1:5000", "key-of-who-only-reads", "missing_scope")
	f("10.0.0.1:5000", "key-of-a-tenant-admin", "not_the_operator")
}

func TestDrain_ASecondSignalEndsIt(t *testing.T) {
	kept := make(chan os.Signal, 1)
	signal.Notify(kept, syscall.SIGTERM) // or the test ends with it
	defer signal.Stop(kept)
	log := slog.New(slog.DiscardHandler)
	s := &server{cfg: Config{DrainDelay: time.Hour}, log: log, health: health.New(log, prometheus.NewRegistry())}
	drained := make(chan struct{})
	go func() {
		s.drain()
		close(drained)
	}()
	for deadline := time.After(15 * time.Second); ; {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-drained:
			return
		case <-deadline:
			t.Fatal("it goes on")
		case <-time.After(10 * time.Millisecond): // perhaps it did not listen yet
		}
	}
}
