package normalizer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/audit"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/dead"
	"whatchanged/pkg/store"
	"whatchanged/services/normalizer"
	"whatchanged/services/writer"
)

// breakable is a normalizer with a bug, until somebody mends it.
type breakable struct {
	normalizers.Normalizer
	mended *atomic.Bool
}

func (b breakable) Normalize(r normalizers.Record) (normalizers.Result, error) {
	if !b.mended.Load() && strings.Contains(string(r.JSON), "poison") {
		return normalizers.Result{}, fmt.Errorf("%w: the poison is not understood", change.ErrMalformed)
	}
	return b.Normalizer.Normalize(r)
}

// desk is a pipeline whose normalizers have a bug, and who deals with what dies of it.
type desk struct {
	*pipeline
	*dead.Desk
	mended  atomic.Bool
	service *normalizer.Service
}

func startDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{pipeline: start(t)}
	set := all.Set()
	for _, provider := range []string{"generic", "cloudtrail"} {
		set[provider] = breakable{set[provider], &d.mended}
	}
	make := func(lane string) *normalizer.Service {
		n, err := normalizer.New(lane, normalizer.Deps{
			Bus: d.bus, Known: d.store, Normalizers: set, Log: bustest.Log(t), Metrics: prometheus.NewRegistry(),
			Settings: func(string, string) normalizers.Settings { return d.settings },
			Fetches:  func(string, string) bool { return d.fetches },
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w, err := writer.New(writer.Deps{Bus: d.bus, Store: d.store, Log: bustest.Log(t), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, w.RunRaw)
	d.service = make(change.Fresh)
	run(t, d.service.Run)
	d.Desk, err = dead.New(dead.Deps{
		Bus: d.bus, Store: d.store, Normalize: make("redrive").Again, Log: bustest.Log(t), Metrics: prometheus.NewRegistry(),
		Provider: func(string, string) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// letters returns the list, latest first.
func (d *desk) letters() []bus.DeadLetter {
	d.t.Helper()
	page, err := d.bus.DeadLetters(d.t.Context(), bus.DeadQuery{Org: "acme", Limit: 100})
	if err != nil {
		d.t.Fatal(err)
	}
	return page.Letters
}

// died waits until a delivery has its row and payload.
func (d *desk) died(id change.DeliveryID) store.Delivery {
	d.t.Helper()
	row := d.outcome(id)
	d.eventually(func() error {
		_, err := d.store.Payload(d.t.Context(), "acme", id)
		return err
	})
	return row
}

func (d *desk) redrive(letters ...bus.DeadLetter) []dead.Fate {
	d.t.Helper()
	var ids []string
	for _, l := range letters {
		ids = append(ids, l.ID)
	}
	fates, err := d.Redrive(d.t.Context(), "acme", ids)
	if err != nil {
		d.t.Fatal(err)
	}
	return fates
}

// account sums what was received and what became of it.
func (d *desk) account() (sum store.AccountRow) {
	d.t.Helper()
	rows, err := d.store.Account(d.t.Context(), store.AccountQuery{Org: "acme", Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Minute)})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, r := range rows {
		sum.Received += r.Received
		sum.Stored += r.Stored
		sum.Duplicate += r.Duplicate
		sum.Ignored += r.Ignored
		sum.Dead += r.Dead
		sum.InFlight += r.InFlight
	}
	return sum
}

func statuses(fates []dead.Fate) (out []dead.Status) {
	for _, f := range fates {
		out = append(out, f.Status)
	}
	return out
}

func TestRedrive_AfterTheMendItIsStoredOnceAndTheAccountCloses(t *testing.T) {
	d := startDesk(t)
	id := d.deliver(`{"title": "poison one"}`, "Idempotency-Key", "one")
	if row := d.died(id); row.Outcome != change.Dead {
		t.Fatalf("it is %s", row.Outcome)
	}
	before := d.letters()
	if len(before) != 1 || before[0].Attempts != 1 || !strings.Contains(before[0].LastError, "poison") {
		t.Fatalf("letters %+v", before)
	}

	// Nothing is mended: it fails again, and there is still one letter.
	if got := d.redrive(before[0]); got[0].Status != dead.StillDead {
		t.Fatalf("%+v", got)
	}
	after := d.letters()
	if len(after) != 1 || after[0].ID != before[0].ID || after[0].Attempts != 2 || after[0].FirstAt != before[0].FirstAt {
		t.Fatalf("after failing again: %+v", after)
	}

	d.mended.Store(true)
	got := d.redrive(after[0])
	if got[0].Status != dead.Redriven || got[0].Outcome != change.Stored || !got[0].Stored {
		t.Fatalf("%+v", got)
	}
	if row := d.outcome(id); row.Outcome != change.Stored || row.Changes != 1 || row.Reason != "" {
		t.Errorf("its row: %+v", row)
	}
	changes := d.stored(1)
	if left := d.letters(); len(left) != 0 {
		t.Errorf("letters are left: %+v", left)
	}
	want := store.AccountRow{Received: 1, Stored: 1}
	if diff := cmp.Diff(want, d.account()); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}

	// Its id is what it would have been at first: the provider's repeat is a duplicate of it.
	again := d.deliver(`{"title": "poison one"}`, "Idempotency-Key", "one")
	if row := d.outcome(again); row.Outcome != change.Duplicate {
		t.Errorf("the repeat is %s", row.Outcome)
	}
	if now := d.stored(1); now[0].ID != changes[0].ID {
		t.Errorf("another id: %s, before %s", now[0].ID, changes[0].ID)
	}
	if got := d.redrive(after[0]); got[0].Status != dead.Gone {
		t.Errorf("done again: %+v", got)
	}
}

// The provider sent it again and that one was stored: the dead one is its duplicate.
func TestRedrive_WhatWasStoredMeanwhileMakesItADuplicate(t *testing.T) {
	d := startDesk(t)
	first := d.deliver(`{"title": "poison"}`, "Idempotency-Key", "x")
	d.died(first)
	d.mended.Store(true)
	second := d.deliver(`{"title": "poison"}`, "Idempotency-Key", "x")
	if row := d.outcome(second); row.Outcome != change.Stored {
		t.Fatalf("the second is %s", row.Outcome)
	}
	d.stored(1)
	got := d.redrive(d.letters()...)
	if len(got) != 1 || got[0].Status != dead.Redriven || got[0].Outcome != change.Duplicate {
		t.Fatalf("%+v", got)
	}
	d.stored(1)
	if diff := cmp.Diff(store.AccountRow{Received: 2, Stored: 1, Duplicate: 1}, d.account()); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

func trail(n int, poisoned ...int) string {
	var records []string
	for i := range n {
		name := fmt.Sprintf("thing-%d", i)
		if slices.Contains(poisoned, i) {
			name = fmt.Sprintf("poison-%d", i)
		}
		records = append(records, fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":"jane"},
			"eventTime":"2026-03-30T15:3%d:00Z","eventSource":"s3.amazonaws.com","eventName":"PutBucketPolicy","awsRegion":"eu-west-1",
			"requestParameters":{"bucketName":"%s"},"eventID":"0000000%d-1111-2222-3333-444455556666","eventType":"AwsApiCall",
			"recipientAccountId":"123456789012"}`, i, name, i))
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

func TestRedrive_ARecordOfABatchDisturbsNoOther(t *testing.T) {
	d := startDesk(t)
	id := d.deliver(trail(5, 1, 3))
	row := d.died(id)
	if row.Outcome != change.Stored || row.Changes != 3 || row.DeadRecords != 2 {
		t.Fatalf("%+v", row)
	}
	d.stored(3)
	letters := d.letters()
	if len(letters) != 2 {
		t.Fatalf("letters %+v", letters)
	}
	slices.SortFunc(letters, func(a, b bus.DeadLetter) int { return a.Index - b.Index })
	d.mended.Store(true)
	// Today's settings would put all into another environment; only the record's change has it.
	d.settings.DefaultEnvironment = "later"
	if got := d.redrive(letters[0]); got[0].Status != dead.Redriven {
		t.Fatalf("%+v", got)
	}
	row = d.outcome(id)
	if row.Outcome != change.Stored || row.Changes != 4 || row.DeadRecords != 1 {
		t.Errorf("after the first record: %+v", row)
	}
	environments := map[string]int{}
	for _, c := range d.stored(4) {
		environments[c.Environment]++
	}
	if environments["later"] != 1 {
		t.Errorf("environments %v: others were disturbed", environments)
	}
	if got := d.redrive(letters[1]); got[0].Status != dead.Redriven {
		t.Fatalf("%+v", got)
	}
	if row := d.outcome(id); row.Changes != 5 || row.DeadRecords != 0 {
		t.Errorf("after the second: %+v", row)
	}
	d.stored(5)
	if diff := cmp.Diff(store.AccountRow{Received: 1, Stored: 1}, d.account()); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

func TestRedrive_OfTwoAtTheSameTimeOneWins(t *testing.T) {
	d := startDesk(t)
	d.died(d.deliver(`{"title": "poison"}`))
	d.mended.Store(true)
	letters := d.letters()
	var wg sync.WaitGroup
	got := make([]dead.Status, 8)
	for i := range got {
		wg.Go(func() {
			fates, err := d.Redrive(t.Context(), "acme", []string{letters[0].ID})
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = fates[0].Status
		})
	}
	wg.Wait()
	slices.Sort(got)
	want := append(slices.Repeat([]dead.Status{dead.Gone}, 7), dead.Redriven)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.stored(1)
}

func TestRedrive_ManyAtOnce(t *testing.T) {
	d := startDesk(t)
	var last change.DeliveryID
	for i := range 30 {
		last = d.deliver(fmt.Sprintf(`{"title": "poison %d"}`, i))
	}
	d.died(last)
	letters := d.letters()
	if len(letters) != 30 {
		t.Fatalf("%d letters", len(letters))
	}
	d.mended.Store(true)
	for i, f := range d.redrive(letters...) {
		if f.Status != dead.Redriven || f.ID != letters[i].ID {
			t.Errorf("%+v", f)
		}
	}
	d.stored(30)
	if diff := cmp.Diff(store.AccountRow{Received: 30, Stored: 30}, d.account()); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

// Wherever a re-drive stops, the letter is there until what it became is on
// disk, and doing it again ends well.
func TestRedrive_StoppedInTheMiddleNothingIsLost(t *testing.T) {
	d := startDesk(t)
	id := d.deliver(`{"title": "poison"}`)
	d.died(id)
	d.mended.Store(true)
	letter := d.letters()[0]
	f := func(name string, normalize func(context.Context, []dead.Job) ([]change.Result, error), wrap func(context.Context) context.Context) {
		t.Helper()
		broken, err := dead.New(dead.Deps{
			Bus: d.bus, Store: d.store, Normalize: normalize, Log: bustest.Log(t), Metrics: prometheus.NewRegistry(),
			Provider: func(string, string) string { return "" },
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := broken.Redrive(wrap(t.Context()), "acme", []string{letter.ID}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if left := d.letters(); len(left) != 1 || left[0].ID != letter.ID {
			t.Errorf("%s: letters %+v", name, left)
		}
	}
	same := func(ctx context.Context) context.Context { return ctx }
	f("before normalizing", func(context.Context, []dead.Job) ([]change.Result, error) { return nil, errors.New("out of memory") }, same)
	// Its process ends right after normalizing: nothing is published any more.
	var cancel context.CancelFunc
	f("before publishing", func(ctx context.Context, jobs []dead.Job) ([]change.Result, error) {
		defer cancel()
		return d.normalize(ctx, jobs)
	}, func(ctx context.Context) context.Context {
		ctx, cancel = context.WithCancel(ctx)
		return ctx
	})
	if row := d.outcome(id); row.Outcome != change.Dead {
		t.Errorf("it is %s though nothing was published", row.Outcome)
	}
	// Its process ends after publishing, before the letter goes: both are there,
	// and doing it again makes the same change.
	results, err := d.normalize(t.Context(), []dead.Job{d.job(letter)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.bus.PublishChanges(t.Context(), &bus.ChangeFrame{
		Chain: letter.Chain, Number: letter.Frame, Lane: change.Fresh, Results: results, Again: "crash",
	}); err != nil {
		t.Fatal(err)
	}
	d.stored(1)
	d.eventually(func() error {
		if row := d.outcome(id); row.Outcome != change.Stored {
			return fmt.Errorf("it is %s", row.Outcome)
		}
		return nil
	})
	if left := d.letters(); len(left) != 1 {
		t.Errorf("letters %+v", left)
	}
	if got := d.redrive(letter); got[0].Status != dead.Redriven {
		t.Errorf("%+v", got)
	}
	d.stored(1)
	if left := d.letters(); len(left) != 0 {
		t.Errorf("letters %+v", left)
	}
	if diff := cmp.Diff(store.AccountRow{Received: 1, Stored: 1}, d.account()); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

// normalize is what the desk's normalizer does.
func (d *desk) normalize(ctx context.Context, jobs []dead.Job) ([]change.Result, error) {
	return d.Deps.Normalize(ctx, jobs)
}

func (d *desk) job(l bus.DeadLetter) dead.Job {
	d.t.Helper()
	p, err := d.store.Payload(d.t.Context(), "acme", l.DeliveryID)
	if err != nil {
		d.t.Fatal(err)
	}
	return dead.Job{Chain: l.Chain, Frame: l.Frame, Place: l.Place, Lane: change.Fresh, Delivery: change.Delivery{
		ID: l.DeliveryID, Org: "acme", SourceID: p.SourceID, ReceivedAt: p.ReceivedAt, Header: p.Header, Body: p.Body, Identity: p.Identity,
	}}
}

func TestDiscard_StaysDeadAndSaysWhy(t *testing.T) {
	d := startDesk(t)
	id := d.deliver(`{"title": "poison"}`)
	d.died(id)
	letter := d.letters()[0]
	why := bus.Discard{By: "jane@example.com", At: change.At(time.Now()), Reason: "test traffic"}
	fates, err := d.Discard(t.Context(), "acme", []string{letter.ID, "ded_unknown"}, why)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]dead.Status{dead.Discarded, dead.Gone}, statuses(fates)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left := d.letters(); len(left) != 0 {
		t.Errorf("letters %+v", left)
	}
	d.eventually(func() error {
		row := d.outcome(id)
		if row.Outcome != change.Dead || !strings.HasPrefix(row.Reason, "record 0 discarded by jane@example.com on ") || !strings.Contains(row.Reason, "test traffic; before: ") {
			return fmt.Errorf("its row: %s %q", row.Outcome, row.Reason)
		}
		return nil
	})
	kept, err := d.bus.DeadLetter(t.Context(), "acme", letter.ID)
	if err != nil || kept.Discarded == nil || kept.Discarded.Reason != "test traffic" {
		t.Errorf("%+v %v", kept, err)
	}
	d.mended.Store(true)
	if got := d.redrive(letter); got[0].Status != dead.Gone {
		t.Errorf("it can be re-driven: %+v", got)
	}
	// The frame is handled once more, as after a crash: it is not reported again.
	d.mended.Store(false)
	if err := d.service.Handle(t.Context(), d.frames()); err != nil {
		t.Fatal(err)
	}
	if left := d.letters(); len(left) != 0 {
		t.Errorf("it came back: %+v", left)
	}
	if diff := cmp.Diff(store.AccountRow{Received: 1, Dead: 1}, d.account()); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

// A record that was given up stays dead when another of its delivery is re-driven.
func TestDiscard_OfARecordHoldsIt(t *testing.T) {
	d := startDesk(t)
	id := d.deliver(trail(3, 0, 2))
	d.died(id)
	d.stored(1)
	letters := d.letters()
	slices.SortFunc(letters, func(a, b bus.DeadLetter) int { return a.Index - b.Index })
	if _, err := d.Discard(t.Context(), "acme", []string{letters[0].ID}, bus.Discard{By: "jane", At: change.At(time.Now()), Reason: "no use"}); err != nil {
		t.Fatal(err)
	}
	d.mended.Store(true)
	if got := d.redrive(letters[1]); got[0].Status != dead.Redriven {
		t.Fatalf("%+v", got)
	}
	d.stored(2)
	if row := d.outcome(id); row.Changes != 2 || row.DeadRecords != 1 || row.Outcome != change.Stored {
		t.Errorf("%+v", row)
	}
}

// What ClickHouse refused is inserted again; if it refuses it again there is
// one letter, with one try more.
func TestRedrive_WhatTheStoreRefusedIsInsertedAgain(t *testing.T) {
	d := startDesk(t)
	id := d.deliver(`{"title": "fine"}`)
	row := d.died(id)
	d.stored(1)
	letter := bus.DeadLetter{
		Stage: bus.StageInsert, Org: "acme", SourceID: "src_1", DeliveryID: id, Whole: true, Chain: row.Chain, Frame: row.Frame, Place: row.Place,
		Reason: "ClickHouse refused its changes", Attempts: 1,
	}
	if err := d.bus.PublishDead(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	got := d.redrive(d.letters()...)
	if len(got) != 1 || got[0].Status != dead.Redriven || got[0].Outcome != change.Stored {
		t.Errorf("%+v", got)
	}
	d.stored(1)
	if left := d.letters(); len(left) != 0 {
		t.Errorf("letters %+v", left)
	}
}

func TestRedrive_AnAuditRecordIsInsertedAgain(t *testing.T) {
	d := startDesk(t)
	event := `{"id":"` + change.NewAuditID(time.Now()).String() + `","version":1,"org":"acme","at":"2026-03-30T15:30:00Z","user":{"id":"u"},
		"area":"key","operation":"create","action":"create","object":{"type":"key","id":"key_1"},"description":"Created","outcome":"done"}`
	for _, l := range []bus.DeadLetter{
		{Stage: bus.StageInsert, Org: "acme", Kind: audit.Events, Bytes: []byte(event), Reason: "an audit record cannot be stored", Attempts: 1},
		{Stage: bus.StageInsert, Org: "acme", Kind: audit.Events, Bytes: []byte(`{"id": "nonsense"}`), Reason: "an audit record cannot be stored", Attempts: 1},
	} {
		if err := d.bus.PublishDead(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	got := d.redrive(d.letters()...)
	if diff := cmp.Diff([]dead.Status{dead.StillDead, dead.Redriven}, statuses(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left := d.letters(); len(left) != 1 || left[0].Attempts != 2 {
		t.Errorf("letters %+v", left)
	}
}

func TestRedrive_ALogFileIsFetchedAgainWithItsTries(t *testing.T) {
	d := startDesk(t)
	file := bus.LogFile{Org: "acme", SourceID: "src_1", DeliveryID: change.NewDeliveryID(time.Now()), Bucket: "trail", Key: "AWSLogs/a.json.gz", NoticedAt: change.At(time.Now())}
	if err := d.bus.PublishFetch(t.Context(), change.Fresh, file); err != nil {
		t.Fatal(err)
	}
	bury := func() (stop func()) {
		return run(t, func(ctx context.Context) error {
			return d.bus.ConsumeFetches(ctx, 1, func(context.Context, bus.LogFile) error { return fmt.Errorf("%w: no log file", change.ErrMalformed) })
		})
	}
	waitFor := func(attempts int) bus.DeadLetter {
		t.Helper()
		var letters []bus.DeadLetter
		d.eventually(func() error {
			if letters = d.letters(); len(letters) != 1 || letters[0].Attempts != attempts {
				return fmt.Errorf("letters %+v", letters)
			}
			return nil
		})
		return letters[0]
	}
	stop := bury()
	letter := waitFor(1)
	stop()
	if got := d.redrive(letter); got[0].Status != dead.Redriven {
		t.Fatalf("%+v", got)
	}
	if left := d.letters(); len(left) != 0 {
		t.Errorf("letters %+v", left)
	}
	bury() // within the minute in which the stream would take it for a repeat
	if again := waitFor(2); again.FirstAt != letter.FirstAt || again.ID != letter.ID {
		t.Errorf("%+v\nbefore %+v", again, letter)
	}
}

func TestRedrive_SaysWhatItCannotDo(t *testing.T) {
	d := startDesk(t)
	gone := change.NewDeliveryID(time.Now().Add(-100 * 24 * time.Hour))
	for _, l := range []bus.DeadLetter{
		{Stage: bus.StageAlert, Org: "acme", DeliveryID: gone, Reason: "no answer"},
		{Stage: bus.StageNormalize, Org: "acme", DeliveryID: gone, Reason: "old"},
	} {
		if err := d.bus.PublishDead(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range d.redrive(d.letters()...) {
		if f.Status != dead.Refused || f.Err == nil {
			t.Errorf("%+v", f)
		}
	}
	if left := d.letters(); len(left) != 2 {
		t.Errorf("letters %+v", left)
	}
}

// Whoever re-drove a delivery stopped before its letter was gone: it goes by
// itself. What is dead stays, and so do the records that are.
func TestSweep_TakesOffWhatIsOver(t *testing.T) {
	d := startDesk(t)
	over, still := d.deliver(`{"title": "poison one"}`), d.deliver(`{"title": "poison two"}`)
	part := d.deliver(trail(2, 1))
	for _, id := range []change.DeliveryID{over, still, part} {
		d.died(id)
	}
	long := change.At(time.Now().Add(-10 * time.Minute)) // since when they failed last
	before := d.letters()
	for _, l := range before {
		if err := d.bus.RemoveDead(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		l.At = long
		if err := d.bus.PublishDead(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	d.mended.Store(true)
	for _, l := range d.letters() {
		if l.DeliveryID != over {
			continue
		}
		results, err := d.normalize(t.Context(), []dead.Job{d.job(l)})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.bus.PublishChanges(t.Context(), &bus.ChangeFrame{Chain: l.Chain, Number: l.Frame, Lane: change.Fresh, Results: results, Again: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	d.eventually(func() error {
		if next, err := d.Sweep(t.Context(), ""); err != nil || next != "" {
			return fmt.Errorf("next %q, %w", next, err)
		}
		left := map[change.DeliveryID]bool{}
		for _, l := range d.letters() {
			left[l.DeliveryID] = true
		}
		if left[over] {
			return errors.New("it is still there")
		}
		if diff := cmp.Diff(map[change.DeliveryID]bool{still: true, part: true}, left); diff != "" {
			t.Fatalf("letters (-want +got):\n%s", diff)
		}
		return nil
	})
}
