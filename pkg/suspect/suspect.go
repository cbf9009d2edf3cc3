// Package suspect ranks changes by how likely they are to have led to what is
// wrong at a moment. A score is a sum of named parts, each with its reason, so
// that a person can follow it; docs/what-changed.md has the table. It is pure:
// no clock, no store, and the same question has the same answer.
package suspect

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"whatchanged/pkg/change"
)

// The names of the parts.
const (
	Service     = "service"
	Dependency  = "dependency"
	Environment = "environment"
	Time        = "time"
	Risk        = "risk"
	Type        = "type"
	Rollback    = "rollback"
	Status      = "status"
	Actor       = "actor"
)

// Weight is what one part gives in one case.
type Weight struct {
	Part   string
	Case   string
	Points int
}

// Weights is the table of all points there are. That of Time is the most; it
// halves every quarter of the window.
func Weights() []Weight {
	return []Weight{
		{Service, "the service itself", 40},
		{Dependency, "it depends on it directly", 25},
		{Dependency, "through one other", 16},
		{Dependency, "through more", 8},
		{Environment, "the same", 20},
		{Environment, "names none", 8},
		{Time, "at that moment", 20},
		{Risk, string(change.Critical), 12},
		{Risk, string(change.High), 8},
		{Risk, string(change.Medium), 4},
		{Type, string(change.Deployment), 10},
		{Type, string(change.Rollback), 10},
		{Type, string(change.DatabaseMigration), 10},
		{Type, string(change.ConfigChange), 9},
		{Type, string(change.FeatureFlag), 9},
		{Type, string(change.Infrastructure), 8},
		{Type, string(change.SecretRotation), 7},
		{Type, string(change.Scaling), 6},
		{Type, string(change.SecurityPatch), 6},
		{Type, string(change.AccessChange), 5},
		{Type, string(change.Maintenance), 5},
		{Type, string(change.Code), 3},
		{Type, string(change.Other), 1},
		{Rollback, "of the service itself", 6},
		{Status, string(change.Failed), 8},
		{Status, string(change.Cancelled), 4},
		{Status, string(change.Started), 3},
		{Actor, "new to the service", 6},
	}
}

// Query is what went wrong: when, and as far as known where and in what.
type Query struct {
	At          time.Time
	Window      time.Duration // before At; changes in it are scored
	ServiceID   string
	ServiceName string
	Environment string
	// Hops says of each service that ServiceID depends on through how many
	// steps: 1 is directly.
	Hops map[string]int
	// New reports whether a change's actor has not changed its service for long;
	// nil: not known of anybody.
	New func(*change.Change) bool
}

// Part is a share of a score.
type Part struct {
	Name   string
	Points int
	Reason string
}

// Suspect is a change with its score, which is the sum of its parts. Where
// there are several steps of one thing, Change is the last of them.
type Suspect struct {
	Change change.Change
	Score  int
	Parts  []Part          // the largest first
	Steps  []change.Change // oldest first; nil when there is only one
}

// Rank scores changes, joins the steps of one thing, and orders: the highest
// score first, then the latest, then by id. What cannot be a cause is left
// out: an incident tells of the trouble.
func Rank(q Query, changes []change.Change) []Suspect {
	weights := points()
	var out []Suspect
	for _, steps := range operations(changes) {
		last := steps[len(steps)-1]
		s := Suspect{Change: last, Parts: q.parts(weights, &last)}
		for _, p := range s.Parts {
			s.Score += p.Points
		}
		if len(steps) > 1 {
			s.Steps = steps
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Suspect) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), b.Change.OccurredAt.Compare(a.Change.OccurredAt.Time), bytes.Compare(a.Change.ID[:], b.Change.ID[:]))
	})
	return out
}

// operation is what steps of one thing share. A correlation id alone is not
// enough: people tie whole releases together with it.
type operation struct {
	correlation, service, environment string
	kind                              change.Type
}

// operations groups the steps of one thing: started, and how it ended. Each
// group is oldest first.
func operations(changes []change.Change) [][]change.Change {
	var out [][]change.Change
	known := map[operation]int{}
	for _, c := range changes {
		if c.Type == change.Incident {
			continue
		}
		key := operation{c.CorrelationID, c.ServiceID, c.Environment, c.Type}
		if key.kind == change.Rollback {
			key.kind = change.Deployment // found to be one when it ends
		}
		i, ok := known[key]
		if !ok || c.CorrelationID == "" || c.Status == "" {
			i = len(out)
			out = append(out, nil)
			if c.CorrelationID != "" && c.Status != "" {
				known[key] = i
			}
		}
		out[i] = append(out[i], c)
	}
	for _, steps := range out {
		slices.SortFunc(steps, func(a, b change.Change) int {
			return cmp.Or(a.OccurredAt.Compare(b.OccurredAt.Time), cmp.Compare(ended(a), ended(b)), bytes.Compare(a.ID[:], b.ID[:]))
		})
	}
	return out
}

