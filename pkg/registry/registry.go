package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

const (
	heartbeatKey   = "heartbeat"     // one key without dots: no kind, no org
	heartbeatEvery = time.Second     // so that silence means something
	stalledAfter   = 5 * time.Second // no news: watch anew
	staleAfter     = 30 * time.Second
	reloadEvery    = 5 * time.Minute  // a watch may skip a damaged record: compare
	usesEvery      = time.Minute      // a key's LastUsed is written at most so often
	secretsEvery   = 15 * time.Second // secrets that have ended are looked for
	sessionsEvery  = 10 * time.Minute // the same for sessions
	loadTimeout    = 15 * time.Second
	writeTimeout   = 5 * time.Second
	maxBackoff     = 30 * time.Second
	maxBatch       = 1000 // entries that become one view
)

// Registry is a complete view of the control plane, and the way to change it.
// Look-ups are lock-free and safe for concurrent use.
type Registry struct {
	kv      jetstream.KeyValue
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	audit   Auditor // nil: nothing is recorded
	follows bool    // somebody else writes

	view   atomic.Pointer[view]
	opened time.Time    // the zero of heard
	heard  atomic.Int64 // nanoseconds after opened: the last sign of the bucket

	// Of the goroutine that runs Run, after Open.
	watch     jetstream.KeyWatcher
	stopWatch context.CancelFunc
	seen      map[string]uint64 // the revision of every key, deleted ones too

	usesMu sync.Mutex
	uses   map[place]change.Time // of keys, not yet written
}

// Open reads the whole registry and starts a watch on it. Run must follow: it
// keeps the view current, and writes wait for the view to have them.
func Open(ctx context.Context, kv jetstream.KeyValue, log *slog.Logger, reg prometheus.Registerer, opts ...Option) (*Registry, error) {
	r := &Registry{kv: kv, log: log, now: time.Now, opened: time.Now(), uses: map[place]change.Time{}}
	for _, opt := range opts {
		opt(r)
	}
	r.view.Store(newView())
	r.metrics = newMetrics(reg, r)
	if err := r.reload(ctx); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	return r, nil
}

// Run keeps the view current until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.every(ctx, heartbeatEvery, r.beat) })
	if !r.follows {
		wg.Go(func() { r.every(ctx, usesEvery, r.writeUses) })
		wg.Go(func() { r.every(ctx, secretsEvery, r.endSecrets) })
		wg.Go(func() { r.every(ctx, sessionsEvery, r.endSessions) })
	}
	r.follow(ctx)
	cancel()
	wg.Wait()
	if r.follows {
		return nil
	}
	// What is still unwritten outlives the shutdown, for a moment.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	r.writeUses(last)
	return nil
}

// follow applies what the watch reports, and replaces the watch when it closes
// or falls silent, and every few minutes to compare.
func (r *Registry) follow(ctx context.Context) {
	defer func() { r.stopWatch() }()
	check := time.NewTicker(heartbeatEvery)
	defer check.Stop()
	reload := time.NewTicker(reloadEvery)
	defer reload.Stop()
	var retryAt time.Time
	backoff := time.Second
	updates := r.watch.Updates()
	rebuild := func() {
		if time.Now().Before(retryAt) {
			return
		}
		if err := r.reload(ctx); err != nil {
			if ctx.Err() == nil {
				r.log.Warn("registry view not renewed", "error", err, "age", r.age(), "retry_in", backoff)
			}
			retryAt = time.Now().Add(backoff)
			backoff = min(2*backoff, maxBackoff)
			return
		}
		backoff, retryAt = time.Second, time.Time{}
		updates = r.watch.Updates()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-updates:
			if !ok {
				updates = nil // closed under us; the check below renews it
				continue
			}
			if e != nil {
				r.apply(append([]entry{toEntry(e)}, drain(updates)...))
			}
		case <-check.C:
			if updates == nil || r.age() > stalledAfter {
				r.metrics.rebuilds.Inc()
				rebuild()
			}
		case <-reload.C:
			rebuild()
		}
	}
}

// drain takes what else is waiting, so that many changes make one view.
func drain(updates <-chan jetstream.KeyValueEntry) []entry {
	var waiting []entry
	for len(waiting) < maxBatch {
		select {
		case e, ok := <-updates:
			if !ok {
				return waiting // the caller's next read sees it closed
			}
			if e != nil {
				waiting = append(waiting, toEntry(e))
			}
		default:
			return waiting
		}
	}
	return waiting
}

func (r *Registry) apply(entries []entry) {
	for _, e := range entries {
		r.seen[e.key] = e.revision
	}
	old := r.view.Load()
	v, damaged := old.with(entries)
	r.publish(old, v, damaged)
}

func (r *Registry) publish(old, v *view, damaged []error) {
	for _, err := range damaged {
		r.metrics.damaged.Inc()
		r.log.Error("registry record left out", "error", err)
	}
	r.view.Store(v)
	r.heard.Store(int64(time.Since(r.opened)))
	close(old.next)
}

// reload reads everything through a new watch, compares, and goes on with the
// new watch. Rows that did not change keep their pointers.
func (r *Registry) reload(ctx context.Context) error {
	// The watch lives until it is replaced or Run ends, not as long as ctx.
	watchCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	watch, err := r.kv.WatchAll(watchCtx)
	if err != nil {
		stop()
		return fmt.Errorf("watch %s: %w", r.kv.Bucket(), err)
	}
	halt := func() {
		watch.Stop() // an error means that it is closed already
		stop()
	}
	entries, err := readAll(ctx, watch)
	if err != nil {
		halt()
		return fmt.Errorf("read %s: %w", r.kv.Bucket(), err)
	}
	r.compare(entries)
	if r.stopWatch != nil {
		r.stopWatch()
	}
	r.watch, r.stopWatch = watch, halt
	return nil
}

