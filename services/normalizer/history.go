package normalizer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"whatchanged/normalizers"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// apiProvider is what callers of the API say in our own words. It is history
// for others, and itself stays as it was said.
const apiProvider = "api"

// findRollbacks turns deployments into rollbacks where an older version or
// commit is deployed again. Results without deployments cost nothing. The
// answer rests on what happened before a deployment only, so that doing it
// again gives the same.
func (s *Service) findRollbacks(ctx context.Context, frames []*bus.ChangeFrame) error {
	var found []*change.Change
	var deployments []store.Deployment
	for c := range changesOf(frames) {
		d, ok := store.DeploymentOf(c)
		if !ok {
			continue
		}
		s.deployed.put(d)
		if c.Type == change.Deployment && c.Provenance.Provider != apiProvider {
			found, deployments = append(found, c), append(deployments, d)
		}
	}
	if len(found) == 0 {
		return nil
	}
	pasts, err := s.pasts(ctx, deployments)
	if err != nil {
		return fmt.Errorf("look up earlier deployments: %w", err)
	}
	for i, c := range found {
		s.deployed.consider(&pasts[i], &deployments[i])
		if from, ok := pasts[i].RolledBack(&deployments[i]); ok {
			markRollback(c, from)
			s.metrics.rollbacks.Inc()
		}
	}
	return nil
}

// pasts asks the store. A store that is away is waited for; one that finds the
// question too large is not asked for a while, and memory has to do: a label is
// not worth the delay of everybody's changes.
func (s *Service) pasts(ctx context.Context, deployments []store.Deployment) ([]store.Past, error) {
	if s.deployed.alone() {
		s.metrics.historySkipped.Add(float64(len(deployments)))
		return make([]store.Past, len(deployments)), nil
	}
	pasts, err := s.Known.Before(ctx, deployments)
	if err == nil {
		return pasts, nil
	}
	if reason := problem.From(err).Reason; reason != "query_timeout" && reason != "query_too_large" {
		return nil, err
	}
	s.Log.Warn("earlier deployments cannot be looked up for now", "deployments", len(deployments), "error", err)
	s.deployed.leaveAlone()
	s.metrics.historySkipped.Add(float64(len(deployments)))
	return make([]store.Past, len(deployments)), nil
}

func changesOf(frames []*bus.ChangeFrame) iter.Seq[*change.Change] {
	return func(yield func(*change.Change) bool) {
		for _, f := range frames {
			for i := range f.Results {
				for j := range f.Results[i].Changes {
					if !yield(&f.Results[i].Changes[j]) {
						return
					}
				}
			}
		}
	}
}

// markRollback says in every field that tells of it what c is. The id stays: it
// is made of the fact, not of what we think of it.
func markRollback(c *change.Change, from string) {
	judged := c.Risk == normalizers.RiskOf(c.RiskHints) // by us, not by the sender
	c.Type = change.Rollback
	c.RiskHints = normalizers.AddHints(c.RiskHints, normalizers.HintRollback)
	if judged {
		c.Risk = normalizers.RiskOf(c.RiskHints)
	}
	note := " (rollback from " + normalizers.ShortSHA(from) + ")"
	c.Summary = normalizers.Truncate(c.Summary, max(change.MaxSummary-len(note), change.MaxSummary/2)) + note
	c.Summary = normalizers.Truncate(c.Summary, change.MaxSummary)
	c.Metadata = addMember(c.Metadata, "rolled_back_from", from)
}

// addMember adds a member to a JSON object, in front, unless it is there or
// makes the object too large.
func addMember(object json.RawMessage, name, value string) json.RawMessage {
	var members map[string]json.RawMessage
	if len(object) > 0 && json.Unmarshal(object, &members) != nil || members[name] != nil {
		return object
	}
	out := append([]byte{'{'}, normalizers.AppendString(nil, name)...)
	out = normalizers.AppendString(append(out, ':'), value)
	if len(members) > 0 {
		rest := strings.TrimLeft(string(object), " \t\r\n")
		out = append(append(out, ','), rest[1:]...)
	} else {
		out = append(out, '}')
	}
	if len(out) > change.MaxMetadata {
		return object
	}
	return out
}

const (
	aloneFor        = time.Minute     // after a question that was too large
	deployedSpan    = 5 * time.Minute // rows are in the store within seconds, unless the writer is behind
	deployedLimit   = 50_000
	deployedAtPlace = 4096
	comparedAtPlace = 256
)

// place is where deployments follow each other.
type place struct{ org, subject, environment string }

// deployed holds the deployments that passed through lately, since their rows
// may not be in the store yet. It is bounded as memory is, and forgets the
// oldest of a place that has too many.
type deployed struct {
	mu         sync.Mutex
	young, old map[place][]store.Deployment // in the order they happened
	held       int                          // in young
	turned     time.Time
	aloneUntil time.Time // the store is not asked
	now        func() time.Time
}

func newDeployed() *deployed {
	return &deployed{young: make(map[place][]store.Deployment), turned: time.Now(), now: time.Now}
}

func (m *deployed) alone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now().Before(m.aloneUntil)
}

func (m *deployed) leaveAlone() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.aloneUntil = m.now().Add(aloneFor)
}

func placeOf(d *store.Deployment) place { return place{d.Org, d.Subject, d.Environment} }

func byTime(a, b store.Deployment) int {
	return cmp.Or(a.OccurredAt.Compare(b.OccurredAt.Time), a.CreatedAt.Compare(b.CreatedAt.Time), slices.Compare(a.ID[:], b.ID[:]))
}

func (m *deployed) put(d store.Deployment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); m.held >= deployedLimit || now.Sub(m.turned) >= deployedSpan {
		m.young, m.old, m.held, m.turned = make(map[place][]store.Deployment), m.young, 0, now
	}
	at := placeOf(&d)
	there := m.young[at]
	i, ok := slices.BinarySearchFunc(there, d, byTime)
	if ok {
		return // a frame that is handled again
	}
	for _, text := range []*string{&d.Subject, &d.Environment, &d.Version, &d.Commit, &d.Operation} {
		*text = strings.Clone(*text) // a piece of a payload would keep all of it
	}
	there = slices.Insert(there, i, d)
	m.held++
	if len(there) > deployedAtPlace {
		there = slices.Delete(there, 0, deployedAtPlace/2)
		m.held -= deployedAtPlace / 2
	}
	m.young[at] = there
}

// consider takes what happened last before d into its past.
func (m *deployed) consider(p *store.Past, d *store.Deployment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, generation := range []map[place][]store.Deployment{m.old, m.young} {
		there := generation[placeOf(d)]
		end, _ := slices.BinarySearchFunc(there, *d, byTime)
		for i := max(0, end-comparedAtPlace); i < end; i++ {
			p.Consider(d, &there[i])
		}
	}
}
