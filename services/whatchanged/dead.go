package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/cobra"

	"whatchanged/pkg/change"
	"whatchanged/pkg/client"
)

// checkDead says what waits for somebody, of all orgs: the server counts it
// every minute.
func (d *doctor) checkDead(families map[string]*dto.MetricFamily) {
	depth, oldest := map[string]float64{}, 0.0
	total := 0.0
	for _, m := range families["whatchanged_bus_dead_depth"].GetMetric() {
		depth[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		total += m.GetGauge().GetValue()
	}
	for _, m := range families["whatchanged_bus_dead_oldest_seconds"].GetMetric() {
		oldest = max(oldest, m.GetGauge().GetValue())
	}
	if total == 0 {
		return
	}
	detail := fmt.Sprintf("%.0f dead letters, the oldest %s old", total, (time.Duration(oldest) * time.Second).Round(time.Minute))
	advice := "`whatchanged dead list` says why; re-drive or discard them"
	if depth["frame"] > 0 {
		advice = "damage to frames is among them: `whatchanged dead list --installation` on the server's machine, and look at its disk"
	}
	d.say("dead", warns, detail, advice)
	for _, m := range families["whatchanged_bus_dead_used_ratio"].GetMetric() {
		if used := m.GetGauge().GetValue(); used > 0.8 {
			d.say("dead", warns, fmt.Sprintf("their room is %.0f %% full", 100*used), "those whose bytes are in payloads are removed, the oldest first")
		}
	}
}

func newDeadCommand(env *Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Look at what could not be processed, re-drive it, or give it up",
		Long: `What cannot be processed becomes a dead letter: it is kept for 30 days with its reason, and nothing else waits for it.
Once the cause is mended, re-drive it: it goes through the pipeline again and is recorded once, however often that is
done. What will never work is discarded, with a reason.`,
		Example: `  whatchanged dead list --since 1d
  whatchanged dead show ded_0f4ad3ff7c1b2e9d8a6c5b4e3f
  whatchanged dead redrive ded_0f4ad3ff7c1b2e9d8a6c5b4e3f
  whatchanged dead redrive --all --provider github
  whatchanged dead discard --all --source src_abc123 --reason "test traffic"`,
		Args: args(cobra.NoArgs),
	}
	conn := connect(cmd, env)
	cmd.AddCommand(newDeadList(env, conn), newDeadShow(env, conn), newDeadPayload(env, conn), newDeadRedrive(env, conn), newDeadDiscard(env, conn))
	return cmd
}

// deadFlags select dead letters.
type deadFlags struct {
	filter       client.DeadFilter
	since, until string
}

func (f *deadFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Stage, "stage", "", "where it failed: frame, normalize, insert, fetch, alert or forward")
	flags.StringVar(&f.filter.SourceID, "source", "", "through this source (src_...)")
	flags.StringVar(&f.filter.Provider, "provider", "", "from this provider, such as github")
	flags.StringVar(&f.filter.DeliveryID, "delivery", "", "of this delivery (dlv_...)")
	flags.StringVar(&f.since, "since", "", "last failed from then on: 30m, 2h, 3d (ago), a date or a time")
	flags.StringVar(&f.until, "until", "", "last failed before then")
	addInstallation(cmd, &f.filter.Installation, "those that concern")
}

func addInstallation(cmd *cobra.Command, to *bool, which string) {
	cmd.Flags().BoolVar(to, "installation", false, which+" no org, such as damage to frames; on the server's own machine only")
}

// read completes the filter.
func (f *deadFlags) read(now time.Time) error {
	start, err := parseWhen(f.since, now)
	if err != nil {
		return err
	}
	end, err := parseWhen(f.until, now)
	if err != nil {
		return err
	}
	if !start.IsZero() {
		f.filter.Start = change.At(start)
	}
	if !end.IsZero() {
		f.filter.End = change.At(end)
	}
	if f.filter.DeliveryID != "" {
		_, err = parseDeliveryID(f.filter.DeliveryID)
	}
	return err
}

