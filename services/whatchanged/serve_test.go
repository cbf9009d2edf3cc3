package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestServe_NeedsAService(t *testing.T) {
	f := func(services, want string) {
		t.Helper()
		var said bytes.Buffer
		// With --check nothing is started, should it be taken.
		code := run(t.Context(), Environment{Args: []string{"serve", "--check", "--services", services}, Stdout: &said, Stderr: &said})
		if code != exitUsage || !strings.Contains(said.String(), want) {
			t.Errorf("%q: exit %d, %s", services, code, said.String())
		}
	}
	f("", "receiver, normalizer, writer, api")
	f("everything", `"everything" is not one of receiver`)
}
