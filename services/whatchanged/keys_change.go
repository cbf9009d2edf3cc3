package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

func newKeysShow(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show an API key, without the key itself",
		Example: `  whatchanged keys show key_abc123`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			k, err := api.Key(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			return printKey(env, conn, k)
		},
	}
}

func newKeysUpdate(env *Environment, conn *connection) *cobra.Command {
	var name, role, user, email, expires string
	var scopes []string
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change what an API key may do, whose it is or when it ends",
		Long: `Changes what is named, from the next request on; scopes are replaced as a whole. To
give a key a new form, see keys rotate.`,
		Example: `  whatchanged keys update key_abc123 --scope changes:read --scope changes:write
  whatchanged keys update key_abc123 --role power_user --user Jane --email jane@acme.example
  whatchanged keys update key_abc123 --expires 90d
  whatchanged keys update key_abc123 --expires never`,
		Args: args(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "another name")
	flags.StringSliceVar(&scopes, "scope", nil, "what it may do; may be repeated: "+strings.Join(auth.Scopes(), ", "))
	flags.StringVar(&role, "role", "", "site_admin, power_user or member")
	flags.StringVar(&user, "user", "", "whose key it is")
	flags.StringVar(&email, "email", "", "their mail address")
	flags.StringVar(&expires, "expires", "", "when it stops: in 24h, in 90d, on 2027-01-31, or never")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		var patch client.KeyPatch
		for flag, to := range map[string]func(){
			"name":  func() { patch.Name = &name },
			"scope": func() { patch.Scopes = &scopes },
			"role":  func() { patch.Role = &role },
			"user":  func() { patch.UserName = &user },
			"email": func() { patch.UserEmail = &email },
		} {
			if flags.Changed(flag) {
				to()
			}
		}
		switch expires {
		case "":
		case "never":
			patch.NeverExpires = true
		default:
			at, err := parseEnd(expires)
			if err != nil {
				return err
			}
			patch.ExpiresAt = &at
		}
		if patch == (client.KeyPatch{}) {
			return usagef("nothing to change: say what, as --scope changes:read; see %s --help", cmd.CommandPath())
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		k, err := api.UpdateKey(cmd.Context(), ids[0], patch)
		if err != nil {
			return err
		}
		return printKey(env, conn, k)
	}
	return cmd
}

func newKeysRotate(env *Environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Give an API key a new form and print it, once; the old one works for a while",
		Example: `  whatchanged keys rotate key_abc123
  whatchanged keys rotate key_abc123 --overlap 0s   # the old key has leaked`,
	}
	return rotate(cmd, env, conn, "key", (*client.Client).RotateKey, func(made client.KeySecret) (id, secret string, until change.Time) {
		return made.ID, made.Secret, made.OldKeyUntil
	})
}

// rotate makes cmd give a thing a new secret: by does it, and told says what is
// made and until when the old one works.
func rotate[T any](cmd *cobra.Command, env *Environment, conn *connection, word string,
	by func(*client.Client, context.Context, string, time.Duration) (T, error), told func(T) (id, secret string, until change.Time),
) *cobra.Command {
	var overlap string
	cmd.Args = args(cobra.ExactArgs(1))
	cmd.Flags().StringVar(&overlap, "overlap", "24h", "how long the old "+word+" still works: 1h, 7d; 0s ends it at once")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		span, err := parseSpan(overlap)
		if err != nil {
			return err
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		made, err := by(api, cmd.Context(), ids[0], span)
		if err != nil {
			return err
		}
		id, secret, until := told(made)
		if err := printSecret(env, conn, made, id, secret); err != nil {
			return err
		}
		if !conn.json && span > 0 {
			fmt.Fprintf(env.Stderr, "the old %s works until %s\n", word, when(until))
		}
		return nil
	}
	return cmd
}

// printKey shows what can be known of a key.
func printKey(env *Environment, conn *connection, k client.Key) error {
	if conn.json {
		return printJSON(env.Stdout, k)
	}
	t := newTable(env.Stdout, "KEY", k.ID)
	row := func(name, value string) {
		if value != "" {
			t.row(name, value)
		}
	}
	row("name", k.Name)
	row("scopes", strings.Join(k.Scopes, ", "))
	row("role", k.Role)
	row("user", k.UserName)
	row("email", k.UserEmail)
	row("created", when(k.CreatedAt))
	row("last used", orNever(k.LastUsed))
	row("expires", orNever(k.ExpiresAt))
	if !k.RotatedAt.IsZero() {
		row("rotated", when(k.RotatedAt))
	}
	if time.Now().Before(k.OldKeyUntil.Time) {
		row("old key until", when(k.OldKeyUntil))
	}
	return t.flush()
}

func orNever(t change.Time) string {
	if t.IsZero() {
		return "never"
	}
	return when(t)
}

// parseEnd reads when something ends: in 24h or 90d, or at a time.
func parseEnd(text string) (change.Time, error) {
	now := time.Now()
	at, err := parseWhen(text, now)
	if err == nil && !strings.Contains(text, "-") {
		at = now.Add(now.Sub(at)) // a length of time, which parseWhen takes for one that has passed
	}
	return change.At(at), err
}
