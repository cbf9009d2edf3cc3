package compact_test

import (
	"testing"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers/aws/compact"
)

func TestObject_LeavesOutWhatIsEmptyOrSecret(t *testing.T) {
	o := compact.New(0)
	if got := o.JSON(); got != nil {
		t.Errorf("an empty object is %s, want none", got)
	}
	o.Text("none", "")
	o.Text("text", "a \"quoted\" <word>\n")
	o.Raw("none", nil)
	o.Raw("raw", []byte(`[1,2]`))
	o.Safe("missing", gjson.Result{})
	o.Safe("null", gjson.Parse(`null`))
	o.Safe("empty", gjson.Parse(`""`))
	o.Safe("safe", gjson.Parse(`{ "a" : 1, "password" : "x" }`))
	want := `{"text":"a \"quoted\" <word>\n","raw":[1,2],"safe":{"a":1}}`
	if got := string(o.JSON()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
