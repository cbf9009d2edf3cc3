package signin

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"whatchanged/pkg/auth"
)

// FuzzParseRoles: an entry gives a role that exists to somebody with a name, or
// is a fault.
func FuzzParseRoles(f *testing.F) {
	f.Add("sre="+auth.PowerUser, "a=b="+auth.Member)
	f.Add("="+auth.SiteAdmin, "x")
	f.Fuzz(func(t *testing.T, one, two string) {
		roles, err := parseRoles([]string{one, two})
		for who, role := range roles {
			if who == "" || !slices.Contains(auth.Roles(), role) {
				t.Errorf("%q is %q", who, role)
			}
		}
		if err == nil && len(roles) == 0 {
			t.Errorf("%q and %q say nothing, and are no fault", one, two)
		}
	})
}

// FuzzClean: what a provider calls a person is one line of text.
func FuzzClean(f *testing.F) {
	f.Add("Mona \u202e\nLisa\x00")
	f.Add("\xff" + strings.Repeat("ü", 400))
	f.Fuzz(func(t *testing.T, name string) {
		if got := clean(name); strings.ContainsAny(got, "\r\n\t\x00") || !utf8.ValidString(got) {
			t.Errorf("%q is %q", name, got)
		}
	})
}
