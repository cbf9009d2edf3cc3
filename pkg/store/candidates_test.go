package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// S0-4: the changes of a window are candidates, with what tells how suspicious they are.
func TestCandidates_AreTheChangesOfARange(t *testing.T) {
	s := storetest.New(t)
	whole := full("acme")
	whole.ID, whole.OccurredAt = change.NewID(noon, "acme", "test", "whole"), change.At(noon)
	insert(t, s, batch(stored("acme", noon,
		whole,
		made("acme", "before", noon.Add(-time.Hour-time.Millisecond), nil),
		made("acme", "first", noon.Add(-time.Hour), nil),
		made("acme", "after", noon.Add(time.Millisecond), nil),
		made("acme", "incident", noon, func(c *change.Change) { c.Type = change.Incident }),
	)))
	q := store.CandidateQuery{Org: "acme", Start: noon.Add(-time.Hour), End: noon.Add(time.Millisecond), Environment: whole.Environment}
	got, more, err := s.Candidates(t.Context(), q)
	if err != nil || more {
		t.Fatal(more, err)
	}
	want := []change.Change{{
		ID: whole.ID, Org: "acme", OccurredAt: whole.OccurredAt, ServiceID: whole.ServiceID, ServiceName: whole.ServiceName,
		Type: whole.Type, Status: whole.Status, Environment: whole.Environment, Risk: whole.Risk, ChangedBy: whole.ChangedBy,
		Actor: change.Actor{ID: whole.Actor.ID, Name: whole.Actor.Name}, CorrelationID: whole.CorrelationID,
	}, {
		ID: change.NewID(noon.Add(-time.Hour), "acme", "test", "first"), Org: "acme", OccurredAt: change.At(noon.Add(-time.Hour)), Type: change.Deployment,
	}}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, _, err := s.Candidates(t.Context(), store.CandidateQuery{Org: "acme", Start: noon, End: noon}); problem.KindOf(err) != problem.Malformed {
		t.Errorf("an empty range: %v", err)
	}
}

// S0-4: what was known at a time is what was accepted by then.
func TestCandidates_AsOfATime(t *testing.T) {
	s := storetest.New(t)
	for name, at := range map[string]time.Time{"by then": noon, "late": noon.Add(time.Minute)} {
		insert(t, s, batch(stored("acme", at, made("acme", name, noon.Add(-time.Minute), func(c *change.Change) { c.CreatedAt = change.At(at) }))))
	}
	q := store.CandidateQuery{Org: "acme", Start: noon.Add(-time.Hour), End: noon, AsOf: noon}
	got, _, err := s.Candidates(t.Context(), q)
	if err != nil || len(got) != 1 || got[0].ID != change.NewID(noon.Add(-time.Minute), "acme", "test", "by then") {
		t.Errorf("as of noon: %v, %v", got, err)
	}
	q.AsOf = time.Time{}
	if got, _, err := s.Candidates(t.Context(), q); err != nil || len(got) != 2 {
		t.Errorf("now: %v, %v", got, err)
	}
}

