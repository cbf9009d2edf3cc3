package bus

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"whatchanged/pkg/change"
)

// SetPace changes how far apart frames begin that have little in them, and
// returns what is plenty. It is for before Run.
func (c *Committer) SetPace(d time.Duration) (plenty int) {
	c.pace = d
	return c.plenty
}

// What tests of the codec see.

// EncodeDeliveries encodes f as Run does, without envelope.
func EncodeDeliveries(f *DeliveryFrame) []byte {
	b := appendFrameHead(nil, f)
	for i := range f.Deliveries {
		b = appendFrameDelivery(b, appendDelivery(nil, &f.Deliveries[i]))
	}
	return b
}

// EncodeChanges encodes f as PublishChanges does, without envelope.
func EncodeChanges(f *ChangeFrame) []byte {
	return putMessage(nil, 1, func(b []byte) []byte {
		b = appendChangeHead(b, f)
		for i := range f.Results {
			b = appendFrameResult(b, appendResult(nil, &f.Results[i]))
		}
		return b
	})
}

// DecodeChanges decodes the first frame of a message without its envelope.
func DecodeChanges(b []byte) (*ChangeFrame, error) {
	frames, err := decodePack(b)
	if err != nil {
		return nil, err
	}
	return frames[0], nil
}

// EncodedSize returns what MaxRecord is compared with.
func EncodedSize(d *change.Delivery) int { return len(appendDelivery(nil, d)) }

var (
	DecodeDeliveries = decodeDeliveries
	ErrUnreadable    = errUnreadable
)

// Seal packs a message.
func Seal(raw []byte) []byte { return seal(nil, raw) }

// Unseal unpacks a message.
var Unseal = unseal

// Envelope puts any bytes where the compressed message belongs, checksum and all.
func Envelope(body []byte) []byte {
	b := append(magic[:], 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[len(magic):], checksum(body))
	return append(b, body...)
}

// Split says how changes are cut into parts.
func (b *Bus) Split(f *ChangeFrame) ([][]byte, error) { return b.split(f) }

// SetDiskReserve changes the reserve, as if the disk filled.
func (b *Bus) SetDiskReserve(n int64) { b.reserve.Store(n) }

// Retries returns how often a lane has published again.
func (b *Bus) Retries(lane string) int { return value(b.metrics.retries.WithLabelValues(lane)) }

// Alarms returns how many holes and losses were reported.
func (b *Bus) Alarms() int {
	return value(b.metrics.alarms.WithLabelValues(alarmHole)) + value(b.metrics.alarms.WithLabelValues(alarmLost))
}

func value(c prometheus.Counter) int {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return -1
	}
	return int(m.GetCounter().GetValue())
}

// Denied returns how often the servers refused something to this user.
func (b *Bus) Denied() int { return value(b.metrics.denied) }

// User returns who this process is to the servers.
func (b *Bus) User() string { return b.user }

// FullAlarms returns how often a stream was found full.
func (b *Bus) FullAlarms() int { return value(b.metrics.alarms.WithLabelValues(alarmFull)) }

// MaxTallies is how many sources and minutes a frame's header can tell.
const MaxTallies = maxTallies

// TallyHeader returns the header of a frame of these deliveries.
func TallyHeader(deliveries []*change.Delivery) string {
	var all tallies
	for _, d := range deliveries {
		all = all.add(d.Org, d.SourceID, minuteOf(d.ID))
	}
	return all.header()
}

// ReadTally reads such a header.
func ReadTally(header string, deliveries int) (map[string]int, error) {
	all, err := readTallies(header, deliveries)
	sums := map[string]int{}
	for _, t := range all {
		sums[fmt.Sprintf("%q %q %d", t.org, t.source, t.minute)] += t.count
	}
	return sums, err
}

// FrameVersion is the version of frames that is written.
const FrameVersion = frameVersion

// ErrNewer marks a frame of a later version.
var ErrNewer = errNewer

// NewerAlarms returns how often a frame of a later version was left.
func (b *Bus) NewerAlarms() int { return value(b.metrics.alarms.WithLabelValues(alarmNewer)) }

// BulkPatience is how long a batch of the lane bulk lets those of the lane fresh go first.
const BulkPatience = bulkPatience

// CutDead lists an org's letters, with something that happens before they are read.
func (b *Bus) CutDead(ctx context.Context, org string, limit int, meanwhile func()) (letters []DeadLetter, next string, err error) {
	var found []deadHead
	if err := b.deadHeads(ctx, org, "", func(h deadHead) { found = append(found, h) }); err != nil {
		return nil, "", err
	}
	slices.SortFunc(found, compareDead)
	meanwhile()
	return b.cutDead(ctx, found, limit)
}
