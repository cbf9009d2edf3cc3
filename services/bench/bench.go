// Package bench measures the product on the machine it runs on, beside what
// the machine can do at most: a handler that only reads, and JetStream that
// only publishes. It starts the server under test, its limits and the load
// generator as processes of their own, all from this executable, bounds
// everything in time and leaves nothing behind. It judges no code: the
// figures and their targets are for the reader.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The parts of a run, in the order they run.
const (
	stagePublish      = "publish"
	stageReceiver     = "receiver" // with the no-op handler, by turns
	stageAcknowledged = "acknowledged"
	stageQueryable    = "queryable"
	stagePipeline     = "pipeline"
	stageMaximum      = "maximum"
	stageRestart      = "restart"
	stageOverload     = "overload"
	stageFairness     = "fairness"
	stageAPI          = "api" // with the receiver, by turns
	stageLists        = "lists"
	stageNormalizers  = "normalizers"
)

func allStages() []string {
	return []string{
		stagePublish, stageReceiver, stageAcknowledged, stageQueryable,
		stagePipeline, stageMaximum, stageRestart, stageOverload, stageFairness, stageAPI, stageLists, stageNormalizers,
	}
}

// config is what the flags say.
type config struct {
	duration    time.Duration
	rate        float64
	connections int
	payloads    string
	stages      []string
	changes     int
	dir         string
	json        bool
}

func (c config) validate() error {
	var errs []error
	if c.duration < time.Second || c.duration > time.Hour {
		errs = append(errs, errors.New("--duration: must be between 1s and 1h"))
	}
	if c.rate < 1 || c.rate > 1e6 {
		errs = append(errs, errors.New("--rate: must be between 1 and 1000000"))
	}
	if c.connections < 1 || c.connections > 10_000 {
		errs = append(errs, errors.New("--connections: must be between 1 and 10000"))
	}
	if c.changes < 0 {
		errs = append(errs, errors.New("--changes: must not be negative"))
	}
	for _, s := range c.stages {
		if !slices.Contains(allStages(), s) {
			errs = append(errs, fmt.Errorf("--stages: %q is none of %s", s, strings.Join(allStages(), ", ")))
		}
	}
	return errors.Join(errs...)
}

func (c config) has(stage string) bool { return slices.Contains(c.stages, stage) }

// short is the length of a part that only needs a stable figure.
func (c config) short(longest time.Duration) time.Duration {
	return max(time.Second, min(longest, c.duration/4))
}

// limit is the time after which the run is given up.
func (c config) limit() time.Duration {
	d := 10*time.Minute + 6*c.duration
	if c.changes > 0 {
		d += 20 * time.Minute
	}
	return d
}

// Commands returns the bench command, and the hidden ones that it runs as
// processes of their own.
func Commands() []*cobra.Command {
	return []*cobra.Command{newBench(), newNoop(), newPublish(), newLoad(), newFill()}
}

func newBench() *cobra.Command {
	var c config
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: the receiver, the pipeline, and the limits they stand beside",
		Long: `bench starts whatchanged on a temporary directory, sends it webhooks and prints
what it reaches, beside what this machine could reach at most: an HTTP handler
that only reads the body, and JetStream that only publishes. Every request has
its own ids, shas, times, signature and at least 1 KB of new text. It takes
about five minutes, uses all of the machine, and leaves nothing behind.`,
		Example: `  whatchanged bench                                # everything, about five minutes
  whatchanged bench --duration 5s                  # a first impression
  whatchanged bench --json > bench.json            # for comparing; docs/bench.md has its form
  whatchanged bench --stages receiver,publish      # only the door and its limits
  whatchanged bench --stages overload              # what is left of its peak at five times that
  whatchanged bench --stages fairness              # how much a flood of one organisation delays another
  whatchanged bench --payloads ./payloads          # your own payloads
  whatchanged bench --normalizers                  # MB/s of each normalizer, beside decoding the same JSON
  whatchanged bench --rate 2000 --duration 10m     # a longer, calmer load
  whatchanged bench --stages lists --changes 10000000   # how fast lists are over 10 million changes
  whatchanged bench --model bench.json             # machines for 1,000 to 1,000,000 a second, from a run`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.DurationVar(&c.duration, "duration", time.Minute, "how long the pipeline is held at --rate; shorter parts shrink with it")
	f.Float64Var(&c.rate, "rate", 5000, "deliveries a second that the pipeline must sustain")
	f.IntVar(&c.connections, "connections", 64, "connections of the load generator")
	f.StringVar(&c.payloads, "payloads", "", "directory of *.json payloads to send, instead of the built-in push; an index.json beside them gives headers")
	f.StringSliceVar(&c.stages, "stages", allStages(), "which parts to run")
	f.IntVar(&c.changes, "changes", 0, "made-up changes to fill in for the lists part; 0 leaves it out, 10000000 is the full figure")
	f.StringVar(&c.dir, "dir", "", "where temporary data goes; the disk under it is what is measured (default: the system's temporary directory)")
	onlyNormalizers := f.Bool("normalizers", false, "measure the normalizers alone, on one core, without starting anything")
	f.BoolVar(&c.json, "json", false, "print the figures as JSON")
	saved := f.String("model", "", "measure nothing: print the machines that the figures of a saved --json run make necessary (docs/capacity.md)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *saved != "" {
			return printModel(cmd.OutOrStdout(), *saved)
		}
		if *onlyNormalizers {
			c.stages = []string{stageNormalizers}
		}
		if err := c.validate(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeoutCause(cmd.Context(), c.limit(), fmt.Errorf("not done after %v", c.limit()))
		defer cancel()
		report, err := newRun(c, cmd.ErrOrStderr()).do(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if c.json {
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(report)
		}
		return report.write(cmd.OutOrStdout())
	}
	return cmd
}

// printModel prints the model of a run that was saved.
func printModel(out io.Writer, path string) error {
	report, err := readReport(path)
	if err != nil {
		return err
	}
	m, err := NewModel(report)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return m.write(out)
}

// newNoop, newPublish, newLoad and newFill are run by bench itself.
func newNoop() *cobra.Command {
	return &cobra.Command{
		Use: "bench-noop", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveHelper(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), serveNoop)
		},
	}
}

func newPublish() *cobra.Command {
	return &cobra.Command{
		Use: "bench-publish", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveHelper(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(),
				func(ctx context.Context, p publishing, _ func(message[published])) (published, error) {
					return p.run(ctx)
				})
		},
	}
}

func newLoad() *cobra.Command {
	return &cobra.Command{
		Use: "bench-load", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveHelper(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(),
				func(ctx context.Context, l load, say func(message[loaded])) (loaded, error) {
					return l.run(ctx, func(n int64) { say(message[loaded]{Accepted: &n}) })
				})
		},
	}
}
