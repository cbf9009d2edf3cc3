package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

func newChanges(env *Environment) *cobra.Command {
	var filter client.ChangeFilter
	var since, until, asOf string
	var follow, lines, table bool
	cmd := &cobra.Command{
		Use:   "changes [ID]",
		Short: "Show what changed",
		Long: "Shows changes, newest first; with an id, one change whole; with --follow, each as it arrives;\n" +
			"with --csv or --ndjson, all that match, oldest first, as a file of any size.",
		Example: `  whatchanged changes --since 2h
  whatchanged changes --since 1d --service svc_abc123 --type deployment --env production
  whatchanged changes -q 'pool size' --json
  whatchanged changes --action 'deployment.*' --status failed,cancelled
  whatchanged changes --follow --env production
  whatchanged changes --since 2026-01-01 --csv > changes.csv
  whatchanged changes chg_01hq3v8k2m4n6p8r0s2t4v6x8z`,
		Args: args(cobra.MaximumNArgs(1)),
	}
	conn := connect(cmd, env)
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "from then on: 30m, 2h, 3d (ago), a date or a time")
	flags.StringVar(&until, "until", "", "before then")
	flags.StringVar(&filter.ServiceID, "service", "", "of this service (svc_...)")
	flags.StringVar(&asOf, "as-of", "", "as it was known then")
	flags.StringVar(&filter.Type, "type", "", "of this type, such as deployment; several with commas between")
	flags.StringVar(&filter.Environment, "env", "", "in this environment")
	flags.StringVar(&filter.Source, "source", "", "from this source, such as github")
	flags.StringVar(&filter.Actor, "actor", "", "by this person or robot")
	flags.StringVar(&filter.ActorID, "actor-id", "", "by whoever has this id")
	flags.StringVar(&filter.Action, "action", "", "with this action; * stands for any characters")
	flags.StringVar(&filter.ResourceID, "resource", "", "of this resource, by id or name")
	flags.StringVar(&filter.Repository, "repository", "", "of this repository")
	flags.StringVar(&filter.Branch, "branch", "", "of this branch")
	flags.StringVar(&filter.Version, "version", "", "of this version")
	flags.StringVar(&filter.CommitSHA, "commit", "", "of this commit, or one that begins so")
	flags.StringVar(&filter.Risk, "risk", "", "of this risk level: low, medium, high, critical; several with commas between")
	flags.StringVar(&filter.Status, "status", "", "started, succeeded, failed or cancelled; several with commas between")
	flags.StringVar(&filter.Account, "account", "", "in this cloud account, project or subscription")
	flags.StringVar(&filter.Region, "region", "", "in this region")
	flags.StringVar(&filter.Provider, "provider", "", "delivered by this provider, such as github or aws")
	flags.StringVar(&filter.SessionID, "session", "", "made in this session")
	flags.StringVar(&filter.CorrelationID, "correlation", "", "tied together by this id")
	flags.StringVar(&filter.ExternalID, "external", "", "that the provider calls by this id")
	flags.StringVar(&filter.Tag, "tag", "", "with this tag")
	flags.StringVar(&filter.DeliveryID, "delivery", "", "made from this delivery (dlv_...)")
	flags.StringVarP(&filter.Query, "query", "q", "", "with these words in the summary")
	flags.IntVarP(&filter.Limit, "limit", "n", 25, "how many at most, up to 100")
	flags.BoolVarP(&follow, "follow", "f", false, "show each change as it arrives, until Ctrl-C")
	flags.StringSliceVar(&filter.Fields, "fields", nil, "which fields to print, with --csv or --ndjson")
	flags.BoolVar(&lines, "ndjson", false, "print all that match, one JSON object a line")
	flags.BoolVar(&table, "csv", false, "print all that match, as a table")
	cmd.MarkFlagsMutuallyExclusive("follow", "ndjson", "csv")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		if filter.Start, err = parseWhen(since, time.Now()); err != nil {
			return err
		}
		if filter.End, err = parseWhen(until, time.Now()); err != nil {
			return err
		}
		if filter.AsOf, err = parseWhen(asOf, time.Now()); err != nil {
			return err
		}
		if len(filter.Fields) > 0 && !lines && !table {
			return usagef("--fields goes with --csv or --ndjson")
		}
		out := &changeWriter{env: env, json: conn.json}
		switch {
		case len(ids) == 1:
			return showChange(cmd.Context(), env, api, ids[0])
		case follow:
			return out.follow(cmd.Context(), api, filter)
		case lines:
			return api.Export(cmd.Context(), filter, client.NDJSON, env.Stdout)
		case table:
			return api.Export(cmd.Context(), filter, client.CSV, env.Stdout)
		default:
			return out.list(cmd.Context(), api, filter)
		}
	}
	return cmd
}

// changeWriter prints changes for people or programs.
type changeWriter struct {
	env  *Environment
	json bool
}

func (w *changeWriter) list(ctx context.Context, api *client.Client, filter client.ChangeFilter) error {
	page, err := api.Changes(ctx, filter)
	if err != nil {
		return err
	}
	if w.json {
		return printJSON(w.env.Stdout, page)
	}
	if len(page.Data) == 0 {
		fmt.Fprintln(w.env.Stderr, "no changes match; widen --since, or see what arrived with `whatchanged deliveries`")
		return nil
	}
	t := newTable(w.env.Stdout, "WHEN", "TYPE", "ENVIRONMENT", "SERVICE", "BY", "SUMMARY")
	for _, c := range page.Data {
		t.row(when(c.OccurredAt), kind(c), c.Environment, shorten(service(c), 24), shorten(c.ChangedBy, 20), c.Summary)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if page.Meta.HasMore {
		fmt.Fprintf(w.env.Stderr, "%d of %d shown; -n shows more\n", len(page.Data), page.Meta.Total)
	}
	return nil
}

func (w *changeWriter) follow(ctx context.Context, api *client.Client, filter client.ChangeFilter) error {
	if !w.json {
		fmt.Fprintln(w.env.Stderr, "waiting for changes; Ctrl-C ends")
	}
	for c, err := range api.Tail(ctx, filter) {
		if err != nil {
			return err
		}
		if w.json {
			line, err := json.Marshal(c)
			if err != nil {
				return err
			}
			fmt.Fprintf(w.env.Stdout, "%s\n", line)
			continue
		}
		fmt.Fprintf(w.env.Stdout, "%s  %-16s %-12s %-16s %s\n", when(c.OccurredAt), printable(kind(c)),
			printable(shorten(c.Environment, 12)), printable(shorten(c.ChangedBy, 16)), printable(c.Summary))
	}
	return nil
}

func showChange(ctx context.Context, env *Environment, api *client.Client, text string) error {
	id, err := change.ParseID(text)
	if err != nil {
		return usagef("%q is not a change's id: %w", text, err)
	}
	c, err := api.Change(ctx, id)
	if err != nil {
		return err
	}
	return printJSON(env.Stdout, c)
}

func when(t change.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func kind(c change.Change) string {
	if c.Status == "" || c.Status == change.Succeeded {
		return string(c.Type)
	}
	return string(c.Type) + " " + string(c.Status)
}

func service(c change.Change) string {
	for _, name := range []string{c.ServiceName, c.ServiceID, c.Repository, c.Resource.Name, c.Resource.ID} {
		if name != "" {
			return name
		}
	}
	return ""
}
