// Package dead deals with dead letters: it takes them through the pipeline
// again, or gives them up. What a delivery becomes is the normalizer's to say,
// and the letters lie on the bus; this package keeps both in step, so that
// nothing is ever neither dead nor re-driven.
package dead

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// Job is a delivery that is to be normalized again.
type Job struct {
	Delivery change.Delivery
	Chain    string // where it was on the bus
	Frame    uint64
	Place    int
	Lane     string
	Held     map[int]string // records that stay dead, and why
}

// Store is what is known of deliveries, and where audit records go.
type Store interface {
	Delivery(ctx context.Context, org string, id change.DeliveryID) (store.Delivery, error)
	Payload(ctx context.Context, org string, id change.DeliveryID) (store.Payload, error)
	InsertAuditEvents(context.Context, []audit.Event) error
	InsertUses(context.Context, []audit.Use) error
}

// Deps is what a desk needs; all of it is required.
type Deps struct {
	Bus   *bus.Bus
	Store Store
	// Normalize makes the result of each job, and publishes none.
	Normalize func(context.Context, []Job) ([]change.Result, error)
	// Provider returns the provider that a source pins, or "".
	Provider func(org, sourceID string) string
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// The bounds of one call.
const (
	MaxAtOnce = 100

	patience     = 8 * time.Second // for one's turn
	visibleIn    = 8 * time.Second // for what was re-driven to be stored
	lookAgain    = 50 * time.Millisecond
	chunkBytes   = 8 << 20 // of bodies that are in memory together
	maxRowReason = 1000
)

// Status says what became of a letter that was dealt with.
type Status string

// The statuses.
const (
	Redriven  Status = "redriven"  // it is over: the delivery has another outcome now
	StillDead Status = "dead"      // it failed again
	Discarded Status = "discarded" // it is given up
	Gone      Status = "gone"      // there is no such letter, or not any more
	Refused   Status = "refused"   // nothing was done: see Err
)

// Fate is what became of one letter.
type Fate struct {
	ID      string
	Letter  bus.DeadLetter // as it was; empty when it is gone
	Status  Status
	Outcome change.Outcome // of its delivery
	Reason  string         // why it is dead, ignored or a duplicate
	Stored  bool           // the outcome can be queried
	Err     error
}

// Desk re-drives and discards. Those of one org take turns, in all processes.
type Desk struct {
	Deps
	done *prometheus.CounterVec
}

// New returns a desk.
func New(deps Deps) (*Desk, error) {
	if deps.Bus == nil || deps.Store == nil || deps.Normalize == nil || deps.Provider == nil || deps.Log == nil || deps.Metrics == nil {
		return nil, errors.New("dead: a dependency is missing")
	}
	d := &Desk{Deps: deps, done: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "whatchanged_dead_letters_handled_total",
		Help: "Dead letters that somebody asked to re-drive or discard, by what became of them.",
	}, []string{"status"})}
	deps.Metrics.MustRegister(d.done)
	for _, s := range []Status{Redriven, StillDead, Discarded, Gone, Refused} {
		d.done.WithLabelValues(string(s))
	}
	return d, nil
}

// Redrive takes letters of an org through the pipeline again, and returns what
// became of each, in order. It is over with a letter when its results are on
// disk; then it waits a while for them to be stored. Doing it again, after a
// crash too, does no harm: it makes the same changes.
func (d *Desk) Redrive(ctx context.Context, org string, ids []string) ([]Fate, error) {
	return d.each(ctx, org, ids, d.redrive)
}

// each deals with the letters of these ids while nobody else deals with any of
// the org. An id that comes twice is dealt with once.
func (d *Desk) each(ctx context.Context, org string, ids []string, deal func(context.Context, string, []*Fate) error) ([]Fate, error) {
	fates := make([]Fate, len(ids))
	err := d.Bus.Exclusively(ctx, "dead."+org, patience, func(ctx context.Context) error {
		var open []*Fate
		seen := map[string]bool{}
		for i, id := range ids {
			fates[i] = Fate{ID: id, Status: Gone}
			letter, err := d.Bus.DeadLetter(ctx, org, id)
			if problem.KindOf(err) == problem.NotFound {
				continue
			}
			if err != nil {
				return err
			}
			if letter.Discarded == nil && !seen[id] {
				seen[id] = true
				fates[i].Letter = letter
				open = append(open, &fates[i])
			}
		}
		return deal(ctx, org, open)
	})
	if err != nil {
		return nil, err
	}
	for i := range fates {
		d.done.WithLabelValues(string(fates[i].Status)).Inc()
	}
	return fates, nil
}

func refuse(f *Fate, err error) { f.Status, f.Err = Refused, err }

func conflict(reason, message string) error { return problem.New(problem.Conflict, reason, message) }

// laneOf is where the results go: many must not get in the way of what comes in.
func laneOf(n int) string {
	if n > 1 {
		return change.Bulk
	}
	return change.Fresh
}

// later is now, but after a time: the latest word on a delivery counts.
func later(than change.Time) change.Time {
	now := change.At(time.Now())
	if now.After(than.Time) {
		return now
	}
	return change.At(than.Add(time.Millisecond))
}

// notThere explains what is not in the store.
func notThere(what string, id change.DeliveryID) error {
	if time.Since(id.Time()) < time.Minute {
		return problem.BusyFor(2*time.Second, "not_stored_yet", "the "+what+" is not stored yet; try again in a moment", nil)
	}
	return conflict(what+"_gone", "the delivery's "+what+" is not kept any more, so it cannot be done again")
}

// who is the reason of a discard as a delivery's row shows it.
func who(why bus.Discard, l *bus.DeadLetter, before string) string {
	about := ""
	if !l.Whole {
		about = fmt.Sprintf("record %d ", l.Index)
	}
	text := fmt.Sprintf("%sdiscarded by %s on %s: %s", about, why.By, why.At.Format(time.DateOnly), why.Reason)
	if before != "" {
		text += "; before: " + before
	}
	runes := []rune(text)
	return string(runes[:min(len(runes), maxRowReason)])
}
