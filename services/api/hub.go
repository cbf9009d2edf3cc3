package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/store"
)

// tailBuffer is how many changes a reader may be behind before it counts as slow.
const tailBuffer = 512

// tailer is what follows the bus: bus.Bus.Tail.
type tailer func(context.Context, func(*bus.ChangeFrame) error) error

// hub hands the changes on the bus to the live tails. One consumer on the bus
// serves all of them, and there is none while nobody looks.
type hub struct {
	tail  tailer
	cfg   Config
	log   *slog.Logger
	m     *metrics
	wake  chan struct{} // somebody looks
	ended chan struct{} // closed when run returns

	mu     sync.Mutex
	subs   map[*subscription]struct{}
	byKey  map[string]int
	cancel context.CancelFunc // ends the consumer; nil while there is none
}

// subscription is one live tail.
type subscription struct {
	org, keyID string
	caller     auth.Principal // must stay good
	filter     store.ChangeFilter
	changes    chan change.Change
	slow       chan struct{} // closed when it did not keep up
}

func newHub(tail tailer, cfg Config, log *slog.Logger, m *metrics) *hub {
	return &hub{
		tail: tail, cfg: cfg, log: log, m: m,
		wake:  make(chan struct{}, 1),
		ended: make(chan struct{}),
		subs:  map[*subscription]struct{}{},
		byKey: map[string]int{},
	}
}

// run follows the bus whenever somebody looks, until ctx ends. Then all tails end.
func (h *hub) run(ctx context.Context) error {
	defer close(h.ended)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		}
		following, cancel := context.WithCancel(ctx)
		if h.begin(cancel) {
			err := h.tail(following, h.publish)
			if following.Err() == nil {
				h.log.Warn("live tails interrupted", "error", err)
				h.again(following)
			}
		}
		cancel()
	}
}

// begin notes how to end the consumer that is about to start; false if nobody
// looks any more.
func (h *hub) begin(cancel context.CancelFunc) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subs) == 0 {
		return false
	}
	h.cancel = cancel
	return true
}

// again makes run start over in a second.
func (h *hub) again(ctx context.Context) {
	select {
	case <-time.After(time.Second):
		h.rouse()
	case <-ctx.Done():
	}
}

func (h *hub) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// subscribe opens a live tail; the caller must leave.
func (h *hub) subscribe(org, keyID string, filter store.ChangeFilter) (*subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byKey[keyID] >= h.cfg.MaxKeyTails {
		e := problem.New(problem.RateLimited, "too_many_tails", "this key has as many live tails open as it may; close one")
		e.RetryAfter = 10 * time.Second
		return nil, e
	}
	if len(h.subs) >= h.cfg.MaxTails {
		return nil, problem.BusyFor(10*time.Second, "too_many_tails", "the server has as many live tails open as it may; try later", nil)
	}
	s := &subscription{
		org: org, keyID: keyID, filter: filter,
		changes: make(chan change.Change, tailBuffer),
		slow:    make(chan struct{}),
	}
	h.subs[s] = struct{}{}
	h.byKey[keyID]++
	h.m.tails.Inc()
	if len(h.subs) == 1 {
		h.rouse()
	}
	return s, nil
}

// leave closes a live tail.
func (h *hub) leave(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
	if h.byKey[s.keyID]--; h.byKey[s.keyID] == 0 {
		delete(h.byKey, s.keyID)
	}
	h.m.tails.Dec()
	if len(h.subs) == 0 && h.cancel != nil {
		h.cancel()
		h.cancel = nil
	}
}

// publish hands a frame's changes to whom they concern. It never waits: who is
// too far behind is told so and left behind.
func (h *hub) publish(f *bus.ChangeFrame) error {
	if f.Run > 0 {
		return nil // a replay: nothing new has happened
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range f.Results {
		r := &f.Results[i]
		if r.Outcome != change.Stored {
			continue
		}
		for j := range r.Changes {
			for s := range h.subs {
				if r.Org == s.org && matches(&s.filter, &r.Changes[j]) {
					h.offer(s, r.Changes[j])
				}
			}
		}
	}
	return nil
}

func (h *hub) offer(s *subscription, c change.Change) {
	select {
	case <-s.slow:
	default:
		select {
		case s.changes <- c:
		default:
			close(s.slow)
			h.m.dropped.Inc()
		}
	}
}
