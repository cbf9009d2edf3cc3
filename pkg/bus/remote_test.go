package bus_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

func remoteConfig(p *bustest.Process) bus.Config {
	return bus.Config{URL: p.URL, Name: "test", MaxBytes: 100 << 20}
}

func TestBus_WorksWithAServerElsewhere(t *testing.T) {
	server := bustest.Server(t, "")
	b := bustest.Connect(t, remoteConfig(server))
	c := run(t, b, change.Fresh)
	var got seen
	background(t, func(ctx context.Context) error {
		return bustest.Consume(ctx, b, bus.NormalizerFresh, change.Fresh, func(_ context.Context, f *bus.DeliveryFrame) error {
			for _, d := range f.Deliveries {
				got.add(string(d.Body))
			}
			return nil
		})
	})
	first := commit(t, c, delivery(1, "before"))
	server.Kill()
	refused := make(chan error, 1)
	go func() {
		_, err := c.Commit(t.Context(), delivery(2, "while it is away"))
		refused <- err
	}()
	select {
	case err := <-refused:
		if problem.KindOf(err) != problem.Busy {
			t.Fatalf("error %v, want busy", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no answer within 10 s")
	}
	if b.Healthy() == nil {
		t.Error("healthy without a server")
	}
	server.Start()
	eventually(t, "it is healthy again", func() bool { return b.Healthy() == nil })
	after := commit(t, c, delivery(3, "after"))
	if after.Chain != first.Chain || after.Frame != first.Frame+2 {
		t.Errorf("frame %d after %d: the one in doubt keeps its number", after.Frame, first.Frame)
	}
	eventually(t, "all were consumed", func() bool { return got.count("after") == 1 })
	for _, body := range []string{"before", "while it is away", "after"} {
		if n := got.count(body); n != 1 {
			t.Errorf("%q was consumed %d times", body, n)
		}
	}
	wantAlarms(t, audit(t, b))
}

func TestCommitter_RepeatsTheSameFrameUntilItsFateIsKnown(t *testing.T) {
	server := bustest.Server(t, "")
	b := bustest.Connect(t, remoteConfig(server))
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "before"))
	server.Pause()
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Commit(t.Context(), delivery(2, "in doubt"))
		waiting <- err
	}()
	if err := <-waiting; problem.KindOf(err) != problem.Busy || problem.From(err).Reason != "bus_not_acknowledging" {
		t.Fatalf("error %v, want busy", err)
	}
	if _, err := c.Commit(t.Context(), delivery(3, "too early")); problem.KindOf(err) != problem.Busy {
		t.Fatalf("error %v, want busy at once", err)
	}
	server.Resume() // it reads each repeat now, and stores the frame once
	eventually(t, "it accepts again", func() bool { return b.Healthy() == nil })
	commit(t, c, delivery(4, "after"))
	var bodies []string
	for i, f := range frames(t, b) {
		if f.Number != uint64(i+1) {
			t.Errorf("frame %d at place %d", f.Number, i+1)
		}
		bodies = append(bodies, string(f.Deliveries[0].Body))
	}
	if got := strings.Join(bodies, ", "); got != "before, in doubt, after" {
		t.Errorf("stored: %s", got)
	}
}

func TestCommitter_CountsADuplicateAsSuccess(t *testing.T) {
	server := bustest.Server(t, "")
	b := bustest.Connect(t, remoteConfig(server))
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "before"))
	server.Pause()
	pos := make(chan bus.Position, 1)
	go func() {
		p, err := c.Commit(t.Context(), delivery(2, "repeated"))
		if err != nil {
			t.Errorf("commit: %v", err)
		}
		pos <- p
	}()
	// The server finds the frame twice when it goes on: published, and published again.
	eventually(t, "it was published again", func() bool { return b.Retries(change.Fresh) > 0 })
	server.Resume()
	if p := <-pos; p.Frame != 2 {
		t.Errorf("committed in frame %d, want 2", p.Frame)
	}
	if n := len(frames(t, b)); n != 2 {
		t.Errorf("%d frames are stored, want 2", n)
	}
	commit(t, c, delivery(3, "after"))
	wantAlarms(t, audit(t, b))
}

func TestConnect_WaitsForServersThatStartLater(t *testing.T) {
	server := bustest.Server(t, "")
	server.Kill()
	connected := make(chan error, 1)
	go func() {
		b, err := bus.Connect(t.Context(), remoteConfig(server), bustest.Log(t), prometheus.NewRegistry())
		if err == nil {
			err = b.Close()
		}
		connected <- err
	}()
	select {
	case err := <-connected:
		t.Fatalf("connected without a server: %v", err)
	case <-time.After(300 * time.Millisecond): // long enough to be refused once
	}
	server.Start()
	if err := <-connected; err != nil {
		t.Errorf("connect: %v", err)
	}
}

