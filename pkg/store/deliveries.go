package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

var deliveryList = list[deliveryRow]{
	table: "deliveries", at: "received_at",
	columns: strings.Join(columns[deliveryRow](), ", "),
}

var payloadList = list[payloadRow]{
	table: "payloads", at: "received_at",
	columns: strings.Join(columns[payloadRow](), ", "),
}

// where is the filter as a condition, but for the time range.
func (q *DeliveryQuery) where() (*where, error) {
	w, err := forOrg(q.Org)
	if err != nil {
		return nil, err
	}
	w.equal("source_id", q.SourceID)
	w.equal("provider", q.Provider)
	w.equal("detected_by", q.DetectedBy)
	w.equal("outcome", string(q.Outcome))
	w.equal("identity", q.Identity)
	return w, nil
}

// FindDeliveries returns a page of the deliveries that match.
func (s *Store) FindDeliveries(ctx context.Context, q DeliveryQuery) (Page[Delivery], error) {
	p := paging{start: q.Start, end: q.End, limit: q.Limit, offset: q.Offset, cursor: q.Cursor, sort: q.Sort, total: q.Total, asOf: s.now()}
	filter := q
	filter.Limit, filter.Offset, filter.Cursor, filter.Sort, filter.Total = 0, 0, "", "", false
	if err := p.resolve("deliveries", filter); err != nil {
		return Page[Delivery]{}, err
	}
	w, err := q.where()
	if err != nil {
		return Page[Delivery]{}, err
	}
	found, err := find(ctx, s, deliveryList, w, p)
	if err != nil {
		return Page[Delivery]{}, fmt.Errorf("find deliveries: %w", err)
	}
	out := Page[Delivery]{
		Data: make([]Delivery, len(found.rows)), Total: found.total,
		Limit: p.limit, Offset: p.offset, HasMore: found.more, NextCursor: found.next,
	}
	for i := range found.rows {
		out.Data[i] = found.rows[i].delivery()
	}
	return out, nil
}

// Delivery returns what became of one delivery. One of another org is not
// found, and neither is one that was received in the last moments.
func (s *Store) Delivery(ctx context.Context, org string, id change.DeliveryID) (Delivery, error) {
	row, err := one(ctx, s, "delivery", deliveryList, org, id)
	if err != nil {
		return Delivery{}, err
	}
	return row.delivery(), nil
}

// Payload returns a delivery as it came, as long as it is kept.
func (s *Store) Payload(ctx context.Context, org string, id change.DeliveryID) (Payload, error) {
	row, err := one(ctx, s, "payload", payloadList, org, id)
	if err != nil {
		return Payload{}, err
	}
	return row.payload()
}

// one reads the row of one id. The time inside the id is the time in the key,
// so this reads one place of one partition.
func one[R any](ctx context.Context, s *Store, what string, l list[R], org string, id [16]byte) (*R, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	var rows []R
	if err := s.query(ctx, what, &rows, l.oneStatement(w), w.args[0],
		clickhouse.Named("at", change.DeliveryID(id).Time().UnixMilli()), clickhouse.Named("id", hex.EncodeToString(id[:]))); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, problem.New(problem.NotFound, what+"_not_found", "there is no such "+what)
	}
	return &rows[0], nil
}

func (l list[R]) oneStatement(w *where) string {
	return fmt.Sprintf("SELECT %s\nFROM %s FINAL\nWHERE %s\n  AND %s = %s\n  AND id = %s",
		l.columns, l.table, w.clauses[0], l.at, atParam("at"), idParam("id"))
}
