package store_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
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
	if none, err := s.KnownChanges(t.Context(), "acme", noon, nil); err != nil || len(none) != 0 {
		t.Errorf("nothing asked: %v %v", none, err)
	}
}
