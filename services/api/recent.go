package api

import (
	"context"
	"sync"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

// What was taken in lately may not be in the store yet, so it is remembered
// here: longer than the store is ever expected to lag, and within a bound on
// memory.
const (
	recentFor = 15 * time.Minute
	recentMax = 50_000
)

// sighting is the first request with an Idempotency-Key.
type sighting struct {
	received change.Time
	delivery change.DeliveryID
	body     [32]byte  // SHA-256
	service  string    // that it was logged for
	id       change.ID // of an item of a bulk request
	stored   bool      // it comes from the store, which does not know the service
}

// recent remembers the requests that this process took in, and lets only one
// of those with the same Idempotency-Key be under way at a time.
type recent struct {
	mu    sync.Mutex
	seen  map[store.Identity]sighting
	order []store.Identity // oldest first
	busy  map[store.Identity]chan struct{}
}

func newRecent() *recent {
	return &recent{seen: map[store.Identity]sighting{}, busy: map[store.Identity]chan struct{}{}}
}

// claim waits until no other request with the identity is under way. The
// caller must call release.
func (r *recent) claim(ctx context.Context, id store.Identity) (release func(), err error) {
	if id.Identity == "" {
		return func() {}, nil
	}
	mine := make(chan struct{})
	for {
		r.mu.Lock()
		other, taken := r.busy[id]
		if !taken {
			r.busy[id] = mine
		}
		r.mu.Unlock()
		if !taken {
			return func() {
				r.mu.Lock()
				delete(r.busy, id)
				r.mu.Unlock()
				close(mine)
			}, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *recent) get(id store.Identity) (sighting, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.seen[id]
	return s, ok
}

// add remembers a request that has an Idempotency-Key, unless one is known.
func (r *recent) add(id store.Identity, s sighting) {
	if id.Identity == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.seen[id]; ok {
		return
	}
	for len(r.order) > 0 {
		oldest := r.order[0]
		if len(r.order) < recentMax && s.received.Sub(r.seen[oldest].received.Time) < recentFor {
			break
		}
		delete(r.seen, oldest)
		r.order = r.order[1:]
	}
	r.seen[id] = s
	r.order = append(r.order, id)
}
