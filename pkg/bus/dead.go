package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
	"whatchanged/pkg/failpoint"
)

// The stages where a delivery can end.
const (
	StageFrame     = "frame"
	StageNormalize = "normalize"
	StageInsert    = "insert"
	StageAlert     = "alert"
	StageForward   = "forward"
)

// DeadLetter is what could not be processed, and why.
type DeadLetter struct {
	ID         string            `json:"id"` // empty: made from what it is about
	Stage      string            `json:"stage"`
	Org        string            `json:"org,omitempty"`
	SourceID   string            `json:"source_id,omitempty"`
	DeliveryID change.DeliveryID `json:"delivery_id,omitzero"`
	Index      int               `json:"index"`
	Chain      string            `json:"chain,omitempty"`
	Frame      uint64            `json:"frame,omitempty"`
	Place      int               `json:"place"`
	Reason     string            `json:"reason"`
	Attempts   int               `json:"attempts"`
	FirstError string            `json:"first_error,omitempty"`
	LastError  string            `json:"last_error,omitempty"`
	At         change.Time       `json:"at"`
	Bytes      []byte            `json:"-"` // only where they never got to payloads
}

const (
	headerDeadBytes = "Wc-Bytes" // how many bytes follow the JSON, when any do
	headerDeadOrg   = "Wc-Org"

	shedAbove = 80 // percent of DEAD's max_bytes
	shedTo    = 70
	maxReason = 4 << 10
)

// PublishDead stores a dead letter and returns when it is on disk. It tries
// until ctx ends: what is dead must not be forgotten on top. The message is
// one line of JSON, followed by Bytes as they are.
func (b *Bus) PublishDead(ctx context.Context, d DeadLetter) error {
	if d.ID == "" {
		d.ID = d.name()
	}
	if d.At.IsZero() {
		d.At = change.At(failpoint.Wall(time.Now()))
	}
	for _, s := range []*string{&d.Reason, &d.FirstError, &d.LastError} {
		*s = cut(*s, maxReason)
	}
	line, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode dead letter: %w", err)
	}
	msg := nats.NewMsg("dead." + d.Stage)
	msg.Header.Set(nats.MsgIdHdr, d.ID)
	if d.Org != "" {
		msg.Header.Set(headerDeadOrg, d.Org)
	}
	msg.Data = append(line, '\n')
	if len(d.Bytes) > 0 {
		msg.Header.Set(headerDeadBytes, strconv.Itoa(len(d.Bytes)))
		msg.Data = append(msg.Data, d.Bytes...)
	}
	if err := b.publishSurely(ctx, msg); err != nil {
		return fmt.Errorf("store dead letter %s: %w", d.ID, err)
	}
	b.metrics.deadLetters.WithLabelValues(d.Stage).Inc()
	return nil
}

// name makes an id that is the same each time the same thing is reported.
func (d *DeadLetter) name() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%s\n%d\n%s/%d/%d\n", d.Stage, d.Org, d.SourceID, d.DeliveryID, d.Index, d.Chain, d.Frame, d.Place)
	if d.DeliveryID.IsZero() {
		fmt.Fprintf(h, "%s\n", d.Reason)
		h.Write(d.Bytes)
	}
	return "ded_" + hex.EncodeToString(h.Sum(nil)[:13])
}

func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// DeadLetters returns the dead letters of an org, newest first, at most limit
// of them and older than the cursor before (0: from the newest). The second
// result is the cursor for more, 0 when there are none. An empty org asks for
// all, those without one too.
func (b *Bus) DeadLetters(ctx context.Context, org string, limit int, before uint64) ([]DeadLetter, uint64, error) {
	seqs, more, err := b.deadSequences(ctx, org, limit, before)
	if err != nil {
		return nil, 0, err
	}
	stream, err := b.js.Stream(ctx, Dead)
	if err != nil {
		return nil, 0, fmt.Errorf("open stream %s: %w", Dead, err)
	}
	letters := make([]DeadLetter, 0, len(seqs))
	for _, seq := range seqs {
		msg, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // expired meanwhile
		}
		if err != nil {
			return nil, 0, fmt.Errorf("read dead letter %d: %w", seq, err)
		}
		d, err := readDead(msg.Data)
		if err != nil {
			d = DeadLetter{ID: strconv.FormatUint(seq, 10), Reason: err.Error(), At: change.At(msg.Time), Bytes: msg.Data}
		}
		letters = append(letters, d)
	}
	if !more || len(seqs) == 0 {
		return letters, 0, nil
	}
	return letters, seqs[len(seqs)-1], nil
}

