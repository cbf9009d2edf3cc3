package bustest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Process is a nats-server in a process of its own.
type Process struct {
	URL string

	tb     testing.TB
	config string
	addr   string
	env    []string // beside the test's own
	cmd    *exec.Cmd
}

// Server starts Program and ends it with the test. extra is added to its
// configuration file, such as authorization or TLS.
func Server(tb testing.TB, extra string) *Process {
	tb.Helper()
	dir := tb.TempDir()
	addr := freeAddr(tb)
	p := &Process{
		URL: "nats://" + addr, tb: tb, addr: addr,
		config: filepath.Join(dir, "nats-server.conf"),
	}
	config := fmt.Sprintf(`
listen: %q
max_payload: 32MB
max_pending: 512MB
jetstream { store_dir: %q, max_file: 2GB, sync_interval: always }
%s
`, addr, filepath.Join(dir, "store"), extra)
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		tb.Fatalf("write the server's configuration: %v", err)
	}
	p.Start()
	tb.Cleanup(func() {
		p.Resume()
		p.Kill()
	})
	return p
}

// Cluster starts a cluster of n such servers. All their addresses are in the
// URL of each.
func Cluster(tb testing.TB, n int) []*Process {
	tb.Helper()
	var routes []string
	for range n {
		routes = append(routes, freeAddr(tb))
	}
	var servers []*Process
	var urls []string
	for i, addr := range routes {
		p := Server(tb, fmt.Sprintf("server_name: n%d\ncluster { name: test, listen: %q, routes: [nats://%s] }",
			i, addr, strings.Join(routes, ", nats://")))
		servers, urls = append(servers, p), append(urls, p.URL)
	}
	for _, p := range servers {
		p.URL = strings.Join(urls, ",")
	}
	return servers
}

// Start starts the server again after Kill, with the same data and address.
func (p *Process) Start() {
	p.tb.Helper()
	program, err := Program()
	if err != nil {
		p.tb.Fatal(err)
	}
	cmd := exec.Command(program, "-c", p.config)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stderr = p.tb.Output()
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		p.tb.Fatalf("start nats-server: %v", err)
	}
	p.cmd = cmd
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			p.tb.Fatalf("nats-server does not listen on %s: %v", p.addr, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Kill ends the server with SIGKILL.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may be gone already
	_ = p.cmd.Wait()         // "signal: killed"
	p.cmd = nil
}

// Stop asks the server to end, and waits until it has.
func (p *Process) Stop() {
	p.signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // however it ends
	p.cmd = nil
}

// Pause stops the server where it is, and returns when it stands; Resume lets
// it go on.
func (p *Process) Pause() {
	p.tb.Helper()
	p.signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		p.tb.Fatalf("pause nats-server: status %v, error %v", status, err)
	}
}

// Resume undoes Pause.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(sig syscall.Signal) {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(sig) // it may be gone already
	}
}

func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Program builds nats-server, of the version that this module is built with,
// into the user's cache, unless it is there, and returns its path. The go
// command is needed for it, once.
func Program() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	path := filepath.Join(cache, "whatchanged", "nats-server-"+server.VERSION)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("make the cache: %w", err)
	}
	// Several programs may build at the same time: each its own file first.
	part := fmt.Sprintf("%s.%d", path, os.Getpid())
	out, err := exec.Command("go", "build", "-o", part, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	if err := os.Rename(part, path); err != nil {
		return "", fmt.Errorf("keep nats-server: %w", err)
	}
	return path, nil
}
