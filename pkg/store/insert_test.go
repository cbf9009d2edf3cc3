package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/pkg/store/storetest"
)

// noon is when the tests happen: yesterday, because old payloads go.
var noon = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)

// made returns a change of org with all that every change has; edit adds more.
func made(org, key string, occurred time.Time, edit func(*change.Change)) change.Change {
	c := change.Change{
		ID: change.NewID(occurred, org, "test", key), Org: org, Type: change.Deployment, Summary: "Deploy " + key,
		Source: "test", OccurredAt: change.At(occurred), CreatedAt: change.At(noon),
	}
	if edit != nil {
		edit(&c)
	}
	return c
}

// stored returns the result of a delivery that made these changes.
func stored(org string, received time.Time, changes ...change.Change) change.Result {
	id := change.NewDeliveryID(received)
	for i := range changes {
		changes[i].Provenance.DeliveryID = id
		changes[i].CreatedAt = change.At(received)
	}
	return change.Result{
		DeliveryID: id, Org: org, SourceID: "src_a", ReceivedAt: change.At(received), FirstReceived: change.At(received),
		NormalizedAt: change.At(received.Add(time.Second)), Outcome: change.Stored, Provider: "test", Changes: changes,
	}
}

// batch is one frame of results.
func batch(results ...change.Result) store.Batch {
	for i := range results {
		results[i].Place = i
	}
	return store.Batch{Chain: "c1", Frame: 1, Lane: change.Fresh, Results: results}
}

func insert(t *testing.T, s *store.Store, batches ...store.Batch) {
	t.Helper()
	if err := s.InsertChanges(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertDeliveries(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, s *store.Store, q store.ChangeQuery) store.Page[change.Change] {
	t.Helper()
	page, err := s.FindChanges(t.Context(), q)
	if err != nil {
		t.Fatalf("find %+v: %v", q, err)
	}
	return page
}

func summaries(page store.Page[change.Change]) []string {
	var out []string
	for _, c := range page.Data {
		out = append(out, c.Summary)
	}
	return out
}

// full is a change with every field set.
func full(org string) change.Change {
	return made(org, "full", noon.Add(-time.Minute), func(c *change.Change) {
		c.ServiceID, c.ServiceName, c.Action, c.Status = "svc_1", "api gateway", "deployment.succeeded", change.Succeeded
		c.Summary, c.Description, c.Environment, c.Risk = "Deploy 'v2' \\ to\tproduction\nü", "why\x00not", "production", change.High
		c.RiskHints, c.Tags, c.ChangedBy = []string{"production", "force_push"}, []string{"team:a", "x'y"}, "mona@example.com"
		c.Actor = change.Actor{ID: "7", Name: "mona", Type: "user"}
		c.Resource = change.Resource{Type: "repo", ID: "r1", Name: "acme/api", URL: "https://example.com/r"}
		c.Repository, c.CommitSHA, c.CommitMessage, c.Branch, c.Version = "acme/api", "abc", "fix", "main", "v2"
		c.PRNumber, c.PRURL, c.PipelineURL, c.Account, c.Region = "12", "https://example.com/12", "https://ci/1", "123", "eu-west-1"
		c.ExternalID, c.CorrelationID, c.SessionID = "ext", "cor", "ses"
		c.Metadata = json.RawMessage(`{"a": [1, 2.50, "x"]}`)
		c.Provenance = change.Provenance{SourceID: "src_a", Index: 3, Provider: "test", Normalizer: "test", Version: 2, DetectedBy: "source"}
	})
}

func TestStore_GivesBackAChangeAsItWas(t *testing.T) {
	s := storetest.New(t)
	want := full("acme")
	r := stored("acme", noon, want)
	insert(t, s, batch(r))
	want = r.Changes[0]

	got, err := s.Change(t.Context(), "acme", want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("one change (-want +got):\n%s", diff)
	}
	page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Total: true})
	if diff := cmp.Diff(store.Page[change.Change]{Data: []change.Change{want}, Total: 1, Limit: 25}, page); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestStore_GivesBackADeliveryAsItWas(t *testing.T) {
	s := storetest.New(t)
	r := stored("acme", noon, full("acme"))
	r.Identity, r.Reason, r.DetectedBy, r.Conflict, r.Size = "github:1", "because", "header:X", true, 12
	r.BodyHash, r.Dead = [32]byte{0, 1, 255}, []change.DeadRecord{{Index: 1, Reason: "bad"}}
	insert(t, s, batch(r))

	got, err := s.Delivery(t.Context(), "acme", r.DeliveryID)
	if err != nil {
		t.Fatal(err)
	}
	if got.StoredAt.IsZero() {
		t.Error("stored_at is not set")
	}
	got.StoredAt = change.Time{}
	want := store.Delivery{
		ID: r.DeliveryID, Org: "acme", SourceID: "src_a", Identity: "github:1", Outcome: change.Stored, Reason: "because",
		Provider: "test", DetectedBy: "header:X", Conflict: true, Changes: 1, DeadRecords: 1, Size: 12,
		BodySHA256: "0001ff" + fmt.Sprintf("%058d", 0), ReceivedAt: r.ReceivedAt, FirstReceived: r.ReceivedAt,
		NormalizedAt: r.NormalizedAt, Lane: change.Fresh, Chain: "c1", Frame: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStore_KeepsPayloadsByteForByte(t *testing.T) {
	s := storetest.New(t)
	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	d := change.Delivery{
		ID: change.NewDeliveryID(noon), Org: "acme", SourceID: "src_a", ReceivedAt: change.At(noon), Identity: "github:1",
		Header: http.Header{"X-Github-Event": {"push"}, "X-Two": {"a", "\x00b"}}, Body: body,
	}
	empty := change.Delivery{ID: change.NewDeliveryID(noon), Org: "acme", ReceivedAt: change.At(noon)}
	if err := s.InsertPayloads(t.Context(), []store.PayloadBatch{{Chain: "c1", Frame: 1, Lane: change.Fresh, Deliveries: []change.Delivery{d, empty}}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Payload(t.Context(), "acme", d.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := store.Payload{ID: d.ID, SourceID: "src_a", Identity: "github:1", ReceivedAt: d.ReceivedAt, Header: d.Header, Body: body}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err = s.Payload(t.Context(), "acme", empty.ID); err != nil || len(got.Body) != 0 {
		t.Errorf("empty payload: body %q, error %v", got.Body, err)
	}
}

func TestStore_ShowsRowsInsertedTwiceOnce(t *testing.T) {
	s := storetest.New(t)
	b := batch(stored("acme", noon, full("acme")))
	insert(t, s, b)
	insert(t, s, b, b)
	page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Total: true})
	if len(page.Data) != 1 || page.Total != 1 {
		t.Errorf("changes: %d rows, total %d, want 1", len(page.Data), page.Total)
	}
	deliveries, err := s.FindDeliveries(t.Context(), store.DeliveryQuery{Org: "acme", Total: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(deliveries.Data) != 1 || deliveries.Total != 1 {
		t.Errorf("deliveries: %d rows, total %d, want 1", len(deliveries.Data), deliveries.Total)
	}
}

func TestStore_ShowsTheFirstDeliveryOfTheLatestRun(t *testing.T) {
	s := storetest.New(t)
	at := func(received time.Time, run uint16, text string) {
		b := batch(stored("acme", received, made("acme", "same", noon, func(c *change.Change) { c.Summary = text })))
		b.Run = run
		insert(t, s, b)
		page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}})
		if len(page.Data) != 1 {
			t.Fatalf("after %q: %d rows, want 1", text, len(page.Data))
		}
	}
	want := func(text string) {
		t.Helper()
		if got := summaries(find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}})); !cmp.Equal(got, []string{text}) {
			t.Errorf("shown: %q, want %q", got, text)
		}
	}
	at(noon.Add(time.Hour), 0, "second delivery")
	at(noon, 0, "first delivery")
	want("first delivery")
	at(noon.Add(2*time.Hour), 0, "third delivery")
	want("first delivery")
	at(noon.Add(3*time.Hour), 1, "replay")
	want("replay")
	at(noon.Add(-time.Hour), 0, "late, of the first run")
	want("replay")
}

