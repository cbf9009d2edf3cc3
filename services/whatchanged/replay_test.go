package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whoever asks for a dry run and means it must not get the real one.
func TestReplay_ResumeTakesNothingElse(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	f := func(name, value string) {
		t.Helper()
		var said bytes.Buffer
		code := run(t.Context(), Environment{
			Args:   []string{"replay", "--resume", "--" + name + "=" + value, "--url", server.URL, "--key", "key-of-an-operator"},
			Stdout: &said, Stderr: &said,
		})
		if code != exitUsage || !strings.Contains(said.String(), "leave --"+name+" out") || asked != 0 {
			t.Errorf("--%s: exit %d, %d requests, %s", name, code, asked, said.String())
		}
	}
	f("dry-run", "true")
	f("from", "7d")
	f("to", "1d")
	f("source", "src_abc123")
	f("provider", "github")
	f("delivery", "dlv_01hq3v8k2m4n6p8r0s2t4v6x8z")
}
