package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newOrg(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "org",
		Short: "Show and set what an organisation may send and store, and for how long that stays",
		Long: "Shows and sets what the key's organisation may send and store, and for how long that stays. With the\n" +
			"key of an administrator of the organisation default, which runs the installation, --org names any other.",
		Example: `  whatchanged org show
  whatchanged org usage
  whatchanged org set --change-days 400 --payload-days 30
  whatchanged org create acme --name "Acme"
  whatchanged org set --org acme --requests-per-second 200 --quota-bytes 107374182400`,
	}
	conn := connect(cmd, env)
	cmd.AddCommand(newOrgShow(env, conn), newOrgSet(env, conn), newOrgUsage(env, conn), newOrgCreate(env, conn), newOrgList(env, conn))
	return cmd
}

func newOrgShow(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show what the organisation may send and store, and for how long that stays",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			o, err := api.Org(cmd.Context())
			if err != nil {
				return err
			}
			return printOrg(env, conn, o)
		},
	}
}

// printOrg shows an organisation with what its numbers mean.
func printOrg(env *Environment, conn *connection, o client.Org) error {
	if conn.json {
		return printJSON(env.Stdout, o)
	}
	t := newTable(env.Stdout, "ORGANISATION", o.ID)
	t.row("name", o.Name)
	for _, l := range []struct {
		name  string
		value int64
		zero  string
	}{
		{"requests a second", o.RequestsPerSecond, "as the installation says"},
		{"requests at once", o.RequestBurst, "twice the rate"},
		{"bytes a second", o.BytesPerSecond, "as the installation says"},
		{"bytes at once", o.ByteBurst, "twice the rate"},
		{"bytes stored", o.QuotaBytes, "as the installation says"},
		{"days of changes", int64(o.ChangeDays), "for ever"},
		{"days of deliveries", int64(o.DeliveryDays), "for ever"},
		{"days of payloads", int64(o.PayloadDays), "as the installation says"},
	} {
		text := strconv.FormatInt(l.value, 10)
		switch {
		case l.value == 0:
			text = l.zero
		case l.value < 0:
			text = "no limit"
		}
		t.row(l.name, text)
	}
	return t.flush()
}

func newOrgSet(env *Environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Set what the organisation may send and store, and for how long that stays",
		Long: "Sets what is given and leaves the rest. Of rates and the quota 0 is what the installation's settings say,\n" +
			"and -1 no limit; of days 0 is for ever. What is older than that goes within the month after.",
		Example: `  whatchanged org set --change-days 400 --delivery-days 400 --payload-days 30
  whatchanged org set --org acme --requests-per-second 200 --request-burst 1000`,
		Args: args(cobra.NoArgs),
	}
	flags := cmd.Flags()
	var patch client.OrgPatch
	org := flags.String("org", "", "another organisation than the key's; for administrators of the organisation default")
	name := flags.String("name", "", "what people call it")
	large := map[string]**int64{
		"requests-per-second": &patch.RequestsPerSecond, "request-burst": &patch.RequestBurst,
		"bytes-per-second": &patch.BytesPerSecond, "byte-burst": &patch.ByteBurst, "quota-bytes": &patch.QuotaBytes,
	}
	days := map[string]**int{"change-days": &patch.ChangeDays, "delivery-days": &patch.DeliveryDays, "payload-days": &patch.PayloadDays}
	flags.Int64("requests-per-second", 0, "requests it may send to one process")
	flags.Int64("request-burst", 0, "of them at once; 0 is twice the rate")
	flags.Int64("bytes-per-second", 0, "bytes of bodies it may send to one process")
	flags.Int64("byte-burst", 0, "of them at once; 0 is twice the rate")
	flags.Int64("quota-bytes", 0, "bytes it may have stored, before compression")
	flags.Int("change-days", 0, "days for which changes stay, at least 14")
	flags.Int("delivery-days", 0, "days for which it stays known what arrived, at least 14")
	flags.Int("payload-days", 0, "days for which payloads stay, at least 14")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Changed("name") {
			patch.Name = name
		}
		for flag, field := range large {
			if flags.Changed(flag) {
				value, _ := flags.GetInt64(flag)
				*field = &value
			}
		}
		for flag, field := range days {
			if flags.Changed(flag) {
				value, _ := flags.GetInt(flag)
				*field = &value
			}
		}
		if patch == (client.OrgPatch{}) {
			return usagef("nothing to set: give at least one flag, such as --change-days")
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		update := api.UpdateOrg
		if *org != "" {
			update = func(ctx context.Context, in client.OrgPatch) (client.Org, error) {
				return api.UpdateAnyOrg(ctx, *org, in)
			}
		}
		o, err := update(cmd.Context(), patch)
		if err != nil {
			return err
		}
		return printOrg(env, conn, o)
	}
	return cmd
}

func newOrgUsage(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "usage",
		Short: "Show how much is stored of the organisation",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			u, err := api.OrgUsage(cmd.Context())
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(env.Stdout, u)
			}
			t := newTable(env.Stdout, "TABLE", "ROWS", "BYTES")
			for _, row := range u.Tables {
				t.row(row.Table, strconv.FormatInt(row.Rows, 10), strconv.FormatInt(row.Bytes, 10))
			}
			total := strconv.FormatInt(u.Bytes, 10)
			if u.QuotaBytes > 0 {
				total += fmt.Sprintf(" (%.0f %% of %d)", 100*float64(u.Bytes)/float64(u.QuotaBytes), u.QuotaBytes)
			}
			t.row("all", "", total)
			return t.flush()
		},
	}
}

func newOrgCreate(env *Environment, conn *connection) *cobra.Command {
	var in client.NewOrg
	cmd := &cobra.Command{
		Use:     "create ID",
		Short:   "Create an organisation, and print its first key; for administrators of the organisation default",
		Example: `  whatchanged org create acme --name "Acme"`,
		Args:    args(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "what people call it (default: its id)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if in.ID = args[0]; in.Name == "" {
			in.Name = in.ID
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		made, err := api.CreateOrg(cmd.Context(), in)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, made)
		}
		_, err = fmt.Fprintf(env.Stdout, "%s\n", made.APIKey)
		return err
	}
	return cmd
}

func newOrgList(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all organisations; for administrators of the organisation default",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			all, err := api.Orgs(cmd.Context())
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(env.Stdout, all)
			}
			t := newTable(env.Stdout, "ID", "NAME", "CREATED")
			for _, o := range all {
				t.row(o.ID, o.Name, o.CreatedAt.String())
			}
			return t.flush()
		},
	}
}
