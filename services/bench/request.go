package bench

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"strings"
	"time"
)

// request is a payload laid out as the bytes of one HTTP/1.1 request.
type request struct {
	whole     template
	body      int // where the body starts
	signature int // where the hex of its HMAC goes; 0 without a secret
}

const signatureHeader = "X-Hub-Signature-256: sha256="

// newRequest lays out p for a POST of path to host. Ids in the headers become
// slots as those in the body do, with values of their own.
func newRequest(p payload, host, path string, signed bool) (request, error) {
	var r request
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nContent-Type: application/json\r\n", path, host)
	r.whole.literal([]byte(head))
	for _, h := range p.header {
		if strings.ContainsAny(h[0]+h[1], "\r\n") {
			return request{}, fmt.Errorf("%s: header %q has a line break", p.name, h[0])
		}
		r.whole.literal([]byte(h[0] + ": "))
		r.whole.addFound([]byte(h[1]))
		r.whole.literal([]byte("\r\n"))
	}
	if signed {
		r.whole.literal([]byte(signatureHeader))
		r.signature = len(r.whole.text)
		r.whole.literal([]byte(strings.Repeat("0", 2*sha256.Size) + "\r\n"))
	}
	r.whole.literal(fmt.Appendf(nil, "Content-Length: %d\r\n\r\n", len(p.body.text)))
	r.body = len(r.whole.text)

	r.whole.literal(p.body.text)
	for _, s := range p.body.slots {
		moved := slot{kind: s.kind, width: s.width}
		for _, at := range s.at {
			moved.at = append(moved.at, at+r.body)
		}
		r.whole.slots = append(r.whole.slots, moved)
	}
	return r, nil
}

// writer makes requests: each differs from all others in its ids, shas, times,
// text and signature. It is for one goroutine.
type writer struct {
	requests []request
	rng      *rand.PCG
	mac      hash.Hash // nil: not signed
	sum      [sha256.Size]byte
	buf      []byte
	next     int
}

func newWriter(requests []request, secret string, seed uint64, first int) *writer {
	w := &writer{requests: requests, rng: rand.NewPCG(seed, uint64(first)), next: first}
	if secret != "" {
		w.mac = hmac.New(sha256.New, []byte(secret))
	}
	return w
}

// request returns the bytes of the next request, valid until the next call.
func (w *writer) request(now time.Time) []byte {
	r := &w.requests[w.next%len(w.requests)]
	w.next++
	w.buf = r.whole.fill(w.buf, w.rng, now)
	if w.mac != nil {
		w.mac.Reset()
		w.mac.Write(w.buf[r.body:])
		hex.Encode(w.buf[r.signature:], w.mac.Sum(w.sum[:0]))
	}
	return w.buf
}
