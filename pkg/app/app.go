// Package app runs the parts of a program: started in order, stopped in
// reverse, each given a bounded time, so that nothing ever feeds a part that
// is already gone.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"slices"
	"time"
)

// Part is something that works until its context ends. Run returns nil or the
// context's error when it was told to stop; anything else is a failure.
type Part struct {
	Name string
	Run  func(context.Context) error
}

type running struct {
	Part
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// Run starts the parts and returns when all have ended: after ctx is done, or
// after one of them failed. Each part has grace to end once it is told to.
// Profiles show the part's name in the label "stage".
func Run(ctx context.Context, log *slog.Logger, grace time.Duration, parts ...Part) error {
	var started []*running
	failed := make(chan *running, len(parts))
	base := context.WithoutCancel(ctx) // parts stop one by one, not all at once
	for _, p := range parts {
		started = append(started, start(base, p, failed))
	}
	var errs []error
	select {
	case <-ctx.Done():
	case r := <-failed:
		errs = append(errs, fmt.Errorf("%s: %w", r.Name, r.err))
		log.Error("part failed, stopping", "part", r.Name, "error", r.err)
	}
	return errors.Join(append(errs, stopAll(started, grace))...)
}

func start(ctx context.Context, p Part, failed chan<- *running) *running {
	ctx, cancel := context.WithCancel(ctx)
	r := &running{Part: p, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		pprof.Do(ctx, pprof.Labels("stage", p.Name), func(ctx context.Context) {
			err := p.Run(ctx)
			if ctx.Err() != nil && (errors.Is(err, context.Canceled) || err == nil) {
				return
			}
			if err == nil {
				err = errors.New("ended by itself")
			}
			r.err = err
			failed <- r
		})
	}()
	return r
}

// stopAll stops the last-started part first: the listener closes, consumers
// drain, batches flush.
func stopAll(parts []*running, grace time.Duration) error {
	var errs []error
	for _, r := range slices.Backward(parts) {
		r.cancel()
		timer := time.NewTimer(grace)
		select {
		case <-r.done:
		case <-timer.C:
			errs = append(errs, fmt.Errorf("%s did not stop within %s", r.Name, grace))
		}
		timer.Stop()
	}
	return errors.Join(errs...)
}
