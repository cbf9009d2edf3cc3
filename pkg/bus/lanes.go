package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
)

// bulkPatience is how long a batch of the lane bulk lets batches of the lane
// fresh go first: they take what they need, and it still gets its turn.
const bulkPatience = time.Second

// inTurn does a batch's work in the order of service: a batch of the lane bulk
// begins while none of the lane fresh is in hand, or has waited bulkPatience.
func (b *Bus) inTurn(ctx context.Context, stream, lane string, work func() error) error {
	t := &b.toDeliveries
	if stream == Changes {
		t = &b.toChanges
	}
	switch lane {
	case change.Fresh:
		defer t.first()()
	case change.Bulk:
		t.wait(ctx, bulkPatience)
	}
	return work()
}

// precedence is who goes first at one stage of the pipeline.
type precedence struct {
	mu   sync.Mutex
	busy int           // those who go first and are at it
	free chan struct{} // closed when there are none any more; nil while there are none
}

// first says that somebody who goes first is at it, until done is called.
func (p *precedence) first() (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy++; p.busy == 1 {
		p.free = make(chan struct{})
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.busy--; p.busy == 0 {
			close(p.free)
			p.free = nil
		}
	}
}

// wait returns when nobody who goes first is at it, or after patience.
func (p *precedence) wait(ctx context.Context, patience time.Duration) {
	p.mu.Lock()
	free := p.free
	p.mu.Unlock()
	if free == nil {
		return
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case <-free:
	case <-over.C:
	case <-ctx.Done():
	}
}

// splitWriter makes the consumer of the lane bulk, if there is none. Where one
// consumer had all lanes before, it goes on behind what that one has settled.
func (b *Bus) splitWriter(ctx context.Context) error {
	stream, err := b.js.Stream(ctx, Changes)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Changes, err)
	}
	if _, err := stream.Consumer(ctx, WriterBulk); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err // mostly nil: it is there
	}
	cfg := jetstream.ConsumerConfig{
		Durable: WriterBulk, FilterSubject: subjectOf(Changes, change.Bulk), AckPolicy: jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy, AckWait: consumerAckWait, MaxAckPending: batchesInHand, MaxDeliver: -1,
	}
	whole, err := stream.Consumer(ctx, Writer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
	case err != nil:
		return fmt.Errorf("look at consumer %s: %w", Writer, err)
	default:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, whole.CachedInfo().AckFloor.Stream+1
	}
	if _, err := stream.CreateConsumer(ctx, cfg); err != nil && !errors.Is(err, jetstream.ErrConsumerExists) {
		return fmt.Errorf("make consumer %s of %s: %w", WriterBulk, Changes, err)
	}
	return nil
}

// written returns the sequence of CHANGES up to which everything is stored: by
// the writers of both lanes, or by one that has them all.
func written(ctx context.Context, changes jetstream.Stream) (uint64, error) {
	cons, err := changes.Consumer(ctx, Writer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at consumer %s: %w", Writer, err)
	}
	if info := cons.CachedInfo(); info.Config.FilterSubject == "" {
		return info.AckFloor.Stream, nil
	}
	fresh, err := done(ctx, changes, Writer)
	if err != nil {
		return 0, err
	}
	bulk, err := done(ctx, changes, WriterBulk)
	return min(fresh, bulk), err
}

// Waiting returns how many deliveries wait to be committed.
func (c *Committer) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// Lag returns how many frames of a lane no normalizer has taken yet.
func (b *Bus) Lag(ctx context.Context, lane string) (uint64, error) {
	durable := NormalizerFresh
	if lane == change.Bulk {
		durable = NormalizerBulk
	}
	cons, err := b.js.Consumer(ctx, Deliveries, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at consumer %s: %w", durable, err)
	}
	return cons.CachedInfo().NumPending, nil
}
