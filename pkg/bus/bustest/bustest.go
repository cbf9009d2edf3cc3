// Package bustest starts a real bus for tests: an embedded server in a
// temporary directory, or a nats-server process of its own.
package bustest

import (
	"context"
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

// Consume hands the frames of a lane (empty: all) to h, one after the other,
// until ctx ends.
func Consume(ctx context.Context, b *bus.Bus, durable, lane string, h func(context.Context, *bus.DeliveryFrame) error) error {
	one := bus.BatchLimit{Bytes: 1, Records: 1}
	return b.ConsumeDeliveryBatches(ctx, durable, lane, one, func(ctx context.Context, frames []*bus.DeliveryFrame) error {
		for _, f := range frames {
			if err := h(ctx, f); err != nil {
				return err
			}
		}
		return nil
	})
}

// Log returns a logger that writes warnings to the test's own output.
func Log(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
