package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/app"
	"whatchanged/pkg/chdb"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/telemetry"
)

func newClickHouse(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clickhouse",
		Short: "Run the embedded ClickHouse engine alone, behind ClickHouse's own HTTP interface",
		Long: `Opens the embedded engine on a data directory and serves ClickHouse's HTTP
interface, so that services that run apart on one machine, Grafana or curl can
use it. It has no users: keep it on loopback. One process at a time can open a
data directory.`,
		Example: `  whatchanged clickhouse --listen 127.0.0.1:8123
  curl 'http://127.0.0.1:8123/' --data 'SELECT count() FROM whatchanged.changes FINAL'`,
		Args: args(cobra.NoArgs),
	}
	dataDir := cmd.Flags().String("data-dir", "data", "where the engine's data is, in clickhouse/")
	listen := cmd.Flags().String("listen", "127.0.0.1:8123", "address to listen on")
	backupDir := cmd.Flags().String("backup-dir", "", "where it may write backups (default: backups/ in the data directory)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := telemetry.NewLogger(env.Stderr, telemetry.DefaultConfig())
		if err != nil {
			return err
		}
		backups, err := filepath.Abs(cmp.Or(*backupDir, filepath.Join(*dataDir, "backups")))
		if err != nil {
			return err
		}
		engine, err := chdb.Open(chdb.Config{
			Path: filepath.Join(*dataDir, "clickhouse"), Library: env.Getenv("WHATCHANGED_LIBCHDB"),
			Args: []string{"--backups.allowed_path=" + backups},
		}, log)
		if err != nil {
			return err
		}
		cfg := httpserver.DefaultConfig()
		cfg.Listen = *listen
		cfg.ReadTimeout, cfg.WriteTimeout = time.Hour, 2*time.Hour // inserts and exports take as long as they take
		cfg.MaxHeaderBytes = 2 << 20                               // parameters come in the URL; ClickHouse itself takes 1 MiB (http_max_uri_size)
		h, err := httpserver.New(cfg, engine.Handler(), log, telemetry.NewRegistry())
		if err != nil {
			return errors.Join(err, engine.Close())
		}
		fmt.Fprintf(env.Stdout, "ClickHouse %s at http://%s\n", engine.Version(), reachable(*listen))
		parts := app.NewGroup(log)
		parts.Start("http", h.Run)
		return errors.Join(parts.Wait(cmd.Context()), parts.Stop(grace), engine.Close())
	}
	cmd.AddCommand(newGrants(env))
	return cmd
}
