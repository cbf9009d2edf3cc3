package bus

import (
	"crypto/sha256"
	"testing"
	"time"

	"whatchanged/pkg/change"
)

// sealedFrame returns a frame of one delivery.
func sealedFrame(number uint64, body []byte) *DeliveryFrame {
	return &DeliveryFrame{
		Chain: "0123456789abcdef", Number: number, Created: time.UnixMilli(1), Lane: change.Fresh,
		Deliveries: []change.Delivery{{ID: change.DeliveryID{1}, Org: "o", SourceID: "s", Body: body}},
	}
}

func open(t *testing.T, s *shared, f *DeliveryFrame) *DeliveryFrame {
	t.Helper()
	raw := appendFrameHead(nil, f)
	for i := range f.Deliveries {
		raw = appendFrameDelivery(raw, appendDelivery(nil, &f.Deliveries[i]))
	}
	msg := seal(nil, raw)
	named := *f
	named.Hash = sha256.Sum256(msg)
	got, err := s.open(chainLink{named.ref(), f.Prev, f.Old, len(f.Deliveries)}.header(), msg)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestShared_OpensAFrameOnceForTwoReaders(t *testing.T) {
	var s shared
	f := sealedFrame(1, []byte("{}"))
	alone := open(t, &s, f)
	if open(t, &s, f) == alone {
		t.Error("with nobody reading beside, a frame was kept")
	}
	leave := s.join()
	defer leave()
	defer s.join()()
	first := open(t, &s, f)
	if open(t, &s, f) != first {
		t.Error("the second reader opened the frame again")
	}
	if open(t, &s, f) == first || len(s.frames) != 1 {
		t.Error("a frame stayed after its second reader")
	}
}

func TestShared_ForgetsTheOldestBeyondItsLimit(t *testing.T) {
	var s shared
	defer s.join()()
	defer s.join()()
	body := make([]byte, 3<<20)
	const frames = 2*sharedBytes/(3<<20) + 1
	for n := range uint64(frames) {
		open(t, &s, sealedFrame(n+1, body))
	}
	if s.bytes > sharedBytes || len(s.frames) != sharedBytes/len(body) {
		t.Errorf("%d frames of together %d bytes are kept, at most %d", len(s.frames), s.bytes, sharedBytes)
	}
	for n := range uint64(frames) {
		open(t, &s, sealedFrame(n+1, body)) // taken, or opened and kept
	}
	if s.bytes < 0 || s.bytes > sharedBytes || len(s.order) > 2*len(s.frames)+64 {
		t.Errorf("%d bytes, %d frames, %d places", s.bytes, len(s.frames), len(s.order))
	}
}

func TestShared_CountsAFrameOnceThatBothReadersOpenAtTheSameMoment(t *testing.T) {
	var s shared
	defer s.join()()
	defer s.join()()
	f := sealedFrame(1, []byte("{}"))
	s.put(f)
	s.put(f)
	if s.take(f.Hash) != f || s.bytes != 0 {
		t.Errorf("%d bytes are counted for no frame", s.bytes)
	}
}

func TestShared_ChecksTheHeadersOfEveryReader(t *testing.T) {
	var s shared
	defer s.join()()
	defer s.join()()
	f := sealedFrame(1, []byte("{}"))
	open(t, &s, f)
	raw := appendFrameDelivery(appendFrameHead(nil, f), appendDelivery(nil, &f.Deliveries[0]))
	msg := seal(nil, raw)
	named := *f
	named.Hash = sha256.Sum256(msg)
	named.Number = 2
	if _, err := s.open(chainLink{named.ref(), f.Prev, f.Old, 1}.header(), msg); err == nil {
		t.Error("headers of another frame were taken")
	}
}
