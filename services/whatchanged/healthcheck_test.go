package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthcheck_ExitsWithWhatReadyzSays(t *testing.T) {
	f := func(status int, answer string, wantCode int, wantSaid string) {
		t.Helper()
		asked := ""
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.URL.Path
			w.WriteHeader(status)
			io.WriteString(w, answer)
		}))
		defer server.Close()
		var said bytes.Buffer
		listen := "WHATCHANGED_LISTEN=0.0.0.0" + server.URL[strings.LastIndexByte(server.URL, ':'):]
		for _, env := range []Environment{
			{Args: []string{"healthcheck", server.URL}},
			{Args: []string{"healthcheck"}, Environ: []string{listen}}, // as in a container
		} {
			said.Reset()
			env.Stdin, env.Stdout, env.Stderr = strings.NewReader(""), io.Discard, &said
			if code := run(t.Context(), env); code != wantCode || asked != "/readyz" || !strings.Contains(said.String(), wantSaid) {
				t.Errorf("%q with %d: exit %d after asking %q, saying %q; want exit %d, /readyz, and %q in it",
					env.Args, status, code, asked, said.String(), wantCode, wantSaid)
			}
		}
	}
	f(http.StatusOK, `{"status":"ready"}`, exitOK, "")
	f(http.StatusServiceUnavailable, `{"status":"not ready","checks":{"bus":"failing"}}`, exitFailed, `"bus":"failing"`)
	f(http.StatusNotFound, "nothing here", exitFailed, "404")
}

func TestHealthcheck_FailsWhenNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	env := Environment{Args: []string{"healthcheck", server.URL}, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard}
	if code := run(t.Context(), env); code != exitFailed {
		t.Errorf("exit %d, want %d", code, exitFailed)
	}
}
