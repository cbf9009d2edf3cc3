package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// With servers of their own the backup is theirs, also when a server with the
// embedded engine runs on the data directory.
func TestBackupCreate_AsksTheEmbeddedServerOnlyForItsOwn(t *testing.T) {
	dir := t.TempDir()
	path, release, err := controlAddress(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		answerJSON(w, http.StatusOK, map[string]string{"name": "of-the-embedded-server"})
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	f := func(want string, wantAsked int, args ...string) {
		t.Helper()
		asked = 0
		var said bytes.Buffer
		run(t.Context(), Environment{Args: append([]string{"backup", "create", "--data-dir", dir}, args...), Stdout: &said, Stderr: &said})
		if !strings.Contains(said.String(), want) || asked != wantAsked {
			t.Errorf("%q: asked %d times, and said %s", args, asked, said.String())
		}
	}
	f("of-the-embedded-server is made", 1)
	f("say both --nats and --clickhouse", 0, "--clickhouse", "clickhouse://127.0.0.1:9000")
}
