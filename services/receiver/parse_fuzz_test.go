package receiver

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"whatchanged/pkg/problem"
)

// FuzzKeysAge: an issuer's keys are kept for a while, and not for ever.
func FuzzKeysAge(f *testing.F) {
	for _, s := range []string{"max-age=3600", "public, max-age=0, must-revalidate", "max-age=-1", "max-age=99999999999999999999", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if age := keysAge(http.Header{"Cache-Control": {header}}); age < minKeysAge || age > maxKeysAge {
			t.Errorf("%q: %v", header, age)
		}
	})
}

// FuzzToken: no token is good that none of the issuer's keys has signed, and
// what is no token asks nobody for keys.
func FuzzToken(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.e30.AAAA")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("eyJhbGciOiJIUzI1NiIsImtpZCI6Im9uZSJ9.e30.AAAA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		other := &replies{keys: `{"keys":[]}`}
		set := keySet{issuer: newIssuers(newOutside(&http.Client{Transport: other})).of("https://issuer.example"), now: time.Unix(1_800_000_000, 0)}
		payload, err := set.VerifySignature(t.Context(), token)
		if err == nil {
			t.Errorf("%q is good for %q", token, payload)
		}
		if _, bad := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256}); bad != nil && other.asked > 0 {
			t.Errorf("%q asked for keys", token)
		}
	})
}

// FuzzFirehose: the answer is JSON that gives Firehose its request's id back.
func FuzzFirehose(f *testing.F) {
	f.Add("ed4acda5-034f-9f42-bba1-f29aea6d7d8f", "")
	f.Add("\"\xff\n", "not_json: \u2028")
	f.Fuzz(func(t *testing.T, id, message string) {
		if id, ok := firehoseRequest(http.Header{firehoseIDHeader: {id}}); ok && (id == "" || len(id) > 200) {
			t.Errorf("id %q", id)
		}
		var answer struct{ RequestID, ErrorMessage string }
		text := appendFirehose(nil, id, time.Unix(1, 0), message)
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if want := asJSON(t, id); answer.RequestID != want || (answer.ErrorMessage == "") != (message == "") {
			t.Errorf("%+v, want id %q", answer, want)
		}
	})
}

// asJSON is a text as JSON can hold it.
func asJSON(t *testing.T, s string) (out string) {
	t.Helper()
	text, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzCheckContent: every refusal of a body has a reason for programs and
// blames the sender.
func FuzzCheckContent(f *testing.F) {
	f.Add("application/json", "", []byte(`{}`))
	f.Add("application/x-www-form-urlencoded", "gzip", []byte("payload=%7B%7D"))
	f.Add("text/plain; charset=ucs-2", "deflate", []byte("x"))
	f.Fuzz(func(t *testing.T, contentType, coding string, body []byte) {
		err := checkContent(http.Header{"Content-Type": {contentType}, "Content-Encoding": {coding}}, body, 1<<16)
		if err == nil {
			return
		}
		if p, ok := errors.AsType[*problem.Error](err); !ok || p.Reason == "" || p.Status()/100 != 4 || len(p.Message) > 1000 {
			t.Errorf("%v", err)
		}
	})
}
