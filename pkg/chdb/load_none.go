//go:build nochdb || !(linux || darwin)

package chdb

// embedded says whether this binary can load the engine.
const embedded = false

func load(string) (*library, error) { return nil, errNotBuilt }
