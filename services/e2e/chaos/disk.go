package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"whatchanged/pkg/client"
	"whatchanged/services/e2e/chaos/powerfs"
)

const (
	smallDisk = 1 << 30
	// healLimit is how long a target may take once there is space again, or
	// the disk does its work again, without anybody's help.
	healLimit = 10 * time.Second
)

// smallDiskEnv makes the target fit on a small disk. The reserve is what the
// bus leaves free for itself.
var smallDiskEnv = []string{"WHATCHANGED_BUS_MAX_BYTES=134217728", "WHATCHANGED_BUS_DISK_RESERVE=67108864"}

// volume is a small disk under a part of the data directory.
type volume struct {
	under  string // directory below the data directory; empty: the whole
	inodes int    // 0: any number
}

func (v volume) dir(r *Round) string { return filepath.Join(r.DataDir, v.under) }

func (v volume) prepare(_ context.Context, r *Round) error {
	if err := os.MkdirAll(v.dir(r), 0o700); err != nil {
		return err
	}
	options := fmt.Sprintf("size=%d,mode=0700", smallDisk)
	if v.inodes > 0 {
		options += fmt.Sprintf(",nr_inodes=%d", v.inodes)
	}
	r.Target.Env = append(r.Target.Env, smallDiskEnv...)
	if err := unix.Mount("chaos", v.dir(r), "tmpfs", 0, options); err != nil {
		return fmt.Errorf("mount a small disk: %w", err)
	}
	return nil
}

// finish unmounts the disk. What is on it is evidence when the round failed, and
// stays where it was.
func (v volume) finish(_ context.Context, r *Round) (err error) {
	kept := v.dir(r) + ".kept"
	if r.Failed {
		_ = os.Remove(filepath.Join(v.dir(r), "control.sock")) // which cannot be copied, and may not be there
		err = os.CopyFS(kept, os.DirFS(v.dir(r)))
	}
	switch e := unix.Unmount(v.dir(r), unix.MNT_DETACH); {
	case errors.Is(e, unix.EINVAL): // it was never mounted
		return errors.Join(err, os.RemoveAll(kept))
	case e != nil:
		return errors.Join(err, e)
	case !r.Failed:
		return nil
	}
	return errors.Join(err, os.RemoveAll(v.dir(r)), os.Rename(kept, v.dir(r)))
}

