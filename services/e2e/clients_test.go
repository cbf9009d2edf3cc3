package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// deployed is where the clients and the snippets are.
const deployed = "../../deploy"

// printedKey is the key of the documents' examples.
const printedKey = "imk_sk_a1b2c3d4e5f6g7h8i9j0"

// live is the real program, as the tests of clients and snippets see it.
type live struct {
	url, key string
}

// startLive starts the program on a fresh data directory; it ends with the test.
func startLive(t *testing.T) *live {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var log bytes.Buffer
	cmd := exec.Command(binary, "serve", "--listen", listen, "--data-dir", dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "PATH"} {
		cmd.Env = append(cmd.Env, name+"="+os.Getenv(name))
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil || t.Failed() {
				t.Logf("the server ended: %v\n%s", err, &log)
			}
		case <-time.After(patience):
			cmd.Process.Kill()
			<-ended
			t.Errorf("the server did not end within %s\n%s", patience, &log)
		}
	})
	s := &live{url: "http://" + listen}
	until(t, "the server to be ready", func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server ended: %v\n%s", err, &log)
		default:
		}
		return get(s.url + "/readyz")
	})
	text, err := os.ReadFile(filepath.Join(dir, "bootstrap.json"))
	if err != nil {
		t.Fatal(err)
	}
	var boot struct {
		APIKey string `json:"api_key"`
	}
	if err := json.Unmarshal(text, &boot); err != nil {
		t.Fatal(err)
	}
	s.key = boot.APIKey
	return s
}

// until tries until f succeeds, and tells the last failure when it never does.
func until(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s: %v", patience, what, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// call sends a request with the server's first key, and returns the answer's data.
func (s *live) call(t *testing.T, method, path, body string) json.RawMessage {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + s.key}, "Content-Type": {"application/json"}}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Data json.RawMessage }
	if err := json.Unmarshal(text, &out); err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s: %s", method, path, res.Status, text)
	}
	return out.Data
}

// newKey makes a key that is known already, with the scopes given.
func (s *live) newKey(t *testing.T, key string, scopes ...string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"name": key[len(key)-8:], "scopes": scopes, "key": key})
	if err != nil {
		t.Fatal(err)
	}
	s.call(t, http.MethodPost, "/api/v1/keys", string(body))
}

// list asks until a list has n entries, which it returns.
func (s *live) list(t *testing.T, path string, query url.Values, n int) []map[string]any {
	t.Helper()
	var out []map[string]any
	until(t, fmt.Sprintf("%d of %s?%s", n, path, query.Encode()), func() error {
		out = nil
		if err := json.Unmarshal(s.call(t, http.MethodGet, path+"?"+query.Encode(), ""), &out); err != nil {
			return err
		}
		if len(out) != n {
			return fmt.Errorf("there are %d: %v", len(out), out)
		}
		return nil
	})
	return out
}

