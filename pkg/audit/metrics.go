package audit

import "github.com/prometheus/client_golang/prometheus"

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
	return m
}
