package writer

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/tracing"
)

// spans are those of the deliveries of a batch whose traces are recorded: all of
// them are inserted together, but each is a part of its own trace.
type spans []trace.Span

func (s *spans) begin(ctx context.Context, t *tracing.Tracer, name, traceparent string, id change.DeliveryID) {
	if traceparent == "" {
		return
	}
	_, span := t.Follow(ctx, name, traceparent, attribute.String("whatchanged.delivery_id", id.String()))
	*s = append(*s, span)
}

// end is for a deferred call, when the error is known.
func (s spans) end(err *error) {
	for _, span := range s {
		tracing.End(span, *err)
	}
}

func (w *Writer) tracedRaw(ctx context.Context, frames []*bus.DeliveryFrame) func(*error) {
	var all spans
	if w.Tracer.On() {
		for _, f := range frames {
			for i := range f.Deliveries {
				d := &f.Deliveries[i]
				all.begin(ctx, w.Tracer, "store payload", d.TraceParent, d.ID)
			}
		}
	}
	return all.end
}

func (w *Writer) tracedChanges(ctx context.Context, frames []*bus.ChangeFrame) func(*error) {
	var all spans
	if w.Tracer.On() {
		for _, f := range frames {
			for i := range f.Results {
				r := &f.Results[i]
				all.begin(ctx, w.Tracer, "insert delivery", r.TraceParent, r.DeliveryID)
			}
		}
	}
	return all.end
}
