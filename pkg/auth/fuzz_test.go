package auth

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzToken: a token that we take can stand in a URL and a header as it is, and
// nothing of it is in its fingerprint.
func FuzzToken(f *testing.F) {
	f.Add("wct_0123456789abcdef")
	f.Add("ak_live_" + strings.Repeat("x", 300))
	f.Add("0123456789abcde\n")
	f.Fuzz(func(t *testing.T, s string) {
		if ValidToken(s) && (!ValidKey(s) || strings.ContainsAny(s, "/?#%&=+ \r\n") || len(s) > MaxToken) {
			t.Errorf("%q is a token", s)
		}
		if ValidKey(s) && strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q is a key", s)
		}
		if len(Fingerprint(s)) != 8 {
			t.Errorf("fingerprint %q", Fingerprint(s))
		}
	})
}

// FuzzDigest: a digest is read from what we write, in either case, and from
// nothing else.
func FuzzDigest(f *testing.F) {
	text, _ := Hash("token").MarshalText()
	f.Add(text)
	f.Add(bytes.ToUpper(text))
	f.Add(text[1:])
	f.Fuzz(func(t *testing.T, text []byte) {
		var d Digest
		if d.UnmarshalText(text) != nil {
			return
		}
		if again, err := d.MarshalText(); err != nil || !bytes.EqualFold(again, text) {
			t.Errorf("%q is %q, %v", text, again, err)
		}
	})
}

// FuzzOpen: what was not sealed with this key for this owner does not open.
func FuzzOpen(f *testing.F) {
	s, err := newSealer(make([]byte, masterKeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("acme", []byte(s.Seal("other", "secret")))
	f.Add("acme", []byte{sealVersion})
	f.Fuzz(func(t *testing.T, owner string, sealed []byte) {
		if plain, err := s.Open(owner, sealed); err == nil && owner != "other" {
			t.Errorf("%q opens for %q", plain.Reveal(), owner)
		}
	})
}

// FuzzMasterKey: a master key has its 32 bytes, or is refused without a word of it.
func FuzzMasterKey(f *testing.F) {
	f.Add(strings.Repeat("0a", 32))
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Add("short-and-secret")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := parseMasterKey(text)
		if err == nil && len(key) != masterKeySize {
			t.Errorf("%d bytes", len(key))
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), text) {
			t.Errorf("%v shows the key", err)
		}
	})
}
