package normalizers_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"whatchanged/normalizers"
	"whatchanged/pkg/change"
)

// FuzzParseTime: what is read is a moment in UTC, and is read again from how we
// write it.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{
		"2026-03-30T15:30:00Z", "2026-03-30T15:30:00.123+02:00", "2026-03-30 15:30:00 UTC", "2026-03-30 15:30:00 -0700", "2026-03-30T15:30:00-0700",
		"2026-03-30", "1774884600", "1774884600.5", "1774884600123", "1774884600123456", "1774884600123456789", "-1.5", "1.", "0001-01-01T00:00:00Z", " ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := normalizers.ParseTime(s)
		switch {
		case !ok && !at.IsZero():
			t.Errorf("%q is no time and %v", s, at)
		case !ok:
			return
		case at.Location() != time.UTC:
			t.Errorf("%q is in %v", s, at.Location())
		}
		if y := at.Year(); y < 0 || y > 9999 {
			return // Process takes no such time
		}
		if again, ok := normalizers.ParseTime(at.Format(time.RFC3339Nano)); !ok || !again.Equal(at) {
			t.Errorf("%q is %v, and that is %v, %t", s, at, again, ok)
		}
	})
}

// FuzzIdentity: an identity is one printable line, bounded, and says of whose
// header it is, so that no two providers' ids are the same.
func FuzzIdentity(f *testing.F) {
	f.Add("X-Github-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958", "")
	f.Add("Idempotency-Key", "a\nb", "push")
	f.Add("Ce-Id", strings.Repeat("x", 300), "")
	f.Add("X-Gitea-Delivery", "\xff", "")
	f.Fuzz(func(t *testing.T, name, value, gitlab string) {
		h := http.Header{}
		h.Set(name, value)
		if gitlab != "" {
			h.Set("X-Gitlab-Event", gitlab)
		}
		id := normalizers.Identity(h)
		if id == "" {
			return
		}
		if kind, rest, ok := strings.Cut(id, ":"); !ok || kind == "" || rest == "" {
			t.Errorf("identity %q", id)
		}
		if len(id) > 250 || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' && !strings.Contains(value, "\uFFFD") }) {
			t.Errorf("identity %q", id)
		}
	})
}

// FuzzDetect: somebody always sent it, and it is told how that was seen.
func FuzzDetect(f *testing.F) {
	f.Add("X-Github-Event", "push", []byte(`{"ref":"refs/heads/main"}`))
	f.Add("User-Agent", "GitHub-Hookshot/1", []byte(`{"Records":[{"eventSource":"s3"}]}`))
	f.Add("Ce-Specversion", "1.0", []byte(`[{"eventType":"Microsoft.Storage.BlobCreated","topic":"/"}]`))
	f.Fuzz(func(t *testing.T, name, value string, body []byte) {
		if normalizers.CheckJSON(body) != nil {
			return // it comes no further than the door
		}
		h := http.Header{}
		h.Set(name, value)
		provider, by := normalizers.Detect(h, body)
		if provider == "" || by == "" {
			t.Errorf("provider %q by %q", provider, by)
		}
	})
}

// FuzzDecompress: however it is packed, no more than the limit comes out, and
// what cannot be unpacked is malformed.
func FuzzDecompress(f *testing.F) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(bytes.Repeat([]byte("a"), 100_000))
	w.Close()
	f.Add("gzip", b.Bytes())
	f.Add("gzip, identity", b.Bytes())
	f.Add("deflate", []byte{0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01})
	f.Add("deflate", []byte{0x03, 0x00})
	f.Add("deflate,,gzip,gzip", []byte{})
	f.Add("br", []byte{})
	const limit = 10_000
	f.Fuzz(func(t *testing.T, coding string, body []byte) {
		h := http.Header{}
		h.Set("Content-Encoding", coding)
		out, err := normalizers.Decompress(h, body, limit)
		switch {
		case err != nil && !errors.Is(err, change.ErrMalformed):
			t.Errorf("%v is not malformed", err)
		case err != nil && out != nil:
			t.Errorf("%d bytes and %v", len(out), err)
		case len(out) > limit && !bytes.Equal(out, body): // what is not packed has its limit elsewhere
			t.Errorf("%d bytes", len(out))
		}
	})
}
