package bus

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/failpoint"
)

const (
	auditEvery = 3 * time.Second
	auditKey   = "auditor." + Deliveries
	maxChains  = 2048 // known at the same time; the longest silent are forgotten
)

// Auditor checks that the chains of frames have no holes and that each frame
// names the hash of the one before. It reads headers only; the bodies are
// checked by whoever reads them. One auditor works at a time, whoever holds the
// lease; its position is in the bucket STATE.
type Auditor struct {
	bus   *Bus
	lease *lease
}

// NewAuditor returns an auditor; Run does the work.
func (b *Bus) NewAuditor() *Auditor {
	return &Auditor{bus: b, lease: newLease(b, "auditor")}
}

// Run audits every few seconds, while the lease is ours, until ctx ends.
func (a *Auditor) Run(ctx context.Context) error {
	for {
		if err := a.turn(ctx); err != nil && ctx.Err() == nil {
			a.bus.log.Warn("audit has to be tried again", "error", err)
		}
		if err := pause(ctx, auditEvery); err != nil {
			return errors.Join(err, a.lease.release(ctx))
		}
	}
}

func (a *Auditor) turn(ctx context.Context) error {
	held, err := a.lease.hold(ctx)
	if err != nil || !held {
		return err
	}
	return a.Audit(ctx)
}

// auditState is what the auditor knows between its turns.
type auditState struct {
	Seq      uint64               `json:"seq"`               // all up to here is checked
	Whole    bool                 `json:"whole"`             // seen from the stream's first message on, so every chain's beginning too
	Deleted  int                  `json:"deleted,omitempty"` // messages known to be missing in the middle
	Chains   map[string]chainSeen `json:"chains,omitempty"`  // by chain
	revision uint64
}

type chainSeen struct {
	Number uint64 `json:"number"`
	Hash   string `json:"hash"`
	Seq    uint64 `json:"seq"`
}

// Audit checks what has come since the last time. Alarms are not errors: they
// are metrics, log lines and dead letters of stage frame.
func (a *Auditor) Audit(ctx context.Context) error {
	st, err := a.load(ctx)
	if err != nil {
		return err
	}
	stream, err := a.bus.js.Stream(ctx, Deliveries)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Deliveries, err)
	}
	before, now := st.Seq, stream.CachedInfo().State
	deleted := st.Deleted
	if err := a.checkStream(ctx, &st, now); err != nil {
		return err
	}
	if now.LastSeq > st.Seq {
		err = a.bus.read(ctx, reading{stream: Deliveries, from: st.Seq + 1, headers: true}, func(s stored) error {
			st.Seq = s.seq
			return a.checkFrame(ctx, &st, s)
		})
		if err != nil {
			return err
		}
		st.Seq = max(st.Seq, now.LastSeq)
	}
	if st.Seq == before && st.Deleted == deleted {
		return nil
	}
	return a.save(ctx, st)
}

// checkStream looks at the stream as a whole: its end must not move back, and
// nothing is ever deleted in its middle.
func (a *Auditor) checkStream(ctx context.Context, st *auditState, now jetstream.StreamState) error {
	if st.Seq == 0 {
		st.Whole = now.FirstSeq <= 1
	}
	if now.FirstSeq > st.Seq+1 && st.Seq > 0 {
		a.bus.log.Warn("frames were trimmed before they were audited", "from", st.Seq+1, "to", now.FirstSeq-1)
		st.Whole, st.Chains = false, map[string]chainSeen{}
	}
	if now.NumDeleted > st.Deleted {
		err := a.bus.alarm(ctx, alarmLost, FrameRef{},
			fmt.Sprintf("%d messages between %d and %d are missing", now.NumDeleted, now.FirstSeq, now.LastSeq))
		if err != nil {
			return err
		}
	}
	st.Deleted = now.NumDeleted
	if now.LastSeq < st.Seq {
		err := a.bus.alarm(ctx, alarmLost, FrameRef{},
			fmt.Sprintf("the stream ends at %d, and was read to %d before: it has lost its end", now.LastSeq, st.Seq))
		if err != nil {
			return err
		}
		st.Seq = now.LastSeq
	}
	return nil
}

