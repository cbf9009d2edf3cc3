package bus

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	frames       *prometheus.CounterVec
	deliveries   *prometheus.CounterVec
	frameBytes   *prometheus.CounterVec
	publish      *prometheus.HistogramVec
	perFrame     *prometheus.HistogramVec
	frameSize    *prometheus.HistogramVec
	batchRecords *prometheus.HistogramVec
	batchBytes   *prometheus.HistogramVec
	batchSeconds *prometheus.HistogramVec
	batchInHand  *prometheus.GaugeVec
	retries      *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	consumed     *prometheus.CounterVec
	redeliveries *prometheus.CounterVec
	deadLetters  *prometheus.CounterVec
	deadShed     prometheus.Counter
	deadDepth    *prometheus.GaugeVec
	deadOldest   *prometheus.GaugeVec
	deadBytes    prometheus.Gauge
	alarms       *prometheus.CounterVec
	uncounted    prometheus.Counter
	trimmed      *prometheus.CounterVec
	restarts     prometheus.Counter
	asyncErrors  prometheus.Counter
	denied       prometheus.Counter
	diskFree     prometheus.Gauge
	accepting    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	var all []prometheus.Collector
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "whatchanged", Subsystem: "bus", Name: name, Help: help,
		}, labels)
		all = append(all, c)
		return c
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "whatchanged", Subsystem: "bus", Name: name, Help: help,
		}, labels)
		all = append(all, g)
		return g
	}
	histograms := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "whatchanged", Subsystem: "bus", Name: name, Help: help, Buckets: buckets,
		}, []string{label})
		all = append(all, h)
		return h
	}
	records, bytes := prometheus.ExponentialBuckets(1, 4, 9), prometheus.ExponentialBuckets(256, 4, 10)
	m := &metrics{
		frames:     counters("frames_total", "Frames committed.", "lane"),
		deliveries: counters("deliveries_total", "Deliveries committed.", "lane"),
		frameBytes: counters("frame_bytes_total", "Bytes of frames committed, compressed.", "lane"),
		publish: histograms("publish_seconds", "From a frame's first publish until its fsynced acknowledgement.",
			prometheus.ExponentialBuckets(0.0001, 2, 16), "lane"),
		perFrame:     histograms("frame_deliveries", "Deliveries in a committed frame.", records, "lane"),
		frameSize:    histograms("frame_size_bytes", "Size of a committed frame, compressed.", bytes, "lane"),
		batchRecords: histograms("batch_records", "Deliveries or changes that a consumer handled together.", records, "consumer"),
		batchBytes:   histograms("batch_size_bytes", "Size of what a consumer handled together, compressed.", bytes, "consumer"),
		batchSeconds: histograms("batch_seconds", "Time that a consumer took to handle a batch.", prometheus.ExponentialBuckets(0.001, 2, 16), "consumer"),
		batchInHand:  gauges("batch_in_hand_records", "Deliveries or changes that a consumer is handling now.", "consumer"),
		retries:      counters("publish_retries_total", "Frames published again for want of an answer.", "lane"),
		refusals:     counters("refusals_total", "Deliveries refused, by reason.", "reason"),
		consumed:     counters("consumed_frames_total", "Frames handled and acknowledged.", "consumer"),
		redeliveries: counters("redeliveries_total", "Frames put back for later.", "consumer"),
		deadLetters:  counters("dead_letters_total", "Dead letters stored, by stage.", "stage"),
		deadShed:     counters("dead_shed_total", "Dead letters removed for room; their bytes are in payloads.").WithLabelValues(),
		deadDepth:    gauges("dead_depth", "Dead letters that wait for somebody, by stage; counted every minute.", "stage"),
		deadOldest:   gauges("dead_oldest_seconds", "How long ago the oldest of them first failed, by stage; 0 when there are none.", "stage"),
		deadBytes:    gauges("dead_used_ratio", "How much of the room for dead letters is taken: above 0.8, those whose bytes are in payloads are removed.").WithLabelValues(),
		alarms:       counters("alarms_total", "Signs of lost or changed frames, and full streams, by kind.", "kind"),
		uncounted:    counters("uncounted_frames_total", "Unreadable frames: how many deliveries of which source they had is not known.").WithLabelValues(),
		trimmed:      counters("trimmed_frames_total", "Stored frames purged.", "stream"),
		restarts:     counters("server_restarts_total", "Restarts of the embedded server to free a wedged stream.").WithLabelValues(),
		asyncErrors:  counters("connection_errors_total", "Errors the connection reported by itself.").WithLabelValues(),
		denied:       counters("permission_denied_total", "Subjects that the servers refused to this user.").WithLabelValues(),
		diskFree:     gauges("disk_free_bytes", "Free bytes of the embedded server's volume.").WithLabelValues(),
		accepting:    gauges("accepting", "1 while deliveries are accepted.").WithLabelValues(),
	}
	m.zero()
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register bus metrics: %w", err)
		}
	}
	return m, nil
}

// zero shows what has not happened yet as 0: an alarm on the first time needs
// something to have been there before.
func (m *metrics) zero() {
	for _, kind := range []string{alarmHole, alarmHash, alarmLost, alarmHeaders, alarmFull} {
		m.alarms.WithLabelValues(kind)
	}
	for _, reason := range []string{"bus_full", "bus_not_acknowledging", "bus_restarting", "disk_reserve", "queue_full", "stopping"} {
		m.refusals.WithLabelValues(reason)
	}
	for _, stage := range Stages() {
		m.deadLetters.WithLabelValues(stage)
	}
	for _, stream := range []string{Deliveries, Changes, Audit} {
		m.trimmed.WithLabelValues(stream)
	}
}

// zeroLane and zeroConsumer do the same for what this process has.
func (m *metrics) zeroLane(lane string) {
	m.frames.WithLabelValues(lane)
	m.deliveries.WithLabelValues(lane)
	m.frameBytes.WithLabelValues(lane)
	m.retries.WithLabelValues(lane)
	m.publish.WithLabelValues(lane)
	m.perFrame.WithLabelValues(lane)
	m.frameSize.WithLabelValues(lane)
}

func (m *metrics) zeroConsumer(durable string) {
	m.consumed.WithLabelValues(durable)
	m.redeliveries.WithLabelValues(durable)
}
