package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseWhen_ReadsTimesAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 3, 30, 12, 0, 0, 0, time.Local)
	f := func(text string, want time.Time) {
		t.Helper()
		got, err := parseWhen(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("parseWhen(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	f("", time.Time{})
	f("30m", now.Add(-30*time.Minute))
	f("2h", now.Add(-2*time.Hour))
	f("3d", now.Add(-72*time.Hour))
	f("1.5d", now.Add(-36*time.Hour))
	f("2026-03-29", time.Date(2026, 3, 29, 0, 0, 0, 0, time.Local))
	f("2026-03-29 08:30", time.Date(2026, 3, 29, 8, 30, 0, 0, time.Local))
	f("2026-03-29T08:30:00Z", time.Date(2026, 3, 29, 8, 30, 0, 0, time.UTC))
	if _, err := parseWhen("yesterday", now); err == nil || !strings.Contains(err.Error(), "say 30m") {
		t.Errorf("error = %v, want one that says what to write", err)
	}
}

// B10, B24: what a terminal would obey is shown as its code.
func TestPrintable_NothingReachesTheTerminalAsControl(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	f("Deploy v2 → prod", "Deploy v2 → prod")
	f("\x1b[2J\x1b[31mred", `\u001b[2J\u001b[31mred`)
	f("a\rb\nc\x00", `a\u000db\u000ac\u0000`)
	f("\u202eabc", `\u202eabc`)
}
