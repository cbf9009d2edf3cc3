package bus

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
)

// A tally counts the deliveries of one source that were received in one minute.
type tally struct {
	org, source string
	minute      int64 // since 1970
	count       int
}

// A Receipt says that a frame brought so many deliveries of a source that were
// received in a minute. It is what was received, counted before anything else
// became of it. Repeats of a frame make the same receipts.
type Receipt struct {
	Chain    string
	Frame    uint64
	Seq      uint64 // on DELIVERIES
	Org      string
	SourceID string
	Minute   time.Time
	Count    int
}

// headerTally has a frame's tallies, so that who counts reads no bodies:
// org source minute count, separated by spaces, entries by commas. A frame of
// too many sources goes without, and is read.
const (
	headerTally   = "Wc-Tally"
	maxTallies    = 64
	maxTallyBytes = 8 << 10
)

// minuteOf is the minute in which a delivery was received. It is that of its
// id, as in every table.
func minuteOf(id change.DeliveryID) int64 { return id.Time().Unix() / 60 }

// tallies are those of one frame, at most maxTallies while it is written.
type tallies []tally

// add counts one more delivery. Most have the tally of the one before.
func (t tallies) add(org, source string, minute int64) tallies {
	for i := len(t) - 1; i >= 0; i-- {
		if e := &t[i]; e.minute == minute && e.source == source && e.org == org {
			e.count++
			return t
		}
	}
	return append(t, tally{org, source, minute, 1})
}

// header returns the text for the header; empty when it would be too long.
func (t tallies) header() string {
	if len(t) > maxTallies {
		return ""
	}
	b := make([]byte, 0, 256)
	for i, e := range t {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, url.QueryEscape(e.org)...), ' ')
		b = append(append(b, url.QueryEscape(e.source)...), ' ')
		b = append(strconv.AppendInt(b, e.minute, 10), ' ')
		b = strconv.AppendInt(b, int64(e.count), 10)
	}
	if len(b) > maxTallyBytes {
		return ""
	}
	return string(b)
}

// readTallies reads what header has written, of a frame with so many deliveries.
func readTallies(text string, deliveries int) (tallies, error) {
	if text == "" || len(text) > maxTallyBytes {
		return nil, errors.New("no tally")
	}
	var all tallies
	sum := 0
	for entry := range strings.SplitSeq(text, ",") {
		parts := strings.Split(entry, " ")
		if len(parts) != 4 || len(all) == maxTallies {
			return nil, fmt.Errorf("a tally is not four words, or one too many: %.100q", entry)
		}
		org, err1 := url.QueryUnescape(parts[0])
		source, err2 := url.QueryUnescape(parts[1])
		minute, err3 := strconv.ParseUint(parts[2], 10, 32)
		count, err4 := strconv.ParseUint(parts[3], 10, 32)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return nil, fmt.Errorf("read a tally: %w", err)
		}
		sum += int(count)
		all = append(all, tally{org, source, int64(minute), int(count)})
	}
	if sum != deliveries {
		return nil, fmt.Errorf("tallies of %d deliveries in a frame of %d", sum, deliveries)
	}
	return all, nil
}

// receipts returns what a message of DELIVERIES brought, from its headers, or
// from the frame itself where they do not say.
func (b *Bus) receipts(ctx context.Context, seq uint64, h nats.Header) ([]Receipt, error) {
	link, err := readLink(h)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	all, err := readTallies(h.Get(headerTally), link.deliveries)
	if err != nil {
		f, err := b.Frame(ctx, seq)
		if err != nil {
			return nil, err
		}
		all = nil
		for i := range f.Deliveries {
			d := &f.Deliveries[i]
			all = all.add(d.Org, d.SourceID, minuteOf(d.ID))
		}
	}
	out := make([]Receipt, len(all))
	for i, t := range all {
		out[i] = Receipt{
			Chain: link.Chain, Frame: link.Number, Seq: seq, Org: t.org, SourceID: t.source,
			Minute: time.Unix(t.minute*60, 0).UTC(), Count: t.count,
		}
	}
	return out, nil
}

// Receipts returns what a frame brought.
func (b *Bus) Receipts(ctx context.Context, h Head) ([]Receipt, error) {
	return b.receipts(ctx, h.Seq, h.header)
}

// IsDead reports whether err says that a frame can never be processed: it is
// unreadable, or what it holds was refused. Its consumers have taken it off
// with a dead letter, or will.
func IsDead(err error) bool {
	return errors.Is(err, errUnreadable) || errors.Is(err, change.ErrMalformed)
}

// IsGone reports whether err says that a message is not on its stream any more.
func IsGone(err error) bool { return errors.Is(err, jetstream.ErrMsgNotFound) }
