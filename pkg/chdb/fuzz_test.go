package chdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzNative: blocks are written again whole, or the engine's answer is said to
// be unreadable; a client never gets half of one for the whole.
func FuzzNative(f *testing.F) {
	block := func(name, kind string, rows byte, values ...byte) []byte {
		b := append([]byte{1, rows, byte(len(name))}, name...)
		b = append(append(b, byte(len(kind))), kind...)
		return append(b, values...)
	}
	f.Add(block("n", "UInt8", 2, 1, 2))
	f.Add(append(block("s", "String", 1, 1, 'x'), block("a", "Array(UInt8)", 1, 1, 0, 0, 0, 0, 0, 0, 0, 9)...))
	f.Add(block("l", "LowCardinality(String)", 1))
	f.Add(binary.AppendUvarint([]byte{1}, 1<<40))
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, blocks []byte) {
		for _, kind := range []string{"JSON", "Dynamic", "Variant", "Geo", "Point", "Ring", "Polygon"} {
			if bytes.Contains(blocks, []byte(kind)) {
				return // clickhouse-go reads these, from the engine and nobody else
			}
		}
		n := native{revision: customSerialization}
		out, err := n.encode(blocks)
		if err != nil {
			return
		}
		if len(out) < len(blocks) {
			t.Errorf("%d bytes of %d", len(out), len(blocks))
		}
	})
}

// FuzzParseRequest: a request is understood, or refused with an exception that
// has a code; settings are names, so that no statement can hide in one.
func FuzzParseRequest(f *testing.F) {
	f.Add("query=SELECT+1&max_threads=1", "", "", []byte("x"))
	f.Add("param_a=1&query_id=q&compress=1&database=d", "gzip", "text/plain", []byte("INSERT INTO t FORMAT Native\n\x00"))
	f.Add("t_structure=a+UInt8&t_format=CSV&decompress=1", "", "multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n1\r\n--x--\r\n"))
	f.Add("a%3D1%3B=1&client_protocol_version=-1&session_id=s", "br", "", []byte{})
	f.Fuzz(func(t *testing.T, query, encoding, contentType string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "http://embedded/", bytes.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Encoding", encoding)
		r.Header.Set("Content-Type", contentType)
		q, err := parseRequest(r)
		if err != nil {
			if e, ok := errors.AsType[*Exception](err); !ok || e.Code == 0 || e.status() < 400 {
				t.Errorf("%v is no exception", err)
			}
			return
		}
		if q.sql == "" || q.format == "" || len(q.sql) > maxStatement {
			t.Errorf("%+v", q)
		}
		for name := range q.settings {
			if !isSettingName(name) {
				t.Errorf("setting %q", name)
			}
		}
		if q.data != nil {
			io.Copy(io.Discard, io.LimitReader(q.data, 1<<20)) // data may be packed wrongly, and is streamed
		}
	})
}

// FuzzParseException: an exception keeps the engine's text, and has its code.
func FuzzParseException(f *testing.F) {
	f.Add("Code: 60. DB::Exception: Unknown table")
	f.Add("Code: 99999999999999999999. x")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		e := parseException(text)
		if e.Message != text || e.Code < 0 || e.status() < 400 || e.Code > 0 && !strings.HasPrefix(text, "Code: ") {
			t.Errorf("%q: %+v", text, e)
		}
	})
}

// FuzzBlocks: ClickHouse's compressed blocks are read as they were written, and
// what is no such block is an error.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte("some text"), byte('x'), 20)
	f.Add([]byte{}, byte(0), 0)
	f.Fuzz(func(t *testing.T, text []byte, flip byte, at int) {
		for _, method := range []string{"LZ4", "ZSTD", "NONE"} {
			var b bytes.Buffer
			w, err := newBlockWriter(&b, method)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(text); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(decompressBlocks(bytes.NewReader(b.Bytes()))); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes, %v, want %d", method, len(got), err, len(text))
			}
			if at < 0 || at >= b.Len() || flip == 0 {
				continue
			}
			b.Bytes()[at] ^= flip
			if got, err := io.ReadAll(decompressBlocks(&b)); err == nil {
				t.Errorf("%s: byte %d is wrong, and %d bytes come", method, at, len(got))
			}
		}
	})
}

// FuzzHead: cutting a head leaves the end of what there was.
func FuzzHead(f *testing.F) {
	f.Add("csvwithnames", []byte("\"a\n\"\"b\"\n\"x\n\"\n"))
	f.Add("tsvwithnamesandtypes", []byte("a\nString"))
	f.Fuzz(func(t *testing.T, format string, piece []byte) {
		if rest := streamable[format].cut(piece); !bytes.HasSuffix(piece, rest) {
			t.Errorf("%s: %q of %q", format, rest, piece)
		}
	})
}
