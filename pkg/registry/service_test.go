package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// S0-30: a change finds its service by what is nearest to the thing.
func TestFindService_PrefersWhatIsNearest(t *testing.T) {
	r, _ := openBootstrapped(t)
	clock := time.Now()
	r.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	for _, s := range []Service{
		{ID: "svc_account", Name: "by account", Accounts: []string{"1234", "prod-*"}},
		{ID: "svc_tag", Name: "by tag", Tags: []string{"Service:API", "team:x*"}},
		{ID: "svc_resource", Name: "by resource", Resources: []string{"gateway"}},
		{ID: "svc_glob", Name: "by glob", Repositories: []string{"acme/*"}},
		{ID: "svc_exact", Name: "by repository", Repositories: []string{"acme/gateway"}},
		{ID: "svc_name", Name: "By Name"},
	} {
		s.Org = DefaultOrg
		if _, err := r.CreateService(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	c := change.Change{
		ServiceName: "by name", Repository: "acme/gateway", Resource: change.Resource{ID: "Gateway"},
		Tags: []string{"tier:1", "service:api"}, Account: "1234",
	}
	f := func(want string, edit func()) {
		t.Helper()
		edit()
		if got, _ := r.FindService(DefaultOrg, &c); got.ID != want {
			t.Errorf("%+v belongs to %q, want %q", c, got.ID, want)
		}
	}
	f("svc_name", func() {})
	f("svc_exact", func() { c.ServiceName = "nobody's" })
	f("svc_glob", func() { c.Repository = "acme/other" })
	f("svc_resource", func() { c.Repository = "else/where" })
	f("svc_tag", func() { c.Resource.ID = "db" })
	f("svc_resource", func() { c.Resource.Name = "gateway" })
	f("svc_tag", func() { c.Resource.Name = "" })
	f("svc_tag", func() { c.Tags = []string{"team:xyz"} })
	f("svc_account", func() { c.Tags = []string{"team:a"} })
	f("svc_account", func() { c.Account = "PROD-7" })
	f("", func() { c.Account = "dev" })
}

func TestService_DependsOnWhatExists(t *testing.T) {
	r, _ := openBootstrapped(t)
	create := func(id string, dependencies ...string) error {
		_, err := r.CreateService(t.Context(), Service{ID: id, Org: DefaultOrg, Name: id, Dependencies: dependencies})
		return err
	}
	depend := func(id string, dependencies ...string) error {
		_, err := r.UpdateService(t.Context(), DefaultOrg, id, func(s *Service) error { s.Dependencies = dependencies; return nil })
		return err
	}
	refused := func(what string, err error) {
		t.Helper()
		if problem.KindOf(err) != problem.Malformed || problem.From(err).Field != "dependencies" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, err := range []error{create("svc_a"), create("svc_b", "svc_a"), depend("svc_a", "svc_b")} { // a circle
		if err != nil {
			t.Fatal(err)
		}
	}
	refused("on nobody", create("svc_c", "svc_nobody"))
	refused("on nobody, later", depend("svc_a", "svc_b", "svc_nobody"))
	refused("on itself", depend("svc_a", "svc_a"))
	if err := r.DeleteService(t.Context(), DefaultOrg, "svc_b"); err != nil {
		t.Fatal(err)
	}
	renamed, err := r.UpdateService(t.Context(), DefaultOrg, "svc_a", func(s *Service) error { s.Name = "still works"; return nil })
	if diff := cmp.Diff([]string{"svc_b"}, renamed.Dependencies); diff != "" || err != nil {
		t.Errorf("after a dependency was deleted: %v (-want +got):\n%s", err, diff)
	}
}
