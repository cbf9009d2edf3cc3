package normalizers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

func TestCheckJSON_TakesWhatJSONAllows(t *testing.T) {
	for _, in := range []string{
		`{}`, `[]`, `null`, `0`, `-0.1e+10`, `"a"`, ` {"a":[1,{"b":"\ud800"}]} `, "\xef\xbb\xbf{}",
		`{"a":1,"a":2}`, `[1e400,9223372036854775808]`, `"\u0000 ü €"`,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
	} {
		if err := normalizers.CheckJSON([]byte(in)); err != nil {
			t.Errorf("CheckJSON(%.40q) = %v, want nil", in, err)
		}
	}
}

func TestCheckJSON_NamesTheByteWhereItGoesWrong(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		err := normalizers.CheckJSON([]byte(in))
		if !errors.Is(err, change.ErrMalformed) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("CheckJSON(%.40q) = %v, want ...%s", in, err, want)
		}
	}
	f("", "after 0 bytes")
	f(`{"a":`, "after 5 bytes")
	f(`{"a":1,}`, "not JSON at byte 7")
	f(`{} {}`, "more after the JSON's end at byte 3")
	f(`[NaN]`, "not JSON at byte 1")
	f(`[01]`, "not JSON at byte 2")
	f(`{'a':1}`, "not JSON at byte 1")
	f(`[1] // x`, "more after the JSON's end at byte 4")
	f("[\"\xff\"]", "invalid UTF-8 at byte 2")
	f("\"\xed\xa0\x80\"", "invalid UTF-8 at byte 1") // a surrogate in UTF-8
	f(`"\x"`, "a wrong escape in a JSON string at byte 1")
	f("\"a\nb\"", "a control character in a JSON string at byte 2")
	f(strings.Repeat("[", 1001)+strings.Repeat("]", 1001), "nested deeper than 1,000 at byte 1000")
}

func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e3,true,false,null,"x\"\\\u00e9"],"b":{}}`, "[\"0123456789 \xc3\xbc\"]", `[0,00]`, `{"a"}`,
		"\"\xff\"", `[1 2]`, `"\ud800"`, `{"a":1}}`, "[\"abcdefg\x01\"]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) || bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) > 1000 {
			return // encoding/json has other rules about these two
		}
		want := json.Valid(b) && utf8.Valid(b)
		if err := normalizers.CheckJSON(b); (err == nil) != want {
			t.Errorf("CheckJSON(%q) = %v, encoding/json says %v", b, err, want)
		}
	})
}

func BenchmarkCheckJSON(b *testing.B) {
	body := pushBody()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := normalizers.CheckJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}
