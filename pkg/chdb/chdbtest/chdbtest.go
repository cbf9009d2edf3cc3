// Package chdbtest gives tests the embedded ClickHouse engine: one for each
// test binary, since a process can open one data directory only.
package chdbtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"whatchanged/pkg/chdb"
)

// shared is the engine of this test binary: the process can have one only, so
// it lives as long as the process does.
var shared struct {
	sync.Mutex
	config chdb.Config
	engine *chdb.Engine
	dir    string
	err    error
}

// Configure gives the engine arguments and a configuration file. TestMain calls
// it before Main.
func Configure(cfg chdb.Config) {
	shared.Lock()
	defer shared.Unlock()
	shared.config = cfg
}

// MainWithBackups is Main with a directory that the engine may write backups to.
// It is in allowed while the tests run.
func MainWithBackups(m *testing.M, allowed *string) int {
	var err error
	if *allowed, err = os.MkdirTemp("", "whatchanged-backups-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(*allowed)
	Configure(chdb.Config{Args: []string{"--backups.allowed_path=" + *allowed}})
	return Main(m)
}

// Main runs the tests, and then closes the engine and removes its data, if any
// test asked for it. Tests that pass must leave no goroutine behind, but those
// that ignored lets stay. TestMain calls it: os.Exit(chdbtest.Main(m)).
func Main(m *testing.M, ignored ...goleak.Option) int {
	code := m.Run()
	err := end()
	if code == 0 && err == nil {
		err = goleak.Find(ignored...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chdbtest:", err)
		return max(code, 1)
	}
	return code
}

// end closes the engine and removes its data.
func end() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		return nil
	}
	return errors.Join(shared.engine.Close(), os.RemoveAll(shared.dir))
}

// Engine returns the test binary's engine. The binary needs a TestMain that
// calls Main.
func Engine(tb testing.TB) *chdb.Engine {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil && shared.err == nil {
		shared.dir, shared.err = os.MkdirTemp("", "chdbtest-")
		if shared.err == nil {
			cfg := shared.config
			cfg.Path, cfg.Library = shared.dir, os.Getenv("WHATCHANGED_LIBCHDB")
			shared.engine, shared.err = chdb.Open(cfg, slog.New(slog.DiscardHandler))
		}
	}
	if shared.err != nil {
		tb.Fatalf("embedded ClickHouse: %v", shared.err)
	}
	return shared.engine
}

// Database makes a database with a random name, which goes with the test.
func Database(tb testing.TB) string {
	tb.Helper()
	conn := Conn(tb, "default")
	name := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := conn.Exec(tb.Context(), "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("create database: %v", err)
	}
	drop := context.WithoutCancel(tb.Context()) // the test's own is over when cleanups run
	tb.Cleanup(func() {
		if err := conn.Exec(drop, "DROP DATABASE "+name+" SYNC"); err != nil {
			tb.Errorf("drop database: %v", err)
		}
	})
	return name
}

// Conn returns a client of the engine, closed when the test ends.
func Conn(tb testing.TB, database string) driver.Conn {
	tb.Helper()
	conn, err := clickhouse.Open(chdb.Options(Engine(tb), database))
	if err != nil {
		tb.Fatalf("open clickhouse client: %v", err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Errorf("close clickhouse client: %v", err)
		}
	})
	return conn
}
