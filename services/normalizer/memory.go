package normalizer

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
)

// sighting is the first delivery with an identity.
type sighting struct {
	delivery change.DeliveryID
	received time.Time
	hash     uint64 // of the body: tells a repeat from a conflict
}

// memory holds the identities that passed through lately, since their rows may
// not be in the store yet. It is bounded: two generations, of which the older
// is dropped when the younger is full or old enough.
type memory struct {
	mu         sync.Mutex
	young, old map[[16]byte]sighting
	span       time.Duration
	limit      int
	turned     time.Time
	now        func() time.Time
}

// Lately is what the normalizers of both lanes of a process share: an org's
// deliveries may change lanes, and a repeat or a rollback is known all the same.
type Lately struct {
	memory   *memory
	deployed *deployed
}

// NewLately returns an empty memory.
func NewLately() *Lately {
	return &Lately{memory: newMemory(15*time.Minute, 400_000), deployed: newDeployed()}
}

func newMemory(span time.Duration, limit int) *memory {
	return &memory{young: make(map[[16]byte]sighting), span: span, limit: limit, turned: time.Now(), now: time.Now}
}

func (m *memory) has(id store.Identity) bool {
	_, ok := m.get(id)
	return ok
}

func (m *memory) get(id store.Identity) (sighting, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := keyOf(id)
	if s, ok := m.young[key]; ok {
		return s, true
	}
	s, ok := m.old[key]
	return s, ok
}

func (m *memory) put(id store.Identity, s sighting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(keyOf(id), s)
}

// claim remembers the first delivery with an identity, and returns it: s, or
// one that was there before. Both lanes ask here, and one of them is first.
func (m *memory) claim(id store.Identity, s sighting) sighting {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := keyOf(id)
	if first, ok := m.young[key]; ok {
		return first
	}
	if first, ok := m.old[key]; ok {
		return first
	}
	m.add(key, s)
	return s
}

// add is put, with the lock held.
func (m *memory) add(key [16]byte, s sighting) {
	if now := m.now(); len(m.young) >= m.limit || now.Sub(m.turned) >= m.span {
		m.young, m.old, m.turned = make(map[[16]byte]sighting), m.young, now
	}
	m.young[key] = s
}

// keyOf is short, so that a flood of identities costs little memory. It is cut
// from a cryptographic hash: no sender can make two identities collide.
func keyOf(id store.Identity) (key [16]byte) {
	h := sha256.New()
	for _, part := range []string{id.Org, id.SourceID, id.Identity} {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	copy(key[:], h.Sum(nil))
	return key
}

func hashOf(body [32]byte) uint64 { return binary.BigEndian.Uint64(body[:8]) }
