package bus

import (
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"whatchanged/pkg/change"
)

// The put functions append one field and leave out what is empty, so that
// equal values have equal bytes.

func putString[T ~string](b []byte, num protowire.Number, v T) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), string(v))
}

func putBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func putUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func putInt(b []byte, num protowire.Number, v int) []byte {
	return putUint(b, num, protowire.EncodeZigZag(int64(v)))
}

func putBool(b []byte, num protowire.Number, v bool) []byte {
	return putUint(b, num, protowire.EncodeBool(v))
}

// putTime writes 1970 as a value and only the zero time as nothing.
func putTime(b []byte, num protowire.Number, t change.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, protowire.EncodeZigZag(t.UnixMilli()))
}

func putID(b []byte, num protowire.Number, id [16]byte) []byte {
	if id == ([16]byte{}) {
		return b
	}
	return putBytes(b, num, id[:])
}

func putHash(b []byte, num protowire.Number, h [32]byte) []byte {
	if h == ([32]byte{}) {
		return b
	}
	return putBytes(b, num, h[:])
}

// putMessage appends what put writes as one nested message.
func putMessage(b []byte, num protowire.Number, put func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	start := len(b)
	b = put(b)
	size := len(b) - start
	var prefix [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(prefix[:], uint64(size))
	b = append(b, prefix[:n]...) // room for the length, which goes in front
	copy(b[start+n:], b[start:])
	copy(b[start:start+n], prefix[:n])
	return b
}

// scan reads the fields of one message, one after the other. The first thing
// wrong ends it; err has it.
type scan struct {
	rest []byte
	num  protowire.Number
	typ  protowire.Type
	u    uint64
	b    []byte
	err  error
}

func (s *scan) next() bool {
	if s.err != nil || len(s.rest) == 0 {
		return false
	}
	num, typ, n := protowire.ConsumeTag(s.rest)
	if n < 0 {
		return s.fail(protowire.ParseError(n))
	}
	s.rest, s.num, s.typ = s.rest[n:], num, typ
	switch typ {
	case protowire.VarintType:
		s.u, n = protowire.ConsumeVarint(s.rest)
	case protowire.BytesType:
		s.b, n = protowire.ConsumeBytes(s.rest)
	default:
		n = protowire.ConsumeFieldValue(num, typ, s.rest)
	}
	if n < 0 {
		return s.fail(protowire.ParseError(n))
	}
	s.rest = s.rest[n:]
	return true
}

func (s *scan) fail(err error) bool {
	if s.err == nil {
		s.err = fmt.Errorf("field %d: %w", s.num, err)
	}
	return false
}

func (s *scan) want(typ protowire.Type) bool {
	if s.typ != typ {
		s.fail(fmt.Errorf("wire type %d where %d is expected", s.typ, typ))
	}
	return s.typ == typ
}

func (s *scan) bytes() []byte {
	if !s.want(protowire.BytesType) || len(s.b) == 0 {
		return nil
	}
	return slices.Clip(s.b)
}

func (s *scan) str() string { return string(s.bytes()) }

func (s *scan) uint() uint64 {
	if !s.want(protowire.VarintType) {
		return 0
	}
	return s.u
}

func (s *scan) int() int   { return int(protowire.DecodeZigZag(s.uint())) }
func (s *scan) bool() bool { return s.uint() != 0 }

func (s *scan) time() change.Time {
	return change.AtMilli(protowire.DecodeZigZag(s.uint()))
}

func (s *scan) id() (id [16]byte) {
	s.fixed(id[:])
	return id
}

func (s *scan) hash() (h [32]byte) {
	s.fixed(h[:])
	return h
}

func (s *scan) fixed(to []byte) {
	if b := s.bytes(); len(b) != len(to) {
		s.fail(fmt.Errorf("%d bytes where %d are expected", len(b), len(to)))
	} else {
		copy(to, b)
	}
}

// message reads the field as a nested message.
func (s *scan) message(read func(*scan)) {
	inner := scan{rest: s.bytes()}
	read(&inner)
	if inner.err != nil {
		s.fail(inner.err)
	}
}
