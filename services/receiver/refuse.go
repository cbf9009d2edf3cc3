package receiver

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"time"

	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/problem"
)

// refuse answers with an error. Nothing of the request is in the answer, and
// nothing but its reason is in the log.
// challenge is what a 401 asks for, when that is not a bearer's token.
func (rc *Receiver) refuse(w http.ResponseWriter, r *http.Request, err error, challenge string) {
	e := *problem.From(err) // a copy: some errors are shared between requests
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		e = problem.Error{Kind: problem.Malformed, Reason: "client_gone", Message: "the client left before the answer"}
	}
	if e.Kind == problem.RateLimited {
		// A source's senders may be many, and shall not come back together.
		e.RetryAfter = max(e.RetryAfter, time.Second) + mathrand.N(4*time.Second) //nolint:gosec // not to come all at once is no secret
	}
	h := w.Header()
	id := rand.Text()
	h.Set(httpserver.RequestIDHeader, id)
	if e.Kind == problem.MethodNotAllowed {
		h.Set("Allow", http.MethodPost)
	}
	if challenge != "" && e.Kind == problem.Unauthenticated {
		h.Set("WWW-Authenticate", challenge)
	}
	if closes(&e) {
		h.Set("Connection", "close")
	}
	rc.metrics.refusals.WithLabelValues(e.Reason).Inc()
	level := slog.LevelDebug
	if e.Kind == problem.Busy || e.Kind == problem.Internal {
		level = slog.LevelWarn
	}
	report := func() {
		rc.log.Log(r.Context(), level, "delivery refused", "reason", e.Reason, "status", e.Status(), "request_id", id, "error", err)
	}
	if level == slog.LevelWarn {
		rc.warn.Do(report)
	} else if rc.log.Enabled(r.Context(), level) {
		report()
	}
	if id, ok := firehoseRequest(r.Header); ok {
		writeFirehose(w, id, &e)
		return
	}
	problem.Write(w, &e)
}

// closes reports whether the rest of the request may still be on its way, so
// that nothing more can be read from the connection.
func closes(e *problem.Error) bool {
	switch e.Kind {
	case problem.TooLarge, problem.Timeout, problem.URITooLong:
		return true
	default:
		return e.Reason == bodyIncomplete || e.Reason == networkNotAllowed
	}
}
