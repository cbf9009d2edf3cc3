// Command chaos breaks a running installation in every way we know, under
// load, and then wants back all that was acknowledged: once, as it was sent,
// and nothing else. It runs the real program, built with failpoints, a load
// generator that keeps a journal, and an oracle that compares the journal with
// what is stored. It is not part of the product.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "chaos: %v\n", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "chaos", Short: "Break an installation under load and compare what is left with what was acknowledged",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.AddCommand(newRun(), newList(), newLoad(), newCheck(), newConstrain(), newReport())
	return root
}

// options are the flags of run.
type options struct {
	rounds, strikes int
	seed            uint64
	faults          []string
	limit           time.Duration
	out, binary     string
	keep            string
	rate            float64
	verbose         bool
}

func newRun() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "run", Short: "Run rounds of faults", Args: cobra.NoArgs,
		Example: "  chaos run                                # the short mix\n" +
			"  chaos run --faults kill --rounds 20      # one fault\n" +
			"  chaos run --faults all --seed 7 --time 1h",
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.IntVar(&o.rounds, "rounds", 1, "rounds of each fault")
	f.IntVar(&o.strikes, "strikes", 5, "strikes in each round")
	f.Uint64Var(&o.seed, "seed", 0, "where all choices come from; 0 draws one")
	f.StringSliceVar(&o.faults, "faults", []string{"short"}, "names, or the beginnings of names; short: those for every commit; all")
	f.DurationVar(&o.limit, "time", 0, "begin no round after this time; 0: no limit")
	f.StringVar(&o.out, "out", "", "directory for rounds.jsonl and the evidence of failed rounds; empty: a temporary one, which goes if none failed")
	f.StringVar(&o.keep, "keep", "", "directory whose rounds.jsonl these rounds are added to, and whose report is made anew")
	f.StringVar(&o.binary, "binary", "", "the program, built with -tags failpoint; empty builds it")
	f.Float64Var(&o.rate, "rate", 400, "requests a second")
	f.BoolVar(&o.verbose, "verbose", false, "say what happens")
	return cmd
}

func newList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the faults", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, f := range faults() {
				note := ""
				if f.Check != nil {
					if err := f.Check(); err != nil {
						note = "cannot run here: " + err.Error()
					}
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", f.Name, f.About, note)
			}
			return w.Flush()
		},
	}
}

func newLoad() *cobra.Command {
	return &cobra.Command{
		Use: "load", Short: "Send requests and keep a journal of them (started by run)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := bufio.NewReader(cmd.InOrStdin())
			line, err := in.ReadBytes('\n')
			if err != nil {
				return fmt.Errorf("read what to send: %w", err)
			}
			var cfg LoadConfig
			if err := json.Unmarshal(line, &cfg); err != nil {
				return fmt.Errorf("read what to send: %w", err)
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			go func() { // ends with the process: reading standard input cannot be called off
				_, _ = io.Copy(io.Discard, in)
				cancel()
			}()
			return runLoad(ctx, cfg)
		},
	}
}

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check DIR", Short: "Compare the journal of a kept round with what is stored", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return check(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// choose returns the faults that are named, in their order.
func (o *options) choose() ([]Fault, error) {
	var chosen []Fault
	used := map[string]bool{}
	for _, f := range faults() {
		for _, name := range o.faults {
			if name == "all" || name == "short" && f.Short || name == f.Name || strings.HasPrefix(f.Name, name+"/") {
				used[name] = true
				chosen = append(chosen, f)
				break
			}
		}
	}
	for _, name := range o.faults {
		if !used[name] && name != "all" && name != "short" {
			return nil, fmt.Errorf("there is no fault %q; chaos list has them all", name)
		}
	}
	return chosen, nil
}