func newDeadList(env *Environment, conn *connection) *cobra.Command {
	var flags deadFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what could not be processed, and why",
		Long:  "Lists dead letters, the latest to fail for the first time on top.",
		Example: `  whatchanged dead list
  whatchanged dead list --stage normalize --provider gitlab --since 1d
  whatchanged dead list --all --json
  whatchanged dead list --discarded`,
		Args: args(cobra.NoArgs),
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&flags.filter.Discarded, "discarded", false, "those that were given up")
	cmd.Flags().IntVarP(&flags.filter.Limit, "limit", "n", 25, "how many at most, up to 100")
	cmd.Flags().BoolVar(&all, "all", false, "all of them, however many")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := flags.read(time.Now()); err != nil {
			return err
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		if all {
			flags.filter.Limit = 100
		}
		page, err := api.Dead(cmd.Context(), flags.filter)
		for err == nil && all && page.Meta.HasMore {
			var more client.Page[client.DeadLetter]
			flags.filter.Cursor = page.Meta.NextCursor
			if more, err = api.Dead(cmd.Context(), flags.filter); err == nil {
				page.Data = append(page.Data, more.Data...)
				page.Meta.HasMore, page.Meta.NextCursor = more.Meta.HasMore, more.Meta.NextCursor
			}
		}
		if err != nil {
			return err
		}
		if conn.json {
			return printJSON(env.Stdout, page)
		}
		return printDead(env, page, flags.filter.Discarded)
	}
	return cmd
}

func printDead(env *Environment, page client.Page[client.DeadLetter], discarded bool) error {
	if len(page.Data) == 0 {
		fmt.Fprintln(env.Stderr, "nothing: everything could be processed")
		return nil
	}
	last := "REASON"
	if discarded {
		last = "DISCARDED"
	}
	t := newTable(env.Stdout, "LAST FAILED", "ID", "STAGE", "PROVIDER", "DELIVERY", "RECORD", "TRIES", last)
	for _, d := range page.Data {
		why := d.Reason
		if d.Discarded != nil {
			why = "by " + d.Discarded.By + ": " + d.Discarded.Reason
		}
		delivery := ""
		if !d.DeliveryID.IsZero() {
			delivery = d.DeliveryID.String()
		}
		t.row(when(d.At), d.ID, d.Stage, d.Provider, delivery, recordOf(d), strconv.Itoa(d.Attempts), shorten(why, 70))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if page.Meta.HasMore {
		fmt.Fprintf(env.Stderr, "%d of %d; --all shows all\n", len(page.Data), page.Meta.Total)
	}
	return nil
}

// recordOf says which part of a delivery a letter is about.
func recordOf(d client.DeadLetter) string {
	if d.Whole || d.DeliveryID.IsZero() {
		return "all"
	}
	return strconv.Itoa(d.Index)
}

func newDeadShow(env *Environment, conn *connection) *cobra.Command {
	var installation bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one dead letter: reason, tries, first and last error, and what to do about it",
		Example: `  whatchanged dead show ded_0f4ad3ff7c1b2e9d8a6c5b4e3f
  whatchanged dead show ded_0f4ad3ff7c1b2e9d8a6c5b4e3f --json`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			get := api.DeadLetter
			if installation {
				get = api.InstallationDeadLetter
			}
			d, err := get(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if conn.json {
				return printJSON(env.Stdout, d)
			}
			return printDeadLetter(env.Stdout, d, installation)
		},
	}
	addInstallation(cmd, &installation, "one that concerns")
	return cmd
}

