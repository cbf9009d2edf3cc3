package e2e_test

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var update = flag.Bool("update", false, "rewrite the reference pages that are made from a running server")

// adminAddress is an address on this machine that nobody listens on.
func adminAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// scrape returns what Prometheus would, without a key.
func scrape(t *testing.T, admin string) (text string, families map[string]*dto.MetricFamily) {
	t.Helper()
	status, text := fetch(t, "http://"+admin+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return text, families
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// seldom are metrics that a server has half a minute after its start, and only
// with an organisation that has a quota: the keeper's own test knows them.
var seldom = []string{"whatchanged_keeper_quota_used_ratio"}

// What a running server exposes keeps to Prometheus' conventions, is what the
// page about it says, has no label that the outside can fill, and has all that
// alerts and dashboards ask for.
func TestMetrics_OfARunningServer(t *testing.T) {
	admin := adminAddress(t)
	sink := newSpanSink(t)
	secrets := canaries{}
	e := startEdge(t, "WHATCHANGED_ADMIN_LISTEN="+admin, "OTEL_EXPORTER_OTLP_ENDPOINT="+sink.url, "WHATCHANGED_BOOTSTRAP_TOKEN=wct_"+secrets.sing("the token"),
		"WHATCHANGED_BOOTSTRAP_API_KEY=wc_live_"+secrets.sing("the API key"))

	// Good requests and hostile ones: each thing that can be counted is.
	e.call("POST", e.hook, `{"title":"x","environment":"`+secrets.sing("an environment")+`"}`)
	e.call("POST", e.hook, `[`, "X-Github-Event: "+secrets.sing("an event"))
	e.call("POST", "/api/v1/changes", `{"summary":"x","source":"`+secrets.sing("a source")+`"}`, "Content-Type: application/json")
	e.call("GET", "/api/v1/changes?environment="+secrets.sing("a filter"), "")
	e.call(secrets.sing("a method"), "/api/v1/changes", "")
	e.call("GET", "/"+secrets.sing("a path"), "")
	e.call("POST", "/api/webhooks/incoming/changes/wct_"+secrets.sing("a wrong token"), "{}")
	e.call("GET", "/api/v1/changes", "", "Authorization: Bearer wc_live_"+secrets.sing("a wrong key"))
	e.call("POST", "/api/v1/session", "")
	var text string
	var families map[string]*dto.MetricFamily
	e.until("all to be counted", func() error {
		text, families = scrape(t, admin)
		for _, name := range []string{
			"whatchanged_normalizer_lag_seconds", "whatchanged_writer_lag_seconds", "whatchanged_bus_consumer_oldest_seconds", "whatchanged_bus_dead_depth",
		} {
			if families[name] == nil {
				return fmt.Errorf("no %s", name)
			}
		}
		if rows := families["whatchanged_writer_rows_total"]; counted(rows) < 4 {
			return fmt.Errorf("%v", rows)
		}
		return nil
	})

	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "whatchanged_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, secret := range secrets.in(text) {
		t.Errorf("%s: in a metric", secret)
	}
	if len(text) > 1<<20 {
		t.Errorf("a scrape has %d bytes", len(text))
	}

	page := filepath.Join("..", "..", "docs", "operating", "metrics.md")
	if *update {
		if err := os.WriteFile(page, []byte(metricsPage(families)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), metricsPage(families)); diff != "" {
		t.Errorf("docs/operating/metrics.md is not what a server exposes; rewrite it with -update (-want +got):\n%s", diff)
	}

	for _, file := range append(glob(t, "../../deploy/prometheus/*.yml"), glob(t, "../../deploy/grafana/dashboards/*.json")...) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bwhatchanged_[a-z_]+\b`).FindAllString(string(source), -1) {
			family := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base := strings.TrimSuffix(name, suffix); families[base].GetType() == dto.MetricType_HISTOGRAM {
					family = base
				}
			}
			if families[family] == nil && !slices.Contains(seldom, family) {
				t.Errorf("%s asks for %s, which no server has", file, name)
			}
		}
	}
}

func counted(f *dto.MetricFamily) (n float64) {
	for _, m := range f.GetMetric() {
		n += m.GetCounter().GetValue()
	}
	return n
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	return files
}

// metricsPage is the page about all metrics.
func metricsPage(families map[string]*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString(`# Metrics

This page is made from what a running ` + "`whatchanged serve`" + ` exposes (` + "`go test ./services/e2e -run TestMetrics -update`" + `); a test
fails when it is stale. A service that runs alone exposes its own part of it. Beside these there are Go's and the
process's own (` + "`go_*`, `process_*`" + `). [Observability](observability.md) says how to get at them and which to watch.

No label has a value that comes from outside: each has a small, fixed set of values.
`)
	part := ""
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range families {
			if strings.HasPrefix(name, "whatchanged_") && !yield(name) {
				return
			}
		}
	}) {
		f := families[name]
		if p, _, _ := strings.Cut(strings.TrimPrefix(name, "whatchanged_"), "_"); p != part {
			part = p
			fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n", part)
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels["`"+l.GetName()+"`"] = true
			}
		}
		names := make([]string, 0, len(labels))
		for l := range labels {
			names = append(names, l)
		}
		slices.Sort(names)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), strings.Join(names, ", "), f.GetHelp())
	}
	return b.String()
}

// The admin listener has what those who run the product need, without a key;
// the other has no profiles, and metrics for keys only.
func TestAdmin_IsApartFromTheOutside(t *testing.T) {
	admin := adminAddress(t)
	e := startEdge(t, "WHATCHANGED_ADMIN_LISTEN="+admin, "WHATCHANGED_DRAIN_DELAY=3s", "WHATCHANGED_LOG_FORMAT=json")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/debug/pprof/": 200, "/debug/pprof/heap": 200, "/api/v1/changes": 404} {
		if status, body := fetch(t, "http://"+admin+path); status != want {
			t.Errorf("%s on the admin listener: %d %.200s", path, status, body)
		}
	}
	if got := e.call("GET", "/debug/pprof/", ""); got.status != http.StatusNotFound {
		t.Errorf("profiles for the outside: %v", got)
	}

	// Told to stop, it is not ready first, and serves on until that was noticed.
	if err := syscall.Kill(e.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	e.until("it to say that it drains", func() error {
		if status, body := fetch(t, "http://"+admin+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"reasons":{"process":"draining"}`) {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	if got := e.call("GET", "/readyz", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("ready while it drains: %v", got)
	}
	if got := e.call("POST", e.hook, `{"title":"the last one"}`); got.status != http.StatusOK {
		t.Errorf("a webhook while it drains: %v", got)
	}
	if status, _ := fetch(t, "http://"+admin+"/healthz"); status != http.StatusOK {
		t.Errorf("it is not alive while it drains: %d", status)
	}
	e.stop()
	for line := range strings.Lines(e.log()) {
		if !strings.HasPrefix(line, `{"time":`) {
			t.Errorf("not JSON: %s", line)
		}
	}
}