// command runs a program to its end and returns what it printed; what it needs
// of the environment beside this process's own comes as name=value.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// checkout copies a client, without what was built of it here, to where a test
// may build it.
func checkout(t *testing.T, client string) string {
	t.Helper()
	from, dir := filepath.Join(deployed, "clients", client), t.TempDir()
	built := []string{"node_modules", "dist", "build", "__pycache__"}
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		switch {
		case d.IsDir() && slices.Contains(built, d.Name()):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// readdress puts the server and a key into examples, instead of those printed.
func readdress(t *testing.T, pattern, to, key string) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no examples at %s: %v", pattern, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("http://127.0.0.1:8080"), []byte(to)), []byte(printedKey), []byte(key))
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// infrastructure is what the examples record.
func infrastructure(t *testing.T) []map[string]any {
	t.Helper()
	text, err := os.ReadFile("testdata/clients/infrastructure.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []map[string]any
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

// checkInfrastructure compares all that was recorded with what the examples say.
func checkInfrastructure(t *testing.T, s *live, want []map[string]any) {
	t.Helper()
	got := s.list(t, "/api/v1/events", nil, len(want))
	byAction := func(a, b map[string]any) int {
		return strings.Compare(fmt.Sprint(a["action"]), fmt.Sprint(b["action"]))
	}
	slices.SortFunc(want, byAction) // two may be of one millisecond
	slices.SortFunc(got, byAction)
	for i := range want {
		if err := contains(want[i], got[i], fmt.Sprintf("$[%d]", i)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want[i]["metadata"], got[i]["metadata"]); diff != "" {
			t.Errorf("metadata of %s (-want +got):\n%s", want[i]["action"], diff)
		}
	}
}

// checkInvestigation compares what the example of an investigation prints: a
// title, and a line for each event of api-gateway.
func checkInvestigation(t *testing.T, printed string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	if len(lines) != 4 || lines[0] != "Recent changes to api-gateway:" {
		t.Fatalf("it prints %d lines, want a title and three events:\n%s", len(lines), printed)
	}
	for i, says := range []string{"Priya Sharma | deployment.rollback", "Priya Sharma | config.changed", "GitHub Actions | deployment.started"} {
		at, rest, _ := strings.Cut(lines[i+1], " | ")
		if _, err := time.Parse(time.RFC3339, at); err != nil || !strings.HasPrefix(rest, says+" | {") || !strings.Contains(rest, "production") {
			t.Errorf("line %d is %q, want a time, %q and the metadata", i+1, lines[i+1], says)
		}
	}
}

// S4-7, S4-8, S4-14, S4-15, S4-16, S4-18, S4-19, S4-39, S4-40: the client's own
// tests, then the printed examples against the real server.
func TestClients_TypeScript(t *testing.T) {
	s := startLive(t)
	s.newKey(t, printedKey, "events:write", "events:read")
	dir := checkout(t, "typescript")
	readdress(t, filepath.Join(dir, "examples/*.ts"), s.url, printedKey)
	command(t, dir, nil, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	command(t, dir, nil, "npm", "test") // builds it, too
	command(t, dir, nil, "npm", "exec", "--", "tsc", "-p", "examples")
	command(t, dir, nil, "node", "examples/dist/infrastructure.js")
	checkInfrastructure(t, s, infrastructure(t))
	checkInvestigation(t, command(t, dir, nil, "node", "examples/dist/investigate.js"))
	checkBatch(t, s, func(env []string) {
		command(t, dir, env, "node", "--input-type=module", "--eval", `
			import { ImmutableClient } from "getimmutable";
			const told = [];
			const client = new ImmutableClient({
				apiKey: process.env.KEY, baseUrl: process.env.URL, batch: { size: 2, onError: (error) => told.push(error) },
			});
			const actor = client.actor("batcher");
			const first = actor.track("batch.first", "x");
			actor.track("not dotted", "x");
			actor.track("batch.third", "x");
			await client.close().then(() => { throw new Error("no error") }, () => {});
			if (!(await first).id.startsWith("chg_") || told.length !== 1 || told[0].status !== 400 || told[0].field !== "action") throw told;
		`)
	})
}

// S4-9, S4-14, S4-15, S4-16, S4-18, S4-19, S4-41: as for TypeScript.
func TestClients_Python(t *testing.T) {
	s := startLive(t)
	s.newKey(t, printedKey, "events:write", "events:read")
	dir := checkout(t, "python")
	readdress(t, filepath.Join(dir, "examples/*.py"), s.url, printedKey)
	env := []string{"PYTHONPATH=" + filepath.Join(dir, "src") + ":" + filepath.Join(dir, "examples"), "PYTHONDONTWRITEBYTECODE=1", "PYTHONIOENCODING=utf-8"}
	command(t, dir, env, "python3", "-W", "error", "-m", "unittest")
	command(t, dir, env, "python3", "examples/infrastructure.py")
	checkInfrastructure(t, s, infrastructure(t))
	checkInvestigation(t, command(t, dir, env, "python3", "examples/investigate.py"))
	checkBatch(t, s, func(more []string) {
		command(t, dir, append(more, env...), "python3", "-c", `
import os
from getimmutable import ImmutableClient
from whatchanged_client import BatchOptions, ProblemError
told = []
client = ImmutableClient(api_key=os.environ["KEY"], base_url=os.environ["URL"],
                         batch=BatchOptions(size=2, on_error=lambda error, event: told.append(error)))
for action in ("batch.first", "not dotted", "batch.third"):
    client.actor("batcher").track(action, "x")
try:
    client.close()
except ProblemError:
    pass
assert [(e.status, e.field) for e in told] == [(400, "action")], told
`)
	})
}

// checkBatch runs a program that tells of three things in two batches, of which
// the second cannot be.
func checkBatch(t *testing.T, s *live, program func(env []string)) {
	t.Helper()
	program([]string{"URL=" + s.url, "KEY=" + printedKey})
	var got []string // both may be of one millisecond: their order says nothing
	for _, event := range s.list(t, "/api/v1/events", url.Values{"actor_id": {"batcher"}}, 2) {
		got = append(got, fmt.Sprint(event["action"]))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"batch.first", "batch.third"}, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// S4-14, S4-15, S4-16, S4-18, S4-19, S4-42: the same by curl.
func TestClients_Curl(t *testing.T) {
	s := startLive(t)
	s.newKey(t, printedKey, "events:write", "events:read")
	dir := checkout(t, "curl")
	env := []string{"URL=" + s.url, "KEY=" + printedKey}
	want := infrastructure(t)
	for _, event := range want { // the resource is named by itself here, not in the metadata
		metadata := event["metadata"].(map[string]any)
		delete(metadata, "service")
		delete(metadata, "secret_path")
		if event["resource"] == "incident" {
			delete(metadata, "incident_id")
		}
		if event["resource"] == "service" {
			event["resource_name"] = "API Gateway"
		}
	}
	command(t, dir, env, "sh", "infrastructure.sh")
	checkInfrastructure(t, s, want)
	var page struct{ Data []map[string]any }
	if err := json.Unmarshal([]byte(command(t, dir, env, "sh", "investigate.sh")), &page); err != nil || len(page.Data) != 3 {
		t.Errorf("%d events of api-gateway, want 3: %v", len(page.Data), err)
	}
}

// S4-17: a client cannot record the value of a secret, however it means to.
func TestClients_TheValueOfASecretIsRefused(t *testing.T) {
	s := startLive(t)
	dir := checkout(t, "python")
	command(t, dir, []string{"PYTHONPATH=src", "URL=" + s.url, "KEY=" + s.key}, "python3", "-c", `
import os
from whatchanged_client import ImmutableClient, ProblemError
client = ImmutableClient(api_key=os.environ["KEY"], base_url=os.environ["URL"])
try:
    client.actor("system_vault").track("secret.rotated", "secret", {"secret_path": "db", "new_value": "hunter2-hunter2"})
except ProblemError as refused:
    assert refused.status == 400 and refused.field == "metadata.new_value", (refused.status, refused.field)
    assert "hunter2" not in str(refused), refused
else:
    raise SystemExit("the value of a secret was recorded")
`)
	s.list(t, "/api/v1/events", url.Values{"resource_id": {"db"}}, 0)
}
