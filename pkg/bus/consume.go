package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/problem"
)

const pullWait = 10 * time.Second // then the pull is made again; its end is no news

// consumer makes or updates a durable consumer. A disk that fails for a moment
// makes it wait: a part that gave up would take the process with it.
func (b *Bus) consumer(ctx context.Context, stream, durable, lane string, inHand int) (jetstream.Consumer, error) {
	b.metrics.zeroConsumer(durable)
	cfg := jetstream.ConsumerConfig{
		Durable:       durable,
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait:       consumerAckWait,
		MaxAckPending: inHand,
		MaxDeliver:    -1, // a limit would leave the message behind in silence: we count ourselves
	}
	if lane != "" {
		cfg.FilterSubject = subjectOf(stream, lane)
	}
	for try := 1; ; try++ {
		if there, err := b.js.Consumer(ctx, stream, durable); err == nil { // where it began stays
			cfg.DeliverPolicy, cfg.OptStartSeq = there.CachedInfo().Config.DeliverPolicy, there.CachedInfo().Config.OptStartSeq
		}
		cons, err := b.js.CreateOrUpdateConsumer(ctx, stream, cfg)
		if err == nil {
			err = errors.Join(b.release(ctx, stream, cfg, cons.CachedInfo()), b.syncNames())
		}
		if err == nil {
			b.remembered(stream, cfg)
			return cons, nil
		}
		var api *jetstream.APIError
		if ctx.Err() != nil || errors.As(err, &api) && api.Code < 500 {
			return nil, fmt.Errorf("make consumer %s of %s: %w", durable, stream, err)
		}
		if refused, ok := errors.AsType[*PermissionError](b.permission(jsAPI+"CONSUMER.CREATE."+stream+"."+durable, err)); ok {
			return nil, fmt.Errorf("make consumer %s of %s: %w", durable, stream, refused)
		}
		b.log.Warn("consumer cannot be made yet", "consumer", durable, "error", err)
		if err := pause(ctx, backoff(try)); err != nil {
			return nil, fmt.Errorf("make consumer %s of %s: %w", durable, stream, err)
		}
	}
}

// removalWait is longer than a server takes to remove the files of a consumer that
// it says is gone: it would remove those of the next one of that name too.
const removalWait = time.Second

// makeAgain makes a consumer that the servers have no more: what it is asked
// for would never come. It begins where it began, and what was settled comes
// again, which is harmless. Whoever pulls calls it after each failure.
func (b *Bus) makeAgain(ctx context.Context, cons jetstream.Consumer) {
	stream, durable := cons.CachedInfo().Stream, cons.CachedInfo().Name
	if _, err := b.js.Consumer(ctx, stream, durable); !errors.Is(err, jetstream.ErrConsumerNotFound) || pause(ctx, removalWait) != nil {
		return
	}
	b.log.Error("a consumer is gone and is made again", "stream", stream, "consumer", durable)
	b.mu.Lock()
	was := b.consumers[stream+"/"+durable]
	b.mu.Unlock()
	_, err := b.js.CreateConsumer(ctx, stream, was.cfg) // one that is there by now stays
	if err = errors.Join(err, b.syncNames()); err != nil && ctx.Err() == nil {
		b.log.Error("a consumer could not be made again", "stream", stream, "consumer", durable, "error", err)
	}
}

// releaseWait is longer than the 100 ms after which the server looks at what is
// in hand, once the ack wait has changed, also on a busy machine.
const releaseWait = time.Second

// release makes what was in hand when a process before us died, or when the
// server was restarted under us, come again now, not when its ack wait is over:
// the embedded server's consumers have no other process. There is no word for
// it but to shorten the wait for a moment.
func (b *Bus) release(ctx context.Context, stream string, cfg jetstream.ConsumerConfig, info *jetstream.ConsumerInfo) error {
	if b.embedded == nil || info.NumAckPending == 0 && info.Config.AckWait == cfg.AckWait {
		return nil // another ack wait is one that could not be set again
	}
	short := cfg
	short.AckWait = time.Millisecond
	if _, err := b.js.UpdateConsumer(ctx, stream, short); err != nil {
		return fmt.Errorf("release what consumer %s had in hand: %w", cfg.Durable, err)
	}
	waited := pause(ctx, releaseWait)
	restore, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout) // also while stopping
	defer cancel()
	if _, err := b.js.UpdateConsumer(restore, stream, cfg); err != nil {
		return fmt.Errorf("set the ack wait of consumer %s again: %w", cfg.Durable, err)
	}
	return waited
}