func printDeadLetter(w io.Writer, d client.DeadLetter, installation bool) error {
	t := &table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	line := func(name, value string) {
		if value != "" {
			t.row(name, value)
		}
	}
	line("id", d.ID)
	line("stage", d.Stage)
	line("reason", d.Reason)
	line("tries", strconv.Itoa(d.Attempts))
	line("first failed", when(d.FirstAt))
	line("last failed", when(d.At))
	line("first error", d.FirstError)
	if d.LastError != d.FirstError {
		line("last error", d.LastError)
	}
	line("provider", d.Provider)
	line("source", d.SourceID)
	if !d.DeliveryID.IsZero() {
		line("delivery", d.DeliveryID.String())
		line("record", recordOf(d))
	}
	if d.Chain != "" {
		line("on the bus", fmt.Sprintf("%s/%d/%d", d.Chain, d.Frame, d.Place))
	}
	if d.Bytes > 0 {
		line("bytes kept", strconv.Itoa(d.Bytes))
	}
	if d.Discarded != nil {
		line("discarded", fmt.Sprintf("%s by %s: %s", when(d.Discarded.At), d.Discarded.By, d.Discarded.Reason))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if d.Discarded == nil {
		which := printable(d.ID)
		if installation {
			which += " --installation"
		}
		fmt.Fprintf(w, "\nits bytes:   whatchanged dead payload %[1]s\nagain:       whatchanged dead redrive %[1]s\ngive it up:  whatchanged dead discard %[1]s --reason '...'\n",
			which)
	}
	return nil
}

func newDeadPayload(env *Environment, conn *connection) *cobra.Command {
	var installation bool
	cmd := &cobra.Command{
		Use:     "payload ID",
		Short:   "Print the bytes that could not be processed",
		Example: `  whatchanged dead payload ded_0f4ad3ff7c1b2e9d8a6c5b4e3f > body.json`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			api, err := conn.client()
			if err != nil {
				return err
			}
			get := api.DeadPayload
			if installation {
				get = api.InstallationDeadPayload
			}
			payload, err := get(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			_, err = env.Stdout.Write(payload.Body)
			return err
		},
	}
	addInstallation(cmd, &installation, "of one that concerns")
	return cmd
}

// deadWork is what is done to dead letters, one or many.
type deadWork struct {
	env       *Environment
	conn      *connection
	flags     deadFlags
	all, yes  bool
	reason    string
	verb      string // "re-drive", "discard"
	past      string
	many      func(*client.Client, context.Context, client.DeadBatch) (client.DeadResults, error)
	totals    client.DeadCounts
	results   []client.DeadResult
	total     int
	lastShown time.Time
}

func (w *deadWork) add(cmd *cobra.Command) {
	w.flags.add(cmd)
	cmd.Flags().BoolVar(&w.all, "all", false, "all that the filters select, instead of ids")
	cmd.Flags().BoolVar(&w.yes, "yes", false, "do not ask")
}

func newDeadRedrive(env *Environment, conn *connection) *cobra.Command {
	w := &deadWork{env: env, conn: conn, verb: "re-drive", past: "re-driven", many: (*client.Client).RedriveMany}
	cmd := &cobra.Command{
		Use:   "redrive [ID...]",
		Short: "Take dead letters through the pipeline again",
		Long: `Takes dead letters through the pipeline again, with the normalizers and settings of today. What fails again stays in
the list, with one try more. Doing it twice records nothing twice. Exits with 1 when something is still dead, or not there.`,
		Example: `  whatchanged dead redrive ded_0f4ad3ff7c1b2e9d8a6c5b4e3f
  whatchanged dead redrive --all                              # everything; asks first
  whatchanged dead redrive --all --provider github --since 2d --yes
  whatchanged dead redrive --all --stage insert --json --yes`,
	}
	w.add(cmd)
	cmd.RunE = w.run
	return cmd
}

func newDeadDiscard(env *Environment, conn *connection) *cobra.Command {
	w := &deadWork{env: env, conn: conn, verb: "discard", past: "discarded", many: (*client.Client).DiscardMany}
	cmd := &cobra.Command{
		Use:   "discard [ID...] --reason WHY",
		Short: "Give dead letters up, and say why",
		Long: `Takes dead letters off the list. Their deliveries stay dead and kept, and say by whom, when and why they were given up;
so does the audit trail.`,
		Example: `  whatchanged dead discard ded_0f4ad3ff7c1b2e9d8a6c5b4e3f --reason "sent by mistake"
  whatchanged dead discard --all --source src_abc123 --reason "test traffic of the old exporter"
  whatchanged dead list --discarded`,
	}
	w.add(cmd)
	cmd.Flags().StringVar(&w.reason, "reason", "", "why; it is kept with the deliveries and in the audit trail")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		if strings.TrimSpace(w.reason) == "" {
			return usagef("--reason is required: say why, for those who look for it later")
		}
		return w.run(cmd, ids)
	}
	return cmd
}

