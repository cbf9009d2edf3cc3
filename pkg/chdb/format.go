package chdb

import (
	"bytes"
	"strings"
)

// head is what stands before the rows of a format: lines of names and types.
type head struct {
	lines  int
	quoted bool // a line's end may stand in quotes
}

// streamable are the formats whose rows can be put one after the other, in
// small letters, with the head that must not be repeated: the engine writes
// every piece of a streamed result as if it were the whole. JSON, Parquet and
// others with a foot are not here, and their answers are held whole.
var streamable = map[string]head{
	"native": {}, "null": {}, "rowbinary": {}, "msgpack": {}, "rawblob": {}, "lineasstring": {}, "tskv": {},
	"tabseparated": {}, "tsv": {}, "tabseparatedraw": {}, "tsvraw": {}, "raw": {}, "csv": {},
	"jsoneachrow": {}, "jsonlines": {}, "ndjson": {}, "jsonstringseachrow": {},
	"jsoncompacteachrow": {}, "jsoncompactstringseachrow": {},

	"tabseparatedwithnames": {lines: 1}, "tsvwithnames": {lines: 1}, "tabseparatedrawwithnames": {lines: 1},
	"tsvrawwithnames": {lines: 1}, "jsoncompacteachrowwithnames": {lines: 1},
	"tabseparatedwithnamesandtypes": {lines: 2}, "tsvwithnamesandtypes": {lines: 2},
	"jsoncompacteachrowwithnamesandtypes": {lines: 2},
	"csvwithnames":                        {lines: 1, quoted: true}, "csvwithnamesandtypes": {lines: 2, quoted: true},
}

// cut takes the head off a piece.
func (h head) cut(piece []byte) []byte {
	for range h.lines {
		piece = piece[h.line(piece):]
	}
	return piece
}

// line is the length of the first line.
func (h head) line(piece []byte) int {
	if !h.quoted {
		return bytes.IndexByte(piece, '\n') + 1
	}
	inQuotes := false
	for i, b := range piece {
		switch {
		case b == '"':
			inQuotes = !inQuotes
		case b == '\n' && !inQuotes:
			return i + 1
		}
	}
	return len(piece)
}

// contentType is the media type of a format.
func contentType(format string) string {
	switch f := strings.ToLower(format); {
	case strings.HasPrefix(f, "json") && strings.Contains(f, "eachrow"), f == "jsonlines", f == "ndjson":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(f, "json"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(f, "csv"):
		return "text/csv; charset=UTF-8"
	case strings.HasPrefix(f, "tabseparated"), strings.HasPrefix(f, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case strings.HasPrefix(f, "pretty"), f == "vertical", f == "markdown", f == "values":
		return "text/plain; charset=UTF-8"
	default:
		return "application/octet-stream"
	}
}
