package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newSourcesRepair(env *Environment, conn *connection) *cobra.Command {
	var since string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "repair NAME",
		Short: "Ask GitHub to send again what was never received",
		Long: `Lists what GitHub's hook has sent, compares it with what was received, and asks GitHub
to send the rest again. The source needs a token or an App: see sources update
--github-repo, --github-org and --github-app. With one, the server does this by
itself every 15 minutes. github.com keeps what it has sent for three days.`,
		Example: `  whatchanged sources update src_abc123 --github-repo acme/shop --github-hook 109948940 --github-secret-file token
  whatchanged sources repair github --since 24h --dry-run
  whatchanged sources repair src_abc123 --since 3d`,
		Args: args(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&since, "since", "24h", "how far back to look: 30m, 24h, 3d, up to 7d")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what is missing")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		span, err := parseSpan(since)
		if err != nil {
			return err
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		id, err := sourceNamed(cmd.Context(), api, names[0])
		if err != nil {
			return err
		}
		report, err := repairAll(cmd.Context(), api, id, span, dryRun)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, report)
		}
		return showRepair(env, report)
	}
	return cmd
}

// repairAll repairs until there is nothing more to ask for, or GitHub has had
// enough: the server does some of it at a time.
func repairAll(ctx context.Context, api *client.Client, id string, span time.Duration, dryRun bool) (client.RepairReport, error) {
	all, err := api.RepairSource(ctx, id, span, dryRun)
	last := all
	for err == nil && !dryRun && last.Truncated && last.Asked > 0 && last.RetryAt.IsZero() {
		all.Missing = slices.DeleteFunc(all.Missing, func(m client.MissingDelivery) bool { return !m.Asked })
		if last, err = api.RepairSource(ctx, id, span, false); err == nil {
			all.Missing = append(all.Missing, last.Missing...)
			all.Asked += last.Asked
			all.Pending, all.GivenUp, all.Truncated, all.RetryAt = last.Pending, last.GivenUp, last.Truncated, last.RetryAt
		}
	}
	return all, err
}

// sourceNamed returns the id of a source that is given by its id or its name.
func sourceNamed(ctx context.Context, api *client.Client, name string) (string, error) {
	all, err := api.Sources(ctx)
	if err != nil {
		return "", err
	}
	found := ""
	for _, s := range all {
		switch {
		case s.ID == name:
			return s.ID, nil
		case s.Name == name && found != "":
			return "", usagef("there are several sources named %q: say which by its id (src_...)", name)
		case s.Name == name:
			found = s.ID
		}
	}
	if found == "" {
		return "", fmt.Errorf("there is no source %q; see `whatchanged sources list`", name)
	}
	return found, nil
}

func showRepair(env *Environment, r client.RepairReport) error {
	if len(r.Missing) > 0 {
		t := newTable(env.Stdout, "SENT", "GUID", "EVENT", "ANSWER", "TRIES", "ASKED FOR")
		for _, m := range r.Missing {
			answer := "none"
			if m.Status != 0 {
				answer = strconv.Itoa(m.Status)
			}
			t.row(when(m.SentAt), m.GUID, m.Event, answer, strconv.Itoa(m.Tries), strconv.FormatBool(m.Asked))
		}
		if err := t.flush(); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout)
	}
	fmt.Fprintf(env.Stdout, "GitHub has sent %d deliveries since %s: %d missing, %d asked for again, %d given up, %d may be on their way\n",
		r.Sent, when(r.Since), len(r.Missing), r.Asked, r.GivenUp, r.Pending)
	if !r.RetryAt.IsZero() {
		fmt.Fprintf(env.Stderr, "GitHub wants fewer calls: go on after %s\n", when(r.RetryAt))
	} else if r.Truncated {
		fmt.Fprintln(env.Stderr, "there is more to do: say it again")
	}
	return nil
}
