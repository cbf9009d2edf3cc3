package normalizers

import "github.com/tidwall/gjson"

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

// members are an object's, compared exactly: CloudTrail's Records and Azure's
// records are not the same.
type members map[string]gjson.Result

// maxMembers is how many members are looked at: nobody's shape has more.
const maxMembers = 1000

// membersOf returns an object's members less those that are there twice.
// Readers of JSON disagree on which of the two counts, so none may decide.
func membersOf(v gjson.Result) members {
	m := make(members, 16)
	if !v.IsObject() {
		return m
	}
	var twice []string
	v.ForEach(func(key, value gjson.Result) bool {
		if _, again := m[key.Str]; again {
			twice = append(twice, key.Str)
		}
		m[key.Str] = value
		return len(m) < maxMembers
	})
	for _, name := range twice {
		delete(m, name)
	}
	return m
}

// has reports whether all the names are there.
func (m members) has(names ...string) bool {
	for _, name := range names {
		if !m[name].Exists() {
			return false
		}
	}
	return true
}

// hasOne reports whether one of the names is there.
func (m members) hasOne(names ...string) bool {
	for _, name := range names {
		if m[name].Exists() {
			return true
		}
	}
	return false
}

func (m members) str(name string) string {
	if v := m[name]; v.Type == gjson.String {
		return v.Str
	}
	return ""
}

// at returns what a path below a member leads to.
func (m members) at(name, path string) gjson.Result {
	if v := m[name]; v.IsObject() {
		return v.Get(path)
	}
	return gjson.Result{}
}

func (m members) object(name string) bool { return m[name].IsObject() }
func (m members) array(name string) bool  { return m[name].IsArray() }

// shapeOf says what form v has.
func shapeOf(v gjson.Result) shape {
	switch {
	case v.IsObject():
		return membersOf(v).shapeIn(forms)
	case v.IsArray():
		return shapeOfArray(v)
	}
	return unknown
}

// shapeIn returns the first of the forms that fits.
func (m members) shapeIn(forms []form) shape {
	for i := range forms {
		f := &forms[i]
		if !m.has(f.asks...) || f.when != nil && !f.when(m) {
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
