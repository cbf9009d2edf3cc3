package registry

import (
	"encoding/json"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
)

// enrich puts members that nobody here knows into an object of the bucket and
// into everything below it, as a later version would, and returns how many.
func enrich(t *testing.T, r *Registry, kv jetstream.KeyValue, key string) int {
	t.Helper()
	n := 0
	revision, err := kv.Put(t.Context(), key, encode(t, eachObject(record(t, kv, key), func(object map[string]any) {
		object["later"] = "12345678901234567890"
		n++
	})))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.await(t.Context(), func(v *view) bool { return v.revision >= revision }); err != nil {
		t.Fatal(err)
	}
	return n
}

func record(t *testing.T, kv jetstream.KeyValue, key string) (v any) {
	t.Helper()
	entry, err := kv.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(entry.Value(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func eachObject(v any, f func(map[string]any)) any {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			eachObject(member, f)
		}
		f(v)
	case []any:
		for _, element := range v {
			eachObject(element, f)
		}
	}
	return v
}

// An object that a later version has written is changed by this one, in every
// way in which it changes objects: what it does not know stays.
func TestUpdate_KeepsWhatALaterVersionWrote(t *testing.T) {
	kv, _ := startBucket(t)
	var ahead atomic.Int64 // of the clock
	r, err := Open(t.Context(), kv, testLog(t), prometheus.NewRegistry(), func(r *Registry) {
		r.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, r)
	if _, err := r.Bootstrap(t.Context(), BootstrapConfig{}); err != nil {
		t.Fatal(err)
	}
	sealer, err := auth.OpenSealer(filepath.Join(t.TempDir(), "master.key"), "", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, org := t.Context(), DefaultOrg
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	service, err := r.CreateService(ctx, Service{Org: org, Name: "Shop"})
	must(err)
	s := Source{
		Org: org, Name: "all", Provider: "github", Auth: AuthGitHubHMAC, Services: []ServiceMapping{{Match: "acme/*", ServiceID: service.ID}, {Match: "other/*", ServiceID: service.ID}},
		AWS: &AWS{Region: "eu-central-1", AccessKeyID: "AKIAIOSFODNN7EXAMPLE"}, GitHub: &GitHub{Repository: "acme/shop", HookID: 1},
	}
	must(s.SetSecrets(sealer, "secret-one", "secret-two"))
	must(s.SetAWSSecret(sealer, "aws-secret-access-key"))
	must(s.SetGitHubSecret(sealer, "ghp_0123456789abcdef"))
	s, _, err = r.CreateSource(ctx, s)
	must(err)
	oidc, _, err := r.CreateSource(ctx, Source{Org: org, Name: "push", Auth: AuthOIDC, OIDC: &OIDC{Audience: "a", Emails: []string{"x@acme.example"}}})
	must(err)
	key, secret, err := r.CreateKey(ctx, Key{Org: org, Name: "k", Scopes: []auth.Scope{auth.API}})
	must(err)
	person := Person{ID: key.ID, Org: org}
	session, _, err := r.SignIn(ctx, person, auth.Hash(secret), time.Hour)
	must(err)

	f := func(name, key string, lost int, edit func() error) {
		t.Helper()
		want := enrich(t, r, kv, key) - lost
		must(edit())
		got := 0
		eachObject(record(t, kv, key), func(object map[string]any) {
			if object["later"] == "12345678901234567890" {
				got++
			}
		})
		if got != want {
			t.Errorf("%s: %d objects have what a later version wrote, want %d: %s", name, got, want, encode(t, record(t, kv, key)))
		}
	}
	at := joinKey(kindSource, org, s.ID)
	f("rename", at, 0, func() error {
		_, err := r.UpdateSource(ctx, org, s.ID, func(s *Source) error { s.Name = "renamed"; return nil })
		return err
	})
	f("a part changes", at, 0, func() error {
		_, err := r.UpdateSource(ctx, org, s.ID, func(s *Source) error {
			aws := *s.AWS
			aws.Region = "us-east-1"
			s.AWS = &aws
			s.Services = []ServiceMapping{s.Services[1], {Match: "acme/*", ServiceID: service.ID}}
			return nil
		})
		return err
	})
	f("rotate", at, 0, func() error { _, _, err := r.RotateSource(ctx, org, s.ID, time.Hour); return err })
	f("a secret is added, and the others will end", at, 0, func() error {
		_, err := r.UpdateSource(ctx, org, s.ID, func(s *Source) error {
			return s.AddSecret(sealer, "secret-three", change.At(time.Now().Add(time.Hour)))
		})
		return err
	})
	f("a secret goes", at, 1, func() error {
		_, err := r.UpdateSource(ctx, org, s.ID, func(s *Source) error { s.RemoveSecret(s.Secrets[0].ID()); return nil })
		return err
	})
	f("secrets have ended", at, 1, func() error {
		ahead.Store(int64(2 * time.Hour))
		r.endSecrets(ctx)
		ahead.Store(0)
		return nil
	})
	f("oidc", joinKey(kindSource, org, oidc.ID), 0, func() error {
		_, err := r.UpdateSource(ctx, org, oidc.ID, func(s *Source) error { s.Disabled = true; return nil })
		return err
	})
	at = joinKey(kindKey, org, key.ID)
	f("key", at, 0, func() error {
		_, err := r.UpdateKey(ctx, org, key.ID, func(k *Key) error { k.Name = "renamed"; return nil })
		return err
	})
	f("a key is used", at, 0, func() error {
		r.TouchKey(org, key.ID)
		r.writeUses(ctx)
		return nil
	})
	f("a key is rotated", at, 0, func() error {
		_, _, err := r.RotateKey(ctx, org, key.ID, time.Hour, func(*Key) error { return nil })
		return err
	})
	f("service", joinKey(kindService, org, service.ID), 0, func() error {
		_, err := r.UpdateService(ctx, org, service.ID, func(s *Service) error { s.Owners = []string{"mona"}; return nil })
		return err
	})
	at = joinKey(kindPerson, org, person.ID)
	f("another sign-in", at, 0, func() error {
		_, _, err := r.SignIn(ctx, Person{ID: key.ID, Org: org, Name: "Mona"}, auth.Hash(secret), 3*time.Hour)
		return err
	})
	f("a sign-out", at, 1, func() error { return r.SignOut(ctx, org, person.ID, session.ID) })
	_, _, err = r.SignIn(ctx, person, auth.Hash(secret), time.Hour)
	must(err)
	f("sessions have ended", at, 1, func() error {
		ahead.Store(int64(2 * time.Hour))
		r.endSessions(ctx)
		ahead.Store(0)
		return nil
	})
}

// A kind of object that came later is left alone, and so is a record in a form
// that cannot be read here: both are in the bucket as before.
func TestOpen_LeavesAloneWhatItDoesNotKnow(t *testing.T) {
	kv, _ := startBucket(t)
	for key, value := range map[string]string{"policy.acme.pol_1": `{"id":"pol_1"}`, "source.acme.src_1": `{"id":{"form":"another"}}`} {
		if _, err := kv.Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, kv)
	if len(r.Sources("acme")) != 0 {
		t.Error("a record of another form is a source")
	}
	if diff := cmp.Diff(map[string]any{"id": "pol_1"}, record(t, kv, "policy.acme.pol_1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"id": map[string]any{"form": "another"}}, record(t, kv, "source.acme.src_1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