func (o *options) run(ctx context.Context, out io.Writer) (err error) {
	chosen, err := o.choose()
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	set := settings{commit: commit(), rate: o.rate, strikes: o.strikes, log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
	if o.seed == 0 {
		o.seed = rand.Uint64()>>12 + 1 // short enough to type, and exact in any JSON
	}
	if set.out = o.out; set.out == "" {
		if set.out, err = os.MkdirTemp("", "chaos-"); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				err = os.RemoveAll(set.out)
			}
		}()
	}
	if set.out, err = filepath.Abs(set.out); err != nil {
		return err
	}
	set.scratch = filepath.Join(set.out, "rounds")
	if err := os.MkdirAll(set.scratch, 0o700); err != nil {
		return err
	}
	fmt.Fprintf(out, "seed %d, %d faults, evidence in %s\n", o.seed, len(chosen), set.out)
	if set.binary = o.binary; set.binary == "" {
		if set.binary, err = build(ctx, set.out); err != nil {
			return err
		}
	}
	if o.keep != "" {
		if err := os.MkdirAll(o.keep, 0o755); err != nil {
			return err
		}
	}
	err = o.runAll(ctx, set, chosen, out)
	if o.keep != "" {
		err = errors.Join(err, writeReport(o.keep))
	}
	return err
}

func (o *options) runAll(ctx context.Context, set settings, chosen []Fault, out io.Writer) error {
	began, failed, ran := time.Now(), 0, 0
	fmt.Fprintf(out, "%-26s %8s %6s %6s %7s %5s %4s %4s %4s %4s %5s %8s %6s\n", "fault", "strikes", "sent", "acked", "refused", "unkn", "lost", "dup", "phan", "alt", "other", "ready ms", "s")
	for n := range o.rounds {
		if o.limit > 0 { // whatever time cuts off is another each time
			order := rand.New(rand.NewPCG(o.seed, uint64(n)))
			order.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		}
		for i, f := range chosen {
			if err := ctx.Err(); err != nil {
				return err
			}
			if o.limit > 0 && time.Since(began) > o.limit {
				fmt.Fprintf(out, "time is over after %d rounds\n", ran)
				return verdictOf(failed)
			}
			if f.Check != nil {
				if err := f.Check(); err != nil {
					fmt.Fprintf(out, "%-26s cannot run here: %v\n", f.Name, err)
					continue
				}
			}
			res := runRound(ctx, set, f, o.seed+uint64(n*len(chosen)+i))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			ran++
			for _, dir := range []string{set.out, o.keep} {
				if dir == "" {
					continue
				}
				if err := keep(dir, res); err != nil {
					return err
				}
			}
			other := res.Disordered + res.Broken + res.Dead + res.InFlight
			fmt.Fprintf(out, "%-26s %8d %6d %6d %7d %5d %4d %4d %4d %4d %5d %8d %6.1f\n", f.Name, res.Strikes, res.Sent, res.Acknowledged,
				res.Refused, res.Unknown, res.Lost, res.Duplicated, res.Phantom, res.Altered, other, res.ReadyMax, res.Seconds)
			if res.failed() {
				failed++
				fmt.Fprintf(out, "  FAILED with seed %d: %s\n", res.Seed, strings.Join(append(res.Violations, res.Error), "\n  "))
			}
		}
	}
	return verdictOf(failed)
}

func verdictOf(failed int) error {
	if failed > 0 {
		return fmt.Errorf("%d rounds failed", failed)
	}
	return nil
}

// keep appends a round to the journal of rounds.
func keep(dir string, res result) error {
	line, err := json.Marshal(res)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "rounds.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// build makes the program with failpoints.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "whatchanged")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "failpoint", "-o", path, "whatchanged/services/whatchanged")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}

// commit names the code under test.
func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	// The journal itself, which is being written, is no part of the code.
	if exec.Command("git", "diff", "--quiet", "HEAD", "--", ":/", ":(top,exclude)docs").Run() != nil {
		name += "-dirty"
	}
	return name
}

// spread returns the median and the longest, in milliseconds.
func spread(all []time.Duration) (p50, most int64) {
	if len(all) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2].Milliseconds(), sorted[len(sorted)-1].Milliseconds()
}
