package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/store"
)

const (
	// habitSpan is how far back a source's habits are looked at.
	habitSpan = 7 * 24 * time.Hour
	// A source whose habits are known less than this may pause as it likes.
	leastHistory    = 24 * time.Hour
	leastDeliveries = 10
	// leastQuiet is no silence, whatever a source's habits are.
	leastQuiet = 15 * time.Minute
	// late is how long after the window what happened in it may be told.
	late = 24 * time.Hour
	// inPassing is how old what is not recorded yet may be: there is always something.
	inPassing = 10 * time.Second
)

// completeness says up to when the record has everything that happened from
// start to at.
func (a *API) completeness(ctx context.Context, org string, start, at, now time.Time) (client.Completeness, error) {
	out := client.Completeness{Complete: true, Sources: []client.SourceCompleteness{}}
	waiting, err := a.unsettled(ctx)
	if err != nil { // the suspects are worth having without
		a.log.Warn("completeness not known", "error", err)
		out.Complete, out.Note = false, "the bus cannot be asked what is not recorded yet: the latest changes may be missing"
	}
	habits, err := a.habits(ctx, org, start, at, now)
	if err != nil {
		if ctx.Err() != nil {
			return out, err
		}
		a.log.Warn("completeness not known", "error", err)
		out.Complete, out.Note = false, "the sources' deliveries of the last 7 days cannot be looked through in time: whether one is silent is not known"
		return out, nil
	}
	recorded := now
	if !waiting.IsZero() && waiting.Before(now) {
		recorded = waiting
		if now.Sub(waiting) >= inPassing {
			out.InFlightSince = change.At(waiting)
			out.Complete = out.Complete && at.Before(waiting)
		}
	}
	for _, src := range a.Registry.Sources(org) {
		if src.Disabled {
			continue
		}
		s := completenessOf(src, habits[src.ID], recorded, now)
		if s.Dead > 0 || s.Silent && at.After(s.CompleteUntil.Time) {
			out.Complete = false
		}
		if !s.CompleteUntil.IsZero() && (out.CompleteUntil.IsZero() || s.CompleteUntil.Before(out.CompleteUntil.Time)) {
			out.CompleteUntil = s.CompleteUntil
		}
		out.Sources = append(out.Sources, s)
	}
	return out, nil
}

// habits looks at how the sources usually deliver, for no longer than somebody
// waits who asked what changed.
func (a *API) habits(ctx context.Context, org string, start, at, now time.Time) (map[string]store.Habit, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	habits, err := a.Store.Habits(ctx, store.HabitQuery{
		Org: org, Start: now.Add(-habitSpan), End: now.Add(time.Millisecond), DeadStart: start, DeadEnd: at.Add(late),
	})
	if err != nil {
		return nil, fmt.Errorf("look at the sources' habits: %w", err)
	}
	return habits, nil
}

func (a *API) unsettled(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return a.Bus.Unsettled(ctx)
}

// completenessOf judges one source: recorded is up to when what was taken in
// can be queried.
func completenessOf(src *registry.Source, h store.Habit, recorded, now time.Time) client.SourceCompleteness {
	s := client.SourceCompleteness{SourceID: src.ID, Name: src.Name, Provider: src.Provider, Dead: h.Dead}
	if h.Deliveries == 0 {
		s.Note = "nothing came in the last 7 days: if it should have, look at the sender's log of deliveries"
		return s
	}
	quiet := max(now.Sub(h.Last.Time), 0)
	s.LastDelivery, s.Deliveries = h.Last, h.Deliveries
	s.UsualLag = client.Lag{Median: h.LagMedian.Seconds(), P95: h.LagP95.Seconds()}
	s.LongestPause, s.QuietFor = int(h.Pause.Seconds()), int(quiet.Seconds())
	habitual := h.Deliveries >= leastDeliveries && now.Sub(h.First.Time) >= leastHistory
	s.Silent = habitual && quiet > max(h.Pause*3/2, leastQuiet)
	until := recorded
	var notes []string
	switch {
	case s.Silent:
		until = h.Last.Time
		notes = append(notes, fmt.Sprintf("quiet for %s, and its longest pause in the last 7 days was %s: it may have stopped sending", rough(quiet), rough(h.Pause)))
	case !habitual:
		notes = append(notes, "too little came so far to notice when it falls silent")
	}
	if h.Dead > 0 {
		notes = append(notes, fmt.Sprintf("%d of its deliveries around the window could not be processed: see /api/v1/dead", h.Dead))
	}
	s.CompleteUntil = change.At(until.Add(-h.LagP95))
	s.Note = strings.Join(notes, "; ")
	return s
}

// rough shows a length of time to people.
func rough(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
}
