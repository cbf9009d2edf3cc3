package writer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/store"
)

type metrics struct {
	rows *prometheus.CounterVec
	lag  prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_writer_rows_total",
			Help: "Rows inserted, by table.",
		}, []string{"table"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "whatchanged_writer_lag_seconds",
			Help:    "Time from receiving a delivery to its changes being stored.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
	}
	reg.MustRegister(m.rows, m.lag)
	for _, table := range []string{"payloads", "changes", "deliveries", "audit_events", "token_uses"} {
		m.rows.WithLabelValues(table)
	}
	return m
}

func (m *metrics) count(b store.Batch) {
	changes := 0
	now := time.Now()
	for i := range b.Results {
		changes += len(b.Results[i].Changes)
		if b.Run > 0 {
			continue // received long ago
		}
		m.lag.Observe(max(0, now.Sub(b.Results[i].ReceivedAt.Time)).Seconds())
	}
	m.rows.WithLabelValues("changes").Add(float64(changes))
	m.rows.WithLabelValues("deliveries").Add(float64(len(b.Results)))
}
