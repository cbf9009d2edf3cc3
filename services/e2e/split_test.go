package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/client"
)

// apart is the product as processes of their own on one machine: NATS as
// deploy/nats sets it up, with a user a service, ClickHouse's engine behind its
// HTTP interface, and each service.
type apart struct {
	t      *testing.T
	dir    string
	env    []string
	nats   *bustest.Process
	parts  map[string]*process
	client *client.Client
}

// process is one of them. It comes again at the same address.
type process struct {
	name  string
	args  []string
	env   []string
	ready string // URL that answers 200 when it can work
	cmd   *exec.Cmd
}

const (
	splitKey   = "wc_live_0123456789abcdef"
	splitToken = "wct_0123456789abcdef"
)

func startApart(t *testing.T) *apart {
	t.Helper()
	a := &apart{t: t, dir: t.TempDir(), nats: bustest.SecureServer(t), parts: map[string]*process{}}
	engine := freeAddress(t)
	a.env = append(os.Environ(),
		"WHATCHANGED_BUS_URL="+a.nats.URL, "WHATCHANGED_STORE_DSN=http://"+engine, "WHATCHANGED_BUS_MAX_BYTES=500000000",
		"WHATCHANGED_MASTER_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
		"WHATCHANGED_BOOTSTRAP_API_KEY="+splitKey, "WHATCHANGED_BOOTSTRAP_TOKEN="+splitToken, "WHATCHANGED_KEY="+splitKey)
	a.add("clickhouse", "http://"+engine+"/ping", "clickhouse", "--listen", engine, "--data-dir", a.dir)
	for _, name := range []string{"receiver", "normalizer", "writer", "api"} {
		addr := freeAddress(t)
		a.add(name, "http://"+addr+"/readyz", name, "--listen", addr, "--data-dir", filepath.Join(a.dir, name))
	}
	a.env = append(a.env, "WHATCHANGED_URL=http://"+a.host("api"))
	var err error
	if a.client, err = client.New("http://"+a.host("api"), splitKey); err != nil {
		t.Fatal(err)
	}
	// Who comes before the streams are made waits for them.
	a.launch("receiver")
	a.launch("clickhouse")
	a.await("clickhouse")
	a.run("migrate")
	for _, name := range []string{"api", "normalizer", "writer"} {
		a.launch(name)
	}
	for name := range a.parts {
		a.await(name)
	}
	return a
}

func (a *apart) add(name, ready string, args ...string) {
	a.parts[name] = &process{name: name, ready: ready, args: args, env: asUser(name)}
}

// asUser is the environment of a service: its user on the bus.
func asUser(user string) []string {
	return []string{"WHATCHANGED_BUS_USER=" + user, "WHATCHANGED_BUS_PASSWORD=" + bustest.Password(user)}
}

func (a *apart) host(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(a.parts[name].ready, "http://"), "/readyz")
}

