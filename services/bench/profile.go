package bench

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// profiled is where a server spent its CPU.
type profiled struct {
	total    time.Duration
	stages   map[string]time.Duration
	packages map[string]time.Duration
}

// readProfile reads a CPU profile as /debug/pprof/profile writes it.
func readProfile(b []byte) (profiled, error) {
	p, err := profile.Parse(bytes.NewReader(b))
	if err != nil {
		return profiled{}, fmt.Errorf("read CPU profile: %w", err)
	}
	cpu := -1
	for i, t := range p.SampleType {
		if t.Type == "cpu" && t.Unit == "nanoseconds" {
			cpu = i
		}
	}
	if cpu < 0 {
		return profiled{}, fmt.Errorf("read CPU profile: it has no CPU time")
	}
	out := profiled{stages: map[string]time.Duration{}, packages: map[string]time.Duration{}}
	for _, s := range p.Sample {
		used := time.Duration(s.Value[cpu])
		stack := functions(s)
		where := packageOf(stack)
		stage := where
		if labels := s.Label["stage"]; len(labels) > 0 {
			stage = labels[0]
		}
		out.total += used
		out.stages[stage] += used
		out.packages[where] += used
	}
	return out, nil
}

// functions names the frames of a sample, the leaf first.
func functions(s *profile.Sample) []string {
	var names []string
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}

// packageOf names what a stack's time was spent for: the package nearest the
// leaf that is ours or a library's. A stack without one belongs to the
// runtime's own work or to a package of the standard library.
func packageOf(stack []string) string {
	standard := ""
	for _, f := range stack {
		pkg := packageName(f)
		switch {
		case strings.HasPrefix(pkg, "whatchanged/"), strings.Contains(firstElement(pkg), "."):
			return pkg
		case strings.HasPrefix(f, "runtime.gcBgMarkWorker"), strings.HasPrefix(f, "runtime.bgsweep"),
			strings.HasPrefix(f, "runtime.bgscavenge"):
			return "runtime (garbage collection)"
		case f == "runtime.mcall", f == "runtime.mstart", f == "runtime.sysmon":
			return "runtime (scheduler)"
		case f == "runtime._ExternalCode", f == "runtime._LostExternalCode":
			return "engine" // a thread that is not Go's: only the database engine has those
		case pkg != "runtime" && pkg != "" && !strings.HasPrefix(pkg, "internal/"):
			standard = pkg // the one nearest the root
		}
	}
	if standard != "" {
		return standard
	}
	return "runtime"
}

func firstElement(pkg string) string {
	first, _, _ := strings.Cut(pkg, "/")
	return first
}

// packageName cuts a function's name down to its package:
// "net/http.(*conn).serve" is "net/http".
func packageName(function string) string {
	function, _, _ = strings.Cut(function, "[") // type arguments may hold paths
	slash := strings.LastIndexByte(function, '/')
	dot := strings.IndexByte(function[slash+1:], '.')
	if dot < 0 {
		return ""
	}
	return strings.ReplaceAll(function[:slash+1+dot], "%2e", ".") // as in github.com/nats-io/nats%2ego
}

// shares turns times into parts of what one delivery takes, the largest
// first; beyond most, the rest is one.
func shares(times map[string]time.Duration, total time.Duration, deliveries float64, most int) []Share {
	if total == 0 || deliveries == 0 {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(times), func(a, b string) int {
		if d := times[b] - times[a]; d != 0 {
			return int(max(min(d, 1), -1))
		}
		return strings.Compare(a, b)
	})
	var out []Share
	var rest time.Duration
	for i, name := range names {
		if i >= most {
			rest += times[name]
			continue
		}
		out = append(out, share(name, times[name], total, deliveries))
	}
	if rest > 0 {
		out = append(out, share("others", rest, total, deliveries))
	}
	return out
}

func share(name string, used, total time.Duration, deliveries float64) Share {
	return Share{Name: name, CPU: us(used) / deliveries, Share: float64(used) / float64(total)}
}
