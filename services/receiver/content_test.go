package receiver_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/registry"
	"whatchanged/services/receiver"
)

const jsonHeader = "Content-Type: application/json"

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func utf16le(s string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// TestContent_IsJudgedByItsBytesAndKeptByteForByte posts what senders send and
// what they should not; what is accepted is on the bus exactly as it was sent.
// S1-43: any JSON at all.
func TestContent_IsJudgedByItsBytesAndKeptByteForByte(t *testing.T) {
	const limit = 1 << 20
	d := openDoor(t, func(s *settings) { s.receiver.MaxBody = limit })
	form := "Content-Type: application/x-www-form-urlencoded"
	for _, c := range []struct {
		name    string
		body    string
		headers []string
		status  int
		reason  string
	}{
		{"B1 empty", "", nil, 400, "empty_body"},
		{"B1 spaces", " \n\t ", nil, 400, "not_json"},
		{"B1 empty gzip", gzipped(""), []string{"Content-Encoding: gzip"}, 400, "not_json"},
		{"B2 no type", good, nil, 200, ""},
		{"B2 text", good, []string{"Content-Type: text/plain; charset=UTF-8"}, 200, ""},
		{"B2 nonsense type", good, []string{"Content-Type: ///;;;=\"\xff"}, 200, ""},
		{"B2 utf-16 by name", good, []string{"Content-Type: application/json; charset=utf-16"}, 400, "charset"},
		{"B2 utf-16 by name, quoted", good, []string{`Content-Type: application/json; charset="UTF-16LE"`}, 400, "charset"},
		{"B2 utf-16 by bytes", utf16le(good), []string{jsonHeader}, 400, "not_json"},
		{"B3 byte order mark", "\xef\xbb\xbf" + good, []string{jsonHeader}, 200, ""},
		{"B3 two byte order marks", "\xef\xbb\xbf\xef\xbb\xbf" + good, []string{jsonHeader}, 400, "not_json"},
		{"B4 multipart", "--x\r\n\r\n{}\r\n--x--", []string{"Content-Type: multipart/form-data; boundary=x"}, 415, "multipart"},
		{"B4 form without payload", "a=b", []string{form}, 400, "not_json"},
		{"B4 form", "payload=%7B%22zen%22%3A%22hi%22%7D", []string{form}, 200, ""},
		{"B4 form with more", "a=b&payload=%7B%7D&c", []string{form + "; charset=utf-8"}, 200, ""},
		{"B4 form whose payload is not JSON", "payload=%7B", []string{form}, 400, "not_json"},
		{"B4 form with a bad escape", "payload=%zz", []string{form}, 400, "not_json"},
		{"B4 JSON called a form", good, []string{form}, 200, ""},
		{"B5 truncated", `{"a":`, nil, 400, "not_json"},
		{"B5 trailing comma", `{"a":1,}`, nil, 400, "not_json"},
		{"B5 two documents", `{}{}`, nil, 400, "not_json"},
		{"B5 NaN", `{"a":NaN}`, nil, 400, "not_json"},
		{"B5 Infinity", `[-Infinity]`, nil, 400, "not_json"},
		{"B5 comment", `{/*x*/}`, nil, 400, "not_json"},
		{"B5 single quotes", `{'a':1}`, nil, 400, "not_json"},
		{"B5 leading zero", `[01]`, nil, 400, "not_json"},
		{"B5 lone brace", `{`, nil, 400, "not_json"},
		{"B7 many keys", "[" + strings.Repeat("{},", 300_000) + "{}]", nil, 200, ""},
		{"B7 deep", strings.Repeat("[", 1000) + strings.Repeat("]", 1000), nil, 200, ""},
		{"B7 too deep", strings.Repeat("[", 1001) + strings.Repeat("]", 1001), nil, 400, "not_json"},
		{"B8 duplicate keys", `{"a":1,"A":2,"a":3,"\u0061":4}`, nil, 200, ""},
		{"B9 invalid UTF-8", "{\"a\":\"\xff\"}", nil, 400, "not_json"},
		{"B9 overlong", "{\"a\":\"\xc0\xaf\"}", nil, 400, "not_json"},
		{"B9 surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", nil, 400, "not_json"},
		{"B9 lone surrogate, escaped", `{"a":"\ud800"}`, nil, 200, ""},
		{"B10 nul, escaped", `{"\u0000":"\u202e\u200b"}`, nil, 200, ""},
		{"B10 nul, raw", "{\"a\":\"\x00\"}", nil, 400, "not_json"},
		{"B11 numbers", `[1e400,9223372036854775808,18446744073709551616,-0,0.` + strings.Repeat("1", 400) + `]`, nil, 200, ""},
		{"B12 injections", `{"__proto__":{"$where":"{{7*7}} ${jndi:ldap://x} <script> '; DROP TABLE x {p:String} %s%n"}}`, nil, 200, ""},
		{"B13 long key", `{"` + strings.Repeat("k", 1_000_000) + `":1}`, nil, 200, ""},
		{"B13 escapes only", `["` + strings.Repeat(`\u00e9`, 10_000) + `"]`, nil, 200, ""},
		{"B21 subjects", `{"repository":"deliveries.> * $JS.API.STREAM.DELETE\r\nX: y"}`, nil, 200, ""},
		{"B24 terminal", `{"a":"\u001b[2J"}`, nil, 200, ""},
		{"a bare value", `"hello"`, nil, 200, ""},
		{"text", "hello", nil, 400, "not_json"},
		{"HTML", "<html>", []string{"Content-Type: text/html"}, 400, "not_json"},
		{"gzip", gzipped(good), []string{jsonHeader, "Content-Encoding: gzip"}, 200, ""},
		{"deflate", deflated(good), []string{jsonHeader, "Content-Encoding: deflate"}, 200, ""},
		{"gzip of a form", gzipped("payload=%7B%7D"), []string{form, "Content-Encoding: GZIP"}, 200, ""},
		{"gzip, unannounced", gzipped(good), nil, 400, "not_json"},
		{"gzip, announced only", good, []string{"Content-Encoding: gzip"}, 400, "not_json"},
		{"gzip, cut", gzipped(good)[:20], []string{"Content-Encoding: gzip"}, 400, "not_json"},
		{"brotli", good, []string{"Content-Encoding: br"}, 415, "content_encoding"},
		{"five codings", good, []string{"Content-Encoding: gzip,gzip,gzip,gzip,gzip"}, 415, "content_encoding"},
		{"bomb", gzipped(`"` + strings.Repeat("a", 20<<20) + `"`), []string{"Content-Encoding: gzip"}, 413, "body_too_large"},
		{"deflate bomb", deflated(`"` + strings.Repeat("a", 20<<20) + `"`), []string{"Content-Encoding: deflate"}, 413, "body_too_large"},
		{"bomb in a bomb", gzipped(gzipped(`"` + strings.Repeat("a", 20<<20) + `"`)), []string{"Content-Encoding: gzip, gzip"}, 413, "body_too_large"},
		{"as large as may be", `"` + strings.Repeat("a", limit-2) + `"`, nil, 200, ""},
		{"one byte more", `"` + strings.Repeat("a", limit-1) + `"`, nil, 413, "body_too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := d.counted("whatchanged_receiver_refusals_total", c.reason)
			got := d.post(d.token, c.body, c.headers...)
			if got.status != c.status || got.reason() != c.reason {
				t.Fatalf("answer %v, want %d %s", got, c.status, c.reason)
			}
			if c.status != http.StatusOK {
				if ct := got.header.Get("Content-Type"); ct != "application/problem+json" {
					t.Errorf("content type %q", ct)
				}
				if n := d.counted("whatchanged_receiver_refusals_total", c.reason) - before; n != 1 {
					t.Errorf("counted %v times", n)
				}
				return
			}
			id, _ := got.accepted(t)
			stored := d.delivery(id)
			if !bytes.Equal(stored.Body, []byte(c.body)) {
				t.Error("the stored body is not what was sent")
			}
		})
	}
}

