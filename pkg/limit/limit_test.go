package limit_test

import (
	"testing"
	"time"

	"whatchanged/pkg/limit"
)

func TestRates_GiveEachCallerItsOwn(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := limit.NewRates[string](10, 3, 100)
	f := func(caller string, after time.Duration, want limit.Standing) {
		t.Helper()
		if got := r.Take(caller, now.Add(after)); got != want {
			t.Errorf("%s after %s: %+v, want %+v", caller, after, got, want)
		}
	}
	f("a", 0, limit.Standing{OK: true, Remaining: 2, Full: 100 * time.Millisecond})
	f("a", 0, limit.Standing{OK: true, Remaining: 1, Full: 200 * time.Millisecond})
	f("a", 0, limit.Standing{OK: true, Remaining: 0, Full: 300 * time.Millisecond})
	f("a", 0, limit.Standing{Full: 300 * time.Millisecond, RetryAfter: 100 * time.Millisecond})
	f("b", 0, limit.Standing{OK: true, Remaining: 2, Full: 100 * time.Millisecond})
	f("a", 100*time.Millisecond, limit.Standing{OK: true, Full: 300 * time.Millisecond})
	look := func(caller string, after time.Duration, want limit.Standing) {
		t.Helper()
		if got := r.Look(caller, now.Add(after)); got != want {
			t.Errorf("%s looked at after %s: %+v, want %+v", caller, after, got, want)
		}
	}
	look("a", 150*time.Millisecond, limit.Standing{Full: 250 * time.Millisecond, RetryAfter: 50 * time.Millisecond})
	for range 5 {
		look("c", 0, limit.Standing{OK: true, Remaining: 3})
	}
	look("b", 0, limit.Standing{OK: true, Remaining: 2, Full: 100 * time.Millisecond})
	f("a", time.Hour, limit.Standing{OK: true, Remaining: 2, Full: 100 * time.Millisecond})
}

func TestGenerations_HoldTwiceMaxAtMost(t *testing.T) {
	g := limit.Generations[int, int]{Max: 10}
	for i := range 1000 {
		g.Put(i, i)
		g.Get(0) // asked for again and again, so it stays
	}
	kept := 0
	for i := range 1000 {
		probe := g // a copy: asking moves things
		if _, ok := probe.Get(i); ok {
			kept++
		}
	}
	if _, ok := g.Get(0); !ok || kept > 20 {
		t.Errorf("%d kept, the one in use among them: %v", kept, ok)
	}
}
