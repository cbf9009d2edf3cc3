package fair

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"whatchanged/pkg/change"
)

type metrics struct {
	refused          *prometheus.CounterVec
	moves            *prometheus.CounterVec
	orgs, bulk, busy prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_fair_refused_total",
			Help: "Requests refused for what their organisation sends or has stored, by reason.",
		}, []string{"reason"}),
		moves: f.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_fair_moves_total",
			Help: "Organisations that changed lanes, by the lane they came to.",
		}, []string{"lane"}),
		orgs: f.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_fair_orgs", Help: "Organisations of which something was received in the last hour.",
		}),
		bulk: f.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_fair_bulk_orgs", Help: "Organisations far above their share, whose deliveries go to the lane bulk.",
		}),
		busy: f.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_fair_busy", Help: "1 while there is more to do than can be done at once.",
		}),
	}
	for _, reason := range []string{reasonRequests, reasonBytes, reasonQuota} {
		m.refused.WithLabelValues(reason)
	}
	for _, lane := range []string{change.Fresh, change.Bulk} {
		m.moves.WithLabelValues(lane)
	}
	return m
}