// deadSequences finds the newest limit entries before a sequence, newest first.
// It reads headers from the oldest on: there are few dead letters, or it is
// not the list that is the trouble.
func (b *Bus) deadSequences(ctx context.Context, org string, limit int, before uint64) (seqs []uint64, more bool, err error) {
	err = b.read(ctx, reading{stream: Dead, headers: true}, func(s stored) error {
		if before > 0 && s.seq >= before || org != "" && s.header.Get(headerDeadOrg) != org {
			return nil
		}
		seqs = append(seqs, s.seq)
		if len(seqs) > 2*limit+1024 { // keep the newest, in bounded memory
			seqs, more = append(seqs[:0], seqs[len(seqs)-limit:]...), true
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("list dead letters: %w", err)
	}
	if len(seqs) > limit {
		seqs, more = seqs[len(seqs)-limit:], true
	}
	newest := make([]uint64, len(seqs))
	for i, seq := range seqs {
		newest[len(seqs)-1-i] = seq
	}
	return newest, more, nil
}

func readDead(b []byte) (d DeadLetter, err error) {
	line, rest, _ := bytes.Cut(b, []byte{'\n'})
	if err := json.Unmarshal(line, &d); err != nil {
		return d, fmt.Errorf("read dead letter: %w", err)
	}
	if len(rest) > 0 {
		d.Bytes = rest
	}
	return d, nil
}

// shedDead makes room in DEAD when it is nearly full: it removes the oldest
// entries whose bytes are in payloads, so that they can be had again.
func (b *Bus) shedDead(ctx context.Context) error {
	stream, err := b.js.Stream(ctx, Dead)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Dead, err)
	}
	info := stream.CachedInfo()
	most := uint64(info.Config.MaxBytes)
	if info.State.Bytes < most/100*shedAbove {
		return nil
	}
	spare := int64(info.State.Bytes - most/100*shedTo)
	var shed []uint64
	err = b.read(ctx, reading{stream: Dead, headers: true}, func(s stored) error {
		if spare > 0 && s.header.Get(headerDeadBytes) == "" {
			size, _ := strconv.ParseInt(s.header.Get(nats.MsgSize), 10, 64) // 0 when missing: sheds one more
			spare -= size + 100
			shed = append(shed, s.seq)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for dead letters to shed: %w", err)
	}
	for _, seq := range shed {
		if err := stream.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("shed dead letter %d: %w", seq, err)
		}
		b.metrics.deadShed.Inc()
	}
	b.log.Error("dead letters are nearly full", "shed", len(shed), "spare_bytes_missing", max(spare, 0))
	return nil
}

// The kinds of alarms: most are signs that stored frames were lost or changed.
const (
	alarmHole    = "hole"
	alarmHash    = "hash"
	alarmLost    = "lost"
	alarmHeaders = "headers"
	alarmFull    = "full" // of CHANGES or DEAD: nothing is lost, and nothing moves
)

// alarm makes known that a chain is broken: a metric, a log line, a dead letter.
func (b *Bus) alarm(ctx context.Context, kind string, at FrameRef, reason string) error {
	b.metrics.alarms.WithLabelValues(kind).Inc()
	b.log.Error("chain broken", "kind", kind, "chain", at.Chain, "frame", at.Number, "reason", reason)
	return b.PublishDead(ctx, DeadLetter{Stage: StageFrame, Chain: at.Chain, Frame: at.Number, Reason: reason, LastError: kind})
}
