package fields_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/fields"
)

const payload = `{"a": {"b": {"c": "deep", "n": 17, "big": 123456789012345678901, "f": 1.50}, "list": [1, {"x": 2}]},
	"yes": true, "no": false, "none": null, "twice": 1, "twice": 2, "esc\u0061ped": "\u00e9", "text": "t", "empty": {}}`

func TestObject_FindsWhatIsThereAndNothingElse(t *testing.T) {
	o := fields.Of(gjson.Parse(payload))
	f := func(path, want string) {
		t.Helper()
		if got := o.Text(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	f("a.b.c", "deep")
	f("a.b.n", "17")
	f("a.b", "")
	f("a.list", "")
	f("text", "t")
	f("text.more", "")
	f("none", "")
	f("none.more", "")
	f("nothing", "")
	f("yes", "true")
	f("twice", "1")
	f("escaped", "é")
	f("", "")
	f("a.b.c", "deep") // again, from memory
	if o.Bool("no") || !o.Bool("yes") || o.Bool("text") {
		t.Error("only true is true")
	}
	if got := o.First("none", "a", "text"); got != "t" {
		t.Errorf("the first text is %q", got)
	}
	if got := o.Object("a.b").Text("c"); got != "deep" {
		t.Errorf("in the object a.b, c is %q", got)
	}
	if got := o.Object("no.such").Text("c") + o.Object("text").Text("c"); got != "" {
		t.Errorf("found %q in what is no object", got)
	}
	if got := o.Get("a.list").Get("1.x").Int(); got != 2 {
		t.Errorf("a.list.1.x is %d", got)
	}
}

func TestOf_HasNothingWithoutAnObject(t *testing.T) {
	for _, json := range []string{``, `null`, `"x"`, `[{"a": 1}]`, `17`} {
		if got := fields.Of(gjson.Parse(json)).Get("a"); got.Exists() {
			t.Errorf("%s has a: %v", json, got)
		}
	}
}

func TestObject_CopiesMembersToTheMetadata(t *testing.T) {
	o := fields.Of(gjson.Parse(payload))
	var meta normalizers.Meta
	o.Copy(&meta, "text", "deep=a.b.c", "a.b.n", "big=a.b.big", "f=a.b.f", "list=a.list", "yes", "no", "none", "empty", "nothing")
	want := `{"text":"t","deep":"deep","a.b.n":17,"big":123456789012345678901,"f":1.50,"list":[1,{"x":2}],"yes":true,"no":false}`
	if diff := cmp.Diff(want, string(meta.JSON())); diff != "" {
		t.Errorf("metadata (-want +got)\n%s", diff)
	}
}
