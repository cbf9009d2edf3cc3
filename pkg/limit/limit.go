// Package limit keeps track of many callers at one time, and of how much each
// of them asks, in memory that is bounded however many there are.
package limit

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Generations is a map that forgets: what was not asked for while Max others
// came is dropped. It holds twice Max at most, since it is two maps of which
// the older is dropped whole. It is not safe for concurrent use.
type Generations[K comparable, V any] struct {
	Max   int
	young map[K]V
	old   map[K]V
}

// Get returns what was put for k, and keeps it from being forgotten.
func (g *Generations[K, V]) Get(k K) (V, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	if ok {
		g.Put(k, v)
	}
	return v, ok
}

// Put keeps v for k.
func (g *Generations[K, V]) Put(k K, v V) {
	if g.young == nil || len(g.young) >= g.Max {
		g.old, g.young = g.young, make(map[K]V)
	}
	g.young[k] = v
}

// Rates lets each caller do something so many times a second, and so many at
// once after a pause. It is safe for concurrent use.
type Rates[K comparable] struct {
	rate  rate.Limit
	burst int

	mu      sync.Mutex
	callers Generations[K, *rate.Limiter]
}

// NewRates returns Rates that remember at least the last most callers.
func NewRates[K comparable](perSecond, burst, most int) *Rates[K] {
	return &Rates[K]{rate: rate.Limit(perSecond), burst: burst, callers: Generations[K, *rate.Limiter]{Max: most}}
}

// Standing is how a caller stands after asking.
type Standing struct {
	OK         bool          // it may
	Remaining  int           // how many more at once
	Full       time.Duration // until the whole burst is there again
	RetryAfter time.Duration // when not OK: until it may
}

// Take asks for one at now.
func (r *Rates[K]) Take(k K, now time.Time) Standing {
	r.mu.Lock()
	l, ok := r.callers.Get(k)
	if !ok {
		l = rate.NewLimiter(r.rate, r.burst)
		r.callers.Put(k, l)
	}
	r.mu.Unlock()
	return r.standing(l.AllowN(now, 1), l.TokensAt(now))
}

// Look tells how k stands at now, and counts nothing: OK says that it may ask.
func (r *Rates[K]) Look(k K, now time.Time) Standing {
	r.mu.Lock()
	l, ok := r.callers.Get(k)
	r.mu.Unlock()
	tokens := float64(r.burst)
	if ok {
		tokens = l.TokensAt(now)
	}
	return r.standing(tokens >= 1, tokens)
}

func (r *Rates[K]) standing(ok bool, tokens float64) Standing {
	s := Standing{OK: ok}
	s.Remaining = max(0, int(math.Floor(tokens)))
	s.Full = r.wait(float64(r.burst) - tokens)
	if !s.OK {
		s.RetryAfter = r.wait(1 - tokens)
	}
	return s
}

// wait returns how long it takes until so many are there.
func (r *Rates[K]) wait(tokens float64) time.Duration {
	return time.Duration(max(0, tokens) / float64(r.rate) * float64(time.Second))
}
