package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/store"
	"whatchanged/pkg/telemetry"
)

// migrateWait is how long one that migrates waits for another one.
const migrateWait = time.Minute

func newMigrate(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the ClickHouse tables and NATS streams to the form this version needs",
		Long: `Makes or updates the streams of the NATS servers, if there are any, and applies
the migrations that the database lacks; run twice, the second does nothing.
` + "`whatchanged serve`" + ` does this by itself; services that run apart refuse an old schema
and name this command.

With --nats, one process migrates at a time: a second one waits, and then says who
is at it. docs/operating/upgrade.md says when to run it.`,
		Example: `  whatchanged migrate plan --clickhouse clickhouse://clickhouse:9000
  whatchanged migrate --clickhouse clickhouse://clickhouse:9000 --nats nats://nats:4222
  whatchanged migrate status --json`,
		Args: args(cobra.NoArgs),
	}
	m := &migrator{env: env}
	m.add(cmd, m.migrate)
	cmd.Flags().DurationVar(&m.wait, "wait", migrateWait, "how long to wait while another process migrates")
	plan := &cobra.Command{
		Use:   "plan",
		Short: "Show what would be done, statement by statement, and do nothing",
		Long: `Shows what ` + "`whatchanged migrate`" + ` would do. A quick statement takes a moment, whatever
the size of the table; for one that rewrites, ClickHouse writes rows again in the
background, which takes time and disk by the size of the table.`,
		Args: args(cobra.NoArgs),
	}
	m.add(plan, m.plan)
	status := &cobra.Command{
		Use:   "status",
		Short: "Show the schema of the tables and of this version, and who migrates now",
		Args:  args(cobra.NoArgs),
	}
	m.add(status, m.status)
	cmd.AddCommand(plan, status)
	return cmd
}

// migrator is what the three commands share.
type migrator struct {
	env  *Environment
	wait time.Duration
	json bool
}

// opened is what a command works with.
type opened struct {
	log   *slog.Logger
	store *store.Store
	bus   *bus.Bus // nil when there is none beside the database
}

func (m *migrator) add(cmd *cobra.Command, do func(context.Context, *opened) error) {
	flags := addConfigFlags(cmd, m.env)
	cmd.Flags().BoolVar(&m.json, "json", false, "print JSON, for programs")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		log, err := telemetry.NewLogger(m.env.Stderr, cfg.Log)
		if err != nil {
			return err
		}
		o := &opened{log: log}
		metrics := telemetry.NewRegistry()
		if cfg.Bus.URL != "" {
			if o.bus, err = bus.Connect(cmd.Context(), cfg.Bus, log, metrics, bus.As(bus.UserAdmin)); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.bus.Close()) }()
		}
		if o.store, err = store.Open(cmd.Context(), cfg.Store, log, metrics); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, o.store.Close()) }()
		return do(cmd.Context(), o)
	}
}

func (m *migrator) migrate(ctx context.Context, o *opened) error {
	plan, err := o.store.Plan(ctx)
	if err != nil {
		return err
	}
	if o.bus == nil && o.store.Engine() == nil && len(plan) > 0 {
		o.log.Warn("no --nats: nothing keeps another process from migrating at the same time")
	}
	if err := migrateAlone(ctx, o.bus, o.store, m.wait); err != nil {
		return err
	}
	if err := o.store.CheckDurability(ctx); err != nil {
		return err
	}
	schema, err := o.store.Schema(ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.print(map[string]any{"database": schema.Database, "version": schema.Version, "applied": plan})
	}
	fmt.Fprintln(m.env.Stdout, "the schema is up to date")
	return nil
}

// migrateAlone migrates while no other process does. What is up to date already
// waits for nobody.
func migrateAlone(ctx context.Context, b *bus.Bus, s *store.Store, wait time.Duration) error {
	plan, err := s.Plan(ctx)
	if err != nil || len(plan) == 0 {
		return err
	}
	if b == nil {
		return s.Migrate(ctx)
	}
	return b.Migrating(ctx, wait, s.Migrate)
}

func (m *migrator) plan(ctx context.Context, o *opened) error {
	schema, err := o.store.Schema(ctx)
	if err != nil {
		return err
	}
	plan, err := o.store.Plan(ctx)
	if err != nil {
		return err
	}
	if m.json {
		return m.print(map[string]any{"database": schema.Database, "version": schema.Version, "program": schema.Program, "plan": plan})
	}
	if len(plan) == 0 {
		fmt.Fprintln(m.env.Stdout, "nothing to do: the schema is up to date")
		return nil
	}
	for _, migration := range plan {
		fmt.Fprintf(m.env.Stdout, "%s\n", migration.Name)
		for _, statement := range migration.Statements {
			printStatement(m.env.Stdout, statement)
		}
	}
	return nil
}

func printStatement(w io.Writer, s store.Statement) {
	cost := "quick"
	if s.Rewrites {
		cost = "rewrites"
	}
	fmt.Fprintf(w, "  %-8s  %s: %s\n", cost, strings.TrimSpace(s.Table), s.Kind)
	for line := range strings.SplitSeq(s.SQL, "\n") {
		fmt.Fprintf(w, "            | %s\n", line)
	}
}

// fits says in words how the tables and this program fit.
var fits = map[string]string{
	store.FitCurrent: "made for each other",
	store.FitEmpty:   "there are no tables yet: run `whatchanged migrate`",
	store.FitOlder:   "the tables are older: run `whatchanged migrate`",
	store.FitNewer:   "the tables are of a later version, on which this one runs",
	store.FitTooNew:  "the tables are of a later version, on which this one does not run: use a newer version",
}

func (m *migrator) status(ctx context.Context, o *opened) error {
	schema, err := o.store.Schema(ctx)
	if err != nil {
		return err
	}
	holder := ""
	if o.bus != nil {
		if holder, err = o.bus.Migrator(ctx); err != nil {
			return err
		}
	}
	if m.json {
		return m.print(struct {
			store.Schema
			Fit      string `json:"fit"`
			Program  string `json:"program_version"`
			Migrator string `json:"migrating,omitempty"`
		}{schema, schema.Fit(), telemetry.Version(), holder})
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(m.env.Stdout, "%-12s  %s\n", name, fmt.Sprintf(format, args...))
	}
	line("database", "%s", schema.Database)
	line("its schema", "%d", schema.Version)
	line("this version", "%s, which knows schema %d", telemetry.Version(), schema.Program)
	line("fit", "%s", fits[schema.Fit()])
	if schema.Version > 0 {
		line("runs", "versions that know schema %d or later", schema.Oldest)
	}
	for _, pending := range schema.Pending {
		line("pending", "%s", pending.Name)
	}
	for _, newer := range schema.Newer {
		line("newer", "%s", newer)
	}
	if holder != "" {
		line("migrating", "%s", holder)
	}
	return nil
}

func (m *migrator) print(v any) error {
	enc := json.NewEncoder(m.env.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
