package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/bus/bustest"
	"whatchanged/pkg/change"
)

// A handler that is stopped in the middle leaves its frame for the next start;
// that is no news, and another consumer has it at once.
func TestConsume_StoppingIsNoWarning(t *testing.T) {
	var log bytes.Buffer
	b, err := bus.Connect(t.Context(), bustest.Config(t), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	commit(t, run(t, b, change.Fresh), delivery(1, "left"))
	ctx, stop := context.WithCancel(t.Context())
	err = bustest.Consume(ctx, b, "stopped", change.Fresh, func(ctx context.Context, _ *bus.DeliveryFrame) error {
		stop()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	ctx, stop = context.WithCancel(t.Context())
	got := 0
	_ = bustest.Consume(ctx, b, "stopped", change.Fresh, func(_ context.Context, f *bus.DeliveryFrame) error {
		got += len(f.Deliveries)
		stop()
		return nil
	})
	if got != 1 {
		t.Errorf("the next start got %d deliveries, want 1", got)
	}
	if strings.Contains(log.String(), "put back") {
		t.Errorf("log:\n%s", log.String())
	}
}
