package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
	"whatchanged/pkg/keep"
)

// Fetch is the stream of log files that are to be fetched: a queue of work, from
// which each goes when it is done.
const Fetch = "FETCH"

// StageFetch is the stage of dead letters about log files.
const StageFetch = "fetch"

// Fetcher is the durable consumer of Fetch.
const Fetcher = "fetcher"

const (
	fetchMaxBytes = 32 << 20 // some 100,000 log files
	fetchInHand   = 100_000  // those that wait for their next try too
	fetchGiveUp   = 24 * time.Hour
	fetchSlowest  = 10 * time.Minute
)

// ErrFetchFull means that there is no room to note one more log file.
var ErrFetchFull = errors.New("too many log files wait to be fetched")

// LogFile is an object that a delivery of a source announced, and whose content
// is to be taken in as one more delivery of that source.
type LogFile struct {
	Org        string            `json:"org"`
	SourceID   string            `json:"source_id"`
	DeliveryID change.DeliveryID `json:"delivery_id"` // of the notice
	Bucket     string            `json:"bucket"`
	Key        string            `json:"key"`
	Region     string            `json:"region,omitempty"`
	NoticedAt  change.Time       `json:"noticed_at"` // when the notice was received, or the file asked for again
	// Of a file that is asked for again: what tells that from the first time, how
	// often it was tried before, and when it first failed.
	Again   string      `json:"again,omitempty"`
	Tries   int         `json:"tries,omitempty"`
	FirstAt change.Time `json:"first_at,omitzero"`
	Later   string      `json:"-"` // what a later version has put into it, see keep.Unknown
}

// MarshalJSON also writes what a later version had put into f: one that is asked
// for again goes on the bus again.
func (f LogFile) MarshalJSON() ([]byte, error) {
	type plain LogFile
	return keep.With(plain(f), f.Later)
}

// UnmarshalJSON also reads what a later version has put into f.
func (f *LogFile) UnmarshalJSON(b []byte) (err error) {
	type plain LogFile
	*f = LogFile{}
	if err := json.Unmarshal(b, (*plain)(f)); err != nil {
		return err
	}
	f.Later, err = keep.Unknown(b, (*plain)(f))
	return err
}

// fetchStream is a queue of work: unlike the others it holds nothing that is
// not also on DELIVERIES.
func fetchStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        Fetch,
		Subjects:    []string{"fetch.*"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.WorkQueuePolicy,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    fetchMaxBytes,
		MaxMsgs:     -1,
		Duplicates:  duplicateWindow,
		Compression: jetstream.NoCompression,
		AllowDirect: true,
	}
}

// PublishFetch notes that a log file is to be fetched and returns when that is
// on disk. It tries until ctx ends, unless there is no room: ErrFetchFull.
func (b *Bus) PublishFetch(ctx context.Context, lane string, f LogFile) error {
	data, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode log file: %w", err)
	}
	msg := nats.NewMsg("fetch." + lane)
	msg.Header.Set(nats.MsgIdHdr, f.name()+f.Again)
	msg.Data = data
	for try := 1; ; try++ {
		err := b.publishOnce(ctx, msg)
		switch {
		case err == nil:
			return nil
		case isFull(err):
			b.metrics.alarms.WithLabelValues(alarmFull).Inc()
			return ErrFetchFull
		case ctx.Err() != nil:
			return fmt.Errorf("publish on %s: %w (last: %w)", msg.Subject, ctx.Err(), err)
		}
		b.log.Warn("publish has to be tried again", "subject", msg.Subject, "try", try, "error", err)
		if err := pause(ctx, backoff(try)); err != nil {
			return fmt.Errorf("publish on %s: %w", msg.Subject, err)
		}
	}
}

// name is the same for the same object of a source, but not for another notice:
// that one may tell of another content.
func (f *LogFile) name() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %q", f.Org, f.SourceID, f.DeliveryID, f.Bucket, f.Key)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// String returns the object's address.
func (f *LogFile) String() string { return "s3://" + f.Bucket + "/" + f.Key }

// Letter is the dead letter of a log file. A notice can name many.
func (f *LogFile) Letter(reason string) DeadLetter {
	reason = "fetch " + f.String() + ": " + reason
	task, _ := json.Marshal(f) // texts and a time
	return DeadLetter{
		Task: task, FirstAt: f.FirstAt,
		ID: "ded_" + f.name()[:26], Stage: StageFetch, Org: f.Org, SourceID: f.SourceID, DeliveryID: f.DeliveryID,
		Reason: reason, FirstError: reason, LastError: reason, Attempts: 1,
	}
}

// ConsumeFetches hands log files to h, at most workers at the same time, until
// ctx ends. One is done when h has returned nil. On an error it comes again
// after a delay that grows from a second to ten minutes; after a day, and at
// once when the error is change.ErrMalformed, it becomes a dead letter.
func (b *Bus) ConsumeFetches(ctx context.Context, workers int, h func(context.Context, LogFile) error) error {
	cons, err := b.consumer(ctx, Fetch, Fetcher, "", fetchInHand)
	if err != nil {
		return err
	}
	s := &settler{bus: b, durable: Fetcher, stage: StageFetch}
	var wg sync.WaitGroup
	for range max(1, workers) {
		wg.Go(func() {
			b.pull(ctx, cons, func(m jetstream.Msg) {
				var f LogFile
				if err := json.Unmarshal(m.Data(), &f); err != nil {
					s.settle(ctx, m, FrameRef{}, fmt.Errorf("%w: read log file: %w", errUnreadable, err))
					return
				}
				err := s.working([]jetstream.Msg{m}, func() error { return safely(func() error { return h(ctx, f) }) })
				s.settleFetch(ctx, m, f, err)
			})
		})
	}
	wg.Wait()
	return ctx.Err()
}

func (s *settler) settleFetch(ctx context.Context, m jetstream.Msg, f LogFile, err error) {
	_, delivered := position(m)
	switch {
	case err == nil:
		s.bus.metrics.consumed.WithLabelValues(s.durable).Inc()
		s.done(ctx, "acknowledge", m.DoubleAck)
	case ctx.Err() != nil:
		_ = m.Nak() // interrupted, not failed; without a connection the ack wait does the same
	case errors.Is(err, change.ErrMalformed) || time.Since(f.NoticedAt.Time) > fetchGiveUp:
		s.bury(ctx, m, f.Letter(""), fmt.Errorf("fetch %s: %w", &f, err), f.Tries+delivered)
	default:
		s.bus.metrics.redeliveries.WithLabelValues(s.durable).Inc()
		s.log.warn(s.bus.log, "log file is fetched again later", "source_id", f.SourceID, "delivery_id", f.DeliveryID,
			"delivered", delivered, "error", err)
		_ = m.NakWithDelay(fetchDelay(delivered))
	}
}

// fetchDelay grows from a second to ten minutes, with jitter.
func fetchDelay(try int) time.Duration {
	d := min(time.Second<<min(try-1, 16), fetchSlowest)
	return d/2 + rand.N(d/2+1) //nolint:gosec // not to come all at once is no secret
}
