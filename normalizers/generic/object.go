package generic

import (
	"reflect"
	"strings"

	"github.com/tidwall/gjson"
)

// object is a JSON object that was gone through once: thirty fields are looked
// for in it, most under several names. Of a member that is there twice the
// first counts.
type object struct {
	json    gjson.Result
	members []member
}

type member struct {
	name string
	raw  string
	in   *object // what raw holds, once somebody has asked
}

func (m *member) isObject() bool { return m.raw[0] == '{' }

// objectOf reads an object's members, no more than anybody has by intent.
func objectOf(v gjson.Result) *object {
	const most = 2000
	o := &object{json: v, members: make([]member, 0, 16)}
	v.ForEach(func(key, value gjson.Result) bool {
		o.members = append(o.members, member{name: key.Str, raw: value.Raw})
		return len(o.members) < most
	})
	return o
}

func (o *object) member(name string) *member {
	for i := range o.members {
		if o.members[i].name == name {
			return &o.members[i]
		}
	}
	return nil
}

// inner returns the object under a name, or nil.
func (o *object) inner(name string) *object {
	m := o.member(name)
	if m == nil || !m.isObject() {
		return nil
	}
	return m.object()
}

func (m *member) object() *object {
	if m.in == nil {
		m.in = objectOf(gjson.Parse(m.raw))
	}
	return m.in
}

// get returns what a path leads to: through objects, and the rest of the way
// as gjson has it.
func (o *object) get(path string) gjson.Result {
	if strings.ContainsAny(path, `\#`) {
		return o.json.Get(path)
	}
	for {
		head, rest, nested := strings.Cut(path, ".")
		m := o.member(head)
		switch {
		case m == nil:
			return gjson.Result{}
		case !nested:
			return gjson.Parse(m.raw)
		case !m.isObject():
			return gjson.Get(m.raw, rest)
		}
		o, path = m.object(), rest
	}
}

// usualText is what a field has under its usual names in an object.
type usualText struct {
	text  string
	name  *usualName
	whole bool // no part of an object
}

// usualTexts goes through the members once, and finds for every field the
// first of its usual names that holds something.
func (o *object) usualTexts() []usualText {
	found := make([]usualText, len(fieldBy))
	for i := range o.members {
		m := &o.members[i]
		names := usualBy[m.name]
		if len(names) == 0 {
			continue
		}
		value := gjson.Parse(m.raw)
		for k := range names {
			name := &names[k]
			f := &found[name.field]
			if f.text != "" && f.name.rank <= name.rank {
				continue
			}
			v := value
			if name.rest != "" {
				v = v.Get(name.rest)
			}
			if s := text(v); s != "" {
				*f = usualText{text: s, name: name, whole: !v.IsObject()}
			}
		}
	}
	return found
}

// usualName is a usual name of a field, and where it stands among the others.
type usualName struct {
	field, rank int
	path, rest  string
}

// fieldBy numbers the fields by their usual names, and usualBy finds them by
// the first part of each name.
var fieldBy, usualBy = func() (map[string]int, map[string][]usualName) {
	fields, names := make(map[string]int), make(map[string][]usualName)
	for _, paths := range stringsOf(usual) {
		if paths == "" {
			continue
		}
		field := len(fields)
		fields[paths] = field
		for rank, path := range strings.Fields(paths) {
			head, rest, _ := strings.Cut(path, ".")
			names[head] = append(names[head], usualName{field, rank, path, rest})
		}
	}
	return fields, names
}()

// splits holds the paths of every table, taken apart.
var splits = func() map[string][]string {
	m := make(map[string][]string)
	add := func(p profile) {
		for _, paths := range stringsOf(p) {
			m[paths] = strings.Fields(paths)
		}
	}
	add(usual)
	for _, table := range []map[string]*provider{providers, forms} {
		for _, p := range table {
			add(p.profile)
		}
	}
	return m
}()

func pathsOf(list string) []string { return splits[list] }

// stringsOf are the fields of a profile.
func stringsOf(p profile) []string {
	v := reflect.ValueOf(p)
	out := make([]string, v.NumField())
	for i := range out {
		out[i] = v.Field(i).String()
	}
	return out
}
