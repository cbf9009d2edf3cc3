package bus

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"

	"whatchanged/pkg/change"
)

// DeliveryFrame is a row of deliveries that were committed together. Their
// bodies share the frame's memory: read them, do not write to them, and copy
// what is to outlive the frame.
type DeliveryFrame struct {
	Chain      string // of the publisher, fresh at each of its starts
	Number     uint64 // in the chain: 1, 2, 3, ...
	Hash       [32]byte
	Prev       [32]byte // hash of the frame before; zero for the first
	Old        FrameRef // in a chain's first frame: the last one of the chain before
	Created    time.Time
	Lane       string
	Deliveries []change.Delivery
}

// FrameRef names a frame by its place and its content.
type FrameRef struct {
	Chain  string
	Number uint64
	Hash   [32]byte
}

// ChangeFrame has the outcome of each delivery of one delivery frame, with all
// its changes. PublishChanges splits what is too large for one message: parts
// are counted from 1, and a result whose changes alone are too many comes again
// in the next part with the rest of them.
type ChangeFrame struct {
	Chain   string // of the delivery frame
	Number  uint64 // of the delivery frame
	Run     uint16
	Part    int
	Parts   int
	Lane    string
	Results []change.Result

	// Again names a frame whose results are published anew, so that it is not
	// taken for a repeat. It is not on the stream.
	Again string
}

// errUnreadable marks a message on a stream that is not what we published.
var errUnreadable = errors.New("frame unreadable")

// errNewer marks a frame of a later version than we can read. It is whole, and
// stays for those who can.
var errNewer = errors.New("frame of a later version")

const (
	frameVersion = 2
	frameTarget  = 4 << 20 // bytes before compression; a larger delivery is a frame of its own
	frameRecords = 1000
	frameMargin  = 64 << 10 // that a message stays below max_payload, for headers
	frameSlack   = 8 << 10  // what a frame may add to its one delivery

	// Limits on what is read. They bound the memory that a broken or hostile
	// message can ask for; what we write stays well below.
	maxDecoded    = 64 << 20
	maxDeliveries = 4 * frameRecords
	maxHeaders    = 4096
	maxChanges    = 1 << 18
)

// A message is these three bytes and the version, the CRC-32C of all that
// follows, and the compressed protobuf message of frame.proto (S2, which is
// Snappy and more: three times as fast as zstd at its fastest, for half as many
// bytes again). A frame's hash is the SHA-256 of the whole message as it lies on
// the stream.
//
// The first eight bytes are the same in every later version, so that a frame
// which is newer can be told from one that is damaged. Within a version fields
// are added, which others read over. What they cannot read over is a new
// version, and is written one release after it can be read.
var magic = [4]byte{'w', 'c', 'f', frameVersion}

const envelope = len(magic) + 4

// Headers repeat what the auditor needs, so that it never reads a body.
const (
	headerChain = "Wc-Chain"
	headerFrame = "Wc-Frame"
	headerPrev  = "Wc-Prev"
	headerHash  = "Wc-Hash"
	headerOld   = "Wc-Old" // chain/number/hash
	headerCount = "Wc-Deliveries"
)

// seal appends the message that carries raw to dst.
func seal(dst, raw []byte) []byte {
	start := len(dst)
	dst = append(dst, magic[:]...)
	dst = append(dst, 0, 0, 0, 0)
	dst = slices.Grow(dst, s2.MaxEncodedLen(len(raw)))
	packed := s2.Encode(dst[len(dst):cap(dst)], raw)
	dst = dst[:len(dst)+len(packed)]
	binary.BigEndian.PutUint32(dst[start+len(magic):], checksum(packed))
	return dst
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// unseal returns what seal was given, in memory of its own.
func unseal(msg []byte) ([]byte, error) {
	if len(msg) < envelope || [3]byte(msg) != [3]byte(magic[:]) || msg[3] < frameVersion {
		return nil, fmt.Errorf("%w: it does not begin like a frame", errUnreadable)
	}
	packed := msg[envelope:]
	if checksum(packed) != binary.BigEndian.Uint32(msg[len(magic):]) {
		return nil, fmt.Errorf("%w: wrong checksum", errUnreadable)
	}
	if msg[3] > frameVersion {
		return nil, fmt.Errorf("%w: %d, and this program reads %d", errNewer, msg[3], frameVersion)
	}
	if n, err := s2.DecodedLen(packed); err == nil && n > maxDecoded {
		return nil, fmt.Errorf("%w: %d bytes once decompressed, at most %d", errUnreadable, n, maxDecoded)
	}
	raw, err := s2.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("%w: decompress: %w", errUnreadable, err)
	}
	return raw, nil
}

