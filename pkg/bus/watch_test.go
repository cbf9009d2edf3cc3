package bus

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/change"
)

// unwatched is an embedded bus whose watchdog is the test, with one consumer.
func unwatched(t *testing.T) *Bus {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Dir, cfg.Name, cfg.MaxBytes, cfg.DiskReserve = t.TempDir(), "test", 1<<30, 1
	b, err := Connect(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	b.stop()
	b.watcher.Wait()
	if _, err := b.consumer(t.Context(), Deliveries, NormalizerFresh, change.Fresh, 10); err != nil {
		t.Fatal(err)
	}
	return b
}

// late is a connection whose client learns that it has ended when told so.
type late struct {
	net.Conn
	told <-chan struct{}
}

func (c late) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		<-c.told
	}
	return n, err
}

type lately struct {
	*embedded
	told <-chan struct{}
}

func (l lately) InProcessConn() (net.Conn, error) {
	c, err := l.embedded.InProcessConn()
	return late{c, l.told}, err
}

func TestRestart_AsksNothingOnTheConnectionBefore(t *testing.T) {
	b := unwatched(t)
	b.nc.Close()
	told := make(chan struct{})
	var err error
	if b.nc, err = nats.Connect("", nats.InProcessServer(lately{b.embedded, told}), nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay), nats.ReconnectBufSize(-1)); err != nil {
		t.Fatal(err)
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(500*time.Millisecond, func() { close(told) }) // the server is up again by then
	began := time.Now()
	if err := b.restart(t.Context()); err != nil || time.Since(began) >= apiTimeout {
		t.Errorf("after %s: %v", time.Since(began).Round(time.Second), err)
	}
}

// What a restart could not set again, the next one does.
func TestRestart_SetsTheAckWaitAgain(t *testing.T) {
	b := unwatched(t)
	short := b.consumers[Deliveries+"/"+NormalizerFresh].cfg
	short.AckWait = time.Millisecond
	if _, err := b.js.UpdateConsumer(t.Context(), Deliveries, short); err != nil {
		t.Fatal(err)
	}
	w := watchdog{Bus: b, unreleased: true}
	w.lookAtServer(t.Context())
	cons, err := b.js.Consumer(t.Context(), Deliveries, NormalizerFresh)
	if err != nil {
		t.Fatal(err)
	}
	if wait := cons.CachedInfo().Config.AckWait; wait != consumerAckWait || w.unreleased {
		t.Errorf("the ack wait is %s, want %s", wait, consumerAckWait)
	}
}