// fill takes all space that is left, at once and without a warning.
func (v volume) fill(r *Round) error {
	f, err := os.Create(v.ballast(r))
	if err != nil {
		return err
	}
	defer f.Close()
	for size := int64(64 << 20); size >= 4096; {
		end, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, end, size); {
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case err != nil:
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	return nil
}

// fillInodes takes all inodes that are left.
func (v volume) fillInodes(r *Round) error {
	if err := os.Mkdir(v.ballast(r), 0o700); err != nil {
		return err
	}
	for n := 0; ; n++ {
		f, err := os.Create(filepath.Join(v.ballast(r), fmt.Sprint(n)))
		if errors.Is(err, unix.ENOSPC) {
			return nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

func (v volume) ballast(r *Round) string { return filepath.Join(v.dir(r), "ballast") }

// free gives the space back.
func (v volume) free(r *Round) error { return os.RemoveAll(v.ballast(r)) }

func canMountTmpfs() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root, to mount")
	}
	return nil
}

// diskFaults are disks that are full, fail, or are slow.
func diskFaults() []Fault {
	full := func(name, about string, v volume, refuses bool, fill func(*Round) error) Fault {
		return Fault{
			Name: name, About: about, Check: canMountTmpfs, Prepare: v.prepare, Finish: v.finish,
			After:  func(ctx context.Context, r *Round) error { return r.reconciled(ctx) },
			Strike: func(ctx context.Context, r *Round) error { return strikeFull(ctx, r, v, refuses, fill) },
		}
	}
	whole, onBus, onClickHouse := volume{}, volume{under: "bus"}, volume{under: "clickhouse"}
	inodes := volume{inodes: 60_000} // old parts stay for eight minutes, with a dozen files each
	all := full("disk-full/all", "the disk that holds everything is full for a while", whole, true, whole.fill)
	all.Short = true
	return []Fault{
		all,
		full("disk-full/bus", "the bus's disk is full for a while", onBus, true, onBus.fill),
		full("disk-full/clickhouse", "ClickHouse's disk is full for a while; taking in goes on", onClickHouse, false, onClickHouse.fill),
		full("inodes", "no file can be made for a while", inodes, false, inodes.fillInodes),
		sick("io-error/bus", "syncs and writes of the bus fail for a while, and then the power does", "bus", failing),
		sick("io-error/clickhouse", "syncs and writes of ClickHouse fail for a while, and then the power does", "clickhouse", failing),
		sick("slow-disk/bus", "each sync of the bus takes up to 3 s for a while", "bus", slow),
		sick("slow-disk/clickhouse", "each sync of ClickHouse takes up to 3 s for a while", "clickhouse", slow),
	}
}

// strikeFull fills a disk under load, gives the space back, and wants the
// target to take in again soon, by itself.
func strikeFull(ctx context.Context, r *Round, v volume, refuses bool, fill func(*Round) error) error {
	if err := r.wait(ctx, 500*time.Millisecond, 2*time.Second); err != nil {
		return err
	}
	pid := r.Target.Pid()
	answers, err := r.watchAnswers()
	if err != nil {
		return err
	}
	if err := fill(r); err != nil {
		return errors.Join(err, v.free(r))
	}
	if refuses {
		if err := answers.await(ctx, "503", func(e *entry) bool { return e.Status == 503 }, 15*time.Second); err != nil {
			return errors.Join(fmt.Errorf("the disk is full: %w", err), v.free(r))
		}
	}
	if err := r.wait(ctx, time.Second, 8*time.Second); err != nil {
		return err
	}
	if err := v.free(r); err != nil {
		return err
	}
	return r.wantHealed(ctx, pid)
}

// wantHealed waits until something is acknowledged that was sent from now on,
// and until that can be queried, by the same process.
func (r *Round) wantHealed(ctx context.Context, pid int) error {
	began := time.Now()
	answers, err := r.watchAnswers()
	if err != nil {
		return err
	}
	if err := answers.await(ctx, "2xx", func(e *entry) bool { return e.State == stateOK }, healLimit); err != nil {
		return fmt.Errorf("not healed: %w", err)
	}
	r.most("first_2xx_ms", time.Since(began))
	if got := r.Target.Pid(); got != pid {
		return fmt.Errorf("not healed by itself: the target ended\n%s", r.Target.Tail(r.Target.Parts[0]))
	}
	if err := r.awaitWritten(ctx, healLimit); err != nil {
		return fmt.Errorf("not healed: %w", err)
	}
	r.most("written_again_ms", time.Since(began))
	return nil
}

// answers is what the journal says from a moment on.
type answers struct {
	f    *os.File
	rest []byte
}

func (r *Round) watchAnswers() (*answers, error) {
	f, err := os.Open(r.Load.Journal)
	if err != nil {
		return nil, err
	}
	_, err = f.Seek(0, io.SeekEnd)
	return &answers{f: f}, err
}

// await reads on until a line is as wanted, and closes the journal.
func (a *answers) await(ctx context.Context, what string, want func(*entry) bool, limit time.Duration) error {
	defer a.f.Close()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		text, err := io.ReadAll(a.f)
		if err != nil {
			return err
		}
		a.rest = append(a.rest, text...)
		for {
			line, rest, ok := bytes.Cut(a.rest, []byte("\n"))
			if !ok {
				break
			}
			a.rest = rest
			var e entry
			if json.Unmarshal(line, &e) == nil && want(&e) { // what is no whole line is one that was cut off by a seek
				return nil
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("no answer %s within %s", what, limit)
}

// awaitWritten waits until ClickHouse has taken a row since now: until the
// account knows of more than it knew.
func (r *Round) awaitWritten(ctx context.Context, limit time.Duration) error {
	first := int64(-1)
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		now, err := r.finished(ctx)
		switch {
		case err != nil:
		case first < 0:
			first = now
		case now > first:
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("nothing was written for %s", limit)
}

// powered's faults of the disk itself come between the target and its files.

func failing(r *Round, op powerfs.Op) powerfs.Verdict {
	if op.Kind != "sync" && op.Kind != "write" && op.Kind != "syncdir" {
		return powerfs.Verdict{}
	}
	return powerfs.Verdict{Err: syscall.EIO}
}

func slow(_ *Round, op powerfs.Op) powerfs.Verdict {
	if op.Kind != "sync" {
		return powerfs.Verdict{}
	}
	// Which is how slow depends on the clock, not on the seed: so does the rest.
	return powerfs.Verdict{Delay: time.Duration(time.Now().UnixNano()) % (3 * time.Second)}
}

// sick is a disk that misbehaves below a directory for a while. When it works
// again the target must, by itself; and then the power goes, since what was not
// on disk must not have been acknowledged.
func sick(name, about, under string, how func(*Round, powerfs.Op) powerfs.Verdict) Fault {
	p := &powered{opts: powerfs.Options{Size: virtualDisk}}
	return Fault{
		Name: name, About: about, Check: canMount, Prepare: p.prepare, Finish: p.finish,
		After: func(ctx context.Context, r *Round) error { return r.reconciled(ctx) },
		Strike: func(ctx context.Context, r *Round) error {
			if err := r.wait(ctx, 500*time.Millisecond, 2*time.Second); err != nil {
				return err
			}
			pid := r.Target.Pid()
			var hits atomic.Int64
			p.fs.Judge(func(op powerfs.Op) powerfs.Verdict {
				if op.Path != under && !strings.HasPrefix(op.Path, under+"/") {
					return powerfs.Verdict{}
				}
				v := how(r, op)
				if v != (powerfs.Verdict{}) {
					hits.Add(1)
				}
				return v
			})
			err := r.wait(ctx, 50*time.Millisecond, 6*time.Second)
			p.fs.Judge(nil)
			r.Notes["disk_faults"] += float64(hits.Load())
			if err != nil {
				return err
			}
			if err := r.wantHealed(ctx, pid); err != nil {
				return err
			}
			return p.cut(r, nil)
		},
	}
}

// reconciled waits until the target has compared the bus with what is stored
// once more from now on, and found all whole: what ClickHouse lost with a
// damaged part is back then, or will never be.
func (r *Round) reconciled(ctx context.Context) error {
	const metric = "\nwhatchanged_reconciler_checked_timestamp_seconds "
	from := float64(time.Now().UnixNano()) / 1e9
	for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); {
		if text, err := r.metrics(ctx); err == nil {
			_, rest, _ := strings.Cut(text, metric)
			value, _, _ := strings.Cut(rest, "\n")
			if at, err := strconv.ParseFloat(value, 64); err == nil && at > from {
				break
			}
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	requests, err := readJournal(r.Load.Journal)
	if err != nil {
		return err
	}
	return r.settle(ctx, requests) // what was driven again is on its way
}

func (r *Round) metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.Target.URL+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// finished is how many deliveries have an outcome that can be queried.
func (r *Round) finished(ctx context.Context) (sum int64, err error) {
	api, err := client.New(r.Target.URL, r.Target.APIKey)
	if err != nil {
		return 0, err
	}
	rows, err := api.Account(ctx, client.AccountFilter{
		Start: time.Now().Add(-48 * time.Hour), End: time.Now().Add(48 * time.Hour), Bucket: time.Hour,
	})
	for _, row := range rows {
		sum += row.Received - row.InFlight
	}
	return sum, err
}
