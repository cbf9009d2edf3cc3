package store_test

import (
	"testing"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

// What a table has had stays counted, whatever hides it, on one node and through
// the tables of a cluster.
func TestCounts_CountEveryFactOnceAlsoWhenItIsHidden(t *testing.T) {
	for name, clustered := range map[string]bool{"single": false, "cluster": true} {
		t.Run(name, func(t *testing.T) {
			s, _ := recorded(t, clustered)
			now := time.Now().UTC().Truncate(time.Millisecond)
			r := change.Result{
				DeliveryID: change.NewDeliveryID(now), Org: "acme", SourceID: "src_a", ReceivedAt: change.At(now), FirstReceived: change.At(now),
				NormalizedAt: change.At(now), Outcome: change.Stored, Provider: "test",
			}
			for _, summary := range []string{"one", "two"} {
				r.Changes = append(r.Changes, change.Change{
					ID: change.NewID(now, "acme", "test", summary), Org: "acme", Type: change.Deployment, Summary: summary, OccurredAt: change.At(now), CreatedAt: change.At(now),
				})
			}
			removed := r
			removed.Changes, removed.Removed = nil, []change.ID{r.Changes[0].ID}
			for run, r := range []change.Result{r, removed} {
				if err := s.InsertChanges(t.Context(), []store.Batch{{Chain: "c", Frame: 1, Lane: change.Fresh, Run: uint16(run), Results: []change.Result{r}}}); err != nil {
					t.Fatal(err)
				}
			}
			counts, err := s.Counts(t.Context(), s.Database())
			if err != nil {
				t.Fatal(err)
			}
			if counts["changes"] != 2 || len(counts) != 10 {
				t.Errorf("%v", counts)
			}
		})
	}
}
