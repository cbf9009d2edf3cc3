package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/app"
	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/backup"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/durable"
	"whatchanged/pkg/store"
	"whatchanged/pkg/telemetry"
)

func newBackup(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Make backups of everything that is stored, and put them back",
		Long: `A backup has all rows of ClickHouse, the registry (orgs, sources, keys, services,
people) and how far the bus had come. It does not have the master key, without
which the secrets in it cannot be opened: keep a copy of that elsewhere.`,
		Example: `  whatchanged backup create
  whatchanged backup create --to s3:https://s3.eu-central-1.amazonaws.com/acme-backups/whatchanged
  whatchanged backup list
  whatchanged backup restore whatchanged-20260330-150405`,
		Args: args(cobra.NoArgs),
	}
	cmd.AddCommand(newBackupCreate(env), newBackupList(env), newBackupRestore(env))
	return cmd
}

// backupFlags are those of all backup commands.
type backupFlags struct {
	*configFlags
	to   string
	json bool
}

func addBackupFlags(cmd *cobra.Command, env *Environment) *backupFlags {
	f := &backupFlags{configFlags: addConfigFlags(cmd, env)}
	cmd.Flags().StringVar(&f.to, "to", "", "where backups are: file:/dir, disk:name or s3:https://host/bucket/path (default: backup.to, else backups/ in the data directory)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return f
}

func (f *backupFlags) load(cmd *cobra.Command) (Config, error) {
	cfg, err := f.configFlags.load(cmd)
	if err != nil || f.to == "" {
		return cfg, err
	}
	cfg.Backup.To = f.to
	if err := cfg.Backup.Validate(); err != nil {
		return cfg, &usageError{err}
	}
	return cfg, nil
}

func newBackupCreate(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a backup, while everything runs",
		Long: `Makes a backup. With the embedded engine the server that runs on the data
directory makes it, or if none runs, this command; with ClickHouse and NATS
servers this command asks them, and they write it.`,
		Args: args(cobra.NoArgs),
	}
	flags := addBackupFlags(cmd, env)
	name := cmd.Flags().String("name", "", "what to call it (default: whatchanged- and the time)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		asked := backupRequest{Name: *name, To: flags.to}
		if asked.Name == "" {
			asked.Name = backup.DefaultName(time.Now())
		}
		made, err := backup.Made{}, errNotRunning
		if cfg.embedded() {
			made, err = askForBackup(cmd.Context(), cfg.DataDir, asked)
		}
		if errors.Is(err, errNotRunning) {
			err = withBackups(cmd.Context(), env, cfg, func(b *backup.Backups, _ *store.Store) error {
				made, err = b.Create(cmd.Context(), asked.Name)
				return err
			})
		}
		if err != nil {
			return err
		}
		if flags.json {
			return printJSON(env.Stdout, made)
		}
		fmt.Fprintf(env.Stdout, "%s is made in %s (%s)\n", made.Name, made.Place, backup.Size(made.Size))
		printMade(env.Stdout, made)
		if made.KeyMark != "" {
			fmt.Fprintf(env.Stdout, "  the master key (mark %s) is not in it: keep a copy of it elsewhere\n", made.KeyMark)
		}
		return nil
	}
	return cmd
}

// embedded reports whether a process with this configuration has the data
// directory to itself.
func (c *Config) embedded() bool { return strings.HasPrefix(c.Store.DSN, "embedded:") }

func printMade(w io.Writer, made backup.Made) {
	for _, table := range slices.Sorted(maps.Keys(made.Rows)) {
		if n := made.Rows[table]; n > 0 {
			fmt.Fprintf(w, "  %s: %d rows\n", table, n)
		}
	}
	fmt.Fprintf(w, "  registry: %d records\n", made.Registry)
}

func newBackupList(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the backups that are there, oldest first",
		Args:  args(cobra.NoArgs),
	}
	flags := addBackupFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		found, err := backup.List(cmd.Context(), cfg.Backup, func(ctx context.Context) (known []store.ServerBackup, err error) {
			err = withStore(ctx, env, cfg, func(s *store.Store, _ *slog.Logger) error {
				known, err = s.ServerBackups(ctx)
				return err
			})
			return known, err
		})
		if err != nil {
			return err
		}
		if flags.json {
			return json.NewEncoder(env.Stdout).Encode(map[string]any{"data": append([]backup.Listed{}, found...)})
		}
		t := newTable(env.Stdout, "NAME", "MADE", "SIZE")
		for _, one := range found {
			t.row(one.Name, one.Made.Format(time.RFC3339), backup.Size(one.Size))
		}
		return t.flush()
	}
	return cmd
}

