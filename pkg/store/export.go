package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
)

// Export calls row with every change that matches, oldest first, until it
// returns an error, which Export then returns. However many there are, neither
// we nor ClickHouse hold more than a few at a time: they are read in the order
// in which they lie, which is why there is no other, and a month after the
// other, since each that is read takes buffers for all columns.
func (s *Store) Export(ctx context.Context, f ChangeFilter, row func(change.Change) error) error {
	w, err := f.where()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ExportTimeout)
	defer cancel()
	months, err := s.months(ctx, w, span{f.Start, f.End})
	if err != nil {
		return fmt.Errorf("export changes: %w", err)
	}
	for _, month := range months {
		statement, args := exportStatement(w, month)
		if err := stream(ctx, s, "export", statement, args, func(r *changeRow) error { return row(r.change()) }); err != nil {
			return fmt.Errorf("export changes: %w", err)
		}
	}
	return nil
}

// months cuts a range into the months, which are partitions, from the org's
// first change to its last.
func (s *Store) months(ctx context.Context, w *where, r span) ([]span, error) {
	first, ok, err := changeList.edge(ctx, s, w, Asc)
	if err != nil || !ok {
		return nil, err
	}
	last, _, err := changeList.edge(ctx, s, w, Desc)
	if err != nil {
		return nil, err
	}
	if r.start.Before(first) {
		r.start = first
	}
	if after := last.Add(time.Millisecond); r.end.IsZero() || r.end.After(after) {
		r.end = after
	}
	var months []span
	for r.start.Before(r.end) {
		year, month, _ := r.start.UTC().Date()
		next := time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
		if next.After(r.end) {
			next = r.end
		}
		months = append(months, span{r.start, next})
		r.start = next
	}
	return months, nil
}

// exportStatement orders by the whole key, org included: so it is plain that
// the rows need no sorting.
func exportStatement(w *where, month span) (string, []any) {
	w = w.clone()
	w.between(changeList.at, month.start, month.end)
	return fmt.Sprintf("SELECT %s\nFROM changes FINAL\nWHERE %s\nORDER BY org, occurred_at, id", changeList.columns, w), w.args
}

// exportSettings differ from those of other questions: an export may take as
// long as its reader does, within reason, and a block of its rows may be wide.
func (s *Store) exportSettings() clickhouse.Settings {
	settings := s.settings()
	settings["max_execution_time"] = int(s.cfg.ExportTimeout / time.Second)
	settings["max_threads"] = 2
	settings["max_block_size"] = 1024
	return settings
}

// stream calls row with the rows of a statement as they come. An end that is
// not that of the result is always an error.
func stream[R any](ctx context.Context, s *Store, name, statement string, args []any, row func(*R) error) (err error) {
	start := time.Now()
	defer func() { s.metrics.queried(name, start, err) }()
	asking, cancel := context.WithCancel(clickhouse.Context(ctx, clickhouse.WithSettings(s.exportSettings())))
	defer cancel()
	rows, err := s.conn.Query(asking, statement, args...)
	if err != nil {
		s.stumbled(err)
		return queryError(ctx, err)
	}
	defer func() {
		cancel() // or Close reads on to the end
		_ = rows.Close()
	}()
	for rows.Next() {
		var r R
		if err := rows.ScanStruct(&r); err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
		if err := row(&r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		s.stumbled(err)
		return queryError(ctx, err)
	}
	return ctx.Err() // a result whose context ended may look complete
}
