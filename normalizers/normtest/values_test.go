package normtest

import (
	"testing"

	"github.com/tidwall/gjson"
)

func TestValues_AreFoundAtTheirPlaces(t *testing.T) {
	const body = ` {"a": [1, {"b" : "x"}], "c":null}`
	var got []string
	for _, p := range values(gjson.Parse(body), nil) {
		got = append(got, body[p.start:p.end])
	}
	want := []string{`[1, {"b" : "x"}]`, `1`, `{"b" : "x"}`, `"x"`, `null`}
	if len(got) != len(want) {
		t.Fatalf("found %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("value %d is %q, want %q", i, got[i], want[i])
		}
	}
}
