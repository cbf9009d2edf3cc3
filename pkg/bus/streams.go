package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	duplicateWindow = time.Minute
	deadAge         = 30 * 24 * time.Hour

	// smallStreams is room in the budget for the buckets, log files to fetch and advisories.
	smallStreams     = 128 << 20
	advisoryMaxBytes = 16 << 20

	codeNoStorage = 10047 // the servers' own limit: waiting does not help
)

// Of the budget, DELIVERIES has 60 %, CHANGES 25, DEAD 5 and AUDIT 5; the rest
// is the server's own need. Control state comes on top, so that a small budget
// cannot starve it.
func budget(maxBytes int64) int64 { return maxBytes/60*100 + smallStreams }

// streams lists what Connect makes, in the order it makes it.
func (b *Bus) streams() []jetstream.StreamConfig {
	whole := b.deliveriesMaxBytes()
	kept := func(name, subjects string, maxBytes int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name:        name,
			Subjects:    []string{subjects},
			Storage:     jetstream.FileStorage,
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardNew, // a full bus refuses, it never drops
			MaxBytes:    maxBytes,
			MaxMsgs:     -1,
			Duplicates:  duplicateWindow,
			Compression: jetstream.NoCompression, // frames are compressed by us
			AllowDirect: true,
		}
	}
	dead := kept(Dead, "dead.>", whole/60*5)
	dead.MaxAge = deadAge
	advisory := jetstream.StreamConfig{
		Name:      Advisory,
		Subjects:  []string{"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>"},
		Storage:   jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy,
		Discard:   jetstream.DiscardOld, // alarms about ourselves; nothing here is anybody's data
		MaxBytes:  advisoryMaxBytes,
		MaxAge:    7 * 24 * time.Hour,
	}
	return []jetstream.StreamConfig{
		kept(Deliveries, "deliveries.*", whole),
		kept(Changes, "changes.*", whole/60*25),
		kept(Audit, "audit.*", whole/60*5),
		dead,
		fetchStream(),
		advisory,
	}
}

func (b *Bus) deliveriesMaxBytes() int64 {
	switch {
	case b.embedded != nil:
		return b.embedded.maxBytes
	case b.cfg.MaxBytes > 0:
		return b.cfg.MaxBytes
	default:
		return defaultMaxBytes
	}
}

// makeStreams makes or updates buckets and streams. Servers of a cluster that
// has just been started need a while until they can.
func (b *Bus) makeStreams(ctx context.Context) error {
	var last error
	for try := 1; ; try++ {
		within, cancel := context.WithTimeout(ctx, apiTimeout/2) // without a leader nobody answers
		err := b.tryStreams(within)
		cancel()
		if err == nil {
			return nil
		}
		var refused *PermissionError
		if errors.As(b.permission(strings.TrimSuffix(jsAPI, "."), err), &refused) {
			return refused // nobody answers what is refused, either
		}
		if ctx.Err() != nil && last != nil {
			return last // which says more
		}
		if ctx.Err() != nil || !temporary(err) {
			return err
		}
		last = err
		b.log.Warn("the bus is not ready yet", "error", err)
		if pause(ctx, min(backoff(try), 2*time.Second)) != nil {
			return err
		}
	}
}

// temporary reports whether the servers may do the same later.
func temporary(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code >= 500 && api.ErrorCode != codeNoStorage ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, errNotMade)
}

// errNotMade means that a stream is missing which this user may not make.
var errNotMade = errors.New("is not there, and this user may not make it: run `whatchanged migrate` as the user admin")

// tryStreams begins with the buckets: once there are deliveries, a missing
// bucket means that it was lost.
func (b *Bus) tryStreams(ctx context.Context) error {
	known, err := b.knownStreams(ctx)
	if err != nil {
		return err
	}
	for _, bucket := range []string{BucketRegistry, BucketState} {
		if err := b.makeBucket(ctx, bucket, known); err != nil {
			return err
		}
	}
	for _, cfg := range b.streams() {
		if err := b.makeStream(ctx, cfg, known[cfg.Name]); err != nil {
			return err
		}
	}
	return b.syncNames()
}

func (b *Bus) knownStreams(ctx context.Context) (map[string]*jetstream.StreamInfo, error) {
	known := map[string]*jetstream.StreamInfo{}
	for _, name := range allStreams() {
		stream, err := b.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at stream %s: %w", name, b.permission(jsAPI+"STREAM.INFO."+name, err))
		}
		known[name] = stream.CachedInfo()
	}
	return known, nil
}

// mayMake reports whether this connection may make and alter a stream.
func (b *Bus) mayMake(name string) bool {
	return b.May(jsAPI+"STREAM.CREATE."+name) && b.May(jsAPI+"STREAM.UPDATE."+name)
}

