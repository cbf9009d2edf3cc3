package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb"
	"whatchanged/pkg/store"
)

// snapshot is what an installation holds once it was stopped.
type snapshot struct {
	Deliveries []deliveryRow
	Payloads   []payloadRow
	Changes    []changeRow
	Bus        busState
}

// deliveryRow is a delivery as the product accounts for it.
type deliveryRow struct {
	ID       string `ch:"id"` // dlv_...
	Received int64  `ch:"received"`
	Identity string `ch:"identity"`
	Outcome  string `ch:"outcome"`
	Hash     string `ch:"hash"` // of the body, as the product computed it
	Chain    string `ch:"chain"`
	Frame    uint64 `ch:"frame_no"`
	Place    uint32 `ch:"place"`
}

// payloadRow is a delivery as it is kept.
type payloadRow struct {
	ID   string `ch:"id"`
	Hash string `ch:"hash"` // of the stored bytes, computed by ClickHouse
}

// changeRow is a change that a reader sees.
type changeRow struct {
	ID       string `ch:"id"`
	Delivery string `ch:"delivery"` // that made it
	Commit   string `ch:"commit_sha"`
	Summary  string `ch:"summary"`
}

// busState is what the streams hold.
type busState struct {
	Bytes     uint64
	Heads     []bus.Head
	Dead      []bus.DeadLetter
	Consumers []bus.ConsumerStatus
	Streams   []bus.StreamStatus
}

// The statements are the oracle's own: the product's might err alike.
const (
	deliveriesStatement = `SELECT id, toUnixTimestamp64Milli(received_at) AS received, identity, toString(outcome) AS outcome,
    lower(hex(body_hash)) AS hash, toString(chain) AS chain, frame_no, place FROM deliveries FINAL`
	payloadsStatement = `SELECT id, lower(hex(SHA256(body))) AS hash FROM payloads FINAL`
	changesStatement  = `SELECT id, delivery_id AS delivery, commit_sha, summary FROM changes FINAL`
)

// takeSnapshot opens the directories of a target that does not run. A process
// can do that once, as it can load ClickHouse's engine once.
func takeSnapshot(ctx context.Context, dataDir, busURL string, log *slog.Logger) (s snapshot, err error) {
	if s.Bus, err = readBus(ctx, filepath.Join(dataDir, "bus"), busURL, log); err != nil {
		return s, err
	}
	engine, err := chdb.Open(chdb.Config{Path: filepath.Join(dataDir, "clickhouse")}, log)
	if err != nil {
		return s, err
	}
	conn, err := clickhouse.Open(chdb.Options(engine, store.DefaultConfig().Database))
	if err != nil {
		return s, errors.Join(err, engine.Close())
	}
	err = readTables(ctx, conn, &s)
	return s, errors.Join(err, conn.Close(), engine.Close())
}

// readTables reads what the store holds.
func readTables(ctx context.Context, conn driver.Conn, s *snapshot) error {
	for _, table := range []struct {
		statement string
		into      any
	}{{deliveriesStatement, &s.Deliveries}, {payloadsStatement, &s.Payloads}, {changesStatement, &s.Changes}} {
		if err := conn.Select(ctx, table.into, table.statement); err != nil {
			return fmt.Errorf("%s: %w", table.statement, err)
		}
	}
	for i := range s.Deliveries {
		s.Deliveries[i].ID = deliveryName(s.Deliveries[i].ID)
	}
	for i := range s.Payloads {
		s.Payloads[i].ID = deliveryName(s.Payloads[i].ID)
	}
	for i := range s.Changes {
		s.Changes[i].ID = change.ID([]byte(s.Changes[i].ID)).String()
		s.Changes[i].Delivery = deliveryName(s.Changes[i].Delivery)
	}
	return nil
}

func deliveryName(raw string) string { return change.DeliveryID([]byte(raw)).String() }

// readBus reads the streams with a server of our own on their directory, or
// from servers that run.
func readBus(ctx context.Context, dir, url string, log *slog.Logger) (s busState, err error) {
	cfg := bus.DefaultConfig()
	cfg.Dir, cfg.URL = dir, url
	cfg.DiskReserve = 1 // nothing will be added: any disk is large enough
	if url != "" {
		cfg.MaxBytes = clusterMaxBytes
	}
	b, err := bus.Connect(ctx, cfg, log, prometheus.NewRegistry())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for deadline := time.Now().Add(time.Minute); ; {
		s, err := readStreams(ctx, b)
		// A cluster may elect another leader while we read.
		if err == nil || url == "" || time.Now().After(deadline) || pause(ctx, time.Second) != nil {
			return s, err
		}
	}
}

func readStreams(ctx context.Context, b *bus.Bus) (s busState, err error) {
	status, err := b.Status(ctx)
	if err != nil {
		return s, err
	}
	s.Streams, s.Consumers = status.Streams, status.Consumers
	for _, stream := range s.Streams {
		s.Bytes += stream.Bytes
	}
	if err := b.Heads(ctx, 1, func(h bus.Head) error {
		s.Heads = append(s.Heads, h)
		return nil
	}); err != nil {
		return s, err
	}
	page, err := b.DeadLetters(ctx, bus.DeadQuery{Org: bus.AllOrgs, Limit: 100_000})
	s.Dead = page.Letters
	return s, err
}
