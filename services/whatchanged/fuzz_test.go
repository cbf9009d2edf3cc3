package main

import (
	"strings"
	"testing"
	"time"
)

// FuzzParseWhen: what is said to be ago is before now, what is to come is after
// it, and a length of time is neither negative nor another than was written.
func FuzzParseWhen(f *testing.F) {
	for _, s := range []string{"", "30m", "2h", "3d", "1.5d", "106751d", "200000d", "9999999d", "2026-03-30", "2026-03-30 15:30", "2026-03-30T15:30:00Z", "-1h", "1d2h"} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 30, 15, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if at, err := parseWhen(s, now); err == nil && s != "" && !strings.ContainsAny(s, "-+") && at.After(now) {
			t.Errorf("%q ago is %v", s, at)
		}
		if span, err := parseSpan(s); err == nil {
			if span < 0 || span > 366*24*time.Hour {
				t.Errorf("%q is %v", s, span)
			}
			if days, ok := strings.CutSuffix(s, "d"); ok && len(strings.Trim(days, "0123456789")) == 0 && span%(24*time.Hour) != 0 {
				t.Errorf("%q is %v", s, span)
			}
		}
		if at, err := parseEnd(s); err == nil && s != "" && !strings.ContainsAny(s, "-+") && at.Before(now) {
			t.Errorf("in %q is %v", s, at)
		}
	})
}

// FuzzParseHeaders: a header has a name and a value that can be sent, or is a
// fault of use.
func FuzzParseHeaders(f *testing.F) {
	f.Add("X-GitHub-Event: push")
	f.Add(": x")
	f.Add("a b: c\nd: e")
	f.Fuzz(func(t *testing.T, line string) {
		header, err := parseHeaders([]string{line})
		if err == nil && len(header) != 1 {
			t.Errorf("%q is %v", line, header)
		}
	})
}
