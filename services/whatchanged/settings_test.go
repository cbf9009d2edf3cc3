package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/app"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/registry"
)

// newSettings returns settings on a running registry with the default org.
func newSettings(tb testing.TB) *settings {
	tb.Helper()
	b, log := bustest.New(tb), bustest.Log(tb)
	reg, err := registry.Open(tb.Context(), b.KV(bus.BucketRegistry), log, prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	parts := app.NewGroup(log)
	parts.Start("registry", reg.Run)
	tb.Cleanup(func() {
		if err := parts.Stop(grace); err != nil {
			tb.Error(err)
		}
	})
	if _, err := reg.CreateOrg(tb.Context(), registry.Org{ID: "acme", Name: "acme"}); err != nil {
		tb.Fatal(err)
	}
	for _, s := range []registry.Service{
		{ID: "svc_org", Name: "the org's", Repositories: []string{"acme/*"}}, {ID: "svc_own", Name: "the source's"}, {ID: "svc_else", Name: "default"},
	} {
		s.Org = "acme"
		if _, err := reg.CreateService(tb.Context(), s); err != nil {
			tb.Fatal(err)
		}
	}
	return &settings{registry: reg}
}

func TestSettings_FollowTheRegistry(t *testing.T) {
	s := newSettings(t)
	src, _, err := s.registry.CreateSource(t.Context(), registry.Source{
		Org: "acme", Name: "x", DefaultServiceID: "svc_else", IgnoreBranches: []string{"renovate/*"},
		Services: []registry.ServiceMapping{{Match: "acme/api-*", ServiceID: "svc_own"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	find := func(sourceID, repository, want string) {
		t.Helper()
		got, _ := s.of("acme", sourceID).FindService(&change.Change{Repository: repository})
		if got.ID != want {
			t.Errorf("%s of %s belongs to %q, want %q", repository, sourceID, got.ID, want)
		}
	}
	find(src.ID, "acme/api-web", "svc_own") // before what the org says
	find(src.ID, "acme/web", "svc_org")
	find("key_none", "acme/api-web", "svc_org")
	if got, ok := s.of("nobody", src.ID).FindService(&change.Change{Repository: "acme/web"}); ok {
		t.Errorf("another org finds %v", got)
	}

	if got := s.of("acme", src.ID); got.DefaultService.Name != "default" || len(got.IgnoreBranches) != 1 || got.DefaultEnvironment != "" {
		t.Errorf("settings %+v", got)
	}
	if _, err := s.registry.UpdateService(t.Context(), "acme", "svc_else", func(s *registry.Service) error { s.Name = "renamed"; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.registry.UpdateSource(t.Context(), "acme", src.ID, func(s *registry.Source) error {
		s.DefaultEnvironment, s.Services = "staging", nil
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := s.of("acme", src.ID); got.DefaultService.Name != "renamed" || got.DefaultEnvironment != "staging" {
		t.Errorf("settings after an update: %+v", got)
	}
	find(src.ID, "acme/api-web", "svc_org")
	if err := s.registry.DeleteSource(t.Context(), "acme", src.ID); err != nil {
		t.Fatal(err)
	}
	if got := s.of("acme", src.ID); got.DefaultEnvironment != "" || got.DefaultService.ID != "" {
		t.Errorf("settings of a source that is gone: %+v", got)
	}
}

func TestSettings_CostNothingPerDelivery(t *testing.T) {
	s := newSettings(t)
	src, _, err := s.registry.CreateSource(t.Context(), registry.Source{
		Org: "acme", Name: "x", DefaultServiceID: "svc_else", Services: []registry.ServiceMapping{{Match: "acme/api-*", ServiceID: "svc_own"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &change.Change{Repository: "acme/api-web", Resource: change.Resource{ID: "x", Name: "y"}, Tags: []string{"team:a"}, Account: "1"}
	for _, id := range []string{src.ID, "key_none"} {
		n := testing.AllocsPerRun(100, func() {
			settings := s.of("acme", id)
			if _, ok := settings.FindService(c); !ok {
				t.Error("not found")
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", id, n)
		}
	}
}
