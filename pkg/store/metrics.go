package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	insertSeconds *prometheus.HistogramVec
	insertRows    *prometheus.CounterVec
	querySeconds  *prometheus.HistogramVec
	damaged       prometheus.Counter

	endpointFailures *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		insertSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "whatchanged_store_insert_seconds", Help: "Time that one insert took, until it was on disk.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"table", "result"}),
		insertRows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_store_insert_rows_total", Help: "Rows that were inserted and are on disk.",
		}, []string{"table"}),
		querySeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "whatchanged_store_query_seconds", Help: "Time that one question to ClickHouse took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"query", "result"}),
		damaged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_store_damaged_parts_total", Help: "Parts of tables that could not be read and were put aside: an alarm.",
		}),
		endpointFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_store_endpoint_failures_total", Help: "Statements that one of several ClickHouse servers could not be asked: they went to another.",
		}, []string{"endpoint"}),
	}
	reg.MustRegister(m.insertSeconds, m.insertRows, m.querySeconds, m.damaged, m.endpointFailures)
	return m
}

// result is the value of the metrics' label for an outcome.
func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

func (m *metrics) queried(query string, start time.Time, err error) {
	m.querySeconds.WithLabelValues(query, result(err)).Observe(time.Since(start).Seconds())
}
