package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/fair"
	"whatchanged/pkg/registry"
	"whatchanged/services/api"
)

const operatorKey = "key-of-who-runs-the-installation"

// withLimits gives the API what counts by org.
func withLimits(t *testing.T, edit func(*fair.Config)) func(*api.Deps, *api.Config) {
	return func(d *api.Deps, _ *api.Config) {
		cfg := fair.DefaultConfig()
		edit(&cfg)
		var err error
		if d.Orgs, err = fair.New(fair.Deps{Registry: d.Registry, Log: d.Log, Metrics: prometheus.NewRegistry()}, cfg); err != nil {
			t.Fatal(err)
		}
	}
}

// operator is who runs the installation.
func (s *system) operator() *client.Client {
	s.t.Helper()
	s.org(registry.DefaultOrg)
	s.key(registry.DefaultOrg, registry.Key{Scopes: []string{auth.Admin}, Role: auth.SiteAdmin}, operatorKey)
	return s.client(operatorKey)
}

func TestOrgs_AreManagedByTheOrgThatRunsTheInstallation(t *testing.T) {
	t.Parallel()
	s := start(t)
	operator := s.operator()

	made, err := operator.CreateOrg(t.Context(), client.NewOrg{ID: "tenant", Name: "Tenant"})
	if err != nil {
		t.Fatal(err)
	}
	tenant := s.client(made.APIKey)
	changed, err := operator.UpdateAnyOrg(t.Context(), "tenant", client.OrgPatch{RequestsPerSecond: new(int64(50)), QuotaBytes: new(int64(1 << 30))})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tenant.Org(t.Context())
	want := client.Org{ID: "tenant", Name: "Tenant", RequestsPerSecond: 50, QuotaBytes: 1 << 30, CreatedAt: made.CreatedAt}
	if diff := cmp.Diff([]client.Org{want, want}, []client.Org{got, changed}); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}

	// The tenant says how long its own things stay, and no more than that.
	if got, err = tenant.UpdateOrg(t.Context(), client.OrgPatch{ChangeDays: new(400)}); err != nil || got.ChangeDays != 400 || got.QuotaBytes != 1<<30 {
		t.Errorf("%+v %v", got, err)
	}
	for name, f := range map[string]func() error{
		"its own quota": func() error {
			_, err := tenant.UpdateOrg(t.Context(), client.OrgPatch{QuotaBytes: new(int64(-1))})
			return err
		},
		"another's quota": func() error {
			_, err := tenant.UpdateAnyOrg(t.Context(), orgName, client.OrgPatch{QuotaBytes: new(int64(1))})
			return err
		},
		"all orgs":  func() error { _, err := tenant.Orgs(t.Context()); return err },
		"a new org": func() error { _, err := tenant.CreateOrg(t.Context(), client.NewOrg{ID: "x", Name: "x"}); return err },
	} {
		if p := problemOf(f()); p.Status != http.StatusForbidden || p.Reason != "not_the_operator" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	all, err := operator.Orgs(t.Context())
	if err != nil || len(all) != 3 {
		t.Errorf("all orgs: %+v %v", all, err)
	}
	for field, patch := range map[string]client.OrgPatch{
		"payload_days": {PayloadDays: new(13)}, "request_burst": {RequestBurst: new(int64(-1))}, "quota_bytes": {QuotaBytes: new(int64(-2))},
	} {
		if _, err := operator.UpdateAnyOrg(t.Context(), "tenant", patch); problemOf(err).Field != field || problemOf(err).Status != 400 {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := operator.UpdateAnyOrg(t.Context(), "nobody", client.OrgPatch{}); problemOf(err).Status != 404 {
		t.Errorf("an org that is not there: %v", err)
	}

	events := func(org string) (all []string) {
		for _, e := range s.eventsOf(tenant, org) {
			all = append(all, e.Description)
		}
		return all
	}
	eventually(t, func() error {
		return differ([]string{
			"Updated organisation 'Tenant': retention changed from '' to {\"change_days\":400}",
			"Updated organisation 'Tenant': limits changed from '' to {\"requests_per_second\":50}, quota_bytes changed from '' to '1073741824'",
			"Created organisation 'Tenant'",
		}, events("tenant"))
	})
}

// eventsOf returns what the trail says of an org, the newest first.
func (s *system) eventsOf(c *client.Client, id string) []client.AuditEvent {
	s.t.Helper()
	page, err := c.AuditEvents(s.t.Context(), client.AuditFilter{ObjectID: id})
	if err != nil {
		s.t.Fatal(err)
	}
	return page.Data
}

// An org whose first key could not be made is not lost.
func TestOrgs_TheFirstKeyCanBeAskedForAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	operator := s.operator()
	s.org("tenant") // and no key
	made, err := operator.CreateOrg(t.Context(), client.NewOrg{ID: "tenant", Name: "Tenant"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.client(made.APIKey).Org(t.Context()); err != nil || got.ID != "tenant" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := operator.CreateOrg(t.Context(), client.NewOrg{ID: "tenant", Name: "Tenant"}); problemOf(err).Reason != "exists" {
		t.Errorf("again: %v", err)
	}
}

func TestOrgs_UsageIsTheOrgsOwn(t *testing.T) {
	t.Parallel()
	s := start(t, withLimits(t, func(c *fair.Config) { c.OrgQuota = 5000 }))
	got, err := s.admin.OrgUsage(t.Context())
	if diff := cmp.Diff(client.OrgUsage{QuotaBytes: 5000, Tables: []client.TableUsage{}}, got); err != nil || diff != "" {
		t.Errorf("before anything: %v (-want +got):\n%s", err, diff)
	}
	s.log(s.admin, client.NewChange{Summary: "one"})
	if _, err := s.store.MeasureUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err = s.admin.OrgUsage(t.Context()); err != nil || len(got.Tables) != 3 || got.Bytes <= 0 || time.Since(got.MeasuredAt.Time) > time.Hour {
		t.Errorf("%+v %v", got, err)
	}
}

func TestOrgs_WritesAboveTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, withLimits(t, func(c *fair.Config) { c.OrgRate, c.OrgBurst = 1, 2 }))
	var refused *client.Problem
	for range 20 {
		if _, err := s.admin.LogChange(t.Context(), client.NewChange{Summary: "x"}, client.WriteOptions{}); err != nil {
			refused = problemOf(err)
			break
		}
	}
	if refused == nil || refused.Status != 429 || refused.Reason != "org_rate_limited" {
		t.Errorf("%+v", refused)
	}
	if _, err := s.admin.Changes(t.Context(), client.ChangeFilter{}); err != nil {
		t.Errorf("reading goes on: %v", err)
	}
}

func TestOrgs_IncidentsCountAsChangesDo(t *testing.T) {
	t.Parallel()
	s := start(t, withLimits(t, func(c *fair.Config) { c.OrgRate, c.OrgBurst = 1, 1000 }))
	made := s.createIncident(client.NewIncident{Title: "before the limit"})
	if _, err := s.registry.UpdateOrg(t.Context(), orgName, func(o *registry.Org) error {
		o.Limits.Bytes, o.Limits.ByteBurst = 1, 1 // one body, however small
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.run(s.deps.Orgs.Run)
	eventually(t, func() error {
		_, err := s.admin.CreateIncident(t.Context(), client.NewIncident{Title: "above it"}, client.WriteOptions{})
		return differ("org_bytes_limited", problemOf(err).Reason)
	})
	if err := s.registry.SetUsage(t.Context(), registry.Usage{Org: orgName, Bytes: 100, MeasuredAt: change.At(time.Now())}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.registry.UpdateOrg(t.Context(), orgName, func(o *registry.Org) error {
		o.QuotaBytes = 100
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := s.admin.ResolveIncident(t.Context(), made.ID, client.Resolution{}, client.WriteOptions{})
		return differ("quota", problemOf(err).Reason)
	})
	if got, err := s.admin.Incident(t.Context(), made.ID); err != nil || got.Status != "open" {
		t.Errorf("reading goes on: %+v %v", got, err)
	}
}

func TestOrgs_AtTheQuotaNothingIsWrittenAndAllIsRead(t *testing.T) {
	t.Parallel()
	s := start(t, withLimits(t, func(c *fair.Config) { c.OrgQuota = 100 }))
	kept := s.log(s.admin, client.NewChange{Summary: "kept"})
	if err := s.registry.SetUsage(t.Context(), registry.Usage{Org: orgName, Bytes: 100, MeasuredAt: change.At(time.Now())}); err != nil {
		t.Fatal(err)
	}
	s.run(s.deps.Orgs.Run)
	eventually(t, func() error {
		_, err := s.admin.LogChange(t.Context(), client.NewChange{Summary: "x"}, client.WriteOptions{})
		return differ("quota", problemOf(err).Reason)
	})
	if got, err := s.admin.Change(t.Context(), kept.ID); err != nil || got.Summary != "kept" {
		t.Errorf("what was stored: %+v %v", got, err)
	}
}
