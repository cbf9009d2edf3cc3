package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
	"whatchanged/pkg/keep"
	"whatchanged/pkg/problem"
)

const keyPrefix = "replays."

// Jobs reads and writes jobs. It is safe for use by many goroutines.
type Jobs struct {
	kv  jetstream.KeyValue
	now func() time.Time
}

// NewJobs returns the jobs that are kept in a bucket.
func NewJobs(kv jetstream.KeyValue) *Jobs { return &Jobs{kv: kv, now: time.Now} }

// NewID returns a fresh name for a replay that is asked for at t.
func NewID(t time.Time) string { return change.NewReplayID(t) }

// Submit asks for a replay, under a fresh name. When one that is not over asks
// for the same, that one is returned, and made is false: asking again goes on
// with it.
func (s *Jobs) Submit(ctx context.Context, id string, r Request) (j Job, made bool, err error) {
	if err := r.Validate(); err != nil {
		return Job{}, false, err
	}
	slices.SortFunc(r.Deliveries, func(a, b change.DeliveryID) int { return slices.Compare(a[:], b[:]) })
	r.Deliveries = slices.Compact(r.Deliveries)
	err = s.edit(ctx, r.Org, func(l *ledger) error {
		active := 0
		for i := range l.Jobs {
			if !l.Jobs[i].Active() {
				continue
			}
			if active++; l.Jobs[i].same(&r) {
				j, made = l.Jobs[i], false
				return errUnchanged
			}
		}
		if active >= MaxWaiting {
			return problem.New(problem.Conflict, "too_many_replays",
				fmt.Sprintf("%d replays wait already; let them end, or cancel some", active))
		}
		j, made = Job{ID: id, Request: r, State: Queued, CreatedAt: change.At(s.now())}, true
		l.add(j)
		return nil
	})
	return j, made, err
}

// List returns the jobs of an org, newest first: those that are not over, and
// the last ones that are.
func (s *Jobs) List(ctx context.Context, org string) ([]Job, error) {
	l, _, _, err := s.load(ctx, org)
	if err != nil {
		return nil, err
	}
	slices.Reverse(l.Jobs)
	return l.Jobs, nil
}

// Get returns one job.
func (s *Jobs) Get(ctx context.Context, org, id string) (Job, error) {
	l, _, _, err := s.load(ctx, org)
	if err != nil {
		return Job{}, err
	}
	if j := l.find(id); j != nil {
		return *j, nil
	}
	return Job{}, notFound()
}

func notFound() error {
	return problem.New(problem.NotFound, "replay_not_found", "there is no such replay; the last 20 that are over are kept")
}

// Cancel ends a job. What it has replaced stays so. One that is over stays as it is.
func (s *Jobs) Cancel(ctx context.Context, org, id string) (Job, error) {
	return s.Update(ctx, org, id, func(j *Job) error {
		if j.Active() {
			j.finish(Cancelled, s.now())
		}
		return nil
	})
}

// Resume lets a job that was cancelled or has failed go on where it was.
func (s *Jobs) Resume(ctx context.Context, org, id string) (Job, error) {
	return s.Update(ctx, org, id, func(j *Job) error {
		switch j.State {
		case Done:
			return problem.New(problem.Conflict, "replay_done", "this replay is done; start another one")
		case Cancelled, Failed:
			// Others may have come after it: what is left gets a number of its own.
			j.State, j.Error, j.Run, j.FinishedAt = Queued, "", 0, change.Time{}
		}
		return nil
	})
}

// Begin makes a job the one that runs. It gets the number that its rows will
// carry, higher than any that was given out before and than atLeast.
func (s *Jobs) Begin(ctx context.Context, org, id string, total int64, atLeast uint16) (j Job, err error) {
	err = s.edit(ctx, org, func(l *ledger) error {
		found := l.find(id)
		if found == nil || !found.Active() {
			return notFound()
		}
		last := max(l.Run, atLeast)
		if !found.DryRun && found.Run == 0 {
			if last == math.MaxUint16 {
				found.Error = fmt.Sprintf("an org can be replayed %d times, and this one was", math.MaxUint16)
				found.finish(Failed, s.now())
				j = *found
				return nil
			}
			l.Run = last + 1
			found.Run = l.Run
		}
		if found.StartedAt.IsZero() {
			found.StartedAt = change.At(s.now())
			found.Total = total
		}
		found.State, found.UpdatedAt = Running, change.At(s.now())
		j = *found
		return nil
	})
	return j, err
}