// readAll returns what the bucket holds now.
func readAll(ctx context.Context, watch jetstream.KeyWatcher) ([]entry, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	var entries []entry
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e, ok := <-watch.Updates():
			switch {
			case !ok:
				return nil, errors.New("the watch was closed")
			case e == nil:
				return entries, nil
			}
			entries = append(entries, toEntry(e))
		}
	}
}

// compare takes a full reading into the view, and counts where the watch
// should have had it already.
func (r *Registry) compare(entries []entry) {
	old := r.view.Load()
	seen := make(map[string]uint64, len(entries))
	var news []entry
	var missed []string
	for _, e := range entries {
		seen[e.key] = e.revision
		if r.seen[e.key] == e.revision {
			continue
		}
		news = append(news, e)
		if r.seen != nil && e.revision <= old.revision {
			missed = append(missed, e.key)
		}
	}
	for key := range r.seen {
		if _, ok := seen[key]; !ok { // purged, and its marker with it
			news = append(news, entry{key: key})
			missed = append(missed, key)
		}
	}
	if len(missed) > 0 {
		r.metrics.mismatches.Add(float64(len(missed)))
		r.log.Error("registry view had missed changes", "count", len(missed), "first", missed[0])
	}
	r.seen = seen
	v, damaged := old.with(news)
	r.publish(old, v, damaged)
}

func toEntry(e jetstream.KeyValueEntry) entry {
	out := entry{key: e.Key(), revision: e.Revision()}
	if e.Operation() == jetstream.KeyValuePut {
		out.value = e.Value()
	}
	return out
}

// every calls f each interval until ctx ends.
func (r *Registry) every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f(ctx)
		}
	}
}

// beat writes the heartbeat, unless the watch has just shown that all is well.
// Its way through the bucket and back is what proves the view to be current.
func (r *Registry) beat(ctx context.Context) {
	if r.age() < heartbeatEvery/2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := r.kv.Put(ctx, heartbeatKey, []byte(change.At(time.Now()).String())); err != nil && ctx.Err() == nil {
		r.log.Debug("registry heartbeat not written", "error", err)
	}
}

func (r *Registry) age() time.Duration {
	return time.Since(r.opened) - time.Duration(r.heard.Load())
}

// Fresh returns nil while the view is known to be current. After 30 s without
// a sign of the bucket it is an error of kind Busy: a revoked token might
// still be in the view.
func (r *Registry) Fresh() error {
	if age := r.age(); age > staleAfter {
		return problem.BusyFor(5*time.Second, "registry_stale", "the server has lost touch with its registry; try again soon",
			fmt.Errorf("registry view is %s old", age.Round(time.Second)))
	}
	return nil
}

// Empty reports whether there is no org yet.
func (r *Registry) Empty() bool { return len(r.view.Load().orgs.rows) == 0 }

// HasSecrets reports whether sealed secrets exist, which only the master key
// that sealed them can open.
func (r *Registry) HasSecrets() bool {
	for _, row := range r.view.Load().sources.rows {
		if len(row.value.Secrets) > 0 || row.value.AWS != nil || row.value.GitHub != nil {
			return true
		}
	}
	return false
}

// SourceByToken returns the source that a token in a URL belongs to. Unknown
// tokens, tokens rotated away and those of disabled sources are all the same:
// false.
func (r *Registry) SourceByToken(token string) (*Source, bool) {
	hash := auth.Hash(token)
	s := r.view.Load().open[hash] // which takes as long for a disabled source's as for an unknown one
	if s == nil {
		return nil, false
	}
	if s.TokenHash != hash && !r.now().Before(s.OldTokenUntil.Time) {
		return nil, false
	}
	return s, true
}

// Org returns an org.
func (r *Registry) Org(id string) (*Org, bool) { return r.view.Load().orgs.get(id, id) }

// Orgs returns all orgs, in no order.
func (r *Registry) Orgs() []*Org {
	var all []*Org
	for _, list := range r.view.Load().orgs.lists {
		all = append(all, list...)
	}
	return all
}

// Source returns one source of an org.
func (r *Registry) Source(org, id string) (*Source, bool) { return r.view.Load().sources.get(org, id) }

// Sources returns an org's sources, oldest first. The slice is shared.
func (r *Registry) Sources(org string) []*Source { return r.view.Load().sources.lists[org] }

// Key returns one key of an org, expired or not.
func (r *Registry) Key(org, id string) (*Key, bool) { return r.view.Load().keys.get(org, id) }

// Keys returns an org's keys, oldest first. The slice is shared.
func (r *Registry) Keys(org string) []*Key { return r.view.Load().keys.lists[org] }

// Service returns one service of an org.
func (r *Registry) Service(org, id string) (*Service, bool) {
	return r.view.Load().services.get(org, id)
}

// Services returns an org's services, oldest first. The slice is shared.
func (r *Registry) Services(org string) []*Service { return r.view.Load().services.lists[org] }

// ServiceByName returns the org's service of that name; case does not matter.
func (r *Registry) ServiceByName(org, name string) (*Service, bool) {
	m := r.view.Load().matchers[org]
	if m == nil {
		return nil, false
	}
	s, ok := m.byName[strings.ToLower(name)]
	return s, ok
}
