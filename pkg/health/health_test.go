package health_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"whatchanged/pkg/health"
	"whatchanged/pkg/problem"
)

func TestHealth_NamesEachPartWithItsReason(t *testing.T) {
	var log bytes.Buffer
	var fault error
	reg := prometheus.NewRegistry()
	h := health.New(slog.New(slog.NewTextHandler(&log, nil)), reg)
	h.Add("bus", func(context.Context) error { return nil })
	h.Add("store", func(context.Context) error { return fault })
	ask := func() (int, map[string]any) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeReady(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return w.Code, got
	}
	check := func(when string, code int, want map[string]any) {
		t.Helper()
		gotCode, got := ask()
		if diff := cmp.Diff(want, got); diff != "" || gotCode != code {
			t.Errorf("%s: %d, want %d (-want +got):\n%s", when, gotCode, code, diff)
		}
	}
	type object = map[string]any
	check("while it starts", 503, object{
		"status": "not ready", "checks": object{"process": "failing", "bus": "ok", "store": "ok"}, "reasons": object{"process": "starting"},
	})
	h.Up()
	check("up", 200, object{"status": "ready", "checks": object{"bus": "ok", "store": "ok"}})
	fault = problem.BusyFor(0, "store_unreachable", "later", errors.New("dial tcp: password in here"))
	for range 3 {
		check("without a store", 503, object{
			"status": "not ready", "checks": object{"bus": "ok", "store": "failing"}, "reasons": object{"store": "store_unreachable"},
		})
	}
	if n := strings.Count(log.String(), "not ready"); n != 1 {
		t.Errorf("a part that fails is logged %d times, want once:\n%s", n, &log)
	}
	fault = nil
	h.Drain()
	check("while it stops", 503, object{
		"status": "not ready", "checks": object{"process": "failing", "bus": "ok", "store": "ok"}, "reasons": object{"process": "draining"},
	})
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP whatchanged_health_failures_total Checks of readiness that failed, by the part that was checked.
# TYPE whatchanged_health_failures_total counter
whatchanged_health_failures_total{part="bus"} 0
whatchanged_health_failures_total{part="store"} 3
# HELP whatchanged_health_ready 1 while a part that this process needs works; process is the process itself, which starts or drains when it is 0.
# TYPE whatchanged_health_ready gauge
whatchanged_health_ready{part="bus"} 1
whatchanged_health_ready{part="process"} 0
whatchanged_health_ready{part="store"} 1
`)); err != nil {
		t.Error(err)
	}
}

func TestHealth_LivesWhileItIsNotReady(t *testing.T) {
	h := health.New(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	w := httptest.NewRecorder()
	h.ServeLive(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != 200 {
		t.Errorf("/healthz answers %d", w.Code)
	}
}
