package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
)

// trail notes what it is told, in order; refuse makes it refuse.
type trail struct {
	mu     sync.Mutex
	told   []string
	refuse error
	before func() // called when a write is about to be done
}

func (tr *trail) Begin(_ context.Context, c audit.Change) (func(audit.Outcome), error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.refuse != nil {
		return nil, tr.refuse
	}
	if tr.before != nil {
		tr.before()
	}
	named := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		var o struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(text, &o)
		return o.Name
	}
	told := fmt.Sprintf("%s %s %q to %q", c.Operation, c.Object.Kind, named(c.Old), named(c.New))
	return func(o audit.Outcome) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.told = append(tr.told, told+": "+string(o))
	}, nil
}

func (tr *trail) take() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	told := tr.told
	tr.told = nil
	return told
}

// openAudited returns a running registry with an org, and its trail.
func openAudited(t *testing.T) (*Registry, *trail) {
	t.Helper()
	kv, _ := startBucket(t)
	tr := &trail{}
	r, err := Open(t.Context(), kv, testLog(t), prometheus.NewRegistry(), WithAudit(tr))
	if err != nil {
		t.Fatal(err)
	}
	run(t, r)
	if _, err := r.CreateOrg(t.Context(), Org{ID: "acme", Name: "Acme"}); err != nil {
		t.Fatal(err)
	}
	return r, tr
}

// S3-23, S3-25, S3-34: every write of every object is recorded, by the registry itself.
func TestAudit_EveryWriteIsRecorded(t *testing.T) {
	r, tr := openAudited(t)
	ctx := t.Context()
	f := func(want string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, tr.take()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
	f(`create org "" to "Acme": done`, nil)
	s, err := r.CreateService(ctx, Service{Org: "acme", Name: "a"})
	f(`create service "" to "a": done`, err)
	_, err = r.UpdateService(ctx, "acme", s.ID, func(s *Service) error { s.Name = "b"; return nil })
	f(`update service "a" to "b": done`, err)
	f(`delete service "b" to "": done`, r.DeleteService(ctx, "acme", s.ID))
	source, _, err := r.CreateSource(ctx, Source{Org: "acme", Name: "hook", Auth: AuthNone})
	f(`create source "" to "hook": done`, err)
	_, _, err = r.RotateSource(ctx, "acme", source.ID, 0)
	f(`update source "hook" to "hook": done`, err)
	f(`delete source "hook" to "": done`, r.DeleteSource(ctx, "acme", source.ID))
	k, _, err := r.CreateKey(ctx, Key{Org: "acme", Name: "ci", Scopes: []string{auth.API}})
	f(`create key "" to "ci": done`, err)
	f(`delete key "ci" to "": done`, r.DeleteKey(ctx, "acme", k.ID))
}

func TestAudit_WhatCannotBeRecordedIsNotDone(t *testing.T) {
	r, tr := openAudited(t)
	ctx := t.Context()
	s, err := r.CreateService(ctx, Service{Org: "acme", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	tr.refuse = problem.BusyFor(0, "audit_full", "not now", errors.New("away"))
	_, creating := r.CreateService(ctx, Service{Org: "acme", Name: "b"})
	_, updating := r.UpdateService(ctx, "acme", s.ID, func(s *Service) error { s.Name = "c"; return nil })
	deleting := r.DeleteService(ctx, "acme", s.ID)
	for _, err := range []error{creating, updating, deleting} {
		if problem.KindOf(err) != problem.Busy {
			t.Errorf("%v, want busy", err)
		}
	}
	if all := r.Services("acme"); len(all) != 1 || all[0].Name != "a" {
		t.Errorf("services: %+v, want a as it was", all)
	}
}

// Who was too slow has done nothing, and tries again: one event stays.
func TestAudit_WhatSomebodyElseOutranIsWithdrawn(t *testing.T) {
	r, tr := openAudited(t)
	ctx := t.Context()
	s, err := r.CreateService(ctx, Service{Org: "acme", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	tr.take()
	var once sync.Once
	tr.before = func() {
		once.Do(func() {
			body, _ := json.Marshal(Service{ID: s.ID, Org: "acme", Name: "theirs", CreatedAt: s.CreatedAt})
			if _, err := r.kv.Put(ctx, joinKey(kindService, "acme", s.ID), body); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := r.UpdateService(ctx, "acme", s.ID, func(s *Service) error { s.Name = "ours"; return nil }); err != nil {
		t.Fatal(err)
	}
	want := []string{`update service "a" to "ours": withdrawn`, `update service "theirs" to "ours": done`}
	if diff := cmp.Diff(want, tr.take()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if _, err := r.CreateService(ctx, Service{ID: s.ID, Org: "acme", Name: "other"}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a second service of that id: %v", err)
	}
	if diff := cmp.Diff([]string{`create service "" to "other": withdrawn`}, tr.take()); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// When a key was used last is noted by the program, a minute later: no event.
func TestAudit_BookkeepingIsNoEvent(t *testing.T) {
	kv, _ := startBucket(t)
	p := &published{}
	rec := audit.NewRecorder(p, audit.DefaultLimits(), testLog(t), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- rec.Run(ctx) }()
	r, err := Open(t.Context(), kv, testLog(t), prometheus.NewRegistry(), WithAudit(rec))
	if err != nil {
		t.Fatal(err)
	}
	run(t, r)
	b, err := r.Bootstrap(t.Context(), BootstrapConfig{})
	if err != nil {
		t.Fatal(err)
	}
	key, _ := r.KeyByToken(b.APIKey.Reveal())
	r.TouchKey(key.Org, key.ID)
	r.writeUses(t.Context())
	if key, _ := r.Key(key.Org, key.ID); key.LastUsed.IsZero() {
		t.Error("the use was not noted")
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Created API key 'bootstrap': scopes set to ['admin'], role set to 'site_admin', token set, by system",
		"Created source 'bootstrap': auth set to 'none', token set, by system",
		"Created organisation 'Default', by system",
	}
	if diff := cmp.Diff(want, p.done(t)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// published keeps what a recorder publishes.
type published struct {
	mu      sync.Mutex
	records []json.RawMessage
}

func (p *published) PublishAudit(_ context.Context, _, _ string, records []json.RawMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records = append(p.records, records...)
	return nil
}

// done lists the events of what was done.
func (p *published) done(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, raw := range p.records {
		var e audit.Event
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		if e.Outcome == audit.Done {
			all = append(all, e.Description+", by "+e.User.ID)
		}
	}
	return all
}

// Whoever adds a field decides whether its values may be told, in pkg/audit.
// What is not registered is told of without them.
func TestAudit_EveryFieldIsRegistered(t *testing.T) {
	f := func(kind string, v any) {
		t.Helper()
		of, ok := audit.Of(kind)
		if !ok {
			t.Fatalf("kind %s is not registered in pkg/audit", kind)
		}
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !of.Knows(name) {
				t.Errorf("field %s of %s is not registered in pkg/audit/kinds.go", name, kind)
			}
			secret := field.Type == reflect.TypeFor[auth.Digest]() || strings.Contains(fmt.Sprint(field.Type), "Sealed") || field.Type == reflect.TypeFor[[]SourceSecret]()
			if secret && of.Field(name).Show == audit.Shown {
				t.Errorf("field %s of %s is a secret and would be told", name, kind)
			}
		}
	}
	f(kindOrg, Org{})
	f(kindSource, Source{})
	f(kindKey, Key{})
	f(kindService, Service{})
}