func ended(c change.Change) int {
	if c.Status == change.Started {
		return 0
	}
	return 1
}

type weightKey struct{ part, is string }

func points() map[weightKey]int {
	m := map[weightKey]int{}
	for _, w := range Weights() {
		m[weightKey{w.Part, w.Case}] = w.Points
	}
	return m
}

// parts scores one change; parts without points are left out.
func (q *Query) parts(weights map[weightKey]int, c *change.Change) []Part {
	var parts []Part
	add := func(name, is, reason string, args ...any) {
		if n := weights[weightKey{name, is}]; n > 0 {
			parts = append(parts, Part{name, n, fmt.Sprintf(reason, args...)})
		}
	}
	same := q.ServiceID != "" && c.ServiceID == q.ServiceID
	switch hops := q.Hops[c.ServiceID]; {
	case same:
		add(Service, "the service itself", "a change of %s", cmp.Or(q.ServiceName, q.ServiceID))
	case c.ServiceID == "" || hops == 0:
	case hops == 1:
		add(Dependency, "it depends on it directly", "%s depends on %s", cmp.Or(q.ServiceName, q.ServiceID), name(c))
	case hops == 2:
		add(Dependency, "through one other", "%s depends on %s through another service", cmp.Or(q.ServiceName, q.ServiceID), name(c))
	default:
		add(Dependency, "through more", "%s depends on %s through %d other services", cmp.Or(q.ServiceName, q.ServiceID), name(c), hops-1)
	}
	switch {
	case q.Environment == "":
	case c.Environment == q.Environment:
		add(Environment, "the same", "in %s", q.Environment)
	case c.Environment == "":
		add(Environment, "names none", "it names no environment, so it may be %s", q.Environment)
	}
	if p := q.nearness(weights, c); p.Points > 0 {
		parts = append(parts, p)
	}
	add(Risk, string(c.Risk), "its risk is %s", c.Risk)
	add(Type, string(c.Type), "it is of type %s", c.Type)
	if same && c.Type == change.Rollback {
		add(Rollback, "of the service itself", "it was in trouble already: an older version was put back")
	}
	switch c.Status {
	case change.Failed:
		add(Status, string(c.Status), "it failed, and may be half done")
	case change.Cancelled:
		add(Status, string(c.Status), "it was cancelled, and may be half done")
	case change.Started:
		add(Status, string(c.Status), "it has started and not ended")
	}
	if q.New != nil && q.New(c) {
		add(Actor, "new to the service", "%s had not changed %s in the 30 days before, and others had", Who(c), name(c))
	}
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(b.Points, a.Points) })
	return parts
}

// nearness halves every quarter of the window.
func (q *Query) nearness(weights map[weightKey]int, c *change.Change) Part {
	age := q.At.Sub(c.OccurredAt.Time)
	most := float64(weights[weightKey{Time, "at that moment"}])
	if age < 0 || age > q.Window || q.Window <= 0 {
		return Part{}
	}
	n := most * math.Exp2(-4*float64(age)/float64(q.Window))
	return Part{Time, int(math.Round(n)), ago(age) + " before"}
}

func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	default:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
}

func name(c *change.Change) string { return cmp.Or(c.ServiceName, c.ServiceID) }

// Who names a change's actor, as one word the whole product agrees on; empty
// when nobody is known.
func Who(c *change.Change) string { return cmp.Or(c.ChangedBy, c.Actor.Name, c.Actor.ID) }

// Hops returns the services that one depends on, each with the length of the
// shortest way to it; of more than MaxDependencies, the nearest. of returns a
// service's own dependencies. Circles do no harm: nothing is visited twice, and
// the service itself is not in it.
func Hops(service string, of func(id string) []string) map[string]int {
	hops := map[string]int{}
	for next, n := []string{service}, 1; len(next) > 0; n++ {
		var found []string
		for _, id := range next {
			for _, d := range of(id) {
				if len(hops) == MaxDependencies {
					return hops
				}
				if hops[d] == 0 && d != service {
					hops[d] = n
					found = append(found, d)
				}
			}
		}
		next = found
	}
	return hops
}

// MaxDependencies is the most that Hops returns.
const MaxDependencies = 2000
