package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"time"

	"whatchanged/pkg/problem"
)

// cursor is a place in a list: after the row with this key, among the rows
// that were there at asOf. It holds no org and grants nothing: the query that
// it comes with says whose rows are read.
type cursor struct {
	at   time.Time
	id   [16]byte
	asOf time.Time
}

const (
	cursorVersion = 1
	cursorSize    = 1 + 8 + 16 + 8
	sumSize       = 8
)

// fingerprint is what a cursor is bound to: the list's name and its filter.
// With another filter the place would mean something else.
func fingerprint(list string, query any) []byte {
	text, _ := json.Marshal(query) // a struct of strings, times and numbers
	sum := sha256.Sum256(append([]byte(list+"\x00"), text...))
	return sum[:]
}

// encode writes the cursor so that a typing error, or use with another query,
// is noticed.
func (c cursor) encode(query []byte) string {
	b := make([]byte, 0, cursorSize+sumSize)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.at.UnixMilli()))
	b = append(b, c.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.asOf.UnixMilli()))
	b = append(b, checksum(b, query)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeCursor(text string, query []byte) (cursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorSize+sumSize || b[0] != cursorVersion {
		return cursor{}, problem.Invalid("cursor", "is not a cursor of this list: take next_cursor as it is, or leave it out to begin anew")
	}
	body, sum := b[:cursorSize], b[cursorSize:]
	if !bytes.Equal(sum, checksum(body, query)) {
		return cursor{}, problem.Invalid("cursor", "belongs to another query: repeat the filters it came with, or leave it out to begin anew")
	}
	return cursor{
		at:   time.UnixMilli(int64(binary.BigEndian.Uint64(body[1:]))).UTC(),
		id:   [16]byte(body[9:]),
		asOf: time.UnixMilli(int64(binary.BigEndian.Uint64(body[25:]))).UTC(),
	}, nil
}

func checksum(body, query []byte) []byte {
	h := sha256.New()
	h.Write(query)
	h.Write(body)
	return h.Sum(nil)[:sumSize]
}
