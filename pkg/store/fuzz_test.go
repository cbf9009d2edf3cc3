package store

import (
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"whatchanged/pkg/problem"
)

// FuzzDecodeCursor: a cursor is what we wrote for this very query, or the
// caller is told that it is not.
func FuzzDecodeCursor(f *testing.F) {
	query := fingerprint("changes", "a filter")
	f.Add(cursor{at: time.UnixMilli(1), id: [16]byte{1}, asOf: time.UnixMilli(2)}.encode(query))
	f.Add(cursor{at: time.UnixMilli(-1)}.encode(fingerprint("changes", "another")))
	f.Add("AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := decodeCursor(text, query)
		if err != nil {
			if p, ok := errors.AsType[*problem.Error](err); !ok || p.Field != "cursor" {
				t.Errorf("%q: %v does not name the cursor", text, err)
			}
			return
		}
		if again := c.encode(query); again != text {
			t.Errorf("%q is read as %+v, which is %q", text, c, again)
		}
	})
}

// FuzzCheckWords: a search has words, and not too many, or is refused by name.
func FuzzCheckWords(f *testing.F) {
	f.Add("deploy checkout-api")
	f.Add("ü\x00\xff .,")
	f.Add("--")
	f.Fuzz(func(t *testing.T, q string) {
		err := checkWords(q)
		if err == nil && (q == "" || utf8.RuneCountInString(q) > maxQuery) {
			t.Errorf("%q is taken", q)
		}
		if p, ok := errors.AsType[*problem.Error](err); err != nil && (!ok || p.Field != "q") {
			t.Errorf("%q: %v does not name q", q, err)
		}
	})
}
