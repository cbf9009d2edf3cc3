package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newReport() *cobra.Command {
	return &cobra.Command{
		Use: "report DIR", Short: "Make report.md and plot.svg of the rounds in DIR/rounds.jsonl", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return writeReport(args[0]) },
	}
}

// writeReport makes one page of all rounds that a directory's journal has.
func writeReport(dir string) error {
	results, err := readResults(filepath.Join(dir, "rounds.jsonl"))
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return errors.New("there are no rounds to report")
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "report.md"), []byte(report(results)), 0o644),
		os.WriteFile(filepath.Join(dir, "plot.svg"), []byte(plot(results)), 0o644),
	)
}

// readResults reads a journal of rounds; one that does not exist is empty.
func readResults(path string) ([]result, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []result
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read %s, round %d: %w", path, len(all)+1, err)
		}
		all = append(all, r)
	}
	return all, lines.Err()
}

// sum is all rounds of one fault.
type sum struct {
	fault           string
	rounds, strikes int
	failed          int
	verdict
	recoveries []int64 // medians of rounds
	slowest    int64
	processor  int64
	bus        uint64
}

func (s *sum) add(r *result) {
	s.rounds++
	s.strikes += r.Strikes
	if r.failed() {
		s.failed++
	}
	for _, n := range []struct {
		to *int
		by int
	}{
		{&s.Sent, r.Sent},
		{&s.Acknowledged, r.Acknowledged},
		{&s.Refused, r.Refused},
		{&s.Unknown, r.Unknown},
		{&s.Lost, r.Lost},
		{&s.Duplicated, r.Duplicated},
		{&s.Phantom, r.Phantom},
		{&s.Altered, r.Altered},
		{&s.Unanswered, r.Unanswered},
		{&s.Disordered, r.Disordered},
		{&s.Broken, r.Broken},
		{&s.Dead, r.Dead},
		{&s.InFlight, r.InFlight},
	} {
		*n.to += n.by
	}
	if r.RecoveryP50 > 0 {
		s.recoveries = append(s.recoveries, r.RecoveryP50)
	}
	s.slowest = max(s.slowest, r.RecoveryMax)
	s.processor = max(s.processor, r.ReadyCPUMax)
	s.bus = max(s.bus, r.BusBytes)
}

func (s *sum) median() string {
	if len(s.recoveries) == 0 {
		return "-"
	}
	slices.Sort(s.recoveries)
	return fmt.Sprint(s.recoveries[len(s.recoveries)/2])
}

