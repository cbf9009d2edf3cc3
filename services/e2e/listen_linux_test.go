package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// C31: as it comes, the program listens on its one address and nowhere else:
// not for NATS, not for ClickHouse, not for profiles, and not beyond this machine.
func TestEdge_ListensOnOneAddressOnly(t *testing.T) {
	e := startEdge(t)
	got, err := listening(e.pid)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{e.addr}, got); diff != "" {
		t.Errorf("listens on (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/varz", "/jsz", "/connz", "/play", "/ping", "/?query=SELECT%201"} {
		if got := e.call("GET", path, ""); got.status != 404 {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// listening returns the addresses on which a process takes TCP connections.
func listening(pid int) ([]string, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, fd := range fds {
		if link, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil {
			if inode, ok := strings.CutPrefix(link, "socket:["); ok {
				own[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	var all []string
	for _, name := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(dir, "net", name))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line) // sl local_address rem_address st ... inode
			if len(f) < 10 || f[3] != "0A" || !own[f[9]] {
				continue
			}
			host, port, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				return nil, err
			}
			if host == "0100007F" { // as the kernel writes it on a little-endian machine
				host = "127.0.0.1"
			}
			all = append(all, net.JoinHostPort(host, fmt.Sprint(n)))
		}
	}
	return all, nil
}
