package tracing_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"whatchanged/pkg/problem"
	"whatchanged/pkg/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// What is off makes nothing, not even garbage.
func TestTracer_CostsNothingWhenOff(t *testing.T) {
	var off *tracing.Tracer
	ctx := t.Context()
	cost := testing.AllocsPerRun(100, func() {
		within, span := off.Request(ctx, "a", time.Time{}, parent)
		_, step := off.Step(within, "b")
		_, follow := off.Follow(within, "c", parent)
		_, together := off.Together(within, "d", trace.SpanKindProducer, nil)
		for _, s := range []trace.Span{span, step, follow, together} {
			tracing.End(s, nil)
		}
		if off.On() || tracing.Parent(within) != "" {
			t.Error("it is on")
		}
	})
	if cost != 0 {
		t.Errorf("%v allocations", cost)
	}
	if err := off.Close(ctx); err != nil {
		t.Error(err)
	}
}

// open returns a tracer as an environment asks for it, or nil.
func open(t *testing.T, environ map[string]string) (*tracing.Tracer, error) {
	t.Helper()
	for name, value := range environ {
		t.Setenv(name, value) // the exporter reads them itself
	}
	return tracing.Open(t.Context(), tracing.Settings{
		Service: "whatchanged", Getenv: func(name string) string { return environ[name] },
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
}

func TestOpen_OnlyWhenTheEnvironmentAsksForIt(t *testing.T) {
	sink := httptest.NewServer(http.NotFoundHandler())
	defer sink.Close()
	for _, tc := range []struct {
		name    string
		environ map[string]string
		on      bool
		err     string
	}{
		{name: "nothing is said"},
		{name: "an endpoint", environ: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": sink.URL}, on: true},
		{name: "an endpoint for traces", environ: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": sink.URL + "/v1/traces"}, on: true},
		{name: "the exporter", environ: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		{name: "none", environ: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": sink.URL}},
		{name: "all off", environ: map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": sink.URL}},
		{name: "another exporter", environ: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, err: "OTEL_TRACES_EXPORTER"},
		{name: "grpc", environ: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": sink.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, err: "http/protobuf"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tracer, err := open(t, tc.environ)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Fatalf("error %v, want %q", err, tc.err)
			}
			if tracer.On() != tc.on {
				t.Errorf("on: %v", tracer.On())
			}
			if err := tracer.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A span goes on in the trace that is named; what is not recorded names none.
func TestTracer_GoesOnInTheTraceThatIsNamed(t *testing.T) {
	sink := httptest.NewServer(http.NotFoundHandler())
	defer sink.Close()
	tracer, err := open(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": sink.URL, "OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_BSP_EXPORT_TIMEOUT": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tracer.Close(context.Background()) }()                   // nobody takes the spans
	f := func(name string, ctx context.Context, span trace.Span, want string) { //nolint:revive // a case reads better by its name
		t.Helper()
		tracing.End(span, problem.New(problem.Busy, "queue_full", "later"))
		trace, _, _ := strings.Cut(strings.TrimPrefix(tracing.Parent(ctx), "00-"), "-")
		if diff := cmp.Diff(want, trace); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	ctx, span := tracer.Request(t.Context(), "a", time.Now(), parent)
	f("a request in a recorded trace", ctx, span, id)
	other, span := tracer.Request(ctx, "a", time.Now(), "")
	f("a request that names none, and is not sampled", other, span, "")
	other, span = tracer.Request(ctx, "a", time.Now(), "00-nonsense")
	f("a request that names nonsense", other, span, "")
	other, span = tracer.Request(ctx, "a", time.Now(), strings.TrimSuffix(parent, "1")+"0")
	f("a request in a trace that is not recorded", other, span, "")
	step, span := tracer.Step(ctx, "b")
	f("a step of it", step, span, id)
	step, span = tracer.Step(t.Context(), "b")
	f("a step of nothing", step, span, "")
	follow, span := tracer.Follow(t.Context(), "c", parent)
	f("what follows elsewhere", follow, span, id)
	together, span := tracer.Together(t.Context(), "d", trace.SpanKindConsumer, []string{parent, strings.Replace(parent, "4bf9", "5bf9", 1)})
	f("many together lie in the first", together, span, id)
}
