package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// processFaults end the process, one way or another.
func processFaults() []Fault {
	return []Fault{
		{Name: "kill", About: "SIGKILL at a random moment", Short: true, Strike: kill},
		{Name: "kill-twice", About: "SIGKILL, and again while it recovers", Short: true, Strike: killTwice},
		{
			Name: "term", About: "SIGTERM: all that was accepted is answered, and it ends within 10 s with code 0", Short: true,
			Prepare: func(_ context.Context, r *Round) error {
				r.Want.Answered = true
				return nil
			},
			Strike: func(ctx context.Context, r *Round) error {
				if err := r.wait(ctx, 300*time.Millisecond, 1500*time.Millisecond); err != nil {
					return err
				}
				begin := time.Now()
				err := r.Target.Stop(ctx)
				r.most("stop_max_ms", time.Since(begin))
				return err
			},
		},
		{
			Name: "crash-loop", About: "20 restarts in a row, each killed early, in each strike: nothing accumulates",
			Prepare: func(_ context.Context, r *Round) error {
				r.Load.Rate /= 4 // it is hardly ever up
				return nil
			},
			Strike: crashLoop, After: nothingAccumulated,
		},
		{
			Name: "duplicates", About: "half of the requests are repeats, every frame is on the bus twice, and comes again after SIGKILL", Short: true,
			Prepare: func(_ context.Context, r *Round) error {
				r.Load.Repeats = 0.5
				r.Target.Env = append(r.Target.Env, pointsVariable+"double-frame=error")
				return nil
			},
			Strike: kill,
		},
		{Name: "big-bus", About: "SIGKILL with 2 GB on the bus: ready within 3 s", Prepare: prepareBigBus, Strike: killBigBus},
	}
}

func kill(ctx context.Context, r *Round) error {
	if err := r.wait(ctx, 100*time.Millisecond, 1200*time.Millisecond); err != nil {
		return err
	}
	r.Target.Kill()
	return nil
}

func killTwice(ctx context.Context, r *Round) error {
	if err := kill(ctx, r); err != nil {
		return err
	}
	return r.startAndKill(ctx, 20*time.Millisecond, 900*time.Millisecond)
}

// startAndKill starts the target and kills it a random time later, ready or not.
func (r *Round) startAndKill(ctx context.Context, least, most time.Duration) error {
	for _, p := range r.Target.Parts {
		if err := r.Target.Launch(p); err != nil {
			return err
		}
	}
	if err := r.wait(ctx, least, most); err != nil {
		return err
	}
	if !r.Target.Running() {
		return fmt.Errorf("it ended by itself\n%s", r.Target.Tail(r.Target.Parts[0]))
	}
	r.Target.Kill()
	return nil
}

const crashes = 20

func crashLoop(ctx context.Context, r *Round) error {
	if r.Struck == 0 {
		files, err := countFiles(filepath.Join(r.DataDir, "bus"))
		if err != nil {
			return err
		}
		r.Notes["bus_files_before"] = float64(files)
	}
	r.Target.Kill()
	for range crashes {
		if err := r.startAndKill(ctx, 10*time.Millisecond, 700*time.Millisecond); err != nil {
			return err
		}
		r.Notes["crashes"]++
	}
	return nil
}

// nothingAccumulated compares with what was there before the first crash. A
// chain of frames a start is data; what must not grow is what keeps them.
func nothingAccumulated(_ context.Context, r *Round) error {
	files, err := countFiles(filepath.Join(r.DataDir, "bus"))
	if err != nil {
		return err
	}
	r.Notes["bus_files_after"] = float64(files)
	const room = 40 // blocks of what was taken in meanwhile
	if before := int(r.Notes["bus_files_before"]); files > before+room {
		return fmt.Errorf("the bus had %d files, and has %d after %v crashes", before, files, r.Notes["crashes"])
	}
	temporary, err := filepath.Glob(filepath.Join(r.DataDir, "bootstrap.json.*"))
	if err != nil || len(temporary) > 0 {
		return errors.Join(err, fmt.Errorf("left behind: %v", temporary))
	}
	for name, most := range map[string]int{"fd": 400, "task": 1000} {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", r.Target.Pid(), name))
		if err != nil {
			return err
		}
		r.Notes[name] = float64(len(entries))
		if len(entries) > most {
			return fmt.Errorf("the process has %d of /proc/self/%s, at most %d are expected", len(entries), name, most)
		}
	}
	return nil
}

func countFiles(dir string) (n int, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we look
		}
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	return n, err
}

const (
	bigBus      = 2 << 30
	bigBusLimit = 10 * time.Minute // to fill it
	readyLimit  = 3 * time.Second  // as is promised
)

func prepareBigBus(_ context.Context, r *Round) error {
	r.Load.Rate, r.Load.Large, r.Load.LargeBytes, r.Load.InFlight = 60, 1, 2<<20, 32
	return nil
}

func killBigBus(ctx context.Context, r *Round) error {
	dir := filepath.Join(r.DataDir, "bus", "jetstream", "$G", "streams", "DELIVERIES", "msgs")
	for deadline := time.Now().Add(bigBusLimit); ; {
		size, err := dirSize(dir)
		if err != nil {
			return err
		}
		r.Notes["deliveries_bytes"] = float64(size)
		if size >= bigBus {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the bus has %d bytes after %s", size, bigBusLimit)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return kill(ctx, r)
}

func dirSize(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return nil //nolint:nilerr // removed while we look
	})
	return sum, err
}

// most keeps the largest of a time.
func (r *Round) most(note string, d time.Duration) {
	r.Notes[note] = max(r.Notes[note], float64(d.Milliseconds()))
}

// wait lets a random time pass.
func (r *Round) wait(ctx context.Context, least, most time.Duration) error {
	return pause(ctx, least+time.Duration(r.Rand.Int64N(int64(most-least))))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
