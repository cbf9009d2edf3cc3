package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDescribe: a description is one line, bounded, and has no word of what a
// field held of which nobody decided that it may be shown.
func FuzzDescribe(f *testing.F) {
	f.Add("source", "update", "name", `{"name":"a","secrets":["s"]}`, `{"name":"b","secrets":["t"],"new_field":1}`)
	f.Add("key", "create", "it's", `{}`, `{"scopes":["a","b"],"expires_at":"2026-03-30T15:30:00Z"}`)
	f.Add("no_such_kind", "rotate", "\u2028\n", `{"a":{"b":[null]}}`, `{"a":0.10}`)
	f.Fuzz(func(t *testing.T, kind, operation, name, before, after string) {
		k, ok := Of(kind)
		if !ok {
			k = unregistered(kind)
		}
		op, ok := k.operation(operation)
		if !ok || !utf8.ValidString(kind) {
			return
		}
		const hidden = "hunter2hunter2"
		var was, is map[string]json.RawMessage
		if json.Unmarshal([]byte(before), &was) != nil || json.Unmarshal([]byte(after), &is) != nil || is == nil || strings.Contains(kind+name+before+after, hidden) {
			return
		}
		is["nobody_decided"] = json.RawMessage(`"` + hidden + `"`)
		text := k.describe(op, Change{Operation: operation, Object: Object{Kind: kind, Name: name}}, k.diff(op.Action, was, is))
		if strings.Contains(text, hidden) {
			t.Errorf("%q shows what is hidden", text)
		}
		if utf8.RuneCountInString(text) > maxDescription || strings.ContainsAny(strings.TrimPrefix(text, op.Verb+" "+k.Words), "\n\r\x00") {
			t.Errorf("%q", text)
		}
	})
}
