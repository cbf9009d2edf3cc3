package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/client"
)

func newWhatChanged(env *Environment) *cobra.Command {
	var ask client.WhatChangedQuery
	var at, window string
	cmd := &cobra.Command{
		Use:   "what-changed",
		Short: "Rank what may have led to trouble",
		Long: "Ranks the changes before a moment by how likely they are to have led to what is wrong then,\n" +
			"with the reasons, and says where the record may not be complete.",
		Example: `  whatchanged what-changed --service svc_shop --env production
  whatchanged what-changed --at 2026-03-30T03:00:00Z --window 6h --service svc_shop`,
		Args: args(cobra.NoArgs),
	}
	conn := connect(cmd, env)
	flags := cmd.Flags()
	flags.StringVar(&ask.ServiceID, "service", "", "what is in trouble (svc_...): its changes come first, and those of what it depends on")
	flags.StringVar(&ask.Environment, "env", "", "where: changes there come first")
	flags.StringVar(&at, "at", "", "when it went wrong: 30m, 2h, 3d (ago), a date or a time (default now)")
	flags.StringVar(&window, "window", "1h", "how far back from then: 30m, 6h, up to 7d")
	flags.IntVarP(&ask.Limit, "limit", "n", 10, "how many at most, up to 100")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		if ask.At, err = parseWhen(at, time.Now()); err != nil {
			return err
		}
		if ask.Window, err = parseSpan(window); err != nil {
			return err
		}
		found, err := api.WhatChanged(cmd.Context(), ask)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, found)
		}
		return showSuspects(env, found)
	}
	return cmd
}

// showSuspects prints suspects for people; what limits the answer goes to the
// standard error, so that it is seen whatever is done with the table.
func showSuspects(env *Environment, found client.WhatChanged) error {
	if len(found.Suspects) == 0 {
		fmt.Fprintf(env.Stderr, "nothing changed from %s to %s; a longer --window may find more\n", when(found.Start), when(found.At))
	} else {
		t := newTable(env.Stdout, "#", "SCORE", "WHEN", "WHO", "SERVICE", "WHAT", "WHY")
		for i, s := range found.Suspects {
			c := s.Change
			t.row(strconv.Itoa(i+1), strconv.Itoa(s.Score), when(c.OccurredAt), shorten(c.ChangedBy, 20), shorten(service(c), 24), shorten(c.Summary, 60), reasons(s))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if found.Considered > len(found.Suspects) {
		fmt.Fprintf(env.Stderr, "%d of %d shown; -n shows more\n", len(found.Suspects), found.Considered)
	}
	if found.Truncated {
		fmt.Fprintln(env.Stderr, "there are more changes than are ranked: take a shorter --window, or name a --service")
	}
	for _, s := range found.Completeness.Sources {
		if s.Silent || s.Dead > 0 {
			fmt.Fprintf(env.Stderr, "not complete: source %s (%s): %s\n", printable(s.Name), s.SourceID, s.Note)
		}
	}
	if note := found.Completeness.Note; note != "" {
		fmt.Fprintf(env.Stderr, "not complete: %s\n", note)
	}
	if since := found.Completeness.InFlightSince; !since.IsZero() && !found.Completeness.Complete {
		fmt.Fprintf(env.Stderr, "not complete: what was taken in since %s may not be recorded yet\n", when(since))
	}
	return nil
}

// reasons lists the reasons with their points, the largest first.
func reasons(s client.Suspect) string {
	var parts []string
	for _, p := range s.Parts {
		parts = append(parts, fmt.Sprintf("%s (%d)", p.Reason, p.Points))
	}
	return strings.Join(parts, ", ")
}
