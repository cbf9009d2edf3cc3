package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/bus"
)

func newNATS(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nats",
		Short: "Help with NATS servers of your own",
	}
	cmd.AddCommand(newNATSPermissions(env))
	return cmd
}

func newNATSPermissions(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "permissions",
		Short: "Print the accounts and users of a nats-server, with what each service needs and no more",
		Long: `Prints the part of nats-server.conf that says who may do what: one user a
service, backup for ` + "`whatchanged backup`" + `, and admin, as whom ` + "`whatchanged migrate`" + `
makes the streams. Passwords or public keys come from the server's environment
(NATS_RECEIVER_PASSWORD, ...).
deploy/nats/accounts.conf is what it prints.`,
		Example: `  whatchanged nats permissions > accounts.conf
  whatchanged nats permissions --auth nkey
  whatchanged nats permissions --users serve,backup,admin`,
		Args: args(cobra.NoArgs),
	}
	auth := cmd.Flags().String("auth", bus.AuthPassword, "how the servers know a user: password or nkey")
	users := cmd.Flags().StringSlice("users", bus.Users(), "which users; serve is everything in one process")
	cmd.RunE = func(*cobra.Command, []string) error {
		if !slices.Contains([]string{bus.AuthPassword, bus.AuthNkey}, *auth) {
			return usagef("--auth: %q is neither password nor nkey", *auth)
		}
		for _, user := range *users {
			if _, ok := bus.PermissionsOf(user); !ok {
				return usagef("--users: %q is not one of %s", user, strings.Join(append(bus.Users(), bus.UserServe), ", "))
			}
		}
		return bus.WriteAccounts(env.Stdout, *auth, *users)
	}
	return cmd
}
