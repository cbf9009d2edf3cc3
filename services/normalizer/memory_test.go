package normalizer

import (
	"strconv"
	"testing"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

var noon = time.Date(2026, 3, 30, 12, 0, 0, 0, time.UTC)

func of(n int) store.Identity {
	return store.Identity{Org: "acme", SourceID: "src_1", Identity: "github:" + strconv.Itoa(n)}
}

func TestMemory_KnowsWhatItSawAndNothingElse(t *testing.T) {
	m := newMemory(time.Hour, 10)
	seen := sighting{delivery: change.NewDeliveryID(noon), received: noon, hash: 7}
	m.put(of(1), seen)
	if got, ok := m.get(of(1)); !ok || got != seen {
		t.Errorf("get = %v, %v", got, ok)
	}
	other := of(1)
	other.Org = "globex"
	if m.has(other) {
		t.Error("another org's delivery with the same identity is known")
	}
}

func TestMemory_ForgetsTheOldestWhenItIsFull(t *testing.T) {
	m := newMemory(time.Hour, 10)
	for n := range 35 {
		m.put(of(n), sighting{})
	}
	if m.has(of(0)) || !m.has(of(34)) || !m.has(of(25)) {
		t.Error("want the last ones kept and the first forgotten")
	}
	if held := len(m.young) + len(m.old); held > 20 {
		t.Errorf("%d identities held, want at most 20", held)
	}
}

func TestMemory_ForgetsWhatIsOlderThanItsSpan(t *testing.T) {
	m := newMemory(15*time.Minute, 10)
	now := noon
	m.now = func() time.Time { return now }
	m.turned = now
	m.put(of(1), sighting{})
	for range 2 {
		now = now.Add(16 * time.Minute)
		m.put(of(2), sighting{})
	}
	if m.has(of(1)) || !m.has(of(2)) {
		t.Error("want the old one forgotten and the new one known")
	}
}
