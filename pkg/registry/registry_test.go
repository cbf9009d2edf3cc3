package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

func TestBootstrap_FillsAnEmptyRegistryOnce(t *testing.T) {
	kv, _ := startBucket(t)
	r := open(t, kv)
	if !r.Empty() {
		t.Fatal("a fresh registry is not empty")
	}
	var kept Bootstrap
	b, err := r.Bootstrap(t.Context(), BootstrapConfig{Keep: func(b Bootstrap) error {
		if !r.Empty() {
			t.Error("kept after it was written: a crash between would lose it")
		}
		kept = b
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, kept); diff != "" {
		t.Errorf("kept another result (-returned +kept):\n%s", diff)
	}
	key, err := r.KeyByToken(b.APIKey.Reveal())
	if err != nil || key.Org != DefaultOrg || !key.Principal().Allows(auth.Admin) {
		t.Errorf("key %+v, %v", key, err)
	}
	source, ok := r.SourceByToken(b.SourceToken.Reveal())
	if !ok || source.Org != DefaultOrg {
		t.Errorf("source %+v, %v", source, ok)
	}
	again, err := r.Bootstrap(t.Context(), BootstrapConfig{APIKey: "fixed-key-0123456789"})
	if err != nil || again != (Bootstrap{}) {
		t.Errorf("second bootstrap: %+v, %v", again, err)
	}
	if _, err := r.KeyByToken("fixed-key-0123456789"); err == nil {
		t.Error("fixed values took effect in a registry that was not empty")
	}
}

func TestBootstrap_TakesFixedValues(t *testing.T) {
	kv, _ := startBucket(t)
	r := open(t, kv)
	b, err := r.Bootstrap(t.Context(), BootstrapConfig{APIKey: "fixed-key-0123456789", Token: "fixed_token_0123456789"})
	if err != nil {
		t.Fatal(err)
	}
	if b.APIKey != "fixed-key-0123456789" || b.SourceToken != "fixed_token_0123456789" {
		t.Error("other values were returned")
	}
	if _, ok := r.SourceByToken("fixed_token_0123456789"); !ok {
		t.Error("the fixed token does not work")
	}
	for _, bad := range []BootstrapConfig{{APIKey: "short"}, {Token: "has/slash/0123456789"}} {
		kv, _ := startBucket(t)
		if _, err := open(t, kv).Bootstrap(t.Context(), bad); problem.KindOf(err) != problem.Malformed {
			t.Errorf("bad value: %v", err)
		}
	}
}

func TestBootstrap_StartsOverAfterACrashInBetween(t *testing.T) {
	kv, _ := startBucket(t)
	// What a crash leaves: the key is written, the org is not.
	left, _ := json.Marshal(Key{ID: "key_default", Org: DefaultOrg, Name: "bootstrap", Hash: auth.Hash("lost")})
	if _, err := kv.Put(t.Context(), "key.default.key_default", left); err != nil {
		t.Fatal(err)
	}
	r := open(t, kv)
	b, err := r.Bootstrap(t.Context(), BootstrapConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.KeyByToken(b.APIKey.Reveal()); err != nil {
		t.Error("the new key does not work")
	}
	if _, err := r.KeyByToken("lost"); err == nil {
		t.Error("the key of before the crash still works")
	}
}

func TestSources_LifeOfOne(t *testing.T) {
	r, _ := openBootstrapped(t)
	ctx := t.Context()
	s, token, err := r.CreateSource(ctx, Source{Org: DefaultOrg, Name: "github", Provider: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	found, ok := r.SourceByToken(token) // at once: the write waited for the view
	if !ok {
		t.Fatal("the new token does not work")
	}
	if diff := cmp.Diff(s, *found); diff != "" {
		t.Errorf("the source that the token finds (-created +found):\n%s", diff)
	}
	if found.Provider != "" || found.Auth != AuthNone {
		t.Errorf("provider %q, auth %q", found.Provider, found.Auth)
	}
	if _, err := r.UpdateSource(ctx, DefaultOrg, s.ID, func(s *Source) error {
		s.Disabled, s.ID, s.TokenHash = true, "src_x", auth.Digest{}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.SourceByToken(token); ok {
		t.Error("the token of a disabled source works")
	}
	if _, err := r.UpdateSource(ctx, DefaultOrg, s.ID, func(s *Source) error { s.Disabled = false; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.SourceByToken(token); !ok {
		t.Error("the token of a source that was enabled again does not work")
	}
	if err := r.DeleteSource(ctx, DefaultOrg, s.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.SourceByToken(token); ok {
		t.Error("the token of a deleted source works")
	}
	if err := r.DeleteSource(ctx, DefaultOrg, s.ID); problem.KindOf(err) != problem.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestRotateSource_LetsTheOldTokenWorkForTheOverlap(t *testing.T) {
	r, b := openBootstrapped(t)
	id := r.Sources(DefaultOrg)[0].ID
	old := b.SourceToken.Reveal()
	_, second, err := r.RotateSource(t.Context(), DefaultOrg, id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	works := func(token string) bool { _, ok := r.SourceByToken(token); return ok }
	if !works(old) || !works(second) {
		t.Errorf("during the overlap: old %v, new %v", works(old), works(second))
	}
	r.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if works(old) || !works(second) {
		t.Errorf("after the overlap: old %v, new %v", works(old), works(second))
	}
	_, third, err := r.RotateSource(t.Context(), DefaultOrg, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	if works(second) || !works(third) {
		t.Errorf("without overlap: old %v, new %v", works(second), works(third))
	}
}

func TestImports_RefuseATokenInUse(t *testing.T) {
	r, b := openBootstrapped(t)
	_, err := r.ImportSource(t.Context(), Source{Org: DefaultOrg, Name: "copy"}, b.SourceToken.Reveal())
	if problem.KindOf(err) != problem.Conflict {
		t.Errorf("source: %v", err)
	}
	_, err = r.ImportKey(t.Context(), Key{Org: DefaultOrg, Name: "copy", Scopes: []string{"api"}}, b.APIKey.Reveal())
	if problem.KindOf(err) != problem.Conflict {
		t.Errorf("key: %v", err)
	}
	if _, err = r.ImportKey(t.Context(), Key{Org: DefaultOrg, Name: "old", Scopes: []string{"api"}}, "ak_live_0123456789abcdef"); err != nil {
		t.Error(err)
	}
	if _, err := r.KeyByToken("ak_live_0123456789abcdef"); err != nil {
		t.Error("the imported key does not work")
	}
}

func TestSetSecrets_RefusesWhatWouldAuthenticateNobody(t *testing.T) {
	sealer, err := auth.OpenSealer(filepath.Join(t.TempDir(), "k"), "", false)
	if err != nil {
		t.Fatal(err)
	}
	f := func(kind string, wantOK bool, secrets ...auth.Secret) {
		t.Helper()
		s := Source{Org: DefaultOrg, Auth: kind}
		err := s.SetSecrets(sealer, secrets...)
		if (err == nil) != wantOK {
			t.Errorf("%s with %d secrets: %v", kind, len(secrets), err)
		}
		if err != nil {
			return
		}
		got, err := s.OpenSecrets(sealer)
		if err != nil || !cmp.Equal(got, secrets) {
			t.Errorf("%s: opened %d secrets, %v", kind, len(got), err)
		}
	}
	f(AuthGitHubHMAC, false, "")
	f(AuthGitHubHMAC, false, "short")
	f(AuthGitHubHMAC, true, "long enough", "and another")
	f(AuthGitHubHMAC, false, "long enough", "")
	f(AuthGitLabSigning, false, "long enough")
	f(AuthGitLabSigning, false, "whsec_")
	f(AuthGitLabSigning, false, "whsec_!!!!")
	f(AuthGitLabSigning, true, "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=")
}

func TestHasSecrets(t *testing.T) {
	r, _ := openBootstrapped(t)
	if r.HasSecrets() {
		t.Error("there are none yet")
	}
	sealer, err := auth.OpenSealer(filepath.Join(t.TempDir(), "k"), "", false)
	if err != nil {
		t.Fatal(err)
	}
	s := Source{Org: DefaultOrg, Name: "x", Auth: AuthGitHubHMAC}
	if err := s.SetSecrets(sealer, "a-long-secret"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.CreateSource(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if !r.HasSecrets() {
		t.Error("not seen")
	}
}

func TestValidation_NamesTheField(t *testing.T) {
	r, _ := openBootstrapped(t)
	ctx := t.Context()
	source := func(want string, s Source) {
		t.Helper()
		s.Org = DefaultOrg
		_, _, err := r.CreateSource(ctx, s)
		if got := problem.From(err).Field; got != want {
			t.Errorf("field %q, want %q (%v)", got, want, err)
		}
	}
	source("name", Source{})
	source("name", Source{Name: "two\nlines"})
	source("name", Source{Name: strings.Repeat("x", 201)})
	source("auth", Source{Name: "x", Auth: "magic"})
	source("secrets", Source{Name: "x", Auth: AuthGitHubHMAC})
	source("auth", Source{Name: "x", Secrets: []SourceSecret{{Sealed: auth.Sealed{1}}}})
	source("provider", Source{Name: "x", Provider: "Git Hub"})
	source("secret_header", Source{Name: "x", SecretHeader: "X: y"})
	source("default_service_id", Source{Name: "x", DefaultServiceID: "svc_none"})
	key := func(want string, k Key) {
		t.Helper()
		k.Org = DefaultOrg
		_, _, err := r.CreateKey(ctx, k)
		if got := problem.From(err).Field; got != want {
			t.Errorf("field %q, want %q (%v)", got, want, err)
		}
	}
	key("scopes", Key{Name: "x"})
	key("scopes", Key{Name: "x", Scopes: []string{"everything"}})
	key("role", Key{Name: "x", Scopes: []string{"api"}, Role: "god"})
	key("name", Key{Scopes: []string{"api"}})
	key("expires_at", Key{Name: "x", Scopes: []string{"api"}, ExpiresAt: change.AtMilli(1)})
	service := func(want string, s Service) {
		t.Helper()
		s.Org = DefaultOrg
		_, err := r.CreateService(ctx, s)
		if got := problem.From(err).Field; got != want {
			t.Errorf("field %q, want %q (%v)", got, want, err)
		}
	}
	service("name", Service{})
	service("id", Service{Name: "x", ID: "svc_a.b"})
	service("id", Service{Name: "x", ID: "src_abc"})
	service("repositories", Service{Name: "x", Repositories: []string{""}})
	if _, _, err := r.CreateSource(ctx, Source{Org: "nobody", Name: "x"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("unknown org: %v", err)
	}
}

func TestOrgs_SeeOnlyTheirOwn(t *testing.T) {
	r, _ := openBootstrapped(t)
	ctx := t.Context()
	if _, err := r.CreateOrg(ctx, Org{ID: "other", Name: "Other"}); err != nil {
		t.Fatal(err)
	}
	s, _, err := r.CreateSource(ctx, Source{Org: DefaultOrg, Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := r.CreateKey(ctx, Key{Org: DefaultOrg, Name: "k", Scopes: []string{"api"}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.CreateService(ctx, Service{Org: DefaultOrg, Name: "checkout", Repositories: []string{"acme/checkout"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Source("other", s.ID); ok {
		t.Error("source")
	}
	if _, ok := r.Key("other", k.ID); ok {
		t.Error("key")
	}
	if _, ok := r.Service("other", v.ID); ok {
		t.Error("service")
	}
	if _, ok := r.ServiceByName("other", "checkout"); ok {
		t.Error("service by name")
	}
	if _, ok := r.FindService("other", &change.Change{Repository: "acme/checkout"}); ok {
		t.Error("service by mapping")
	}
	if n := len(r.Sources("other")) + len(r.Keys("other")) + len(r.Services("other")); n != 0 {
		t.Errorf("%d objects in lists", n)
	}
	for what, err := range map[string]error{
		"delete source":  r.DeleteSource(ctx, "other", s.ID),
		"delete key":     r.DeleteKey(ctx, "other", k.ID),
		"delete service": r.DeleteService(ctx, "other", v.ID),
	} {
		if problem.KindOf(err) != problem.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := r.RotateSource(ctx, "other", s.ID, 0); problem.KindOf(err) != problem.NotFound {
		t.Errorf("rotate: %v", err)
	}
	if _, _, err := r.CreateSource(ctx, Source{Org: "other", Name: "x", DefaultServiceID: v.ID}); problem.From(err).Field != "default_service_id" {
		t.Errorf("another org's service as default: %v", err)
	}
	// The same name and id may exist in both.
	if _, err := r.CreateService(ctx, Service{Org: "other", ID: v.ID, Name: "checkout"}); err != nil {
		t.Error(err)
	}
}

func TestKeys_Expire(t *testing.T) {
	r, _ := openBootstrapped(t)
	k, secret, err := r.CreateKey(t.Context(), Key{
		Org: DefaultOrg, Name: "k", Scopes: []string{"api"}, ExpiresAt: change.At(time.Now().Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.KeyByToken(secret); err != nil {
		t.Error("does not work yet")
	}
	r.now = func() time.Time { return k.ExpiresAt.Time }
	if _, err := r.KeyByToken(secret); err == nil {
		t.Error("works still")
	}
}

func TestTouchKey_IsWrittenInBatches(t *testing.T) {
	r, _ := openBootstrapped(t)
	id := r.Keys(DefaultOrg)[0].ID
	before := r.view.Load().keys.rows[place{DefaultOrg, id}].revision
	for range 1000 {
		r.TouchKey(DefaultOrg, id)
	}
	r.TouchKey(DefaultOrg, "key_gone")
	r.writeUses(t.Context())
	k, _ := r.Key(DefaultOrg, id)
	if k.LastUsed.IsZero() {
		t.Error("not written")
	}
	entries, err := r.kv.History(t.Context(), joinKey(kindKey, DefaultOrg, id))
	if err != nil || len(entries) != 2 || entries[0].Revision() != before {
		t.Errorf("%d revisions for 1,000 uses, %v", len(entries), err)
	}
	if len(r.uses) != 0 {
		t.Errorf("%d uses remain", len(r.uses))
	}
}

func TestUpdates_AtTheSameTimeLoseNothing(t *testing.T) {
	kv, _ := startBucket(t)
	a, b := open(t, kv), open(t, kv)
	if _, err := a.Bootstrap(t.Context(), BootstrapConfig{}); err != nil {
		t.Fatal(err)
	}
	s, err := a.CreateService(t.Context(), Service{Org: DefaultOrg, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other process sees the service", func() bool { _, ok := b.Service(DefaultOrg, s.ID); return ok })
	var wg sync.WaitGroup
	var mu sync.Mutex
	var want []string
	for i := range 8 {
		r := []*Registry{a, b}[i%2]
		wg.Go(func() {
			resource := fmt.Sprint("r", i)
			_, err := r.UpdateService(t.Context(), DefaultOrg, s.ID, func(s *Service) error {
				s.Resources = append(append([]string(nil), s.Resources...), resource)
				return nil
			})
			switch {
			case err == nil:
				mu.Lock()
				want = append(want, resource)
				mu.Unlock()
			case problem.KindOf(err) != problem.Conflict:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, _ := a.Service(DefaultOrg, s.ID)
	eventually(t, "both views agree", func() bool {
		got, _ = a.Service(DefaultOrg, s.ID)
		other, _ := b.Service(DefaultOrg, s.ID)
		return len(got.Resources) == len(want) && cmp.Equal(got, other)
	})
	for _, resource := range want {
		if !strings.Contains(strings.Join(got.Resources, " ")+" ", resource+" ") {
			t.Errorf("%s was acknowledged and is missing in %v", resource, got.Resources)
		}
	}
}

func TestFindService(t *testing.T) {
	r, _ := openBootstrapped(t)
	clock := time.Now()
	r.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	for _, s := range []Service{
		{ID: "svc_all", Name: "everything of acme", Repositories: []string{"acme/*"}},
		{ID: "svc_pay", Name: "Payments", Repositories: []string{"Acme/Payments", "acme/pay-*"}},
		{ID: "svc_late", Name: "late", Repositories: []string{"acme/payments"}},
		{ID: "svc_db", Name: "db", Resources: []string{"arn:aws:rds:*:db/main", "orders"}},
	} {
		s.Org = DefaultOrg
		if _, err := r.CreateService(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	f := func(repository string, res change.Resource, want string) {
		t.Helper()
		got, ok := r.FindService(DefaultOrg, &change.Change{Repository: repository, Resource: res})
		if got.ID != want || ok != (want != "") {
			t.Errorf("FindService(%q, %v) = %v, want %q", repository, res, got, want)
		}
	}
	f("acme/payments", change.Resource{}, "svc_pay")
	f("ACME/payments", change.Resource{}, "svc_pay")
	f("acme/pay-web", change.Resource{}, "svc_pay")
	f("acme/other", change.Resource{}, "svc_all")
	f("acme/group/other", change.Resource{}, "svc_all")
	f("acme", change.Resource{}, "")
	f("acme2/x", change.Resource{}, "")
	f("", change.Resource{ID: "arn:aws:rds:eu-west-1:1:db/main"}, "svc_db")
	f("", change.Resource{ID: "x", Name: "Orders"}, "svc_db")
	f("acme/x", change.Resource{Name: "orders"}, "svc_all")
	f("", change.Resource{}, "")
	if s, ok := r.ServiceByName(DefaultOrg, "PAYMENTS"); !ok || s.ID != "svc_pay" {
		t.Errorf("by name: %v", s)
	}
	if _, err := r.CreateService(t.Context(), Service{Org: DefaultOrg, Name: "payments"}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("the same name again: %v", err)
	}
	if _, err := r.CreateService(t.Context(), Service{Org: DefaultOrg, Name: "new", ID: "svc_db"}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("the same id again: %v", err)
	}
}

func TestView_LeavesOutWhatItCannotRead(t *testing.T) {
	kv, _ := startBucket(t)
	r := open(t, kv)
	b, err := r.Bootstrap(t.Context(), BootstrapConfig{})
	if err != nil {
		t.Fatal(err)
	}
	source := r.Sources(DefaultOrg)[0]
	stolen := *source
	stolen.Org = "other"
	body, _ := json.Marshal(stolen)
	for _, bad := range []string{"{", string(body)} {
		if _, err := kv.Put(t.Context(), joinKey(kindSource, DefaultOrg, source.ID), []byte(bad)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the damaged source is gone", func() bool {
			_, ok := r.SourceByToken(b.SourceToken.Reveal())
			return !ok
		})
		good, _ := json.Marshal(source)
		if _, err := kv.Put(t.Context(), joinKey(kindSource, DefaultOrg, source.ID), good); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the repaired source is back", func() bool {
			_, ok := r.SourceByToken(b.SourceToken.Reveal())
			return ok
		})
	}
	if _, err := kv.Put(t.Context(), "unheard.default.of", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(r.metrics.damaged); got != 2 {
		t.Errorf("%v damaged records counted, want 2", got)
	}
}

func TestReload_FindsWhatTheWatchMissed(t *testing.T) {
	kv, _ := startBucket(t)
	r, err := Open(t.Context(), kv, testLog(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.stopWatch() }()
	body, _ := json.Marshal(Org{ID: "o", Name: "O"})
	rev, err := kv.Put(t.Context(), "org.o.o", body)
	if err != nil {
		t.Fatal(err)
	}
	// A later change was seen, this one was not.
	r.apply([]entry{{key: heartbeatKey, revision: rev + 1}})
	if err := r.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Org("o"); !ok {
		t.Error("the org is still missing")
	}
	if got := testutil.ToFloat64(r.metrics.mismatches); got < 1 {
		t.Error("the miss was not counted")
	}
	before, _ := r.Org("o")
	if err := r.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, _ := r.Org("o"); after != before {
		t.Error("a reload replaced an org that had not changed")
	}
}

func TestFresh_FailsWhenTheBucketIsSilent(t *testing.T) {
	kv, stop := startBucket(t)
	r := open(t, kv)
	if err := r.Fresh(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a heartbeat is written and seen", func() bool {
		_, err := kv.Get(t.Context(), heartbeatKey)
		return err == nil && r.view.Load().revision > 0
	})
	stop()
	r.heard.Add(-int64(staleAfter)) // as if time had passed since the last news
	err := r.Fresh()
	if problem.KindOf(err) != problem.Busy {
		t.Errorf("Fresh() = %v", err)
	}
	if _, err := r.CreateOrg(t.Context(), Org{ID: "x", Name: "x"}); problem.KindOf(err) != problem.Busy {
		t.Errorf("a write to a silent bucket: %v", err)
	}
}

func TestWatch_IsReplacedWhenItCloses(t *testing.T) {
	kv, _ := startBucket(t)
	r, err := Open(t.Context(), kv, testLog(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.watch.Stop(); err != nil {
		t.Fatal(err)
	}
	run(t, r)
	body, _ := json.Marshal(Org{ID: "later", Name: "Later"})
	if _, err := kv.Put(t.Context(), "org.later.later", body); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the change arrives by a new watch", func() bool { _, ok := r.Org("later"); return ok })
}

func TestWrites_EndWithTheCallersContext(t *testing.T) {
	kv, _ := startBucket(t)
	r, err := Open(t.Context(), kv, testLog(t), nil) // nobody runs it: the view stays behind
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.stopWatch() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = r.CreateOrg(ctx, Org{ID: "x", Name: "x"})
	if problem.KindOf(err) != problem.Busy || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkSourceByToken(b *testing.B) {
	r, boot := openBootstrapped(b)
	token := boot.SourceToken.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.SourceByToken(token); !ok {
			b.Fatal("unknown")
		}
	}
}
