package bus

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// FuzzReadLink: what headers say of a frame's place is what we would write for
// that place.
func FuzzReadLink(f *testing.F) {
	h := chainLink{FrameRef: FrameRef{Chain: "0123456789abcdef", Number: 7}, old: FrameRef{Chain: "old", Number: 3}, deliveries: 2}.header()
	f.Add(h.Get(headerChain), h.Get(headerFrame), h.Get(headerPrev), h.Get(headerHash), h.Get(headerCount), h.Get(headerOld))
	f.Add("c", "+1", "zz", "", "-1", "a/b")
	f.Fuzz(func(t *testing.T, chain, frame, prev, hash, count, old string) {
		h := nats.Header{headerChain: {chain}, headerFrame: {frame}, headerPrev: {prev}, headerHash: {hash}, headerCount: {count}, headerOld: {old}}
		link, err := readLink(h)
		if err != nil {
			return
		}
		again, err := readLink(link.header())
		if err != nil || again != link {
			t.Errorf("%+v, and again %+v, %v", link, again, err)
		}
	})
}

// FuzzOpenDeliveries: a message is what its headers say, or unreadable.
func FuzzOpenDeliveries(f *testing.F) {
	whole := &DeliveryFrame{Chain: "c", Number: 1, Lane: "fresh"}
	f.Add("c", "1", seal(nil, EncodeDeliveries(whole)))
	f.Add("c", "2", seal(nil, nil))
	f.Fuzz(func(t *testing.T, chain, number string, msg []byte) {
		zeros := (&chainLink{}).header().Get(headerHash)
		h := nats.Header{headerChain: {chain}, headerFrame: {number}, headerPrev: {zeros}, headerHash: {zeros}, headerCount: {"0"}}
		frame, err := readDeliveries(h, msg)
		if err == nil {
			t.Errorf("the hash of %+v is zero", frame)
		} else if !errors.Is(err, errUnreadable) {
			t.Errorf("%v does not say that the frame is unreadable", err)
		}
	})
}

// FuzzOpenAudit: records of the trail are read, or unreadable.
func FuzzOpenAudit(f *testing.F) {
	f.Add([]byte(`{"kind":"event","records":[{"id":"aud_"},null,1]}`))
	f.Add([]byte(`{"records":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := openAudit(seal(nil, raw))
		if (err == nil) == (frame == nil) || err != nil && !errors.Is(err, errUnreadable) {
			t.Errorf("%+v, %v", frame, err)
		}
	})
}

// FuzzReadDead: a dead letter keeps the bytes that it is about, whatever they are.
func FuzzReadDead(f *testing.F) {
	f.Add([]byte(`{"id":"ded_1","stage":"fetch","reason":"r"}`), []byte("\n{\x00"))
	f.Add([]byte(`{"size":-1}`), []byte{})
	f.Fuzz(func(t *testing.T, head, kept []byte) {
		d, err := readDead(bytes.Join([][]byte{head, kept}, []byte("\n")))
		if err != nil || bytes.ContainsRune(head, '\n') {
			return
		}
		if !bytes.Equal(d.Bytes, kept) {
			t.Errorf("(-want +got)\n%s", cmp.Diff(kept, d.Bytes))
		}
	})
}

// FuzzReadAck: only a place on the stream is an acknowledgement.
func FuzzReadAck(f *testing.F) {
	f.Add([]byte(`{"stream":"DELIVERIES","seq":7}`))
	f.Add([]byte(`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`))
	f.Add([]byte(`{"seq":0}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		ack, err := readAck(&nats.Msg{Data: data})
		if err == nil && (ack.Seq == 0 || ack.Error != nil) {
			t.Errorf("%q is taken for an acknowledgement: %+v", data, ack)
		}
	})
}
