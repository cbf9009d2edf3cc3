package generic

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
	"whatchanged/pkg/change"
)

// telling is a change in the making, for what a table of names cannot say.
type telling struct {
	*payload
	record   *normalizers.Record
	c        *change.Change
	meta     normalizers.Meta // what stands before the record's own members
	headline string
	key      string
}

// get returns what a path leads to.
func (t *telling) get(path string) gjson.Result { return t.scopes[0].get(path) }

// text returns the text of the first path that holds some.
func (t *telling) text(paths ...string) string {
	for _, path := range paths {
		if s := text(t.get(path)); s != "" {
			return s
		}
	}
	return ""
}

// say writes the summary: the words that are there, with blanks between them.
func (t *telling) say(words ...string) {
	t.c.Summary = join(words...)
}

// join puts the words that are there into one text.
func join(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// with returns a word before s, and nothing where s is empty.
func with(word, s string) string {
	if s == "" {
		return ""
	}
	return word + " " + s
}

// quoted returns s in quotes on one line, and nothing where s is empty.
func quoted(s string) string {
	if s = normalizers.Truncate(normalizers.FirstLine(s), 100); s == "" {
		return ""
	}
	return "'" + s + "'"
}

// hide keeps members of the record out of the metadata: what a field has, or
// what nobody will read.
func (t *telling) hide(names ...string) { t.used = append(t.used, names...) }

// lift puts the members of an object among the metadata's own.
func (t *telling) lift(name string) {
	v := t.get(name)
	if !v.IsObject() {
		return
	}
	t.hide(name)
	v.ForEach(func(key, member gjson.Result) bool {
		if !redact.Secret(key.Str) {
			t.meta.SetRaw(key.Str, redact.Raw(member))
		}
		return true
	})
}

// oldAndNew notes what a value was and is.
func (t *telling) oldAndNew(old, now gjson.Result) {
	t.meta.SetRaw("old", redact.Raw(old))
	t.meta.SetRaw("new", redact.Raw(now))
}

// metadata keeps all that has no field of its own.
func (t *telling) metadata() json.RawMessage {
	seen := 0
	t.json.ForEach(func(key, v gjson.Result) bool {
		if !slices.Contains(t.used, key.Str) && !redact.Secret(key.Str) {
			t.meta.SetRaw(key.Str, redact.Raw(v))
			seen++
		}
		return seen < 500
	})
	return t.meta.JSON()
}

// key joins what makes a record unique; empty where the provider has nothing,
// or this record lacks it: then the delivery makes it unique.
func (p *payload) key(paths string) string {
	var b []byte
	for _, path := range pathsOf(paths) {
		s := text(p.scopes[0].get(path))
		if s == "" {
			return ""
		}
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(append(append(b, ':'), s...), '|')
	}
	return string(b)
}