// remembered notes a consumer for releaseAll.
func (b *Bus) remembered(stream string, cfg jetstream.ConsumerConfig) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.consumers == nil {
		b.consumers = map[string]consumerOf{}
	}
	b.consumers[stream+"/"+cfg.Durable] = consumerOf{stream, cfg}
}

// releaseAll releases what the consumers of this process had in hand. What is
// still worked on comes again too, and is done twice, which is harmless.
func (b *Bus) releaseAll(ctx context.Context) error {
	b.mu.Lock()
	all := slices.Collect(maps.Values(b.consumers))
	b.mu.Unlock()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			cons, err := b.js.Consumer(ctx, c.stream, c.cfg.Durable)
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				return // whoever pulls makes it again
			}
			if err == nil {
				err = b.release(ctx, c.stream, c.cfg, cons.CachedInfo())
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func subjectOf(stream, lane string) string {
	if stream == Changes {
		return "changes." + lane
	}
	return "deliveries." + lane
}

// pull takes one message after the other until ctx ends. It holds none in
// front of h: what waits, waits on the server, where no clock runs for it.
func (b *Bus) pull(ctx context.Context, cons jetstream.Consumer, h func(jetstream.Msg)) {
	for fails := 0; ctx.Err() == nil; {
		msgs, err := b.fetch(ctx, cons, 1, 0, pullWait)
		for _, m := range msgs {
			h(m)
		}
		if err == nil {
			fails = 0
			continue
		}
		fails++
		b.makeAgain(ctx, cons)
		_ = pause(ctx, min(backoff(fails), 2*time.Second)) // the loop looks at ctx
	}
}

// fetch returns what is there, at most n messages of together maxBytes (0: no
// limit), and waits at most wait for them. No messages is no error.
func (b *Bus) fetch(ctx context.Context, cons jetstream.Consumer, n, maxBytes int, wait time.Duration) ([]jetstream.Msg, error) {
	if end, ok := ctx.Deadline(); ok { // heartbeats are a part of what there is
		wait = min(wait, time.Until(end))
	}
	// The server ends the pull a tenth before the context does.
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	opts := []jetstream.FetchOpt{jetstream.FetchContext(within)}
	if wait >= pullWait {
		opts = append(opts, jetstream.FetchHeartbeat(wait/4)) // a dead server is noticed
	}
	if maxBytes > 0 {
		opts = append(opts, jetstream.FetchMaxBytes(maxBytes))
	}
	batch, err := cons.Fetch(n, opts...)
	if err != nil {
		return nil, err
	}
	var msgs []jetstream.Msg
	for m := range batch.Messages() {
		msgs = append(msgs, m)
	}
	err = batch.Error()
	if len(msgs) > 0 || ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return msgs, nil
	}
	if err != nil {
		b.log.Debug("pull ended", "error", err)
	}
	return msgs, err
}

// fetchNow returns what is there, at most n messages, without waiting.
func (b *Bus) fetchNow(cons jetstream.Consumer, n int) ([]jetstream.Msg, error) {
	batch, err := cons.FetchNoWait(n)
	if err != nil {
		return nil, err
	}
	var msgs []jetstream.Msg
	for m := range batch.Messages() {
		msgs = append(msgs, m)
	}
	return msgs, batch.Error()
}

// safely turns a panic of a handler into an error: one frame must not stop the
// others, and is not lost by it. The error does not quote the frame.
func safely(h func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = problem.Panicked(p)
		}
	}()
	return h()
}

// handled remembers the frames a consumer is done with, to know them again.
type handled struct {
	mu     sync.Mutex
	frames map[FrameRef]struct{}
	oldest [rememberFrames]FrameRef
	next   int
}

const rememberFrames = 4096

func (k *handled) has(ref FrameRef) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.frames[ref]
	return ok
}

func (k *handled) add(ref FrameRef) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.frames == nil {
		k.frames = make(map[FrameRef]struct{}, rememberFrames)
	}
	delete(k.frames, k.oldest[k.next])
	k.frames[ref] = struct{}{}
	k.oldest[k.next] = ref
	k.next = (k.next + 1) % rememberFrames
}
