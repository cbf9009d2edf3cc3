package bus

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"whatchanged/pkg/change"
)

// See frame.proto for the fields.

// appendFrameHead appends all of a delivery frame but its deliveries.
func appendFrameHead(b []byte, f *DeliveryFrame) []byte {
	b = putUint(b, 1, frameVersion)
	b = putString(b, 2, f.Chain)
	b = putUint(b, 3, f.Number)
	b = putHash(b, 4, f.Prev)
	b = putTime(b, 5, change.At(f.Created))
	b = putString(b, 6, f.Lane)
	if f.Old.Chain != "" {
		b = putMessage(b, 7, func(b []byte) []byte {
			b = putString(b, 1, f.Old.Chain)
			b = putUint(b, 2, f.Old.Number)
			return putHash(b, 3, f.Old.Hash)
		})
	}
	return b
}

// appendFrameDelivery appends a delivery that appendDelivery has encoded.
func appendFrameDelivery(b, encoded []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, 8, protowire.BytesType), encoded)
}

func appendDelivery(b []byte, d *change.Delivery) []byte {
	b = putID(b, 1, d.ID)
	b = putString(b, 2, d.Org)
	b = putString(b, 3, d.SourceID)
	b = putTime(b, 4, d.ReceivedAt)
	b = appendHeader(b, d.Header)
	b = putString(b, 6, d.Identity)
	b = putString(b, 7, d.Provider)
	if d.Service != (change.Service{}) {
		b = putMessage(b, 8, func(b []byte) []byte {
			return putString(putString(b, 1, d.Service.ID), 2, d.Service.Name)
		})
	}
	return putString(putBytes(b, 9, d.Body), 15, d.TraceParent)
}

func appendHeader(b []byte, h http.Header) []byte {
	var room [32]string // enough for most requests, on the stack
	names := room[:0]
	for name, values := range h {
		if len(values) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		b = putMessage(b, 5, func(b []byte) []byte {
			b = putString(b, 1, name)
			for _, v := range h[name] { // an empty value is a value
				b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), v)
			}
			return b
		})
	}
	return b
}

// decodeDeliveries reads a frame; bodies alias b.
func decodeDeliveries(b []byte) (*DeliveryFrame, error) {
	r := deliveryReader{names: map[string]string{}}
	f := &r.frame
	s := scan{rest: b}
	for s.next() {
		switch s.num {
		case 1:
			if v := s.uint(); v != frameVersion {
				s.fail(fmt.Errorf("frame version %d is not known", v))
			}
		case 2:
			f.Chain = s.str()
		case 3:
			f.Number = s.uint()
		case 4:
			f.Prev = s.hash()
		case 5:
			f.Created = s.time().Time
		case 6:
			f.Lane = s.str()
		case 7:
			s.message(func(s *scan) { f.Old = readRef(s) })
		case 8:
			if len(f.Deliveries) == maxDeliveries {
				s.fail(fmt.Errorf("more than %d deliveries", maxDeliveries))
				break
			}
			f.Deliveries = append(f.Deliveries, change.Delivery{})
			s.message(r.readDelivery)
		}
	}
	if s.err != nil {
		return nil, fmt.Errorf("decode delivery frame: %w", s.err)
	}
	return f, nil
}

func readRef(s *scan) (r FrameRef) {
	for s.next() {
		switch s.num {
		case 1:
			r.Chain = s.str()
		case 2:
			r.Number = s.uint()
		case 3:
			r.Hash = s.hash()
		}
	}
	return r
}

// deliveryReader reads the deliveries of one frame. They have much in common:
// it makes each name once, and cuts the lists of header values from one.
type deliveryReader struct {
	frame  DeliveryFrame
	names  map[string]string
	values []string
}

const valuesChunk = 256

// name is str for what many deliveries have.
func (r *deliveryReader) name(s *scan) string {
	b := s.bytes()
	name, ok := r.names[string(b)]
	if !ok {
		name = string(b)
		r.names[name] = name
	}
	return name
}

func (r *deliveryReader) readDelivery(s *scan) {
	d := &r.frame.Deliveries[len(r.frame.Deliveries)-1]
	for s.next() {
		switch s.num {
		case 1:
			d.ID = s.id()
		case 2:
			d.Org = r.name(s)
		case 3:
			d.SourceID = r.name(s)
		case 4:
			d.ReceivedAt = s.time()
		case 5:
			r.readHeader(s, d)
		case 6:
			d.Identity = s.str()
		case 7:
			d.Provider = r.name(s)
		case 8:
			s.message(func(s *scan) {
				for s.next() {
					switch s.num {
					case 1:
						d.Service.ID = s.str()
					case 2:
						d.Service.Name = s.str()
					}
				}
			})
		case 9:
			d.Body = s.bytes()
		case 15:
			d.TraceParent = s.str()
		}
	}
}

func (r *deliveryReader) readHeader(outer *scan, d *change.Delivery) {
	if d.Header == nil {
		d.Header = make(http.Header, 8)
	}
	if len(d.Header) == maxHeaders {
		outer.fail(fmt.Errorf("more than %d headers", maxHeaders))
	}
	var name string
	from := len(r.values)
	s := scan{rest: outer.bytes()}
	for s.next() {
		switch s.num {
		case 1:
			name = r.name(&s)
		case 2:
			if len(r.values) == cap(r.values) { // what was cut before stays where it is
				chunk := make([]string, 0, max(valuesChunk, 2*(len(r.values)-from)))
				r.values, from = append(chunk, r.values[from:]...), 0
			}
			r.values = append(r.values, s.str())
		}
	}
	if s.err != nil {
		outer.fail(s.err)
	}
	values := r.values[from:len(r.values):len(r.values)]
	if _, twice := d.Header[name]; twice {
		outer.fail(errors.New("the same header twice")) // never written, and costly to join
	}
	if len(values) > 0 {
		d.Header[name] = values
	}
}
