// Package fields looks up many members of one JSON object by their paths. A
// normalizer asks for some thirty members of a payload, and gjson goes through
// the payload anew for each; here every object on the way is gone through once.
package fields

import (
	"strings"

	"github.com/tidwall/gjson"
)

// Object is a JSON object whose members are found by name; nil has none. It is
// not for several goroutines at once.
type Object struct {
	members []member
}

type member struct {
	name  string
	raw   string
	inner *Object // what raw holds, once somebody has asked for something in it
}

// Of returns the members of an object, and none of anything else. Where a name
// stands twice, the first counts.
func Of(v gjson.Result) *Object {
	o := &Object{}
	if !v.IsObject() {
		return o
	}
	o.members = make([]member, 0, min(max(len(v.Raw)/20, 4), 24))
	v.ForEach(func(key, value gjson.Result) bool {
		o.members = append(o.members, member{name: key.Str, raw: value.Raw})
		return true
	})
	return o
}

// Get returns what a path of names with dots between them leads to: through
// objects only, and a name has no dot in it.
func (o *Object) Get(path string) gjson.Result { return gjson.Parse(o.raw(path)) }

// raw returns what a path leads to as it stands, or "".
func (o *Object) raw(path string) string {
	for {
		name, rest, nested := strings.Cut(path, ".")
		m := o.member(name)
		switch {
		case m == nil:
			return ""
		case !nested:
			return m.raw
		}
		o, path = m.object(), rest
	}
}

// Text returns the text of a string, number or boolean, and "" for all else.
func (o *Object) Text(path string) string {
	raw := o.raw(path)
	if raw == "" || raw[0] == '{' || raw[0] == '[' {
		return ""
	}
	if raw[0] == '"' && strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1] // most are; no need to parse
	}
	return gjson.Parse(raw).String()
}

// Bool reports whether a path leads to true.
func (o *Object) Bool(path string) bool { return o.Get(path).Type == gjson.True }

// Object returns the object that a path leads to, nil when there is nothing,
// and one without members when that is no object.
func (o *Object) Object(path string) *Object {
	name, rest, nested := strings.Cut(path, ".")
	m := o.member(name)
	switch {
	case m == nil:
		return nil
	case nested:
		return m.object().Object(rest)
	}
	return m.object()
}

// First returns the first text that is not empty.
func (o *Object) First(paths ...string) string {
	for _, path := range paths {
		if text := o.Text(path); text != "" {
			return text
		}
	}
	return ""
}

func (o *Object) member(name string) *member {
	if o == nil {
		return nil
	}
	for i := range o.members {
		if o.members[i].name == name {
			return &o.members[i]
		}
	}
	return nil
}

func (m *member) object() *Object {
	if m.inner == nil {
		m.inner = Of(gjson.Parse(m.raw))
	}
	return m.inner
}
