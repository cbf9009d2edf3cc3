// Package keep writes JSON records again without losing what a later version of
// the program has put into them. Old and new versions run side by side during an
// upgrade, and after a step back: who changes a record must leave alone what it
// does not know.
package keep

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Rewrite encodes after, which was made by changing what was read from raw, and
// adds what raw has and T does not know, at any depth. An element of a list is
// the same as before when nothing that T knows of it has changed, or when the
// first of the members ids that it has is the same; what else is in a list is
// new, or gone with all that it had. Without raw it is json.Marshal.
func Rewrite[T any](raw []byte, after T, ids ...string) ([]byte, error) {
	encoded, err := json.Marshal(after)
	if err != nil || len(raw) == 0 {
		return encoded, err
	}
	before := new(T)
	if err := json.Unmarshal(raw, before); err != nil {
		return nil, fmt.Errorf("read what is written again: %w", err)
	}
	known, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	return merge(raw, known, encoded, ids)
}

// merge returns after with what raw has and before has not. Where the three are
// not of one kind, the record has another form now, and after is all of it.
func merge(raw, before, after json.RawMessage, ids []string) (json.RawMessage, error) {
	switch {
	case isA('{', raw, after) && (before == nil || isA('{', before)):
		return mergeObjects(raw, before, after, ids)
	case isA('[', raw, before, after):
		return mergeLists(raw, before, after, ids)
	default:
		return after, nil
	}
}

func isA(kind byte, values ...json.RawMessage) bool {
	for _, v := range values {
		if v = bytes.TrimLeft(v, " \t\r\n"); len(v) == 0 || v[0] != kind {
			return false
		}
	}
	return true
}

func mergeObjects(raw, before, after json.RawMessage, ids []string) (json.RawMessage, error) {
	var r, b, a map[string]json.RawMessage
	for _, read := range []struct {
		from json.RawMessage
		to   *map[string]json.RawMessage
	}{{raw, &r}, {before, &b}, {after, &a}} {
		if read.from == nil {
			continue
		}
		if err := json.Unmarshal(read.from, read.to); err != nil {
			return nil, err
		}
	}
	for name, value := range r {
		known, was := b[name]
		switch now, is := a[name]; {
		case is:
			merged, err := merge(value, known, now, ids)
			if err != nil {
				return nil, err
			}
			a[name] = merged
		case !was:
			a[name] = value
		}
	}
	return json.Marshal(a)
}

func mergeLists(raw, before, after json.RawMessage, ids []string) (json.RawMessage, error) {
	var r, b, a []json.RawMessage
	for _, err := range []error{json.Unmarshal(raw, &r), json.Unmarshal(before, &b), json.Unmarshal(after, &a)} {
		if err != nil {
			return nil, err
		}
	}
	if len(r) != len(b) {
		return after, nil
	}
	taken := make([]bool, len(b))
	find := func(same func(json.RawMessage) bool) int {
		for i := range b {
			if !taken[i] && same(b[i]) {
				taken[i] = true
				return i
			}
		}
		return -1
	}
	from := make([]int, len(a))
	for i := range a { // those that did not change go first, so that nobody takes their place
		from[i] = find(func(old json.RawMessage) bool { return bytes.Equal(old, a[i]) })
	}
	for i := range a {
		if id := identity(a[i], ids); from[i] < 0 && id != "" {
			from[i] = find(func(old json.RawMessage) bool { return identity(old, ids) == id })
		}
		if from[i] < 0 {
			continue
		}
		merged, err := merge(r[from[i]], b[from[i]], a[i], ids)
		if err != nil {
			return nil, err
		}
		a[i] = merged
	}
	return json.Marshal(a)
}

// identity returns what tells an element of a list from the others.
func identity(element json.RawMessage, ids []string) string {
	var members map[string]json.RawMessage
	if !isA('{', element) || json.Unmarshal(element, &members) != nil {
		return ""
	}
	for _, id := range ids {
		if value, ok := members[id]; ok {
			return id + string(value)
		}
	}
	return ""
}

// Unknown returns the members of the object raw that known, which was read from
// it, does not have: JSON text, empty when there are none. It is for records
// that are handed on as values, and written by With.
func Unknown(raw []byte, known any) (string, error) {
	encoded, err := json.Marshal(known)
	if err != nil {
		return "", err
	}
	var all, ours map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return "", err
	}
	if err := json.Unmarshal(encoded, &ours); err != nil {
		return "", err
	}
	for name := range ours {
		delete(all, name)
	}
	if len(all) == 0 {
		return "", nil
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// With encodes known and adds the members that Unknown returned.
func With(known any, unknown string) ([]byte, error) {
	encoded, err := json.Marshal(known)
	if err != nil || unknown == "" {
		return encoded, err
	}
	return merge(json.RawMessage(unknown), nil, encoded, nil)
}
