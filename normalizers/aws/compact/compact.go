// Package compact writes a JSON object member by member, from parts that have
// no white space between them already. A log file has thousands of records, so
// what a record keeps is copied once and not gone through again.
package compact

import (
	"encoding/json"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
)

// Object is an object being written. Its members' names are the caller's own
// words, each used once; members without a value are left out.
type Object struct{ buf []byte }

// New returns an empty object with room for size bytes.
func New(size int) *Object { return &Object{buf: make([]byte, 0, size)} }

// JSON returns the object, or nil when it has no members.
func (o *Object) JSON() json.RawMessage {
	if len(o.buf) == 0 {
		return nil
	}
	return append(o.buf, '}')
}

// Text adds a string, unless it is empty.
func (o *Object) Text(name, value string) {
	if value != "" {
		o.key(name)
		o.buf = normalizers.AppendString(o.buf, value)
	}
}

// Raw adds JSON without white space, unless there is none.
func (o *Object) Raw(name string, value []byte) {
	if len(value) > 0 {
		o.key(name)
		o.buf = append(o.buf, value...)
	}
}

// Safe adds a copy of v without what may be secret, unless nothing is left.
func (o *Object) Safe(name string, v gjson.Result) {
	if v.Exists() && v.Raw != `""` {
		o.Raw(name, redact.JSON(v))
	}
}

func (o *Object) key(name string) {
	o.buf = append(o.buf, "{,"[min(len(o.buf), 1)], '"')
	o.buf = append(append(o.buf, name...), '"', ':')
}
