package store_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// A fact whose time was not known is found by the rest of its id, with the time
// at which it first arrived, and only as far back as is asked.
func TestKnownChanges_FindsAFactWhateverItsTime(t *testing.T) {
	s := storetest.New(t)
	insert(t, s, batch(stored("acme", noon,
		made("acme", "one", noon.Add(-2*time.Hour), nil), made("acme", "one", noon.Add(-time.Hour), nil),
		made("acme", "old", noon.Add(-48*time.Hour), nil))))
	id := func(key string, at time.Time) change.ID { return made("acme", key, at, nil).ID }
	got, err := s.KnownChanges(t.Context(), "acme", noon.Add(-24*time.Hour), []change.ID{id("one", noon), id("old", noon), id("new", noon)})
	if err != nil {
		t.Fatal(err)
	}
	first := id("one", noon.Add(-2*time.Hour))
	if diff := gocmp.Diff(map[change.Fact]change.ID{first.Fact(): first}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, org := range []string{"other", "acm", ""} {
		if found, err := s.KnownChanges(t.Context(), org, noon.Add(-24*time.Hour), []change.ID{first}); err != nil || len(found) != 0 {
			t.Errorf("org %q: %v %v", org, found, err)
		}
	}
	if none, err := s.KnownChanges(t.Context(), "acme", noon, nil); err != nil || len(none) != 0 {
		t.Errorf("nothing asked: %v %v", none, err)
	}
}

// A pattern of actions also selects the changes that name none, by what their
// type stands for; all that is no star is itself.
func TestFindChanges_ByAction(t *testing.T) {
	s := storetest.New(t)
	actions := []string{"deployment.started", "deployment_started", "", "feature_flag.on", `a\b`, "100%"}
	var all []change.Change
	for i, action := range actions {
		all = append(all, made("acme", action, noon.Add(-time.Duration(i)*time.Minute), func(c *change.Change) { c.Action = action }))
	}
	insert(t, s, batch(stored("acme", noon, all...)))
	f := func(pattern string, want ...string) {
		t.Helper()
		var got []string
		for _, c := range find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme", Action: pattern}}).Data {
			got = append(got, c.Action)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", pattern, diff)
		}
	}
	f("deployment.started", "deployment.started")
	f("deployment.*", "deployment.started", "")
	f("deployment.recorded", "")
	f("deployment_*", "deployment_started")
	f("*.on", "feature_flag.on")
	f("*", actions...)
	f(`a\*`, `a\b`)
	f(`\*`)
	f("100%", "100%")
	f("%*")
}
