package api

import (
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"whatchanged/pkg/tracing"
)

// trace makes a span of a request whose key was found good. It is named for the
// operation: paths and queries are the caller's.
func (a *API) trace(ctx huma.Context, next func(huma.Context)) {
	if !a.Tracer.On() {
		next(ctx)
		return
	}
	op := ctx.Operation()
	within, span := a.Tracer.Request(ctx.Context(), op.OperationID, time.Now(), ctx.Header(tracing.Header),
		attribute.String("http.route", op.Path), attribute.String("http.request.method", op.Method))
	defer span.End()
	ctx = huma.WithContext(ctx, within)
	next(ctx)
	if status := ctx.Status(); status > 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	}
}
