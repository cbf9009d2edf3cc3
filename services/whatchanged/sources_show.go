package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newSourcesShow(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a source's settings, but for its URL and secrets",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			s, err := api.Source(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			return printSource(env, conn, s)
		},
	}
}

func newSourcesAddSecret(env *Environment, conn *connection) *cobra.Command {
	var secretFile, newSecret, overlap string
	cmd := &cobra.Command{
		Use:   "add-secret ID",
		Short: "Add a secret beside those that a source has, to change it without losing a delivery",
		Long: `Adds a secret; any of a source's secrets may have signed a delivery. Add the new one,
enter it at the provider, and remove the old one, or give --overlap to let it end by itself.`,
		Example: `  whatchanged sources add-secret src_abc123 --new-secret hook2.secret --overlap 24h
  whatchanged sources add-secret src_abc123 --secret-file -  < token
  whatchanged sources show src_abc123
  whatchanged sources remove-secret src_abc123 sec_5f2b8c6a9d3e1f70`,
		Args: args(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&secretFile, "secret-file", "", "file with the secret; - is standard input")
	cmd.Flags().StringVar(&newSecret, "new-secret", "", "make a secret and write it to this new file, to be entered at the provider")
	cmd.Flags().StringVar(&overlap, "overlap", "", "after which time the secrets before it end: 1h, 7d; 0s at once (default: when they are removed)")
	cmd.MarkFlagsMutuallyExclusive("secret-file", "new-secret")
	cmd.MarkFlagsOneRequired("secret-file", "new-secret")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		before, err := api.Source(cmd.Context(), ids[0])
		if err != nil {
			return err
		}
		flags := sourceFlags{env: env, secretFile: secretFile, newSecret: newSecret}
		if err := flags.readSecrets(before.Auth); err != nil {
			return err
		}
		if len(flags.in.Secrets) != 1 {
			return usagef("%s holds %d secrets: give one", secretFile, len(flags.in.Secrets))
		}
		var after client.Source
		if overlap == "" {
			after, err = api.AddSecret(cmd.Context(), ids[0], flags.in.Secrets[0])
		} else {
			span, bad := parseSpan(overlap)
			if bad != nil {
				return bad
			}
			after, err = api.AddSecretWithin(cmd.Context(), ids[0], flags.in.Secrets[0], span)
		}
		if err != nil {
			return err
		}
		return printSource(env, conn, after)
	}
	return cmd
}

func newSourcesRemoveSecret(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "remove-secret ID SECRET",
		Short: "Remove one of a source's secrets; it stops working at once",
		Args:  args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			if err := api.RemoveSecret(cmd.Context(), ids[0], ids[1]); err != nil {
				return err
			}
			if !conn.json {
				fmt.Fprintf(cmd.ErrOrStderr(), "removed %s\n", ids[1])
			}
			return nil
		},
	}
}

// printSource shows the settings of a source that are set.
func printSource(env *Environment, conn *connection, s client.Source) error {
	if conn.json {
		return printJSON(env.Stdout, s)
	}
	t := newTable(env.Stdout, "SOURCE", s.ID)
	row := func(name string, values ...string) {
		if text := strings.Join(values, ", "); text != "" {
			t.row(name, text)
		}
	}
	row("name", s.Name)
	if s.Disabled {
		row("disabled", "yes, everything sent to it is refused")
	}
	row("provider", s.Provider)
	row("auth", s.Auth)
	for _, secret := range s.Secrets {
		text := secret.ID
		if !secret.SetAt.IsZero() {
			text += ", set " + when(secret.SetAt)
		}
		if !secret.Until.IsZero() {
			text += ", good until " + when(secret.Until)
		}
		row("secret", text)
	}
	row("secret header", s.SecretHeader)
	row("signature header", s.SignatureHeader)
	row("signature algorithm", s.SignatureAlgorithm)
	if s.OIDC != nil {
		row("issuer", s.OIDC.Issuer)
		row("audience", s.OIDC.Audience)
		row("emails", s.OIDC.Emails...)
	}
	row("topics", s.Topics...)
	row("networks", s.Networks...)
	row("environment", s.DefaultEnvironment)
	row("service", s.DefaultServiceID)
	for _, m := range s.Services {
		row("map", m.Match+" = "+m.ServiceID)
	}
	row("ignores events", s.IgnoreEvents...)
	row("ignores branches", s.IgnoreBranches...)
	if s.AWS != nil {
		row("aws", s.AWS.AccessKeyID, s.AWS.Region)
		row("aws endpoint", s.AWS.Endpoint)
	}
	if g := s.GitHub; g != nil {
		if g.AppID != 0 {
			row("github", "App "+strconv.FormatInt(g.AppID, 10))
		} else {
			row("github", g.Repository+g.Organization, "hook "+strconv.FormatInt(g.HookID, 10))
		}
		row("github url", g.BaseURL)
	}
	row("created", when(s.CreatedAt))
	if !s.RotatedAt.IsZero() {
		row("new URL since", when(s.RotatedAt))
	}
	if !s.OldTokenUntil.IsZero() {
		row("old URL until", when(s.OldTokenUntil))
	}
	return t.flush()
}
