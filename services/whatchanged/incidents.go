package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

func newIncidents(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "See what went wrong, and what changed before",
		Example: `  whatchanged incidents list --status open
  whatchanged incidents changes inc_5q8n2v7k4m1p9r3s6t0w8x2y4z
  whatchanged incidents create "Checkout is down" --severity high --service svc_abc123
  whatchanged incidents resolve inc_5q8n2v7k4m1p9r3s6t0w8x2y4z --by mona`,
	}
	conn := connect(cmd, env)
	cmd.AddCommand(
		newIncidentsList(env, conn), newIncidentsShow(env, conn), newIncidentsChanges(env, conn),
		newIncidentsCreate(env, conn), newIncidentsResolve(env, conn),
	)
	return cmd
}

func newIncidentsList(env *Environment, conn *connection) *cobra.Command {
	var filter client.IncidentFilter
	var since, until string
	cmd := &cobra.Command{Use: "list", Short: "List incidents, the latest first", Args: args(cobra.NoArgs)}
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "started from then on: 30m, 2h, 3d (ago), a date or a time")
	flags.StringVar(&until, "until", "", "started before then")
	flags.StringVar(&filter.Status, "status", "", "open, acknowledged or resolved")
	flags.StringVar(&filter.Severity, "severity", "", "low, medium, high or critical")
	flags.StringVar(&filter.ServiceID, "service", "", "of this service (svc_...)")
	flags.StringVar(&filter.Environment, "env", "", "in this environment")
	flags.IntVarP(&filter.Limit, "limit", "n", 25, "how many at most, up to 100")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
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
		page, err := api.Incidents(cmd.Context(), filter)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, page)
		}
		t := newTable(env.Stdout, "STARTED", "ID", "STATUS", "SEVERITY", "SERVICE", "TITLE")
		for _, i := range page.Data {
			name := i.ServiceName
			if name == "" {
				name = i.ServiceID
			}
			t.row(when(i.StartedAt), i.ID.String(), i.Status, string(i.Severity), name, shorten(i.Title, 70))
		}
		return t.flush()
	}
	return cmd
}

func newIncidentsShow(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one incident whole", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return withIncident(conn, ids[0], func(api *client.Client, id change.IncidentID) error {
				i, err := api.Incident(cmd.Context(), id)
				if err != nil {
					return err
				}
				return printJSON(env.Stdout, i)
			})
		},
	}
}

func newIncidentsChanges(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "changes ID", Short: "Show what changed before an incident, the most suspicious first", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return withIncident(conn, ids[0], func(api *client.Client, id change.IncidentID) error {
				found, err := api.IncidentChanges(cmd.Context(), id)
				if err != nil {
					return err
				}
				if conn.json {
					return printJSON(env.Stdout, found)
				}
				return printSuspects(env.Stdout, found.Suspects)
			})
		},
	}
}

func printSuspects(w io.Writer, suspects []client.Suspect) error {
	if len(suspects) == 0 {
		_, err := fmt.Fprintln(w, "nothing is known to have changed")
		return err
	}
	t := newTable(w, "SCORE", "AT", "SERVICE", "BY", "WHAT", "ID")
	for _, s := range suspects {
		t.row(strconv.Itoa(s.Score), when(s.Change.OccurredAt), service(s.Change), s.Change.ChangedBy, shorten(s.Change.Summary, 70), s.Change.ID.String())
	}
	return t.flush()
}

func newIncidentsCreate(env *Environment, conn *connection) *cobra.Command {
	var in client.NewIncident
	var opt client.WriteOptions
	var started string
	cmd := &cobra.Command{Use: "create TITLE", Short: "Record an incident", Args: args(cobra.ExactArgs(1))}
	flags := cmd.Flags()
	flags.StringVar(&in.Description, "description", "", "what is known of it")
	flags.StringVar(&in.Severity, "severity", "", "low, medium (the default), high or critical")
	flags.StringVar(&in.ServiceID, "service", "", "the service in trouble (svc_...)")
	flags.StringVar(&in.Environment, "env", "", "where, such as production")
	flags.StringVar(&in.ExternalID, "external-id", "", "its id in another system")
	flags.StringVar(&in.URL, "link", "", "where it is shown")
	flags.StringVar(&in.ChangedBy, "by", "", "who reports it")
	flags.StringVar(&started, "started", "", "when it began: 30m, 2h (ago) or a time (default now)")
	flags.StringVar(&opt.IdempotencyKey, "idempotency-key", "", "names this incident, so that a repeat records it once")
	flags.DurationVar(&opt.Wait, "wait", 0, "answer when it can be read, or after this time, at most 10s")
	cmd.RunE = func(cmd *cobra.Command, titles []string) error {
		in.Title = titles[0]
		at, err := parseWhen(started, time.Now())
		if err != nil {
			return err
		}
		if !at.IsZero() {
			began := change.At(at)
			in.StartedAt = &began
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		made, err := api.CreateIncident(cmd.Context(), in, opt)
		if err != nil {
			return err
		}
		return printIncident(env, conn, made)
	}
	return cmd
}

func newIncidentsResolve(env *Environment, conn *connection) *cobra.Command {
	var in client.Resolution
	var opt client.WriteOptions
	cmd := &cobra.Command{Use: "resolve ID", Short: "Say that an incident is over", Args: args(cobra.ExactArgs(1))}
	flags := cmd.Flags()
	flags.StringVar(&in.ChangedBy, "by", "", "who resolved it")
	flags.StringVar(&in.Description, "description", "", "what it was")
	flags.DurationVar(&opt.Wait, "wait", 0, "answer when it can be read, or after this time, at most 10s")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		return withIncident(conn, ids[0], func(api *client.Client, id change.IncidentID) error {
			i, err := api.ResolveIncident(cmd.Context(), id, in, opt)
			if err != nil {
				return err
			}
			return printIncident(env, conn, i)
		})
	}
	return cmd
}

// printIncident prints the id, for scripts, or all of it as JSON.
func printIncident(env *Environment, conn *connection, i client.Incident) error {
	if conn.json {
		return printJSON(env.Stdout, i)
	}
	_, err := fmt.Fprintln(env.Stdout, i.ID)
	return err
}

func withIncident(conn *connection, text string, do func(*client.Client, change.IncidentID) error) error {
	id, err := change.ParseIncidentID(text)
	if err != nil {
		return usagef("%q is not an incident's id: %w", text, err)
	}
	api, err := conn.client()
	if err != nil {
		return err
	}
	return do(api, id)
}
