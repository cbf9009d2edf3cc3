package gitlab_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"whatchanged/normalizers/gitlab"
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

func TestVerifySignature_TakesGitLabsVector(t *testing.T) {
	f := func(what string, tokens [][]byte, h http.Header, now time.Time) {
		t.Helper()
		if err := gitlab.VerifySignature(tokens, []byte(vectorBody), h, now); err != nil {
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

// The vector of the Standard Webhooks specification, which GitLab follows.
func TestVerifySignature_TakesStandardWebhooks(t *testing.T) {
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	token := []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err := gitlab.VerifySignature([][]byte{token}, []byte(`{"test": 2432232314}`), h, time.Unix(1614265330, 0)); err != nil {
		t.Error(err)
	}
}

func TestVerifySignature_RefusesWhatIsNotSignedNow(t *testing.T) {
	f := func(what string, want error, change func(http.Header), now time.Time, tokens ...string) {
		t.Helper()
		h := vectorHeader()
		change(h)
		var list [][]byte
		for _, token := range tokens {
			list = append(list, []byte(token))
		}
		if err := gitlab.VerifySignature(list, []byte(vectorBody), h, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	same := func(http.Header) {}
	f("301 s old", gitlab.ErrBadTime, same, vectorTime.Add(301*time.Second), vectorToken)
	f("301 s ahead", gitlab.ErrBadTime, same, vectorTime.Add(-301*time.Second), vectorToken)
	for _, stamp := range []string{"-1", "1744578123.0", "99999999999999999999", " 1744578123", "x"} {
		f("timestamp "+stamp, gitlab.ErrBadTime, set("webhook-timestamp", stamp), vectorTime, vectorToken)
	}
	f("another id", gitlab.ErrBadSignature, set("webhook-id", "other"), vectorTime, vectorToken)
	f("another version", gitlab.ErrBadSignature, set("webhook-signature", strings.Replace(vectorSig, "v1,", "v2,", 1)), vectorTime, vectorToken)
	f("cut", gitlab.ErrBadSignature, set("webhook-signature", vectorSig[:20]), vectorTime, vectorToken)
	f("no signature", gitlab.ErrNoSignature, func(h http.Header) { h.Del("webhook-signature") }, vectorTime, vectorToken)
	f("no token", gitlab.ErrNoSecret, same, vectorTime)
	f("a token without a key", gitlab.ErrNoSecret, same, vectorTime, "whsec_", "secret")
}

func TestVerifyToken(t *testing.T) {
	f := func(want error, tokens []string, sent ...string) {
		t.Helper()
		h := http.Header{}
		for _, s := range sent {
			h.Add("X-Gitlab-Token", s)
		}
		var list [][]byte
		for _, token := range tokens {
			list = append(list, []byte(token))
		}
		if err := gitlab.VerifyToken(list, h); !errors.Is(err, want) {
			t.Errorf("VerifyToken(%q, %q) = %v, want %v", tokens, sent, err, want)
		}
	}
	f(nil, []string{"old", "new"}, "new")
	f(nil, []string{"old", "new"}, "old")
	f(gitlab.ErrBadToken, []string{"new"}, "ne")
	f(gitlab.ErrBadToken, []string{"new"}, "NEW")
	f(gitlab.ErrBadToken, []string{"new"}, "new", "new")
	f(gitlab.ErrNoToken, []string{"new"})
	f(gitlab.ErrNoSecret, []string{""}, "")
}

func FuzzVerifySignature(f *testing.F) {
	f.Add("f5e5f430-f57b-4e6e-9fac-d9128cd7232f", "1744578123", vectorSig, vectorBody)
	f.Add("", "", "", "")
	f.Add("a.b", "0", "v1, v1,AA==", "{}")
	f.Fuzz(func(t *testing.T, id, stamp, signature, body string) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}}
		err := gitlab.VerifySignature([][]byte{[]byte(vectorToken)}, []byte(body), h, vectorTime)
		if err == nil && !strings.Contains(signature, "v1,") {
			t.Errorf("accepted %q", signature)
		}
		if err == nil && gitlab.VerifySignature([][]byte{[]byte(vectorToken)}, []byte(body+" "), h, vectorTime) == nil {
			t.Error("accepted another body with the same signature")
		}
	})
}
