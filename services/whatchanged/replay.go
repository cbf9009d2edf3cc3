package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

func newReplay(env *Environment) *cobra.Command {
	var ask client.NewReplay
	var from, to string
	var resume bool
	var shown int
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Normalize stored deliveries again",
		Long: `Runs the normalizers of today over deliveries that are stored, with the settings
that their sources have now. With --dry-run it only shows what would change. Ids
stay; what changes is replaced, what is not made any more is removed, and both
can still be seen (as_of). The server does the work: when this command is
interrupted, the replay goes on, and --resume shows how far it is. One that was
cancelled or has failed goes on with --resume, too.`,
		Example: `  whatchanged replay --from 7d --dry-run
  whatchanged replay --from 2026-03-01 --to 2026-04-01 --provider github
  whatchanged replay --delivery dlv_01hq3v8k2m4n6p8r0s2t4v6x8z
  whatchanged replay --resume`,
		Args: args(cobra.NoArgs),
	}
	conn := connect(cmd, env)
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "received from then on: 30m, 2h, 3d (ago), a date or a time")
	flags.StringVar(&to, "to", "", "received before then (default now)")
	flags.StringVar(&ask.SourceID, "source", "", "only through this source (src_...) or key")
	flags.StringVar(&ask.Provider, "provider", "", "only from this provider, such as github")
	flags.StringSliceVar(&ask.Deliveries, "delivery", nil, "only this delivery (dlv_...); may be repeated")
	flags.BoolVar(&ask.DryRun, "dry-run", false, "show what would change, and change nothing")
	flags.BoolVar(&resume, "resume", false, "go on with the last one that is not done, and show it")
	flags.IntVarP(&shown, "limit", "n", 25, "how many differences to show at most, up to 1000")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range []string{"from", "to", "source", "provider", "delivery", "dry-run"} {
			if resume && flags.Changed(name) {
				return usagef("--resume goes on with the last replay as it was asked for: leave --%s out", name)
			}
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		var job client.Replay
		if resume {
			job, err = resumeLast(cmd.Context(), api)
		} else {
			if ask.Start, err = moment(from); err != nil {
				return err
			}
			if ask.End, err = moment(to); err != nil {
				return err
			}
			if ask.Start == nil && len(ask.Deliveries) == 0 {
				return usagef("say --from when, or --delivery which; see %s --help", cmd.CommandPath())
			}
			job, err = api.StartReplay(cmd.Context(), ask)
		}
		if err != nil {
			return err
		}
		if job, err = follow(cmd.Context(), env, api, job); err != nil {
			return err
		}
		return showReplay(cmd.Context(), env, conn, api, job, shown)
	}
	cmd.AddCommand(newReplayList(env, conn), newReplayShow(env, conn), newReplayCancel(env, conn))
	return cmd
}

func moment(text string) (*change.Time, error) {
	at, err := parseWhen(text, time.Now())
	if err != nil || at.IsZero() {
		return nil, err
	}
	return new(change.At(at)), nil
}

// resumeLast returns the newest replay that is not done, after telling it to go on.
func resumeLast(ctx context.Context, api *client.Client) (client.Replay, error) {
	all, err := api.Replays(ctx)
	if err != nil {
		return client.Replay{}, err
	}
	for _, job := range all {
		if job.State != "done" {
			return api.ResumeReplay(ctx, job.ID)
		}
	}
	if len(all) > 0 {
		return all[0], nil // it ended while nobody looked
	}
	return client.Replay{}, fmt.Errorf("there is no replay to go on with")
}

// follow shows how far a replay is until it is over.
func follow(ctx context.Context, env *Environment, api *client.Client, job client.Replay) (client.Replay, error) {
	bar := progressBar{w: env.Stderr, live: terminal(env.Stderr)}
	defer bar.end()
	for wait := 50 * time.Millisecond; !job.Over(); wait = min(2*wait, time.Second) {
		bar.show(job)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			bar.end()
			fmt.Fprintf(env.Stderr, "replay %s goes on in the server; `whatchanged replay --resume` shows it, `whatchanged replay cancel %s` ends it\n", job.ID, job.ID)
			return job, ctx.Err()
		}
		next, err := api.Replay(ctx, job.ID)
		if err != nil && ctx.Err() == nil {
			return job, err
		}
		if err == nil {
			job = next
		}
	}
	bar.show(job)
	return job, nil
}

// progressBar is a line that is written again and again, on a terminal only.
type progressBar struct {
	w    io.Writer
	live bool
	drew bool
}

const barWidth = 30

func (b *progressBar) show(job client.Replay) {
	if !b.live {
		return
	}
	part := 0.0
	if job.Total > 0 {
		part = min(1, float64(job.Counts.Deliveries)/float64(job.Total))
	}
	full := int(part * barWidth)
	fmt.Fprintf(b.w, "\r[%s%s] %3.0f%%  %d of %d deliveries, %d differences ", strings.Repeat("#", full), strings.Repeat(".", barWidth-full),
		100*part, job.Counts.Deliveries, job.Total, job.Counts.Added+job.Counts.Removed+job.Counts.Changed)
	b.drew = true
}

