package problem_test

import (
	"errors"
	"strings"
	"testing"

	"whatchanged/pkg/problem"
)

func breaks(payload string) { panic("cannot make sense of " + payload) }

func recovered(f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = problem.Panicked(v)
		}
	}()
	f()
	return nil
}

func TestPanicked_SaysWhereAndNotWhat(t *testing.T) {
	f := func(broken func(), kind, place string) {
		t.Helper()
		err := recovered(broken)
		if err == nil || strings.Contains(err.Error(), "MARKER") || !strings.HasPrefix(err.Error(), "panic of type "+kind+" in whatchanged/pkg/problem_test."+place) {
			t.Errorf("want type %s and place %s: %v", kind, place, err)
		}
	}
	var none map[string]int
	f(func() { breaks("MARKER") }, "string", "breaks, ")
	f(func() { panic(errors.New("MARKER")) }, "*errors.errorString", "TestPanicked")
	f(func() { none["MARKER"] = 1 }, "runtime.plainError", "TestPanicked")
}
