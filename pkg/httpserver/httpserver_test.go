package httpserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"whatchanged/pkg/httpserver"
)

var quiet = slog.New(slog.DiscardHandler)

// serve runs a server until the test ends, or until stop, which returns what
// Run returned.
func serve(t *testing.T, cfg httpserver.Config, h http.Handler, log *slog.Logger, reg prometheus.Registerer) (addr string, stop func() error) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	s, err := httpserver.New(cfg, h, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return s.Addr(), stop
}

func hello(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, "hello")
}

// dial returns a connection that fails rather than hangs.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// works reports whether the server answers on the connection.
func works(conn net.Conn) bool {
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// A37: connections beyond the caps are closed at once.
func TestServer_CapsConnectionsPerAddressAndInTotal(t *testing.T) {
	for limit, edit := range map[string]func(*httpserver.Config){
		"address": func(c *httpserver.Config) { c.MaxConnectionsPerAddress = 3 },
		"total":   func(c *httpserver.Config) { c.MaxConnections = 3 },
	} {
		t.Run(limit, func(t *testing.T) {
			cfg := httpserver.DefaultConfig()
			edit(&cfg)
			reg := prometheus.NewRegistry()
			addr, _ := serve(t, cfg, http.HandlerFunc(hello), quiet, reg)
			var within []net.Conn
			for range 3 {
				conn := dial(t, addr)
				if !works(conn) {
					t.Fatal("a connection within the limit was not served")
				}
				within = append(within, conn)
			}
			if works(dial(t, addr)) {
				t.Error("one connection too many was served")
			}
			if !works(within[0]) {
				t.Error("a connection within the limit was harmed")
			}
			refused := map[string]int{"total": 0, "address": 0}
			refused[limit]++
			if err := testutil.GatherAndCompare(reg, strings.NewReader(fmt.Sprintf(`
# HELP whatchanged_httpserver_refused_connections_total Connections closed at once because too many were open, in total or from one address.
# TYPE whatchanged_httpserver_refused_connections_total counter
whatchanged_httpserver_refused_connections_total{limit="address"} %d
whatchanged_httpserver_refused_connections_total{limit="total"} %d
`, refused["address"], refused["total"])), "whatchanged_httpserver_refused_connections_total"); err != nil {
				t.Error(err)
			}
			within[1].Close()
			deadline := time.Now().Add(10 * time.Second)
			for !works(dial(t, addr)) { // until the server has seen the close
				if time.Now().After(deadline) {
					t.Fatal("a closed connection still counts")
				}
			}
		})
	}
}

func TestNetwork(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := httpserver.Network(netip.MustParseAddr(in)); got != netip.MustParseAddr(want) {
			t.Errorf("Network(%s) = %v, want %s", in, got, want)
		}
	}
	f("192.0.2.1", "192.0.2.1")
	f("::ffff:192.0.2.1", "192.0.2.1")
	f("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")
	f("fe80::1%eth0", "fe80::")
}

// A11: what follows a body in chunks is never read as a request.
func TestServer_ClosesAfterChunkedRequests(t *testing.T) {
	addr, _ := serve(t, httpserver.DefaultConfig(), http.HandlerFunc(hello), quiet, nil)
	conn := dial(t, addr)
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	fmt.Fprint(conn, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	all, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	if n := bytes.Count(all, []byte("HTTP/1.1 ")); n != 1 {
		t.Errorf("%d answers:\n%s", n, all)
	}
}

func TestServer_ClosesIdleAndSlowConnections(t *testing.T) {
	cfg := httpserver.DefaultConfig()
	cfg.ReadHeaderTimeout, cfg.IdleTimeout = 100*time.Millisecond, 100*time.Millisecond
	addr, _ := serve(t, cfg, http.HandlerFunc(hello), quiet, nil)
	for _, start := range []string{"", "GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		conn := dial(t, addr)
		fmt.Fprint(conn, start)
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("still open after %q", start)
		}
	}
}

