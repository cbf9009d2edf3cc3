package normalizer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/services/normalizer"
)

// A request and its repeat may be on different lanes, since their org was moved
// between them. Neither has a time of its own, so that the time of the first is
// a part of the change's id.
func TestLanes_TheSameRequestOnBothIsOneChange(t *testing.T) {
	p := start(t)
	bulk := p.bus.NewCommitter(change.Bulk)
	run(t, bulk.Run)
	fresh, lately := p.committer, normalizer.NewLately()
	const requests = 20
	var ids []change.DeliveryID
	for i := range requests {
		key := fmt.Sprintf("request-%d", i)
		for _, c := range []any{bulk, fresh} {
			p.committer = fresh
			if c == any(bulk) {
				p.committer = bulk
			}
			ids = append(ids, p.deliver(`{"title": "Raise pool size"}`, "Idempotency-Key", key))
			time.Sleep(2 * time.Millisecond) // so that the times differ
		}
	}
	for _, lane := range []string{change.Bulk, change.Fresh} { // both begin with all there is
		n, err := normalizer.New(lane, normalizer.Deps{
			Bus: p.bus, Known: p.store, Lately: lately, Normalizers: all.Set(), Log: bustest.Log(t), Metrics: prometheus.NewRegistry(),
			Settings: func(string, string) normalizers.Settings { return normalizers.Settings{} },
			Fetches:  func(string, string) bool { return false },
		})
		if err != nil {
			t.Fatal(err)
		}
		run(t, n.Run)
	}
	got := map[change.Outcome]int{}
	for _, id := range ids {
		got[p.outcome(id).Outcome]++
	}
	if diff := cmp.Diff(map[change.Outcome]int{change.Stored: requests, change.Duplicate: requests}, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if n := len(p.changes()); n != requests {
		t.Errorf("%d changes of %d requests that each came twice", n, requests)
	}
}
