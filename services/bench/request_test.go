package bench

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parse reads a request as any server would.
func parse(t *testing.T, raw []byte) (*http.Request, []byte) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(raw))
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	if rest := r.Buffered(); rest > 0 {
		t.Errorf("%d bytes after the body", rest)
	}
	return req, body
}

func requestsOf(t *testing.T, payloads []payload) []request {
	t.Helper()
	var all []request
	for _, p := range payloads {
		r, err := newRequest(p, "127.0.0.1:8080", webhookPath+"token", true)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// push is the part of the built-in payload that must be fresh.
type push struct {
	Ref, Before, After string
	Repository         struct {
		PushedAt int64 `json:"pushed_at"`
	}
	Commits    []commit
	HeadCommit commit `json:"head_commit"`
}

type commit struct{ ID, Message, Timestamp string }

func TestRequest_IsAPushThatGitHubCouldHaveSent(t *testing.T) {
	payloads, err := builtIn()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	w := newWriter(requestsOf(t, payloads), "secret", 1, 0)
	req, body := parse(t, w.request(now))

	if req.Method != "POST" || req.URL.Path != webhookPath+"token" || req.Host != "127.0.0.1:8080" {
		t.Errorf("request is %s %s for %s", req.Method, req.URL, req.Host)
	}
	want := map[string]string{
		"Content-Type": "application/json", "X-Github-Event": "push",
		"X-Hub-Signature-256": "sha256=" + signature("secret", body),
	}
	got := map[string]string{}
	for name := range want {
		got[name] = req.Header.Get(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got)\n%s", diff)
	}
	if len(body) < 6500 || len(body) > 7000 {
		t.Errorf("the body has %d bytes, want about 6,700", len(body))
	}
	if n := payloads[0].body.fresh(); n < freshText {
		t.Errorf("%d bytes of fresh text, want at least %d", n, freshText)
	}
	var p push
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if p.After != p.HeadCommit.ID || p.After != p.Commits[len(p.Commits)-1].ID || p.After == p.Before || len(p.After) != 40 {
		t.Errorf("shas do not fit: %+v", p)
	}
	if p.HeadCommit.Timestamp != "2026-03-04T05:06:07Z" || p.Repository.PushedAt != now.Unix() {
		t.Errorf("times are not those of sending: %q, %d", p.HeadCommit.Timestamp, p.Repository.PushedAt)
	}
}

func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func TestRequest_NoTwoShareAnything(t *testing.T) {
	payloads, err := builtIn()
	if err != nil {
		t.Fatal(err)
	}
	requests := requestsOf(t, payloads)
	seen := map[string]bool{}
	unique := func(what, value string) {
		if seen[what+value] {
			t.Errorf("%s %q came twice", what, value)
		}
		seen[what+value] = true
	}
	for connection := range 4 {
		w := newWriter(requests, "secret", 99, connection)
		for range 200 {
			req, body := parse(t, w.request(time.Now()))
			var p push
			if err := json.Unmarshal(body, &p); err != nil {
				t.Fatal(err)
			}
			unique("delivery", req.Header.Get("X-Github-Delivery"))
			unique("signature", req.Header.Get("X-Hub-Signature-256"))
			unique("sha", p.After)
			unique("sha", p.Before)
			unique("sha", p.Commits[0].ID)
			unique("branch", p.Ref)
			for _, c := range p.Commits {
				unique("message", c.Message)
			}
			if got, want := req.Header.Get("X-Hub-Signature-256"), "sha256="+signature("secret", body); got != want {
				t.Fatalf("signature %s, want %s", got, want)
			}
		}
	}
}

func TestPayloads_FromADirectoryBecomeUnique(t *testing.T) {
	payloads, skipped, err := readPayloads("testdata/payloads")
	if err != nil {
		t.Fatal(err)
	}
	if len(payloads) != 3 || skipped != 1 {
		t.Fatalf("%d payloads, %d left out, want 3 and 1", len(payloads), skipped)
	}
	w := newWriter(requestsOf(t, payloads), "secret", 1, 0)
	type facts struct {
		Event, Delivery string
		Body            map[string]any
	}
	read := func() map[string]facts {
		all := map[string]facts{}
		for _, p := range payloads {
			req, body := parse(t, w.request(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)))
			if got, want := req.Header.Get("X-Hub-Signature-256"), "sha256="+signature("secret", body); got != want {
				t.Errorf("%s: signature %s, want %s", p.name, got, want)
			}
			f := facts{Event: req.Header.Get("X-GitHub-Event"), Delivery: req.Header.Get("X-GitHub-Delivery")}
			if body[0] == '[' {
				var list []map[string]any
				if err := json.Unmarshal(body, &list); err != nil {
					t.Fatalf("%s: %v", p.name, err)
				}
				f.Body = list[0]
			} else if err := json.Unmarshal(body, &f.Body); err != nil {
				t.Fatalf("%s: %v\n%s", p.name, err, body)
			}
			all[filepath.Base(p.name)] = f
		}
		return all
	}
	one, two := read(), read()

	a, b := one["deployment.json"], two["deployment.json"]
	if a.Event != "deployment" || len(a.Delivery) != 36 || a.Delivery == b.Delivery {
		t.Errorf("headers: %q, %q then %q", a.Event, a.Delivery, b.Delivery)
	}
	if a.Body["sha"] == b.Body["sha"] || a.Body["sha"] != a.Body["again"] {
		t.Errorf("shas: %v and %v, then %v", a.Body["sha"], a.Body["again"], b.Body["sha"])
	}
	if a.Body["id"] == b.Body["id"] {
		t.Errorf("id %v came twice", a.Body["id"])
	}
	kept := map[string]any{}
	for _, name := range []string{"created_at", "before", "small", "environment"} {
		kept[name] = a.Body[name]
	}
	want := map[string]any{
		"created_at": "2026-03-04T05:06:07.123+02:00", "before": strings.Repeat("0", 40), "small": map[string]any{"id": 12.0}, "environment": "production",
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("values (-want +got)\n%s", diff)
	}
	for name, f := range one {
		if note, _ := f.Body["bench_note"].(string); len(note) != freshText || note == two[name].Body["bench_note"] {
			t.Errorf("%s: no fresh text", name)
		}
	}
}

func TestPayloads_MissingDirectoryIsAnError(t *testing.T) {
	if _, _, err := readPayloads(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for a directory that is not there")
	}
	if _, _, err := readPayloads(t.TempDir()); err == nil {
		t.Error("no error for a directory without payloads")
	}
}

func TestTemplate_UnknownMarksAreErrors(t *testing.T) {
	f := func(text string) {
		t.Helper()
		var tpl template
		if err := tpl.addMarked([]byte(text)); err == nil {
			t.Errorf("no error for %s", text)
		}
	}
	f(`{{colour x 3}}`)
	f(`{{hex x}}`)
}

func FuzzUniquePayload(f *testing.F) {
	for _, name := range []string{"deployment.json", "empty.json", "list.json"} {
		b, err := os.ReadFile(filepath.Join("testdata/payloads", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, ok := uniquePayload("fuzz", body)
		if !ok {
			return
		}
		r, err := newRequest(p, "host", "/", true)
		if err != nil {
			t.Fatal(err)
		}
		got := newWriter([]request{r}, "secret", 1, 0).request(time.Now())
		if !json.Valid(got[r.body:]) {
			t.Errorf("%q became %q", body, got[r.body:])
		}
	})
}
