package redact_test

import (
	"bytes"
	"testing"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/redact"
)

// FuzzJSON: a copy is JSON, has nothing left to leave out, and has nothing of
// what a member with a secret's name holds, wherever that stands.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":{"password":"x","b":[{"token":"t"},1,null]}}`, `{"tagSet":{"items":[{"key":"k","value":"v"}]}}`,
		`{"kind":"Secret","data":{"k":"dg=="}}`, `[[[]]]`, `"text"`, `{"":{}}`, `{"passwordReset":true}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if normalizers.CheckJSON(b) != nil {
			return
		}
		once := redact.JSON(gjson.ParseBytes(b))
		if once == nil {
			return
		}
		if err := normalizers.CheckJSON(once); err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice := redact.JSON(gjson.ParseBytes(once)); !bytes.Equal(once, twice) && twice != nil {
			t.Errorf("%s, and again %s", once, twice)
		}
		v := gjson.ParseBytes(b)
		if v.IsBool() || v.Type == gjson.Null {
			return // a flag is no secret
		}
		hidden := redact.JSON(gjson.Parse(`{"is":[{"password":` + v.Raw + `,"n":1}]}`))
		if string(hidden) != `{"is":[{"n":1}]}` {
			t.Errorf("a password comes through: %s", hidden)
		}
	})
}
