package normalizer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/replay"
	"whatchanged/pkg/store"
	"whatchanged/services/normalizer"
	"whatchanged/services/writer"
)

// replays is a pipeline that can do replays.
type replays struct {
	*pipeline
	jobs *replay.Jobs
	from time.Time
}

func startReplays(t *testing.T) *replays {
	t.Helper()
	p := &replays{pipeline: start(t), from: time.Now().Add(-time.Minute)}
	p.jobs = replay.NewJobs(p.bus.KV(bus.BucketState))
	w, err := writer.New(writer.Deps{Bus: p.bus, Store: p.store, Log: bustest.Log(t), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, w.RunRaw)
	run(t, p.service(p.store).Run)
	return p
}

// replayer returns a replayer that uses this store.
func (p *replays) replayer(s normalizer.ReplayStore) *normalizer.Replayer {
	p.t.Helper()
	r, err := normalizer.NewReplayer(normalizer.ReplayerDeps{
		Deps: normalizer.Deps{
			Bus: p.bus, Normalizers: all.Set(), Log: bustest.Log(p.t), Metrics: prometheus.NewRegistry(),
			Known:    p.store,
			Settings: func(string, string) normalizers.Settings { return p.settings },
			Fetches:  func(string, string) bool { return p.fetches },
		},
		Store: s, Jobs: p.jobs, Pinned: func(string, string) (string, bool) { return "", true },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// submit asks for a replay of everything.
func (p *replays) submit(dryRun bool) replay.Job {
	p.t.Helper()
	time.Sleep(2 * time.Millisecond) // a range ends where the replay was asked for
	j, _, err := p.jobs.Submit(p.t.Context(), replay.NewID(time.Now()), replay.Request{Org: "acme", Start: change.At(p.from), DryRun: dryRun})
	if err != nil {
		p.t.Fatal(err)
	}
	return j
}

// over waits until a job is over.
func (p *replays) over(id string) replay.Job {
	p.t.Helper()
	var j replay.Job
	p.eventually(func() (err error) {
		if j, err = p.jobs.Get(p.t.Context(), "acme", id); err == nil && j.Active() {
			err = fmt.Errorf("the job is %s: %+v", j.State, j)
		}
		return err
	})
	return j
}

func (p *replays) differences(id string) []store.Difference {
	p.t.Helper()
	page, err := p.store.Differences(p.t.Context(), store.DifferenceQuery{Org: "acme", Replay: id, Limit: 1000})
	if err != nil {
		p.t.Fatal(err)
	}
	return page.Data
}

const push = `{"ref":"refs/heads/main","before":"1111111111111111111111111111111111111111","after":"%040d","repository":{"id":1,"full_name":"acme/shop"},` +
	`"pusher":{"name":"mona"},"commits":[{"id":"%040d","message":"change","timestamp":"2026-03-30T10:00:00Z"}],` +
	`"head_commit":{"id":"%040d","message":"change","timestamp":"2026-03-30T10:00:00Z"}}`

// push delivers a GitHub push with a name of its own.
func (p *replays) push(n int) change.DeliveryID {
	p.t.Helper()
	return p.deliver(fmt.Sprintf(push, n, n, n), "X-GitHub-Event", "push", "X-GitHub-Delivery", fmt.Sprintf("guid-%d", n))
}

func TestReplay_ShowsWhatItWouldChangeAndThenChangesIt(t *testing.T) {
	p := startReplays(t)
	run(t, p.replayer(p.store).Run)
	first := p.push(1)
	before := p.outcome(first)
	twice := p.push(1)
	if got := p.outcome(twice).Outcome; got != change.Duplicate {
		t.Fatalf("the second is %s, want duplicate", got)
	}
	old := p.stored(1)[0]
	p.settings = normalizers.Settings{DefaultEnvironment: "production"}

	dry := p.over(p.submit(true).ID)
	want := replay.Counts{
		Deliveries: 2, Changed: 1, Differences: 1,
		Kinds: []replay.KindCount{{Normalizer: "github", Action: "push", Changed: 1}},
	}
	if diff := cmp.Diff(want, dry.Counts); dry.State != replay.Done || diff != "" {
		t.Errorf("the dry run is %s (-want +got):\n%s", dry.State, diff)
	}
	found := p.differences(dry.ID)
	if len(found) != 1 || found[0].ChangeID != old.ID || found[0].Kind != replay.Changed || found[0].DeliveryID != first {
		t.Fatalf("differences: %+v", found)
	}
	var environment store.FieldChange
	for _, f := range found[0].Fields {
		if f.Name == "environment" {
			environment = f
		}
	}
	if string(environment.New) != `"production"` {
		t.Errorf("the environment changes to %s: %+v", environment.New, found[0].Fields)
	}
	if diff := cmp.Diff([]change.Change{old}, p.changes()); diff != "" {
		t.Errorf("a dry run changed something (-want +got):\n%s", diff)
	}

	known := time.Now()
	time.Sleep(2 * time.Millisecond)
	done := p.over(p.submit(false).ID)
	if diff := cmp.Diff(want, done.Counts); done.State != replay.Done || done.Run != 1 || diff != "" {
		t.Errorf("run %d is %s (-want +got):\n%s", done.Run, done.State, diff)
	}
	now := p.changes()
	if len(now) != 1 || now[0].ID != old.ID || now[0].Environment != "production" || !now[0].CreatedAt.Equal(old.CreatedAt.Time) {
		t.Errorf("after the replay: %+v", now)
	}
	was, err := p.store.ChangeAsOf(t.Context(), "acme", old.ID, known)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(old, was); diff != "" {
		t.Errorf("as it was known before (-want +got):\n%s", diff)
	}
	is, err := p.store.ChangeAsOf(t.Context(), "acme", old.ID, time.Now())
	if diff := cmp.Diff(now[0], is); err != nil || diff != "" {
		t.Errorf("as it is known now: %v (-want +got):\n%s", err, diff)
	}
	after := p.outcome(first)
	if after.Run != 1 || after.Outcome != change.Stored || after.Changes != 1 || !after.FirstReceived.Equal(before.FirstReceived.Time) ||
		after.Chain != before.Chain || after.Frame != before.Frame || after.Place != before.Place {
		t.Errorf("the delivery's row was %+v\nand is %+v", before, after)
	}
	if got := p.outcome(twice); got.Outcome != change.Duplicate || got.Run != 1 {
		t.Errorf("the duplicate is %s of run %d", got.Outcome, got.Run)
	}

	again := p.over(p.submit(false).ID)
	if again.Run != 2 || again.Counts.Changed != 0 || again.Counts.Same != 1 {
		t.Errorf("the same once more is run %d with %+v", again.Run, again.Counts)
	}
}

func TestReplay_RemovesWhatIsNotMadeAnyMoreAndBringsItBack(t *testing.T) {
	p := startReplays(t)
	run(t, p.replayer(p.store).Run)
	ids := []change.DeliveryID{p.push(1), p.push(2)}
	p.stored(2)
	p.outcome(ids[1])
	old := p.changes()
	p.settings = normalizers.Settings{IgnoreEvents: []string{"github.push"}}
	done := p.over(p.submit(false).ID)
	if got := p.changes(); len(got) != 0 || done.Counts.Removed != 2 || done.Counts.Outcomes != 2 {
		t.Fatalf("left: %+v, counted %+v", got, done.Counts)
	}
	if got := p.outcome(ids[0]); got.Outcome != change.Ignored || got.Changes != 0 || got.Run != 1 {
		t.Errorf("the row says %+v", got)
	}
	removed := time.Now()
	if _, err := p.store.ChangeAsOf(t.Context(), "acme", old[0].ID, removed); problem.KindOf(err) != problem.NotFound {
		t.Errorf("a removed change: %v", err)
	}
	time.Sleep(2 * time.Millisecond)
	p.settings = normalizers.Settings{}
	done = p.over(p.submit(false).ID)
	if diff := cmp.Diff(old, p.changes()); done.Counts.Added != 2 || diff != "" {
		t.Errorf("brought back: %+v (-want +got):\n%s", done.Counts, diff)
	}
	if _, err := p.store.ChangeAsOf(t.Context(), "acme", old[0].ID, removed); problem.KindOf(err) != problem.NotFound {
		t.Errorf("while it was removed: %v", err)
	}
	if was, err := p.store.ChangeAsOf(t.Context(), "acme", old[0].ID, done.CreatedAt.Add(-time.Hour)); problem.KindOf(err) != problem.NotFound {
		t.Errorf("before it was received: %+v, %v", was, err)
	}
}

func TestReplay_GoesOnWhereverItWasInterrupted(t *testing.T) {
	p := startReplays(t)
	const n = 1203 // three steps
	for i := range n {
		p.push(i)
	}
	p.stored(1000) // as many as one list has
	p.caughtUp()
	p.settings = normalizers.Settings{DefaultEnvironment: "staging"}
	job := p.submit(false)
	for i := 0; job.Active(); i++ {
		if i == 200 {
			t.Fatalf("it never ends: %+v", job)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(100+37*i)*time.Millisecond)
		if err := p.replayer(p.store).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		cancel()
		var err error
		if job, err = p.jobs.Get(t.Context(), "acme", job.ID); err != nil {
			t.Fatal(err)
		}
	}
	c := job.Counts
	if job.State != replay.Done || job.Run != 1 || c.Deliveries != n || c.Changed != n || c.Differences != n || c.Same+c.Added+c.Removed != 0 {
		t.Errorf("%+v", job)
	}
	page, err := p.store.FindChanges(t.Context(), store.ChangeQuery{
		ChangeFilter: store.ChangeFilter{Org: "acme", Environment: "staging"}, Limit: 1, Total: true,
	})
	if err != nil || page.Total != n {
		t.Errorf("%d changes are in staging, want %d (%v)", page.Total, n, err)
	}
	account, err := p.store.Account(t.Context(), store.AccountQuery{Org: "acme", Start: p.from, End: time.Now().Add(time.Minute), Bucket: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var sum store.AccountRow
	for _, row := range account {
		sum.Received += row.Received
		sum.Stored += row.Stored
	}
	if sum.Received != n || sum.Stored != n {
		t.Errorf("the account: received %d, stored %d, want %d of both", sum.Received, sum.Stored, n)
	}
}

func TestReplay_IsCancelledAndResumed(t *testing.T) {
	p := startReplays(t)
	id := p.push(1)
	p.outcome(id)
	job := p.submit(false)
	if _, err := p.jobs.Cancel(t.Context(), "acme", job.ID); err != nil {
		t.Fatal(err)
	}
	run(t, p.replayer(p.store).Run)
	other := p.over(p.submit(true).ID) // the cancelled one is not in its way
	if got := p.over(job.ID); got.State != replay.Cancelled || got.Counts.Deliveries != 0 || other.State != replay.Done {
		t.Errorf("%+v, %+v", got, other)
	}
	if _, err := p.jobs.Resume(t.Context(), "acme", job.ID); err != nil {
		t.Fatal(err)
	}
	if got := p.over(job.ID); got.State != replay.Done || got.Counts.Deliveries != 1 || got.Run != 1 {
		t.Errorf("%+v", got)
	}
	if _, err := p.jobs.Resume(t.Context(), "acme", job.ID); problem.KindOf(err) != problem.Conflict {
		t.Errorf("what is done: %v", err)
	}
}

func TestReplay_TakesFromTheBusWhatHasNoPayloadYet(t *testing.T) {
	p := &replays{pipeline: start(t), from: time.Now().Add(-time.Minute)} // nobody stores payloads
	p.jobs = replay.NewJobs(p.bus.KV(bus.BucketState))
	run(t, p.service(p.store).Run)
	id := p.push(1)
	p.outcome(id)
	p.settings = normalizers.Settings{DefaultEnvironment: "staging"}
	run(t, p.replayer(p.store).Run)
	done := p.over(p.submit(false).ID)
	if got := p.changes(); done.Counts.Missing != 0 || len(got) != 1 || got[0].Environment != "staging" {
		t.Errorf("%+v: %+v", done.Counts, got)
	}
}

func TestReplay_NeverGivesUpWhatItCannotProcess(t *testing.T) {
	p := startReplays(t)
	id := p.push(1)
	p.outcome(id)
	old := p.stored(1)
	// The set of a later version, whose generic normalizer is all it has, and which fails.
	r, err := normalizer.NewReplayer(normalizer.ReplayerDeps{
		Deps: normalizer.Deps{
			Bus: p.bus, Normalizers: normalizers.Set{normalizers.Generic: broken{}}, Log: bustest.Log(t), Metrics: prometheus.NewRegistry(),
			Settings: func(string, string) normalizers.Settings { return p.settings }, Known: p.store,
			Fetches: func(string, string) bool { return false },
		},
		Store: p.store, Jobs: p.jobs, Pinned: func(string, string) (string, bool) { return "", true },
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, r.Run)
	done := p.over(p.submit(false).ID)
	if done.Counts.Failed != 1 || done.State != replay.Done {
		t.Errorf("%+v", done)
	}
	if diff := cmp.Diff(old, p.changes()); diff != "" {
		t.Errorf("what was there (-want +got):\n%s", diff)
	}
	if got := p.outcome(id); got.Outcome != change.Stored || got.Run != 0 {
		t.Errorf("its row: %+v", got)
	}
	found := p.differences(done.ID)
	if len(found) != 1 || found[0].Kind != replay.Broken {
		t.Errorf("differences: %+v", found)
	}
}

// broken is a normalizer with a bug.
type broken struct{}

func (broken) Provider() string { return normalizers.Generic }
func (broken) Version() int     { return 1 }
func (broken) Normalize(normalizers.Record) (normalizers.Result, error) {
	return normalizers.Result{}, fmt.Errorf("%w: a bug", change.ErrMalformed)
}
