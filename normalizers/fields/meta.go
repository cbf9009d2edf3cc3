package fields

import (
	"strings"

	"whatchanged/normalizers"
)

// Copy copies members to the metadata, each given as "key=path", or as the
// path alone where both are the same.
func (o *Object) Copy(meta *normalizers.Meta, members ...string) {
	for _, m := range members {
		key, path, ok := strings.Cut(m, "=")
		if !ok {
			path = key
		}
		switch raw := o.raw(path); {
		case raw == "" || raw[0] == 'n':
		case raw[0] == '"':
			meta.Set(key, o.Text(path))
		default:
			meta.SetRaw(key, raw)
		}
	}
}
