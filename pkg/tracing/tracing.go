// Package tracing follows a delivery through the product with OpenTelemetry
// spans, from the request that brought it to the rows that were made of it. It
// is off unless the standard OTEL_* variables ask for it, and then costs a
// comparison with nil. Spans have names and attributes of ours only: nothing of
// a URL, a header or a body, and of an error no more than its word.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"whatchanged/pkg/problem"
)

// Header is the name of the header of a request and of a message on the bus
// that says in which trace it is (W3C Trace Context).
const Header = "traceparent"

// maxLinks bounds the spans that one span of many deliveries names.
const maxLinks = 128

// Tracer makes spans. A nil Tracer makes none. It is safe for concurrent use.
type Tracer struct {
	tracer trace.Tracer
	close  func(context.Context) error
}

// On reports whether spans are made at all.
func (t *Tracer) On() bool { return t != nil }

// Close sends what has not been sent. Nothing may be traced after it.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.close(ctx)
}

// Request begins the span of a request that came at start, in the trace that
// its traceparent names, or in a new one. Only who has proved to be somebody
// may name one: it decides with it what is recorded.
func (t *Tracer) Request(ctx context.Context, name string, start time.Time, traceparent string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t == nil {
		return ctx, noop.Span{}
	}
	return t.tracer.Start(within(ctx, traceparent), name,
		trace.WithTimestamp(start), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...))
}

// Step begins a span inside that of ctx. Without one it makes none.
func (t *Tracer) Step(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, noop.Span{}
	}
	return t.tracer.Start(ctx, name, trace.WithAttributes(attrs...))
}

// Follow begins a span in the trace that traceparent names, and links it to the
// span of ctx, which is about many. With no traceparent it makes none.
func (t *Tracer) Follow(ctx context.Context, name, traceparent string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t == nil || traceparent == "" {
		return ctx, noop.Span{}
	}
	var links []trace.Link
	if batch := trace.SpanContextFromContext(ctx); batch.IsSampled() {
		links = []trace.Link{{SpanContext: batch}}
	}
	return t.tracer.Start(within(ctx, traceparent), name,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...), trace.WithAttributes(attrs...))
}

// Together begins a span about many traces: it lies in the first of them, so
// that it is recorded when that is, and is linked to the others. Empty ones do
// not count; when all are, it makes none.
func (t *Tracer) Together(ctx context.Context, name string, kind trace.SpanKind, traceparents []string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t == nil || len(traceparents) == 0 {
		return ctx, noop.Span{}
	}
	var links []trace.Link
	for _, other := range traceparents[1:] {
		if len(links) == maxLinks {
			break
		}
		links = append(links, trace.Link{SpanContext: trace.SpanContextFromContext(within(ctx, other))})
	}
	return t.tracer.Start(within(ctx, traceparents[0]), name,
		trace.WithSpanKind(kind), trace.WithLinks(links...), trace.WithAttributes(attrs...))
}

// Parent returns the traceparent of the span of ctx, for what goes on
// elsewhere; empty when there is none, or it is not recorded.
func Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[Header]
}

// End ends a span. An error is told by its word, for its text may quote what
// was sent.
func End(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		reason := problem.From(err).Reason
		span.SetStatus(codes.Error, reason)
		span.SetAttributes(attribute.String("error.type", reason))
	}
	span.End()
}

// within returns ctx with the remote span that a traceparent names, or with none.
func within(ctx context.Context, traceparent string) context.Context {
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{Header: traceparent})
}
