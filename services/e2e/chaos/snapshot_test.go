package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/store"
)

func TestMain(m *testing.M) { os.Exit(chdbtest.Main(m)) }

// stored puts deliveries through the product's own inserts into a real store,
// and returns a connection to it and the journal that tells of them.
func stored(t *testing.T) (driver.Conn, []*request) {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.Database = chdbtest.Database(t)
	s, err := store.OpenWith(t.Context(), cfg, chdbtest.Engine(t), bustest.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(chdb.Options(chdbtest.Engine(t), cfg.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	batch := store.Batch{Chain: "c", Frame: 1, Lane: change.Fresh}
	payloads := store.PayloadBatch{Chain: "c", Frame: 1, Lane: change.Fresh}
	var requests []*request
	now := change.At(time.Now())
	load := LoadConfig{Seed: testSeed, LargeBytes: 1000, Months: 3}
	for n := range int64(5) {
		body := load.body(fact{n, kindPlain})
		hash, id := sha256.Sum256(body), change.NewDeliveryID(now.Time)
		payloads.Deliveries = append(payloads.Deliveries, change.Delivery{ID: id, Org: "acme", SourceID: "src_1", ReceivedAt: now, Body: body})
		batch.Results = append(batch.Results, change.Result{
			DeliveryID: id, Org: "acme", SourceID: "src_1", ReceivedAt: now, FirstReceived: now, NormalizedAt: now,
			Place: int(n), BodyHash: hash, Outcome: change.Stored, Provider: "generic",
			Changes: []change.Change{{
				ID: change.NewID(now.Time, "acme", "generic", fmt.Sprint(n)), Org: "acme", Type: change.Deployment,
				Summary: "Deploy " + mark(testSeed, n, kindPlain), OccurredAt: now, CreatedAt: now,
				Provenance: change.Provenance{DeliveryID: id},
			}},
		})
		requests = append(requests, &request{
			entry: entry{ID: n, Fact: n, Kind: kindPlain, Hash: hex.EncodeToString(hash[:])}, state: stateOK, status: 200, dlv: id.String(),
		})
	}
	for range 2 { // as after a crash: what is inserted again collapses
		if err := s.InsertPayloads(t.Context(), []store.PayloadBatch{payloads}); err != nil {
			t.Fatal(err)
		}
		if err := s.InsertChanges(t.Context(), []store.Batch{batch}); err != nil {
			t.Fatal(err)
		}
		if err := s.InsertDeliveries(t.Context(), []store.Batch{batch}); err != nil {
			t.Fatal(err)
		}
	}
	return conn, requests
}

// The harm is done to the tables themselves, so that the oracle's own reading
// is part of what is tried.
func TestOracle_SeesHarmInARealStore(t *testing.T) {
	for _, c := range []struct {
		name, statement string
		count           func(verdict) int // nil: all is well
	}{
		{name: "whole"},
		{"a delivery is removed", "DELETE FROM deliveries WHERE place = 2", func(v verdict) int { return v.Lost }},
		{"a payload is removed", "DELETE FROM payloads WHERE place = 2", func(v verdict) int { return v.Lost }},
		{"a change is removed", "DELETE FROM changes WHERE place = 2", func(v verdict) int { return v.Lost }},
		{
			"a change is there under another id",
			"INSERT INTO changes SELECT * REPLACE (unhex('000000000000000000000000000000ff') AS id) FROM changes FINAL WHERE place = 2",
			func(v verdict) int { return v.Duplicated },
		},
		{
			"a delivery is there under another id",
			"INSERT INTO deliveries SELECT * REPLACE (unhex('000000000000000000000000000000ff') AS id, 5 AS place) FROM deliveries FINAL LIMIT 1",
			func(v verdict) int { return v.Duplicated },
		},
		{
			"a body is altered",
			"ALTER TABLE payloads UPDATE body = concat(body, ' ') WHERE place = 2 SETTINGS mutations_sync = 1",
			func(v verdict) int { return v.Altered },
		},
		{
			"a summary is altered",
			"ALTER TABLE changes UPDATE summary = 'Deploy nothing' WHERE place = 2 SETTINGS mutations_sync = 1",
			func(v verdict) int { return v.Altered },
		},
		{
			"a delivery is added",
			"INSERT INTO deliveries SELECT * REPLACE (unhex('000000000000000000000000000000ff') AS id, 5 AS place, unhex(repeat('ab', 32)) AS body_hash) FROM deliveries FINAL LIMIT 1",
			func(v verdict) int { return v.Phantom },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, requests := stored(t)
			if c.statement != "" {
				if err := conn.Exec(t.Context(), c.statement); err != nil {
					t.Fatal(err)
				}
			}
			var s snapshot
			if err := readTables(t.Context(), conn, &s); err != nil {
				t.Fatal(err)
			}
			v := judge(requests, s, testSeed, Expected{})
			if c.count == nil && v.bad() > 0 || c.count != nil && c.count(v) == 0 {
				t.Errorf("the oracle says %+v", v)
			}
		})
	}
}
