package api

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what the API does; every label has a fixed set of values.
type metrics struct {
	keyUses *prometheus.CounterVec
	refused *prometheus.CounterVec
	logged  *prometheus.CounterVec
	tails   prometheus.Gauge
	dropped prometheus.Counter
	lookups prometheus.Counter
	signIns *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		keyUses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_api_key_uses_total",
			Help: "Requests that carried a known key, by operation.",
		}, []string{"operation"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_api_refused_total",
			Help: "Requests without a known key, whose key lacks the scope or role, or is used too often.",
		}, []string{"reason"}),
		logged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_api_logged_total",
			Help: "Changes that callers logged: new, known already, or with a key that was used for another change.",
		}, []string{"outcome"}),
		tails: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_api_tails",
			Help: "Live tails that are open.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_api_tails_dropped_total",
			Help: "Live tails that were ended because their reader was too slow.",
		}),
		lookups: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_api_lookup_failures_total",
			Help: "Idempotency keys that could not be looked up; the normalizer settles those later.",
		}),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_api_sign_ins_total",
			Help: "Sign-ins of people, by what they showed and what became of it.",
		}, []string{"method", "outcome"}),
	}
	for _, reason := range []string{"unauthenticated", "forbidden", "rate_limited"} {
		m.refused.WithLabelValues(reason)
	}
	if reg != nil {
		reg.MustRegister(m.keyUses, m.refused, m.logged, m.tails, m.dropped, m.lookups, m.signIns)
	}
	return m
}
