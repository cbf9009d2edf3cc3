package bus

import (
	"crypto/sha256"
	"sync"

	"github.com/nats-io/nats.go"
)

// sharedBytes bounds the frames that wait for their second reader.
const sharedBytes = 32 << 20

// shared keeps frames that one consumer of this process has opened for the
// next one: a normalizer and the raw writer read the same frames, less than a
// second apart, and opening one costs as much as normalizing a part of it.
// Frames are only read, so that both may have the same.
type shared struct {
	mu      sync.Mutex
	readers int // consumers of delivery frames in this process
	frames  map[[32]byte]sharedFrame
	order   [][32]byte // oldest first; some may be gone
	bytes   int
}

type sharedFrame struct {
	frame *DeliveryFrame
	bytes int
}

// join counts a reader until the returned function is called.
func (s *shared) join() (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.readers--
	}
}

// open opens a message of DELIVERIES, or returns what another reader opened.
func (s *shared) open(h nats.Header, msg []byte) (*DeliveryFrame, error) {
	hash := sha256.Sum256(msg)
	if f := s.take(hash); f != nil {
		return f, checkLink(h, f)
	}
	f, err := openDeliveries(h, msg, hash)
	if err == nil {
		s.put(f)
	}
	return f, err
}

func (s *shared) take(hash [32]byte) *DeliveryFrame {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.frames[hash]
	delete(s.frames, hash)
	s.bytes -= f.bytes
	return f.frame
}

func (s *shared) put(f *DeliveryFrame) {
	size := 0
	for i := range f.Deliveries {
		size += len(f.Deliveries[i].Body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers < 2 {
		return
	}
	if _, there := s.frames[f.Hash]; there {
		return // both readers opened it at the same moment
	}
	if s.frames == nil {
		s.frames = map[[32]byte]sharedFrame{}
	}
	s.frames[f.Hash] = sharedFrame{f, size}
	s.order = append(s.order, f.Hash)
	s.bytes += size
	// Whoever reads behind opens frames again; what was taken leaves its place.
	for len(s.order) > 0 && (s.bytes > sharedBytes || len(s.order) > 2*len(s.frames)+64) {
		s.bytes -= s.frames[s.order[0]].bytes
		delete(s.frames, s.order[0])
		s.order = s.order[1:]
	}
}
