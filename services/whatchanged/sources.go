package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

func newSources(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "Manage the entry points for webhooks",
		Long: `A source is an entry point for webhooks: a URL of its own, what a request must prove
beside knowing it, and what is made of what comes in.`,
		Example: `  whatchanged sources providers
  whatchanged sources create github --provider github --new-secret hook.secret
  whatchanged sources list
  whatchanged sources update src_abc123 --env production --ignore-branch 'renovate/*'
  whatchanged sources rotate src_abc123`,
	}
	conn := connect(cmd, env)
	cmd.AddCommand(newSourcesCreate(env, conn), newSourcesUpdate(env, conn), newSourcesList(env, conn), newSourcesShow(env, conn),
		newSourcesTest(env, conn), newSourcesRepair(env, conn), newSourcesRotate(env, conn), newSourcesAddSecret(env, conn), newSourcesRemoveSecret(conn),
		newSourcesProviders(env), newDelete(conn, "source", (*client.Client).DeleteSource))
	return cmd
}

func newSourcesCreate(env *Environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a source and print its webhook URL, once",
		Long: `Creates a source and prints its webhook URL on standard output, which is the only place
that shows it; what to do next at the provider is said on standard error.`,
		Example: `  # Anything at all; who sends is recognised, and the URL is the only secret
  whatchanged sources create everything

  # GitHub, Gitea, Bitbucket, Sentry, ...: signed with a secret that is made here
  whatchanged sources create github --provider github --new-secret hook.secret
  whatchanged sources create forge --provider gitea --new-secret gitea.secret

  # GitLab from 19.0 on: the signing token that GitLab shows
  whatchanged sources create gitlab --provider gitlab --auth gitlab_signing --secret-file - < token

  # AWS: topics of one account, and log files read from their bucket
  whatchanged sources create aws --provider aws --topic 'arn:aws:sns:us-east-1:123456789012:*' \
    --aws-region us-east-1 --aws-key-id AKIAIOSFODNN7EXAMPLE --aws-secret-file aws.secret

  # Google Cloud: what Pub/Sub pushes with one service account's token
  whatchanged sources create gcp --provider gcp --audience whatchanged --email push@acme.iam.gserviceaccount.com

  # Azure DevOps: user:password; Event Grid: a header
  whatchanged sources create ado --provider azure_devops --new-secret ado.secret
  whatchanged sources create azure --provider azure --new-secret azure.secret

  # Whatever else signs its body, from one network only
  whatchanged sources create own --auth hmac --signature-header X-Signature --secret-file s --network 203.0.113.0/24

  # What to make of it
  whatchanged sources create shop --env production --map 'acme/shop-*=svc_shop' --ignore github.star --ignore-branch 'renovate/*'`,
		Args: args(cobra.ExactArgs(1)),
	}
	flags := addSourceFlags(env, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		flags.in.Name = args[0]
		if err := flags.read(""); err != nil {
			return err
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		made, err := api.CreateSource(cmd.Context(), flags.in)
		if err != nil {
			return err
		}
		if err := printSecret(env, conn, made, made.ID, made.WebhookURL); err != nil || conn.json {
			return err
		}
		p, known := findProvider(flags.in.Provider)
		p.printNext(env.Stderr)
		if made.Provider != "auto" && !known {
			fmt.Fprintf(env.Stderr, "note: %s has no setup of its own here; see `whatchanged sources providers`\n", printable(made.Provider))
		}
		if made.Auth == "none" {
			fmt.Fprintf(env.Stderr, "warning: auth is none, so whoever learns the URL can send here. Better: %s\n", p.how())
		}
		return nil
	}
	return cmd
}

func newSourcesUpdate(env *Environment, conn *connection) *cobra.Command {
	var name string
	var disable, enable, noAWS, noGitHub bool
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change a source's settings",
		Long: `Changes the settings that are named; lists are replaced, and '' empties one. Another
--auth forgets the secrets of the one before. To change a secret without losing a
delivery, see sources add-secret.`,
		Example: `  whatchanged sources update src_abc123 --provider github --auth github_hmac --new-secret hook.secret
  whatchanged sources update src_abc123 --network 192.30.252.0/22 --network 185.199.108.0/22
  whatchanged sources update src_abc123 --ignore-branch ''
  whatchanged sources update src_abc123 --disable`,
		Args: args(cobra.ExactArgs(1)),
	}
	flags := addSourceFlags(env, cmd)
	cmd.Flags().StringVar(&name, "name", "", "another name")
	cmd.Flags().BoolVar(&disable, "disable", false, "refuse everything that is sent to it")
	cmd.Flags().BoolVar(&enable, "enable", false, "take in again what is sent to it")
	cmd.Flags().BoolVar(&noAWS, "no-aws", false, "forget the AWS credentials")
	cmd.Flags().BoolVar(&noGitHub, "no-github", false, "forget GitHub's token or key")
	cmd.MarkFlagsMutuallyExclusive("disable", "enable")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		before, err := api.Source(cmd.Context(), ids[0])
		if err != nil {
			return err
		}
		if err := flags.read(flags.known(before)); err != nil {
			return err
		}
		patch := flags.patch()
		take(flags, &patch.Name, &name, "name")
		if disable || enable {
			patch.Disabled = &disable
		}
		if noAWS {
			patch.AWS = &client.AWSCredentials{}
		}
		if noGitHub {
			patch.GitHub = &client.GitHubCredentials{}
		}
		after, err := api.UpdateSource(cmd.Context(), ids[0], patch)
		if err != nil {
			return err
		}
		return printSource(env, conn, after)
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
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Give a source a new webhook URL; the old one works for a while",
		Example: `  whatchanged sources rotate src_abc123
  whatchanged sources rotate src_abc123 --overlap 0s   # the old URL has leaked`,
	}
	return rotate(cmd, env, conn, "URL", (*client.Client).RotateSourceWithin, func(made client.SourceSecret) (id, secret string, until change.Time) {
		return made.ID, made.WebhookURL, made.OldTokenUntil
	})
}

// parseSpan reads a length of time as people write it: 30m, 2h, 7d.
func parseSpan(text string) (time.Duration, error) {
	now := time.Now()
	before, err := parseWhen(text, now)
	if span := now.Sub(before); err == nil && text != "" && span >= 0 && span < 366*24*time.Hour {
		return span.Round(time.Second), nil
	}
	return 0, usagef("%q is not a length of time: say 30m, 2h or 7d", text)
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
