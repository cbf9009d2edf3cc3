package app_test

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"whatchanged/pkg/app"
)

func TestStartBehind_GivesWayToOthers(t *testing.T) {
	g := app.NewGroup(slog.New(slog.DiscardHandler))
	nice := make(chan int, 2)
	own := func(ctx context.Context) error {
		// The system call answers 20 - nice, so that it is never negative.
		n, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
		if err != nil {
			return err
		}
		nice <- 20 - n
		<-ctx.Done()
		return nil
	}
	g.StartBehind("batches", own)
	if got := <-nice; got != 5 {
		t.Errorf("a part behind runs with nice %d, want 5", got)
	}
	g.Start("answers", own)
	if got := <-nice; got != 0 {
		t.Errorf("another part runs with nice %d, want 0", got)
	}
	if err := g.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
}
