package chdb_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/chdb/chdbtest"
)

// childEnv makes this test binary run one of children in place of its tests,
// with the data directory as the argument.
const childEnv = "CHDB_TEST_CHILD"

var children = map[string]func(ctx context.Context, dir string) error{
	"verify":         verifyKept,
	"write forever":  writeForever,
	"insert durably": func(ctx context.Context, dir string) error { return insertSome(ctx, dir, durable) },
	"insert":         func(ctx context.Context, dir string) error { return insertSome(ctx, dir, "") },
	"open":           openOnly,
	"open twice":     openTwice,
	"back up":        backUp,
	"close waits":    closeBusy("SELECT sleepEachRow(0.1) FROM numbers(10) SETTINGS max_block_size = 1", time.Minute, false),
	"close cancels":  closeBusy("SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1", 2*time.Second, true),
}

func TestMain(m *testing.M) {
	child, ok := children[os.Getenv(childEnv)]
	if !ok {
		os.Exit(chdbtest.Main(m))
	}
	if err := child(context.Background(), os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// open opens an engine and a client of it, in a child.
func open(dir string) (*chdb.Engine, driver.Conn, error) {
	e, err := chdb.Open(chdb.Config{Path: dir, Library: os.Getenv("WHATCHANGED_LIBCHDB"), Connections: 4}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	conn, err := clickhouse.Open(chdb.Options(e, "default"))
	return e, conn, err
}

// durable are the table settings without which an acknowledged row can be lost
// in a power cut.
const durable = ` SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
	min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1, old_parts_lifetime = 480`

// writeForever inserts batches and prints the number of each once it is
// acknowledged, until it is killed.
func writeForever(ctx context.Context, dir string) error {
	_, conn, err := open(dir)
	if err != nil {
		return err
	}
	if err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS kept (batch UInt64, n UInt64, s String) ENGINE = MergeTree ORDER BY (batch, n)"+durable); err != nil {
		return err
	}
	var next uint64
	if err := conn.QueryRow(ctx, "SELECT if(count() = 0, 0, max(batch) + 1) FROM kept").Scan(&next); err != nil {
		return err
	}
	for i := next; ; i++ {
		if err := insertBatch(ctx, conn, "kept", i, 100); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

func insertBatch(ctx context.Context, conn driver.Conn, table string, number uint64, rows int) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		return err
	}
	for n := range rows {
		if err := batch.Append(number, uint64(n), strings.Repeat("x", 200)); err != nil {
			return err
		}
	}
	return batch.Send()
}

// insertSome makes a table and inserts a few batches.
func insertSome(ctx context.Context, dir, settings string) error {
	e, conn, err := open(dir)
	if err != nil {
		return err
	}
	if err := conn.Exec(ctx, "CREATE TABLE t (batch UInt64, n UInt64, s String) ENGINE = MergeTree ORDER BY (batch, n)"+settings); err != nil {
		return err
	}
	for i := range uint64(batches) {
		if err := insertBatch(ctx, conn, "t", i, 10); err != nil {
			return err
		}
	}
	return e.Close()
}

// batches is how many inserts insertSome makes.
const batches = 20

func openOnly(_ context.Context, dir string) error {
	e, _, err := open(dir)
	if err != nil {
		return err
	}
	return e.Close()
}

// openTwice closes an engine and opens it again, and then another directory.
func openTwice(ctx context.Context, dir string) error {
	for _, path := range []string{dir, dir, dir + "-other"} {
		e, conn, err := open(path)
		if err != nil {
			return err
		}
		if err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS t (a UInt8) ENGINE = MergeTree ORDER BY a"); err != nil {
			return err
		}
		if err := conn.Exec(ctx, "INSERT INTO t VALUES (1)"); err != nil {
			return err
		}
		var n uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM t").Scan(&n); err != nil {
			return err
		}
		fmt.Print(n, " ")
		if err := errors.Join(e.Close(), e.Close()); err != nil {
			return err
		}
		if err := conn.Exec(ctx, "SELECT 1"); err == nil {
			return errors.New("a closed engine answers")
		}
	}
	return nil
}

// backUp shows that the engine's own arguments reach it.
func backUp(ctx context.Context, dir string) error {
	to := filepath.Join(dir, "backups")
	e, err := chdb.Open(chdb.Config{Path: filepath.Join(dir, "data"), Library: os.Getenv("WHATCHANGED_LIBCHDB"), Connections: 1,
		Args: []string{"--backups.allowed_path=" + to}}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(chdb.Options(e, "default"))
	if err != nil {
		return err
	}
	for _, sql := range []string{
		"CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a",
		"INSERT INTO t VALUES (1), (2)",
		"BACKUP TABLE t TO File('" + to + "/t.tar.gz')",
		"RESTORE TABLE t AS back FROM File('" + to + "/t.tar.gz')",
	} {
		if err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	var n uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM back").Scan(&n); err != nil || n != 2 {
		return fmt.Errorf("%d rows are back: %w", n, err)
	}
	return e.Close()
}

// closeBusy closes an engine while a query runs: Close waits for a short one,
// and cancels a long one.
func closeBusy(sql string, grace time.Duration, wantErr bool) func(context.Context, string) error {
	return func(ctx context.Context, dir string) error {
		e, conn, err := open(dir)
		if err != nil {
			return err
		}
		e.SetCloseGrace(grace)
		done := make(chan error, 1)
		go func() { done <- conn.Exec(ctx, sql) }()
		for n := uint64(0); n < 1; { // an ended statement stays listed for a moment: only the one meant counts
			if err := conn.QueryRow(ctx, "SELECT count() FROM system.processes WHERE startsWith(query, 'SELECT sleepEachRow')").Scan(&n); err != nil {
				return err
			}
		}
		if err := e.Close(); err != nil {
			return err
		}
		if err := <-done; (err != nil) != wantErr {
			return fmt.Errorf("the query: %w", err)
		}
		return nil
	}
}
