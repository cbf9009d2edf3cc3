package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/durable"
)

// Status is what can be known about the bus at a moment.
type Status struct {
	Embedded   bool             `json:"embedded"`
	Server     string           `json:"server"` // version
	Cluster    string           `json:"cluster,omitempty"`
	MaxPayload int64            `json:"max_payload"`
	MaxRecord  int              `json:"max_record"`
	SyncAlways *bool            `json:"sync_always,omitempty"` // whether the servers fsync before they acknowledge; absent: they do not say
	DiskFree   int64            `json:"disk_free,omitempty"`   // embedded only
	Reserve    int64            `json:"disk_reserve,omitempty"`
	Refusing   string           `json:"refusing,omitempty"` // why deliveries are refused now
	Servers    []ServerStatus   `json:"servers,omitempty"`  // those that say so, to those who may ask
	Streams    []StreamStatus   `json:"streams"`
	Buckets    []StreamStatus   `json:"buckets"` // the streams below them
	Consumers  []ConsumerStatus `json:"consumers"`
}

// StreamStatus is the state of one stream.
type StreamStatus struct {
	Name      string    `json:"name"`
	Messages  uint64    `json:"messages"`
	Bytes     uint64    `json:"bytes"`
	MaxBytes  int64     `json:"max_bytes"`
	Replicas  int       `json:"replicas"`
	Leader    string    `json:"leader,omitempty"`  // of a cluster
	Missing   []string  `json:"missing,omitempty"` // servers that should have a copy and are away
	Lagging   []string  `json:"lagging,omitempty"` // and those that are behind
	FirstSeq  uint64    `json:"first_seq"`
	LastSeq   uint64    `json:"last_seq"`
	FirstTime time.Time `json:"first_time,omitzero"`
	LastTime  time.Time `json:"last_time,omitzero"`
}

// ConsumerStatus is how far one durable consumer has come.
type ConsumerStatus struct {
	Stream      string `json:"stream"`
	Name        string `json:"name"`
	Pending     uint64 `json:"pending"`     // not delivered yet
	AckPending  int    `json:"ack_pending"` // delivered, not settled
	Redelivered int    `json:"redelivered"`
	AckFloor    uint64 `json:"ack_floor"` // sequence; all before it is settled
}

// Status asks the servers for the state of the streams and their consumers.
func (b *Bus) Status(ctx context.Context) (Status, error) {
	st := Status{
		Embedded:   b.embedded != nil,
		Server:     b.nc.ConnectedServerVersion(),
		Cluster:    b.nc.ConnectedClusterName(),
		MaxPayload: b.nc.MaxPayload(),
		MaxRecord:  b.MaxRecord(),
		SyncAlways: b.syncAlways,
	}
	if err := b.Healthy(); err != nil {
		st.Refusing = err.Error()
	}
	if b.embedded != nil {
		v, err := durable.VolumeOf(b.embedded.dir)
		if err != nil {
			return st, err
		}
		st.DiskFree, st.Reserve = v.Free, reserve(v, b.reserve.Load())
	}
	var err error
	if b.embedded == nil {
		if st.Servers, err = b.servers(ctx); err != nil {
			return st, err
		}
	}
	for _, name := range []string{BucketRegistry, BucketState} {
		stream, err := b.js.Stream(ctx, bucket+name)
		if err != nil {
			return st, fmt.Errorf("look at bucket %s: %w", name, err)
		}
		st.Buckets = append(st.Buckets, streamStatus(stream.CachedInfo()))
	}
	for _, cfg := range b.streams() {
		stream, err := b.js.Stream(ctx, cfg.Name)
		if err != nil {
			return st, fmt.Errorf("look at stream %s: %w", cfg.Name, err)
		}
		st.Streams = append(st.Streams, streamStatus(stream.CachedInfo()))
		if !b.May(jsAPI + "CONSUMER.LIST." + cfg.Name) {
			continue
		}
		list := stream.ListConsumers(ctx)
		for c := range list.Info() {
			if c.Config.Durable == "" {
				continue // somebody reads on for a moment
			}
			st.Consumers = append(st.Consumers, ConsumerStatus{
				Stream: cfg.Name, Name: c.Name, Pending: c.NumPending, AckPending: c.NumAckPending,
				Redelivered: c.NumRedelivered, AckFloor: c.AckFloor.Stream,
			})
		}
		if err := list.Err(); err != nil {
			return st, fmt.Errorf("look at the consumers of %s: %w", cfg.Name, err)
		}
	}
	return st, nil
}

// awayAfter is how long the leader has heard nothing of a server that is away:
// they greet each other every second. One that a new leader has never heard of
// has no time at all.
const awayAfter = 5 * time.Second

func streamStatus(info *jetstream.StreamInfo) StreamStatus {
	s := info.State
	st := StreamStatus{
		Name: info.Config.Name, Messages: s.Msgs, Bytes: s.Bytes, MaxBytes: info.Config.MaxBytes,
		Replicas: info.Config.Replicas, FirstSeq: s.FirstSeq, LastSeq: s.LastSeq,
		FirstTime: s.FirstTime, LastTime: s.LastTime,
	}
	if info.Cluster == nil {
		return st
	}
	st.Leader = info.Cluster.Leader
	for _, peer := range info.Cluster.Replicas {
		switch {
		case peer.Offline, peer.Active > awayAfter, !peer.Current && peer.Active == 0:
			st.Missing = append(st.Missing, peer.Name)
		case !peer.Current || peer.Lag > 0:
			st.Lagging = append(st.Lagging, peer.Name)
		}
	}
	return st
}
