// Package repair closes gaps: GitHub sends a webhook once and never again by
// itself, so what was sent while nobody could take it in is lost unless GitHub
// is asked for it. It compares GitHub's own record of what a hook has sent with
// what was received, and asks for the rest. It keeps nothing: what was asked
// for is in GitHub's record too.
package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

const (
	// Longest is how far back GitHub keeps what it has sent, on a GitHub
	// Enterprise Server; github.com keeps three days.
	Longest = 7 * 24 * time.Hour

	every      = 15 * time.Minute
	span       = 24 * time.Hour
	settled    = 2 * time.Minute  // younger may be on its way
	againAfter = 10 * time.Minute // one that was asked for has so long to come
	mostTries  = 5                // of one delivery; who refuses it that often will go on to
	mostAsked  = 200              // in one turn
	pace       = 100 * time.Millisecond
	tries      = 3 // of one call
)

// Store says what was received.
type Store interface {
	Arrived(ctx context.Context, org, sourceID string, identities []string) (map[string]bool, error)
}

// Deps is what the repairer needs; all of it but Metrics is required.
type Deps struct {
	Registry *registry.Registry
	Sealer   *auth.Sealer
	Store    Store
	Bus      *bus.Bus
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Repairer finds what GitHub has sent and we have not got.
type Repairer struct {
	Deps
	transport http.RoundTripper
	asked     prometheus.Counter
	failed    prometheus.Counter
}

// New returns a repairer.
func New(deps Deps) (*Repairer, error) {
	if deps.Registry == nil || deps.Sealer == nil || deps.Store == nil || deps.Bus == nil || deps.Log == nil {
		return nil, errors.New("repair: a dependency is missing")
	}
	r := &Repairer{
		Deps: deps, transport: newTransport(),
		asked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_repair_asked_total",
			Help: "Deliveries that GitHub was asked to send again, since they were never received.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_repair_failures_total",
			Help: "Times that GitHub could not be asked what it has sent.",
		}),
	}
	if deps.Metrics != nil {
		deps.Metrics.MustRegister(r.asked, r.failed)
	}
	return r, nil
}

// Report is what a repair has found and done.
type Report struct {
	Since   change.Time
	Sent    int       // deliveries that GitHub has sent since then
	Pending int       // of them, those too young to be missed, or asked for just now
	Missing []Missing // of them, those that were never received
	Asked   int       // of the missing
	GivenUp int       // of the missing: were asked for several times already
	// RetryAt is when GitHub will answer again; zero unless it wants fewer calls.
	RetryAt change.Time
	// Truncated says that there was more to list or to ask for than one repair does.
	Truncated bool
}

// Missing is a delivery that was sent and never received.
type Missing struct {
	GUID   string
	Event  string
	SentAt change.Time // the last time
	Status int         // what GitHub got for an answer; 0 for none
	Tries  int
	Asked  bool

	id      int64
	givenUp bool
}

