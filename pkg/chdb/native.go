package chdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// customSerialization is the revision since which every column of a block says
// whether its serialization is a special one.
const customSerialization = 54454

// native writes blocks again for a client that asked for a revision: the
// engine always writes Native in its revision 0.
type native struct {
	revision uint64
	buffer   chproto.Buffer
}

// encode turns blocks of revision 0 into blocks of the client's revision. The
// result is valid until the next call.
func (n *native) encode(blocks []byte) ([]byte, error) {
	n.buffer.Reset()
	in := bytes.NewReader(blocks)
	reader := chproto.NewReader(in)
	for {
		block := proto.Block{ServerContext: &column.ServerContext{}}
		err := block.Decode(reader, 0)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && len(block.Columns) == 0 {
			return n.buffer.Buf, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read a block of the engine's result: %w", err)
		}
		if err := n.encodeBlock(&block); err != nil {
			return nil, fmt.Errorf("write a block of the engine's result: %w", err)
		}
	}
}

func (n *native) encodeBlock(block *proto.Block) error {
	if block.Rows() > 0 {
		return block.Encode(&n.buffer, n.revision)
	}
	// An empty block has nothing after its columns' names and types, not even
	// the prefixes that Encode would write.
	if err := block.EncodeHeader(&n.buffer, n.revision); err != nil {
		return err
	}
	for _, c := range block.Columns {
		n.buffer.PutString(c.Name())
		n.buffer.PutString(string(c.Type()))
		if n.revision >= customSerialization {
			n.buffer.PutBool(false)
		}
	}
	return nil
}
