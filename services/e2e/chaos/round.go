package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
)

const (
	webhooks    = "/api/webhooks/incoming/changes/"
	settleLimit = 2 * time.Minute // without anything moving
)

// result is one line of rounds.jsonl.
type result struct {
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"`
	Seed    uint64    `json:"seed"`
	Fault   string    `json:"fault"`
	Strikes int       `json:"strikes"`
	Seconds float64   `json:"seconds"`
	verdict
	RecoveryP50 int64              `json:"recovery_p50_ms"`
	RecoveryMax int64              `json:"recovery_max_ms"`
	ReadyMax    int64              `json:"ready_after_kill_max_ms"`
	ReadyCPUMax int64              `json:"ready_cpu_max_ms,omitempty"` // processor time of the slowest: what it takes where nobody else wants the machine
	Notes       map[string]float64 `json:"notes,omitempty"`
	Error       string             `json:"error,omitempty"` // what went wrong beside the account
}

func (r *result) failed() bool { return r.Error != "" || r.bad() > 0 }

// settings of a run of rounds.
type settings struct {
	binary  string
	commit  string // of the code under test
	out     string // for rounds.jsonl and evidence
	scratch string
	rate    float64
	strikes int
	log     *slog.Logger
}

// runRound runs one round from an empty directory to the verdict.
func runRound(ctx context.Context, set settings, f Fault, seed uint64) (res result) {
	began := time.Now()
	res = result{Date: began.UTC().Truncate(time.Second), Commit: set.commit, Seed: seed, Fault: f.Name}
	defer func() { res.Seconds = float64(time.Since(began).Milliseconds()) / 1000 }()
	dir, err := os.MkdirTemp(set.scratch, "round-")
	if err != nil {
		res.Error = err.Error()
		return res
	}
	r := &Round{
		Dir: dir, DataDir: filepath.Join(dir, "data"), Rand: rand.New(rand.NewPCG(seed, 1)),
		Log: set.log.With("fault", f.Name, "seed", seed), Strikes: set.strikes, Notes: map[string]float64{},
		Load: LoadConfig{
			Rate: set.rate, InFlight: 256, Repeats: 0.05, Large: 0.01, LargeBytes: 100_000, Months: 3, Seed: seed,
			Journal: filepath.Join(dir, "journal.jsonl"), Began: monotonic(),
		},
	}
	r.Want.Began = time.Now().UnixMilli()
	err = r.run(ctx, set, f, &res)
	r.Failed = err != nil || res.failed()
	if f.Finish != nil {
		if e := f.Finish(context.WithoutCancel(ctx), r); e != nil {
			err = errors.Join(err, fmt.Errorf("finish: %w", e))
		}
	}
	if err != nil {
		res.Error = err.Error()
	}
	if len(r.Notes) > 0 {
		res.Notes = r.Notes
	}
	if !res.failed() {
		if err := os.RemoveAll(dir); err != nil {
			res.Error = err.Error()
		}
	} else {
		r.Log.Error("round failed; its evidence is kept", "dir", dir, "error", res.Error, "violations", res.Violations)
	}
	return res
}

