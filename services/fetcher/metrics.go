package fetcher

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	files   *prometheus.CounterVec
	bytes   prometheus.Counter
	seconds prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		files: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_fetcher_files_total",
			Help: "Tries to fetch a log file, by outcome; failed and denied are tried again.",
		}, []string{"outcome"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_fetcher_bytes_total",
			Help: "Bytes of log files fetched, as they lie in the bucket.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "whatchanged_fetcher_seconds",
			Help:    "Time to fetch a log file and commit it.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 8),
		}),
	}
	reg.MustRegister(m.files, m.bytes, m.seconds)
	for _, o := range outcomes {
		m.files.WithLabelValues(o.name)
	}
	m.files.WithLabelValues(outcomeFailed)
	return m
}
