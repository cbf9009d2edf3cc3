// Package e2e drives the whole product by scripts: each starts the real
// program on a fresh data directory, delivers, and asks for what came of it.
// See testdata/README.md for what a script can say.
package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"whatchanged/pkg/bus/bustest"
)

// patience is how long a script waits for something that must come.
const patience = 30 * time.Second

var binary, natsServer string // programs

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "whatchanged-e2e-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "whatchanged")
	build := exec.Command("go", "build", "-o", binary, "whatchanged/services/whatchanged")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if raced() { // then so is the program that these tests are about
		build = exec.Command("go", "build", "-race", "-o", binary, "whatchanged/services/whatchanged")
	}
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build whatchanged: %v\n%s", err, out)
		os.Exit(1)
	}
	if natsServer, err = bustest.Program(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// raced reports whether the race detector watches these tests.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("HOME", os.Getenv("HOME")) // where the engine's library is cached
			env.Setenv("XDG_CACHE_HOME", os.Getenv("XDG_CACHE_HOME"))
			env.Setenv("TZ", "UTC")
			env.Setenv("NATS_SERVER", natsServer)
			docs, err := filepath.Abs("../../docs")
			if err != nil {
				return err
			}
			env.Setenv("DOCS", docs)
			env.Values[serverKey{}] = &server{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"address":    address,
			"ready":      ready,
			"serve":      serve,
			"crash":      crash,
			"shutdown":   shutdown,
			"source":     source,
			"deliver":    deliver,
			"status":     status,
			"header":     header,
			"answer":     answer,
			"eventually": eventually,
			"matches":    matches,
			"github":     github,
			"unpack":     unpack,
		},
	})
}

// server is the program that a script has started, and what it last answered.
type server struct {
	cmd    *exec.Cmd
	done   chan error
	status int
	header http.Header
	body   string
}

type serverKey struct{}

// last returns what the script's server is and what was last answered, be it by
// that server or by another.
func last(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

func current(ts *testscript.TestScript) *server {
	s := last(ts)
	if s.cmd == nil {
		ts.Fatalf("no server runs; start one with serve")
	}
	return s
}

// address sets a variable to an address on this machine that nobody listens on.
func address(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: address NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// ready waits until a URL answers 200.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: ready URL")
	}
	wait(ts, args[0], func() error { return get(args[0]) })
}

// get returns an error that says what a URL answered, unless that was 200.
func get(url string) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		return fmt.Errorf("%s: %s", res.Status, body)
	}
	return nil
}

// serve starts `whatchanged serve` on the script's data directory, with the
// arguments given, and waits until it is ready. It sets WHATCHANGED_URL,
// WHATCHANGED_KEY and WEBHOOK.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! serve")
	}
	s := last(ts)
	if s.cmd != nil {
		ts.Fatalf("a server runs; end it with shutdown or crash")
	}
	listen := ts.Getenv("LISTEN")
	if listen == "" {
		address(ts, false, []string{"LISTEN"}) // a script that starts it again gets the same address
		listen = ts.Getenv("LISTEN")
	}
	log, err := os.OpenFile(ts.MkAbs("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	cmd := exec.Command(binary, append([]string{"serve", "--listen", listen, "--data-dir", ts.MkAbs("data")}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, ts.MkAbs(".")
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "PATH"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(cmd.Start())
	url := "http://" + listen
	s.cmd, s.done = cmd, make(chan error, 1)
	go func(done chan<- error) {
		err := cmd.Wait()
		log.Close()
		done <- err
	}(s.done)
	ts.Defer(func() {
		cmd.Process.Kill()
		if said := ts.ReadFile("server.log"); strings.Contains(said, "DATA RACE") {
			ts.Fatalf("the server has a race:\n%s", said)
		}
	})
	wait(ts, "the server to be ready", func() error {
		select {
		case err := <-s.done:
			s.done <- err
			ts.Fatalf("the server ended: %v\n%s", err, ts.ReadFile("server.log"))
		default:
		}
		return get(url + "/readyz")
	})
	var boot struct {
		APIKey     string `json:"api_key"`
		WebhookURL string `json:"webhook_url"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("data/bootstrap.json")), &boot))
	ts.Setenv("WHATCHANGED_URL", url)
	ts.Setenv("WHATCHANGED_KEY", boot.APIKey)
	ts.Setenv("WEBHOOK", boot.WebhookURL)
}

// crash ends the server at once, with nothing flushed. (testscript's own kill
// and stop are other things, and come before commands of ours.)
func crash(ts *testscript.TestScript, _ bool, _ []string) { end(ts, syscall.SIGKILL) }

// shutdown asks the server to end and checks that it does, without complaint.
func shutdown(ts *testscript.TestScript, _ bool, _ []string) {
	if err := end(ts, syscall.SIGTERM); err != nil {
		ts.Fatalf("the server did not stop cleanly: %v\n%s", err, ts.ReadFile("server.log"))
	}
}

func end(ts *testscript.TestScript, signal os.Signal) error {
	s := current(ts)
	ts.Check(s.cmd.Process.Signal(signal))
	select {
	case err := <-s.done:
		s.done <- err
		s.cmd = nil
		return err
	case <-time.After(patience):
		ts.Fatalf("the server did not end within %s\n%s", patience, ts.ReadFile("server.log"))
		return nil
	}
}

// eventually runs a command until it succeeds and its JSON has what a file has:
// eventually WANT.json whatchanged changes --json ...
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: eventually WANT.json COMMAND...")
	}
	want := decode(ts, args[0])
	wait(ts, strings.Join(args[1:], " "), func() error {
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			return err
		}
		var got any
		if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &got); err != nil {
			return err
		}
		return contains(want, got, "$")
	})
}

// matches checks that a JSON file, or stdout, has what another has: matches GOT WANT.
func matches(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: matches GOT.json WANT.json")
	}
	if err := contains(decode(ts, args[1]), decode(ts, args[0]), "$"); err != nil {
		ts.Fatalf("%v\n%s", err, ts.ReadFile(args[0]))
	}
}

func decode(ts *testscript.TestScript, name string) (v any) {
	if err := json.Unmarshal([]byte(ts.ReadFile(name)), &v); err != nil {
		ts.Fatalf("%s: %v", name, err)
	}
	return v
}

// contains reports where got lacks what want has. Objects may have more
// members; lists must have the same length.
func contains(want, got any, path string) error {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", path, got)
		}
		for key, w := range want {
			if err := contains(w, object[key], path+"."+key); err != nil {
				return err
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Errorf("%s is %v, want %d items", path, got, len(want))
		}
		for i, w := range want {
			if err := contains(w, list[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	default:
		if want != got {
			return fmt.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	return nil
}

// wait tries until f succeeds, and tells the last failure when it never does.
func wait(ts *testscript.TestScript, what string, f func() error) {
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waited %s for %s: %v", patience, what, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}
