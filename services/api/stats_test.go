package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

// S0-34: what an analyst asks for comes as counts: by time, by any fact, the
// largest groups and the rest, and compared with the time before.
func TestStats_ByAnyFactWithTheRestAndTheTimeBefore(t *testing.T) {
	t.Parallel()
	s := start(t)
	var changes []client.NewChange
	add := func(day, n int, environment, repository string) {
		at := change.At(time.Date(2026, 3, day, 12, 0, 0, 0, time.UTC))
		for range n {
			changes = append(changes, client.NewChange{
				Summary: fmt.Sprint(len(changes)), Environment: environment, Repository: repository, OccurredAt: &at, Action: "deployment.done",
			})
		}
	}
	add(2, 2, "production", "acme/a")
	add(3, 3, "production", "acme/a")
	add(3, 1, "staging", "acme/b")
	add(4, 1, "production", "acme/c")
	s.logAll(changes...)

	f := func(query string, want ...any) {
		t.Helper()
		got := s.call("GET", "/api/v1/stats?start_date=2026-03-03&end_date=2026-03-05&"+query, "")
		if got.Status != http.StatusOK {
			t.Errorf("%s: %d %s", query, got.Status, got.Body)
			return
		}
		if diff := cmp.Diff(want, got.json(t)["data"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	type o = map[string]any
	f("", o{"count": 5.0})
	f("environment=staging", o{"count": 1.0})
	f("action=deployment.*&change_type=deployment,code", o{"count": 5.0})
	f("as_of=2026-01-01")
	f("bucket=1d", o{"start": "2026-03-03T00:00:00.000Z", "count": 4.0}, o{"start": "2026-03-04T00:00:00.000Z", "count": 1.0})
	f("by=repository&top=1", o{"group": o{"repository": "acme/a"}, "count": 3.0}, o{"other": true, "count": 2.0})
	f("by=environment,action&compare=previous",
		o{"group": o{"environment": "production", "action": "deployment.done"}, "count": 4.0, "previous": 2.0, "delta": 2.0},
		o{"group": o{"environment": "staging", "action": "deployment.done"}, "count": 1.0, "previous": 0.0, "delta": 1.0})
	f("bucket=1d&compare=previous",
		o{"start": "2026-03-03T00:00:00.000Z", "count": 4.0, "previous": 0.0, "delta": 4.0},
		o{"start": "2026-03-04T00:00:00.000Z", "count": 1.0, "previous": 2.0, "delta": -1.0})
	for _, by := range []string{"source", "type", "service", "environment", "actor", "repository", "risk", "status", "account", "region", "provider", "action"} {
		if got := s.call("GET", "/api/v1/stats?start_date=2026-03-01&end_date=2026-04-01&bucket=7d&top=1&by="+by, ""); got.Status != http.StatusOK {
			t.Errorf("by %s: %d %s", by, got.Status, got.Body)
		}
	}
	if got := s.call("GET", "/api/v1/stats?compare=next", ""); got.Status != http.StatusBadRequest || got.json(t)["field"] != "compare" {
		t.Errorf("compare=next: %d %s", got.Status, got.Body)
	}
	rows, err := s.admin.Stats(t.Context(), client.StatsFilter{
		ChangeFilter: client.ChangeFilter{Environment: "production", Start: time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)},
		By:           []string{"repository"}, Top: 1, Compare: true,
	})
	if err != nil || len(rows) != 2 || *rows[0].Delta != 1 || !rows[1].Other {
		t.Errorf("the client: %+v %v", rows, err)
	}
}
