package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newSources(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "Manage the entry points for webhooks",
		Example: `  whatchanged sources create github --provider github --auth github_hmac --secret-file hook.secret
  whatchanged sources list
  whatchanged sources rotate src_abc123`,
	}
	conn := connect(cmd, env)
	cmd.AddCommand(newSourcesCreate(env, conn), newSourcesList(env, conn), newSourcesRotate(env, conn),
		newDelete(conn, "source", (*client.Client).DeleteSource))
	return cmd
}

func newSourcesCreate(env *Environment, conn *connection) *cobra.Command {
	var in client.NewSource
	var secretFile string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a source and print its webhook URL, once",
		Example: `  whatchanged sources create everything
  openssl rand -hex 32 > hook.secret
  whatchanged sources create github --provider github --auth github_hmac --secret-file hook.secret
  whatchanged sources create gitlab --provider gitlab --auth gitlab_token --secret-file -  < token`,
		Args: args(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&in.Provider, "provider", "auto", "who speaks here; auto detects it")
	flags.StringVar(&in.Auth, "auth", "none", "what a request must prove beside the token: none, github_hmac, gitlab_token, gitlab_signing")
	flags.StringVar(&secretFile, "secret-file", "", "file with the secret for --auth, one a line; - is standard input")
	flags.StringVar(&in.DefaultEnvironment, "env", "", "environment of changes that name none")
	flags.StringVar(&in.DefaultServiceID, "service", "", "service of changes that belong to none (svc_...)")
	flags.StringSliceVar(&in.IgnoreEvents, "ignore", nil, "kinds of events not to record, such as github.push; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.Name = args[0]
		if secretFile != "" {
			text, err := readInput(env, secretFile)
			if err != nil {
				return err
			}
			in.Secrets = strings.Fields(string(text))
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		made, err := api.CreateSource(cmd.Context(), in)
		if err != nil {
			return err
		}
		return printSecret(env, conn, made, made.ID, made.WebhookURL)
	}
	return cmd
}

func newSourcesList(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the sources",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			sources, err := api.Sources(cmd.Context())
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(env.Stdout, sources)
			}
			t := newTable(env.Stdout, "ID", "NAME", "PROVIDER", "AUTH", "SECRETS", "CREATED", "")
			for _, s := range sources {
				note := ""
				if s.Disabled {
					note = "disabled"
				}
				t.row(s.ID, s.Name, s.Provider, s.Auth, strconv.Itoa(len(s.Secrets)), when(s.CreatedAt), note)
			}
			return t.flush()
		},
	}
}

func newSourcesRotate(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate ID",
		Short: "Give a source a new webhook URL; the old one works for a while",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			made, err := api.RotateSource(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if err := printSecret(env, conn, made, made.ID, made.WebhookURL); err != nil {
				return err
			}
			if !conn.json && !made.OldTokenUntil.IsZero() {
				fmt.Fprintf(env.Stderr, "the old URL works until %s\n", when(made.OldTokenUntil))
			}
			return nil
		},
	}
}

// printSecret shows what is shown only once: alone on standard output, so that
// a script can take it, with the rest on standard error.
func printSecret(env *Environment, conn *connection, whole any, id, secret string) error {
	if conn.json {
		return printJSON(env.Stdout, whole)
	}
	fmt.Fprintf(env.Stderr, "%s; shown once, keep it:\n", id)
	fmt.Fprintln(env.Stdout, secret)
	return nil
}
