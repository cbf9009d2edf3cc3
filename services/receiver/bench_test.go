package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/registry/registrytest"
	"whatchanged/services/receiver"
)

// instant is a committer that costs nothing, to see what the receiver costs.
type instant struct{}

func (instant) Commit(context.Context, *change.Delivery) (bus.Position, error) {
	return bus.Position{}, nil
}

// pushBody returns a body of about 6.7 KB, shaped like a push.
func pushBody() string {
	type commit struct {
		ID, Message, URL string
		Added            []string
	}
	var push struct {
		Ref     string
		Commits []commit
	}
	push.Ref = "refs/heads/main"
	for i := range 24 {
		push.Commits = append(push.Commits, commit{
			ID: strings.Repeat(strconv.Itoa(i%10), 40), Message: "pay: retry \"declined\" cards\n\nOnce, after a second.",
			URL: "https://github.example/acme/pay/commit/" + strconv.Itoa(i), Added: []string{"pay/retry.go", "pay/retry_test.go", "docs/é.md"},
		})
	}
	b, _ := json.Marshal(push)
	return string(b)
}

// nothing takes an answer and drops it.
type nothing struct {
	header http.Header
	status int
}

func (n *nothing) Header() http.Header         { return n.header }
func (n *nothing) WriteHeader(status int)      { n.status = status }
func (n *nothing) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkReceiver(b *testing.B) {
	theBus := bustest.New(b)
	reg, _ := registrytest.New(b, theBus.KV(bus.BucketRegistry))
	sealer, err := auth.OpenSealer(filepath.Join(b.TempDir(), "k"), "", false)
	if err != nil {
		b.Fatal(err)
	}
	s := registry.Source{Org: registry.DefaultOrg, Name: "x", Auth: registry.AuthGitHubHMAC}
	if err := s.SetSecrets(sealer, "a-long-secret"); err != nil {
		b.Fatal(err)
	}
	_, token, err := reg.CreateSource(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	cfg := receiver.DefaultConfig()
	cfg.SourceRate = 1 << 30
	cfg.SourceBytes = 1 << 50
	rc, err := receiver.New(receiver.Deps{
		Registry: reg, Committer: instant{}, Sealer: sealer, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}, cfg)
	if err != nil {
		b.Fatal(err)
	}
	body := pushBody()
	name, value, _ := strings.Cut(githubSignature("a-long-secret", body), ": ")
	r := httptest.NewRequest(http.MethodPost, receiver.Prefix+token, nil)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-Github-Event": "push", "User-Agent": "GitHub-Hookshot/044aadd",
		"X-Github-Hook-Id": "292430182", "X-Github-Hook-Installation-Target-Id": "79929171", "Accept": "*/*", name: value,
		"X-Github-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958", "X-Github-Hook-Installation-Target-Type": "repository",
	} {
		r.Header.Set(name, value)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	source := bytes.NewReader(nil)
	r.Body = io.NopCloser(source)
	r.ContentLength = int64(len(body))
	data := []byte(body)
	w := &nothing{header: http.Header{}}
	for b.Loop() {
		source.Reset(data)
		w.status = http.StatusOK
		rc.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}
