package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"whatchanged/pkg/client"
)

// S1-27, S0-30: a change finds its service by itself, from a webhook and through the API.
func TestServices_ChangesFindTheirOwn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.service(client.NewService{ID: "svc_gateway", Name: "Gateway", Repositories: []string{"acme/gateway"}, Tags: []string{"service:gw-*"}})
	s.service(client.NewService{ID: "svc_cloud", Name: "Cloud", Accounts: []string{"123456789012"}, Resources: []string{"arn:aws:rds:*"}})
	f := func(in client.NewChange, id, name string) {
		t.Helper()
		in.Summary = "Deploy"
		logged := s.log(s.admin, in)
		stored, err := s.admin.Change(t.Context(), logged.ID)
		if err != nil {
			t.Fatal(err)
		}
		for where, got := range map[string][2]string{"answered": {logged.ServiceID, logged.ServiceName}, "stored": {stored.ServiceID, stored.ServiceName}} {
			if got != [2]string{id, name} {
				t.Errorf("%+v is %s with service %v, want %s %s", in, where, got, id, name)
			}
		}
	}
	f(client.NewChange{Repository: "acme/gateway"}, "svc_gateway", "Gateway")
	f(client.NewChange{Tags: []string{"release", "Service:GW-eu"}}, "svc_gateway", "Gateway")
	f(client.NewChange{Account: "123456789012"}, "svc_cloud", "Cloud")
	f(client.NewChange{Account: "123456789012", Tags: []string{"service:gw-us"}}, "svc_gateway", "Gateway")
	f(client.NewChange{Account: "1"}, "", "")
	f(client.NewChange{ServiceID: "svc_cloud", Repository: "acme/gateway"}, "svc_cloud", "Cloud")

	s.deliver(orgName, "src_hook", `{"action":"published","release":{"id":9,"tag_name":"v3"},"repository":{"full_name":"acme/gateway"}}`,
		http.Header{"X-Github-Event": {"release"}, "X-Github-Delivery": {"r1"}})
	page, err := s.admin.Changes(t.Context(), client.ChangeFilter{Source: "github"})
	if err != nil || len(page.Data) != 1 || page.Data[0].ServiceID != "svc_gateway" || page.Data[0].ServiceName != "Gateway" {
		t.Errorf("by webhook: %+v %v", page.Data, err)
	}
}

// S1-27: renaming a service does not rewrite history; what comes later has the new name.
func TestServices_RenamingDoesNotRewriteHistory(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.service(client.NewService{ID: "svc_shop", Name: "Shop", Repositories: []string{"acme/shop"}})
	s.log(s.admin, client.NewChange{Summary: "before", Repository: "acme/shop"})
	name := "Storefront"
	if _, err := s.admin.UpdateService(t.Context(), "svc_shop", client.ServicePatch{Name: &name}); err != nil {
		t.Fatal(err)
	}
	s.log(s.admin, client.NewChange{Summary: "after", Repository: "acme/shop"})
	page, err := s.admin.ServiceChanges(t.Context(), "svc_shop", client.ChangeFilter{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range page.Data {
		got[c.Summary] = c.ServiceName
	}
	if diff := cmp.Diff(map[string]string{"before": "Shop", "after": "Storefront"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// S1-27: what a service is given is kept, changed and emptied.
func TestServices_KeepOwnersDependenciesAndMappings(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.service(client.NewService{ID: "svc_db", Name: "DB"})
	in := client.NewService{
		ID: "svc_shop", Name: "Shop", Description: "sells", Owners: []string{"Jane Doe", "ops@example.com"}, Dependencies: []string{"svc_db"},
		Repositories: []string{"acme/shop"}, Resources: []string{"shop"}, Tags: []string{"team:shop"}, Accounts: []string{"123"},
	}
	want := client.Service{
		ID: in.ID, Name: in.Name, Description: in.Description, Owners: in.Owners, Dependencies: in.Dependencies,
		Repositories: in.Repositories, Resources: in.Resources, Tags: in.Tags, Accounts: in.Accounts,
	}
	times := cmpopts.IgnoreFields(client.Service{}, "CreatedAt", "UpdatedAt")
	s.service(in)
	got, err := s.admin.Service(t.Context(), in.ID)
	if diff := cmp.Diff(want, got, times); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	want.Owners, want.Tags, want.Dependencies, want.Accounts = []string{"joe"}, nil, nil, []string{"456", "7*"}
	got, err = s.admin.UpdateService(t.Context(), in.ID, client.ServicePatch{
		Owners: &[]string{"joe"}, Tags: &[]string{}, Dependencies: &[]string{}, Accounts: &[]string{"456", "7*"},
	})
	if diff := cmp.Diff(want, got, times, cmpopts.EquateEmpty()); diff != "" || err != nil {
		t.Errorf("patched: %v (-want +got):\n%s", err, diff)
	}
}

func TestServices_NameTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.service(client.NewService{ID: "svc_shop", Name: "Shop"})
	f := func(field, value string) {
		t.Helper()
		for method, path := range map[string]string{"POST": "/api/v1/services", "PATCH": "/api/v1/services/svc_shop"} {
			got := s.call(method, path, `{"name": "X `+strings.ToLower(method)+`", "`+field+`": `+value+`}`)
			if got.Status != http.StatusBadRequest || !strings.HasPrefix(got.json(t)["field"].(string), field) {
				t.Errorf("%s %s = %.60s: %d %s", method, field, value, got.Status, got.Body)
			}
		}
	}
	long := `["` + strings.Repeat("x", 401) + `"]`
	for _, field := range []string{"owners", "tags", "accounts", "repositories", "resources", "dependencies"} {
		f(field, `"text"`)
		f(field, `[1]`)
		f(field, `[""]`)
		f(field, `["a\nb"]`)
		f(field, long)
		f(field, `["x"`+strings.Repeat(`,"x"`, 1000)+`]`)
	}
	f("dependencies", `["svc_nobody"]`)
	f("owner", `["x"]`)
	if got := s.call("PATCH", "/api/v1/services/svc_shop", `{"dependencies": ["svc_shop"]}`); got.Status != http.StatusBadRequest || got.json(t)["field"] != "dependencies" {
		t.Errorf("on itself: %d %s", got.Status, got.Body)
	}
}