// readDeliveries is openDeliveries for those who read a frame alone.
func readDeliveries(h nats.Header, msg []byte) (*DeliveryFrame, error) {
	return openDeliveries(h, msg, sha256.Sum256(msg))
}

// openDeliveries reads a message of DELIVERIES, whose SHA-256 is hash, and
// checks that it is what its headers say.
func openDeliveries(h nats.Header, msg []byte, hash [32]byte) (*DeliveryFrame, error) {
	raw, err := unseal(msg)
	if errors.Is(err, errNewer) {
		if link, unreadable := readLink(h); unreadable == nil && link.Hash != hash {
			err = fmt.Errorf("%w: wrong hash", errUnreadable) // it was ours, and its version was damaged
		}
	}
	if err != nil {
		return nil, err
	}
	f, err := decodeDeliveries(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	f.Hash = hash
	if err := checkLink(h, f); err != nil {
		return nil, err
	}
	return f, nil
}

// checkLink checks that headers are those of a frame.
func checkLink(h nats.Header, f *DeliveryFrame) error {
	link, err := readLink(h)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if link != (chainLink{f.ref(), f.Prev, f.Old, len(f.Deliveries)}) {
		return fmt.Errorf("%w: headers of frame %s/%d on frame %s/%d or with another hash",
			errUnreadable, link.Chain, link.Number, f.Chain, f.Number)
	}
	return nil
}

// openChanges reads a message of CHANGES.
func openChanges(msg []byte) ([]*ChangeFrame, error) {
	raw, err := unseal(msg)
	if err != nil {
		return nil, err
	}
	frames, err := decodePack(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return frames, nil
}

func (f *DeliveryFrame) ref() FrameRef { return FrameRef{f.Chain, f.Number, f.Hash} }

// chainLink is what a frame's headers say of its place in the chain.
type chainLink struct {
	FrameRef
	prev       [32]byte
	old        FrameRef
	deliveries int
}

func (l chainLink) header() nats.Header {
	h := nats.Header{
		headerChain:   {l.Chain},
		headerFrame:   {strconv.FormatUint(l.Number, 10)},
		headerPrev:    {hex.EncodeToString(l.prev[:])},
		headerHash:    {hex.EncodeToString(l.Hash[:])},
		headerCount:   {strconv.Itoa(l.deliveries)},
		nats.MsgIdHdr: {l.id()},
	}
	if l.old.Chain != "" {
		h[headerOld] = []string{l.old.String()}
	}
	return h
}

// id is the frame's name for the server's window of duplicates.
func (r FrameRef) id() string { return r.Chain + "/" + strconv.FormatUint(r.Number, 10) }

// String writes a reference as chain/number/hash.
func (r FrameRef) String() string { return r.id() + "/" + hex.EncodeToString(r.Hash[:]) }

func readLink(h nats.Header) (l chainLink, err error) {
	l.Chain = h.Get(headerChain)
	if l.Chain == "" {
		return l, errors.New("no chain in the headers")
	}
	l.Number, err = strconv.ParseUint(h.Get(headerFrame), 10, 64)
	count, wrong := strconv.Atoi(h.Get(headerCount))
	l.deliveries = count
	errs := []error{err, wrong, readHash(&l.Hash, h.Get(headerHash)), readHash(&l.prev, h.Get(headerPrev))}
	if old := h.Get(headerOld); old != "" {
		l.old, err = parseRef(old)
		errs = append(errs, err)
	}
	return l, errors.Join(errs...)
}

func parseRef(s string) (r FrameRef, err error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return r, fmt.Errorf("frame reference %q is not chain/number/hash", s)
	}
	r.Chain = parts[0]
	r.Number, err = strconv.ParseUint(parts[1], 10, 64)
	return r, errors.Join(err, readHash(&r.Hash, parts[2]))
}

func readHash(to *[32]byte, s string) error {
	if len(s) != hex.EncodedLen(len(to)) {
		return fmt.Errorf("a hash of %d characters", len(s))
	}
	_, err := hex.Decode(to[:], []byte(s))
	return err
}
