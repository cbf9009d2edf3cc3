package normalizers

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// OneLine returns s as valid UTF-8 on one line: every run of white space and
// control characters becomes a single space, and none is left at the ends.
func OneLine(s string) string {
	if isOneLine(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s { // an invalid byte comes as U+FFFD
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isOneLine reports whether OneLine would change nothing; for ASCII only, which
// is nearly everything.
func isOneLine(s string) bool {
	last := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f || (c == ' ' && last == ' ') {
			return false
		}
		last = c
	}
	return s == "" || last != ' '
}

// Truncate returns at most limit characters of s; what was cut ends in "…".
func Truncate(s string, limit int) string {
	if len(s) <= limit || utf8.RuneCountInString(s) <= limit {
		return s
	}
	if limit <= 0 {
		return ""
	}
	n := 0
	for i := range s {
		if n == limit-1 {
			return strings.TrimRight(s[:i], " ") + "…"
		}
		n++
	}
	return s
}

// FirstLine returns the first line of s that is not blank, trimmed: the title
// of a commit message.
func FirstLine(s string) string {
	s = strings.TrimLeft(s, " \t\r\n")
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		s = s[:i]
	}
	return strings.TrimRight(s, " \t")
}

// ShortSHA returns the first seven characters of a commit's hash, as people
// write it, and anything else unchanged.
func ShortSHA(s string) string {
	if len(s) < 40 {
		return s
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return s
		}
	}
	return s[:7]
}
