package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"
)

// Settings say what a process is called, and with which environment it runs.
type Settings struct {
	Service string // service.name, unless the environment names one
	Version string
	Getenv  func(string) string
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Open returns a tracer that sends spans by OTLP over HTTP as the OTEL_*
// variables say, or nil when they do not ask for it.
func Open(ctx context.Context, s Settings) (*Tracer, error) {
	on, err := asked(s.Getenv)
	if err != nil || !on {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the exporter of traces: %w", err)
	}
	w := &watched{SpanExporter: exporter, log: s.Log, often: rate.Sometimes{First: 1, Interval: time.Minute}, failures: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "whatchanged_tracing_export_failures_total", Help: "Batches of spans that could not be sent; they are lost.",
	})}
	if err := s.Metrics.Register(w.failures); err != nil {
		return nil, fmt.Errorf("register tracing metrics: %w", err)
	}
	// Not resource.Default: it would add the command line, which may have a password.
	res, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", s.Service), attribute.String("service.version", s.Version)), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe this process for traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(w), sdktrace.WithResource(res)) // the sampler is OTEL_TRACES_SAMPLER
	return &Tracer{tracer: provider.Tracer("whatchanged"), close: provider.Shutdown}, nil
}

// asked reports whether the environment asks for traces.
func asked(getenv func(string) string) (bool, error) {
	if getenv("OTEL_SDK_DISABLED") == "true" {
		return false, nil
	}
	endpoint := getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if !endpoint {
			return false, nil
		}
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: want otlp or none", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch protocol := getenv(name); protocol {
		case "":
			continue
		case "http/protobuf", "http/json":
			return true, nil
		default:
			return false, fmt.Errorf("%s is %q: want http/protobuf; the collector's port for it is 4318", name, protocol)
		}
	}
	return true, nil
}

// watched counts and logs what its exporter cannot send. The SDK would print it
// in a way of its own.
type watched struct {
	sdktrace.SpanExporter
	log      *slog.Logger
	failures prometheus.Counter
	often    rate.Sometimes
}

// ExportSpans sends spans and never fails: they are lost then.
func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := w.SpanExporter.ExportSpans(ctx, spans); err != nil {
		w.failures.Inc()
		w.often.Do(func() { w.log.Warn("traces cannot be sent", "spans", len(spans), "error", err) })
	}
	return nil
}
