package chdb

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
)

// customSerialization is the revision since which every column of a block says
// whether its serialization is a special one.
const customSerialization = 54454

// maxRows is how many rows a block can have before it is taken for garbage.
const maxRows = 1_000_000_000

// native writes blocks again for a client that asked for a revision: the
// engine always writes Native in its revision 0. The revisions differ in what
// stands around the columns; the columns are copied as they are, once their
// ends are found.
//
// Decoding and encoding blocks with clickhouse-go would not do: it cannot
// encode all that it can decode (intervals and NULL alone are lost).
type native struct {
	revision uint64
	out      chproto.Buffer
}

// encode turns blocks of revision 0 into blocks of the client's revision. The
// result is valid until the next call.
func (n *native) encode(blocks []byte) ([]byte, error) {
	n.out.Reset()
	for rest := blocks; len(rest) > 0; {
		var err error
		if rest, err = n.block(rest); err != nil {
			return nil, fmt.Errorf("read the engine's answer: %w", err)
		}
	}
	return n.out.Buf, nil
}

// block writes one block and returns what comes after it.
func (n *native) block(b []byte) ([]byte, error) {
	columns, b, err := uvarint(b)
	if err != nil {
		return nil, err
	}
	rows, b, err := uvarint(b)
	if err != nil {
		return nil, err
	}
	if rows > maxRows {
		return nil, fmt.Errorf("a block has %d rows", rows)
	}
	// Block information: no overflow row, no bucket.
	n.out.PutUVarInt(1)
	n.out.PutBool(false)
	n.out.PutUVarInt(2)
	n.out.PutInt32(-1)
	n.out.PutUVarInt(0)
	n.out.PutUVarInt(columns)
	n.out.PutUVarInt(rows)
	for range columns {
		var name, kind []byte
		if name, b, err = str(b); err != nil {
			return nil, err
		}
		if kind, b, err = str(b); err != nil {
			return nil, err
		}
		n.out.PutString(string(name))
		n.out.PutString(string(kind))
		if n.revision >= customSerialization {
			n.out.PutBool(false)
		}
		after, err := skipColumn(string(name), string(kind), int(rows), b)
		if err != nil {
			return nil, fmt.Errorf("column %s %s: %w", name, kind, err)
		}
		n.out.PutRaw(b[:len(b)-len(after)])
		b = after
	}
	return b, nil
}

// skipColumn returns what comes after a column's values.
func skipColumn(name, kind string, rows int, b []byte) ([]byte, error) {
	if rows == 0 {
		return b, nil // not even prefixes are there
	}
	after, err := skipKnown(kind, rows, b)
	if errors.Is(err, errUnknownType) {
		return decodeColumn(name, kind, rows, b)
	}
	return after, err
}

// decodeColumn finds a column's end by reading it, for types whose form is
// involved: JSON, Dynamic, Variant and the like.
func decodeColumn(name, kind string, rows int, b []byte) ([]byte, error) {
	in := bytes.NewReader(b)
	// chproto.Reader takes a large bufio.Reader as its own, so that what it
	// has left unread is known.
	buffered := bufio.NewReaderSize(in, 128<<10)
	reader := chproto.NewReader(buffered)
	c, err := column.Type(kind).Column(name, &column.ServerContext{})
	if err != nil {
		return nil, err
	}
	if c, ok := c.(column.CustomSerialization); ok {
		if err := c.ReadStatePrefix(reader); err != nil {
			return nil, err
		}
	}
	if err := c.Decode(reader, rows); err != nil {
		return nil, err
	}
	return b[len(b)-in.Len()-buffered.Buffered():], nil
}

var errCutShort = errors.New("cut short")

func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errCutShort
	}
	return v, b[n:], nil
}

// str reads a string: its length and its bytes.
func str(b []byte) (s, rest []byte, err error) {
	n, b, err := uvarint(b)
	if err != nil || n > uint64(len(b)) {
		return nil, nil, errCutShort
	}
	return b[:n], b[n:], nil
}

// skip goes past n bytes.
func skip(b []byte, n uint64) ([]byte, error) {
	if n > uint64(len(b)) {
		return nil, errCutShort
	}
	return b[n:], nil
}

// number reads a UInt64.
func number(b []byte) (uint64, []byte, error) {
	if len(b) < 8 {
		return 0, nil, errCutShort
	}
	return binary.LittleEndian.Uint64(b), b[8:], nil
}
