package all_test

import (
	"testing"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
)

func TestSet_HasTheOneThatTakesTheRest(t *testing.T) {
	set := all.Set()
	if set[normalizers.Generic] == nil {
		t.Fatal("no generic normalizer")
	}
	for provider, n := range set {
		if n.Provider() != provider || n.Version() < 1 {
			t.Errorf("%s is listed as %s, version %d", n.Provider(), provider, n.Version())
		}
	}
}
