// Package bus keeps what came in until it is stored: JetStream streams of
// frames, the committer that fsyncs many deliveries with one publish, the
// consumers and their one way to settle a message, dead letters, the auditor
// of chains and the trimmer. The server is embedded or somewhere else; the
// code is the same. It knows nothing of HTTP, normalizers or ClickHouse.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/problem"
	"whatchanged/pkg/tracing"
)

// The streams, and the buckets of control state.
const (
	Deliveries = "DELIVERIES"
	Changes    = "CHANGES"
	Audit      = "AUDIT"
	Dead       = "DEAD"
	Advisory   = "ADVISORY"

	BucketRegistry = "REGISTRY"
	BucketState    = "STATE"
)

const (
	embeddedMaxPayload = 32 << 20
	leastMaxPayload    = 1 << 20 // what a nats-server has unless told otherwise
	apiTimeout         = 10 * time.Second
)

// Bus is the connection to the streams, with the server itself when it is
// embedded. It is safe for concurrent use.
type Bus struct {
	cfg      Config
	user     string // of Users; empty: nobody in particular
	log      *slog.Logger
	metrics  *metrics
	tracer   *tracing.Tracer // nil: none
	embedded *embedded       // nil with servers elsewhere
	nc       *nats.Conn
	js       jetstream.JetStream
	kv       map[string]jetstream.KeyValue
	rights   *rights // nil: everything, as far as is known
	denied   denials

	maxFrame   int          // bytes of one message's body
	reserve    atomic.Int64 // Config.DiskReserve
	syncAlways *bool        // nil: the servers do not say

	shared shared
	packs  sync.Pool // *pack

	refusal    atomic.Pointer[problem.Error] // why nothing is accepted now
	silences   silences
	mu         sync.Mutex
	committers []*Committer
	turns      map[string]*turn      // of Exclusively
	consumers  map[string]consumerOf // that this process has made

	toDeliveries, toChanges precedence // among the consumers of each stream in this process

	stop    context.CancelFunc
	watcher sync.WaitGroup
}

type consumerOf struct {
	stream string
	cfg    jetstream.ConsumerConfig
}

// Option changes how a Bus works.
type Option func(*Bus)

// As says which of the users (see Users) this process is to the servers. Its
// rights are checked at start, if it has any in particular.
func As(user string) Option { return func(b *Bus) { b.user = user } }

// Connect starts the embedded server, or dials the configured ones, and makes
// or updates the streams and buckets. Who may not make them works with those
// that are there. It refuses to go on where a setting that keeps acknowledged
// data is not in force. The caller closes the Bus.
func Connect(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer, opts ...Option) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("bus settings: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	b := &Bus{cfg: cfg.filled(), log: log, metrics: m, kv: map[string]jetstream.KeyValue{}}
	for _, opt := range opts {
		opt(b)
	}
	b.packs.New = func() any { return &pack{} }
	b.reserve.Store(cfg.DiskReserve)
	if err := reg.Register(newQueues(b)); err != nil {
		return nil, fmt.Errorf("register bus metrics: %w", err)
	}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	watchCtx, stop := context.WithCancel(context.Background()) // ended by Close
	b.stop = stop
	b.watcher.Go(func() { b.watch(watchCtx) })
	return b, nil
}

func (b *Bus) open(ctx context.Context) (err error) {
	if b.cfg.URL == "" {
		if b.embedded, err = startEmbedded(b.cfg, b.log); err != nil {
			return err
		}
	}
	if b.nc, err = b.dialPatiently(ctx); err != nil {
		return err
	}
	payload := int(b.nc.MaxPayload())
	if payload < leastMaxPayload {
		return fmt.Errorf("the servers' max_payload is %d bytes: raise it to %d, at least to %d",
			payload, embeddedMaxPayload, leastMaxPayload)
	}
	if payload < embeddedMaxPayload {
		b.log.Warn("servers accept only small messages", "max_payload", payload, "want", embeddedMaxPayload)
	}
	b.maxFrame = min(payload, embeddedMaxPayload) - frameMargin
	if b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	if err := b.learnRights(ctx); err != nil {
		return err
	}
	if b.syncAlways, err = b.readSyncAlways(ctx); err != nil {
		return err
	}
	return b.makeStreams(ctx)
}

// Close ends the connection, and the embedded server. Committers, consumers
// and the rest must have returned before.
func (b *Bus) Close() error {
	if b.stop != nil {
		b.stop()
	}
	b.watcher.Wait()
	if b.nc != nil {
		b.nc.Close()
	}
	if b.embedded == nil {
		return nil
	}
	if err := b.embedded.close(); err != nil {
		return fmt.Errorf("close the embedded nats-server: %w", err)
	}
	return nil
}

// Trace makes spans of frames on their way. Call it before anything runs.
func (b *Bus) Trace(t *tracing.Tracer) { b.tracer = t }

// KV returns one of the buckets of control state.
func (b *Bus) KV(bucket string) jetstream.KeyValue { return b.kv[bucket] }

// Conn returns the connection itself, for measuring what the bus is built on.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// JetStream returns the API itself, for measuring what the bus is built on.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// MaxRecord returns the size of the largest encoded delivery that can be
// committed: its body, headers and names, plus a few bytes for each.
func (b *Bus) MaxRecord() int { return b.maxFrame - frameSlack }

// Healthy returns nil while a publish can succeed, else what is wrong.
func (b *Bus) Healthy() error {
	if refusal := b.refusal.Load(); refusal != nil {
		return refusal
	}
	if !b.nc.IsConnected() {
		return busy("bus_disconnected", fmt.Errorf("connection is %s", b.nc.Status()))
	}
	for _, c := range b.running() {
		if c.stuck.Load() {
			return busy("bus_not_acknowledging", fmt.Errorf("lane %s", c.lane))
		}
	}
	return nil
}

func (b *Bus) running() []*Committer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.committers
}

// busy asks the sender to come back soon.
func busy(reason string, cause error) *problem.Error {
	return problem.BusyFor(retryAfter, reason, "deliveries cannot be stored at this moment; send this again", cause)
}
