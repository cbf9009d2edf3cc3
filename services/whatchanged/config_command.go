package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// The commands that read the configuration, besides the services. The fetcher
// has none of its own: it runs in the normalizer.
const (
	commandServe      = "serve"
	commandFetcher    = "fetcher"
	commandClickHouse = "clickhouse"
	commandMigrate    = "migrate"
)

// readers are the names that `config check` takes.
func readers() []string {
	return slices.Concat([]string{commandServe}, allServices, []string{commandFetcher, commandClickHouse, commandMigrate})
}

func newConfigCommand(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check a configuration, or print what can be configured",
		Example: `  whatchanged config check receiver --config whatchanged.yaml
  whatchanged config reference | less`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(env), newConfigReference(env))
	return cmd
}

func newConfigCheck(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check SERVICE",
		Short: "Check the configuration as a service would read it",
		Long: `Reads the defaults, the file, the environment and the flags as SERVICE would, and
says everything that is wrong with them. It connects to nothing and opens no
file but the configuration's: the files that settings name may be elsewhere.
SERVICE is one of ` + strings.Join(readers(), ", ") + `.

Exits with 2 when something is wrong.`,
		Example: `  whatchanged config check serve
  WHATCHANGED_BUS_URL=nats://nats:4222 whatchanged config check receiver
  whatchanged config check writer --config /etc/whatchanged/whatchanged.yaml`,
		Args:      args(cobra.ExactArgs(1)),
		ValidArgs: readers(),
	}
	flags := addSettingFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		service := given[0]
		if !slices.Contains(readers(), service) {
			return usagef("%q is not one of %s", service, strings.Join(readers(), ", "))
		}
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		if service == commandFetcher {
			service = serviceNormalizer
		}
		if slices.Contains(allServices, service) {
			if err := cfg.validateApart([]string{service}); err != nil {
				return err
			}
		}
		fmt.Fprintf(env.Stdout, "%s: the configuration is fine\n", given[0])
		return nil
	}
	return cmd
}

func newConfigReference(env *Environment) *cobra.Command {
	return &cobra.Command{
		Use:   "reference",
		Short: "Print every setting: what it is, its default, its variable, who reads it",
		Long:  "Prints the page docs/operating/configuration.md of this version.",
		Args:  args(cobra.NoArgs),
		RunE:  func(*cobra.Command, []string) error { return writeReference(env.Stdout) },
	}
}
