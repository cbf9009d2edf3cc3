package app_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/app"
)

var quiet = slog.New(slog.DiscardHandler)

func TestRun_StopsTheLastStartedPartFirst(t *testing.T) {
	var stopped []string
	part := func(name string) app.Part {
		return app.Part{Name: name, Run: func(ctx context.Context) error {
			<-ctx.Done()
			stopped = append(stopped, name)
			return ctx.Err()
		}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := app.Run(ctx, quiet, time.Minute, part("bus"), part("writer"), part("receiver")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"receiver", "writer", "bus"}, stopped); diff != "" {
		t.Errorf("order of stopping (-want +got):\n%s", diff)
	}
}

func TestRun_AFailedPartStopsTheOthersAndIsNamed(t *testing.T) {
	boom := errors.New("boom")
	err := app.Run(t.Context(), quiet, time.Minute,
		app.Part{Name: "writer", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }},
		app.Part{Name: "api", Run: func(context.Context) error { return boom }})
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "api") {
		t.Errorf("error = %v, want boom naming api", err)
	}
}

func TestRun_APartThatDoesNotStopIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		release := make(chan struct{})
		err := app.Run(ctx, quiet, time.Second,
			app.Part{Name: "stuck", Run: func(context.Context) error { <-release; return nil }})
		if err == nil || !strings.Contains(err.Error(), "stuck did not stop within 1s") {
			t.Errorf("error = %v", err)
		}
		close(release)
	})
}
