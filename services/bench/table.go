package bench

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// write prints the report for a person.
func (r *Report) write(out io.Writer) error {
	t := &table{w: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	m := r.Machine
	t.line("whatchanged %s, %s, %s/%s", m.Version, m.Go, m.OS, m.Arch)
	t.line("%d cores %s, %.1f GiB memory, fsync %.2f ms", m.CPUs, m.CPU, gib(m.Memory), m.Fsync)
	if r.Payload.Kinds > 0 {
		t.line("%d connections, %d kinds of payload of %d bytes, %d bytes of new text in each; took %.0f s",
			r.Options.Connections, r.Payload.Kinds, r.Payload.Bytes, r.Payload.Fresh, r.Seconds)
	}
	if r.Payload.Skipped > 0 {
		t.line("%d payloads left out: not JSON with an object, or too large", r.Payload.Skipped)
	}
	r.writeRates(t)
	r.writeTimes(t)
	r.writePipeline(t)
	r.writeFairness(t)
	r.writeLists(t)
	r.writeNormalizers(t)
	r.writeTargets(t)
	if err := t.flush(); err != nil {
		return err
	}
	if model, err := NewModel(r); err == nil { // else parts of it did not run
		fmt.Fprint(out, "\nWhat that makes necessary (docs/capacity.md)\n\n")
		return model.write(out)
	}
	return nil
}

func (r *Report) writeRates(t *table) {
	if r.Noop == nil && r.Publish == nil && r.Receiver == nil && r.Maximum == nil && r.Overload == nil && r.API == nil {
		return
	}
	t.title("At full load", "per s", "to no-op", "to publish", "p50 ms", "p99 ms", "server µs", "to no-op")
	row := func(name string, rate float64, l Latency, cpu float64, x *Ratios) {
		if x == nil {
			x = &Ratios{}
		}
		t.row(name, number(rate), times(x.RateToNoop), times(x.RateToPublish), fmt.Sprintf("%.2f", l.P50), fmt.Sprintf("%.2f", l.P99), number(cpu), times(x.CPUToNoop))
	}
	if d := r.Noop; d != nil {
		row("no-op handler (limit)", d.Rate, d.Latency, d.ServerCPU, nil)
	}
	if p := r.Publish; p != nil {
		row(fmt.Sprintf("JetStream publish, %d publishers (limit)", p.Single.Publishers), p.Single.Rate, p.Single.Latency, p.Single.CPU, nil)
		row(fmt.Sprintf("JetStream publish, frames of %d (limit)", p.Frames.Payloads), p.Frames.Rate, p.Frames.Latency, p.Frames.CPU, nil)
	}
	if d := r.Receiver; d != nil {
		row("receiver", d.Rate, d.Latency, d.ServerCPU, d.Ratios)
	}
	if m := r.Maximum; m != nil {
		d := m.FullLoad
		row("receiver, the rest running", d.Rate, d.Latency, d.ServerCPU, d.Ratios)
		t.row("pipeline, storing a backlog", number(m.DrainRate), "-", "-", "-", "-", "-", "-")
		t.row("pipeline, sustained", number(m.Rate), times(m.Ratios.RateToNoop), times(m.Ratios.RateToPublish), "-", "-", "-", "-")
	}
	if o := r.Overload; o != nil {
		row("everything running, at its peak", o.Peak.Rate, o.Peak.Latency, o.Peak.ServerCPU, nil)
		row(fmt.Sprintf("at %.0f times that", o.Times), o.Goodput.Rate, o.Goodput.Latency, o.Goodput.ServerCPU, nil)
		t.line("overload: %.0f %% of the peak, %s/s sent on %d connections, at most %.2f GiB; refused: %s",
			100*o.Ratio, number(o.Sent), o.Connections, gib(o.Memory.Peak), cmp.Or(joined(o.Goodput.Refused), "none"))
	}
	if a := r.API; a != nil {
		row("webhooks, the API beside", a.Webhooks.Rate, a.Webhooks.Latency, a.Webhooks.ServerCPU, nil)
		row("changes logged one by one", a.Single.Rate, a.Single.Latency, a.Single.ServerCPU, nil)
		row(fmt.Sprintf("requests of %d changes (%s changes/s)", a.BulkSize, number(a.BulkChanges)), a.Bulk.Rate, a.Bulk.Latency, a.Bulk.ServerCPU, nil)
	}
	for _, d := range []*Door{r.Noop, r.Receiver} {
		if d != nil && len(d.Refused) > 0 {
			t.line("refused: %s", joined(d.Refused))
		}
	}
}

func (r *Report) writeTimes(t *table) {
	if r.Acknowledged == nil && r.Queryable == nil && r.Pipeline == nil && r.Restart == nil {
		return
	}
	t.title("At a fixed rate", "per s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms")
	row := func(name string, rate float64, l Latency) {
		t.row(name, number(rate), fmt.Sprintf("%.2f", l.P50), fmt.Sprintf("%.2f", l.P90), fmt.Sprintf("%.2f", l.P99),
			fmt.Sprintf("%.2f", l.P999), fmt.Sprintf("%.2f", l.Max))
	}
	if a := r.Acknowledged; a != nil {
		row("sent to answered", a.Rate, a.Latency)
	}
	if p := r.Pipeline; p != nil {
		row("sent to answered", p.Rate, p.Latency)
	}
	if q := r.Queryable; q != nil {
		row(fmt.Sprintf("answered to queryable (%d samples, %d never)", q.Latency.Count, q.Unseen), q.Rate, q.Latency)
	}
	if s := r.Restart; s != nil {
		t.line("start to first accepted webhook: %.2f s, with %.2f GiB of data", s.Seconds, gib(s.DataBytes))
	}
}

func (r *Report) writePipeline(t *table) {
	p := r.Pipeline
	if p == nil {
		return
	}
	t.title(fmt.Sprintf("Pipeline at %.0f/s for %.0f s", p.Target, p.Seconds))
	growing := "steady"
	if p.Backlog.Growing {
		growing = "GROWING"
	}
	t.row("accepted, stored", fmt.Sprintf("%s/s, %s/s (%s rows/s into ClickHouse)", number(p.Rate), number(p.StoredRate), number(p.RowsRate)))
	t.row("backlog", fmt.Sprintf("%s: %d to %d, at most %d, %+.0f/s; empty after %.1f s", growing, p.Backlog.Start, p.Backlog.End, p.Backlog.Max, p.Backlog.Growth, p.Backlog.Drain))
	t.row("server CPU", fmt.Sprintf("%.0f µs a delivery (%s); generator %.0f µs", p.ServerCPU, parts(p.Threads), p.GeneratorCPU))
	t.row("memory", fmt.Sprintf("%.2f GiB, at most %.2f GiB", gib(p.Memory.Resident), gib(p.Memory.Peak)))
	t.row("disk", fmt.Sprintf("%.0f bytes a delivery: bus %.0f, ClickHouse %.0f; %.2f of the payload (and for some minutes %.0f of merged parts)",
		p.Disk.Total, p.Disk.Bus, p.Disk.ClickHouse, p.Disk.ToPayload, p.Disk.Merged))
	if len(p.Refused) > 0 {
		t.row("refused", joined(p.Refused))
	}
	t.shares("CPU by stage", p.Stages)
	t.shares("CPU by package", p.Packages)
}

func (r *Report) writeFairness(t *table) {
	f := r.Fairness
	if f == nil {
		return
	}
	t.title(fmt.Sprintf("Beside an organisation that sends %.0f times as much", f.Times), "per s", "answered p50 ms", "p99 ms", "queryable p50 ms", "p99 ms", "samples")
	row := func(name string, p Pace) {
		t.row(name, number(p.Rate), fmt.Sprintf("%.2f", p.Acknowledged.P50), fmt.Sprintf("%.2f", p.Acknowledged.P99),
			fmt.Sprintf("%.0f", p.Queryable.P50), fmt.Sprintf("%.0f", p.Queryable.P99), fmt.Sprint(p.Queryable.Count))
		if len(p.Refused) > 0 || p.Unseen > 0 {
			t.line("%s: %d never seen; refused: %s", name, p.Unseen, cmp.Or(joined(p.Refused), "none"))
		}
	}
	row("the quiet one, alone", f.Alone)
	row("the quiet one, beside the flood", f.Beside)
	row("the flood", f.Flood)
	t.line("p99 beside the flood, to alone: answered %s, queryable %s", times(f.Acknowledged), times(f.Queryable))
}

func (r *Report) writeLists(t *table) {
	l := r.Lists
	if l == nil {
		return
	}
	t.title(fmt.Sprintf("Lists over %d changes of %d orgs", l.Changes, l.Orgs), "range", "p50 ms", "p99 ms")
	for _, q := range l.Queries {
		t.row(q.Filter, q.Range, fmt.Sprintf("%.1f", q.Latency.P50), fmt.Sprintf("%.1f", q.Latency.P99))
	}
}

func (r *Report) writeTargets(t *table) {
	if len(r.Targets) == 0 {
		return
	}
	t.title("Must reach", "want", "got", "")
	for _, g := range r.Targets {
		sign, met := "≥", "met"
		if g.Most {
			sign = "≤"
		}
		if !g.Met {
			met = "MISSED"
		}
		t.row(g.Name, sign+" "+number(g.Want), number(g.Got), met)
	}
}

// table lines up what is written row by row. The first error is kept.
type table struct {
	w   *tabwriter.Writer
	err error
}

func (t *table) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(t.w, format, args...); t.err == nil {
		t.err = err
	}
}

// line is a line of its own: it ends the columns above.
func (t *table) line(format string, args ...any) { t.printf(format+"\n", args...) }

func (t *table) title(cells ...string) { t.printf("\n%s\n", strings.Join(cells, "\t")) }

func (t *table) row(cells ...string) { t.printf("  %s\n", strings.Join(cells, "\t")) }

func (t *table) shares(title string, list []Share) {
	t.title(title, "µs a delivery", "share")
	for _, s := range list {
		t.row(s.Name, fmt.Sprintf("%.1f", s.CPU), fmt.Sprintf("%.1f %%", 100*s.Share))
	}
}

func (t *table) flush() error {
	if err := t.w.Flush(); t.err == nil {
		t.err = err
	}
	return t.err
}

func gib(n int64) float64 { return float64(n) / (1 << 30) }

// number shows three figures or the whole number, whichever is more.
func number(f float64) string {
	if f >= 100 || f <= -100 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.3g", f)
}

func times(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

func parts(m map[string]float64) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %.0f", name, m[name]))
	}
	return strings.Join(out, ", ")
}
