package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The most that a description tells of one value, and in all.
const (
	maxValue       = 300 // characters
	maxDescription = 8000
)

// describe says what was done, in the form
// "Updated pipeline object 'b' for pipeline 'p': name changed from 'a' to 'b'".
func (k Kind) describe(op Operation, c Change, told []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", op.Verb, k.Words, quote(c.Object.Name))
	if op.Suffix != "" {
		b.WriteString(" " + op.Suffix)
	}
	if len(c.Parents) > 0 {
		parent := c.Parents[0]
		words := parent.Kind
		if of, ok := Of(parent.Kind); ok {
			words = of.Words
		}
		fmt.Fprintf(&b, " for %s %s", words, quote(parent.Name))
	}
	if c.Detail != "" {
		told = append(told, line(c.Detail))
	}
	if len(told) > 0 {
		b.WriteString(": " + strings.Join(told, ", "))
	}
	return clip(b.String(), maxDescription)
}

// diff tells what differs between an object before and after, in the order the
// fields are registered.
func (k Kind) diff(action Action, before, after map[string]json.RawMessage) []string {
	if action == Delete || action == Info {
		return nil
	}
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, k.compare)
	var told []string
	for _, name := range names {
		f := k.Field(name)
		if f.Show == Ignored || same(before[name], after[name]) || action == Create && name == "name" {
			continue
		}
		was, is := value(before[name], after[name]), value(after[name], before[name])
		switch {
		case f.Show == Omitted && action == Create:
			told = append(told, f.Label+" set")
		case f.Show == Omitted:
			told = append(told, f.Label+" changed")
		case action == Create:
			told = append(told, fmt.Sprintf("%s set to %s", f.Label, is))
		default:
			told = append(told, fmt.Sprintf("%s changed from %s to %s", f.Label, was, is))
		}
	}
	return told
}

// compare orders fields: the name first, then as registered, then by the alphabet.
func (k Kind) compare(a, b string) int {
	place := func(name string) int {
		if name == "name" {
			return -1
		}
		if i := slices.IndexFunc(k.Fields, func(f Field) bool { return f.Name == name }); i >= 0 {
			return i
		}
		return len(k.Fields)
	}
	if d := place(a) - place(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// same reports whether a field has the same value twice. What is absent and what
// is empty is the same.
func same(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || reflect.DeepEqual(decode(a), decode(b))
}

// decode returns a field's value, nil for one that is absent or empty.
func decode(raw json.RawMessage) any {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if len(raw) == 0 || d.Decode(&v) != nil {
		return nil
	}
	switch value := v.(type) {
	case string:
		if value == "" {
			return nil
		}
	case bool:
		if !value {
			return nil
		}
	case []any:
		if len(value) == 0 {
			return nil
		}
	}
	return v
}

// value is a field's value as a description has it: 'text', ['a', 'b'], or the
// JSON of what is neither. other is the value on the other side.
func value(raw, other json.RawMessage) string {
	switch v := decode(raw).(type) {
	case nil:
		if _, ok := decode(other).(bool); ok {
			return "'false'"
		}
		return "''"
	case string:
		return quote(v)
	case []any:
		all := make([]string, len(v))
		for i, one := range v {
			text, ok := one.(string)
			if !ok {
				text = compact(one)
			}
			all[i] = quote(text)
		}
		return clip("["+strings.Join(all, ", ")+"]", maxValue)
	case map[string]any:
		return clip(compact(v), maxValue)
	default:
		return quote(fmt.Sprint(v))
	}
}

func compact(v any) string {
	text, _ := json.Marshal(v) // it was JSON a moment ago
	return line(string(text))
}

// quote keeps a value apart from the words around it: a name must not be able to
// say that something else was done.
func quote(s string) string {
	return "'" + escape.Replace(clip(line(s), maxValue)) + "'"
}

var escape = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// line keeps what people wrote from breaking the description's line, and from
// turning it around.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

func clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}
