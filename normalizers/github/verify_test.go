package github_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"

	"whatchanged/normalizers/github"
)

// The first vector is GitHub's own; the second shows that a form is signed as
// it came.
func TestVerify_TakesGitHubsVectors(t *testing.T) {
	f := func(secret, body, signature string) {
		t.Helper()
		h := http.Header{}
		h.Set("X-Hub-Signature-256", signature)
		if err := github.Verify([][]byte{[]byte("old"), []byte(secret)}, []byte(body), h); err != nil {
			t.Errorf("Verify(%q): %v", body, err)
		}
	}
	f("It's a Secret to Everybody", "Hello, World!", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	f("s3cret", "payload=%7B%22zen%22%3A%22hi%22%7D", "sha256=ea056b1cca3bbf5b864fb1d6a1d6e89c5d1efca1bfe5048091e3888bd607a281")
}

func TestVerify_RefusesWhatIsNotSigned(t *testing.T) {
	const right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	secrets := [][]byte{[]byte("It's a Secret to Everybody")}
	f := func(what string, want error, secrets [][]byte, signatures ...string) {
		t.Helper()
		h := http.Header{}
		for _, s := range signatures {
			h.Add("X-Hub-Signature-256", s)
		}
		if err := github.Verify(secrets, []byte("Hello, World!"), h); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	f("no header", github.ErrNoSignature, secrets)
	f("no prefix", github.ErrBadSignature, secrets, right)
	f("cut", github.ErrBadSignature, secrets, "sha256="+right[:62])
	f("upper case", github.ErrBadSignature, secrets, "sha256="+"757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17")
	f("one digit off", github.ErrBadSignature, secrets, "sha256=8"+right[1:])
	f("two headers", github.ErrBadSignature, secrets, "sha256="+right, "sha256="+right)
	f("another secret", github.ErrBadSignature, [][]byte{[]byte("other")}, "sha256="+right)
	f("no secret", github.ErrNoSecret, nil, "sha256="+right)
	f("empty secret", github.ErrNoSecret, [][]byte{{}}, "sha256="+right)
}

func FuzzVerify(f *testing.F) {
	f.Add("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", []byte("Hello, World!"))
	f.Add("sha256=", []byte(""))
	f.Add("sha1=00", []byte("{}"))
	f.Fuzz(func(t *testing.T, signature string, body []byte) {
		secret := []byte("It's a Secret to Everybody")
		mac := hmac.New(sha256.New, secret)
		mac.Write(body)
		want := signature == "sha256="+hex.EncodeToString(mac.Sum(nil))
		h := http.Header{"X-Hub-Signature-256": {signature}}
		if err := github.Verify([][]byte{secret}, body, h); (err == nil) != want {
			t.Errorf("Verify(%q) = %v, want accepted: %v", signature, err, want)
		}
	})
}
