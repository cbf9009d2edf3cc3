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

func group() *app.Group { return app.NewGroup(slog.New(slog.DiscardHandler)) }

func TestGroup_StopsTheLastStartedPartFirst(t *testing.T) {
	var stopped []string
	g := group()
	for _, name := range []string{"bus", "writer", "receiver"} {
		g.Start(name, func(ctx context.Context) error {
			<-ctx.Done()
			stopped = append(stopped, name)
			return ctx.Err()
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(g.Wait(ctx), g.Stop(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"receiver", "writer", "bus"}, stopped); diff != "" {
		t.Errorf("order of stopping (-want +got):\n%s", diff)
	}
}

func TestGroup_WhatGivesWayFinishesWhileOthersStop(t *testing.T) {
	g := group()
	told := make(chan struct{})
	g.StartBehind("writer", func(ctx context.Context) error {
		<-ctx.Done()
		close(told)
		return ctx.Err()
	})
	g.Start("http", func(ctx context.Context) error {
		<-ctx.Done()
		<-told // with one after the other it would never be
		return ctx.Err()
	})
	if err := g.Stop(time.Minute); err != nil {
		t.Fatal(err)
	}
}

func TestGroup_AFailedPartEndsTheWaitAndIsNamed(t *testing.T) {
	boom := errors.New("boom")
	g := group()
	g.Start("writer", func(ctx context.Context) error { <-ctx.Done(); return nil })
	g.Start("api", func(context.Context) error { return boom })
	if err := g.Wait(t.Context()); !errors.Is(err, boom) || !strings.Contains(err.Error(), "api") {
		t.Errorf("error = %v, want boom naming api", err)
	}
	if err := g.Stop(time.Minute); err != nil {
		t.Error(err)
	}
}

func TestGroup_WhatFailsWhileItStopsIsReported(t *testing.T) {
	boom, lost := errors.New("boom"), errors.New("2 records are lost")
	g := group()
	g.Start("audit", func(ctx context.Context) error { <-ctx.Done(); return lost })
	g.Start("writer", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	g.Start("api", func(context.Context) error { return boom })
	if err := g.Wait(t.Context()); !errors.Is(err, boom) {
		t.Errorf("error = %v, want boom", err)
	}
	if err := g.Stop(time.Minute); err == nil || err.Error() != "audit: 2 records are lost" { // boom is known
		t.Errorf("error = %v, want that of audit alone", err)
	}
}

func TestGroup_APartThatDoesNotStopIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := group()
		g.Start("told late", func(ctx context.Context) error { <-ctx.Done(); return nil })
		g.Start("stuck", func(context.Context) error { <-release; return nil })
		g.Start("stuck too", func(context.Context) error { <-release; return nil })
		began := time.Now()
		err := g.Stop(time.Second)
		if err == nil || !strings.Contains(err.Error(), "stuck did not stop within 1s\nstuck too did not") {
			t.Errorf("error = %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %s, want one second for all", took)
		}
		close(release)
	})
}
