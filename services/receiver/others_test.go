package receiver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// others stands for all the servers that the receiver asks: a real TLS server
// with certificates of its own authority, which every name leads to.
type others struct {
	client *http.Client

	mu    sync.Mutex
	pages map[string]http.HandlerFunc // by host and path
	asked map[string]int
}

func openOthers(tb testing.TB, hosts ...string) *others {
	tb.Helper()
	o := &others{pages: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "others"}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server := httptest.NewUnstartedServer(o)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	tb.Cleanup(server.Close)
	o.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
	return o
}

func (o *others) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := r.Host + r.URL.Path
	o.mu.Lock()
	o.asked[at]++
	page := o.pages[at]
	o.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	page(w, r)
}

// serve puts a page at a host and path.
func (o *others) serve(at string, page http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pages[at] = page
}

// text returns a page that says body.
func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// count returns how often a page was asked for.
func (o *others) count(at string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[at]
}
