package bench

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The page, and the run that its tables are made of.
var (
	capacityPage = filepath.Join("..", "..", "docs", "capacity.md")
	capacityRun  = filepath.Join("..", "..", "docs", "capacity.json")
)

const (
	modelBegins = "<!-- Made by `whatchanged bench --model docs/capacity.json`; a test fails when it differs. -->\n"
	modelEnds   = "<!-- The end of what is made. -->\n"
)

func TestModel_IsTheOneOfThePage(t *testing.T) {
	var got bytes.Buffer
	if err := printModel(&got, capacityRun); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(capacityPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(page), modelBegins)
	made, after, ended := strings.Cut(rest, modelEnds)
	if !begun || !ended {
		t.Fatalf("%s lacks the lines\n%s%s", capacityPage, modelBegins, modelEnds)
	}
	want := "\n" + got.String() + "\n"
	if *update {
		if err := os.WriteFile(capacityPage, []byte(before+modelBegins+want+modelEnds+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("%s is stale; run go test ./services/bench -run TestModel -update (-want +got):\n%s", capacityPage, diff)
	}
}

// TestModel_SharesOutAllOfTheCPU: what the tiers take together is what the
// server took.
func TestModel_SharesOutAllOfTheCPU(t *testing.T) {
	r, err := readReport(capacityRun)
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewModel(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.totalCPU(); math.Abs(got-r.Pipeline.ServerCPU) > 0.01 {
		t.Errorf("the tiers take %.2f µs, the server took %.2f", got, r.Pipeline.ServerCPU)
	}
	for _, tier := range tiers() {
		if m.CPU[tier] <= 0 {
			t.Errorf("%s takes nothing", tier)
		}
	}
	last := m.at(1)
	for _, rate := range rates() {
		n := m.at(rate)
		for _, tier := range tiers() {
			if n.Machines[tier] < last.Machines[tier] || float64(n.Machines[tier])*machineCores.Value*utilisation.Value < n.Cores[tier] {
				t.Errorf("at %.0f/s %d machines of %s for %.1f busy cores", rate, n.Machines[tier], tier, n.Cores[tier])
			}
		}
		if float64(n.Cells)*m.cellRate() < rate {
			t.Errorf("at %.0f/s %d installations of %.0f/s", rate, n.Cells, m.cellRate())
		}
		if len(m.limits(n)) == 0 {
			t.Errorf("at %.0f/s nothing is said of limits", rate)
		}
		last = n
	}
}

// TestModel_KnowsTheCode: the constants that are the code's are the code's.
func TestModel_KnowsTheCode(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("..", "..", path))
		if err != nil {
			t.Fatal(err)
		}
		if plain := strings.Join(strings.Fields(string(text)), " "); !strings.Contains(plain, want) {
			t.Errorf("%s does not say %q: the model's constant is another", path, want)
		}
	}
	f("pkg/bus/frame.go", fmt.Sprintf("frameRecords = %.0f", frameRecords.Value))
	f("pkg/bus/frame.go", fmt.Sprintf("frameTarget = %.0f << 20", frameBytes.Value/(1<<20)))
	f("pkg/bus/committer.go", fmt.Sprintf("pace = %.0f * time.Millisecond", framePace.Value))
	f("services/writer/writer.go", fmt.Sprintf("Bytes: 16 << 20, Wait: %.0f * time.Millisecond", writerWait.Value))
}

func TestModel_SaysWhatItLacks(t *testing.T) {
	f := func(name, text, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := printModel(new(bytes.Buffer), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", name, err, want)
		}
	}
	f("table.txt", "whatchanged (devel)", "not what `whatchanged bench --json` prints")
	f("other.json", `{"schema": "x"}`, `its schema is "x"`)
	f("short.json", `{"schema": "whatchanged-bench/1"}`, "publish, receiver and pipeline")
	f("profile.json", `{"schema": "whatchanged-bench/1", "publish": {}, "receiver": {}, "pipeline": {"stored_rate": 1, "server_cpu_us": 1}}`, "CPU by stage")
}

// TestModel_OutlivesOneMachineOfATierThatStores: most copies are left of what
// only most can write to.
func TestModel_OutlivesOneMachineOfATierThatStores(t *testing.T) {
	for _, copies := range []Constant{busReplicas, storeReplicas} {
		if n := int(copies.Value); n-1 < n/2+1 {
			t.Errorf("with %d %s one that is away stops all writing", n, copies.Name)
		}
	}
}