// S0-4: where there are too many, what is asked about is kept, and it is said.
func TestCandidates_KeepWhatIsAskedAbout(t *testing.T) {
	s := storetest.New(t)
	var all []change.Change
	for i := range store.MaxCandidates {
		all = append(all, made("acme", fmt.Sprint(i), noon.Add(-time.Duration(i)*time.Millisecond), nil))
	}
	insert(t, s, batch(stored("acme", noon, all...)))
	q := store.CandidateQuery{Org: "acme", Start: noon.Add(-time.Hour), End: noon.Add(time.Hour), Services: []string{"svc_a", "svc_b"}, Environment: "production"}
	if got, more, err := s.Candidates(t.Context(), q); err != nil || more || len(got) != store.MaxCandidates {
		t.Errorf("just enough: %d, more %v, %v", len(got), more, err)
	}
	asked := func(name, service, environment string) change.Change {
		return made("acme", name, noon.Add(-59*time.Minute), func(c *change.Change) { c.ServiceID, c.Environment = service, environment })
	}
	insert(t, s, batch(stored("acme", noon, asked("a", "svc_a", ""), asked("b", "svc_b", "staging"), asked("c", "svc_c", "production"))))
	got, more, err := s.Candidates(t.Context(), q)
	if err != nil || !more || len(got) != store.MaxCandidates {
		t.Fatalf("too many: %d, more %v, %v", len(got), more, err)
	}
	services := map[string]bool{}
	for _, c := range got {
		services[c.ServiceID] = true
	}
	if diff := gocmp.Diff(map[string]bool{"": true, "svc_a": true, "svc_b": true, "svc_c": true}, services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

func TestChangesByID_ReturnsThoseThatExist(t *testing.T) {
	s := storetest.New(t)
	a, b := full("acme"), made("acme", "b", noon.Add(-time.Hour), nil)
	r := stored("acme", noon, a, b)
	insert(t, s, batch(r))
	got, err := s.ChangesByID(t.Context(), "acme", []change.ID{b.ID, {1}, a.ID})
	want := []change.Change{r.Changes[0], r.Changes[1]}
	if b.OccurredAt.After(a.OccurredAt.Time) {
		want[0], want[1] = want[1], want[0]
	}
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if none, err := s.ChangesByID(t.Context(), "acme", nil); err != nil || len(none) != 0 {
		t.Errorf("nothing: %v %v", none, err)
	}
	if _, err := s.ChangesByID(t.Context(), "acme", make([]change.ID, store.MaxLimit+1)); problem.KindOf(err) != problem.Malformed {
		t.Errorf("too many: %v", err)
	}
}

func TestAcquainted_KnowsWhoChangedWhat(t *testing.T) {
	s := storetest.New(t)
	by := func(key, service string, at time.Time, edit func(*change.Change)) change.Change {
		return made("acme", key, at, func(c *change.Change) { c.ServiceID = service; edit(c) })
	}
	changes := []change.Change{
		by("1", "svc_a", noon, func(c *change.Change) { c.ChangedBy, c.Actor.Name = "mona", "Mona L." }),
		by("2", "svc_a", noon, func(c *change.Change) { c.Actor.Name = "hubot" }),
		by("3", "svc_b", noon, func(c *change.Change) { c.Actor.ID = "7" }),
		by("4", "svc_b", noon.Add(-48*time.Hour), func(c *change.Change) { c.ChangedBy = "old" }),
		by("5", "svc_b", noon.Add(time.Hour), func(c *change.Change) { c.ChangedBy = "late" }),
	}
	pairs := []store.Acquaintance{
		{"svc_a", "mona"}, {"svc_a", "Mona L."}, {"svc_a", "hubot"}, {"svc_b", "7"}, {"svc_b", "mona"}, {"svc_b", "old"}, {"svc_b", "late"},
	}
	pairs = append(pairs, store.Acquaintance{ServiceID: "svc_c", Actor: "mona"}, store.Acquaintance{ServiceID: "svc_d", Actor: "mona"})
	changes = append(changes, by("6", "svc_c", noon, func(c *change.Change) { c.ChangedBy = "others" }))
	want := map[string][]string{"svc_a": {"hubot", "mona"}, "svc_b": {"7"}, "svc_c": {}}
	for i, text := range hostile { // names mean nothing to SQL
		changes = append(changes, by(fmt.Sprint("hostile ", i), text, noon, func(c *change.Change) { c.ChangedBy = text }))
		pairs = append(pairs, store.Acquaintance{ServiceID: text, Actor: text})
		want[text] = []string{text}
	}
	insert(t, s, batch(stored("acme", noon, changes...)))
	got, err := s.Acquainted(t.Context(), "acme", noon.Add(-24*time.Hour), noon.Add(time.Hour), pairs)
	slices.Sort(got["svc_a"])
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if none, err := s.Acquainted(t.Context(), "acme", noon, noon.Add(time.Hour), nil); err != nil || len(none) != 0 {
		t.Errorf("nobody: %v %v", none, err)
	}
	if _, err := s.Acquainted(t.Context(), "acme", noon, noon, make([]store.Acquaintance, store.MaxAcquaintances+1)); problem.KindOf(err) != problem.Malformed {
		t.Errorf("too many: %v", err)
	}
}

// S0-4: how a source usually delivers tells whether its silence means something.
func TestHabits_TellHowASourceDelivers(t *testing.T) {
	s := storetest.New(t)
	var results []change.Result
	deliver := func(source string, age, lag time.Duration, outcome change.Outcome) {
		received := noon.Add(-age)
		var changes []change.Change
		if outcome == change.Stored {
			changes = []change.Change{made("acme", source+age.String(), received.Add(-lag), func(c *change.Change) { c.Provenance.SourceID = source })}
		}
		r := stored("acme", received, changes...)
		r.SourceID, r.Outcome = source, outcome
		results = append(results, r)
	}
	for n := range 20 { // every 10 minutes, and one pause of 3 hours
		age := time.Duration(n) * 10 * time.Minute
		if n >= 10 {
			age += 3*time.Hour - 10*time.Minute
		}
		deliver("src_a", age, time.Duration(n+1)*time.Second, change.Stored)
	}
	deliver("src_b", time.Hour, -time.Minute, change.Stored) // its clock is ahead
	deliver("src_b", 2*time.Hour, 0, change.Dead)
	deliver("src_c", 40*time.Hour, 0, change.Dead)
	insert(t, s, batch(results...))
	got, err := s.Habits(t.Context(), store.HabitQuery{
		Org: "acme", Start: noon.Add(-24 * time.Hour), End: noon.Add(time.Millisecond), DeadStart: noon.Add(-48 * time.Hour), DeadEnd: noon.Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	a := got["src_a"]
	if a.LagMedian < 10*time.Second || a.LagMedian > 11*time.Second || a.LagP95 < 19*time.Second || a.LagP95 > 20*time.Second {
		t.Errorf("lag %s, %s", a.LagMedian, a.LagP95)
	}
	a.LagMedian, a.LagP95 = 0, 0
	got["src_a"] = a
	want := map[string]store.Habit{
		"src_a": {First: change.At(noon.Add(-19*10*time.Minute - 170*time.Minute)), Last: change.At(noon), Deliveries: 20, Pause: 3 * time.Hour},
		"src_b": {First: change.At(noon.Add(-2 * time.Hour)), Last: change.At(noon.Add(-time.Hour)), Deliveries: 2, Dead: 1, Pause: time.Hour},
		"src_c": {Dead: 1},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// What was done again is dead no longer.
	again := results[len(results)-2]
	again.Outcome, again.NormalizedAt = change.Stored, change.At(noon)
	insert(t, s, batch(again))
	got, err = s.Habits(t.Context(), store.HabitQuery{Org: "acme", Start: noon.Add(-24 * time.Hour), End: noon, DeadStart: noon.Add(-24 * time.Hour), DeadEnd: noon})
	if err != nil || got["src_b"].Dead != 0 {
		t.Errorf("done again: %+v %v", got["src_b"], err)
	}
}
