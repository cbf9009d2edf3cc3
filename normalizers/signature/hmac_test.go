package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"whatchanged/normalizers/signature"
)

func algorithm(tb testing.TB, name string) signature.Algorithm {
	tb.Helper()
	a, err := signature.AlgorithmOf(name)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func secrets(list ...string) [][]byte {
	var out [][]byte
	for _, s := range list {
		out = append(out, []byte(s))
	}
	return out
}

func TestHMAC_TakesWhatProvidersPublish(t *testing.T) {
	f := func(what, secret, body, sent string) {
		t.Helper()
		if err := signature.HMAC(algorithm(t, ""), secrets(secret), []byte(body), []string{sent}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("GitHub", "It's a Secret to Everybody", "Hello, World!", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	f("GitHub's form", "s3cret", "payload=%7B%22zen%22%3A%22hi%22%7D", "sha256=ea056b1cca3bbf5b864fb1d6a1d6e89c5d1efca1bfe5048091e3888bd607a281")
	f("PagerDuty", "whsecret", `{"event":{}}`, "v1=a9171264919b6daa3361f882ca0bae049f52e134e2369db0f9d8c7213a0c55ef")
}

func TestHMAC_TakesHexAndBase64WithAndWithoutPrefix(t *testing.T) {
	const body, secret = `{"a":1}`, "a-long-secret"
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	sum := mac.Sum(nil)
	digits, text := hex.EncodeToString(sum), base64.StdEncoding.EncodeToString(sum)
	wide := hmac.New(sha512.New, []byte(secret))
	wide.Write([]byte(body))
	wideSum := wide.Sum(nil)
	wideDigits, wideText := hex.EncodeToString(wideSum), base64.StdEncoding.EncodeToString(wideSum)
	other := strings.Repeat("0", 64)
	f := func(want error, name string, list [][]byte, sent ...string) {
		t.Helper()
		if err := signature.HMAC(algorithm(t, name), list, []byte(body), sent); !errors.Is(err, want) {
			t.Errorf("HMAC(%s, %q) = %v, want %v", name, sent, err, want)
		}
	}
	right := secrets("the-old-secret", secret)
	for _, sent := range []string{
		digits, strings.ToUpper(digits), text, "sha256=" + digits, "sha256=" + text, "v1=" + digits, "v1=" + text,
		"v1=" + other + ",v1=" + digits, "v1=" + other + ", v1=" + digits, other + " " + digits, "t=1,v0=x,v1=" + digits,
	} {
		f(nil, "sha256", right, sent)
	}
	for _, sent := range []string{wideDigits, wideText, "sha512=" + wideDigits, "v1=" + wideText} {
		f(nil, "sha512", right, sent)
	}
	for _, sent := range []string{
		"", " ", ",", "=", "v1=", "sha256=", other, digits[1:], digits + "0", text[1:], "sha1=" + digits, "sha512=" + digits, "v2=" + digits,
		"sha256=v1=" + digits, "v1=v1=" + digits, strings.Repeat("z", 64), wideDigits, strings.Repeat(other+",", 8) + digits,
	} {
		f(signature.ErrMismatch, "sha256", right, sent)
	}
	f(signature.ErrMismatch, "sha512", right, digits)
	f(signature.ErrMismatch, "sha256", right, digits, digits)
	f(signature.ErrMismatch, "sha256", secrets("another-secret"), digits)
	f(signature.ErrMissing, "sha256", right)
	f(signature.ErrNoSecret, "sha256", secrets(""), digits)
	f(signature.ErrNoSecret, "sha256", nil, digits)
	for _, name := range []string{"sha1", "md5", "SHA256", "none"} {
		if _, err := signature.AlgorithmOf(name); err == nil {
			t.Errorf("AlgorithmOf(%q) is taken", name)
		}
	}
}

func TestSecret(t *testing.T) {
	f := func(want error, list [][]byte, sent string) {
		t.Helper()
		if err := signature.Secret(list, sent); !errors.Is(err, want) {
			t.Errorf("Secret(%q, %q) = %v, want %v", list, sent, err, want)
		}
	}
	f(nil, secrets("old", "new"), "new")
	f(nil, secrets("old", "new"), "old")
	f(signature.ErrMismatch, secrets("new"), "ne")
	f(signature.ErrMismatch, secrets("new"), "NEW")
	f(signature.ErrMismatch, secrets("new"), "")
	f(signature.ErrMismatch, secrets("", "new"), "")
	f(signature.ErrNoSecret, secrets(""), "")
	f(signature.ErrNoSecret, nil, "new")
}

func FuzzHMAC(f *testing.F) {
	f.Add("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", []byte("Hello, World!"))
	f.Add("v1=,v1= ,,  =", []byte("{}"))
	f.Add("dXEH6g6yUJ/CESIczpiLijdXC211hsIsRvQ3nIsEPhc=", []byte("Hello, World!"))
	list := secrets("It's a Secret to Everybody")
	f.Fuzz(func(t *testing.T, sent string, body []byte) {
		for _, name := range []string{"sha256", "sha512"} {
			a := algorithm(t, name)
			if signature.HMAC(a, list, body, []string{sent}) == nil && signature.HMAC(a, list, append(body, ' '), []string{sent}) == nil {
				t.Error("accepted another body with the same signature")
			}
		}
	})
}