func TestContent_AnErrorNamesTheByte(t *testing.T) {
	d := openDoor(t)
	got := d.post(d.token, `{"a":1,}`)
	if !strings.Contains(got.body, "byte 7") {
		t.Errorf("answer %v", got)
	}
}

// A21 too: bytes that are no ASCII are kept as they came.
func TestDelivery_KeepsHeadersButNoSecrets(t *testing.T) {
	d := openDoor(t)
	_, err := d.registry.UpdateSource(t.Context(), "default", d.registry.Sources("default")[0].ID, func(s *registry.Source) error {
		s.SecretHeader = "x-our-secret"
		s.Provider = "gitlab"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	id, duplicate := d.post(d.token, good,
		"Authorization: Bearer MARKER", "Cookie: a=MARKER", "Proxy-Authorization: MARKER", "PROXY-X: MARKER",
		"X-Gitlab-Token: MARKER", "X-Amz-Firehose-Access-Key: MARKER", "X-Our-Secret: MARKER",
		"X-Original-Url: "+receiver.Prefix+d.token, "X-Two: one", "X-Two: two", "X-Latin: \xe9",
		"X-Github-Event: push", "X-Github-Delivery: 72d3162e").accepted(t)
	if duplicate {
		t.Error("called a duplicate")
	}
	got := d.delivery(id)
	want := http.Header{
		"Content-Length": {fmt.Sprint(len(good))}, "X-Two": {"one", "two"}, "X-Latin": {"\xe9"},
		"X-Github-Event": {"push"}, "X-Github-Delivery": {"72d3162e"},
	}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	source := d.registry.Sources("default")[0]
	if got.Org != "default" || got.SourceID != source.ID || got.Provider != "gitlab" || got.Identity != "github:72d3162e" ||
		got.ReceivedAt.IsZero() || !got.ID.Time().Equal(got.ReceivedAt.Time) {
		t.Errorf("delivery %+v", got)
	}
}

func TestDelivery_KeepsAtMostTheLimitOfHeaders(t *testing.T) {
	d := openDoor(t, func(s *settings) { s.receiver.MaxKeptHeaders = 200 })
	id, _ := d.post(d.token, good, "X-Large: "+strings.Repeat("l", 150), "X-Larger: "+strings.Repeat("l", 160), "X-Small: s", "X-Github-Event: push").accepted(t)
	want := http.Header{"Content-Length": {fmt.Sprint(len(good))}, "X-Small": {"s"}, "X-Github-Event": {"push"}, "X-Large": {strings.Repeat("l", 150)}}
	if diff := cmp.Diff(want, d.delivery(id).Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}
