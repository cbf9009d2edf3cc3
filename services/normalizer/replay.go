package normalizer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/replay"
	"whatchanged/pkg/store"
)

// replayLane is what the metrics of a replay's normalizer call its lane.
const replayLane = "replay"

// ReplayStore is where stored deliveries and what was made of them are read.
type ReplayStore interface {
	Known
	DeliveriesToReplay(context.Context, store.ReplayQuery) ([]store.Delivery, error)
	CountToReplay(context.Context, store.ReplayQuery) (int64, error)
	DeliveriesByID(ctx context.Context, org string, ids []change.DeliveryID) ([]store.Delivery, error)
	Payloads(ctx context.Context, org string, ids []change.DeliveryID) (map[change.DeliveryID]store.Payload, error)
	ChangesOf(ctx context.Context, org string, ids []change.ID, deliveries []change.DeliveryID) (map[change.ID]change.Change, error)
	LastRun(ctx context.Context, org string) (uint16, error)
	InsertDifferences(context.Context, []store.Difference) error
}

// ReplayerDeps is what the replayer needs beside what a normalizer does; all of
// it is required.
type ReplayerDeps struct {
	Deps
	Store ReplayStore
	Jobs  *replay.Jobs
	// Pinned returns the provider that a source pins now, empty when it detects;
	// false when there is no such source.
	Pinned func(org, sourceID string) (string, bool)
}

// Replayer does replays: one process of all that share a bus, a step of one job
// after the other, and the jobs of an org one by one. A step is a few hundred
// deliveries, and the next begins when the writer has stored it: fresh deliveries
// never wait for more than one step, and no more than one is held in memory.
type Replayer struct {
	ReplayerDeps
	service *Service
	gone    *prometheus.CounterVec

	mu     sync.Mutex
	active map[string][]replay.Job // by org
	wake   chan struct{}
	// rest is until when an org's jobs are left alone, after a failure.
	rest map[string]waiting
	last string // org that had its turn
}

type waiting struct {
	until time.Time
	fails int
}

// NewReplayer returns the replayer.
func NewReplayer(deps ReplayerDeps) (*Replayer, error) {
	if deps.Store == nil || deps.Jobs == nil || deps.Pinned == nil {
		return nil, errors.New("replayer: a dependency is missing")
	}
	deps.Known = deps.Store
	service, err := New(replayLane, deps.Deps)
	if err != nil {
		return nil, err
	}
	r := &Replayer{
		ReplayerDeps: deps, service: service,
		gone: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_replay_deliveries_total",
			Help: "Deliveries that replays have gone through, by whether that was for show.",
		}, []string{"dry_run"}),
		active: map[string][]replay.Job{}, rest: map[string]waiting{}, wake: make(chan struct{}, 1),
	}
	deps.Metrics.MustRegister(r.gone)
	r.gone.WithLabelValues("false")
	r.gone.WithLabelValues("true")
	return r, nil
}

// Run does what is asked for until ctx ends.
func (r *Replayer) Run(ctx context.Context) error {
	return r.Bus.Alone(ctx, "replayer", r.work)
}

// work does jobs for as long as the lease is ours.
func (r *Replayer) work(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel() // before the wait
	ended := make(chan error, 1)
	watching.Go(func() {
		ended <- r.Jobs.Watch(ctx, r.seen)
		cancel()
	})
	for {
		job, wait, ok := r.next(time.Now())
		if ok {
			r.turn(ctx, job)
		} else {
			r.pause(ctx, wait)
		}
		if ctx.Err() != nil {
			return <-ended
		}
	}
}

func (r *Replayer) seen(org string, active []replay.Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active[org] = active; len(active) == 0 {
		delete(r.active, org)
		delete(r.rest, org)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// pause waits until jobs change or one has rested.
func (r *Replayer) pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-r.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// next chooses the org whose turn it is, and its oldest job; without one, how
// long to wait at most.
func (r *Replayer) next(now time.Time) (job replay.Job, wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	orgs := slices.Sorted(maps.Keys(r.active))
	start, _ := slices.BinarySearch(orgs, r.last+"\x00")
	wait = time.Minute
	for i := range orgs {
		org := orgs[(start+i)%len(orgs)]
		if left := r.rest[org].until.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		r.last = org
		return r.active[org][0], 0, true
	}
	return job, wait, false
}

// What cannot be reached is waited for; what fails otherwise is tried this often.
const (
	replayTries   = 8
	slowestReplay = 30 * time.Second
)

// turn does one step of a job, as it is kept now, and looks after its failure.
func (r *Replayer) turn(ctx context.Context, job replay.Job) {
	job, err := r.Jobs.Get(ctx, job.Org, job.ID)
	if err == nil && job.Active() {
		job, err = r.step(ctx, job)
	}
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.rest, job.Org)
		r.know(job)
		return
	}
	if errors.Is(err, errMoved) {
		return // and look again
	}
	w := r.rest[job.Org]
	w.fails++
	r.Log.Warn("a replay has to be tried again", "org", job.Org, "replay", job.ID, "try", w.fails, "error", err)
	if problem.KindOf(err) != problem.Busy && w.fails >= replayTries {
		if ended, err := r.Jobs.Finish(ctx, job.Org, job.ID, err); err == nil {
			delete(r.rest, job.Org)
			r.know(ended)
			return
		}
	}
	w.until = time.Now().Add(min(200*time.Millisecond<<min(w.fails, 16), slowestReplay))
	r.rest[job.Org] = w
}

