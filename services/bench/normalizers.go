package bench

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/xanzy/go-gitlab"
	"golang.org/x/tools/txtar"

	"whatchanged/normalizers"
	"whatchanged/normalizers/all"
	"whatchanged/pkg/change"
)

// samples has a few payloads of each way in, in the form of the normalizers'
// golden cases, every name in them made up.
//
//go:embed payload/samples/*.txtar
var samples embed.FS

// delivered is a delivery that normalizing is measured with.
type delivered struct {
	name   string
	header http.Header
	body   []byte
}

// One sample is normalized and decoded by turns, so often and each time for so
// long; the fastest of each is what counts, for others may have the processor in
// between.
const (
	turns = 8
	turn  = 15 * time.Millisecond
)

// normalizers measures every normalizer on one core: unwrapping, normalizing
// and completing a delivery, beside encoding/json decoding the same bytes into
// the provider's types (of go-github and go-gitlab; else into maps).
func (r *run) normalizers(ctx context.Context) error {
	r.say("normalizers, on one core")
	list, err := r.samples()
	if err != nil {
		return err
	}
	set := all.Set()
	received := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	var out []Normalizing
	for _, s := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := &change.Delivery{
			ID: change.DeliveryID{1}, Org: "bench", SourceID: "src_bench", ReceivedAt: change.At(received),
			Header: s.header, Body: s.body, Identity: normalizers.Identity(s.header),
		}
		res := set.Process(d, normalizers.Settings{}, received, received)
		if res.Outcome == change.Dead {
			return fmt.Errorf("sample %s: %s", s.name, res.Reason)
		}
		n := Normalizing{Provider: res.Provider, Sample: s.name, Bytes: len(s.body), Changes: len(res.Changes)}
		for i := range turns {
			n.Cost = fastest(i, n.Cost, func() { set.Process(d, normalizers.Settings{}, received, received) })
			n.Decode = fastest(i, n.Decode, func() { decode(res.Provider, s) })
		}
		n.MBPerSecond = float64(len(s.body)) / n.Cost.Micros
		n.ToDecode = n.Cost.Micros / n.Decode.Micros
		out = append(out, n)
	}
	slices.SortStableFunc(out, func(a, b Normalizing) int { return strings.Compare(a.Provider, b.Provider) })
	r.report.Normalizers = out
	return nil
}

// samples returns what --payloads names, else the built-in ones.
func (r *run) samples() (list []delivered, err error) {
	if r.payloads != "" {
		payloads, _, err := readPayloads(r.payloads)
		if err != nil {
			return nil, err
		}
		rng := rand.NewPCG(1, 1)
		for _, p := range payloads {
			s := delivered{name: filepath.Base(p.name), header: http.Header{}}
			s.body = p.body.fill(nil, rng, r.begin)
			for _, h := range p.header {
				s.header.Set(h[0], h[1])
			}
			list = append(list, s)
		}
		return list, nil
	}
	files, err := fs.Glob(samples, "payload/samples/*.txtar")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := samples.ReadFile(file)
		if err != nil {
			return nil, err
		}
		s := delivered{name: strings.TrimSuffix(path.Base(file), ".txtar"), header: http.Header{}}
		for _, f := range txtar.Parse(text).Files {
			switch f.Name {
			case "headers":
				for line := range strings.Lines(string(f.Data)) {
					if name, value, ok := strings.Cut(line, ":"); ok {
						s.header.Add(name, strings.TrimSpace(value))
					}
				}
			case "body.json":
				s.body = f.Data
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// decode is what a normalizer is compared with. What it cannot decode is no
// measure, but no fault of the normalizer either.
func decode(provider string, s delivered) {
	var err error
	switch {
	case provider == "github":
		_, err = github.ParseWebHook(s.header.Get("X-GitHub-Event"), s.body)
	case provider == "gitlab" && s.header.Get("X-Gitlab-Event") != "":
		_, err = gitlab.ParseWebhook(gitlab.EventType(s.header.Get("X-Gitlab-Event")), s.body)
	}
	if err != nil || provider != "github" && provider != "gitlab" {
		var v any
		_ = json.Unmarshal(s.body, &v) // a form, for one, is no JSON
	}
}

// fastest is what one run of do costs, measured once more: the i-th time.
func fastest(i int, before Cost, do func()) Cost {
	now := measure(do)
	if i > 0 && before.Micros < now.Micros {
		return before
	}
	return now
}

// measure runs do for a while and returns what one run costs.
func measure(do func()) Cost {
	do() // what is made once is not measured
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, n := time.Now(), 0
	for ; time.Since(start) < turn; n++ {
		do()
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return Cost{
		Micros: took.Seconds() * 1e6 / float64(n),
		Allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
		Alloc:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}
}

func (r *Report) writeNormalizers(t *table) {
	if len(r.Normalizers) == 0 {
		return
	}
	t.title("Normalizers, one core", "sample", "bytes", "µs", "MB/s", "allocs", "bytes allocated", "to decoding")
	slowest := map[string]float64{}
	for _, n := range r.Normalizers {
		t.row(n.Provider, n.Sample, fmt.Sprint(n.Bytes), number(n.Cost.Micros), number(n.MBPerSecond), number(n.Cost.Allocs), number(n.Cost.Alloc), times(n.ToDecode))
		slowest[n.Provider] = max(slowest[n.Provider], n.Cost.Micros/float64(max(1, n.Changes)))
	}
	t.title("Slowest", "µs a change")
	for _, provider := range slices.Sorted(maps.Keys(slowest)) {
		t.row(provider, number(slowest[provider]))
	}
}
