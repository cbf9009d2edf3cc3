package audit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	records *prometheus.CounterVec
	retries *prometheus.CounterVec
	refused *prometheus.CounterVec
	lost    *prometheus.CounterVec
	waiting *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_audit_records_total", Help: "Audit records that are on the bus, by kind.",
		}, []string{"kind"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_audit_retries_total", Help: "Frames of audit records that have to be published again.",
		}, []string{"kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_audit_refused_total", Help: "Calls that were refused because they could not be recorded.",
		}, []string{"reason"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_audit_lost_total", Help: "Records that could not be published before the process ended.",
		}, []string{"kind"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "whatchanged_audit_waiting", Help: "Audit records that wait to be published, by kind.",
		}, []string{"kind"}),
	}
	reg.MustRegister(m.records, m.retries, m.refused, m.lost, m.waiting)
	for _, kind := range []string{Events, Uses} {
		m.records.WithLabelValues(kind)
		m.retries.WithLabelValues(kind)
		m.lost.WithLabelValues(kind)
		m.waiting.WithLabelValues(kind)
	}
	for _, reason := range []string{"audit_full", "audit_not_acknowledged", "stopping"} {
		m.refused.WithLabelValues(reason)
	}
	return m
}

// showAge adds how long the oldest record of a lane has waited.
func showAge(reg prometheus.Registerer, l *lane) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "whatchanged_audit_oldest_seconds", Help: "How long the oldest of the audit records that wait has waited, by kind; 0 when there are none.",
		ConstLabels: prometheus.Labels{"kind": l.kind},
	}, func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.queue) == 0 {
			return 0
		}
		return time.Since(l.queue[0].since).Seconds()
	}))
}
