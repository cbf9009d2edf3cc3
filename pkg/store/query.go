package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/problem"
)

// settings are those of a question: its limits, and how FINAL works.
func (s *Store) settings() clickhouse.Settings {
	settings := clickhouse.Settings{
		// A row and its later versions are in one partition, always.
		"do_not_merge_across_partitions_select_final": 1,
		// Without it a skip index hides the version that does not match the
		// filter, and an older one that does comes back.
		"use_skip_indexes_if_final_exact_mode": 1,
		"max_execution_time":                   int(s.cfg.QueryTimeout / time.Second),
		"max_memory_usage":                     s.cfg.QueryMemory,
	}
	if s.cfg.Cluster != "" {
		// An org's rows are on one shard: ask only that one, subqueries too.
		settings["optimize_skip_unused_shards"] = 1
		settings["distributed_product_mode"] = "local"
	}
	return settings
}

// ask is query for what a person asks of any number of rows: it may read so
// many and no more. What the pipeline itself asks has no such limit, for it
// must go on however much is stored.
func (s *Store) ask(ctx context.Context, name string, dest any, statement string, args ...any) error {
	settings := s.settings()
	settings["max_rows_to_read"] = s.cfg.QueryRows
	return s.queryWith(ctx, settings, name, dest, statement, args...)
}

// query reads all rows of a statement into dest, a pointer to a slice of
// structs. Its name is for metrics and errors.
func (s *Store) query(ctx context.Context, name string, dest any, statement string, args ...any) error {
	return s.queryWith(ctx, s.settings(), name, dest, statement, args...)
}

func (s *Store) queryWith(ctx context.Context, settings clickhouse.Settings, name string, dest any, statement string, args ...any) error {
	start := time.Now()
	// ClickHouse keeps the limit itself. This is for one that says nothing any
	// more; a deadline instead would become its limit.
	asking, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	defer time.AfterFunc(s.cfg.QueryTimeout+silence, func() { giveUp(errSilent) }).Stop()
	err := s.conn.Select(clickhouse.Context(asking, clickhouse.WithSettings(settings)), dest, statement, args...)
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %s: %w", s.cfg.QueryTimeout+silence, err)
	}
	s.metrics.queried(name, start, err)
	if err != nil {
		s.stumbled(err)
		return fmt.Errorf("query %s: %w", name, queryError(ctx, err))
	}
	return nil
}

// silence is how long after its limit an answer may come.
const silence = 5 * time.Second

// ClickHouse's exceptions that mean that a question asks for too much, or that
// there are too many of them.
const (
	tooManyRows     = 158
	timeoutExceeded = 159
	tooSlow         = 160
	quotaExceeded   = 201
	tooManyQueries  = 202
	memoryLimit     = 241
	tooManyBytes    = 307
)

// queryError gives an error its kind: the question is too large, or ClickHouse
// cannot be reached. All else is internal.
func queryError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err // the caller has gone
	}
	large := func(message string) error {
		e := problem.New(problem.Malformed, "query_too_large", message)
		e.Err = err
		return e
	}
	var refused *clickhouse.Exception
	if !errors.As(err, &refused) {
		return problem.BusyFor(5*time.Second, "store_unavailable", "the store cannot be reached: try again", err)
	}
	switch refused.Code {
	case tooManyRows, tooManyBytes:
		return large("the query reads too much: narrow the time range or add filters")
	case memoryLimit:
		if strings.Contains(refused.Message, "or query") || strings.Contains(refused.Message, "uery memory limit") {
			return large("the query needs too much memory: narrow the time range or add filters")
		}
		return problem.BusyFor(5*time.Second, "store_busy", "the store is short of memory: try again", err)
	case quotaExceeded, tooManyQueries:
		return problem.BusyFor(5*time.Second, "store_busy", "the store answers no more questions at this moment: try again", err)
	case timeoutExceeded, tooSlow:
		return problem.BusyFor(5*time.Second, "query_timeout", "the query takes too long: narrow the time range or add filters", err)
	default:
		return err
	}
}
