package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"whatchanged/pkg/durable"
	"whatchanged/pkg/problem"
)

const (
	watchEvery    = time.Second
	wedgedAfter   = 5 * time.Second // of publishes without any answer
	restartPause  = 5 * time.Second // between restarts, for one to show its effect
	rememberEvery = 10 * time.Second
)

// watch looks every second at what would make publishes fail: the disk and the
// embedded server itself, which stays wedged after a write error until it is
// restarted, even when there is space again.
func (b *Bus) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	w := watchdog{Bus: b}
	b.metrics.accepting.Set(1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if b.embedded != nil {
			w.lookAtServer(ctx)
		} else {
			w.lookAtConnection()
		}
		w.remember(ctx)
	}
}

type watchdog struct {
	*Bus
	restarted  time.Time // the server, or the connection
	unreleased bool      // what consumers had in hand then
	remembered time.Time
	written    map[*Committer]FrameRef
}

func (w *watchdog) lookAtServer(ctx context.Context) {
	low, err := w.diskLow()
	if err != nil {
		w.log.Error("cannot read free space", "error", err)
	}
	wedged := w.wedged()
	switch {
	case low != nil:
		w.refuse("disk_reserve", low) // a restart without space would wedge again
	case wedged != nil && time.Since(w.restarted) < restartPause:
		w.refuse("bus_restarting", wedged)
	case wedged != nil:
		w.refuse("bus_restarting", wedged)
		w.restarted = time.Now()
		err := w.restart(ctx)
		if w.unreleased = err != nil; w.unreleased {
			w.log.Error("restart of the embedded nats-server did not help yet", "error", err)
			return
		}
		w.accept()
	default:
		w.accept()
		if w.unreleased {
			w.releaseAgain(ctx)
		}
	}
}

// releaseAgain does what a restart that went wrong has left: an ack wait may be
// as short still as it was made for a moment.
func (w *watchdog) releaseAgain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, serverStart)
	defer cancel()
	err := w.releaseAll(ctx)
	if err != nil {
		w.log.Warn("what consumers had in hand has to be released again", "error", err)
	}
	w.unreleased = err != nil
}

// lookAtConnection leaves a connection on which publishes have no answer: it may
// be open and carry nothing, or lead to a server that is cut off from the others.
// Pings would find the first out too, but later.
func (w *watchdog) lookAtConnection() {
	err := w.unanswered()
	if err == nil || !w.nc.IsConnected() || time.Since(w.restarted) < restartPause {
		return
	}
	w.restarted = time.Now()
	w.log.Warn("leaving a connection to the bus", "error", err)
	if err := w.nc.ForceReconnect(); err != nil {
		w.log.Warn("cannot leave a connection to the bus", "error", err)
	}
}

// diskLow returns why there is too little space, or nil.
func (w *watchdog) diskLow() (low, err error) {
	v, err := durable.VolumeOf(w.embedded.dir)
	if err != nil {
		return nil, err
	}
	w.metrics.diskFree.Set(float64(v.Free))
	if reserve := reserve(v, w.reserve.Load()); v.Free < reserve {
		return fmt.Errorf("%d bytes are free, the reserve is %d", v.Free, reserve), nil
	}
	return nil, nil
}

// wedged returns why the server needs a restart, or nil.
func (w *watchdog) wedged() error {
	if err := w.embedded.health(); err != nil {
		return err
	}
	if err := w.unanswered(); err != nil {
		return err
	}
	return w.silences.long()
}

// unanswered returns which publishes have had no answer for too long, or nil.
func (w *watchdog) unanswered() error {
	for _, c := range w.running() {
		if since := c.silent.Load(); since != nil && time.Since(*since) >= wedgedAfter {
			return fmt.Errorf("publishes on lane %s have no answer", c.lane)
		}
	}
	return nil
}

// refuse turns new deliveries away until accept. It is logged once.
func (b *Bus) refuse(reason string, cause error) {
	if old := b.refusal.Load(); old == nil || old.Reason != reason {
		b.log.Error("refusing deliveries", "reason", reason, "error", cause)
	}
	b.refusal.Store(problem.BusyFor(retryAfter, reason, "deliveries cannot be stored at this moment; send this again", cause))
	b.metrics.accepting.Set(0)
}

func (b *Bus) accept() {
	if b.refusal.Swap(nil) != nil {
		b.log.Info("accepting deliveries again")
	}
	b.metrics.accepting.Set(1)
}

// restart frees a wedged server, then checks that the end of every chain is
// still there. What consumers had in hand comes again.
func (b *Bus) restart(ctx context.Context) error {
	b.log.Warn("restarting the embedded nats-server")
	b.metrics.restarts.Inc()
	b.embedded.stop()
	b.silences.forget()
	if err := b.embedded.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, serverStart)
	defer cancel()
	// The client may not have seen yet that its connection has ended: what is asked
	// on that one nobody answers.
	for !b.nc.IsConnected() || b.nc.FlushTimeout(time.Second) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("reconnect to the embedded nats-server: %w", ctx.Err())
		case <-time.After(retryPause):
		}
	}
	if err := b.embedded.health(); err != nil {
		return err
	}
	var errs []error
	for _, c := range b.running() {
		if last := c.last.Load(); last != nil {
			errs = append(errs, b.checkStored(ctx, *last))
		}
	}
	return errors.Join(append(errs, b.releaseAll(ctx))...)
}

// remember writes down now and then how far each chain is.
func (w *watchdog) remember(ctx context.Context) {
	if time.Since(w.remembered) < rememberEvery || w.refusal.Load() != nil {
		return
	}
	w.remembered = time.Now()
	written := map[*Committer]FrameRef{}
	for _, c := range w.running() {
		last := c.last.Load()
		if last == nil || w.written[c] == last.FrameRef {
			if last != nil {
				written[c] = last.FrameRef
			}
			continue
		}
		if err := w.rememberChain(ctx, c); err != nil {
			w.log.Warn("cannot remember a chain", "lane", c.lane, "error", err)
			continue
		}
		written[c] = last.FrameRef
	}
	w.written = written
}
