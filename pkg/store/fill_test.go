package store_test

import (
	"testing"
	"time"

	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

func TestStore_FillsWithRowsThatReadersUnderstand(t *testing.T) {
	s := storetest.New(t)
	cfg := store.FillConfig{Rows: 3000, Orgs: []string{"a", "b", "c"}, Until: noon, Span: 400 * 24 * time.Hour}
	for range 2 { // the same rows again
		if err := s.Fill(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	for _, org := range cfg.Orgs {
		page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: org}, Limit: 1000, Total: true})
		if page.Total != 1000 || len(page.Data) != 1000 {
			t.Errorf("%s: %d rows, total %d, want 1000", org, len(page.Data), page.Total)
		}
		for _, c := range page.Data {
			if !c.ID.Time().Equal(c.OccurredAt.Time) {
				t.Fatalf("id %s is of %v, the change of %v", c.ID, c.ID.Time(), c.OccurredAt)
			}
			if got, err := s.Change(t.Context(), org, c.ID); err != nil || got.Summary != c.Summary {
				t.Fatalf("change %s: %q, %v", c.ID, got.Summary, err)
			}
			break
		}
	}
}
