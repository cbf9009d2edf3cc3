package bustest

import (
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
	"runtime"
	"strings"
	"testing"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
)

// Secure is a cluster as deploy/nats sets it up: TLS, and a user a service.
type Secure struct {
	Servers []*Process
	URL     string   // of all
	Routes  []string // where they listen for each other
	Dir     string   // has ca.crt, tls.crt and tls.key, the same for routes, and other.crt, which is no authority of ours
	Name    string   // in the servers' certificates, beside their address
}

// Password is what a user of a secure cluster proves itself with.
func Password(user string) string { return user + "-s3cret" }

// SecureCluster starts three servers on the files of deploy/nats, with no more
// changed than where they listen and store. Each replacement is a pair of texts
// in nats-server.conf.
func SecureCluster(tb testing.TB, replace ...string) *Secure {
	tb.Helper()
	s := &Secure{Dir: tb.TempDir(), Name: "nats.example.com"}
	s.certificates(tb)
	env := UsersEnv()
	var routes, addrs, urls []string
	for range 3 {
		addr := freeAddr(tb)
		routes, addrs, urls = append(routes, freeAddr(tb)), append(addrs, addr), append(urls, "tls://"+addr)
	}
	s.URL, s.Routes = strings.Join(urls, ","), routes
	env = append(env, "NATS_ROUTES=[tls://"+strings.Join(routes, ", tls://")+"]")
	for i, addr := range addrs {
		dir := tb.TempDir()
		conf := edit(tb, deployed(tb, "nats-server.conf"), append([]string{
			`"0.0.0.0:4222"`, `"` + addr + `"`, `"0.0.0.0:6222"`, `"` + routes[i] + `"`, `"0.0.0.0:8222"`, `"127.0.0.1:-1"`,
			`"/data"`, `"` + dir + `"`, `40GB`, `2GB`, `/etc/nats/tls`, s.Dir,
		}, replace...))
		p := &Process{
			URL: s.URL, tb: tb, addr: addr, config: filepath.Join(dir, "nats-server.conf"),
			env: append(env, fmt.Sprintf("NATS_SERVER_NAME=nats-%d", i), "NATS_TAGS=zone:"+string(rune('a'+i))),
		}
		write(tb, p.config, conf)
		write(tb, filepath.Join(dir, "accounts.conf"), deployed(tb, "accounts.conf"))
		p.Start()
		tb.Cleanup(p.Kill)
		s.Servers = append(s.Servers, p)
	}
	return s
}

// SecureServer starts one server on deploy/nats/single.conf.
func SecureServer(tb testing.TB, replace ...string) *Process {
	tb.Helper()
	dir, addr := tb.TempDir(), freeAddr(tb)
	conf := edit(tb, deployed(tb, "single.conf"), append([]string{
		`"0.0.0.0:4222"`, `"` + addr + `"`, `"0.0.0.0:8222"`, `"127.0.0.1:-1"`, `"/data"`, `"` + dir + `"`, `40GB`, `2GB`,
	}, replace...))
	p := &Process{URL: "nats://" + addr, tb: tb, addr: addr, config: filepath.Join(dir, "nats-server.conf"), env: UsersEnv()}
	write(tb, p.config, conf)
	write(tb, filepath.Join(dir, "accounts.conf"), deployed(tb, "accounts.conf"))
	p.Start()
	tb.Cleanup(p.Kill)
	return p
}

// UsersEnv is the environment in which servers find the users' passwords.
func UsersEnv() []string {
	var env []string
	for _, user := range append(bus.Users(), "system") {
		env = append(env, "NATS_"+strings.ToUpper(user)+"_PASSWORD="+Password(user))
	}
	return env
}

// Config returns the settings with which a user's service connects.
func (s *Secure) Config(user string) bus.Config {
	return bus.Config{
		URL: s.URL, Name: "test-" + user, MaxBytes: 100 << 20, User: user, Password: auth.Secret(Password(user)),
		CAFile: filepath.Join(s.Dir, "ca.crt"),
	}
}

// Find returns the server of a name.
func (s *Secure) Find(name string) (*Process, bool) {
	for i, p := range s.Servers {
		if fmt.Sprintf("nats-%d", i) == name {
			return p, true
		}
	}
	return nil, false
}

// deployed returns a file of deploy/nats.
func deployed(tb testing.TB, name string) string {
	tb.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		tb.Fatal("this test does not know where it is")
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "..", "deploy", "nats", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// edit replaces texts that must be there.
func edit(tb testing.TB, text string, pairs []string) string {
	tb.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			tb.Fatalf("deploy/nats has no %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// certificates writes an authority and a certificate that it has signed, another
// such pair for the servers' routes, and an authority that has signed nothing.
func (s *Secure) certificates(tb testing.TB) {
	tb.Helper()
	authority := func(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		key := s.sign(tb, name+".crt", "", template, nil, nil)
		return template, key
	}
	authority("other")
	for by, name := range map[string]string{"ca": "tls", "route-ca": "route"} {
		ca, caKey := authority(by)
		s.sign(tb, name+".crt", name+".key", &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: s.Name}, DNSNames: []string{s.Name},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, ca, caKey)
	}
}

// sign writes a certificate, signed by itself without a parent, and its key.
func (s *Secure) sign(tb testing.TB, certFile, keyFile string, template, parent *x509.Certificate, by *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if parent == nil {
		parent, by = template, key
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, filepath.Join(s.Dir, certFile), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	if keyFile == "" {
		return key
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, filepath.Join(s.Dir, keyFile), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return key
}
