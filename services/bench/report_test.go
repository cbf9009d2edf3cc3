package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// fields lists the JSON paths of a type with the kind of value at each.
func fields(t reflect.Type, path string) []string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return []string{path + " time"}
	case t.Kind() == reflect.Pointer:
		return fields(t.Elem(), path)
	case t.Kind() == reflect.Slice:
		return fields(t.Elem(), path+"[]")
	case t.Kind() == reflect.Map:
		return fields(t.Elem(), path+"{}")
	case t.Kind() != reflect.Struct:
		return []string{path + " " + strings.TrimRight(t.Kind().String(), "0123456789")}
	}
	var all []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, fields(f.Type, strings.TrimPrefix(path+"."+name, "."))...)
	}
	return all
}

func TestReport_FormIsStable(t *testing.T) {
	const golden = "testdata/fields.golden"
	got := Schema + "\n" + strings.Join(fields(reflect.TypeFor[Report](), ""), "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the form of the report changed (-want +got); a field that goes or changes its meaning needs a new Schema\n%s", diff)
	}
}

func TestReport_EveryFieldIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/bench.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(doc, []byte(Schema)) {
		t.Errorf("docs/bench.md does not name %s", Schema)
	}
	for _, line := range fields(reflect.TypeFor[Report](), "") {
		path, _, _ := strings.Cut(line, " ")
		name := strings.TrimRight(path[strings.LastIndexByte(path, '.')+1:], "[]{}")
		if !bytes.Contains(doc, []byte("`"+name+"`")) {
			t.Errorf("docs/bench.md does not explain `%s` (%s)", name, path)
		}
	}
}

// full is a report with every part.
func full() *Report {
	l := Latency{Count: 100, Mean: 1, P50: 1, P90: 2, P99: 3, P999: 4, Max: 5}
	r := &Report{
		Schema: Schema, StartedAt: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Seconds: 240,
		Machine:      Machine{OS: "linux", Arch: "amd64", CPUs: 2, CPU: "a processor", Memory: 8 << 30, Go: "go1.26", Version: "dev", Fsync: 0.2},
		Options:      Options{Duration: 60, Rate: 5000, Connections: 64, Stages: allStages(), Changes: 10_000_000},
		Payload:      PayloadInfo{Kinds: 1, Skipped: 2, Bytes: 6744, Fresh: 1032},
		Noop:         &Door{Rate: 40_000, Rounds: []float64{39_000, 40_000, 41_000}, Latency: l, ServerCPU: 20, GeneratorCPU: 15},
		Publish:      &Publish{Single: Published{Publishers: 64, Payloads: 1, Rate: 4500, Latency: l, CPU: 200}, Frames: Published{Publishers: 1, Payloads: 64, Rate: 90_000, Latency: l, CPU: 12}},
		Receiver:     &Door{Rate: 22_000, Rounds: []float64{21_000, 22_000, 23_000}, Latency: l, Refused: map[string]int{"503": 3}, ServerCPU: 50, GeneratorCPU: 15},
		Acknowledged: &Acknowledged{Rate: 2000, Latency: l},
		Queryable:    &Queryable{Rate: 1000, Latency: l, Unseen: 0},
		Pipeline: &Pipeline{
			Target: 5000, Seconds: 60, Rate: 5000, StoredRate: 4990, RowsRate: 15_000, Latency: l, Backlog: Backlog{Start: 900, End: 1100, Max: 2000, Growth: 3, Drain: 0.4},
			ServerCPU: 250, Threads: map[string]float64{"program": 200, "engine": 50}, GeneratorCPU: 20, Memory: Memory{Resident: 900 << 20, Peak: 1 << 30},
			Disk:   Disk{Bus: 2000, ClickHouse: 1500, Total: 3500, ToPayload: 0.52},
			Stages: []Share{{"committer", 50, 0.2}, {"writer", 150, 0.6}}, Packages: []Share{{"whatchanged/pkg/bus", 50, 0.2}}, ProfileMicros: 240,
		},
		Maximum: &Maximum{Rate: 6500, FullLoad: Door{Rate: 12_000, Rounds: []float64{12_000}, Latency: l, ServerCPU: 120, GeneratorCPU: 15}, DrainRate: 11_000, DrainRows: 33_000, Tried: []Try{{Rate: 6500, Reached: 6500, Growth: 1, Holds: true}}, Memory: Memory{Resident: 1 << 30, Peak: 2 << 30}},
		Restart: &Restart{Seconds: 0.8, DataBytes: 3 << 30},
		Lists:   &Lists{Changes: 10_000_000, Orgs: 5, Queries: []List{{"1h", "none", l}, {"90d", "q", l}}},
	}
	r.finish()
	return r
}

func TestReport_TableIsReadable(t *testing.T) {
	const golden = "testdata/table.golden"
	var out bytes.Buffer
	if err := full().write(&out); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("table (-want +got)\n%s", diff)
	}
}

func TestReport_PartsThatDidNotRunAreAbsent(t *testing.T) {
	r := &Report{Schema: Schema}
	r.finish()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"noop", "publish", "receiver", "acknowledged", "queryable", "pipeline", "maximum", "restart", "lists"} {
		if _, there := got[part]; there {
			t.Errorf("%s is there", part)
		}
	}
	if string(got["targets"]) != "[]" {
		t.Errorf("targets are %s, want []", got["targets"])
	}
	var out bytes.Buffer
	if err := r.write(&out); err != nil {
		t.Error(err)
	}
}

func TestReport_TargetsSayWhatIsMissed(t *testing.T) {
	r := full()
	met := map[string]bool{}
	for _, g := range r.Targets {
		met[g.Name] = g.Met
	}
	want := map[string]bool{
		"receiver's rate to the no-op handler's": true, "answer p99 at 2,000/s, ms": true, "queryable p99 at 1,000/s, ms": true,
		"deliveries/s accepted at the wanted rate": true, "backlog growth at that rate, deliveries/s": true, "resident memory, MiB": true,
		"resident memory at full load, MiB": false, "start to first accepted webhook, s": true,
		"lists up to 31 days, slowest p99, ms": true, "other lists, slowest p99, ms": true,
	}
	if diff := cmp.Diff(want, met); diff != "" {
		t.Errorf("targets met (-want +got)\n%s", diff)
	}
}

func TestConfig_SaysEveryFaultAtOnce(t *testing.T) {
	err := config{duration: 0, rate: 0, connections: 0, changes: -1, stages: []string{"sleep"}}.validate()
	for _, want := range []string{"--duration", "--rate", "--connections", "--changes", "--stages"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	if err := (config{duration: time.Minute, rate: 5000, connections: 64, stages: allStages()}).validate(); err != nil {
		t.Error(err)
	}
}
