package httpserver

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"whatchanged/pkg/change"
)

// RequestIDHeader names a request in answers and in the log.
const RequestIDHeader = "X-Request-Id"

// often is how many faults of ours are logged each; then one a second. Counters
// have them all.
const often = 20

type requestIDKey struct{}

// RequestID returns the request's id, or "" outside Observe.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// Observe gives every request an id, counts it and logs it at debug level (at
// warn level when the answer is 500, but not each of many). Paths and query strings are never logged
// or counted, for they may carry secrets: the route's pattern stands for them.
func Observe(next http.Handler, log *slog.Logger, reg prometheus.Registerer) http.Handler {
	f := promauto.With(reg)
	requests := f.NewCounterVec(prometheus.CounterOpts{
		Name: "whatchanged_httpserver_requests_total",
		Help: "Requests answered, by the pattern of their route.",
	}, []string{"route", "method", "code"})
	duration := f.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "whatchanged_httpserver_request_duration_seconds",
		Help:    "Time from the end of a request's headers to the end of its answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"route"})
	warn := &rate.Sometimes{First: often, Interval: time.Second}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := change.NewDeliveryID(start).String()[len("dlv_"):]
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id))
		w.Header().Set(RequestIDHeader, id)
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)

		elapsed := time.Since(start)
		route := r.Pattern // set by the ServeMux inside
		if route == "" {
			route = "none"
		}
		requests.WithLabelValues(route, knownMethod(r.Method), strconv.Itoa(rec.status)).Inc()
		duration.WithLabelValues(route).Observe(elapsed.Seconds())
		report := func(level slog.Level) {
			log.Log(r.Context(), level, "request", "request_id", id, "method", knownMethod(r.Method), "route", route,
				"status", rec.status, "bytes", rec.bytes, "duration", elapsed)
		}
		switch {
		case rec.status == http.StatusInternalServerError:
			warn.Do(func() { report(slog.LevelWarn) })
		case log.Enabled(r.Context(), slog.LevelDebug):
			report(slog.LevelDebug)
		}
	})
}

// knownMethod keeps what a client invents out of labels.
func knownMethod(m string) string {
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
	}
	if slices.Contains(known, m) {
		return m
	}
	return "other"
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
	wrote  bool
}

// WriteHeader notes the status of the final answer.
func (r *recorder) WriteHeader(status int) {
	if !r.wrote && status >= 200 {
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the answer.
func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	n, err := r.ResponseWriter.Write(b)
	r.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach deadlines and flushing.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
