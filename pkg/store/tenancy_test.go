package store_test

import (
	"testing"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

func TestStore_ShowsNoOrgWhatBelongsToAnother(t *testing.T) {
	s := storetest.New(t)
	secret := full("acme")
	r := stored("acme", noon, secret)
	r.Identity = "github:1"
	insert(t, s, batch(r))
	d := change.Delivery{ID: r.DeliveryID, Org: "acme", SourceID: "src_a", ReceivedAt: r.ReceivedAt, Body: []byte("{}")}
	if err := s.InsertPayloads(t.Context(), []store.PayloadBatch{{Chain: "c1", Frame: 1, Deliveries: []change.Delivery{d}}}); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := s.MeasureUsage(ctx); err != nil {
		t.Fatal(err)
	}
	for _, org := range []string{"other", "acm", "acme ", "ACME", "%"} {
		if _, err := s.Change(ctx, org, r.Changes[0].ID); problem.KindOf(err) != problem.NotFound {
			t.Errorf("%s: change: %v", org, err)
		}
		if _, err := s.Delivery(ctx, org, r.DeliveryID); problem.KindOf(err) != problem.NotFound {
			t.Errorf("%s: delivery: %v", org, err)
		}
		if _, err := s.Payload(ctx, org, r.DeliveryID); problem.KindOf(err) != problem.NotFound {
			t.Errorf("%s: payload: %v", org, err)
		}
		for _, f := range []store.ChangeFilter{{}, {DeliveryID: r.DeliveryID}, {Q: "deploy"}, {ServiceID: secret.ServiceID}} {
			f.Org = org
			if page := find(t, s, store.ChangeQuery{ChangeFilter: f, Total: true}); len(page.Data) != 0 || page.Total != 0 {
				t.Errorf("%s: %+v: %d changes, total %d", org, f, len(page.Data), page.Total)
			}
		}
		page, err := s.FindDeliveries(ctx, store.DeliveryQuery{Org: org, Identity: "github:1", Total: true})
		if err != nil || len(page.Data) != 0 || page.Total != 0 {
			t.Errorf("%s: deliveries: %+v, %v", org, page, err)
		}
		stats, err := s.Stats(ctx, store.StatsQuery{ChangeFilter: withRange(store.ChangeFilter{Org: org}), By: []string{"source"}})
		if err != nil || len(stats) != 0 {
			t.Errorf("%s: stats: %+v, %v", org, stats, err)
		}
		account, err := s.Account(ctx, store.AccountQuery{Org: org, Start: noon.Add(-time.Hour), End: noon.Add(time.Hour)})
		if err != nil || len(account) != 0 {
			t.Errorf("%s: account: %+v, %v", org, account, err)
		}
		if usage, err := s.Usage(ctx, org); err != nil || len(usage) != 0 {
			t.Errorf("%s: usage: %+v, %v", org, usage, err)
		}
		found, _, err := s.Candidates(ctx, store.CandidateQuery{Org: org, Start: noon.Add(-time.Hour), End: noon.Add(time.Hour), Services: []string{secret.ServiceID}})
		if err != nil || len(found) != 0 {
			t.Errorf("%s: candidates: %+v, %v", org, found, err)
		}
		if found, err = s.ChangesByID(ctx, org, []change.ID{r.Changes[0].ID}); err != nil || len(found) != 0 {
			t.Errorf("%s: changes by id: %+v, %v", org, found, err)
		}
		pair := store.Acquaintance{ServiceID: secret.ServiceID, Actor: secret.ChangedBy}
		acquainted, err := s.Acquainted(ctx, org, noon.Add(-time.Hour), noon.Add(time.Hour), []store.Acquaintance{pair})
		if err != nil || len(acquainted) != 0 {
			t.Errorf("%s: acquainted: %+v, %v", org, acquainted, err)
		}
		habits, err := s.Habits(ctx, store.HabitQuery{Org: org, Start: noon.Add(-time.Hour), End: noon.Add(time.Hour), DeadStart: noon.Add(-time.Hour), DeadEnd: noon})
		if err != nil || len(habits) != 0 {
			t.Errorf("%s: habits: %+v, %v", org, habits, err)
		}
		facts, err := s.KnownChanges(ctx, org, noon.Add(-time.Hour), []change.ID{r.Changes[0].ID})
		if err != nil || len(facts) != 0 {
			t.Errorf("%s: known changes: %+v, %v", org, facts, err)
		}
		known, err := s.KnownIdentities(ctx, []store.Identity{{Org: org, SourceID: "src_a", Identity: "github:1"}})
		if err != nil || len(known) != 0 {
			t.Errorf("%s: identities: %+v, %v", org, known, err)
		}
	}
}