// know forgets a job that is over, before the watch says so: the next turn comes
// sooner. The caller holds mu.
func (r *Replayer) know(j replay.Job) {
	if j.Active() {
		return
	}
	left := slices.DeleteFunc(slices.Clone(r.active[j.Org]), func(o replay.Job) bool { return o.ID == j.ID })
	if r.active[j.Org] = left; len(left) == 0 {
		delete(r.active, j.Org)
	}
}

// The most that one step takes. What deliveries unfold to is bounded where they
// are opened.
const (
	stepDeliveries = 500
	stepBytes      = 4 << 20
	stepChanges    = 10_000
)

// errEnded means that a job was cancelled while a step of it was done.
var errEnded = errors.New("the replay has ended")

// errMoved means that what was known of a job is not the latest.
var errMoved = errors.New("the replay has moved on")

// step begins a job, or does the next deliveries of it, or ends it.
func (r *Replayer) step(ctx context.Context, job replay.Job) (replay.Job, error) {
	if job.State == replay.Queued {
		return r.begin(ctx, job)
	}
	rows, err := r.page(ctx, &job)
	if err != nil {
		return job, err
	}
	if len(rows) == 0 {
		r.Log.Info("replay done", "org", job.Org, "replay", job.ID, "dry_run", job.DryRun, "deliveries", job.Counts.Deliveries,
			"added", job.Counts.Added, "removed", job.Counts.Removed, "changed", job.Counts.Changed)
		return r.Jobs.Finish(ctx, job.Org, job.ID, nil)
	}
	s := stepping{Replayer: r, job: &job, counts: job.Counting()}
	if err := s.prepare(ctx, rows); err != nil {
		return job, err
	}
	counts := s.counts
	if job.Step != nil {
		counts = job.Step.Counts // as they were before it was written the first time
	}
	if err := r.Store.InsertDifferences(ctx, s.differences); err != nil {
		return job, fmt.Errorf("store differences: %w", err)
	}
	to := s.to
	if !job.DryRun {
		if job, err = r.note(ctx, job, func(j *replay.Job) { j.Step = &replay.Step{To: to, Counts: counts} }); err != nil {
			return job, ended(err, &job)
		}
		if err := s.apply(ctx); err != nil {
			return job, err
		}
	}
	r.gone.WithLabelValues(fmt.Sprint(job.DryRun)).Add(float64(s.done))
	job, err = r.note(ctx, job, func(j *replay.Job) { j.After, j.Step, j.Counts, j.Error = to, nil, counts, "" })
	return job, ended(err, &job)
}

// ended takes a job that was cancelled meanwhile for one that went well.
func ended(err error, job *replay.Job) error {
	if errors.Is(err, errEnded) {
		job.State = replay.Cancelled
		return nil
	}
	return err
}

// note changes a job that is still running.
func (r *Replayer) note(ctx context.Context, job replay.Job, edit func(*replay.Job)) (replay.Job, error) {
	return r.Jobs.Update(ctx, job.Org, job.ID, func(j *replay.Job) error {
		switch {
		case !j.Active():
			return errEnded
		case j.After != job.After:
			return errMoved
		}
		edit(j)
		return nil
	})
}

func (r *Replayer) begin(ctx context.Context, job replay.Job) (replay.Job, error) {
	total := int64(len(job.Deliveries))
	if total == 0 {
		var err error
		if total, err = r.Store.CountToReplay(ctx, query(&job)); err != nil {
			return job, err
		}
	}
	atLeast := uint16(0)
	if !job.DryRun { // the bucket may have been lost: rows know better
		var err error
		if atLeast, err = r.Store.LastRun(ctx, job.Org); err != nil {
			return job, err
		}
	}
	r.Log.Info("replay begins", "org", job.Org, "replay", job.ID, "dry_run", job.DryRun, "deliveries", total)
	return r.Jobs.Begin(ctx, job.Org, job.ID, total, atLeast)
}

// query selects what is left of a job. What is received after it was asked for
// is normalized by what we are now anyhow.
func query(job *replay.Job) store.ReplayQuery {
	end := job.CreatedAt
	if !job.End.IsZero() && job.End.Before(end.Time) {
		end = job.End
	}
	return store.ReplayQuery{
		Org: job.Org, SourceID: job.SourceID, Provider: job.Provider, Start: job.Start.Time, End: end.Time,
		After: job.After, Limit: stepDeliveries,
	}
}

// page returns the deliveries of the next step: no more than the limits, or as
// many as the step had before a crash.
func (r *Replayer) page(ctx context.Context, job *replay.Job) (rows []store.Delivery, err error) {
	if len(job.Deliveries) > 0 {
		left := slices.DeleteFunc(slices.Clone(job.Deliveries), func(id change.DeliveryID) bool {
			return slices.Compare(id[:], job.After[:]) <= 0
		})
		rows, err = r.Store.DeliveriesByID(ctx, job.Org, left)
	} else {
		rows, err = r.Store.DeliveriesToReplay(ctx, query(job))
	}
	if err != nil {
		return nil, err
	}
	size := 0
	for i := range rows {
		size += rows[i].Size
		if i > 0 && (size > stepBytes || i >= stepDeliveries) || job.Step != nil && slices.Compare(rows[i].ID[:], job.Step.To[:]) > 0 {
			return rows[:i], nil
		}
	}
	return rows, nil
}
