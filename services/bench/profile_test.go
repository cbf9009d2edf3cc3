package bench

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

// profileOf writes samples as runtime/pprof would: one for each stack (the
// leaf first), of one millisecond.
func profileOf(t *testing.T, samples []sampled) []byte {
	t.Helper()
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
	}
	for _, s := range samples {
		out := &profile.Sample{Value: []int64{1, int64(time.Millisecond)}}
		if s.stage != "" {
			out.Label = map[string][]string{"stage": {s.stage}}
		}
		for _, name := range s.stack {
			f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
			l := &profile.Location{ID: uint64(len(p.Location) + 1), Line: []profile.Line{{Function: f}}}
			p.Function, p.Location = append(p.Function, f), append(p.Location, l)
			out.Location = append(out.Location, l)
		}
		p.Sample = append(p.Sample, out)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type sampled struct {
	stage string
	stack []string
}

func TestProfile_GroupsByStageThenByPackage(t *testing.T) {
	got, err := readProfile(profileOf(t, []sampled{
		{"committer", []string{"runtime.memmove", "github.com/klauspost/compress/s2.Encode", "whatchanged/pkg/bus.(*Committer).Run"}},
		{"committer", []string{"syscall.Syscall", "whatchanged/pkg/bus.(*Committer).Run"}},
		{"", []string{"internal/runtime/syscall.Syscall6", "net.(*conn).Write", "net/http.(*conn).serve"}},
		{"", []string{"runtime.scanobject", "runtime.gcBgMarkWorker.func2", "runtime.gcBgMarkWorker"}},
		{"", []string{"runtime.futex", "runtime.findRunnable", "runtime.mcall"}},
		{"", []string{"runtime.memclrNoHeapPointers"}},
		{"", []string{"runtime.chansend", "github.com/nats-io/nats%2ego.(*Conn).publish"}},
		{"", []string{"slices.SortFunc[go.shape.[]whatchanged/x.y]", "whatchanged/services/writer.(*Writer).Run"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]time.Duration{
		"committer": 2 * time.Millisecond, "net/http": time.Millisecond, "runtime (garbage collection)": time.Millisecond,
		"runtime (scheduler)": time.Millisecond, "runtime": time.Millisecond, "whatchanged/services/writer": time.Millisecond, "github.com/nats-io/nats.go": time.Millisecond,
	}
	if diff := cmp.Diff(stages, got.stages); diff != "" {
		t.Errorf("stages (-want +got)\n%s", diff)
	}
	packages := map[string]time.Duration{
		"github.com/klauspost/compress/s2": time.Millisecond, "whatchanged/pkg/bus": time.Millisecond, "net/http": time.Millisecond,
		"runtime (garbage collection)": time.Millisecond, "runtime (scheduler)": time.Millisecond, "runtime": time.Millisecond,
		"whatchanged/services/writer": time.Millisecond, "github.com/nats-io/nats.go": time.Millisecond,
	}
	if diff := cmp.Diff(packages, got.packages); diff != "" {
		t.Errorf("packages (-want +got)\n%s", diff)
	}
	if got.total != 8*time.Millisecond {
		t.Errorf("total %v", got.total)
	}
}

func TestProfile_RubbishIsAnError(t *testing.T) {
	if _, err := readProfile([]byte("not a profile")); err == nil {
		t.Error("no error")
	}
}

func TestShares_LargestFirstAndTheRestTogether(t *testing.T) {
	got := shares(map[string]time.Duration{"a": 1000, "b": 6000, "c": 2000, "d": 1000}, 10_000, 10, 2)
	want := []Share{{"b", 0.6, 0.6}, {"c", 0.2, 0.2}, {"others", 0.2, 0.2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shares (-want +got)\n%s", diff)
	}
}
