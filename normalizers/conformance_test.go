package normalizers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/normalizers/normtest"
	"whatchanged/pkg/change"
)

// The corpus is a folder of real payloads, each with the facts one reads
// straight off it (see its README). It lies beside the repository, or where
// WHATCHANGED_CORPUS says.

// conformance is what one folder of the corpus asks for.
type conformance struct {
	dir string
	// facts says in which field of the change each fact belongs.
	facts factTable
	// provider returns who must be detected.
	provider func(e entry) string
	// ignored reports whether a record with these facts must make no change.
	ignored func(e entry, facts map[string]any) bool
}

// factTable maps a fact's key to its field: a path in the change's JSON. After
// "metadata." the rest is one key, dots and all, or else a path. A "~" in front compares
// without regard to case, and "@records" is the number of records. A key can
// be narrowed to one event, "workflow_run/head_sha", or to one shape. An empty
// field says that the fact is not kept, and counts as not met.
type factTable map[string]string

// entry is a line of a folder's index.
type entry struct {
	File     string            `json:"file"`
	Shape    string            `json:"shape"`
	Provider string            `json:"provider"`
	Headers  map[string]string `json:"headers"`
	Expect   map[string]any    `json:"expect"`
}

// text returns a fact that is a string.
func (e entry) text(key string) string {
	s, _ := e.Expect[key].(string)
	return s
}

// records returns the facts of each record: a list of "records" or "events" has
// one item each, and everything else is about the delivery, and asked of its
// first record only.
func (e entry) records() []map[string]any {
	outer := make(map[string]any)
	var items []any
	for key, value := range e.Expect {
		list, isList := value.([]any)
		detail, isObject := value.(map[string]any)
		switch {
		case isList && (key == "records" || key == "events"):
			items = list
		case isObject && key == "detail":
			for k, v := range detail {
				outer["detail."+k] = v
			}
		default:
			outer[key] = value
		}
	}
	if items == nil {
		return []map[string]any{outer}
	}
	var records []map[string]any
	for i, item := range items {
		facts, _ := item.(map[string]any)
		if i == 0 {
			maps.Copy(facts, outer)
		}
		records = append(records, facts)
	}
	return records
}

// tally counts what a folder met.
type tally struct {
	deliveries, detected     int
	records, outcomes        int
	facts, met               int
	wrongDetection, wrongOut []string
	missing                  map[string]int
	example                  map[string]string
	slowest                  time.Duration // of a record, on average over its delivery
	slowestFile              string
}

func TestConformance_FactsOfTheCorpusAreInTheirFields(t *testing.T) {
	root := corpus(t)
	for _, c := range []conformance{githubConformance, gitlabConformance, otherConformance} {
		t.Run(c.dir, func(t *testing.T) { c.run(t, filepath.Join(root, c.dir)) })
	}
}

func (c conformance) run(t *testing.T, dir string) {
	got := tally{missing: make(map[string]int), example: make(map[string]string)}
	for _, e := range entries(t, dir) {
		c.check(t, &got, e, payload(t, dir, e))
	}
	t.Logf("%s: detected %d of %d, outcomes %d of %d, facts met %d of %d (%.1f %%)", c.dir, got.detected, got.deliveries,
		got.outcomes, got.records, got.met, got.facts, percent(got.met, got.facts))
	t.Logf("%s: the slowest record takes %v (%s)", c.dir, got.slowest.Round(time.Microsecond), got.slowestFile)
	for _, line := range append(got.wrongDetection, got.wrongOut...) {
		t.Error(line)
	}
	if percent(got.met, got.facts) < 95 {
		t.Errorf("%.1f %% of the facts are met, want 95 %%", percent(got.met, got.facts))
	}
	for _, key := range byCount(got.missing) {
		t.Logf("not met %3d times: %-40s such as %s", got.missing[key], key, got.example[key])
	}
}

// entries reads a folder's index.
func entries(t *testing.T, dir string) []entry {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var list []entry
	if err := d.Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list
}

