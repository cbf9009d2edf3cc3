package store

import (
	"context"
	_ "embed" // for fillStatement
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// FillConfig says what Fill makes.
type FillConfig struct {
	Rows  int           // in all
	Orgs  []string      // in turn
	Until time.Time     // the newest row's time
	Span  time.Duration // the time from the oldest to the newest row
}

//go:embed fill.sql
var fillStatement string

// Fill inserts made-up changes, evenly over a span of time and in its order,
// for measuring how lists behave over many rows. ClickHouse makes them itself,
// at some 200,000 a second. The same configuration makes the same rows.
func (s *Store) Fill(ctx context.Context, cfg FillConfig) error {
	if cfg.Rows < 1 || len(cfg.Orgs) == 0 || cfg.Span <= 0 {
		return errors.New("fill: rows, orgs and span are required")
	}
	settings := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0, "max_insert_block_size": maxRows}))
	for from := 0; from < cfg.Rows; from += maxRows {
		rows := min(maxRows, cfg.Rows-from)
		if err := s.conn.Exec(settings, fillStatement,
			clickhouse.Named("first", cfg.Until.Add(-cfg.Span).UnixMilli()),
			clickhouse.Named("step", float64(cfg.Span.Milliseconds())/float64(cfg.Rows)),
			clickhouse.Named("orgs", cfg.Orgs),
			clickhouse.Named("from", from),
			clickhouse.Named("rows", rows),
		); err != nil {
			return fmt.Errorf("fill rows %d to %d: %w", from, from+rows, err)
		}
	}
	return nil
}
