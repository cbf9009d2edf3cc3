package receiver

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	fresh      prometheus.Counter
	duplicates prometheus.Counter
	bytes      prometheus.Counter
	refusals   *prometheus.CounterVec
	handshakes *prometheus.CounterVec
	inFlight   prometheus.Gauge
	duration   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, memory *atomic.Int64) *metrics {
	f := promauto.With(reg)
	deliveries := f.NewCounterVec(prometheus.CounterOpts{
		Name: "whatchanged_receiver_deliveries_total",
		Help: "Deliveries made durable and answered 200; duplicate says whether this process had seen the identity lately.",
	}, []string{"duplicate"})
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "whatchanged_receiver_body_memory_bytes",
		Help: "Memory held by the bodies of requests in hand.",
	}, func() float64 { return float64(memory.Load()) })
	m := &metrics{
		fresh:      deliveries.WithLabelValues("false"),
		duplicates: deliveries.WithLabelValues("true"),
		bytes: f.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_receiver_body_bytes_total",
			Help: "Bytes of the bodies that were made durable.",
		}),
		refusals: f.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_receiver_refusals_total",
			Help: "Requests answered with an error, by its reason.",
		}, []string{"reason"}),
		handshakes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_receiver_handshakes_total",
			Help: "Handshakes of senders that were answered, by their kind.",
		}, []string{"kind"}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_receiver_requests_in_flight",
			Help: "Requests being answered.",
		}),
		duration: f.NewHistogram(prometheus.HistogramOpts{
			Name: "whatchanged_receiver_request_duration_seconds",
			Help: "Time from the end of a request's headers to the end of its answer.",
			Buckets: []float64{
				.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20,
			},
		}),
	}
	for _, kind := range []string{"cloudevents", "eventgrid", "sns"} {
		m.handshakes.WithLabelValues(kind)
	}
	for _, reason := range []string{ // those that an alarm is about must have been 0 before
		"bad_signature", "bad_token", "bytes_limited", "failures_limited", "internal", "out_of_memory", "queue_full", "rate_limited",
		"registry_stale", "secret_unreadable", "signature_missing", "stale_signature", "unknown_token",
		"bus_full", "bus_not_acknowledging", "bus_restarting", "disk_reserve",
	} {
		m.refusals.WithLabelValues(reason)
	}
	return m
}

func (m *metrics) accepted(duplicate bool, size int) {
	if duplicate {
		m.duplicates.Inc()
	} else {
		m.fresh.Inc()
	}
	m.bytes.Add(float64(size))
}