// payload reads what an entry is about.
func payload(t *testing.T, dir string, e entry) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(dir, e.File))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// check takes one delivery through the pipeline's pure part and counts.
func (c conformance) check(t *testing.T, got *tally, e entry, body []byte) {
	h := http.Header{}
	for name, value := range e.Headers {
		h.Set(name, value)
	}
	received := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	d := &change.Delivery{
		ID: change.DeliveryID{1}, Org: "corpus", SourceID: "src_corpus", ReceivedAt: change.At(received),
		Header: h, Body: body, Identity: normalizers.Identity(h),
	}
	got.deliveries++
	want := c.provider(e)
	records, err := normalizers.Unwrap(d)
	if err != nil {
		got.wrongDetection = append(got.wrongDetection, fmt.Sprintf("%s: %v", e.File, err))
		return
	}
	wrong := slices.IndexFunc(records, func(r normalizers.Record) bool { return r.Provider != want })
	if wrong < 0 {
		got.detected++
	} else {
		got.wrongDetection = append(got.wrongDetection, fmt.Sprintf("%s (%s): record %d is taken for %s by %s, want %s",
			e.File, e.Shape, wrong, records[wrong].Provider, records[wrong].DetectedBy, want))
	}
	var res change.Result
	took := time.Hour
	for range 3 { // the fastest: the machine does other things as well
		began := time.Now()
		res = all.Set().Process(d, normalizers.Settings{}, received, received)
		took = min(took, time.Since(began)/time.Duration(max(1, len(records))))
	}
	if took > got.slowest {
		got.slowest, got.slowestFile = took, e.File
	}
	normtest.Check(t, res)
	for i, facts := range e.records() {
		got.records++
		made := changeOf(res, i)
		ignored := c.ignored(e, facts)
		if ignored != (made == nil) {
			got.wrongOut = append(got.wrongOut, fmt.Sprintf("%s: record %d makes a change: %v, want %v (%s %s)",
				e.File, i, made != nil, !ignored, res.Outcome, res.Reason))
		} else {
			got.outcomes++
		}
		if !ignored {
			c.count(got, e, facts, made, len(records))
		}
	}
}

// count compares a record's facts with its change.
func (c conformance) count(got *tally, e entry, facts map[string]any, made []byte, records int) {
	for key, want := range facts {
		got.facts++
		place, ok := c.facts[e.text("event")+"/"+key]
		if !ok {
			place, ok = c.facts[e.Shape+"/"+key]
		}
		if !ok {
			place = c.facts[key]
		}
		found := fieldOf(made, place, records)
		if sameFact(want, found, strings.HasPrefix(place, "~")) {
			got.met++
			continue
		}
		got.missing[key]++
		got.example[key] = fmt.Sprintf("%s: %q is %v, want %v", e.File, place, found, want)
	}
}

// changeOf returns, as JSON, the first change that record i made, or nil.
func changeOf(res change.Result, i int) []byte {
	for _, c := range res.Changes {
		if c.Provenance.Index == i {
			b, _ := json.Marshal(c)
			return b
		}
	}
	return nil
}

// fieldOf reads a field of a change; nil when it is not there.
func fieldOf(made []byte, place string, records int) any {
	place = strings.TrimPrefix(place, "~")
	if place == "@records" {
		return json.Number(fmt.Sprint(records))
	}
	v := gjson.ParseBytes(made)
	if key, ok := strings.CutPrefix(place, "metadata."); ok {
		meta := v.Get("metadata")
		if v = meta.Get(gjson.Escape(key)); !v.Exists() {
			v = meta.Get(key)
		}
	} else {
		v = v.Get(place)
	}
	if place == "" || !v.Exists() {
		return nil
	}
	var out any
	d := json.NewDecoder(strings.NewReader(v.Raw))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil
	}
	return out
}

// sameFact compares what the payload says with what the field holds: times as
// times, everything else as text.
func sameFact(want, got any, fold bool) bool {
	if got == nil {
		return want == "" // we leave out what is empty
	}
	if list, ok := want.([]any); ok {
		other, ok := got.([]any)
		return ok && slices.EqualFunc(list, other, func(a, b any) bool { return sameFact(a, b, fold) })
	}
	a, b := textOf(want), textOf(got)
	if a == b || fold && strings.EqualFold(a, b) {
		return true
	}
	if !strings.ContainsAny(a+b, "-:") {
		return false // two numbers
	}
	ta, okA := normalizers.ParseTime(a)
	tb, okB := normalizers.ParseTime(b)
	return okA && okB && ta.Truncate(time.Millisecond).Equal(tb.Truncate(time.Millisecond))
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		b, _ := json.Marshal(v)
		return string(b)
	default:
		return fmt.Sprint(v)
	}
}

// corpus returns the folder, or skips the test where there is none.
func corpus(t *testing.T) string {
	t.Helper()
	root := os.Getenv("WHATCHANGED_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(filepath.Join(root, "README.md")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the corpus must be there in CI: %v", err)
		}
		t.Skipf("no corpus: set WHATCHANGED_CORPUS to its folder (%v)", err)
	}
	return root
}

func percent(n, of int) float64 {
	if of == 0 {
		return 100
	}
	return 100 * float64(n) / float64(of)
}

func byCount(counts map[string]int) []string {
	keys := make([]string, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if n := counts[b] - counts[a]; n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	return keys
}