func TestServer_APanicIsAnsweredAndItsValueNotLogged(t *testing.T) {
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	addr, stop := serve(t, httpserver.DefaultConfig(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("MARKER")
	}), slog.New(slog.NewTextHandler(&log, nil)), reg)
	resp, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 500 || !strings.Contains(string(body), `"reason":"internal"`) || !resp.Close {
		t.Errorf("answer %d %s", resp.StatusCode, body)
	}
	_ = stop()
	if strings.Contains(log.String()+string(body), "MARKER") || !strings.Contains(log.String(), "request panicked") {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestServer_FinishesWhatItHasWhenStopped(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	addr, stop := serve(t, httpserver.DefaultConfig(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		if r.Context().Err() != nil {
			t.Error("the request in hand was cancelled")
		}
		fmt.Fprint(w, "done")
	}), quiet, nil)
	conn := dial(t, addr)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // until the listener is closed
		probe, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		probe.Close()
	}
	close(release)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "done" {
		t.Errorf("answer %q", body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestServer_LeavesWhatTakesLongerThanGrace(t *testing.T) {
	cfg := httpserver.DefaultConfig()
	cfg.Grace = 50 * time.Millisecond
	entered := make(chan struct{})
	var log bytes.Buffer
	addr, stop := serve(t, cfg, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done() // ends when the connection is closed
	}), slog.New(slog.NewTextHandler(&log, nil)), nil)
	fmt.Fprint(dial(t, addr), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	if err := stop(); err != nil || !strings.Contains(log.String(), "closed before they were done") {
		t.Errorf("Run returned %v and said %s", err, log.String())
	}
}

// A41: TLS is 1.2 or later.
func TestServer_SpeaksHTTP2OverTLSOnly(t *testing.T) {
	cfg := httpserver.DefaultConfig()
	cfg.CertFile, cfg.KeyFile = certificate(t)
	addr, _ := serve(t, cfg, http.HandlerFunc(hello), quiet, nil)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("over TLS: %s", resp.Proto)
	}
	if conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

// certificate writes a self-signed certificate and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", der)
}

func TestConfig_ReportsEveryFault(t *testing.T) {
	if err := httpserver.DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := httpserver.Config{Listen: "nowhere", CertFile: "x"}.Validate()
	for _, want := range []string{"listen", "cert_file", "read_timeout", "idle_timeout", "max_connections", "max_streams"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not reported: %v", want, err)
		}
	}
}

func TestRun_SaysWhenTheAddressIsTaken(t *testing.T) {
	addr, _ := serve(t, httpserver.DefaultConfig(), http.HandlerFunc(hello), quiet, nil)
	cfg := httpserver.DefaultConfig()
	cfg.Listen = addr
	s, err := httpserver.New(cfg, http.HandlerFunc(hello), quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("Run returned %v", err)
	}
}

func TestObserve_NamesTheRouteAndNeverThePath(t *testing.T) {
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /things/{id}", func(w http.ResponseWriter, r *http.Request) {
		if httpserver.RequestID(r.Context()) == "" {
			t.Error("no request id")
		}
		w.WriteHeader(http.StatusTeapot)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		fmt.Fprint(w, "short")
	})
	h := httpserver.Observe(mux, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), reg)
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/things/MARKER?key=MARKER", nil),
		httptest.NewRequest("MARKER", "/MARKER", nil),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Header().Get(httpserver.RequestIDHeader) == "" {
			t.Error("the answer has no request id")
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if text := log.String() + fmt.Sprint(families); strings.Contains(text, "MARKER") {
		t.Errorf("what a client wrote is in the log or the metrics:\n%s", text)
	}
	var labels []string
	for _, f := range families {
		if f.GetName() == "whatchanged_httpserver_requests_total" {
			for _, m := range f.GetMetric() {
				var one []string
				for _, l := range m.GetLabel() {
					one = append(one, l.GetValue())
				}
				labels = append(labels, strings.Join(one, " "))
			}
		}
	}
	want := []string{"404 other none", "418 GET GET /things/{id}"}
	if diff := cmp.Diff(want, labels); diff != "" {
		t.Errorf("code, method, route (-want +got):\n%s", diff)
	}
}