func (r *Round) run(ctx context.Context, set settings, f Fault, res *result) (err error) {
	if err := os.MkdirAll(r.DataDir, 0o700); err != nil {
		return err
	}
	if r.Target, err = newTarget(set.binary, r.Dir, r.DataDir); err != nil {
		return err
	}
	defer r.Target.Kill()
	if f.Prepare != nil {
		if err := f.Prepare(ctx, r); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	if err := r.Target.Start(ctx); err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	if err := r.makeSources(ctx); err != nil {
		return err
	}
	load, err := startLoad(r)
	if err != nil {
		return err
	}
	defer load.kill()
	ready := r.strikes(ctx, f, res)
	if ready != nil {
		return ready
	}
	// It must take in again, not only say that it is ready.
	if err := load.awaitMore(ctx, 20); err != nil {
		return err
	}
	if err := load.stop(); err != nil {
		return fmt.Errorf("load generator: %w", err)
	}
	requests, err := readJournal(r.Load.Journal)
	if err != nil {
		return err
	}
	if err := r.settle(ctx, requests); err != nil {
		return err
	}
	if f.After != nil {
		if err := f.After(ctx, r); err != nil {
			return err
		}
	}
	if err := r.Target.Stop(ctx); err != nil {
		return err
	}
	if err := r.judge(ctx, res); err != nil || res.InFlight == 0 {
		return err
	}
	// The account does not show a payload that is still on its way when its
	// outcome is known. It is on the bus; another start must finish it.
	r.Notes["started_again"] = 1
	if err := r.Target.Start(ctx); err != nil {
		return err
	}
	if err := errors.Join(pause(ctx, 5*time.Second), r.settle(ctx, requests), r.Target.Stop(ctx)); err != nil {
		return err
	}
	return r.judge(ctx, res)
}

// strikes lets the fault strike, and starts what is down after each strike.
func (r *Round) strikes(ctx context.Context, f Fault, res *result) error {
	var recoveries []time.Duration
	for n := range r.Strikes {
		if err := f.Strike(ctx, r); err != nil {
			return fmt.Errorf("strike %d: %w", n+1, err)
		}
		r.Struck++
		res.Strikes++
		if r.Target.Running() {
			continue
		}
		begin := time.Now()
		err := r.Target.Start(ctx)
		if ended, ok := errors.AsType[*endedError](err); ok && r.Target.armed {
			r.Log.Info("killed by its failpoint while it started", "error", ended.err)
			r.Target.Arm("")
			err = r.Target.Start(ctx)
		}
		if err != nil {
			return fmt.Errorf("start after strike %d: %w", n+1, err)
		}
		recoveries = append(recoveries, time.Since(begin))
		if used, err := processorTime(r.Target.Pid()); err == nil { // not with a wrapper, nor where there is no /proc
			res.ReadyCPUMax = max(res.ReadyCPUMax, used.Milliseconds())
		}
	}
	res.RecoveryP50, res.RecoveryMax = spread(recoveries)
	res.ReadyMax = res.RecoveryMax
	return nil
}

// makeSources makes the source that checks GitHub's signatures, and tells the
// generator where to send.
func (r *Round) makeSources(ctx context.Context) error {
	api, err := client.New(r.Target.URL, r.Target.APIKey)
	if err != nil {
		return err
	}
	r.Load.Secret = auth.NewToken("s_")
	made, err := api.CreateSource(ctx, client.NewSource{Name: "chaos", Auth: "github_hmac", Secrets: []string{r.Load.Secret}})
	if err != nil {
		return fmt.Errorf("make a source: %w", err)
	}
	r.Load.URL, r.Load.GitHubPath, r.Load.PlainPath = cmp.Or(r.Target.Webhooks, r.Target.URL), webhooks+made.Token, webhooks+r.Target.Token
	return nil
}

// settle waits until the target itself says that all is done: its account has
// what we know it took, nothing is in flight, and that stays so for a moment.
func (r *Round) settle(ctx context.Context, requests []*request) error {
	acknowledged := 0
	for _, q := range requests {
		if q.state == stateOK {
			acknowledged++
		}
	}
	api, err := client.New(r.Target.URL, r.Target.APIKey)
	if err != nil {
		return err
	}
	const calm = 1500 * time.Millisecond // longer than any consumer waits for a fuller batch
	var last, now client.AccountRow
	since, moved := time.Now(), time.Now()
	for time.Since(moved) < settleLimit {
		rows, err := api.Account(ctx, client.AccountFilter{
			Start: time.Now().Add(-48 * time.Hour), End: time.Now().Add(48 * time.Hour), Bucket: time.Hour,
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		now = client.AccountRow{}
		for _, row := range rows {
			now.Received += row.Received
			now.InFlight += row.InFlight
		}
		if err == nil && (now.Received != last.Received || now.InFlight != last.InFlight) {
			moved = time.Now()
		}
		if err != nil || now.Received != last.Received || now.InFlight > 0 || now.Received < int64(acknowledged) {
			last, since = now, time.Now()
		}
		if time.Since(since) >= calm {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	// The oracle says what is missing.
	r.Log.Warn("not settled in time", "acknowledged", acknowledged, "received", now.Received, "in_flight", now.InFlight)
	return nil
}

// checkJob is what the oracle's process is asked.
type checkJob struct {
	DataDir string   `json:"data_dir"`
	BusURL  string   `json:"bus_url,omitempty"`
	Journal string   `json:"journal"`
	Seed    uint64   `json:"seed"`
	Want    Expected `json:"want"`
}

// judge asks the oracle, in a process of its own: one process can open one
// store in its life.
func (r *Round) judge(ctx context.Context, res *result) error {
	job := checkJob{DataDir: r.DataDir, BusURL: r.BusURL, Journal: r.Load.Journal, Seed: r.Load.Seed, Want: r.Want}
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	path := filepath.Join(r.Dir, "check.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe, "check", r.Dir)
	log, err := os.Create(filepath.Join(r.Dir, "check.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.Output()
	if err != nil {
		tail, _ := os.ReadFile(log.Name())
		return fmt.Errorf("the oracle cannot read what is there: %w\n%s", err, tail[max(0, len(tail)-4096):])
	}
	res.verdict = verdict{}
	if err := json.Unmarshal(out, &res.verdict); err != nil {
		return fmt.Errorf("read the verdict: %w", err)
	}
	return nil
}

// check is the oracle's process. It can be repeated on kept evidence.
func check(ctx context.Context, dir string, out, errs io.Writer) error {
	text, err := os.ReadFile(filepath.Join(dir, "check.json"))
	if err != nil {
		return err
	}
	var job checkJob
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	requests, err := readJournal(job.Journal)
	if err != nil {
		return err
	}
	s, err := takeSnapshot(ctx, job.DataDir, job.BusURL, slog.New(slog.NewTextHandler(errs, nil)))
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(judge(requests, s, job.Seed, job.Want))
}