func (a *Auditor) checkFrame(ctx context.Context, st *auditState, s stored) error {
	link, err := readLink(s.header)
	if err != nil {
		return a.bus.alarm(ctx, alarmHeaders, FrameRef{}, fmt.Sprintf("message %d is not a frame: %v", s.seq, err))
	}
	last, known := st.Chains[link.Chain]
	var kind, reason string
	switch {
	case known:
		kind, reason = last.follow(link)
	case link.Number > 1 && st.Whole:
		kind, reason = alarmHole, fmt.Sprintf("frames 1 to %d are missing", link.Number-1)
	case link.Number == 1 && link.prev != [32]byte{}:
		kind, reason = alarmHash, "a first frame names a frame before"
	case link.Number == 1:
		kind, reason = st.endOf(link.old)
	}
	if !known || link.Number > last.Number {
		st.Chains[link.Chain] = chainSeen{link.Number, hex.EncodeToString(link.Hash[:]), s.seq}
		st.forgetOldest()
	}
	if kind == "" {
		return nil
	}
	return a.bus.alarm(ctx, kind, link.FrameRef, fmt.Sprintf("%s (at message %d)", reason, s.seq))
}

// follow says what is wrong with link as the next frame of its chain.
func (last chainSeen) follow(link chainLink) (kind, reason string) {
	hash, prev := hex.EncodeToString(link.Hash[:]), hex.EncodeToString(link.prev[:])
	switch {
	case link.Number == last.Number && hash == last.Hash:
		return "", "" // published twice; readers know it again
	case link.Number <= last.Number:
		return alarmHash, fmt.Sprintf("another frame %d, after %d", link.Number, last.Number)
	case link.Number > last.Number+1:
		return alarmHole, fmt.Sprintf("frames %d to %d are missing", last.Number+1, link.Number-1)
	case prev != last.Hash:
		return alarmHash, fmt.Sprintf("frame %d names %s as the one before, which is %s", link.Number, prev, last.Hash)
	}
	return "", ""
}

// endOf says what is wrong with a chain that the next one says ended at old.
func (st *auditState) endOf(old FrameRef) (kind, reason string) {
	if old.Chain == "" {
		return "", ""
	}
	last, known := st.Chains[old.Chain]
	switch {
	case !known && st.Whole:
		return alarmLost, fmt.Sprintf("chain %s, up to frame %d, is missing", old.Chain, old.Number)
	case known && last.Number < old.Number:
		return alarmLost, fmt.Sprintf("frames %d to %d of chain %s are missing", last.Number+1, old.Number, old.Chain)
	case known && last.Number == old.Number && last.Hash != hex.EncodeToString(old.Hash[:]):
		return alarmHash, fmt.Sprintf("frame %d of chain %s was another", old.Number, old.Chain)
	}
	return "", ""
}

// forgetOldest keeps the state small. Each start of a publisher is a chain.
func (st *auditState) forgetOldest() {
	if len(st.Chains) <= maxChains {
		return
	}
	oldest := ""
	for chain, seen := range st.Chains {
		if oldest == "" || seen.Seq < st.Chains[oldest].Seq {
			oldest = chain
		}
	}
	delete(st.Chains, oldest)
	st.Whole = false
}

func (a *Auditor) load(ctx context.Context) (st auditState, err error) {
	entry, err := a.bus.kv[BucketState].Get(ctx, auditKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return st, fmt.Errorf("read the auditor's position: %w", err)
	default:
		if err := json.Unmarshal(entry.Value(), &st); err != nil {
			return st, fmt.Errorf("read the auditor's position: %w", err)
		}
		st.revision = entry.Revision()
	}
	if st.Chains == nil {
		st.Chains = map[string]chainSeen{}
	}
	return st, nil
}

// save fails when another auditor has written meanwhile.
func (a *Auditor) save(ctx context.Context, st auditState) error {
	value, err := json.Marshal(st)
	if err != nil {
		return err
	}
	failpoint.Hit("checkpoint")
	if _, err := a.bus.kv[BucketState].Update(ctx, auditKey, value, st.revision); err != nil {
		return fmt.Errorf("save the auditor's position: %w", err)
	}
	return nil
}
