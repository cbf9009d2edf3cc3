package writer_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/store"
	"whatchanged/services/writer"
)

// A merge that ends on a full disk can leave a part that fails every question.
func TestReconciler_StoresAgainWhatWasInADamagedPart(t *testing.T) {
	for _, c := range []struct{ table, files string }{
		{"changes", "*.bin"},
		{"deliveries", "*.bin"},
		{"payloads", "*.bin"},
		{"receipts", "*.bin"},
		{"deliveries", "skp_idx_by_chain*.cmrk*"}, // as a merge left it on a full disk
	} {
		table := c.table
		t.Run(table+" "+c.files, func(t *testing.T) {
			p := newPipeline(t)
			const count = 20
			r, last := p.whole(count)
			p.damage(table, c.files)
			if n, err := p.readable(table, last); err == nil {
				t.Fatalf("%d rows can be read from a damaged part", n)
			}
			eventually(t, "the rows of the damaged part to be back", func() error {
				if err := r.Turn(t.Context()); err != nil {
					return err
				}
				if n, err := p.readable(table, last); err != nil || n != count {
					return fmt.Errorf("%d rows, %w", n, err)
				}
				return nil
			})
			aside, err := p.store.Aside(t.Context())
			if err != nil || len(aside) != 1 || aside[0].Table != table {
				t.Errorf("put aside: %v, %v", aside, err)
			}
		})
	}
}

// What an insert wrote to a full disk can be read until ClickHouse starts again,
// and not after that. So it is looked at as soon as an insert has no room.
func TestReconciler_StoresAgainWhatWasWrittenToAFullDisk(t *testing.T) {
	p := newPipeline(t)
	const count = 20
	r, last := p.whole(count)
	p.damage("payloads", "*.txt")
	if n, err := p.readable("payloads", last); err != nil || n != count {
		t.Fatalf("%d rows can be read, %v: this is not how ClickHouse behaves any more", n, err)
	}

	p.exec("ALTER TABLE payloads MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000")
	if err := p.store.InsertPayloads(t.Context(), []store.PayloadBatch{{Chain: "c", Frame: 1, Deliveries: []change.Delivery{last}}}); err == nil {
		t.Fatal("there was room")
	}
	p.exec("ALTER TABLE payloads RESET SETTING min_free_disk_bytes_to_perform_insert")
	eventually(t, "the damaged part to be put aside, and its rows to be back", func() error {
		if err := r.Turn(t.Context()); err != nil {
			return err
		}
		aside, err := p.store.Aside(t.Context())
		if err != nil || len(aside) != 1 {
			return fmt.Errorf("put aside: %v, %w", aside, err)
		}
		if n, err := p.readable("payloads", last); err != nil || n != count {
			return fmt.Errorf("%d rows, %w", n, err)
		}
		return nil
	})
}

// whole delivers so many, and returns a reconciler that has found all of them
// stored, and the last.
func (p *pipeline) whole(count int) (r *writer.Reconciler, last change.Delivery) {
	p.t.Helper()
	for n := range count {
		last = p.deliver(fmt.Sprintf(`{"n":%d}`, n))
	}
	r = newReconciler(p.t, p.bus, p.store)
	eventually(p.t, "the reconciler to find all whole", func() error { return position(r, p.bus, uint64(count)) })
	return r, last
}

