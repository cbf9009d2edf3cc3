package normalizer

import (
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/change"
)

type metrics struct {
	deliveries     *prometheus.CounterVec
	changes        prometheus.Counter
	rollbacks      prometheus.Counter
	historySkipped prometheus.Counter
	lag            prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_normalizer_deliveries_total",
			Help: "Deliveries normalized, by outcome.",
		}, []string{"outcome"}),
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_normalizer_changes_total",
			Help: "Changes made from deliveries.",
		}),
		rollbacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_normalizer_rollbacks_found_total",
			Help: "Deployments that history shows to be rollbacks.",
		}),
		historySkipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_normalizer_history_skipped_total",
			Help: "Deployments that were compared with the last minutes only, since the store found the question too large.",
		}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "whatchanged_normalizer_lag_seconds",
			Help:    "Time from receiving a delivery to normalizing it.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
	}
	reg.MustRegister(m.deliveries, m.changes, m.rollbacks, m.historySkipped, m.lag)
	for _, outcome := range change.Outcomes() {
		m.deliveries.WithLabelValues(string(outcome))
	}
	return m
}

func (m *metrics) count(res *change.Result) {
	m.deliveries.WithLabelValues(string(res.Outcome)).Inc()
	m.changes.Add(float64(len(res.Changes)))
	m.lag.Observe(max(0, res.NormalizedAt.Sub(res.ReceivedAt.Time)).Seconds())
}
