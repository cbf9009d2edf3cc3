package glob_test

import (
	"regexp"
	"strings"
	"testing"

	"whatchanged/pkg/glob"
)

func TestMatch(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		if got := glob.Match(pattern, name); got != want {
			t.Errorf("Match(%q, %q) = %v", pattern, name, got)
		}
	}
	f("", "", true)
	f("", "a", false)
	f("*", "", true)
	f("*", "anything/at all", true)
	f("main", "main", true)
	f("main", "maintenance", false)
	f("renovate/*", "renovate/lodash-4.x", true)
	f("renovate/*", "renovate/a/b", true)
	f("renovate/*", "renovate", false)
	f("a*a", "a", false) // the two ends do not overlap
	f("a*a", "aa", true)
	f("*-tmp", "x-tmp", true)
	f("*-tmp", "x-tmp-y", false)
	f("a*b*c", "a-b-b-c", true)
	f("a*b*c", "a-c-b", false)
	f("a**c", "ac", true)
	f("*b*", "abc", true)
}

func TestMatch_AllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { glob.Match("acme/*-api-*", "acme/checkout-api-eu") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b*", "axb")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 50 || strings.Count(pattern, "*") > 5 {
			return
		}
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		re, err := regexp.Compile(`(?s)\A` + strings.Join(parts, ".*") + `\z`)
		if err != nil {
			return // not valid UTF-8
		}
		if got, want := glob.Match(pattern, name), re.MatchString(name); got != want {
			t.Errorf("Match(%q, %q) = %v, a regular expression says %v", pattern, name, got, want)
		}
	})
}
