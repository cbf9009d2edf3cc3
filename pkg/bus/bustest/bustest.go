// Package bustest starts a real bus for tests: an embedded server in a
// temporary directory, or a nats-server process of its own.
package bustest

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
)

// Config returns settings for a small bus in a temporary directory, which does
// not care how full the disk is.
func Config(tb testing.TB) bus.Config {
	cfg := bus.DefaultConfig()
	cfg.Dir = tb.TempDir()
	cfg.Name = "test"
	cfg.MaxBytes = 1 << 30
	cfg.DiskReserve = 1
	return cfg
}

// New starts an embedded bus and closes it when the test ends.
func New(tb testing.TB) *bus.Bus {
	tb.Helper()
	return Connect(tb, Config(tb))
}

// Connect starts or dials a bus and closes it when the test ends.
func Connect(tb testing.TB, cfg bus.Config) *bus.Bus {
	tb.Helper()
	b, err := bus.Connect(tb.Context(), cfg, Log(tb), prometheus.NewRegistry())
	if err != nil {
		tb.Fatalf("connect the bus: %v", err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("close the bus: %v", err)
		}
	})
	return b
}

// Log returns a logger that writes warnings to the test's own output.
func Log(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