func TestConnect_RefusesServersThatAreNotSafe(t *testing.T) {
	connect := func(server *bustest.Process) error {
		b, err := bus.Connect(t.Context(), remoteConfig(server), bustest.Log(t), prometheus.NewRegistry())
		if err == nil {
			b.Close()
		}
		return err
	}
	t.Run("small messages", func(t *testing.T) {
		err := connect(bustest.Server(t, "max_payload: 64KB"))
		if err == nil || !strings.Contains(err.Error(), "max_payload is 65536") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a stream that drops the oldest", func(t *testing.T) {
		server := bustest.Server(t, "")
		b := bustest.Connect(t, remoteConfig(server))
		cfg := stream(t, b, bus.Deliveries).CachedInfo().Config
		cfg.Discard = jetstream.DiscardOld
		if _, err := b.JetStream().UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		err := connect(server)
		if err == nil || !strings.Contains(err.Error(), "loses data silently") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a bucket that is gone", func(t *testing.T) {
		server := bustest.Server(t, "")
		b := bustest.Connect(t, remoteConfig(server))
		withCommitter(t, b, func(c *bus.Committer) { commit(t, c, delivery(1, "{}")) })
		if err := b.JetStream().DeleteKeyValue(t.Context(), bus.BucketRegistry); err != nil {
			t.Fatal(err)
		}
		err := connect(server)
		if err == nil || !strings.Contains(err.Error(), "REGISTRY is gone") {
			t.Errorf("error %v", err)
		}
	})
}

func TestBus_UsesTLSAndPasswords(t *testing.T) {
	dir := t.TempDir()
	certificates(t, dir)
	server := bustest.Server(t, fmt.Sprintf(`
tls { cert_file: "%[1]s/cert.pem", key_file: "%[1]s/key.pem", ca_file: "%[1]s/cert.pem", verify: true }
authorization { users: [ { user: "whatchanged", password: "s3cret" } ] }
`, dir))
	cfg := remoteConfig(server)
	cfg.URL = strings.Replace(server.URL, "nats://", "tls://whatchanged:s3cret@", 1)
	cfg.CAFile = filepath.Join(dir, "cert.pem")
	cfg.CertFile, cfg.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	b := bustest.Connect(t, cfg)
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "{}"))

	cfg.URL = strings.Replace(cfg.URL, "s3cret", "s3cret-but-wrong", 1)
	_, err := bus.Connect(t.Context(), cfg, bustest.Log(t), prometheus.NewRegistry())
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("error %v, want one without the password", err)
	}
}

// certificates writes a key and a certificate that is its own authority.
func certificates(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBus_LeavesAConnectionThatCarriesNothing(t *testing.T) {
	server := bustest.Server(t, "")
	line := newHalfOpen(t, strings.TrimPrefix(server.URL, "nats://"))
	cfg := remoteConfig(server)
	cfg.URL = "nats://" + line.addr
	b := bustest.Connect(t, cfg)
	c := run(t, b, change.Fresh)
	commit(t, c, delivery(1, "before"))
	line.swallow()
	if _, err := c.Commit(t.Context(), delivery(2, "in doubt")); problem.KindOf(err) != problem.Busy {
		t.Fatalf("error %v, want busy", err)
	}
	eventually(t, "it accepts again", func() bool {
		_, err := c.Commit(t.Context(), delivery(3, "after"))
		return err == nil
	})
	if n := line.connections(); n < 2 {
		t.Errorf("%d connections were made, want another one", n)
	}
	wantAlarms(t, audit(t, b))
}

// halfOpen carries connections to a server. Those that are open when it
// swallows stay open and carry nothing any more.
type halfOpen struct {
	addr string

	mu   sync.Mutex
	made []*carried
}

type carried struct{ deaf atomic.Bool }

func newHalfOpen(t *testing.T, to string) *halfOpen {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &halfOpen{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			from, err := ln.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			c := &carried{}
			h.mu.Lock()
			h.made = append(h.made, c)
			h.mu.Unlock()
			wg.Go(func() { c.carry(back, from) })
			wg.Go(func() { c.carry(from, back) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait() // the bus is closed, and with it all connections
	})
	return h
}

func (c *carried) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if c.deaf.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (h *halfOpen) swallow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.made {
		c.deaf.Store(true)
	}
}

func (h *halfOpen) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.made)
}
