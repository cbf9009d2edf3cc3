//go:build interop

package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"whatchanged/pkg/client"
)

// patience is how long to wait for what must come.
const patience = 60 * time.Second

// whatchanged is our program, running.
type whatchanged struct {
	url string
	api *client.Client
}

// startWhatchanged builds and starts our program on a fresh data directory.
func startWhatchanged(t *testing.T) *whatchanged {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "whatchanged")
	build := exec.Command("go", "build", "-o", binary, "whatchanged/services/whatchanged")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build whatchanged: %v\n%s", err, out)
	}
	listen := freeAddress(t)
	data := filepath.Join(dir, "data")
	serve(t, "whatchanged", dir, exec.Command(binary, "serve", "--listen", listen, "--data-dir", data))
	ready(t, "http://"+listen+"/readyz")
	text, err := os.ReadFile(filepath.Join(data, "bootstrap.json"))
	if err != nil {
		t.Fatal(err)
	}
	var boot struct {
		APIKey string `json:"api_key"`
	}
	if err := json.Unmarshal(text, &boot); err != nil {
		t.Fatal(err)
	}
	api, err := client.New("http://"+listen, boot.APIKey)
	if err != nil {
		t.Fatal(err)
	}
	return &whatchanged{url: "http://" + listen, api: api}
}

// gitea is a Gitea, running, with a user mona in it.
type gitea struct {
	t        *testing.T
	url      string
	password string
}

// startGitea starts Gitea on the loopback with SQLite in a fresh directory, and
// makes its user.
func startGitea(t *testing.T) *gitea {
	t.Helper()
	binary, source := buildGitea(t)
	dir := t.TempDir()
	listen := freeAddress(t)
	host, port, _ := net.SplitHostPort(listen)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "app.ini")
	ini := strings.NewReplacer("$DIR", dir, "$SOURCE", source, "$HOST", host, "$PORT", port, "$USER", me.Username,
		"$TOKEN", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYmYiOjE1NTU5OTA2MTh9.JQUE9wVjZTVEd6QU5vYXJlYWxzZWNyZXQ").Replace(appINI)
	if err := os.WriteFile(config, []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &gitea{t: t, url: "http://" + listen, password: "correct-horse-1"}
	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, append([]string{"--config", config, "--work-path", dir}, args...)...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GITEA_WORK_DIR=" + dir}
		return cmd
	}
	for _, args := range [][]string{
		{"migrate"},
		{"admin", "user", "create", "--admin", "--username", "mona", "--password", g.password, "--email", "mona@example.com", "--must-change-password=false"},
	} {
		if out, err := run(args...).CombinedOutput(); err != nil {
			t.Fatalf("gitea %v: %v\n%s", args[:1], err, out)
		}
	}
	serve(t, "gitea", dir, run("web"))
	ready(t, g.url+"/api/healthz")
	return g
}

// appINI keeps Gitea to the loopback: it may call no other address, and nobody
// else reaches it.
const appINI = `RUN_MODE = prod
RUN_USER = $USER
WORK_PATH = $DIR
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
HTTP_ADDR = $HOST
HTTP_PORT = $PORT
ROOT_URL = http://$HOST:$PORT/
STATIC_ROOT_PATH = $SOURCE
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false

[database]
DB_TYPE = sqlite3
PATH = $DIR/gitea.db

[repository]
ROOT = $DIR/repositories

[security]
INSTALL_LOCK = true
SECRET_KEY = only-for-this-test
INTERNAL_TOKEN = $TOKEN

[oauth2]
ENABLED = false

[service]
DISABLE_REGISTRATION = true

[webhook]
ALLOWED_HOST_LIST = loopback

[actions]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

[mailer]
ENABLED = false

[cron.update_checker]
ENABLED = false

[log]
LEVEL = Warn
`

// do calls Gitea's API as mona and checks the status.
func (g *gitea) do(method, path, body string, want int) []byte {
	g.t.Helper()
	status, text := g.call(method, path, body)
	if status != want {
		g.t.Fatalf("%s %s: %d, want %d\n%s", method, path, status, want, text)
	}
	return text
}

func (g *gitea) call(method, path, body string) (int, []byte) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.SetBasicAuth("mona", g.password)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, text
}

func (g *gitea) post(path, body string, want int) []byte {
	g.t.Helper()
	return g.do(http.MethodPost, path, body, want)
}

// merge tries until Gitea has found out that the pull request can be merged.
func (g *gitea) merge(path, body string) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(200 * time.Millisecond) {
		status, text := g.call(http.MethodPost, path, body)
		if status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("merge: %d %s", status, text)
		}
	}
}

// hook makes a webhook for everything in the repository, and returns its id.
func (g *gitea) hook(to, secret string) string {
	g.t.Helper()
	body, err := json.Marshal(map[string]any{
		"type": "gitea", "active": true,
		"config": map[string]string{"url": to, "content_type": "json", "secret": secret},
		"events": []string{"create", "delete", "push", "pull_request", "release", "repository", "package"},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	var made struct {
		ID int64 `json:"id"`
	}
	if err := json.Unmarshal(g.post("/repos/mona/shop/hooks", string(body), http.StatusCreated), &made); err != nil {
		g.t.Fatal(err)
	}
	return strconv.FormatInt(made.ID, 10)
}

// redeliver does what the button of that name does, which the API has not.
func (g *gitea) redeliver(t *testing.T, hooks, hook, delivery string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	form := func(path string, values url.Values) {
		t.Helper()
		res, err := browser.PostForm(g.url+path, values)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode >= 400 {
			text, _ := io.ReadAll(res.Body)
			t.Fatalf("%s: %s\n%s", path, res.Status, text)
		}
	}
	form("/user/login", url.Values{"user_name": {"mona"}, "password": {g.password}})
	form(hooks+"/"+hook+"/replay/"+delivery, nil)
}

// worktree is a clone of a repository.
type worktree struct {
	t   *testing.T
	dir string
}

// clone starts a work tree of a repository that is empty yet.
func (g *gitea) clone(t *testing.T, name string) *worktree {
	t.Helper()
	w := &worktree{t: t, dir: t.TempDir()}
	w.git("init", "-q", "-b", "main")
	remote := strings.Replace(g.url, "http://", "http://mona:"+g.password+"@", 1)
	w.git("remote", "add", "origin", remote+"/mona/"+name+".git")
	return w
}

func (w *worktree) git(args ...string) {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = w.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Mona", "GIT_AUTHOR_EMAIL=mona@example.com", "GIT_COMMITTER_NAME=Mona", "GIT_COMMITTER_EMAIL=mona@example.com",
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
}

// commit writes a file and commits it.
func (w *worktree) commit(file, text, message string) {
	w.t.Helper()
	path := filepath.Join(w.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.git("add", file)
	w.git("commit", "-q", "-m", message)
}

// serve runs a program until the test ends, and shows what it wrote when the
// test has failed.
func serve(t *testing.T, name, dir string, cmd *exec.Cmd) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(patience):
			cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("%s in %s wrote:\n%s", name, dir, log.String())
		}
	})
}

// freeAddress is one on this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ready waits until a URL answers 200.
func ready(t *testing.T, url string) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(100 * time.Millisecond) {
		res, err := http.Get(url)
		if err != nil {
			last = err
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return
		}
		last = fmt.Errorf("%s", res.Status)
	}
	t.Fatalf("waited %s for %s: %v", patience, url, last)
}
