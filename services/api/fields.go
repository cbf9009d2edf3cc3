package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// changeFields are the names of a change's fields, in the order of its JSON.
var changeFields = fieldNames(reflect.TypeFor[change.Change]())

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// Selection says which fields of each change are wanted. The router reads it
// from the query string, and it is exported for that alone.
type Selection struct {
	Fields []string `query:"fields" doc:"Which fields to return of each change, comma-separated, such as id,summary,occurred_at; without it, all" maxItems:"50"`
}

func (s Selection) check() error {
	for _, name := range s.Fields {
		if !slices.Contains(changeFields, name) {
			return problem.Invalid("fields", fmt.Sprintf("fields: a change has no field %q; there are %s", clip(name), strings.Join(changeFields, ", ")))
		}
	}
	return nil
}

// of returns a change's form in an answer.
func (s Selection) of(c change.Change) selected { return selected{c, s.Fields} }

// selected is a change of which only some fields are shown; none means all.
type selected struct {
	change change.Change
	fields []string
}

// MarshalJSON writes the selected fields that are not empty, in their usual order.
func (s selected) MarshalJSON() ([]byte, error) {
	whole, err := json.Marshal(s.change)
	if err != nil || len(s.fields) == 0 {
		return whole, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(whole, &all); err != nil {
		return nil, err
	}
	out := bytes.NewBufferString("{")
	for _, name := range changeFields {
		value, ok := all[name]
		if !ok || !slices.Contains(s.fields, name) {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		fmt.Fprintf(out, "%q:%s", name, value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