// atOnce is how many letters one call deals with.
const atOnce = 100

func (w *deadWork) run(cmd *cobra.Command, ids []string) error {
	now := time.Now()
	if err := w.flags.read(now); err != nil {
		return err
	}
	if w.all == (len(ids) > 0) {
		return usagef("give ids, or --all; see %s --help", cmd.CommandPath())
	}
	api, err := w.conn.client()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	w.total = len(ids)
	if w.all {
		err = w.runAll(ctx, api, now)
	} else {
		for from := 0; from < len(ids) && err == nil; from += atOnce {
			err = w.batch(ctx, api, ids[from:min(from+atOnce, len(ids))])
		}
	}
	if w.results != nil {
		err = errors.Join(err, w.print())
	}
	if err != nil {
		return err
	}
	bad := w.totals.Dead + w.totals.Refused
	if !w.all {
		bad += w.totals.Gone // whoever names one expects it to be there
	}
	if bad > 0 {
		return fmt.Errorf("%d could not be %s", bad, w.past)
	}
	return nil
}

// runAll goes through all that was dead when it began: what fails again
// meanwhile is not tried twice.
func (w *deadWork) runAll(ctx context.Context, api *client.Client, now time.Time) error {
	selection := w.flags.filter
	if selection.End.IsZero() {
		selection.End = change.At(now)
	}
	selection.Limit = atOnce
	for first := true; ; first = false {
		page, err := api.Dead(ctx, selection)
		if err != nil {
			return err
		}
		if first && len(page.Data) == 0 {
			fmt.Fprintln(w.env.Stderr, "nothing: no dead letter matches")
			return nil
		}
		if first && !w.yes && !w.confirm(int(page.Meta.Total)) {
			return errors.New("nothing was done")
		}
		if first {
			w.total = int(page.Meta.Total)
		}
		ids := make([]string, len(page.Data))
		for i, d := range page.Data {
			ids[i] = d.ID
		}
		if len(ids) > 0 {
			if err := w.batch(ctx, api, ids); err != nil {
				return err
			}
		}
		if !page.Meta.HasMore {
			return nil
		}
		selection.Cursor = page.Meta.NextCursor
	}
}

// confirm asks before much is done at once.
func (w *deadWork) confirm(n int) bool {
	fmt.Fprintf(w.env.Stderr, "%s %d dead letters? [y/N] ", w.verb, n)
	answer, _ := bufio.NewReader(w.env.Stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

func (w *deadWork) batch(ctx context.Context, api *client.Client, ids []string) error {
	done, err := w.many(api, ctx, client.DeadBatch{IDs: ids, Reason: w.reason, Installation: w.flags.filter.Installation})
	if err != nil {
		return err
	}
	w.results = append(w.results, done.Data...)
	c := &w.totals
	c.Redriven += done.Meta.Redriven
	c.Dead += done.Meta.Dead
	c.Discarded += done.Meta.Discarded
	c.Gone += done.Meta.Gone
	c.Refused += done.Meta.Refused
	if w.total > atOnce && time.Since(w.lastShown) >= time.Second {
		w.lastShown = time.Now()
		fmt.Fprintf(w.env.Stderr, "%d of %d\n", len(w.results), w.total)
	}
	return nil
}

func (w *deadWork) print() error {
	if w.conn.json {
		return printJSON(w.env.Stdout, client.DeadResults{Data: w.results, Meta: w.totals})
	}
	t := newTable(w.env.Stdout, "ID", "STATUS", "OUTCOME", "WHY")
	for _, r := range w.results {
		why := r.Detail
		if why == "" {
			why = r.Reason
		}
		t.row(r.ID, r.Status, r.Outcome, shorten(why, 80))
	}
	if err := t.flush(); err != nil {
		return err
	}
	c := w.totals
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{c.Redriven, "re-driven"}, {c.Discarded, "discarded"}, {c.Dead, "dead again"}, {c.Gone, "gone already"}, {c.Refused, "refused"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	fmt.Fprintln(w.env.Stderr, strings.Join(parts, ", "))
	return nil
}