// Finish ends a job well, or with the error that it cannot get past.
func (s *Jobs) Finish(ctx context.Context, org, id string, cause error) (Job, error) {
	return s.Update(ctx, org, id, func(j *Job) error {
		if !j.Active() {
			return errUnchanged
		}
		state := Done
		if j.Error = ""; cause != nil {
			state, j.Error = Failed, problem.From(cause).Message
		}
		j.finish(state, s.now())
		return nil
	})
}

// Update changes one job.
func (s *Jobs) Update(ctx context.Context, org, id string, edit func(*Job) error) (j Job, err error) {
	err = s.edit(ctx, org, func(l *ledger) error {
		found := l.find(id)
		if found == nil {
			return notFound()
		}
		found.UpdatedAt = change.At(s.now())
		err := edit(found)
		j = *found
		return err
	})
	return j, err
}

// errUnchanged ends an edit that has nothing to write.
var errUnchanged = errors.New("unchanged")

const editTries = 20

// edit changes an org's ledger, again from the start when another did meanwhile.
func (s *Jobs) edit(ctx context.Context, org string, edit func(*ledger) error) error {
	for range editTries {
		l, raw, revision, err := s.load(ctx, org)
		if err != nil {
			return err
		}
		if err := edit(&l); errors.Is(err, errUnchanged) {
			return nil
		} else if err != nil {
			return err
		}
		value, err := keep.Rewrite(raw, l, "id")
		if err != nil {
			return fmt.Errorf("encode replays: %w", err)
		}
		if revision == 0 {
			_, err = s.kv.Create(ctx, keyPrefix+org, value)
		} else {
			_, err = s.kv.Update(ctx, keyPrefix+org, value, revision)
		}
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, jetstream.ErrKeyExists): // which is also what a late revision gives
			return problem.BusyFor(2*time.Second, "replays_unavailable", "replays cannot be kept at this moment: try again", err)
		}
	}
	return problem.BusyFor(time.Second, "replays_busy", "the replays are being changed by others: try again", nil)
}

func (s *Jobs) load(ctx context.Context, org string) (l ledger, raw []byte, revision uint64, err error) {
	entry, err := s.kv.Get(ctx, keyPrefix+org)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return l, nil, 0, nil
	}
	if err != nil {
		return l, nil, 0, problem.BusyFor(2*time.Second, "replays_unavailable", "replays cannot be read at this moment: try again", err)
	}
	if err := json.Unmarshal(entry.Value(), &l); err != nil {
		return l, nil, 0, fmt.Errorf("decode replays of %s: %w", org, err)
	}
	return l, entry.Value(), entry.Revision(), nil
}

// Watch hands the jobs of each org that are not over to seen, oldest first: those
// there are, and then whenever they change, until ctx ends.
func (s *Jobs) Watch(ctx context.Context, seen func(org string, active []Job)) error {
	w, err := s.kv.Watch(ctx, keyPrefix+"*", jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch replays: %w", err)
	}
	defer func() { _ = w.Stop() }() // fails only when the connection is closed
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, ok := <-w.Updates():
			if !ok {
				return errors.New("watch replays: ended")
			}
			if entry == nil { // all that there was
				continue
			}
			var l ledger
			if err := json.Unmarshal(entry.Value(), &l); err != nil {
				return fmt.Errorf("decode replays: %w", err)
			}
			seen(strings.TrimPrefix(entry.Key(), keyPrefix), slices.DeleteFunc(l.Jobs, func(j Job) bool { return !j.Active() }))
		}
	}
}
