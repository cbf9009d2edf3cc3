package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// inspectWait is how long one stream has to answer: one without a leader does not.
const inspectWait = 2 * time.Second

// Inspection is what can be seen of servers elsewhere, well or not.
type Inspection struct {
	Server     string
	Cluster    string
	MaxPayload int64
	MaxRecord  int
	Servers    []ServerStatus // none: they do not say, or not to this user
	Streams    []StreamStatus // those of buckets too
	Absent     []string       // streams that are not there
	Silent     []string       // and those that do not answer: nobody leads them
}

// Inspect looks at the servers of cfg and changes nothing. An error says that
// they cannot be reached, or do not let this user do what it needs.
func Inspect(ctx context.Context, cfg Config, log *slog.Logger, opts ...Option) (in Inspection, err error) {
	if err := cfg.Validate(); err != nil {
		return in, fmt.Errorf("bus settings: %w", err)
	}
	if cfg.URL == "" {
		return in, errors.New("no servers are configured")
	}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		return in, err
	}
	b := &Bus{cfg: cfg.filled(), log: log, metrics: m}
	for _, opt := range opts {
		opt(b)
	}
	if b.nc, err = b.dial(); err != nil {
		return in, err
	}
	defer b.nc.Close()
	if b.js, err = jetstream.New(b.nc, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		return in, fmt.Errorf("open jetstream: %w", err)
	}
	if err := b.learnRights(ctx); err != nil {
		return in, err
	}
	in = Inspection{Server: b.nc.ConnectedServerVersion(), Cluster: b.nc.ConnectedClusterName(), MaxPayload: b.nc.MaxPayload()}
	b.maxFrame = int(min(in.MaxPayload, embeddedMaxPayload)) - frameMargin
	in.MaxRecord = b.MaxRecord()
	if in.Servers, err = b.servers(ctx); err != nil {
		return in, err
	}
	var asking sync.WaitGroup
	infos := make([]*jetstream.StreamInfo, len(allStreams()))
	errs := make([]error, len(allStreams()))
	for i, name := range allStreams() {
		asking.Go(func() {
			within, cancel := context.WithTimeout(ctx, inspectWait)
			defer cancel()
			stream, err := b.js.Stream(within, name)
			if errs[i] = err; err == nil {
				infos[i] = stream.CachedInfo()
			}
		})
	}
	asking.Wait()
	for i, name := range allStreams() {
		switch err := errs[i]; {
		case err == nil:
			in.Streams = append(in.Streams, streamStatus(infos[i]))
		case ctx.Err() != nil:
			return in, ctx.Err()
		case errors.Is(err, jetstream.ErrStreamNotFound):
			in.Absent = append(in.Absent, name)
		default:
			in.Silent = append(in.Silent, name)
		}
	}
	return in, nil
}
