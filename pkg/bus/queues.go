package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("whatchanged", "bus", name), help, labels, nil)
}

func gauge(to chan<- prometheus.Metric, desc *prometheus.Desc, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

// queues shows what waits in this process to be committed, at each scrape.
type queues struct {
	bus                     *Bus
	deliveries, bytes, ages *prometheus.Desc
}

func newQueues(b *Bus) queues {
	return queues{
		bus:        b,
		deliveries: newDesc("queue_deliveries", "Deliveries that wait to be committed.", "lane"),
		bytes:      newDesc("queue_bytes", "Bytes that wait to be committed.", "lane"),
		ages:       newDesc("queue_oldest_seconds", "How long the oldest of them has waited; 0 when there are none.", "lane"),
	}
}

// Describe names the metrics.
func (q queues) Describe(to chan<- *prometheus.Desc) {
	to <- q.deliveries
	to <- q.bytes
	to <- q.ages
}

// Collect looks at the committers that run.
func (q queues) Collect(to chan<- prometheus.Metric) {
	for _, c := range q.bus.running() {
		c.mu.Lock()
		n, bytes, oldest := len(c.queue), c.bytes, 0.0
		if n > 0 {
			oldest = time.Since(c.queue[0].since).Seconds()
		}
		c.mu.Unlock()
		gauge(to, q.deliveries, float64(n), c.lane)
		gauge(to, q.bytes, float64(bytes), c.lane)
		gauge(to, q.ages, oldest, c.lane)
	}
}

// lookTimeout is how long a scrape waits for the servers.
const lookTimeout = 3 * time.Second

// Depths shows at each scrape how full the streams are and how far behind each
// durable consumer is. All processes see the same, so one kind of them should
// register it. What cannot be seen is missing and counted as a failure.
type Depths struct {
	bus      *Bus
	failures prometheus.Counter

	messages, bytes, room, oldest *prometheus.Desc // of streams
	pending, inHand, behind       *prometheus.Desc // of consumers
}

// NewDepths returns the collector.
func (b *Bus) NewDepths() *Depths {
	stream := func(name, help string) *prometheus.Desc { return newDesc("stream_"+name, help, "stream") }
	consumer := func(name, help string) *prometheus.Desc { return newDesc("consumer_"+name, help, "stream", "consumer") }
	return &Depths{
		bus: b,
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_bus_look_failures_total", Help: "Scrapes that could not see the streams and their consumers.",
		}),
		messages: stream("messages", "Messages on a stream."),
		bytes:    stream("bytes", "Bytes on a stream."),
		room:     stream("capacity_bytes", "Bytes that a stream may hold; DELIVERIES refuses more."),
		oldest:   stream("oldest_seconds", "Age of the oldest message on a stream; 0 when it is empty."),
		pending:  consumer("pending_frames", "Messages that a consumer has not been given yet: its lag."),
		inHand:   consumer("in_hand_frames", "Messages that a consumer was given and has not settled."),
		behind:   consumer("oldest_seconds", "Age of the oldest message that a consumer has not settled: its lag in time; 0 when there is none."),
	}
}

// Describe names the metrics.
func (d *Depths) Describe(to chan<- *prometheus.Desc) {
	d.failures.Describe(to)
	for _, desc := range []*prometheus.Desc{d.messages, d.bytes, d.room, d.oldest, d.pending, d.inHand, d.behind} {
		to <- desc
	}
}

// Collect asks the servers.
func (d *Depths) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout) // a scrape has no context
	defer cancel()
	for _, cfg := range d.bus.streams() {
		if err := d.look(ctx, cfg.Name, to); err != nil {
			d.failures.Inc()
			d.bus.log.Debug("a stream cannot be looked at", "stream", cfg.Name, "error", err)
		}
	}
	d.failures.Collect(to)
}

func (d *Depths) look(ctx context.Context, name string, to chan<- prometheus.Metric) error {
	stream, err := d.bus.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", name, err)
	}
	info := stream.CachedInfo()
	oldest := 0.0
	if info.State.Msgs > 0 {
		oldest = max(0, time.Since(info.State.FirstTime).Seconds())
	}
	gauge(to, d.messages, float64(info.State.Msgs), name)
	gauge(to, d.bytes, float64(info.State.Bytes), name)
	gauge(to, d.room, float64(info.Config.MaxBytes), name)
	gauge(to, d.oldest, oldest, name)
	for _, known := range durables() {
		if known.stream != name {
			continue
		}
		c, err := d.bus.js.Consumer(ctx, name, known.name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue // nobody has consumed as it yet
		}
		if err != nil {
			return fmt.Errorf("look at consumer %s: %w", known.name, err)
		}
		behind, err := unsettledFor(ctx, stream, c.CachedInfo())
		if err != nil {
			return fmt.Errorf("look at the oldest message of consumer %s: %w", known.name, err)
		}
		gauge(to, d.pending, float64(c.CachedInfo().NumPending), name, known.name)
		gauge(to, d.inHand, float64(c.CachedInfo().NumAckPending), name, known.name)
		gauge(to, d.behind, behind.Seconds(), name, known.name)
	}
	return nil
}

// unsettledFor returns the age of the first message that a consumer has not settled.
func unsettledFor(ctx context.Context, stream jetstream.Stream, c *jetstream.ConsumerInfo) (time.Duration, error) {
	if c.NumPending == 0 && c.NumAckPending == 0 {
		return 0, nil
	}
	if info := stream.CachedInfo(); info.Config.Retention == jetstream.WorkQueuePolicy {
		if info.State.Msgs == 0 {
			return 0, nil
		}
		return max(0, time.Since(info.State.FirstTime)), nil // what is settled is gone
	}
	subject := c.Config.FilterSubject
	if subject == "" {
		subject = ">"
	}
	msg, err := stream.GetMsg(ctx, c.AckFloor.Stream+1, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil // settled meanwhile, and gone
	}
	if err != nil {
		return 0, err
	}
	return max(0, time.Since(msg.Time)), nil
}
