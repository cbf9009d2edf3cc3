package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"whatchanged/services/e2e/chaos/powerfs"
)

const virtualDisk = 100 << 30 // bytes; only what is written takes memory

// powered is a data directory that can lose its power. Its methods are those
// of a fault; rounds run one after the other, so that one is enough.
type powered struct {
	opts powerfs.Options
	fs   *powerfs.FS
}

func (p *powered) prepare(_ context.Context, r *Round) error {
	p.fs = powerfs.New(p.opts)
	return p.fs.Mount(r.DataDir)
}

func (p *powered) finish(context.Context, *Round) error {
	if p.fs == nil {
		return nil
	}
	return p.fs.Unmount()
}

// cut ends the power under the running target: the process is gone, and all
// that was not on disk.
func (p *powered) cut(r *Round, torn *rand.Rand) error {
	r.Target.Kill()
	loss, err := p.fs.Cut(torn)
	r.Notes["cuts"]++
	r.Notes["cut_bytes"] += float64(loss.Bytes)
	r.Notes["cut_names"] += float64(loss.Names)
	return err
}

// canMount says why no file system of ours can be mounted here.
func canMount() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root, to mount")
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("needs FUSE: %w", err)
	}
	return f.Close()
}

// powerFaults cut the power: under bus and ClickHouse at once.
func powerFaults() []Fault {
	fault := func(name, about string, p *powered, strike func(context.Context, *Round, *powered) error) Fault {
		p.opts.Size = virtualDisk
		return Fault{
			Name: name, About: about, Check: canMount, Prepare: p.prepare, Finish: p.finish,
			Strike: func(ctx context.Context, r *Round) error { return strike(ctx, r, p) },
		}
	}
	cut := func(name, about string, opts powerfs.Options, strike func(context.Context, *Round, *powered) error) Fault {
		return fault(name, about, &powered{opts: opts}, strike)
	}
	after := func(least, most time.Duration, torn bool) func(context.Context, *Round, *powered) error {
		return func(ctx context.Context, r *Round, p *powered) error {
			if err := r.wait(ctx, least, most); err != nil {
				return err
			}
			var by *rand.Rand
			if torn {
				by = r.Rand
			}
			return p.cut(r, by)
		}
	}
	plain := cut("power-cut/plain", "power cut after some seconds of load; only what was synced is left",
		powerfs.Options{}, after(time.Second, 4*time.Second, false))
	plain.Short = true
	first := &powered{opts: powerfs.Options{Names: powerfs.Strict}}
	firstStart := fault("power-cut/first-start", "power cut at any moment of the very first start, eight times",
		first, after(time.Second, 2*time.Second, false))
	firstStart.Prepare = first.cutFirstStarts
	return []Fault{
		plain,
		cut("power-cut/torn", "power cut; pages that nobody synced are left by chance, and names too",
			powerfs.Options{}, after(time.Second, 4*time.Second, true)),
		cut("power-cut/strict", "power cut on a disk that keeps names only when their directory was synced",
			powerfs.Options{Names: powerfs.Strict}, after(time.Second, 4*time.Second, false)),
		cut("power-cut/strict-torn", "the same with pages that are left by chance",
			powerfs.Options{Names: powerfs.Strict}, after(time.Second, 4*time.Second, true)),
		cut("power-cut/late", "power cut after a minute, when parts have been merged and the kernel has written by itself",
			powerfs.Options{WriteBack: 30 * time.Second}, after(40*time.Second, 75*time.Second, false)),
		firstStart,
		cut("power-cut/recovery", "power cut, and again while the target starts from what is left",
			powerfs.Options{}, cutTwice),
	}
}

// startFor starts the target and does not wait for the end of it.
func startFor(ctx context.Context, r *Round, most time.Duration) error {
	within, cancel := context.WithTimeout(ctx, 20*time.Millisecond+time.Duration(r.Rand.Int64N(int64(most))))
	defer cancel()
	if err := r.Target.Start(within); err != nil && within.Err() == nil {
		return fmt.Errorf("start between two cuts: %w", err)
	}
	return ctx.Err()
}

// cutTwice cuts the power, and again while the target recovers.
func cutTwice(ctx context.Context, r *Round, p *powered) error {
	if err := r.wait(ctx, 500*time.Millisecond, 3*time.Second); err != nil {
		return err
	}
	if err := p.cut(r, nil); err != nil {
		return err
	}
	for range 1 + r.Rand.IntN(3) {
		if err := startFor(ctx, r, time.Second); err != nil {
			return err
		}
		if err := p.cut(r, r.Rand); err != nil {
			return err
		}
	}
	return nil
}

// cutFirstStarts lets no first start come to its end, until the round's own.
func (p *powered) cutFirstStarts(ctx context.Context, r *Round) error {
	if err := p.prepare(ctx, r); err != nil {
		return err
	}
	for range 8 {
		if err := startFor(ctx, r, 1500*time.Millisecond); err != nil {
			return err
		}
		if err := p.cut(r, nil); err != nil {
			return err
		}
	}
	return nil
}