// readable reads a table as its readers do, through the store: so it notices
// what cannot be read. It returns how many deliveries that tells of.
func (p *pipeline) readable(table string, last change.Delivery) (int, error) {
	ctx := p.t.Context()
	switch table {
	case "changes":
		page, err := p.store.FindChanges(ctx, store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}, Limit: 100})
		return len(page.Data), err
	case "deliveries":
		page, err := p.store.FindDeliveries(ctx, store.DeliveryQuery{Org: "acme", Limit: 100})
		if err != nil {
			return 0, err
		}
		var chain string // by which the reconciler looks
		if err := p.db.QueryRow(ctx, "SELECT any(chain) FROM deliveries").Scan(&chain); err != nil {
			return 0, err
		}
		_, err = p.store.StoredFrames(ctx, store.FrameRange{Chain: chain, From: 0, To: math.MaxInt32})
		return len(page.Data), err
	case "payloads":
		if _, err := p.store.Payload(ctx, "acme", last.ID); err != nil {
			return 0, err
		}
		return int(p.rows(table)), nil
	default:
		rows, err := p.store.Account(ctx, store.AccountQuery{
			Org: "acme", Start: last.ReceivedAt.Add(-time.Hour), End: last.ReceivedAt.Add(time.Hour), Bucket: 24 * time.Hour,
		})
		received := int64(0)
		for _, r := range rows {
			received += r.Received
		}
		return int(received), err
	}
}

// damage makes one part of a table, and empties some of its files.
func (p *pipeline) damage(table, pattern string) {
	p.t.Helper()
	p.exec("OPTIMIZE TABLE " + table + " FINAL")
	var dir string
	row := p.db.QueryRow(p.t.Context(), "SELECT path FROM system.parts WHERE database = currentDatabase() AND table = {table:String} AND active",
		clickhouse.Named("table", table))
	if err := row.Scan(&dir); err != nil {
		p.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		p.t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 0); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, cache := range []string{"MARK CACHE", "UNCOMPRESSED CACHE", "INDEX MARK CACHE", "INDEX UNCOMPRESSED CACHE"} {
		p.exec("SYSTEM DROP " + cache)
	}
}

// report stores a report of an incident that no delivery brought.
func (p *pipeline) report() {
	p.t.Helper()
	at := change.At(time.Now())
	if err := p.store.InsertIncidents(p.t.Context(), []store.Batch{{Chain: "x", Frame: 1, Results: []change.Result{{
		Org: "acme", ReceivedAt: at,
		Incidents: []change.IncidentReport{{ID: change.NewIncidentID("acme", "pagerduty", "1"), At: at, Status: change.Open, Title: "down"}},
	}}}}); err != nil {
		p.t.Fatal(err)
	}
}

// Whatever asks tables notices what it cannot read: the parts are put aside,
// and the next one who asks is answered.
func TestReconciler_PutsAsideWhateverCannotBeRead(t *testing.T) {
	p := newPipeline(t)
	p.deliver(`{"n":1}`)
	r := newReconciler(t, p.bus, p.store)
	eventually(t, "the reconciler to find all whole", func() error { return position(r, p.bus, 1) })
	page, err := p.store.FindChanges(t.Context(), store.ChangeQuery{ChangeFilter: store.ChangeFilter{Org: "acme"}})
	if err != nil || len(page.Data) != 1 {
		t.Fatalf("%d changes, %v", len(page.Data), err)
	}
	replayed := []store.Batch{{Run: 1, Chain: "x", Frame: 9, Results: []change.Result{{Org: "acme", Changes: []change.Change{{ID: page.Data[0].ID}}}}}}
	p.report()
	p.exec("ALTER TABLE changes MODIFY SETTING min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0")
	f := func(table, files string, ask func() error) {
		t.Helper()
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		p.damage(table, files)
		if ask() == nil {
			t.Fatalf("a damaged part of %s can be read", table)
		}
		if err := r.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ask(); err != nil {
			t.Errorf("%s cannot be asked after a turn: %v", table, err)
		}
	}
	f("org_usage", "*.bin", func() error { _, err := p.store.MeasureUsage(t.Context()); return err })
	f("incidents", "*.bin", func() error {
		_, err := p.store.FindIncidents(t.Context(), store.IncidentQuery{Org: "acme"})
		return err
	})
	// Nothing else reads this column: it must be what keeps revisions that notices.
	f("changes", "summary.bin", func() error { return p.store.KeepRevisions(t.Context(), replayed) })
}
