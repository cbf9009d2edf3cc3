package registry

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestWatch_GoesOnAfterTheServerRestarts restarts the server that the registry
// is on: the view stays readable meanwhile, and what is written afterwards
// arrives.
func TestWatch_GoesOnAfterTheServerRestarts(t *testing.T) {
	dir := t.TempDir()
	port := server.RANDOM_PORT
	start := func() *server.Server {
		t.Helper()
		srv, err := server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		if !srv.ReadyForConnections(10 * time.Second) {
			t.Fatal("the server did not start")
		}
		return srv
	}
	srv := start()
	port = srv.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	nc, err := nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "REGISTRY", History: 5})
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, kv)
	b, err := r.Bootstrap(t.Context(), BootstrapConfig{})
	if err != nil {
		t.Fatal(err)
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	if _, ok := r.SourceByToken(b.SourceToken.Reveal()); !ok {
		t.Error("the view is gone with the server")
	}
	srv = start()
	body, _ := json.Marshal(Org{ID: "later", Name: "Later"})
	eventually(t, "the bucket takes writes again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := kv.Put(ctx, "org.later.later", body)
		return err == nil
	})
	eventually(t, "the view has what was written after the restart", func() bool { _, ok := r.Org("later"); return ok })
	if err := r.Fresh(); err != nil {
		t.Error(err)
	}
}