// run runs a command of the program to its end and returns what it printed.
func (a *apart) run(args ...string) string {
	a.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(a.env, asUser("admin")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		a.t.Fatalf("whatchanged %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (a *apart) launch(name string) {
	a.t.Helper()
	p := a.parts[name]
	log, err := os.OpenFile(filepath.Join(a.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(binary, p.args...)
	p.cmd.Env = append(a.env, p.env...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = log, log, a.dir
	if err := p.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	cmd := p.cmd
	a.t.Cleanup(func() {
		if a.t.Failed() && p.cmd == cmd {
			a.t.Logf("%s said:\n%s", name, a.log(name))
		}
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it may have been waited for
	})
}

func (a *apart) log(name string) []byte {
	said, _ := os.ReadFile(filepath.Join(a.dir, name+".log"))
	return said[max(0, len(said)-4000):]
}

func (a *apart) await(name string) {
	a.t.Helper()
	a.until(name+" is ready", func() error { return get(a.parts[name].ready) })
}

func (a *apart) until(what string, f func() error) {
	a.t.Helper()
	for deadline := time.Now().Add(2 * patience); ; {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("waited %s until %s: %v", 2*patience, what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// restart ends a process and starts it again. One that is asked ends cleanly.
func (a *apart) restart(name string, signal syscall.Signal) {
	a.t.Helper()
	p := a.parts[name]
	a.nothingRefused(name)
	if err := p.cmd.Process.Signal(signal); err != nil {
		a.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil && signal == syscall.SIGTERM {
		a.t.Errorf("%s did not stop cleanly: %v\n%s", name, err, a.log(name))
	}
	a.launch(name)
	a.await(name)
}

var refused = regexp.MustCompile(`(?m)^whatchanged_bus_permission_denied_total (\S+)$`)

// nothingRefused checks that a service asked the servers for nothing that its
// user may not do.
func (a *apart) nothingRefused(name string) {
	a.t.Helper()
	if name == "clickhouse" {
		return
	}
	res, err := http.Get("http://" + a.host(name) + "/metrics")
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil {
		a.t.Fatal(err)
	}
	if m := refused.FindStringSubmatch(text.String()); m == nil || m[1] != "0" {
		a.t.Errorf("the servers refused something to %s: %v\n%s", name, m, a.log(name))
	}
}

// load sends webhooks until it is stopped, and knows which were acknowledged.
type load struct {
	sent, accepted atomic.Int64
	mu             sync.Mutex
	acked          map[string]bool // by title
	wg             sync.WaitGroup
}

func (a *apart) load(ctx context.Context, senders int) *load {
	l := &load{acked: map[string]bool{}}
	url := "http://" + a.host("receiver") + "/api/webhooks/incoming/changes/" + splitToken
	for range senders {
		l.wg.Go(func() {
			c := &http.Client{Timeout: 10 * time.Second}
			defer c.CloseIdleConnections()
			for ctx.Err() == nil {
				title := fmt.Sprintf("change-%d", l.sent.Add(1))
				for ctx.Err() == nil && !acknowledged(c, url, title) { // with the same key: it may have been taken
					time.Sleep(50 * time.Millisecond)
				}
				if ctx.Err() == nil {
					l.mu.Lock()
					l.acked[title] = true
					l.mu.Unlock()
					l.accepted.Add(1)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return l
}

// acknowledged reports whether a webhook was acknowledged.
func acknowledged(c *http.Client, url, title string) bool {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"title":"`+title+`","author":"mona"}`))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", title)
	res, err := c.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// goesOn waits until so many more are acknowledged.
func (a *apart) goesOn(l *load) {
	a.t.Helper()
	from := l.accepted.Load()
	a.until("webhooks are acknowledged", func() error {
		if n := l.accepted.Load() - from; n < 10 {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
}

// Every process is ended and started again while webhooks come, asked and
// killed: all that was acknowledged is stored once, and the account closes.
// Nobody needs more rights on the bus than its user has.
func TestSplit_RestartsEachInTurnUnderLoad(t *testing.T) {
	a := startApart(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := a.load(ctx, 3)
	a.goesOn(l)
	// What a killed consumer had in hand comes again half a minute later: those first.
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		for _, name := range []string{"normalizer", "writer"} {
			a.restart(name, signal)
		}
		if signal == syscall.SIGKILL {
			a.nats.Kill()
		} else {
			a.nats.Stop()
		}
		a.nats.Start()
		a.goesOn(l)
	}
	a.useEverything()
	for _, name := range []string{"clickhouse", "receiver", "api"} {
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
			a.restart(name, signal)
			a.goesOn(l)
		}
	}
	stop()
	l.wg.Wait()

	a.until("the account closes", func() error {
		sum, err := a.client.WholeAccount(t.Context(), client.AccountFilter{Start: time.Now().Add(-time.Hour)})
		switch total := sum.Totals; {
		case err != nil:
			return err
		case !total.Closed || total.Missing > 0 || total.InFlight > 0:
			return fmt.Errorf("the account: %+v", total)
		case total.Received < l.accepted.Load():
			return fmt.Errorf("%d received, %d acknowledged", total.Received, l.accepted.Load())
		}
		return nil
	})
	stored := map[string]int{}
	a.until("all changes can be listed", func() error {
		clear(stored)
		for c, err := range a.client.AllChanges(t.Context(), client.ChangeFilter{Limit: 100}) {
			if err != nil {
				return err
			}
			stored[c.Summary]++
		}
		return nil
	})
	for title := range l.acked {
		if stored[title] != 1 {
			t.Errorf("%s was acknowledged and is stored %d times", title, stored[title])
		}
	}
	for title, n := range stored {
		if n != 1 {
			t.Errorf("%s is stored %d times", title, n)
		}
	}
	for name := range a.parts {
		a.nothingRefused(name)
	}
	t.Logf("%d acknowledged, %d stored", len(l.acked), len(stored))
}

// useEverything does what uses the bus in other ways than webhooks do.
func (a *apart) useEverything() {
	a.t.Helper()
	url := strings.TrimSpace(a.run("sources", "create", "github", "--provider", "github"))
	a.run("services", "create", "API Gateway", "--id", "svc_gateway")
	a.run("log", "by hand", "--service", "svc_gateway")
	a.run("replay", "--from", "1h", "--dry-run")
	a.run("replay", "--from", "1h")
	// A dead letter, looked at, tried again and given up.
	at := strings.LastIndex(url, "/api/webhooks/")
	if at < 0 {
		a.t.Fatalf("no webhook URL in %q", url)
	}
	path := strings.Fields(url[at:])[0]
	a.until("a payload that breaks a normalizer is taken", func() error {
		req, err := http.NewRequest(http.MethodPost, "http://"+a.host("receiver")+path, strings.NewReader(`[1]`))
		if err != nil {
			return err
		}
		req.Header.Set("X-GitHub-Event", "push")
		req.Header.Set("X-GitHub-Delivery", "1")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
	letter := regexp.MustCompile(`ded_[0-9a-f]+`)
	var id string
	a.until("it is a dead letter", func() error {
		if id = letter.FindString(a.run("dead", "list", "--json")); id == "" {
			return errors.New("none")
		}
		return nil
	})
	a.run("dead", "show", id)
	a.run("dead", "discard", id, "--reason", "a test", "--yes")
}

// freeAddress returns an address on this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
