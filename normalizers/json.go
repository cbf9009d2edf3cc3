package normalizers

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"whatchanged/pkg/change"
)

// maxDepth is how deep JSON may nest.
const maxDepth = 1000

const bom = "\xef\xbb\xbf"

// CheckJSON returns nil when b is one JSON value in valid UTF-8, nested no
// deeper than 1,000, and else an error wrapping change.ErrMalformed that names
// the byte where it goes wrong. A byte order mark in front is allowed.
//
// It builds nothing and allocates only for its error: it runs on every request
// before the answer.
func CheckJSON(b []byte) error {
	s := scanner{b: b}
	if len(b) >= len(bom) && string(b[:len(bom)]) == bom {
		s.i = len(bom)
	}
	if !s.document() {
		if s.what == "" {
			s.what = "not JSON"
		}
		if s.i >= len(b) {
			return fmt.Errorf("%w: the JSON ends too early, after %d bytes", change.ErrMalformed, len(b))
		}
		return fmt.Errorf("%w: %s at byte %d", change.ErrMalformed, s.what, s.i)
	}
	return nil
}

// scanner walks over JSON; on a false result i is where it went wrong.
type scanner struct {
	b    []byte
	i    int
	what string
}

// document reads one value and nothing after it. It loops instead of recursing
// and remembers for each level only whether it is an object.
func (s *scanner) document() bool {
	var objects [maxDepth/64 + 1]uint64
	depth := 0
	object := false // the innermost open level is an object

value:
	s.space()
	if s.i >= len(s.b) {
		return false
	}
	switch c := s.b[s.i]; c {
	case '{', '[':
		if depth == maxDepth {
			s.what = "JSON nested deeper than 1,000"
			return false
		}
		word, bit := depth>>6, uint64(1)<<(depth&63)
		object = c == '{'
		if object {
			objects[word] |= bit
		} else {
			objects[word] &^= bit
		}
		depth++
		s.i++
		s.space()
		if s.i < len(s.b) && s.b[s.i] == c+2 { // '}' is '{'+2, ']' is '['+2
			goto closing
		}
		if object {
			goto key
		}
		goto value
	case '"':
		if !s.str() {
			return false
		}
	case 't':
		if !s.literal("true") {
			return false
		}
	case 'f':
		if !s.literal("false") {
			return false
		}
	case 'n':
		if !s.literal("null") {
			return false
		}
	default:
		if !s.number() {
			return false
		}
	}

after:
	if depth == 0 {
		s.space()
		s.what = "more after the JSON's end"
		return s.i == len(s.b)
	}
	if s.i < len(s.b) && s.b[s.i] <= ' ' {
		s.space()
	}
	if s.i >= len(s.b) {
		return false
	}
	switch c := s.b[s.i]; {
	case c == ',':
		s.i++
		if object {
			goto key
		}
		goto value
	case c == '}' && object, c == ']' && !object:
		goto closing
	}
	return false

key:
	s.space()
	if s.i >= len(s.b) || s.b[s.i] != '"' || !s.str() {
		return false
	}
	s.space()
	if s.i >= len(s.b) || s.b[s.i] != ':' {
		return false
	}
	s.i++
	goto value

closing:
	s.i++
	depth--
	object = depth > 0 && objects[(depth-1)>>6]&(1<<((depth-1)&63)) != 0
	goto after
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\n', '\r', '\t':
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) literal(word string) bool {
	for j := range len(word) {
		if s.i >= len(s.b) || s.b[s.i] != word[j] {
			return false
		}
		s.i++
	}
	return true
}

// number reads a number by JSON's grammar: no leading zero, no bare dot.
func (s *scanner) number() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	switch {
	case s.i < len(s.b) && s.b[s.i] == '0':
		s.i++
	case !s.digits():
		return false
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return true
}

// digits reads at least one digit.
func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i]-'0' <= 9 {
		s.i++
	}
	return s.i > start
}

// str reads a string; s.i is at its opening quote.
func (s *scanner) str() bool {
	b := s.b
	i := s.i + 1
	for {
		// Eight bytes at a time while none is special: the sum of these tests
		// sets a byte's top bit where it is a quote, a backslash, a control
		// character, or not ASCII.
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			if ((w-ones*0x20)|(quote-ones)|(slash-ones)|w)&tops != 0 {
				break
			}
			i += 8
		}
		for i < len(b) {
			if c := b[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
				break
			}
			i++
		}
		if i >= len(b) {
			s.i = i
			return false
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return true
		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				s.i, s.what = i, "a wrong escape in a JSON string"
				return false
			}
			i += n
		case c < 0x20:
			s.i, s.what = i, "a control character in a JSON string"
			return false
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				s.i, s.what = i, "invalid UTF-8"
				return false
			}
			i += n
		}
	}
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// escape returns the length of the escape that b starts with, or 0.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}
