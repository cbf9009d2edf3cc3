package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGrants_AreTheFilesUnderDeploy(t *testing.T) {
	f := func(file string, environ ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), Environment{Args: []string{"clickhouse", "grants"}, Environ: environ, Stdout: &out, Stderr: &errs}); code != exitOK {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		want, err := os.ReadFile("../../deploy/clickhouse/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-want +got); write it with whatchanged clickhouse grants:\n%s", file, diff)
		}
	}
	f("users.sql")
	f("users-cluster.sql", "WHATCHANGED_STORE_CLUSTER=whatchanged")
}

func TestGrants_TakeHashesOnly(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	f := func(given string, code int, want string) {
		t.Helper()
		var out, errs bytes.Buffer
		got := run(t.Context(), Environment{Args: []string{"clickhouse", "grants", "--password-sha256", given}, Stdout: &out, Stderr: &errs})
		if got != code || !strings.Contains(out.String()+errs.String(), want) {
			t.Errorf("%s: exit %d, want %d with %q\n%s", given, got, code, want, errs.String())
		}
	}
	f("api="+hash, exitOK, "whatchanged_api IDENTIFIED WITH sha256_hash BY '"+hash+"'")
	f("api=hunter2", exitUsage, "64 hexadecimal digits")
	f("root="+hash, exitUsage, `"root" is not one of api`)
}
