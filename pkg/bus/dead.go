package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"whatchanged/pkg/change"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/keep"
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
	Provider   string            `json:"provider,omitempty"`
	Whole      bool              `json:"whole,omitempty"` // the delivery as a whole, and not the record at Index
	Attempts   int               `json:"attempts"`
	FirstError string            `json:"first_error,omitempty"`
	LastError  string            `json:"last_error,omitempty"`
	FirstAt    change.Time       `json:"first_at,omitzero"` // when it first failed
	At         change.Time       `json:"at"`                // when it last failed
	Kind       string            `json:"kind,omitempty"`    // of the audit record that Bytes are
	Task       json.RawMessage   `json:"task,omitempty"`    // what is to be done again where no delivery says it: a LogFile
	Discarded  *Discard          `json:"discarded,omitempty"`
	Order      int64             `json:"order,omitempty"` // nanoseconds: its place in the list, from when it was first stored on
	Later      string            `json:"-"`               // what a later version has put into it, see keep.Unknown
	Bytes      []byte            `json:"-"`               // only where they never got to payloads
	Seq        uint64            `json:"-"`               // where on the stream it was read
}

// Discard says who gave a dead letter up, when and why.
type Discard struct {
	By     string      `json:"by"`
	At     change.Time `json:"at"`
	Reason string      `json:"reason"`
}

const (
	headerDeadBytes = "Wc-Bytes" // how many bytes follow the JSON, when any do

	shedAbove = 80 // percent of DEAD's max_bytes
	shedTo    = 70
	maxReason = 4 << 10
)

// PublishDead stores a dead letter and returns when it is on disk. It tries
// until ctx ends: what is dead must not be forgotten on top. The message is
// one line of JSON, followed by Bytes as they are.
//
// There is one letter about one thing: what failed before keeps its first error
// and its place in the list, and its attempts add up. What was discarded stays so.
func (b *Bus) PublishDead(ctx context.Context, d DeadLetter) error {
	if d.ID == "" {
		d.ID = d.name()
	}
	if d.At.IsZero() {
		d.At = change.At(failpoint.Wall(time.Now()))
	}
	before, err := b.deadBefore(ctx, d.Org, d.ID)
	if err != nil {
		return fmt.Errorf("store dead letter %s: %w", d.ID, err)
	}
	if before != nil && before.Discarded != nil {
		return nil
	}
	d.follow(before)
	if err := b.putDead(ctx, &d); err != nil {
		return err
	}
	b.metrics.deadLetters.WithLabelValues(d.Stage).Inc()
	b.dropDead(ctx, before)
	return nil
}

// follow takes over what is known of the same thing from before.
func (d *DeadLetter) follow(before *DeadLetter) {
	if d.FirstAt.IsZero() {
		d.FirstAt = d.At
	}
	if before == nil {
		d.Order = time.Now().UnixNano()
		return
	}
	d.Order, d.FirstAt, d.Attempts = before.Order, before.FirstAt, d.Attempts+before.Attempts
	if before.FirstError != "" {
		d.FirstError = before.FirstError
	}
	if d.Provider == "" {
		d.Provider = before.Provider
	}
	if d.Later == "" {
		d.Later = before.Later
	}
}

// putDead publishes d under a name of its own: what is said of a letter again
// within a minute is no duplicate.
func (b *Bus) putDead(ctx context.Context, d *DeadLetter) error {
	for _, s := range []*string{&d.Reason, &d.FirstError, &d.LastError} {
		*s = cut(*s, maxReason)
	}
	line, err := keep.With(d, d.Later)
	if err != nil {
		return fmt.Errorf("encode dead letter: %w", err)
	}
	msg := nats.NewMsg(deadSubject(d.Stage, d.Org, d.ID))
	msg.Header.Set(nats.MsgIdHdr, d.ID+"/"+rand.Text())
	d.head().write(msg.Header)
	msg.Data = append(line, '\n')
	if len(d.Bytes) > 0 {
		msg.Header.Set(headerDeadBytes, strconv.Itoa(len(d.Bytes)))
		msg.Data = append(msg.Data, d.Bytes...)
	}
	if err := b.publishSurely(ctx, msg); err != nil {
		return fmt.Errorf("store dead letter %s: %w", d.ID, err)
	}
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

func readDead(b []byte) (d DeadLetter, err error) {
	line, rest, _ := bytes.Cut(b, []byte{'\n'})
	if err := json.Unmarshal(line, &d); err != nil {
		return d, fmt.Errorf("read dead letter: %w", err)
	}
	if d.Later, err = keep.Unknown(line, d); err != nil {
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
		if err := deleteMessage(ctx, stream, seq); err != nil {
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
	alarmFull    = "full"  // of CHANGES or DEAD: nothing is lost, and nothing moves
	alarmNewer   = "newer" // frames of a later version: they wait for an upgrade
)

// alarm makes known that a chain is broken: a metric, a log line, a dead letter.
func (b *Bus) alarm(ctx context.Context, kind string, at FrameRef, reason string) error {
	b.metrics.alarms.WithLabelValues(kind).Inc()
	b.log.Error("chain broken", "kind", kind, "chain", at.Chain, "frame", at.Number, "reason", reason)
	return b.PublishDead(ctx, DeadLetter{Stage: StageFrame, Chain: at.Chain, Frame: at.Number, Reason: reason, LastError: kind})
}
