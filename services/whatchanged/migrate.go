package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"whatchanged/pkg/store"
	"whatchanged/pkg/telemetry"
)

func newMigrate(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the ClickHouse tables and NATS streams to the form this version needs",
		Long: `Makes or updates the streams of the NATS servers, if there are any, and applies
the migrations that the database lacks; run twice, the second does nothing. ` + "`whatchanged serve`" + ` does this by itself; services that run apart refuse an
old schema and name this command.`,
		Example: `  whatchanged migrate --clickhouse clickhouse://clickhouse:9000`,
		Args:    args(cobra.NoArgs),
	}
	flags := addConfigFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		log, err := telemetry.NewLogger(env.Stderr, cfg.Log)
		if err != nil {
			return err
		}
		if err := makeStreams(cmd.Context(), cfg, log, env.Stdout); err != nil {
			return err
		}
		s, err := store.Open(cmd.Context(), cfg.Store, log, telemetry.NewRegistry())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		if err := s.Migrate(cmd.Context()); err != nil {
			return err
		}
		if err := s.CheckDurability(cmd.Context()); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout, "the schema is up to date")
		return nil
	}
	return cmd
}
