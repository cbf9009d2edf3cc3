// Package glob matches names against the patterns that people write in the
// settings of sources and services.
package glob

import "strings"

// Match reports whether name matches pattern, in which each * stands for any
// characters, none and slashes included. It takes time in proportion to both,
// whatever they are, and allocates nothing, so that nothing need be prepared.
func Match(pattern, name string) bool {
	head, pattern, star := strings.Cut(pattern, "*")
	if !star {
		return name == head
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	for {
		part, rest, more := strings.Cut(pattern, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, pattern = name[i+len(part):], rest
	}
}
