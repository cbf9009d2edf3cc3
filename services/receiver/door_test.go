package receiver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/fair"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/registry/registrytest"
	"whatchanged/services/receiver"
)

// door is a receiver behind a real listener, on a real bus.
type door struct {
	tb       testing.TB
	bus      *bus.Bus
	registry *registry.Registry
	sealer   *auth.Sealer
	receiver *receiver.Receiver
	metrics  *prometheus.Registry
	addr     string
	token    string // of the source that demands nothing
	log      *safeBuffer
	stopBus  func() // stops the committer
}

// settings are what a test may change before the door opens.
type settings struct {
	receiver receiver.Config
	fair     fair.Config
	server   httpserver.Config
	client   *http.Client
}

func openDoor(tb testing.TB, edits ...func(*settings)) *door {
	tb.Helper()
	set := settings{receiver: receiver.DefaultConfig(), fair: fair.DefaultConfig(), server: httpserver.DefaultConfig()}
	set.server.Listen = "127.0.0.1:0"
	for _, edit := range edits {
		edit(&set)
	}
	d := &door{tb: tb, bus: bustest.New(tb), log: &safeBuffer{}, metrics: prometheus.NewRegistry()}
	var boot registry.Bootstrap
	d.registry, boot = registrytest.New(tb, d.bus.KV(bus.BucketRegistry))
	d.token = boot.SourceToken.Reveal()
	var err error
	if d.sealer, err = auth.OpenSealer(filepath.Join(tb.TempDir(), "master.key"), "", false); err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	committer := d.bus.NewCommitter(change.Fresh)
	d.stopBus = d.run(committer.Run)
	orgs, err := fair.New(fair.Deps{Registry: d.registry, Log: log, Metrics: d.metrics}, set.fair)
	if err != nil {
		tb.Fatal(err)
	}
	d.run(orgs.Run)
	d.receiver, err = receiver.New(receiver.Deps{
		Orgs: orgs, Registry: d.registry, Committer: committer, Sealer: d.sealer, Log: log, Metrics: d.metrics, Client: set.client,
	}, set.receiver)
	if err != nil {
		tb.Fatal(err)
	}
	server, err := httpserver.New(set.server, d.receiver, log, d.metrics)
	if err != nil {
		tb.Fatal(err)
	}
	if err := server.Listen(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	d.addr = server.Addr()
	d.run(server.Run)
	return d
}

// run runs f until the test ends or the returned function is called.
func (d *door) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			d.tb.Error(err)
		}
	})
	d.tb.Cleanup(stop)
	return stop
}

// source makes a source with the given authentication.
func (d *door) source(kind string, secrets ...auth.Secret) (registry.Source, string) {
	d.tb.Helper()
	return d.create(registry.Source{Auth: kind}, secrets...)
}

// create makes a source.
func (d *door) create(s registry.Source, secrets ...auth.Secret) (registry.Source, string) {
	d.tb.Helper()
	s.Org, s.Name = registry.DefaultOrg, "a source"
	if err := s.SetSecrets(d.sealer, secrets...); err != nil {
		d.tb.Fatal(err)
	}
	s, token, err := d.registry.CreateSource(d.tb.Context(), s)
	if err != nil {
		d.tb.Fatal(err)
	}
	return s, token
}

// answer is what came back to one request.
type answer struct {
	status int
	header http.Header
	body   string
	close  bool
}

func (a answer) String() string { return fmt.Sprintf("%d %q", a.status, a.body) }

// reason returns the reason of a refusal.
func (a answer) reason() string {
	var p struct{ Reason string }
	_ = json.Unmarshal([]byte(a.body), &p)
	return p.Reason
}

// accepted returns the answer's data.
func (a answer) accepted(tb testing.TB) (id change.DeliveryID, duplicate bool) {
	tb.Helper()
	var got struct {
		Data struct {
			DeliveryID change.DeliveryID `json:"delivery_id"`
			Status     string
			Duplicate  bool
		}
	}
	if err := json.Unmarshal([]byte(a.body), &got); a.status != http.StatusOK || err != nil || got.Data.Status != "accepted" || got.Data.DeliveryID.IsZero() {
		tb.Fatalf("not accepted: %v (%v)", a, err)
	}
	return got.Data.DeliveryID, got.Data.Duplicate
}

// raw sends bytes on a fresh connection and returns every answer until the
// server closes it. The last answers' lack of more is waited for only as long
// as the server keeps the connection open for another request.
func (d *door) raw(bytes string, want int) []answer {
	d.tb.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		d.tb.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.WriteString(conn, bytes) }() // the server may close before it has all
	return readAnswers(conn, want)
}

func readAnswers(conn net.Conn, want int) []answer {
	var all []answer
	r := bufio.NewReader(conn)
	for len(all) < want {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return all
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return all
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		all = append(all, answer{resp.StatusCode, resp.Header, string(body), resp.Close})
		if resp.Close {
			return all
		}
	}
	return all
}

// post sends a well-formed request and returns its answer.
func (d *door) post(token, body string, headers ...string) answer {
	d.tb.Helper()
	all := d.raw(request(token, body, headers...), 1)
	if len(all) != 1 {
		d.tb.Fatalf("%d answers", len(all))
	}
	return all[0]
}

// request returns the bytes of a POST with Content-Length.
func request(token, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", receiver.Prefix, token, len(body))
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return b.String()
}

// stored returns every delivery on the bus, oldest first.
func (d *door) stored() []change.Delivery {
	d.tb.Helper()
	var all []change.Delivery
	err := d.bus.Frames(d.tb.Context(), 1, func(_ uint64, f *bus.DeliveryFrame) error {
		all = append(all, f.Deliveries...)
		return nil
	})
	if err != nil {
		d.tb.Fatal(err)
	}
	return all
}

// delivery returns the stored delivery of an accepted request.
func (d *door) delivery(id change.DeliveryID) change.Delivery {
	d.tb.Helper()
	for _, one := range d.stored() {
		if one.ID == id {
			return one
		}
	}
	d.tb.Fatalf("%v was accepted and is not on the bus", id)
	return change.Delivery{}
}

// counted returns the value of a counter, summed over labels that contain with.
func (d *door) counted(name, with string) float64 {
	d.tb.Helper()
	families, err := d.metrics.Gather()
	if err != nil {
		d.tb.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && strings.Contains(fmt.Sprint(m.GetLabel()), with) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// gauge returns the value of a gauge without labels.
func (d *door) gauge(name string) float64 {
	d.tb.Helper()
	families, err := d.metrics.Gather()
	if err != nil {
		d.tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	d.tb.Fatalf("no metric %s", name)
	return 0
}

// eventually waits until met says true.
func eventually(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("did not happen: %s", what)
		}
	}
}

func githubSignature(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "X-Hub-Signature-256: sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// signedHeaders returns the headers of Standard Webhooks.
func signedHeaders(token, id, timestamp, body string) []string {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "." + body))
	return []string{
		"webhook-id: " + id, "webhook-timestamp: " + timestamp,
		"webhook-signature: v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	}
}

// safeBuffer collects a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// dial returns a fresh connection to the receiver.
func (d *door) dial() *net.TCPConn {
	d.tb.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		d.tb.Fatal(err)
	}
	d.tb.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn.(*net.TCPConn)
}
