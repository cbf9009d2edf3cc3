package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/client"
)

func newKeys(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Manage API keys",
		Example: `  whatchanged keys create ci --scope changes:write --expires 90d
  whatchanged keys list
  whatchanged keys update key_abc123 --scope changes:read,changes:write
  whatchanged keys rotate key_abc123
  whatchanged keys delete key_abc123`,
	}
	conn := connect(cmd, env)
	cmd.AddCommand(newKeysCreate(env, conn), newKeysList(env, conn), newKeysShow(env, conn), newKeysUpdate(env, conn), newKeysRotate(env, conn),
		newDelete(conn, "key", (*client.Client).DeleteKey))
	return cmd
}

func newKeysCreate(env *Environment, conn *connection) *cobra.Command {
	var in client.NewKey
	var expires string
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create an API key and print it, once",
		Example: `  whatchanged keys create ci --scope changes:write --expires 90d`,
		Args:    args(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&in.Scopes, "scope", []string{"changes:read"}, "what it may do; may be repeated: "+strings.Join(auth.Scopes(), ", "))
	flags.StringVar(&in.Role, "role", "", "site_admin, power_user or member (default member)")
	flags.StringVar(&in.UserName, "user", "", "whose key it is")
	flags.StringVar(&in.UserEmail, "email", "", "their mail address")
	flags.StringVar(&expires, "expires", "", "when it stops: in 24h, in 90d, or on 2027-01-31 (default never)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Name = args[0]
		if expires != "" {
			at, err := parseEnd(expires)
			if err != nil {
				return err
			}
			in.ExpiresAt = &at
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		made, err := api.CreateKey(cmd.Context(), in)
		if err != nil {
			return err
		}
		return printSecret(env, conn, made, made.ID, made.Secret)
	}
	return cmd
}

func newKeysList(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the API keys",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			keys, err := api.Keys(cmd.Context())
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(env.Stdout, keys)
			}
			t := newTable(env.Stdout, "ID", "NAME", "SCOPES", "ROLE", "USER", "EXPIRES", "CREATED")
			for _, k := range keys {
				t.row(k.ID, k.Name, strings.Join(k.Scopes, ","), k.Role, k.UserName, orNever(k.ExpiresAt), when(k.CreatedAt))
			}
			return t.flush()
		},
	}
}

// newDelete returns the command that deletes one object of a kind.
func newDelete(conn *connection, kind string, remove func(*client.Client, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a " + kind + "; it stops working at once",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			if err := remove(api, cmd.Context(), ids[0]); err != nil {
				return err
			}
			if !conn.json {
				fmt.Fprintf(cmd.ErrOrStderr(), "deleted %s\n", ids[0])
			}
			return nil
		},
	}
}
