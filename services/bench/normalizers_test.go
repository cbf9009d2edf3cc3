package bench

import (
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/change"
)

func TestSamples_AreForEveryNormalizer(t *testing.T) {
	list, err := newRun(config{}, io.Discard).samples()
	if err != nil {
		t.Fatal(err)
	}
	set := all.Set()
	missing := maps.Clone(set)
	for _, name := range []string{
		"api",             // is not spoken by others
		"forgejo", "gogs", // are gitea's code
	} {
		delete(missing, name)
	}
	for _, s := range list {
		now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
		d := &change.Delivery{ID: change.DeliveryID{1}, Org: "o", SourceID: "s", ReceivedAt: change.At(now), Header: s.header, Body: s.body}
		res := set.Process(d, normalizers.Settings{}, now, now)
		if res.Outcome != change.Stored {
			t.Errorf("%s: %s (%s), want stored", s.name, res.Outcome, res.Reason)
		}
		for _, c := range res.Changes {
			delete(missing, c.Provenance.Normalizer)
		}
	}
	if len(missing) > 0 {
		t.Errorf("no sample for %v", slices.Sorted(maps.Keys(missing)))
	}
}

func TestMeasure_CountsWhatOneRunCosts(t *testing.T) {
	var kept []byte
	c := measure(func() { kept = make([]byte, 4096) })
	if c.Micros <= 0 || c.Allocs < 1 || c.Alloc < 4096 || len(kept) != 4096 {
		t.Errorf("one allocation of 4096 bytes: %+v", c)
	}
}
