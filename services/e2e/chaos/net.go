package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// netFaults are those of processes that run apart, of what is between them, and
// of clocks.
func netFaults() []Fault {
	faults := []Fault{
		splitFault(Fault{
			Name: "split/restart", About: "each process in turn ends with SIGTERM and comes again, under load",
			Strike: func(ctx context.Context, r *Round) error { return r.restartNext(ctx, r.Target.StopPart) },
		}),
		splitFault(Fault{
			Name: "split/kill", About: "each process in turn is killed and comes again, under load",
			Strike: func(ctx context.Context, r *Round) error {
				return r.restartNext(ctx, func(_ context.Context, p *Part) error { p.Kill(); return nil })
			},
		}),
	}
	for _, name := range append([]string{partNATS}, splitParts...) {
		faults = append(faults, splitFault(Fault{
			Name: "freeze/" + name, About: name + " stands still for up to 8 s (SIGSTOP, SIGCONT)",
			Strike: func(ctx context.Context, r *Round) error { return r.freeze(ctx, name, 8*time.Second) },
		}))
	}
	faults = append(faults, storeFaults()...)
	for _, end := range []string{partNATS, partClickHouse} {
		faults = append(faults, splitFault(Fault{
			Name: "half-open/" + end, About: "the connections to " + end + " stay open and carry nothing",
			Strike: func(ctx context.Context, r *Round) error {
				l := r.split.store
				if end == partNATS {
					l = r.split.nats
				}
				return r.during(ctx, 2*time.Second, 8*time.Second, func() error { l.Swallow(); return nil }, l.Heal)
			},
		}))
	}
	faults = append(faults, splitFault(Fault{
		Name: "split/any", About: "a process ends and comes again, another stands still, and ClickHouse has a trouble", Short: true,
		Strike: func(ctx context.Context, r *Round) error {
			frozen := r.Target.Parts[r.Rand.IntN(len(r.Target.Parts))].Name
			for _, strike := range []func() error{
				func() error { return r.restartNext(ctx, r.Target.StopPart) },
				func() error { return r.freeze(ctx, frozen, 3*time.Second) },
				func() error { return r.storeTrouble(ctx, r.Rand.IntN(len(troubles)+1)) },
			} {
				if err := strike(); err != nil {
					return err
				}
			}
			return nil
		},
	}))
	return slices.Concat(faults, clusterFaults(), clockFaults())
}

// splitFault is a fault of a split target.
func splitFault(f Fault) Fault {
	f.Prepare = func(_ context.Context, r *Round) error { return r.splitUp("") }
	f.After = drained
	f.Finish = unsplit
	return f
}

// restartNext ends one part after the other, strike by strike, in an order of
// the round's own, and starts it again.
func (r *Round) restartNext(ctx context.Context, end func(context.Context, *Part) error) error {
	if len(r.turn) == 0 {
		r.turn = r.Rand.Perm(len(r.Target.Parts))
	}
	p := r.Target.Parts[r.turn[0]]
	r.turn = r.turn[1:]
	if err := r.wait(ctx, 200*time.Millisecond, time.Second); err != nil {
		return err
	}
	if err := end(ctx, p); err != nil {
		return err
	}
	if err := r.wait(ctx, 50*time.Millisecond, time.Second); err != nil {
		return err
	}
	begin := time.Now()
	if err := r.Target.StartPart(ctx, p); err != nil {
		return err
	}
	r.longest("ready_after_ms_"+p.Name, time.Since(begin))
	return nil
}

// freeze stops a part where it is for a while.
func (r *Round) freeze(ctx context.Context, name string, most time.Duration) error {
	p := r.Target.Part(name)
	return r.during(ctx, 500*time.Millisecond, most,
		func() error { p.Signal(syscall.SIGSTOP); return nil },
		func() error { p.Signal(syscall.SIGCONT); return nil })
}

// during lets something be so for a random time, and a moment pass before and
// until it works again: a webhook is acknowledged.
func (r *Round) during(ctx context.Context, least, most time.Duration, begin, end func() error) error {
	if err := r.wait(ctx, 100*time.Millisecond, 600*time.Millisecond); err != nil {
		return err
	}
	if err := begin(); err != nil {
		return err
	}
	waited := r.wait(ctx, least, most)
	if err := end(); err != nil {
		return err
	}
	if waited != nil {
		return waited
	}
	healed := time.Now()
	if err := r.awaitAccepted(ctx, 10, time.Minute); err != nil {
		return err
	}
	r.longest("accepting_after_ms", time.Since(healed))
	return nil
}