// One sender must not be able to stop the writer with strange times.
func TestStore_InsertsChangesOfAnyNumberOfMonths(t *testing.T) {
	s := storetest.New(t)
	var changes []change.Change
	for i := range 300 {
		changes = append(changes, made("acme", fmt.Sprint(i), time.Date(1970, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC), nil))
	}
	insert(t, s, batch(stored("acme", noon, changes...)))
	page := find(t, s, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Limit: 1000, Total: true})
	if len(page.Data) != 300 || page.Total != 300 {
		t.Errorf("%d rows, total %d, want 300", len(page.Data), page.Total)
	}
}

func TestStore_InsertsNothingOfNothing(t *testing.T) {
	s := storetest.New(t)
	insert(t, s)
	insert(t, s, batch(), batch(stored("acme", noon)))
	if err := s.InsertPayloads(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// The writer halves a batch that was refused for its data until the bad row is
// alone: the constraint stands for whatever ClickHouse may refuse.
func TestIsData_TellsBadRowsFromBadTimes(t *testing.T) {
	s := storetest.New(t)
	exec(t, s, "ALTER TABLE changes ADD CONSTRAINT no_poison CHECK summary != 'poison'")
	poison := made("acme", "p", noon, func(c *change.Change) { c.Summary = "poison" })
	good := batch(stored("acme", noon, made("acme", "g", noon, nil)))
	err := s.InsertChanges(t.Context(), []store.Batch{good, batch(stored("acme", noon, poison))})
	if !store.IsData(err) {
		t.Errorf("a row that violates a constraint: %v", err)
	}
	if err := s.InsertChanges(t.Context(), []store.Batch{good}); err != nil {
		t.Errorf("the good half: %v", err)
	}

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.InsertChanges(gone, []store.Batch{good}); err == nil || store.IsData(err) {
		t.Errorf("a caller that has gone: %v", err)
	}
	exec(t, s, "DROP TABLE changes SYNC")
	if err := s.InsertChanges(t.Context(), []store.Batch{good}); err == nil || store.IsData(err) {
		t.Errorf("no table: %v", err)
	}
	if store.IsData(nil) {
		t.Error("no error is one of data")
	}
}
