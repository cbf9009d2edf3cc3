package fields

import (
	"strings"

	"github.com/tidwall/gjson"

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
		switch v := o.Get(path); v.Type {
		case gjson.Null:
		case gjson.String:
			meta.Set(key, v.Str)
		case gjson.True, gjson.False:
			meta.Set(key, v.Type == gjson.True)
		default:
			if isInteger(v.Raw) {
				meta.Set(key, v.Int())
				continue
			}
			meta.SetRaw(key, v.Raw)
		}
	}
}

// isInteger reports whether a number is short enough, and plain enough, to be
// an int64.
func isInteger(raw string) bool {
	if len(raw) == 0 || len(raw) > 18 {
		return false
	}
	for i := range len(raw) {
		if raw[i] < '0' || raw[i] > '9' {
			return false
		}
	}
	return true
}
