// Package app runs the parts of a program: started in the order they are
// wired, stopped in reverse, each given a bounded time, so that nothing ever
// feeds a part that is already gone.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"
)

// Group is the parts of a program that run. It is not for concurrent use.
type Group struct {
	log    *slog.Logger
	parts  []*part
	failed chan *part
}

type part struct {
	name   string
	cancel context.CancelFunc
	behind bool // see StartBehind
	done   chan struct{}
	err    error // set before done is closed
	told   bool  // Wait returned err
}

// NewGroup returns a group without parts.
func NewGroup(log *slog.Logger) *Group {
	return &Group{log: log, failed: make(chan *part)}
}

// Start runs a part in the background. run works until its context ends and
// returns nil or the context's error then; anything else is a failure.
// Profiles show the part's name in the label "stage".
func (g *Group) Start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background()) // parts stop one by one, not all at once
	p := &part{name: name, cancel: cancel, done: make(chan struct{})}
	g.parts = append(g.parts, p)
	go func() {
		defer close(p.done)
		pprof.Do(ctx, pprof.Labels("stage", name), func(ctx context.Context) {
			err := run(ctx)
			if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
				return
			}
			if err == nil {
				err = errors.New("ended by itself")
			}
			p.err = err
			select {
			case g.failed <- p:
			case <-ctx.Done(): // it failed while it was stopped, or after another: Stop reports it
			}
		})
	}()
}

// StartBehind is Start for a part that works in bursts which nobody waits for:
// where threads have priorities of their own, it runs on a thread that gives way
// to all others. What it starts itself does not. Nothing feeds it but the bus,
// which keeps what it leaves, so it is told to stop first, beside the others.
func (g *Group) StartBehind(name string, run func(context.Context) error) {
	g.Start(name, func(ctx context.Context) error {
		runtime.LockOSThread() // and never unlocked: the thread ends with the part
		if err := giveWay(); err != nil {
			g.log.Debug("a part keeps its priority", "part", name, "error", err)
		}
		return run(ctx)
	})
	g.parts[len(g.parts)-1].behind = true
}

// Wait returns when ctx ends, or with the error of the first part that fails.
func (g *Group) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case p := <-g.failed:
		p.told = true
		g.log.Error("part failed, stopping", "part", p.name, "error", p.err)
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
}

// Stop ends the parts, the last-started first: the listener closes, batches
// flush. Those that were started behind the others finish the batch in hand
// meanwhile, which on a busy machine takes seconds. All of them together have
// the time within; then those that are left are told at once, and whoever has
// not ended is named, or has ended with an error that Wait did not return. The
// process may end under it: nothing that was accepted rests on a clean end.
func (g *Group) Stop(within time.Duration) error {
	for _, p := range g.parts {
		if p.behind {
			p.cancel()
		}
	}
	late := make(chan struct{})
	defer time.AfterFunc(within, func() { close(late) }).Stop()
	for _, p := range slices.Backward(g.parts) {
		p.cancel()
		select {
		case <-p.done:
		case <-late:
		}
	}
	var errs []error
	for _, p := range g.parts {
		select {
		case <-p.done:
			if p.err != nil && !p.told {
				errs = append(errs, fmt.Errorf("%s: %w", p.name, p.err))
			}
		default:
			errs = append(errs, fmt.Errorf("%s did not stop within %s", p.name, within))
		}
	}
	g.parts = nil
	return errors.Join(errs...)
}
