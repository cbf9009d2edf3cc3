package registry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	rebuilds   prometheus.Counter
	mismatches prometheus.Counter
	damaged    prometheus.Counter
	writes     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, r *Registry) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "whatchanged_registry_view_age_seconds",
		Help: "Time since the last sign that the view of the registry is current; above 30 the receiver refuses.",
	}, func() float64 { return r.age().Seconds() })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "whatchanged_registry_revision",
		Help: "Revision of the registry that the view shows.",
	}, func() float64 { return float64(r.view.Load().revision) })
	return &metrics{
		rebuilds: f.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_registry_rebuilds_total",
			Help: "Times the watch on the registry fell silent and was started anew.",
		}),
		mismatches: f.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_registry_missed_changes_total",
			Help: "Changes that a full reading found and the watch had not reported.",
		}),
		damaged: f.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_registry_damaged_records_total",
			Help: "Records of the registry that could not be read and are left out.",
		}),
		writes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_registry_writes_total",
			Help: "Writes to the registry.",
		}, []string{"kind", "result"}),
	}
}
