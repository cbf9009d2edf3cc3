package keep_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/keep"
)

type part struct {
	ID   string `json:"id"`
	Size int    `json:"size,omitempty"`
}

type record struct {
	Name  string          `json:"name"`
	Note  string          `json:"note,omitempty"`
	One   *part           `json:"one,omitempty"`
	Parts []part          `json:"parts,omitempty"`
	By    map[string]part `json:"by,omitempty"`
	Words []string        `json:"words,omitempty"`
}

func TestRewrite_KeepsWhatALaterVersionWrote(t *testing.T) {
	f := func(name, raw string, edit func(*record), want string) {
		t.Helper()
		var r record
		if err := json.Unmarshal([]byte(raw), &r); err != nil {
			t.Fatal(err)
		}
		edit(&r)
		got, err := keep.Rewrite([]byte(raw), r, "id")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decode(t, want), decode(t, string(got))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	f("a member", `{"name":"a","later":{"x":[1]}}`, func(r *record) { r.Name = "b" }, `{"name":"b","later":{"x":[1]}}`)
	f("what we remove is gone", `{"name":"a","note":"n","later":1}`, func(r *record) { r.Note = "" }, `{"name":"a","later":1}`)
	f("a number as it was written", `{"name":"a","later":123456789012345678901234567890}`, func(r *record) { r.Name = "b" }, `{"name":"b","later":123456789012345678901234567890}`)
	f("in an object", `{"name":"a","one":{"id":"1","later":true}}`, func(r *record) { one := *r.One; one.Size = 2; r.One = &one }, `{"name":"a","one":{"id":"1","size":2,"later":true}}`)
	f("an object that goes takes all with it", `{"name":"a","one":{"id":"1","later":true}}`, func(r *record) { r.One = nil }, `{"name":"a"}`)
	f("in a map", `{"name":"a","by":{"k":{"id":"1","later":1},"l":{"id":"2","later":2}}}`,
		func(r *record) { delete(r.By, "l"); r.By["k"] = part{"1", 5}; r.By["m"] = part{ID: "3"} },
		`{"name":"a","by":{"k":{"id":"1","size":5,"later":1},"m":{"id":"3"}}}`)
	f("in a list, by what is the same", `{"name":"a","parts":[{"id":"1","later":1},{"id":"2","later":2},{"id":"3","later":3}]}`,
		func(r *record) { r.Parts = []part{{"4", 0}, {"3", 9}, {"2", 0}} },
		`{"name":"a","parts":[{"id":"4"},{"id":"3","size":9,"later":3},{"id":"2","later":2}]}`)
	f("nobody inherits from another", `{"name":"a","parts":[{"id":"1","later":1}]}`,
		func(r *record) { r.Parts = []part{{"2", 0}} }, `{"name":"a","parts":[{"id":"2"}]}`)
	f("a list of words", `{"name":"a","words":["x","y"],"later":[1]}`, func(r *record) { r.Words = []string{"y"} }, `{"name":"a","words":["y"],"later":[1]}`)
	f("nothing unknown", `{"name":"a"}`, func(r *record) { r.Note = "n" }, `{"name":"a","note":"n"}`)
}

func TestRewrite_WithoutARecordIsJustEncoded(t *testing.T) {
	got, err := keep.Rewrite(nil, record{Name: "a"})
	if err != nil || string(got) != `{"name":"a"}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestUnknown_GoesBackByWith(t *testing.T) {
	raw := `{"name":"a","note":"","later":{"x":1},"parts":[]}`
	var r record
	if err := json.Unmarshal([]byte(raw), &r); err != nil {
		t.Fatal(err)
	}
	unknown, err := keep.Unknown([]byte(raw), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Note = "n"
	got, err := keep.With(r, unknown)
	if diff := cmp.Diff(decode(t, `{"name":"a","note":"n","later":{"x":1},"parts":[]}`), decode(t, string(got))); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if unknown, err := keep.Unknown([]byte(`{"name":"a"}`), record{Name: "a"}); unknown != "" || err != nil {
		t.Errorf("%q, %v", unknown, err)
	}
}

func decode(t *testing.T, text string) map[string]json.RawMessage {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	for name, value := range v {
		if _, number := value.(float64); !number { // numbers are compared as they are written
			out[name], _ = json.Marshal(value)
		}
	}
	return out
}
