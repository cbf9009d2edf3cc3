package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What `dead list --installation` lists can be looked at.
func TestDead_ShowsWhatConcernsNoOrg(t *testing.T) {
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"data": {"id": "ded_1", "stage": "frame", "reason": "unreadable"}}`)
	}))
	defer server.Close()
	f := func(command, wantAsked, wantSaid string) {
		t.Helper()
		var said bytes.Buffer
		args := append(strings.Fields(command), "--url", server.URL, "--key", "key-of-an-operator")
		code := run(t.Context(), Environment{Args: args, Stdout: &said, Stderr: &said})
		if code != exitOK || asked != wantAsked || !strings.Contains(said.String(), wantSaid) {
			t.Errorf("%s: exit %d after asking %s, saying %s", command, code, asked, said.String())
		}
	}
	f("dead show ded_1", "/api/v1/dead/ded_1", "whatchanged dead redrive ded_1\n")
	f("dead show ded_1 --installation", "/api/v1/dead/ded_1?installation=true", "whatchanged dead redrive ded_1 --installation\n")
	f("dead payload ded_1", "/api/v1/dead/ded_1/payload", "unreadable")
	f("dead payload ded_1 --installation", "/api/v1/dead/ded_1/payload?installation=true", "unreadable")
}
