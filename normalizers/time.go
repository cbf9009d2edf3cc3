package normalizers

import (
	"strconv"
	"strings"
	"time"
)

// timeLayouts are the forms of time that providers write, besides digits.
// Parsing accepts a fraction of a second in all of them.
var timeLayouts = [...]string{
	time.RFC3339,
	"2006-01-02 15:04:05 UTC",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02T15:04:05-0700",
	"2006-01-02T15:04:05", // no zone means UTC
	"2006-01-02 15:04:05",
	"2006-01-02",
}

// ParseTime reads a provider's time: RFC 3339 and its relatives, or the digits
// of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart
// by their size.
func ParseTime(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, false
	}
	if len(s) < len("2006-01-02") || s[4] != '-' { // a date is no number
		if n, ok := parseEpoch(s); ok {
			return n, true
		}
	}
	for _, layout := range timeLayouts {
		if day := len("2006-01-02"); len(layout) > day && (len(s) <= day || s[day] != layout[day]) {
			continue // what stands after the day tells them apart, without an error that nobody reads
		}
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func parseEpoch(s string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	var nanos int64
	if fraction != "" {
		digits := (fraction + "000000000")[:9]
		if nanos, err = strconv.ParseInt(digits, 10, 64); err != nil || nanos < 0 {
			return time.Time{}, false
		}
	}
	switch {
	case n < 1e11 && n > -1e11: // seconds, until the year 5138
		return time.Unix(n, nanos).UTC(), true
	case n < 1e14 && n > -1e14:
		return time.UnixMilli(n).UTC(), true
	case n < 1e17 && n > -1e17:
		return time.UnixMicro(n).UTC(), true
	default:
		return time.Unix(0, n).UTC(), true
	}
}
