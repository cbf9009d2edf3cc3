package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
	"whatchanged/pkg/chdb/chdbtest"
	"whatchanged/pkg/client"
	"whatchanged/pkg/store"
)

// What the store says became of deliveries is compared with what the bus
// received, so an account shows what the store has lost.
func TestAccount_NamesTheSourceThatDoesNotClose(t *testing.T) {
	t.Parallel()
	s := start(t)
	for n := range 3 {
		s.deliver(orgName, "src_a", fmt.Sprintf(`{"n": %d}`, n), http.Header{})
	}
	lost := s.deliver(orgName, "src_b", `{}`, http.Header{})
	s.deliver("evil", "src_a", `{}`, http.Header{})
	type o = map[string]any
	type counts = client.AccountCounts
	check := func(query string, total counts, bySource map[string]counts) error {
		t.Helper()
		got, err := s.admin.WholeAccount(t.Context(), client.AccountFilter{
			Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), Bucket: 24 * time.Hour, SourceID: query,
		})
		rows := map[string]counts{}
		for _, r := range got.Data { // in two buckets around midnight
			sum := rows[r.SourceID]
			if _, ok := rows[r.SourceID]; !ok {
				sum.Closed = true
			}
			sum.Received, sum.Stored = sum.Received+r.Received, sum.Stored+r.Stored
			sum.InFlight, sum.Missing, sum.Uncounted = sum.InFlight+r.InFlight, sum.Missing+r.Missing, sum.Uncounted+r.Uncounted
			sum.Closed = sum.Closed && r.Closed
			rows[r.SourceID] = sum
		}
		if total.InFlight > 0 == got.Totals.InFlightSince.IsZero() {
			err = errors.Join(err, fmt.Errorf("in flight since %s", got.Totals.InFlightSince))
		}
		return errors.Join(err, differ(total, got.Totals.AccountCounts), differ(bySource, rows))
	}
	a := counts{Received: 3, Stored: 3, Closed: true}
	whole := counts{Received: 4, Stored: 4, Closed: true}
	if err := check("", whole, map[string]counts{"src_a": a, "src_b": {Received: 1, Stored: 1, Closed: true}}); err != nil {
		t.Errorf("not counted yet: %v", err)
	}

	s.run(s.bus.NewCounter(func(ctx context.Context, in []bus.Receipt) error {
		var out []store.Receipt
		for _, r := range in {
			out = append(out, store.Receipt{Org: r.Org, SourceID: r.SourceID, Minute: r.Minute, Chain: r.Chain, Frame: r.Frame, Seq: r.Seq, Count: r.Count})
		}
		return s.store.InsertReceipts(ctx, out)
	}).Run)
	eventually(t, func() error {
		counted, err := s.bus.Counted(t.Context())
		return errors.Join(err, differ(uint64(5), counted.Seq))
	})
	if err := check("", whole, map[string]counts{"src_a": a, "src_b": {Received: 1, Stored: 1, Closed: true}}); err != nil {
		t.Errorf("counted: %v", err)
	}

	if err := chdbtest.Conn(t, s.store.Database()).Exec(t.Context(),
		fmt.Sprintf("ALTER TABLE deliveries DELETE WHERE hex(id) = '%X' SETTINGS mutations_sync = 2", lost[:])); err != nil {
		t.Fatal(err)
	}
	flying := counts{Received: 1, InFlight: 1, Closed: true}
	if err := check("src_b", flying, map[string]counts{"src_b": flying}); err != nil {
		t.Errorf("not all consumers are past it: %v", err)
	}
	s.run(
		func(ctx context.Context) error {
			return bustest.Consume(ctx, s.bus, bus.NormalizerBulk, change.Bulk, func(context.Context, *bus.DeliveryFrame) error { return nil })
		},
		func(ctx context.Context) error {
			return s.bus.ConsumeChangeBatches(ctx, bus.Writer, bus.BatchLimit{Records: 100}, func(context.Context, []*bus.ChangeFrame) error { return nil })
		})
	b := counts{Received: 1, Missing: 1}
	eventually(t, func() error {
		return check("", counts{Received: 4, Stored: 3, Missing: 1}, map[string]counts{"src_a": a, "src_b": b})
	})

	rows := s.call("GET", "/api/v1/account?bucket=1m&source_id=src_b", "").json(t)
	row := rows["data"].([]any)[0].(o)
	want := o{
		"start": row["start"], "source_id": "src_b", "received": 1.0, "stored": 0.0, "duplicate": 0.0, "ignored": 0.0,
		"dead": 0.0, "in_flight": 0.0, "missing": 1.0, "uncounted": 0.0, "closed": false,
	}
	if err := differ(want, row); err != nil {
		t.Error(err)
	}
	if totals := rows["totals"].(o); totals["missing"] != 1.0 || totals["closed"] != false {
		t.Errorf("totals: %v", totals)
	}
}

// Who cannot ask the bus does not know what is in flight, and says nothing.
func TestAccount_IsNotKnownWithoutTheBus(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.admin.LogChange(t.Context(), client.NewChange{Summary: "every part has begun"}, client.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.bus.JetStream().DeleteStream(t.Context(), bus.Deliveries); err != nil {
		t.Fatal(err)
	}
	got := s.call("GET", "/api/v1/account", "")
	if got.Status != http.StatusServiceUnavailable || got.json(t)["reason"] != "bus_unavailable" || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
