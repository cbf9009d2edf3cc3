package phrase_test

import (
	"testing"

	"whatchanged/normalizers/aws/phrase"
)

func TestFill_LeavesOutWhatIsOptionalAndFailsOnWhatIsNot(t *testing.T) {
	values := map[string]string{"a": "A", "b.c": "C"}
	f := func(sentence, want string, wantOK bool) {
		t.Helper()
		got, ok := phrase.Fill(sentence, func(path string) string { return values[path] })
		if got != want || ok != wantOK {
			t.Errorf("Fill(%q) = %q, %v, want %q, %v", sentence, got, ok, want, wantOK)
		}
	}
	f("did {a} to {b.c}", "did A to C", true)
	f("did {x|a}[ to {x}][ in {b.c}]", "did A in C", true)
	f("did {x}", "", false)
	f("did nothing", "did nothing", true)
	f("", "", true)
	f("broken {a", "broken A", true)
	f("broken [{x}", "broken ", true)
}

func TestShow_NamesThePlaces(t *testing.T) {
	want := "attached *policy* to *roleName* in *name*"
	if got := phrase.Show("attached {policyArn|x} to {=role.roleName}[ in {name}]"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
