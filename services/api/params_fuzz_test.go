package api

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzTimeParam: a time that is read is one that we can write, and a refusal
// quotes no more than a line of what was sent.
func FuzzTimeParam(f *testing.F) {
	for _, s := range []string{"2026-03-30", "2026-03-30T15:30:00Z", "2026-03-30T15:30:00.5 02:00", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59", "now"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var p, again timeParam
		if err := p.UnmarshalText([]byte(s)); err != nil {
			checkRefusal(t, err)
			return
		}
		if err := again.UnmarshalText([]byte(p.Format(time.RFC3339Nano))); err != nil || !again.Equal(p.Time) {
			t.Errorf("%q is %v, and again %v, %v", s, p, again, err)
		}
	})
}

// FuzzSpanParam: a length of time is never negative.
func FuzzSpanParam(f *testing.F) {
	for _, s := range []string{"30s", "1h30m", "7d", "-1d", "999999999999d", "1e3d", "2562047h", "d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var p spanParam
		if err := p.UnmarshalText([]byte(s)); err != nil {
			checkRefusal(t, err)
			return
		}
		if p.d < 0 || !p.set {
			t.Errorf("%q is %v", s, p)
		}
		if days, ok := strings.CutSuffix(s, "d"); ok && p.d%(24*time.Hour) != 0 {
			t.Errorf("%q days are %v", days, p.d)
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); len(text) > 600 || !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00") {
		t.Errorf("refusal %q", text)
	}
}

// FuzzHarmless: no cell of a table is a formula, and all of its text is there.
func FuzzHarmless(f *testing.F) {
	for _, s := range []string{"", "Deploy", "=1", "\t=1", "+1", "\n@x", "'=1", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		got := harmless(cell)
		if got != "" && strings.ContainsRune("=+-@\t\r\n", rune(got[0])) || strings.TrimPrefix(got, "'") != strings.TrimPrefix(cell, "'") {
			t.Errorf("%q is %q", cell, got)
		}
	})
}

// FuzzReturnTo: after signing in one lands on this site.
func FuzzReturnTo(f *testing.F) {
	for _, s := range []string{"", "/", "/changes?x=1#y", "//evil.example", "/\\evil.example", "/\t/evil.example", "https://evil.example", "javascript:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, to string) {
		got, err := returnTo(to)
		if err != nil {
			return
		}
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t") {
			t.Errorf("%q leads to %q", to, got)
		}
	})
}

// FuzzAcceptsGzip: only who names it or takes anything gets it.
func FuzzAcceptsGzip(f *testing.F) {
	for _, s := range []string{"gzip", "deflate, GZIP;q=0.5", "*", "gzip;q=0", "gzip;q=x;", ",,;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if acceptsGzip(header) && !strings.Contains(strings.ToLower(header), "gzip") && !strings.Contains(header, "*") {
			t.Errorf("%q", header)
		}
	})
}
