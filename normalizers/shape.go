package normalizers

import (
	"sync"

	"github.com/tidwall/gjson"
)

// shape is a form of JSON that tells who made it. The zero shape tells nothing.
type shape struct {
	provider string
	name     string
	items    string // the member with the records inside, where there are several
}

func (s shape) by() string {
	if s.name == "" {
		return "shape:unknown"
	}
	return "shape:" + s.name
}

// unknown is what nobody's rule fits.
var unknown = shape{}

// members are an object's, as they come, compared exactly: CloudTrail's Records
// and Azure's records are not the same.
type members struct {
	list []member
	are  names // those that are there once, of the ones that forms ask for
}

type member struct {
	name  string
	value gjson.Result
}

// names is a set of members' names, a bit for each that any form asks for.
type names [3]uint64

// bits has the bit of each of those names.
var bits = map[string]uint{}

// bit returns the place of a name in names, a new one if need be. It is called
// before anything is read.
func bit(name string) uint {
	n, ok := bits[name]
	if !ok {
		n = uint(len(bits))
		bits[name] = n
	}
	return n
}

func (n *names) add(bit uint)      { n[bit/64] |= 1 << (bit % 64) } // beyond it names needs another word
func (n *names) has(bit uint) bool { return n[bit/64]&(1<<(bit%64)) != 0 }

// in reports whether all of n are in m.
func (n names) in(m names) bool { return n[0]&^m[0]|n[1]&^m[1]|n[2]&^m[2] == 0 }

// maxMembers is how many members are looked at: nobody's shape has more.
const maxMembers = 1000

// lists are used again: what is read of them does not outlive a look.
var lists = sync.Pool{New: func() any { return new(make([]member, 0, 32)) }}

// shapeAmong returns the first of the forms that fits an object.
func shapeAmong(forms []readyForm, v gjson.Result) shape {
	list := lists.Get().(*[]member)
	m := membersIn((*list)[:0], v)
	found := m.shapeIn(forms)
	*list = m.list
	clear(*list) // the payload is not kept
	if cap(*list) <= 128 {
		lists.Put(list)
	}
	return found
}

// membersOf returns an object's members.
func membersOf(v gjson.Result) members { return membersIn(nil, v) }

// membersIn is membersOf with room for the list.
func membersIn(list []member, v gjson.Result) members {
	m := members{list: list}
	if !v.IsObject() {
		return m
	}
	var twice names
	v.ForEach(func(key, value gjson.Result) bool {
		m.list = append(m.list, member{key.Str, value})
		if n, ok := bits[key.Str]; ok {
			if m.are.has(n) {
				twice.add(n)
			}
			m.are.add(n)
		}
		return len(m.list) < maxMembers
	})
	for i := range m.are {
		m.are[i] &^= twice[i]
	}
	return m
}

// get returns a member, or nothing when it is there twice. Readers of JSON
// disagree on which of the two counts, so none may decide.
func (m members) get(name string) (found gjson.Result) {
	for i := range m.list {
		if m.list[i].name != name {
			continue
		}
		if found.Exists() {
			return gjson.Result{}
		}
		found = m.list[i].value
	}
	return found
}

// has reports whether all the names are there.
func (m members) has(names ...string) bool {
	for _, name := range names {
		if !m.get(name).Exists() {
			return false
		}
	}
	return true
}

// hasOne reports whether one of the names is there.
func (m members) hasOne(names ...string) bool {
	for _, name := range names {
		if m.get(name).Exists() {
			return true
		}
	}
	return false
}

func (m members) str(name string) string {
	if v := m.get(name); v.Type == gjson.String {
		return v.Str
	}
	return ""
}

// at returns what a path below a member leads to.
func (m members) at(name, path string) gjson.Result {
	if v := m.get(name); v.IsObject() {
		return v.Get(path)
	}
	return gjson.Result{}
}

func (m members) object(name string) bool { return m.get(name).IsObject() }
func (m members) array(name string) bool  { return m.get(name).IsArray() }

// shapeOf says what form v has.
func shapeOf(v gjson.Result) shape {
	switch {
	case v.IsObject():
		return shapeAmong(forms, v)
	case v.IsArray():
		return shapeOfArray(v)
	}
	return unknown
}

// shapeIn returns the first of the forms that fits.
func (m members) shapeIn(forms []readyForm) shape {
	for i := range forms {
		f := &forms[i]
		if !f.names.in(m.are) || f.when != nil && !f.when(m) {
			continue
		}
		found := f.shape
		if f.who != nil {
			found.provider = f.who(m)
		}
		return found
	}
	return unknown
}

// shapeOfArray goes by the first item that has a form; the others are looked
// at one by one when they become records.
func shapeOfArray(v gjson.Result) shape {
	kind := unknown
	v.ForEach(func(_, item gjson.Result) bool {
		kind = shapeOf(item)
		return kind == unknown
	})
	switch kind.name {
	case "":
		return unknown
	case "eventgrid-event":
		return shape{"azure", "eventgrid", "@this"}
	case "cloudevents":
		return shape{kind.provider, "cloudevents-batch", "@this"}
	case "logentry":
		return shape{"gcp", "logentries", "@this"}
	case "cloudtrail-record":
		return shape{"cloudtrail", "cloudtrail-array", "@this"}
	case "azure-record", "azure-activity":
		return shape{"azure", "azure-array", "@this"}
	}
	return shape{kind.provider, mixedList, "@this"}
}

// mixedList is the name of a list whose items speak each for itself.
const mixedList = "list"

func firstItem(array gjson.Result) (first gjson.Result) {
	if !array.IsArray() {
		return first
	}
	array.ForEach(func(_, item gjson.Result) bool {
		first = item
		return false
	})
	return first
}
