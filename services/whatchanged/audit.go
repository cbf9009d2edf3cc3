package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newAudit(env *Environment) *cobra.Command {
	var filter client.AuditFilter
	var since string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what to whatchanged itself",
		Long:  "Lists audit events, newest first; see also `audit actions` and `audit tokens`.",
		Example: `  whatchanged audit --since 1d
  whatchanged audit --type source --action delete
  whatchanged audit --user jane@example.com
  whatchanged audit tokens --date 2026-03-30`,
		Args: args(cobra.NoArgs),
	}
	conn := connect(cmd, env)
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "from then on: 30m, 2h, 3d (ago), a date or a time")
	flags.StringVar(&filter.ObjectType, "type", "", "only objects of this type, such as service, source or key")
	flags.StringVar(&filter.ObjectID, "object", "", "only this object")
	flags.StringVar(&filter.Action, "action", "", "create, update, delete or info")
	flags.StringVar(&filter.User, "user", "", "who did it: an id, a name or an email address")
	flags.StringVar(&filter.ServiceID, "service", "", "only this service, its versions and their variables")
	flags.StringVar(&filter.PipelineID, "pipeline", "", "only this pipeline, its objects and attachments")
	flags.IntVarP(&filter.Limit, "limit", "n", 25, "how many at most, up to 100")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if filter.Start, err = parseWhen(since, time.Now()); err != nil {
			return err
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		page, err := api.AuditEvents(cmd.Context(), filter)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, page)
		}
		t := newTable(env.Stdout, "DATE", "USER", "ACTION", "OBJECT", "DESCRIPTION")
		for _, e := range page.Data {
			t.row(when(e.Date), userName(e.User), e.Action, e.Object.ID, e.Description)
		}
		return t.flush()
	}
	cmd.AddCommand(newAuditActions(env, conn), newAuditTokens(env, conn))
	return cmd
}

func userName(u client.AuditUser) string {
	for _, name := range []string{u.Email, u.Name} {
		if name != "" {
			return name
		}
	}
	return u.ID
}

func newAuditActions(env *Environment, conn *connection) *cobra.Command {
	var day, area string
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "Show the log of user actions: sign-ins, and what users did",
		Args:  args(cobra.NoArgs),
	}
	dayFlag(cmd, &day)
	cmd.Flags().StringVar(&area, "type", "", "only this area, such as authentication or pipeline")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		at, err := parseDay(day)
		if err != nil {
			return err
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		log, err := api.UserActions(cmd.Context(), at, area)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, log)
		}
		t := newTable(env.Stdout, "DATE", "USER", "EMAIL", "TYPE", "ACTION", "TARGET")
		for _, a := range log.Data {
			t.row(when(a.CreatedAt), a.UserID, a.UserEmail, a.Type, a.Action, a.TargetID)
		}
		return t.flush()
	}
	return cmd
}

func newAuditTokens(env *Environment, conn *connection) *cobra.Command {
	var day, scope string
	cmd := &cobra.Command{
		Use:   "tokens",
		Short: "Show the log of key uses: every call that carried a key",
		Args:  args(cobra.NoArgs),
	}
	dayFlag(cmd, &day)
	cmd.Flags().StringVar(&scope, "scope", "", "only keys that have this scope")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		at, err := parseDay(day)
		if err != nil {
			return err
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		log, err := api.TokenUses(cmd.Context(), at, scope)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, log)
		}
		t := newTable(env.Stdout, "DATE", "KEY", "USER", "SCOPES", "TARGET")
		for _, u := range log.Data {
			t.row(when(u.CreatedAt), u.TokenID, u.UserID, u.Scope, u.Target)
		}
		return t.flush()
	}
	return cmd
}

func dayFlag(cmd *cobra.Command, day *string) {
	cmd.Flags().StringVar(day, "date", "", "only this day in UTC, YYYY-MM-DD (default the last 7 days)")
}

func parseDay(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, usagef("--date: %w", fmt.Errorf("%q is not a day: write it as 2026-03-30", text))
	}
	return day, nil
}
