// Package health says whether a process can do its work: each part that it
// needs has a name and a check, and the process itself is starting, up, or
// draining before it stops. It knows nothing of the parts.
package health

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/problem"
)

// patience is how long the checks of one question may take together.
const patience = 3 * time.Second

// Process is the name of the process itself among the checks. It is there only
// while it fails: when it starts and when it stops.
const Process = "process"

// The reasons why the process itself is not ready.
const (
	Starting = "starting"
	Draining = "draining"
)

// Check returns nil while a part works. The reason of a problem.Error is what
// the outside is told.
type Check func(context.Context) error

// Health is what a process says of itself. It is safe for concurrent use.
type Health struct {
	log    *slog.Logger
	failed *prometheus.CounterVec

	mu      sync.Mutex
	phase   string // why the process itself is not ready; empty when it is
	parts   []part
	failing map[string]string // reasons, of those that failed when last asked
}

type part struct {
	name  string
	check Check
}

// New returns the health of a process that is starting.
func New(log *slog.Logger, reg prometheus.Registerer) *Health {
	h := &Health{
		log: log, phase: Starting, failing: map[string]string{},
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_health_failures_total", Help: "Checks of readiness that failed, by the part that was checked.",
		}, []string{"part"}),
	}
	reg.MustRegister(h.failed, collector{h, prometheus.NewDesc("whatchanged_health_ready",
		"1 while a part that this process needs works; process is the process itself, which starts or drains when it is 0.",
		[]string{"part"}, nil)})
	return h
}

// Add adds a part. Parts are checked each time somebody asks.
func (h *Health) Add(name string, check Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts = append(h.parts, part{name, check})
	h.failed.WithLabelValues(name)
}

// Up says that the process has all its parts and serves.
func (h *Health) Up() { h.enter("") }

// Drain says that the process is about to stop: from now on it is not ready,
// so that nothing new is sent to it while it still serves.
func (h *Health) Drain() { h.enter(Draining) }

func (h *Health) enter(phase string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase = phase
}

// Report is an answer to the question whether the process is ready.
type Report struct {
	Status string            `json:"status"` // ready, or not ready
	Checks map[string]string `json:"checks"` // by part: ok, or failing
	// Reasons has a word for each part that fails. The whole error is in the log.
	Reasons map[string]string `json:"reasons,omitempty"`
}

// Ready reports whether nothing failed.
func (r Report) Ready() bool { return len(r.Reasons) == 0 }

// Report checks every part.
func (h *Health) Report(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	h.mu.Lock()
	phase, parts := h.phase, h.parts
	h.mu.Unlock()
	report := Report{Status: "ready", Checks: map[string]string{}, Reasons: map[string]string{}}
	fail := func(name, reason string) {
		report.Status = "not ready"
		report.Checks[name], report.Reasons[name] = "failing", reason
	}
	if phase != "" {
		fail(Process, phase)
	}
	var wg sync.WaitGroup
	faults := make([]error, len(parts))
	for i, p := range parts {
		wg.Go(func() { faults[i] = p.check(ctx) })
	}
	wg.Wait()
	for i, p := range parts {
		report.Checks[p.name] = "ok"
		if faults[i] != nil {
			fail(p.name, problem.From(faults[i]).Reason)
			h.failed.WithLabelValues(p.name).Inc()
		}
		h.note(p.name, report.Reasons[p.name], faults[i])
	}
	return report
}

// note logs a part that begins to fail, for another reason too, or works again.
func (h *Health) note(name, reason string, err error) {
	h.mu.Lock()
	before := h.failing[name]
	h.failing[name] = reason
	h.mu.Unlock()
	switch reason {
	case before:
	case "":
		h.log.Info("ready again", "check", name)
	default:
		h.log.Warn("not ready", "check", name, "reason", reason, "error", err)
	}
}

// ServeReady answers 200 when the process is ready and 503 when it is not, with
// the report. It needs no key: the reasons are words of ours.
func (h *Health) ServeReady(w http.ResponseWriter, r *http.Request) {
	report := h.Report(r.Context())
	status := http.StatusOK
	if !report.Ready() {
		status = http.StatusServiceUnavailable
	}
	write(w, status, report)
}

// ServeLive answers 200 for as long as the process answers at all.
func (h *Health) ServeLive(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, map[string]string{"status": "ok"})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails when the caller has gone
}

// collector asks at each scrape.
type collector struct {
	health *Health
	ready  *prometheus.Desc
}

// Describe names the one metric.
func (c collector) Describe(to chan<- *prometheus.Desc) { to <- c.ready }

// Collect checks every part.
func (c collector) Collect(to chan<- prometheus.Metric) {
	report := c.health.Report(context.Background())
	if report.Checks[Process] == "" {
		report.Checks[Process] = "ok"
	}
	for name, state := range report.Checks {
		value := 0.0
		if state == "ok" {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(c.ready, prometheus.GaugeValue, value, name)
	}
}