// report is one page of Markdown.
func report(results []result) string {
	about := map[string]string{}
	order := map[string]int{}
	for i, f := range faults() {
		about[f.Name], order[f.Name] = f.About, i
	}
	var sums []*sum
	total := &sum{fault: "**all**"}
	byFault := map[string]*sum{}
	for i := range results {
		r := &results[i]
		s := byFault[r.Fault]
		if s == nil {
			s = &sum{fault: r.Fault}
			byFault[r.Fault] = s
			sums = append(sums, s)
		}
		s.add(r)
		total.add(r)
	}
	slices.SortStableFunc(sums, func(a, b *sum) int { return cmp.Compare(order[a.fault], order[b.fault]) })

	var b strings.Builder
	first, last := results[0], results[len(results)-1]
	fmt.Fprintf(&b, "# What happens when things go wrong\n\n")
	fmt.Fprintf(&b, "%d rounds, %d strikes, %d requests acknowledged; from %s to %s, code %s to %s.\n",
		total.rounds, total.strikes, total.Acknowledged, first.Date.Format("2006-01-02"), last.Date.Format("2006-01-02"), first.Commit, last.Commit)
	fmt.Fprintf(&b, "Violations: **%d**, in %d failed rounds. Made by `chaos report` from [rounds.jsonl](rounds.jsonl), one line a round; how it is done is in [chaos.md](chaos.md).\n\n", total.bad(), total.failed)
	fmt.Fprintf(&b, "| fault | rounds | strikes | acknowledged | no answer | lost | duplicated | phantom | altered | other | failed | ready again, ms: median | slowest | processor time |\n")
	fmt.Fprintf(&b, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range append(sums, total) {
		other := s.bad() - s.Lost - s.Duplicated - s.Phantom - s.Altered
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s | %d | %d |\n", s.fault, s.rounds, s.strikes, s.Acknowledged,
			s.Unknown, s.Lost, s.Duplicated, s.Phantom, s.Altered, other, s.failed, s.median(), s.slowest, s.processor)
	}
	fmt.Fprintf(&b, "\nLost: answered 2xx and not there, or not shown. Duplicated: there more often than sent. Phantom: never sent. Altered: not as it was sent.\n"+
		"Other: unanswered, out of order, holes in chains, unexplained dead letters, never finished.\n"+
		"Processor time, in ms, is what the slowest start used itself: other work on the machine makes the time beside it longer, and not this.\n\n")
	fmt.Fprintf(&b, "![From the start after a strike until ready, by round](plot.svg)\n\n")
	for _, s := range sums {
		if text := about[s.fault]; text != "" {
			fmt.Fprintf(&b, "- `%s`: %s\n", s.fault, text)
		}
	}
	var failed []string
	for i := range results {
		if r := &results[i]; r.failed() {
			why := strings.Join(append(slices.Clone(r.Violations), r.Error), "; ")
			failed = append(failed, fmt.Sprintf("- `%s`, seed %d, code %s: %s", r.Fault, r.Seed, r.Commit, firstLine(why, 200)))
		}
	}
	if len(failed) > 0 {
		fmt.Fprintf(&b, "\n## Failed rounds\n\n%s\n", strings.Join(failed, "\n"))
	}
	return b.String()
}

func firstLine(s string, most int) string {
	s, _, _ = strings.Cut(strings.Trim(s, "; \n"), "\n")
	if len(s) > most {
		s = s[:most] + "..."
	}
	return s
}

// plot draws how long each round's slowest start took, on a logarithmic scale,
// one column of dots a fault; a failed round is a cross.
func plot(results []result) string {
	var names []string
	for _, f := range faults() {
		if slices.ContainsFunc(results, func(r result) bool { return r.Fault == f.Name && r.RecoveryMax > 0 }) {
			names = append(names, f.Name)
		}
	}
	const (
		left, top, height, column = 60, 20, 300, 44
		least, most               = 100.0, 30_000.0 // ms
	)
	width := left + column*max(len(names), 1) + 20
	y := func(ms float64) float64 {
		at := math.Log(min(max(ms, least), most)/least) / math.Log(most/least)
		return top + height*(1-at)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11" fill="#333">`+"\n", width, top+height+170)
	fmt.Fprintf(&b, "<title>From the start after a strike until ready</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n")
	for _, ms := range []float64{100, 300, 1000, 3000, 10_000, 30_000} {
		color := "#ddd"
		if ms == 3000 {
			color = "#c33" // as is promised
		}
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s"/><text x="%d" y="%.1f" text-anchor="end">%g s</text>`+"\n",
			left, width-10, y(ms), y(ms), color, left-6, y(ms)+4, ms/1000)
	}
	for i, name := range names {
		x := float64(left + column*i + column/2)
		fmt.Fprintf(&b, `<text transform="translate(%.1f %d) rotate(45)">%s</text>`+"\n", x-4, top+height+16, name)
		n := 0
		for j := range results {
			r := &results[j]
			if r.Fault != name || r.RecoveryMax == 0 {
				continue
			}
			at := x + float64(n%5-2)*5
			n++
			if r.failed() {
				fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#c33">x</text>`+"\n", at, y(float64(r.RecoveryMax))+4)
			} else {
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="2" fill="#357" fill-opacity="0.6"/>`+"\n", at, y(float64(r.RecoveryMax)))
			}
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}
