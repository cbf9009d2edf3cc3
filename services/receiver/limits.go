package receiver

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"whatchanged/pkg/change"
	"whatchanged/pkg/httpserver"
)

// maxAddresses and maxRecent bound what is remembered: twice as much at most,
// since the memory is two generations of which the older is dropped whole.
const (
	maxAddresses = 16_384
	maxRecent    = 65_536
)

// generations is a map that forgets: what was not asked for while max others
// came is dropped.
type generations[K comparable, V any] struct {
	max   int
	young map[K]V
	old   map[K]V
}

func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	if ok {
		g.put(k, v)
	}
	return v, ok
}

func (g *generations[K, V]) put(k K, v V) {
	if g.young == nil || len(g.young) >= g.max {
		g.old, g.young = g.young, make(map[K]V)
	}
	g.young[k] = v
}

// failures counts failed requests by address.
type failures struct {
	rate int

	mu        sync.Mutex
	addresses generations[netip.Addr, *rate.Limiter]
}

func newFailures(perSecond int) *failures {
	return &failures{rate: perSecond, addresses: generations[netip.Addr, *rate.Limiter]{max: maxAddresses}}
}

// allow counts a failure, and reports whether the address has had no more
// than it may.
func (f *failures) allow(addr netip.Addr, now time.Time) bool {
	addr = httpserver.Network(addr)
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.addresses.get(addr)
	if !ok {
		l = rate.NewLimiter(rate.Limit(f.rate), 2*f.rate)
		f.addresses.put(addr, l)
	}
	return l.AllowN(now, 1)
}

// recent remembers which identities this process made durable lately. It is
// what "duplicate" in the answer rests on, and no more than that: the hash
// may, very rarely, take one identity for another.
type recent struct {
	seed maphash.Seed

	mu   sync.Mutex
	seen generations[uint64, struct{}]
}

func newRecent() *recent {
	return &recent{seed: maphash.MakeSeed(), seen: generations[uint64, struct{}]{max: maxRecent}}
}

type identity struct{ sourceID, identity string }

// key returns what stands for the delivery's identity; 0 when it has none.
func (m *recent) key(d *change.Delivery) uint64 {
	if d.Identity == "" {
		return 0
	}
	return maphash.Comparable(m.seed, identity{d.SourceID, d.Identity})
}

func (m *recent) has(key uint64) bool {
	if key == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.seen.get(key)
	return ok
}

func (m *recent) add(key uint64) {
	if key == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen.put(key, struct{}{})
}
