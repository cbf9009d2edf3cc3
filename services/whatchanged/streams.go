package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/telemetry"
)

// makeStreams makes or updates the streams of NATS servers, as their user admin:
// services that run apart may not. An embedded bus makes its own.
func makeStreams(ctx context.Context, cfg Config, log *slog.Logger, out io.Writer) error {
	if cfg.Bus.URL == "" {
		return nil
	}
	b, err := bus.Connect(ctx, cfg.Bus, log.With("part", "bus"), telemetry.NewRegistry(), bus.As(bus.UserAdmin))
	if err != nil {
		return err
	}
	if err := b.Close(); err != nil {
		return fmt.Errorf("leave the bus: %w", err)
	}
	fmt.Fprintln(out, "the streams are up to date")
	return nil
}