// Run repairs every source that can be, from time to time, until ctx ends. One
// process of all does.
func (r *Repairer) Run(ctx context.Context) error {
	return r.Bus.Alone(ctx, "repairer", func(ctx context.Context) error {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			r.turn(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

func (r *Repairer) turn(ctx context.Context) {
	for _, org := range r.Registry.Orgs() {
		for _, src := range r.Registry.Sources(org.ID) {
			if src.GitHub == nil || src.Disabled || ctx.Err() != nil {
				continue
			}
			report, err := r.Repair(ctx, src, time.Now().Add(-span), false)
			switch {
			case err != nil && ctx.Err() == nil:
				r.failed.Inc()
				r.Log.Warn("github cannot be asked what it has sent", "org", src.Org, "source_id", src.ID, "error", err)
			case len(report.Missing) > 0:
				r.Log.Info("deliveries were missing", "org", src.Org, "source_id", src.ID, "sent", report.Sent,
					"missing", len(report.Missing), "asked", report.Asked, "given_up", report.GivenUp)
			}
		}
	}
}

// Repair lists what the hook of a source has sent since a time and asks GitHub
// to send again what was never received; not with dryRun.
func (r *Repairer) Repair(ctx context.Context, src *registry.Source, since time.Time, dryRun bool) (Report, error) {
	report := Report{Since: change.At(since), Missing: []Missing{}}
	if src.GitHub == nil {
		return report, problem.New(problem.Conflict, "no_github", "the source has no GitHub credentials: set github, with a token or an App")
	}
	secret, err := src.OpenGitHub(r.Sealer)
	if err != nil {
		return report, err
	}
	h, err := newHook(src.GitHub, secret, r.transport)
	if err != nil {
		return report, err
	}
	sent, err := r.list(ctx, h, since, &report)
	if err != nil {
		return report, refused(err, &report)
	}
	if err := r.findMissing(ctx, src, sent, &report); err != nil {
		return report, err
	}
	if dryRun {
		return report, nil
	}
	return report, refused(r.ask(ctx, h, &report), &report)
}

// list reads GitHub's record, newest first, as far back as since, and sums the
// tries of each delivery up.
func (r *Repairer) list(ctx context.Context, h *hook, since time.Time, report *Report) (map[string]*Missing, error) {
	sent := map[string]*Missing{}
	cursor := ""
	for range pagesMost {
		var page []*github.HookDelivery
		err := again(ctx, func() (err error) {
			page, cursor, err = h.page(ctx, cursor)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list deliveries of the hook: %w", err)
		}
		past := false
		for _, d := range page {
			at := d.GetDeliveredAt().Time
			if at.Before(since) {
				past = true
				continue
			}
			if d.GetGUID() == "" || len(d.GetGUID()) > 100 {
				continue
			}
			m, ok := sent[d.GetGUID()]
			if !ok { // the newest try comes first
				m = &Missing{GUID: d.GetGUID(), Event: d.GetEvent(), SentAt: change.At(at), Status: d.GetStatusCode(), id: d.GetID()}
				sent[m.GUID] = m
			}
			m.Tries++
		}
		if past || cursor == "" {
			report.Sent = len(sent)
			return sent, nil
		}
	}
	report.Sent, report.Truncated = len(sent), true
	return sent, nil
}

// findMissing fills in what was never received, oldest first. What was sent
// lately, or is still on our bus, is not missed yet.
func (r *Repairer) findMissing(ctx context.Context, src *registry.Source, sent map[string]*Missing, report *Report) error {
	unsettled, err := r.Bus.Unsettled(ctx)
	if err != nil {
		return err
	}
	known := time.Now().Add(-settled)
	if before := unsettled.Add(-settled); !unsettled.IsZero() && before.Before(known) {
		known = before
	}
	var identities []string
	for guid := range sent {
		identities = append(identities, "github:"+guid, change.IncidentIdentity("github:"+guid))
	}
	arrived, err := r.Store.Arrived(ctx, src.Org, src.ID, identities)
	if err != nil {
		return fmt.Errorf("look up what was received: %w", err)
	}
	for guid, m := range sent {
		switch {
		case arrived["github:"+guid] || arrived[change.IncidentIdentity("github:"+guid)]:
			continue
		case m.SentAt.After(known), m.Tries > 1 && time.Since(m.SentAt.Time) < againAfter:
			report.Pending++
			continue
		case m.Tries >= mostTries:
			m.givenUp = true
			report.GivenUp++
		}
		report.Missing = append(report.Missing, *m)
	}
	slices.SortFunc(report.Missing, func(a, b Missing) int {
		return cmp.Or(a.SentAt.Compare(b.SentAt.Time), cmp.Compare(a.GUID, b.GUID))
	})
	return nil
}

// ask asks for what is missing, at a pace.
func (r *Repairer) ask(ctx context.Context, h *hook, report *Report) error {
	for i := range report.Missing {
		m := &report.Missing[i]
		if m.givenUp {
			continue
		}
		if report.Asked == mostAsked || report.Asked > 0 && pause(ctx, pace) != nil {
			report.Truncated = true // the rest comes next time
			return nil
		}
		if err := again(ctx, func() error { return h.ask(ctx, m.id) }); err != nil {
			report.Truncated = true
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("ask for delivery %s: %w", m.GUID, err)
		}
		m.Asked = true
		report.Asked++
		r.asked.Inc()
	}
	return nil
}

// again calls f until it succeeds, a few times, if what it says may pass.
func again(ctx context.Context, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == tries || !passing(err) || ctx.Err() != nil {
			return err
		}
		if pause(ctx, time.Duration(try)*500*time.Millisecond) != nil {
			return err
		}
	}
}

// passing reports whether the same may succeed a moment later: GitHub, or the
// way to it, is in trouble. A limit of calls lasts longer.
func passing(err error) bool {
	if _, limited := retryAt(err); limited {
		return false
	}
	answer, ok := errors.AsType[*github.ErrorResponse](err)
	return !ok || answer.Response == nil || answer.Response.StatusCode >= 500
}

// retryAt returns when GitHub will take calls again, if it wants fewer.
func retryAt(err error) (time.Time, bool) {
	if limit, ok := errors.AsType[*github.RateLimitError](err); ok {
		return limit.Rate.Reset.Time, true
	}
	if limit, ok := errors.AsType[*github.AbuseRateLimitError](err); ok {
		return time.Now().Add(max(limit.GetRetryAfter(), time.Minute)), true
	}
	return time.Time{}, false
}

// refused makes of what GitHub says what may be shown: not the URL, and never a
// token. A limit of calls is no error: what is left comes next time.
func refused(err error, report *Report) error {
	if err == nil {
		return nil
	}
	if at, limited := retryAt(err); limited {
		report.RetryAt, report.Truncated = change.At(at), true
		return nil
	}
	if answer, ok := errors.AsType[*github.ErrorResponse](err); ok && answer.Response != nil {
		status := answer.Response.StatusCode
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			e := problem.New(problem.Conflict, "github_refuses", fmt.Sprintf("GitHub answers %d: check the token or key, what it may (webhooks: read and write), and the hook's id", status))
			e.Err = err
			return e
		}
	}
	return problem.BusyFor(time.Minute, "github_unavailable", "GitHub cannot be asked at this moment: try again", err)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
