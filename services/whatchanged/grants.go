package main

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/store"
)

func newGrants(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grants",
		Short: "Print the SQL that makes ClickHouse's users, one for each service",
		Long: `Prints users, roles, grants, quotas and settings profiles for a ClickHouse server:
each service may do what it does and nothing else. An administrator runs them, and
again with each new version. Database, cluster and limits are those of the
configuration.

Passwords are never in it. Their SHA-256 hashes are parameters of the statements,
or are given here.`,
		Example: `  whatchanged clickhouse grants > users.sql
  WHATCHANGED_STORE_CLUSTER=whatchanged whatchanged clickhouse grants
  whatchanged clickhouse grants --password-sha256 api=$(printf %s "$API_PASSWORD" | sha256sum | cut -d' ' -f1)`,
		Args: args(cobra.NoArgs),
	}
	flags := addConfigFlags(cmd, env)
	hashes := cmd.Flags().StringToString("password-sha256", nil, "hash of a user's password in hexadecimal, as api=...; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		for user, hash := range *hashes {
			if !slices.Contains(store.Users(), user) {
				return usagef("--password-sha256: %q is not one of %s", user, strings.Join(store.Users(), ", "))
			}
			if b, err := hex.DecodeString(hash); err != nil || len(b) != 32 {
				return usagef("--password-sha256 %s: want the SHA-256 hash of the password, 64 hexadecimal digits", user)
			}
		}
		fmt.Fprint(env.Stdout, store.GrantsSQL(cfg.Store, store.GrantConfig{Hashes: *hashes}))
		return nil
	}
	return cmd
}
