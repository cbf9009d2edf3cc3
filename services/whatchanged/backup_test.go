package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/chdb/chdbtest"
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

// With services apart a backup is made and put back by the users that are there
// for it: what the servers would refuse to them is an error here.
func TestBackup_WorksAsItsUserOnServersThatHaveUsers(t *testing.T) {
	clickhouse := httptest.NewServer(chdbtest.Engine(t).Handler())
	defer clickhouse.Close()
	nats := bustest.SecureServer(t)
	database := chdbtest.Database(t)
	whatchanged := func(user string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		code := run(t.Context(), Environment{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Environ: []string{
			"WHATCHANGED_BUS_URL=" + nats.URL, "WHATCHANGED_BUS_USER=" + user, "WHATCHANGED_BUS_PASSWORD=" + bustest.Password(user),
			"WHATCHANGED_BUS_MAX_BYTES=100000000", "WHATCHANGED_STORE_DSN=" + clickhouse.URL, "WHATCHANGED_STORE_DATABASE=" + database,
			"WHATCHANGED_BACKUP_TO=file:" + allowed, "WHATCHANGED_DATA_DIR=" + t.TempDir(),
		}})
		if code != exitOK {
			t.Fatalf("whatchanged %s as %s exits with %d: %s", strings.Join(args, " "), user, code, errs.String())
		}
		return out.String()
	}
	whatchanged(bus.UserAdmin, "migrate")
	if out := whatchanged(bus.UserBackup, "backup", "create", "--name", "nightly"); !strings.Contains(out, "nightly is made") {
		t.Errorf("create says %q", out)
	}
	if out := whatchanged(bus.UserBackup, "backup", "restore", "nightly", "--force"); !strings.Contains(out, "nightly is restored") {
		t.Errorf("restore says %q", out)
	}
}
