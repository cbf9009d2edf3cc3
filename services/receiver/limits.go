package receiver

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"whatchanged/pkg/change"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/limit"
)

// maxAddresses and maxRecent bound what is remembered: twice as much at most.
const (
	maxAddresses = 16_384
	maxRecent    = 65_536
)

// failures counts failed requests by address.
type failures struct {
	rate int

	mu        sync.Mutex
	addresses limit.Generations[netip.Addr, *rate.Limiter]
}

func newFailures(perSecond int) *failures {
	return &failures{rate: perSecond, addresses: limit.Generations[netip.Addr, *rate.Limiter]{Max: maxAddresses}}
}

// allow counts a failure, and reports whether the address has had no more
// than it may.
func (f *failures) allow(addr netip.Addr, now time.Time) bool {
	addr = httpserver.Network(addr)
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.addresses.Get(addr)
	if !ok {
		l = rate.NewLimiter(rate.Limit(f.rate), 2*f.rate)
		f.addresses.Put(addr, l)
	}
	return l.AllowN(now, 1)
}

// recent remembers which identities this process made durable lately. It is
// what "duplicate" in the answer rests on, and no more than that: the hash
// may, very rarely, take one identity for another.
type recent struct {
	seed maphash.Seed

	mu   sync.Mutex
	seen limit.Generations[uint64, struct{}]
}

func newRecent() *recent {
	return &recent{seed: maphash.MakeSeed(), seen: limit.Generations[uint64, struct{}]{Max: maxRecent}}
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
	_, ok := m.seen.Get(key)
	return ok
}

func (m *recent) add(key uint64) {
	if key == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen.Put(key, struct{}{})
}
