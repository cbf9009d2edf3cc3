package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// chainRecord is what a publisher remembers of its chain, apart from the
// stream itself, so that a stream which lost its end is noticed.
type chainRecord struct {
	Frame string `json:"frame"` // chain/number/hash
	Seq   uint64 `json:"seq"`
}

func (b *Bus) addCommitter(c *Committer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.committers = append(slices.Clone(b.committers), c)
}

func (b *Bus) removeCommitter(c *Committer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.committers = slices.DeleteFunc(slices.Clone(b.committers), func(o *Committer) bool { return o == c })
}

// chainKey names this publisher's record in the bucket STATE.
func (b *Bus) chainKey(lane string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}, b.cfg.Name)
	return "chain." + lane + "." + name + "_" // the name may be empty, a key may not
}

// rememberChain writes down how far a committer has come.
func (b *Bus) rememberChain(ctx context.Context, c *Committer) error {
	last := c.last.Load()
	if last == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	value, err := json.Marshal(chainRecord{Frame: last.String(), Seq: last.seq})
	if err != nil {
		return err
	}
	// Nobody else writes this key, so there is nothing to compare with.
	if _, err := b.kv[BucketState].Put(ctx, b.chainKey(c.lane), value); err != nil {
		return fmt.Errorf("remember the chain of lane %s: %w", c.lane, err)
	}
	return nil
}

// endOfOldChain returns the last frame of the chain that this publisher wrote
// before: the newest on the stream, or the one it remembers if the stream has
// lost it, which is an alarm. Without a memory it is the newest of the lane.
// Who may not read the stream names the one it remembers.
func (b *Bus) endOfOldChain(ctx context.Context, lane string) (FrameRef, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	entry, err := b.kv[BucketState].Get(ctx, b.chainKey(lane))
	mayRead := b.May(jsAPI + "DIRECT.GET." + Deliveries)
	if errors.Is(err, jetstream.ErrKeyNotFound) && mayRead {
		return b.newestOfLane(ctx, lane)
	}
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return FrameRef{}, nil
	}
	if err != nil {
		return FrameRef{}, fmt.Errorf("read the remembered chain: %w", err)
	}
	var rec chainRecord
	if err := json.Unmarshal(entry.Value(), &rec); err != nil {
		return FrameRef{}, fmt.Errorf("read the remembered chain: %w", err)
	}
	ref, err := parseRef(rec.Frame)
	if err != nil {
		return FrameRef{}, err
	}
	if !mayRead {
		return ref, nil // the auditor compares it with the stream
	}
	if err := b.checkStored(ctx, storedFrame{ref, rec.Seq}); err != nil {
		return FrameRef{}, err
	}
	return b.newestOfChain(ctx, lane, storedFrame{ref, rec.Seq})
}

func (b *Bus) newestOfLane(ctx context.Context, lane string) (FrameRef, error) {
	stream, err := b.js.Stream(ctx, Deliveries)
	if err != nil {
		return FrameRef{}, fmt.Errorf("open stream: %w", err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, "deliveries."+lane)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return FrameRef{}, nil
	}
	if err != nil {
		return FrameRef{}, fmt.Errorf("read the newest frame of lane %s: %w", lane, err)
	}
	link, err := readLink(msg.Header)
	if err != nil {
		return FrameRef{}, nil //nolint:nilerr // not ours: the auditor reports it
	}
	return link.FrameRef, nil
}

// newestOfChain reads on from a frame to the end of the stream, headers only.
func (b *Bus) newestOfChain(ctx context.Context, lane string, from storedFrame) (FrameRef, error) {
	newest := from.FrameRef
	err := b.scanHeaders(ctx, "deliveries."+lane, from.seq, func(_ uint64, link chainLink, err error) {
		if err == nil && link.Chain == newest.Chain && link.Number > newest.Number {
			newest = link.FrameRef
		}
	})
	return newest, err
}

// checkStored raises an alarm when a frame that was acknowledged is not where
// it was stored: the stream has lost its end, or something in it was changed.
func (b *Bus) checkStored(ctx context.Context, f storedFrame) error {
	stream, err := b.js.Stream(ctx, Deliveries)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	if f.seq < stream.CachedInfo().State.FirstSeq {
		return nil // stored and trimmed long ago
	}
	msg, err := stream.GetMsg(ctx, f.seq)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("read frame %s: %w", f.FrameRef, err)
	}
	if err == nil {
		if link, err := readLink(msg.Header); err == nil && link.FrameRef == f.FrameRef {
			return nil
		}
	}
	return b.alarm(ctx, alarmLost, f.FrameRef, fmt.Sprintf("frame %s was acknowledged at %d and is not there", f.id(), f.seq))
}
