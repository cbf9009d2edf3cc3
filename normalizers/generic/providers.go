package generic

import (
	"maps"
	"strings"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// provider is somebody without a normalizer of their own.
type provider struct {
	profile
	fallback change.Type
	// kinds tell the type by how the action starts; the first match wins.
	kinds []kind
	// titled says that the headline says it all, and is the summary as it is.
	titled bool
	// tell says what a table cannot, or why there is nothing to record.
	tell func(*telling) (ignored string)
}

// unknown reports whether nothing is known of the provider.
func (p *provider) unknown() bool { return p.fallback == "" && p.kinds == nil && p.tell == nil }

// providerOf returns what is known of who speaks in a record: by its form
// where that has names of its own, else by the provider.
func providerOf(r *normalizers.Record) *provider {
	if form, ok := strings.CutPrefix(r.DetectedBy, "shape:"); ok {
		if p, ok := forms[form]; ok {
			return p
		}
	}
	if p, ok := providers[r.Provider]; ok {
		return p
	}
	return &provider{}
}

type kind struct {
	start string
	typ   change.Type
}

// providers are those we know well enough to name their fields. What a
// provider is not asked for here is looked for under the usual names.
var providers = joined(builders, clusters, alerters)

// joined puts tables into one; no provider is in two.
func joined(tables ...map[string]*provider) map[string]*provider {
	all := make(map[string]*provider)
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}
