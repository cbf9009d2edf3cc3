package api_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
)

// S1-27: the story of a service.
func TestServices_Story(t *testing.T) {
	t.Parallel()
	s := start(t)
	made, err := s.admin.CreateService(t.Context(), client.NewService{Name: "Gateway", Repositories: []string{"acme/gw"}})
	if err != nil || !strings.HasPrefix(made.ID, "svc_") {
		t.Fatalf("%+v %v", made, err)
	}
	if _, err := s.admin.CreateService(t.Context(), client.NewService{Name: "gateway"}); problemOf(err).Status != http.StatusConflict {
		t.Errorf("the same name again: %v", err)
	}
	if _, err := s.admin.CreateService(t.Context(), client.NewService{ID: made.ID, Name: "Other"}); problemOf(err).Status != http.StatusConflict {
		t.Errorf("the same id again: %v", err)
	}
	name := "API Gateway"
	want := made
	want.Name = name
	patched, err := s.admin.UpdateService(t.Context(), made.ID, client.ServicePatch{Name: &name})
	if diff := cmp.Diff(want, patched, cmpopts.IgnoreFields(client.Service{}, "UpdatedAt")); diff != "" || err != nil {
		t.Errorf("patched %v (-want +got):\n%s", err, diff)
	}
	logged := s.log(s.admin, client.NewChange{Summary: "x", ServiceID: made.ID})
	if err := s.admin.DeleteService(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.admin.Service(t.Context(), made.ID); problemOf(err).Status != http.StatusNotFound {
		t.Errorf("deleted: %v", err)
	}
	if kept, err := s.admin.Change(t.Context(), logged.ID); err != nil || kept.ServiceName != name {
		t.Errorf("its change: %q %v", kept.ServiceName, err)
	}
}

// Lists of what is configured have pages too.
func TestServices_PagesGiveEachOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, name := range []string{"a", "b", "c"} {
		if _, err := s.admin.CreateService(t.Context(), client.NewService{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	f := func(query string, count int, meta map[string]any) {
		t.Helper()
		got := s.call("GET", "/api/v1/services?"+query, "").json(t)
		if diff := cmp.Diff(meta, got["meta"]); diff != "" || len(got["data"].([]any)) != count {
			t.Errorf("%s: %d entries, want %d; meta (-want +got):\n%s", query, len(got["data"].([]any)), count, diff)
		}
	}
	f("limit=2", 2, map[string]any{"total": 3.0, "limit": 2.0, "offset": 0.0, "has_more": true})
	f("limit=2&offset=2", 1, map[string]any{"total": 3.0, "limit": 2.0, "offset": 2.0, "has_more": false})
	f("offset=9", 0, map[string]any{"total": 3.0, "limit": 25.0, "offset": 9.0, "has_more": false})
}

// The story of a source: its token and secrets are shown once or never.
func TestSources_Story(t *testing.T) {
	t.Parallel()
	s := start(t)
	const secret = "s3cret-of-github"
	body := `{"name": "GitHub", "provider": "github", "auth": "github_hmac", "secrets": ["` + secret + `"], "ignore_events": ["github.push"]}`
	got := s.call("POST", "/api/v1/sources", body)
	if got.Status != http.StatusCreated || strings.Contains(got.Body, secret) {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	made := got.json(t)["data"].(map[string]any)
	id, token := made["id"].(string), made["token"].(string)
	if want := "https://changes.example.com/api/webhooks/incoming/changes/" + token; made["webhook_url"] != want {
		t.Errorf("webhook_url %v, want %s", made["webhook_url"], want)
	}
	if _, ok := s.registry.SourceByToken(token); !ok {
		t.Error("the token opens nothing")
	}

	name, off := "GitHub, acme", true
	if patched, err := s.admin.UpdateSource(t.Context(), id, client.SourcePatch{Name: &name, Disabled: &off}); err != nil ||
		patched.Name != name || !patched.Disabled || len(patched.Secrets) != 1 || patched.Provider != "github" {
		t.Errorf("patched %+v %v", patched, err)
	}
	on, none := false, "none"
	if patched, err := s.admin.UpdateSource(t.Context(), id, client.SourcePatch{Disabled: &on, Auth: &none}); err != nil || len(patched.Secrets) != 0 {
		t.Errorf("auth none keeps no secret: %+v %v", patched, err)
	}

	rotated, err := s.admin.RotateSource(t.Context(), id)
	if err != nil || rotated.Token == token {
		t.Fatalf("%+v %v", rotated, err)
	}
	if day := time.Until(rotated.OldTokenUntil.Time); day < 23*time.Hour || day > 24*time.Hour {
		t.Errorf("old_token_until %s", rotated.OldTokenUntil)
	}
	for _, works := range []string{token, rotated.Token} {
		if _, ok := s.registry.SourceByToken(works); !ok {
			t.Error("during the overlap both tokens work")
		}
	}
	leaked, err := s.admin.RotateSourceWithin(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{token, rotated.Token} {
		if _, ok := s.registry.SourceByToken(old); ok {
			t.Error("without an overlap an old token still works")
		}
	}

	for _, path := range []string{"/api/v1/sources", "/api/v1/sources/" + id} {
		for _, hidden := range []string{secret, token, rotated.Token, leaked.Token} {
			if got := s.call("GET", path, ""); strings.Contains(got.Body, hidden) {
				t.Errorf("GET %s shows a secret: %s", path, got.Body)
			}
		}
	}
	if err := s.admin.DeleteSource(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.registry.SourceByToken(leaked.Token); ok {
		t.Error("a deleted source's token still works")
	}
}

// The story of a key: shown once, importable, never mightier than its maker.
func TestKeys_Story(t *testing.T) {
	t.Parallel()
	s := start(t)
	made, err := s.admin.CreateKey(t.Context(), client.NewKey{Name: "ci", Scopes: []string{auth.ChangesWrite}})
	if err != nil || !strings.HasPrefix(made.Secret, "wc_live_") {
		t.Fatalf("%+v %v", made, err)
	}
	if _, err := s.client(made.Secret).LogChange(t.Context(), client.NewChange{Summary: "x"}, client.WriteOptions{}); err != nil {
		t.Error(err)
	}
	// Decision 6: keys of other products come along as they are.
	const old = "imk_sk_live_0123456789"
	if _, err := s.admin.CreateKey(t.Context(), client.NewKey{Name: "old", Scopes: []string{auth.ChangesRead}, Secret: old}); err != nil {
		t.Error(err)
	}
	if _, err := s.client(old).Changes(t.Context(), client.ChangeFilter{}); err != nil {
		t.Error(err)
	}
	got := s.call("GET", "/api/v1/keys", "")
	for _, hidden := range []string{made.Secret, old, adminKey} {
		if strings.Contains(got.Body, hidden) {
			t.Errorf("the list shows a key: %s", got.Body)
		}
	}

	clerk := s.key(orgName, registry.Key{Scopes: []string{auth.KeysAdmin, auth.ChangesRead}, Role: auth.Member}, "key-of-a-clerk-of-keys")
	c := s.client("key-of-a-clerk-of-keys")
	if _, err := c.CreateKey(t.Context(), client.NewKey{Name: "x", Scopes: []string{auth.ChangesRead}}); err != nil {
		t.Error(err)
	}
	for _, mightier := range []client.NewKey{
		{Name: "x", Scopes: []string{auth.Admin}},
		{Name: "x", Scopes: []string{auth.ChangesRead, auth.SourcesAdmin}},
		{Name: "x", Scopes: []string{auth.ChangesRead}, Role: auth.SiteAdmin},
	} {
		if _, err := c.CreateKey(t.Context(), mightier); problemOf(err).Status != http.StatusForbidden {
			t.Errorf("%+v: %v", mightier, err)
		}
	}
	keys, err := s.admin.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.admin.DeleteKey(t.Context(), keys[0].ID); problemOf(err).Reason != "last_admin_key" {
		t.Errorf("the last admin key: %v", err)
	}
	if err := s.admin.DeleteKey(t.Context(), clerk.ID); err != nil {
		t.Error(err)
	}
}

// What arrived is shown with what became of it, byte for byte, and neither a
// browser nor a proxy is invited to make anything of it.
func TestDeliveries_ShowWhatArrived(t *testing.T) {
	t.Parallel()
	s := start(t)
	body := `{"title": "<script>alert(1)</script>"}`
	header := http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Idempotency-Key": {"one"}}
	id := s.deliver(orgName, "src_web", body, header)
	d, err := s.admin.Delivery(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if d.Outcome != "stored" || d.SourceID != "src_web" || d.Identity != "key:one" || d.Changes != 1 || d.Size != len(body) || d.Provider != "generic" {
		t.Errorf("%+v", d)
	}
	payload, err := s.admin.Payload(t.Context(), id)
	if diff := cmp.Diff(client.Payload{ContentType: "text/html; charset=utf-8", Body: []byte(body)}, payload); diff != "" || err != nil {
		t.Errorf("payload %v (-want +got):\n%s", err, diff)
	}
	h := s.call("GET", "/api/v1/deliveries/"+id.String()+"/payload", "").Header
	want := []string{"nosniff", `attachment; filename="` + id.String() + `"`, "no-store"}
	got := []string{h.Get("X-Content-Type-Options"), h.Get("Content-Disposition"), h.Get("Cache-Control")}
	if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("headers %s (-want +got):\n%s", h, diff)
	}
	for _, f := range []client.DeliveryFilter{{Outcome: "stored"}, {Provider: "generic"}, {SourceID: "src_web"}, {Identity: "key:one"}} {
		if page, err := s.admin.Deliveries(t.Context(), f); err != nil || page.Meta.Total != 1 {
			t.Errorf("%+v: %d deliveries, %v", f, page.Meta.Total, err)
		}
	}
	if page, err := s.admin.Deliveries(t.Context(), client.DeliveryFilter{Outcome: "dead"}); err != nil || page.Meta.Total != 0 {
		t.Errorf("dead: %+v %v", page, err)
	}
	page, err := s.admin.Changes(t.Context(), client.ChangeFilter{DeliveryID: id.String()})
	if err != nil || len(page.Data) != 1 {
		t.Errorf("what it made: %+v %v", page, err)
	}
}

func TestStats_CountsByWhatIsAsked(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.logAll(
		client.NewChange{Summary: "a", Source: "jenkins"},
		client.NewChange{Summary: "b", Source: "jenkins", Type: "rollback"},
		client.NewChange{Summary: "c", Source: "argo"})
	rows, err := s.admin.Stats(t.Context(), client.StatsFilter{By: []string{"source"}})
	want := []client.StatsRow{{Group: map[string]string{"source": "jenkins"}, Count: 2}, {Group: map[string]string{"source": "argo"}, Count: 1}}
	if diff := cmp.Diff(want, rows); diff != "" || err != nil {
		t.Errorf("by source: %v (-want +got):\n%s", err, diff)
	}
	rows, err = s.admin.Stats(t.Context(), client.StatsFilter{ChangeFilter: client.ChangeFilter{Type: "rollback"}, Bucket: time.Hour})
	if err != nil || len(rows) != 1 || rows[0].Count != 1 || rows[0].Start.IsZero() {
		t.Errorf("rollbacks by hour: %+v %v", rows, err)
	}
	eventually(t, func() error { // changes are stored first, then what became of their deliveries
		account, err := s.admin.Account(t.Context(), client.AccountFilter{Bucket: 24 * time.Hour, Start: time.Now().Add(-24 * time.Hour)})
		var received, stored int64
		for _, r := range account {
			received, stored = received+r.Received, stored+r.Stored
		}
		return errors.Join(err, differ([]int64{3, 3}, []int64{received, stored}))
	})
}