func (b *Bus) makeBucket(ctx context.Context, bucket string, known map[string]*jetstream.StreamInfo) error {
	there := known["KV_"+bucket]
	if d := known[Deliveries]; there == nil && d != nil && d.State.LastSeq > 0 {
		return fmt.Errorf("bucket %s is gone while there are deliveries: restore it from a backup", bucket)
	}
	if !b.mayMake("KV_" + bucket) {
		return b.useBucket(ctx, bucket, there)
	}
	kv, err := b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: bucket, History: 5, Storage: jetstream.FileStorage, Replicas: b.replicas(there), Placement: b.placement(there),
	})
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", bucket, err)
	}
	b.kv[bucket] = kv
	return nil
}

// useBucket opens a bucket that another has made.
func (b *Bus) useBucket(ctx context.Context, bucket string, there *jetstream.StreamInfo) error {
	if there == nil {
		return fmt.Errorf("bucket %s %w", bucket, errNotMade)
	}
	kv, err := b.js.KeyValue(ctx, bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	b.kv[bucket] = kv
	return nil
}

func (b *Bus) makeStream(ctx context.Context, cfg jetstream.StreamConfig, there *jetstream.StreamInfo) error {
	if there != nil && there.Config.Discard != cfg.Discard {
		return fmt.Errorf("stream %s has discard policy %s, which loses data silently: set it to %s and look for the cause",
			cfg.Name, there.Config.Discard, cfg.Discard)
	}
	if !b.mayMake(cfg.Name) {
		return b.useStream(cfg, there)
	}
	cfg.Replicas, cfg.Placement = b.replicas(there), b.placement(there)
	stream, err := b.js.CreateOrUpdateStream(ctx, cfg)
	if err != nil {
		return fmt.Errorf("make stream %s: %w", cfg.Name, err)
	}
	if err := checkStream(cfg, stream.CachedInfo().Config); err != nil {
		return fmt.Errorf("stream %s: %w", cfg.Name, err)
	}
	return nil
}

// useStream checks a stream that another has made.
func (b *Bus) useStream(cfg jetstream.StreamConfig, there *jetstream.StreamInfo) error {
	if there == nil {
		return fmt.Errorf("stream %s %w", cfg.Name, errNotMade)
	}
	if err := checkStream(cfg, there.Config); err != nil {
		return fmt.Errorf("stream %s: %w: run `whatchanged migrate` as the user admin", cfg.Name, err)
	}
	if b.cfg.MaxBytes > 0 && there.Config.MaxBytes != cfg.MaxBytes || b.cfg.Replicas > 0 && there.Config.Replicas != b.cfg.Replicas {
		b.log.Warn("a stream is not as the settings say; `whatchanged migrate` as the user admin makes it so", "stream", cfg.Name,
			"max_bytes", there.Config.MaxBytes, "replicas", there.Config.Replicas)
	}
	return nil
}

// checkStream refuses a stream whose settings in force could lose data.
func checkStream(want, got jetstream.StreamConfig) error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(got.Discard != want.Discard, "discard is %s, want %s", got.Discard, want.Discard)
	fault(got.Storage != want.Storage, "storage is %s, want %s", got.Storage, want.Storage)
	fault(got.Retention != want.Retention, "retention is %s, want %s", got.Retention, want.Retention)
	fault(got.MaxAge != want.MaxAge, "max_age is %s, want %s", got.MaxAge, want.MaxAge)
	fault(got.MaxMsgs > 0, "max_msgs is %d, want none", got.MaxMsgs)
	fault(got.MaxMsgsPerSubject > 0, "max_msgs_per_subject is %d, want none", got.MaxMsgsPerSubject)
	fault(got.Compression != jetstream.NoCompression, "compression is on")
	fault(got.PersistMode != want.PersistMode, "persist mode is %v, want %v", got.PersistMode, want.PersistMode)
	return errors.Join(faults...)
}

// replicas is what was asked for, else what is there, else what the servers suggest.
func (b *Bus) replicas(there *jetstream.StreamInfo) int {
	switch {
	case b.cfg.Replicas > 0:
		return b.cfg.Replicas
	case there != nil:
		return there.Config.Replicas
	case b.nc.ConnectedClusterName() != "":
		return 3
	default:
		return 1
	}
}

// placement is what was asked for, else what is there.
func (b *Bus) placement(there *jetstream.StreamInfo) *jetstream.Placement {
	switch {
	case b.cfg.PlacementCluster != "" || len(b.cfg.PlacementTags) > 0:
		return &jetstream.Placement{Cluster: b.cfg.PlacementCluster, Tags: b.cfg.PlacementTags}
	case there != nil:
		return there.Config.Placement
	default:
		return nil
	}
}

// syncNames puts the names of new files of an embedded server on disk.
func (b *Bus) syncNames() error {
	if b.embedded == nil {
		return nil
	}
	if err := syncDirs(b.embedded.dir); err != nil {
		return fmt.Errorf("fsync the bus directories: %w", err)
	}
	return nil
}
