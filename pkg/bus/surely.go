package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
	"whatchanged/pkg/tracing"
)

// publishSurely publishes a message until it is acknowledged or ctx ends. The
// message must have an id, so that trying again is harmless.
func (b *Bus) publishSurely(ctx context.Context, msg *nats.Msg) error {
	for try := 1; ; try++ {
		err := b.publishOnce(ctx, msg)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("publish on %s: %w (last: %w)", msg.Subject, ctx.Err(), err)
		}
		b.log.Warn("publish has to be tried again", "subject", msg.Subject, "try", try, "error", err)
		if isFull(err) {
			b.metrics.alarms.WithLabelValues(alarmFull).Inc()
		}
		if isFull(err) && strings.HasPrefix(msg.Subject, "dead.") {
			if err := b.shedDead(ctx); err != nil {
				b.log.Error("cannot make room for dead letters", "error", err)
			}
		}
		if err := pause(ctx, min(backoff(try), putBackMost)); err != nil {
			return fmt.Errorf("publish on %s: %w", msg.Subject, err)
		}
	}
}

func (b *Bus) publishOnce(ctx context.Context, msg *nats.Msg) error {
	within, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	began := time.Now()
	// PublishMsg writes options into the message's headers: none are given.
	ack, err := b.js.PublishMsg(within, msg, jetstream.WithRetryAttempts(0))
	if err == nil {
		err = b.syncBlocks(ack.Stream)
	}
	b.silences.heard(ctx, "a publish on "+msg.Subject, began, err)
	return err
}

func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeStoreFailed
}

// backoff grows from 0.1 s to 60 s, with jitter.
func backoff(try int) time.Duration {
	d := min(100*time.Millisecond<<min(try-1, 16), time.Minute)
	return d/2 + rand.N(d/2+1) //nolint:gosec // not to come all at once is no secret
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

const (
	partTarget = 4 << 20  // bytes of results before compression
	resultMost = 24 << 20 // of one result; beyond it is split
)

// PublishChanges stores the outcomes of delivery frames of one lane, and
// returns when all are on disk: many frames in one message, since each message
// is an fsync, and a large one in as many parts as it takes. It tries until ctx
// ends; a repeat is harmless. Part and Parts are set here. A single change that
// is too large for any message is change.ErrMalformed.
func (b *Bus) PublishChanges(ctx context.Context, frames ...*ChangeFrame) error {
	p := b.packs.Get().(*pack)
	defer func() {
		if cap(p.raw) <= 2*partTarget {
			b.packs.Put(&pack{raw: p.raw[:0], sealed: p.sealed[:0]}) // less the frames
		}
	}()
	for _, f := range frames {
		parts, err := b.split(f)
		if err != nil {
			return err
		}
		head := *f
		head.Parts = len(parts)
		for i, part := range parts {
			head.Part = i + 1
			if p.records > 0 && (len(p.raw)+len(part) > min(partTarget, b.maxFrame) || p.records+f.records() > maxChanges/2) {
				if err := b.publishPack(ctx, p); err != nil {
					return err
				}
			}
			p.add(&head, part)
		}
	}
	if p.records == 0 {
		return nil
	}
	return b.publishPack(ctx, p)
}

// pack is one message of changes that is being filled. Its memory is used again.
type pack struct {
	raw, sealed []byte
	records     int
	first, last ChangeFrame // heads
}

func (p *pack) add(head *ChangeFrame, results []byte) {
	if p.records == 0 {
		p.first = *head
	}
	p.last = *head
	p.records += max(1, head.records())
	p.raw = putMessage(p.raw, 1, func(b []byte) []byte { return append(appendChangeHead(b, head), results...) })
}

// publishPack publishes what is in p and empties it.
func (b *Bus) publishPack(ctx context.Context, p *pack) error {
	p.sealed = seal(p.sealed[:0], p.raw)
	data := p.sealed
	name := p.first.name() + ".." + p.last.name()
	if p.first.Run > 0 {
		// A replay takes the deliveries of a frame as they come, some now and some
		// later: what differs must not be taken for a repeat.
		sum := sha256.Sum256(data)
		name += "/" + hex.EncodeToString(sum[:16])
	}
	if len(data) > b.maxFrame {
		return fmt.Errorf("%w: change frames %s have %d bytes, at most %d", change.ErrMalformed, name, len(data), b.maxFrame)
	}
	msg := nats.NewMsg("changes." + p.first.Lane)
	msg.Data = data
	msg.Header.Set(nats.MsgIdHdr, name)
	if parent := tracing.Parent(ctx); parent != "" {
		msg.Header[tracing.Header] = []string{parent}
	}
	if err := b.publishSurely(ctx, msg); err != nil {
		return fmt.Errorf("publish change frames %s: %w", name, err)
	}
	p.raw, p.records = p.raw[:0], 0
	return nil
}

// name names a part of a frame's changes.
func (f *ChangeFrame) name() string {
	name := fmt.Sprintf("%s/%d/%d/%d", f.Chain, f.Number, f.Run, f.Part)
	if f.Again != "" {
		name += "/" + f.Again
	}
	return name
}

// split encodes the results of f into parts.
func (b *Bus) split(f *ChangeFrame) ([][]byte, error) {
	parts := [][]byte{nil}
	add := func(encoded []byte) {
		last := &parts[len(parts)-1]
		if len(*last) > 0 && len(*last)+len(encoded) > min(partTarget, b.maxFrame) {
			parts = append(parts, nil)
			last = &parts[len(parts)-1]
		}
		*last = appendFrameResult(*last, encoded)
	}
	var buf []byte
	for i := range f.Results {
		r := &f.Results[i]
		buf = appendResult(buf[:0], r)
		if len(buf) <= b.maxFrame-frameSlack && len(buf) <= resultMost && len(r.Changes)+len(r.Incidents)+len(r.Removed) <= maxChanges/2 {
			add(buf)
			continue
		}
		// What it made alone is too much: it comes again in each part.
		whole := *r
		whole.Made = r.CountMade() // no part has them all
		head := appendResultHead(nil, &whole)
		piece := append([]byte(nil), head...)
		count := 0
		for one := range made(r) {
			if len(one)+len(head) > b.maxFrame-frameSlack {
				return nil, fmt.Errorf("%w: a change or incident of delivery %s has %d bytes", change.ErrMalformed, r.DeliveryID, len(one))
			}
			if count > 0 && (len(piece)+len(one) > min(partTarget, b.maxFrame-frameSlack) || count == maxChanges/2) {
				add(piece)
				piece, count = append(piece[:0], head...), 0
			}
			piece = append(piece, one...)
			count++
		}
		add(piece)
	}
	return parts, nil
}

// made yields the changes, incidents and removals of a result, each as a field of it.
func made(r *change.Result) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range r.Changes {
			if !yield(putMessage(nil, 17, func(b []byte) []byte { return appendChange(b, &r.Changes[i]) })) {
				return
			}
		}
		for i := range r.Incidents {
			if !yield(putMessage(nil, 18, func(b []byte) []byte { return appendIncident(b, &r.Incidents[i]) })) {
				return
			}
		}
		for _, id := range r.Removed {
			if !yield(putID(nil, 19, id)) {
				return
			}
		}
	}
}
