package github

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
)

// maxEdits is how many old and new values a summary names.
const maxEdits = 3

// maxEditText is how long a value may be to be named in a summary.
const maxEditText = 60

// edit is one value that changed.
type edit struct{ name, from, to string }

// changes keeps the old values that GitHub gives when something is edited,
// each with the new one beside it: {"name": {"from": "store", "to": "shop"}}.
// The new ones are the subject's, a member of the payload. It returns those
// that fit into a sentence.
func (b *builder) changes(subject string) []edit {
	old := b.get("changes")
	if !old.IsObject() {
		return nil
	}
	e := editor{body: b.body}
	b.meta.SetRaw("changes", string(e.object(nil, old, b.get(gjson.Escape(subject)), "", 0)))
	return e.edits
}

// editor completes the old values with the new ones.
type editor struct {
	body  []byte
	edits []edit
}

// object appends the old values of an object, with what its subject has now.
func (e *editor) object(out []byte, old, now gjson.Result, name string, depth int) []byte {
	if depth > 8 {
		return append(out, old.Raw...)
	}
	from, to := old.Get("from"), old.Get("to")
	isEdit, complete := from.Exists() || to.Exists(), to.Exists()
	if !complete {
		to = now
	}
	if isEdit && isScalar(from) && isScalar(to) {
		e.edits = append(e.edits, edit{name, from.String(), to.String()})
	}
	out = append(out, '{')
	old.ForEach(func(key, v gjson.Result) bool {
		if len(out) > 0 && out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		out = normalizers.AppendString(out, key.Str)
		out = append(out, ':')
		if !v.IsObject() || isEdit {
			out = append(out, withoutLinks(v)...)
			return true
		}
		inner := now.Get(gjson.Escape(key.Str))
		if !inner.Exists() && depth == 0 {
			inner = gjson.GetBytes(e.body, gjson.Escape(key.Str)) // such as a team's repository
		}
		out = e.object(out, v, inner, key.Str, depth+1)
		return true
	})
	if isEdit && !complete && to.Exists() {
		out = append(out, `,"to":`...)
		out = append(out, withoutLinks(to)...)
	}
	return append(out, '}')
}

// withoutLinks returns a value less the links in it.
func withoutLinks(v gjson.Result) []byte {
	if isScalar(v) {
		return []byte(v.Raw)
	}
	return prune([]byte(v.Raw))
}

func isScalar(v gjson.Result) bool { return !v.IsObject() && !v.IsArray() }

// sentence writes edits behind a summary: ": admin enforced from true to
// false". Long texts are only named.
func sentence(edits []edit) string {
	var parts []string
	more := 0
	for _, e := range edits {
		if e.from == e.to && e.from != "" {
			continue // listed, and yet the same
		}
		if len(parts) == maxEdits {
			more++
			continue
		}
		from, to := short(e.from), short(e.to)
		part := words(strings.TrimSuffix(e.name, "_enforcement_level"))
		switch {
		case from != "" && to != "":
			part += " from " + from + " to " + to
		case to != "":
			part += " to " + to
		case from != "":
			part += " was " + from
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ""
	}
	if more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return ": " + strings.Join(parts, ", ")
}

// short returns a value that fits into a sentence, or "".
func short(value string) string {
	if len(value) > maxEditText {
		return ""
	}
	return normalizers.OneLine(value)
}

// find returns the edit of a name.
func find(edits []edit, name string) (edit, bool) {
	for _, e := range edits {
		if e.name == name {
			return e, true
		}
	}
	return edit{}, false
}
