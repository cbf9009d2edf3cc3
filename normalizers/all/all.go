// Package all lists every normalizer there is, by hand.
package all

import (
	"whatchanged/normalizers"
	"whatchanged/normalizers/github"
)

// Set returns the normalizers by provider.
func Set() normalizers.Set {
	set := make(normalizers.Set)
	for _, n := range []normalizers.Normalizer{
		github.New(),
	} {
		set[n.Provider()] = n
	}
	return set
}
