package signature_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"whatchanged/normalizers/signature"
)

// vector is a request signed as GitLab does, with the signing token that
// signed it.
const (
	vectorToken = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="
	vectorBody  = `{"object_kind":"push"}`
	vectorSig   = "v1,Q/Xs0AQwFCrSU+Jqzp4d4uGCI2fQlx3ls7vaEn5SqGY="
)

var vectorTime = time.Unix(1744578123, 0)

func vectorHeader() http.Header {
	h := http.Header{}
	h.Set("webhook-id", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f")
	h.Set("webhook-timestamp", "1744578123")
	h.Set("webhook-signature", vectorSig)
	return h
}

func TestStandardWebhooks_TakesGitLabsVector(t *testing.T) {
	f := func(what string, tokens [][]byte, h http.Header, now time.Time) {
		t.Helper()
		if err := signature.StandardWebhooks(tokens, []byte(vectorBody), h, now); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	token := []byte(vectorToken)
	f("as it is", [][]byte{token}, vectorHeader(), vectorTime)
	f("five minutes late", [][]byte{token}, vectorHeader(), vectorTime.Add(5*time.Minute))
	f("the new token beside the old one", [][]byte{[]byte("whsec_b2xk"), token}, vectorHeader(), vectorTime)
	several := vectorHeader()
	several.Set("webhook-signature", "v1a,zzz v1,AAAA "+vectorSig)
	f("one of several signatures", [][]byte{token}, several, vectorTime)
}

// The vector of the specification.
func TestStandardWebhooks_TakesTheSpecificationsVector(t *testing.T) {
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	token := []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err := signature.StandardWebhooks([][]byte{token}, []byte(`{"test": 2432232314}`), h, time.Unix(1614265330, 0)); err != nil {
		t.Error(err)
	}
}

func TestStandardWebhooks_RefusesWhatIsNotSignedNow(t *testing.T) {
	f := func(what string, want error, change func(http.Header), now time.Time, tokens ...string) {
		t.Helper()
		h := vectorHeader()
		change(h)
		var list [][]byte
		for _, token := range tokens {
			list = append(list, []byte(token))
		}
		if err := signature.StandardWebhooks(list, []byte(vectorBody), h, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	same := func(http.Header) {}
	f("301 s old", signature.ErrTime, same, vectorTime.Add(301*time.Second), vectorToken)
	f("301 s ahead", signature.ErrTime, same, vectorTime.Add(-301*time.Second), vectorToken)
	for _, stamp := range []string{"-1", "1744578123.0", "99999999999999999999", " 1744578123", "x"} {
		f("timestamp "+stamp, signature.ErrTime, set("webhook-timestamp", stamp), vectorTime, vectorToken)
	}
	f("another id", signature.ErrMismatch, set("webhook-id", "other"), vectorTime, vectorToken)
	f("an id with a dot", signature.ErrMismatch, set("webhook-id", "a.b"), vectorTime, vectorToken)
	f("two ids", signature.ErrMismatch, func(h http.Header) { h.Add("webhook-id", "x") }, vectorTime, vectorToken)
	f("another version", signature.ErrMismatch, set("webhook-signature", strings.Replace(vectorSig, "v1,", "v2,", 1)), vectorTime, vectorToken)
	f("cut", signature.ErrMismatch, set("webhook-signature", vectorSig[:20]), vectorTime, vectorToken)
	f("after too many others", signature.ErrMismatch, set("webhook-signature", strings.Repeat("v1,AA== ", 8)+vectorSig), vectorTime, vectorToken)
	f("no signature", signature.ErrMissing, func(h http.Header) { h.Del("webhook-signature") }, vectorTime, vectorToken)
	f("no token", signature.ErrNoSecret, same, vectorTime)
	f("a token without a key", signature.ErrNoSecret, same, vectorTime, "whsec_", "secret")
}

func FuzzStandardWebhooks(f *testing.F) {
	f.Add("f5e5f430-f57b-4e6e-9fac-d9128cd7232f", "1744578123", vectorSig, vectorBody)
	f.Add("", "", "", "")
	f.Add("a.b", "0", "v1, v1,AA==", "{}")
	f.Fuzz(func(t *testing.T, id, stamp, sent, body string) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {sent}}
		tokens := [][]byte{[]byte(vectorToken)}
		err := signature.StandardWebhooks(tokens, []byte(body), h, vectorTime)
		if err == nil && !strings.Contains(sent, "v1,") {
			t.Errorf("accepted %q", sent)
		}
		if err == nil && signature.StandardWebhooks(tokens, []byte(body+" "), h, vectorTime) == nil {
			t.Error("accepted another body with the same signature")
		}
	})
}
