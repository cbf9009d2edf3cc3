package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

func newDeliveries(env *Environment) *cobra.Command {
	var filter client.DeliveryFilter
	var since string
	cmd := &cobra.Command{
		Use:   "deliveries [ID]",
		Short: "Show what arrived, and what became of it",
		Long:  "Lists deliveries, newest first; with an id, one of them; see also `deliveries payload` and `dead list`.",
		Example: `  whatchanged deliveries --since 1h
  whatchanged deliveries --outcome ignored
  whatchanged deliveries payload dlv_01hq3v8k2m4n6p8r0s2t4v6x8z > body.json`,
		Args: args(cobra.MaximumNArgs(1)),
	}
	conn := connect(cmd, env)
	flags := cmd.Flags()
	flags.StringVar(&since, "since", "", "received from then on: 30m, 2h, 3d (ago), a date or a time")
	flags.StringVar(&filter.Outcome, "outcome", "", "stored, duplicate, ignored or dead")
	flags.StringVar(&filter.Provider, "provider", "", "from this provider, such as github")
	flags.StringVar(&filter.SourceID, "source", "", "through this source (src_...)")
	flags.IntVarP(&filter.Limit, "limit", "n", 25, "how many at most, up to 100")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		if len(ids) == 1 {
			id, err := parseDeliveryID(ids[0])
			if err != nil {
				return err
			}
			d, err := api.Delivery(cmd.Context(), id)
			if err != nil {
				return err
			}
			return printJSON(env.Stdout, d)
		}
		if filter.Start, err = parseWhen(since, time.Now()); err != nil {
			return err
		}
		page, err := api.Deliveries(cmd.Context(), filter)
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, page)
		}
		t := newTable(env.Stdout, "RECEIVED", "ID", "PROVIDER", "OUTCOME", "CHANGES", "SIZE", "WHY")
		for _, d := range page.Data {
			t.row(when(d.ReceivedAt), d.ID.String(), d.Provider, string(d.Outcome), strconv.Itoa(d.Changes),
				strconv.Itoa(d.Size), shorten(why(d), 70))
		}
		return t.flush()
	}
	cmd.AddCommand(newPayload(env, conn))
	return cmd
}

func newPayload(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "payload ID",
		Short: "Print a delivery's body, byte for byte",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			id, err := parseDeliveryID(ids[0])
			if err != nil {
				return err
			}
			api, err := conn.client()
			if err != nil {
				return err
			}
			payload, err := api.Payload(cmd.Context(), id)
			if err != nil {
				return err
			}
			_, err = env.Stdout.Write(payload.Body)
			return err
		},
	}
}

func parseDeliveryID(text string) (change.DeliveryID, error) {
	id, err := change.ParseDeliveryID(text)
	if err != nil {
		return id, usagef("%q is not a delivery's id: %w", text, err)
	}
	return id, nil
}

func why(d client.Delivery) string {
	if d.Reason != "" {
		return d.Reason
	}
	return "by " + d.DetectedBy
}