// longest keeps the longest of a time that is measured more than once.
func (r *Round) longest(name string, d time.Duration) {
	r.Notes[name] = max(r.Notes[name], float64(d.Milliseconds()))
}

// awaitAccepted waits until so many more requests are acknowledged than are now.
func (r *Round) awaitAccepted(ctx context.Context, count int, limit time.Duration) error {
	f, err := os.Open(r.Load.Journal)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	seen := 0
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		more, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		if seen += bytes.Count(more, []byte(`"e":"ok"`)); seen >= count {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d requests were acknowledged within %s, want %d", seen, limit, count)
}

// troubles are ClickHouse's, beside that it is away.
var troubles = []struct {
	name, about string
	trouble     trouble
}{
	{"too-many-parts", "ClickHouse refuses inserts: too many parts", tooManyParts},
	{"memory", "ClickHouse refuses statements for want of memory", memoryLimit},
	{"timeout", "ClickHouse ends statements after their time", timeoutExceeded},
	{"readonly", "ClickHouse's tables are read-only", readonly},
	{"readonly-user", "ClickHouse's user may only read", readonlyUser},
	{"lost-reply", "inserts are done, and their answers get lost", lostReply},
	{"slow", "every answer of ClickHouse is 1.5 s late", lateReply},
}

// storeTrouble lets ClickHouse have one of its troubles, or be away.
func (r *Round) storeTrouble(ctx context.Context, n int) error {
	begin, end := func() error { r.split.store.Refuse(); return nil }, r.split.store.Heal
	if n < len(troubles) {
		begin = func() error { r.split.gate.Trouble(&troubles[n].trouble); return nil }
		end = func() error { r.split.gate.Trouble(nil); return nil }
	}
	return r.during(ctx, 500*time.Millisecond, 5*time.Second, begin, end)
}

// storeFaults are ClickHouse's.
func storeFaults() []Fault {
	faults := []Fault{splitFault(Fault{
		Name: "clickhouse/refused", About: "connections to ClickHouse are reset and refused",
		Strike: func(ctx context.Context, r *Round) error { return r.storeTrouble(ctx, len(troubles)) },
	})}
	for n, t := range troubles {
		faults = append(faults, splitFault(Fault{
			Name: "clickhouse/" + t.name, About: t.about,
			Strike: func(ctx context.Context, r *Round) error { return r.storeTrouble(ctx, n) },
		}))
	}
	return faults
}

// clockFaults move the wall clock of the product, which runs whole.
func clockFaults() []Fault {
	jump := func(name, about string, short bool, next func(r *Round, now time.Duration) time.Duration) Fault {
		var file string
		var now time.Duration
		return Fault{
			Name: "clock/" + name, About: about, Short: short,
			Prepare: func(_ context.Context, r *Round) error {
				file, now = filepath.Join(r.Dir, "clock"), 0
				r.Want.Wall = true
				r.Target.Env = append(r.Target.Env, "WHATCHANGED_CLOCK="+file)
				return os.WriteFile(file, []byte("0s"), 0o600)
			},
			Strike: func(ctx context.Context, r *Round) error {
				now = next(r, now)
				part := file + ".part"
				if err := os.WriteFile(part, []byte(now.String()), 0o600); err != nil {
					return err
				}
				if err := os.Rename(part, file); err != nil {
					return err
				}
				if err := r.wait(ctx, 200*time.Millisecond, 1200*time.Millisecond); err != nil {
					return err
				}
				if r.Rand.IntN(3) == 0 {
					r.Target.Kill() // what was written under one clock is read under another
				}
				return nil
			},
		}
	}
	hours := func(r *Round, n int64) time.Duration { return time.Duration(1 + r.Rand.Int64N(n*int64(time.Hour))) }
	return []Fault{
		jump("forward", "the wall clock jumps forward, up to 6 h each time", false,
			func(r *Round, now time.Duration) time.Duration { return min(now+hours(r, 6), 40*time.Hour) }),
		jump("back", "the wall clock jumps back, up to 6 h each time", false,
			func(r *Round, now time.Duration) time.Duration { return max(now-hours(r, 6), -40*time.Hour) }),
		jump("jumps", "the wall clock jumps to and fro within a day and a half, and the process is killed now and then", true,
			func(r *Round, _ time.Duration) time.Duration { return hours(r, 72) - 36*time.Hour }),
	}
}