func newBackupRestore(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore NAME",
		Short: "Put a backup in the place of what is there, while nothing runs",
		Long: `Puts a backup back. Stop all services first. The tables must be empty, or --force
replaces them; nothing is replaced before the backup is there whole and its rows
are counted. The registry is restored where there is none: one that is there is
newer and stays, unless --registry says otherwise.

What came after the backup and is on the bus still is stored again by the
services, within minutes after they are started.`,
		Example: `  whatchanged backup restore whatchanged-20260330-150405
  whatchanged backup restore nightly --to s3:https://s3.eu-central-1.amazonaws.com/acme-backups/whatchanged`,
		Args: args(cobra.ExactArgs(1)),
	}
	flags := addBackupFlags(cmd, env)
	var o backup.RestoreOptions
	cmd.Flags().BoolVar(&o.Force, "force", false, "replace the rows that are there")
	cmd.Flags().BoolVar(&o.Registry, "registry", false, "replace the registry that is there")
	cmd.Flags().BoolVar(&o.RegistryOnly, "registry-only", false, "replace the registry and leave all rows as they are: the bus was lost, ClickHouse was not")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		o.Alone = cfg.embedded() // or the data directory could not be opened
		var restored backup.Restored
		err = withBackups(cmd.Context(), env, cfg, func(b *backup.Backups, s *store.Store) error {
			if restored, err = b.Restore(cmd.Context(), names[0], o); err != nil {
				return err
			}
			if s.Engine() == nil {
				return nil
			}
			return syncEngine(cfg)
		})
		if errors.Is(err, store.ErrNotEmpty) {
			return fmt.Errorf("%w; --force replaces what is there", err)
		}
		if err != nil {
			return err
		}
		if flags.json {
			return printJSON(env.Stdout, restored)
		}
		printRestored(env.Stdout, cfg, restored)
		return nil
	}
	return cmd
}

func printRestored(w io.Writer, cfg Config, r backup.Restored) {
	fmt.Fprintf(w, "%s is restored, as of %s\n", r.Name, r.Began.Format(time.RFC3339))
	printMade(w, r.Made)
	if !r.RegistryRestored {
		fmt.Fprintln(w, "  the registry was there and is as it was")
	}
	switch {
	case r.Missing < 0:
		fmt.Fprintln(w, "  the bus is another one: what came after the backup is lost")
	case r.Missing > 0:
		fmt.Fprintf(w, "  %d frames that came after the backup are on the bus no more: they are lost\n", r.Missing)
	}
	if r.After > 0 {
		fmt.Fprintf(w, "  %d frames came after it: they are stored again when the services run\n", r.After)
	}
	if cfg.embedded() {
		fmt.Fprintln(w, "next: whatchanged serve")
	} else {
		fmt.Fprintln(w, "next: whatchanged migrate, then start the services")
	}
}

// syncEngine puts what was restored on disk: the engine does so for inserts.
func syncEngine(cfg Config) error {
	dir := strings.TrimPrefix(cfg.Store.DSN, "embedded:")
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // of an old part, meanwhile gone
		}
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		if err := durable.SyncDir(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("put what was restored on disk: %w", err)
		}
		return nil
	})
}

// withStore opens the store for one command.
func withStore(ctx context.Context, env *Environment, cfg Config, do func(*store.Store, *slog.Logger) error) (err error) {
	if cfg.Log.Level == telemetry.DefaultConfig().Level {
		cfg.Log.Level = "warn" // the command says what it did
	}
	log, err := telemetry.NewLogger(env.Stderr, cfg.Log)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, cfg.Store, log, telemetry.NewRegistry())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(s, log)
}

// withBackups opens store and bus for one command.
func withBackups(ctx context.Context, env *Environment, cfg Config, do func(*backup.Backups, *store.Store) error) error {
	if cfg.embedded() != (cfg.Bus.URL == "") {
		return &usageError{errors.New("a backup is of bus and ClickHouse: say both --nats and --clickhouse, or neither")}
	}
	if _, err := os.Stat(cfg.DataDir); err != nil && cfg.embedded() {
		return fmt.Errorf("the data directory: %w; for an installation that is to be restored, make it first", err)
	}
	return withStore(ctx, env, cfg, func(s *store.Store, log *slog.Logger) (err error) {
		b, err := bus.Connect(ctx, cfg.Bus, log, telemetry.NewRegistry(), bus.As(bus.UserBackup))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		mark, err := keyMark(cfg)
		if err != nil {
			return err
		}
		parts := app.NewGroup(log)
		trail := audit.NewRecorder(b, audit.DefaultLimits(), log, telemetry.NewRegistry())
		parts.Start("audit", trail.Run)
		defer func() { err = errors.Join(err, parts.Stop(grace)) }()
		backups, err := backup.New(backup.Deps{Config: cfg.Backup, Store: s, Bus: b, KeyMark: mark, Audit: trail, Log: log, Now: time.Now})
		if err != nil {
			return &usageError{err}
		}
		return do(backups, s)
	})
}

// keyMark is that of the master key, if there is one: none is made here.
func keyMark(cfg Config) (string, error) {
	path := filepath.Join(cfg.DataDir, "master.key")
	if _, err := os.Stat(path); cfg.MasterKey == "" && errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	sealer, err := auth.OpenSealer(path, cfg.MasterKey, true)
	if err != nil {
		return "", err
	}
	return sealer.Mark(), nil
}