func (b *progressBar) end() {
	if b.drew {
		fmt.Fprintln(b.w)
		b.drew = false
	}
}

// terminal reports whether what is written to w is seen by a person at once.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// showReplay prints what a replay has found, the differences themselves too.
func showReplay(ctx context.Context, env *Environment, conn *connection, api *client.Client, job client.Replay, limit int) error {
	page := client.Page[client.ReplayDifference]{Data: []client.ReplayDifference{}}
	if limit > 0 && job.Counts.Differences > 0 {
		var err error
		if page, err = api.ReplayDifferences(ctx, job.ID, "", limit, ""); err != nil {
			return err
		}
	}
	if conn.json {
		if err := printJSON(env.Stdout, map[string]any{"replay": job, "differences": page.Data}); err != nil {
			return err
		}
	} else if err := showDifferences(env, job, page); err != nil {
		return err
	}
	if job.State == "failed" {
		return fmt.Errorf("replay %s failed: %s", job.ID, job.Error)
	}
	return nil
}

func showDifferences(env *Environment, job client.Replay, page client.Page[client.ReplayDifference]) error {
	c := job.Counts
	if len(page.Data) > 0 {
		t := newTable(env.Stdout, "WHAT", "CHANGE OR DELIVERY", "SUMMARY", "FIELDS")
		for _, d := range page.Data {
			id := d.ChangeID
			if id == "" {
				id = d.DeliveryID.String()
			}
			t.row(d.Kind, id, shorten(d.Summary, 50), fieldsText(d.Fields))
		}
		if err := t.flush(); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout)
	}
	if len(c.Kinds) > 0 {
		t := newTable(env.Stdout, "NORMALIZER", "ACTION", "ADDED", "REMOVED", "CHANGED")
		for _, k := range c.Kinds {
			t.row(k.Normalizer, k.Action, strconv.FormatInt(k.Added, 10), strconv.FormatInt(k.Removed, 10), strconv.FormatInt(k.Changed, 10))
		}
		if err := t.flush(); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout)
	}
	what := "replay"
	if job.DryRun {
		what = "dry run"
	}
	fmt.Fprintf(env.Stdout, "%s %s is %s: %d of %d deliveries; changes: %d added, %d removed, %d changed, %d as they were\n",
		what, job.ID, job.State, c.Deliveries, job.Total, c.Added, c.Removed, c.Changed, c.Same)
	for _, note := range []struct {
		n    int64
		text string
	}{
		{c.Outcomes, "deliveries end in another way"},
		{c.Failed, "deliveries cannot be processed now; what was made of them stays"},
		{c.Missing, "deliveries are not kept any more; what was made of them stays"},
	} {
		if note.n > 0 {
			fmt.Fprintf(env.Stdout, "%d %s\n", note.n, note.text)
		}
	}
	if page.Meta.HasMore {
		fmt.Fprintf(env.Stderr, "there are more differences; -n shows more, --json all of their fields\n")
	}
	return nil
}

// fieldsText lists fields with their old and new values, cut for a column.
func fieldsText(fields []client.FieldChange) string {
	texts := make([]string, len(fields))
	for i, f := range fields {
		texts[i] = f.Name + ": " + valueText(f.Old) + " → " + valueText(f.New)
	}
	return shorten(strings.Join(texts, "; "), 120)
}

func valueText(v any) string {
	if v == nil {
		return "-"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return shorten(string(text), 40)
}

func newReplayList(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List replays, the latest first", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			all, err := api.Replays(cmd.Context())
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(env.Stdout, all)
			}
			t := newTable(env.Stdout, "ASKED", "ID", "STATE", "DRY RUN", "DELIVERIES", "ADDED", "REMOVED", "CHANGED")
			for _, j := range all {
				t.row(when(j.CreatedAt), j.ID, j.State, strconv.FormatBool(j.DryRun), fmt.Sprintf("%d/%d", j.Counts.Deliveries, j.Total),
					strconv.FormatInt(j.Counts.Added, 10), strconv.FormatInt(j.Counts.Removed, 10), strconv.FormatInt(j.Counts.Changed, 10))
			}
			return t.flush()
		},
	}
}

func newReplayShow(env *Environment, conn *connection) *cobra.Command {
	var shown int
	cmd := &cobra.Command{Use: "show ID", Short: "Show what a replay has found", Args: args(cobra.ExactArgs(1))}
	cmd.Flags().IntVarP(&shown, "limit", "n", 25, "how many differences to show at most, up to 1000")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		job, err := api.Replay(cmd.Context(), ids[0])
		if err != nil {
			return err
		}
		return showReplay(cmd.Context(), env, conn, api, job, shown)
	}
	return cmd
}

func newReplayCancel(env *Environment, conn *connection) *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID", Short: "End a replay; what it has changed stays so", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			job, err := api.CancelReplay(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(env.Stdout, job)
			}
			fmt.Fprintf(env.Stdout, "replay %s is %s after %d of %d deliveries\n", job.ID, job.State, job.Counts.Deliveries, job.Total)
			return nil
		},
	}
}
