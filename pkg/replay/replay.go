// Package replay keeps the jobs that normalize stored deliveries again: who
// asked for what, how far each has come and what it found. The jobs of an org
// are one value in the bucket of control state, so that any process can ask
// for one, and another can do it and go on after a crash. It does none of the
// work itself.
package replay

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// State is how far a job has come.
type State string

// The states of a job. One that was cancelled or has failed can be resumed.
const (
	Queued    State = "queued"
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Limits of the jobs of an org.
const (
	MaxWaiting    = 20  // jobs that are not over
	MaxDeliveries = 500 // named by one request
	keepFinished  = 20
	maxKinds      = 40

	// MaxDifferences is how many differences of one job are kept for reading;
	// beyond it they are only counted.
	MaxDifferences = 100_000
)

// The kinds of differences.
const (
	Added   = "added"   // a change that was not there
	Removed = "removed" // a change that is not made any more
	Changed = "changed" // fields of a change
	Outcome = "outcome" // what became of the delivery
	Broken  = "failed"  // it was processed once and cannot be now: what is there stays
)

// Kinds lists the kinds of differences.
func Kinds() []string { return []string{Added, Removed, Changed, Outcome, Broken} }

// Request says what to normalize again: what was received in a range of time,
// perhaps of one source or provider, or some deliveries by their ids.
type Request struct {
	Org        string              `json:"org"`
	SourceID   string              `json:"source_id,omitempty"`
	Provider   string              `json:"provider,omitempty"`
	Start      change.Time         `json:"start,omitzero"`
	End        change.Time         `json:"end,omitzero"`
	Deliveries []change.DeliveryID `json:"deliveries,omitempty"` // emptied once it is done
	DryRun     bool                `json:"dry_run,omitempty"`
	By         string              `json:"by,omitempty"` // the key or the session that asked
}

// Validate reports what is wrong with the request, naming the field.
func (r *Request) Validate() error {
	switch named := len(r.Deliveries); {
	case r.Org == "":
		return problem.Invalid("org", "is missing")
	case named > MaxDeliveries:
		return problem.Invalid("deliveries", fmt.Sprintf("names at most %d deliveries", MaxDeliveries))
	case named > 0 && (r.SourceID != "" || r.Provider != "" || !r.Start.IsZero() || !r.End.IsZero()):
		return problem.Invalid("deliveries", "goes without start_date, end_date, source_id and provider")
	case named > 0:
		return nil
	case r.Start.IsZero():
		return problem.Invalid("start_date", "start_date is needed, or deliveries")
	case r.Start.Year() < 1970 || r.Start.Year() > 2200:
		return problem.Invalid("start_date", "start_date must be after 1970")
	case !r.End.IsZero() && !r.Start.Before(r.End.Time):
		return problem.Invalid("end_date", "end_date must be after start_date")
	}
	return nil
}

// same reports whether two requests ask for the same.
func (r *Request) same(o *Request) bool {
	return r.Org == o.Org && r.SourceID == o.SourceID && r.Provider == o.Provider && r.DryRun == o.DryRun &&
		r.Start.Equal(o.Start.Time) && r.End.Equal(o.End.Time) && slices.Equal(r.Deliveries, o.Deliveries)
}

// Counts is what a job has found so far.
type Counts struct {
	Deliveries  int64       `json:"deliveries"`         // gone through
	Missing     int64       `json:"missing,omitempty"`  // of them, those whose payload is not kept any more
	Failed      int64       `json:"failed,omitempty"`   // of them, those that cannot be processed now, but were once
	Outcomes    int64       `json:"outcomes,omitempty"` // of them, those that end in another way
	Added       int64       `json:"added"`              // changes
	Removed     int64       `json:"removed"`
	Changed     int64       `json:"changed"`
	Same        int64       `json:"same"`
	Differences int64       `json:"differences"` // kept for reading
	Kinds       []KindCount `json:"kinds,omitempty"`
}

// KindCount counts the differences of one normalizer and kind of change.
type KindCount struct {
	Normalizer string `json:"normalizer"`
	Action     string `json:"action,omitempty"`
	Added      int64  `json:"added,omitempty"`
	Removed    int64  `json:"removed,omitempty"`
	Changed    int64  `json:"changed,omitempty"`
}

// Count counts one difference of a change. Kinds beyond the most that are told
// apart are counted together.
func (c *Counts) Count(kind, normalizer, action string) {
	of := func(normalizer, action string) int {
		return slices.IndexFunc(c.Kinds, func(k KindCount) bool { return k.Normalizer == normalizer && k.Action == action })
	}
	i := of(normalizer, action)
	if i < 0 && len(c.Kinds) >= maxKinds {
		normalizer, action = "others", ""
		i = of(normalizer, action)
	}
	if i < 0 {
		c.Kinds = append(slices.Clip(c.Kinds), KindCount{Normalizer: normalizer, Action: action})
		i = len(c.Kinds) - 1
	}
	switch kind {
	case Added:
		c.Added++
		c.Kinds[i].Added++
	case Removed:
		c.Removed++
		c.Kinds[i].Removed++
	case Changed:
		c.Changed++
		c.Kinds[i].Changed++
	}
}

// clone returns a copy that can be counted on.
func (c Counts) clone() Counts {
	c.Kinds = slices.Clone(c.Kinds)
	return c
}

// Step is the deliveries that are being replaced: up to which, and what will
// have been counted then. It is noted before anything of it is written, so that
// doing it again after a crash counts nothing twice.
type Step struct {
	To     change.DeliveryID `json:"to"`
	Counts Counts            `json:"counts"`
}

// Job is one replay.
type Job struct {
	ID string `json:"id"`
	Request
	State      State             `json:"state"`
	Error      string            `json:"error,omitempty"` // why it failed, or what it waits for
	Run        uint16            `json:"run,omitempty"`   // 0 for a dry run, and before it is begun
	Total      int64             `json:"total"`           // deliveries to go through
	After      change.DeliveryID `json:"after,omitzero"`  // the last one that is done
	Step       *Step             `json:"step,omitempty"`
	Counts     Counts            `json:"counts"`
	CreatedAt  change.Time       `json:"created_at"`
	StartedAt  change.Time       `json:"started_at,omitzero"`
	UpdatedAt  change.Time       `json:"updated_at,omitzero"`
	FinishedAt change.Time       `json:"finished_at,omitzero"`
}

// Active reports whether the job is not over.
func (j *Job) Active() bool { return j.State == Queued || j.State == Running }

// Counting returns a copy of what the job has counted, to count on.
func (j *Job) Counting() Counts { return j.Counts.clone() }

// ledger is all jobs of an org, oldest first.
type ledger struct {
	Run  uint16 `json:"run"` // the last that was given out
	Jobs []Job  `json:"jobs"`
}

func (l *ledger) find(id string) *Job {
	i := slices.IndexFunc(l.Jobs, func(j Job) bool { return j.ID == id })
	if i < 0 {
		return nil
	}
	return &l.Jobs[i]
}

// add appends a job and forgets the oldest that are over.
func (l *ledger) add(j Job) {
	l.Jobs = append(l.Jobs, j)
	over := 0
	for i := range l.Jobs {
		if !l.Jobs[i].Active() {
			over++
		}
	}
	l.Jobs = slices.DeleteFunc(l.Jobs, func(j Job) bool {
		if over > keepFinished && !j.Active() {
			over--
			return true
		}
		return false
	})
}

// finish ends a job.
func (j *Job) finish(s State, now time.Time) {
	j.State, j.FinishedAt, j.UpdatedAt = s, change.At(now), change.At(now)
	if s == Done {
		j.Deliveries, j.Step = nil, nil
	}
	slices.SortFunc(j.Counts.Kinds, func(a, b KindCount) int {
		return cmp.Or(cmp.Compare(b.sum(), a.sum()), cmp.Compare(a.Normalizer, b.Normalizer), cmp.Compare(a.Action, b.Action))
	})
}

func (k *KindCount) sum() int64 { return k.Added + k.Removed + k.Changed }
