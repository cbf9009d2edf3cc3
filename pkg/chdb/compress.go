package chdb

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// decodeContent undoes a Content-Encoding.
func decodeContent(body io.Reader, encoding string) (io.Reader, error) {
	var r io.Reader
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(body)
	case "deflate":
		r, err = zlib.NewReader(body)
	case "br":
		r = brotli.NewReader(body)
	case "zstd":
		// The window is the only memory a sender can ask for.
		r, err = zstd.NewReader(body, zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderConcurrency(1))
	default:
		return nil, newException(codeNotImplemented, "NOT_IMPLEMENTED", fmt.Sprintf("Unknown HTTP content encoding %q", encoding))
	}
	if err != nil {
		return nil, newException(codeCannotDecompress, "CANNOT_DECOMPRESS", "Cannot decompress the request's body: "+err.Error())
	}
	return r, nil
}

// decompressBlocks reads ClickHouse's own compressed blocks (decompress=1).
func decompressBlocks(body io.Reader) io.Reader {
	from := &countingReader{r: body}
	return &blockReader{from: from, blocks: compress.NewReader(from)}
}

// blockReader tells the end of the data, which is between two blocks, from an
// end within one: compress.Reader calls both an error.
type blockReader struct {
	from   *countingReader
	blocks *compress.Reader
	taken  int64 // from, after the last whole block
}

func (b *blockReader) Read(p []byte) (int, error) {
	n, err := b.blocks.Read(p)
	if err == nil {
		b.taken = b.from.n
		return n, nil
	}
	if errors.Is(err, io.EOF) && b.from.n == b.taken {
		return n, io.EOF
	}
	return n, fmt.Errorf("decompress: %w", err)
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// acceptedEncoding picks the coding of an answer from Accept-Encoding.
func acceptedEncoding(header string) string {
	for _, want := range []string{"zstd", "br", "gzip", "deflate"} {
		for offer := range strings.SplitSeq(header, ",") {
			name, weight, _ := strings.Cut(strings.TrimSpace(offer), ";")
			if strings.EqualFold(strings.TrimSpace(name), want) && strings.ReplaceAll(weight, " ", "") != "q=0" {
				return want
			}
		}
	}
	return ""
}

// encodeContent writes in a Content-Encoding; closing ends the coding only.
func encodeContent(w io.Writer, encoding string) (io.WriteCloser, error) {
	switch encoding {
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "deflate":
		return zlib.NewWriterLevel(w, zlib.BestSpeed)
	case "br":
		return brotli.NewWriterLevel(w, brotli.BestSpeed), nil
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	default:
		return nopCloser{w}, nil
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// maxFrame is how much goes into one compressed block; ClickHouse uses as much.
const maxFrame = 1 << 20

// blockWriter writes ClickHouse's own compressed blocks (compress=1).
type blockWriter struct {
	w      io.Writer
	frames *compress.Writer
}

func newBlockWriter(w io.Writer, method string) (*blockWriter, error) {
	switch method {
	case "LZ4":
		return &blockWriter{w, compress.NewWriter(compress.LevelZero, compress.LZ4)}, nil
	case "ZSTD":
		return &blockWriter{w, compress.NewWriter(compress.LevelZero, compress.ZSTD)}, nil
	case "NONE":
		return &blockWriter{w, compress.NewWriter(compress.LevelZero, compress.None)}, nil
	default:
		return nil, newException(codeNotImplemented, "NOT_IMPLEMENTED", fmt.Sprintf("Unknown network_compression_method %q", method))
	}
}

func (b *blockWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxFrame)
		if err := b.frames.Compress(rest[:n]); err != nil {
			return 0, fmt.Errorf("compress a block: %w", err)
		}
		if _, err := b.w.Write(b.frames.Data); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// encoder turns the engine's output into the bytes of an answer's body.
type encoder struct {
	out    bytes.Buffer
	native *native // nil: pass on
	blocks *blockWriter
	coding io.WriteCloser
}

func newEncoder(q *request) (*encoder, error) {
	e := &encoder{}
	var err error
	if e.coding, err = encodeContent(&e.out, q.encoding); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	if q.compression != "" {
		if e.blocks, err = newBlockWriter(e.coding, q.compression); err != nil {
			return nil, err
		}
	}
	if q.revision > 0 && strings.EqualFold(q.format, "Native") {
		e.native = &native{revision: q.revision}
	}
	return e, nil
}

// write encodes a piece of output.
func (e *encoder) write(piece []byte) error {
	if e.native != nil {
		var err error
		if piece, err = e.native.encode(piece); err != nil {
			return newException(codeNotImplemented, "NOT_IMPLEMENTED", err.Error())
		}
	}
	return e.writeRaw(piece)
}

// writeRaw adds bytes that are not output of the engine.
func (e *encoder) writeRaw(piece []byte) error {
	w := io.Writer(e.coding)
	if e.blocks != nil {
		w = e.blocks
	}
	_, err := w.Write(piece)
	return err
}
