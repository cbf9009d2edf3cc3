package registry

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// startBucket returns a bucket of a real server in this process, and a way to
// stop the server.
func startBucket(tb testing.TB) (jetstream.KeyValue, func()) {
	tb.Helper()
	srv, err := server.NewServer(&server.Options{
		DontListen: true, JetStream: true, StoreDir: tb.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		tb.Fatal("the server did not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv), nats.MaxReconnects(-1))
	if err != nil {
		tb.Fatal(err)
	}
	stop := func() {
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
	}
	tb.Cleanup(stop)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	kv, err := js.CreateKeyValue(tb.Context(), jetstream.KeyValueConfig{Bucket: "REGISTRY", History: 5})
	if err != nil {
		tb.Fatal(err)
	}
	return kv, stop
}

func testLog(tb testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(tb.Output(), nil)) }

// open returns a running registry on kv.
func open(tb testing.TB, kv jetstream.KeyValue) *Registry {
	tb.Helper()
	r, err := Open(tb.Context(), kv, testLog(tb), prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	run(tb, r)
	return r
}

// run runs r until the test ends.
func run(tb testing.TB, r *Registry) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
}

// openBootstrapped returns a running registry with the default org.
func openBootstrapped(tb testing.TB) (*Registry, Bootstrap) {
	tb.Helper()
	kv, _ := startBucket(tb)
	r := open(tb, kv)
	b, err := r.Bootstrap(tb.Context(), BootstrapConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	return r, b
}

// eventually waits until met says true.
func eventually(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(15 * time.Second); !met(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("did not happen: %s", what)
		}
	}
}
