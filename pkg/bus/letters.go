package bus

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// Stages lists where a delivery can end.
func Stages() []string {
	return []string{StageFrame, StageNormalize, StageInsert, StageFetch, StageAlert, StageForward}
}

// What a DeadQuery can ask for in place of an org; neither is the name of one.
const (
	NoOrg   = "=" // letters that concern none: damage to frames, which hold deliveries of many
	AllOrgs = "*"
)

// What a letter's headers say, so that a list need not read it.
const (
	headerDeadID        = "Wc-Id"
	headerDeadSource    = "Wc-Source"
	headerDeadProvider  = "Wc-Provider"
	headerDeadDelivery  = "Wc-Delivery"
	headerDeadFirst     = "Wc-First" // milliseconds
	headerDeadAt        = "Wc-At"    // milliseconds
	headerDeadOrder     = "Wc-Order" // nanoseconds
	headerDeadDiscarded = "Wc-Discarded"
)

// deadHead is a letter as a list sees it.
type deadHead struct {
	seq                        uint64
	subject                    string
	stage, id                  string
	source, provider, delivery string
	first, at, order           int64
	discarded                  bool
}

func (d *DeadLetter) head() deadHead {
	h := deadHead{
		stage: d.Stage, id: d.ID, source: d.SourceID, provider: d.Provider,
		first: d.FirstAt.UnixMilli(), at: d.At.UnixMilli(), order: d.Order, discarded: d.Discarded != nil,
	}
	if !d.DeliveryID.IsZero() {
		h.delivery = d.DeliveryID.String()
	}
	return h
}

func (h deadHead) write(to nats.Header) {
	for name, value := range map[string]string{
		headerDeadID: h.id, headerDeadSource: h.source, headerDeadProvider: h.provider, headerDeadDelivery: h.delivery,
		headerDeadFirst: strconv.FormatInt(h.first, 10), headerDeadAt: strconv.FormatInt(h.at, 10),
		headerDeadOrder: strconv.FormatInt(h.order, 10),
	} {
		if value != "" {
			to.Set(name, headerValue(value))
		}
	}
	if h.discarded {
		to.Set(headerDeadDiscarded, "1")
	}
}

// headerValue keeps a value to one line.
func headerValue(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

func readDeadHead(s stored) deadHead {
	h := deadHead{
		seq: s.seq, subject: s.subject, id: s.header.Get(headerDeadID), source: s.header.Get(headerDeadSource),
		provider: s.header.Get(headerDeadProvider), delivery: s.header.Get(headerDeadDelivery),
		discarded: s.header.Get(headerDeadDiscarded) != "",
	}
	h.first, _ = strconv.ParseInt(s.header.Get(headerDeadFirst), 10, 64)
	h.order, _ = strconv.ParseInt(s.header.Get(headerDeadOrder), 10, 64)
	h.at, _ = strconv.ParseInt(s.header.Get(headerDeadAt), 10, 64)
	if words := strings.Split(s.subject, "."); len(words) > 1 {
		h.stage = words[1]
	}
	return h
}

// deadSubject is of one letter alone, so that it is found by its id.
func deadSubject(stage, org, id string) string {
	return "dead." + stage + "." + orgToken(org) + "." + token(id)
}

func orgToken(org string) string {
	if org == NoOrg {
		org = ""
	}
	return token(org)
}

// token makes one word of a subject of a text.
func token(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" {
		return s
	}
	return "=" + base64.RawURLEncoding.EncodeToString([]byte(s))
}

// deadBefore returns what is known of a letter, nil when that is nothing. It
// tries until ctx ends.
func (b *Bus) deadBefore(ctx context.Context, org, id string) (*DeadLetter, error) {
	for try := 1; ; try++ {
		d, err := b.lastDead(ctx, org, id)
		if err == nil || ctx.Err() != nil {
			return d, err
		}
		b.log.Warn("dead letters cannot be read yet", "try", try, "error", err)
		if err := pause(ctx, backoff(try)); err != nil {
			return nil, err
		}
	}
}

// lastDead returns a letter as it is now, nil when there is none. The stage is
// part of the id, as a rule; one that changed it is found too.
func (b *Bus) lastDead(ctx context.Context, org, id string) (*DeadLetter, error) {
	stream, err := b.js.Stream(ctx, Dead)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", Dead, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, deadSubject("*", org, id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter %s: %w", id, err)
	}
	d := openDead(msg)
	return &d, nil
}

// openDead reads a message of DEAD. One that cannot be read is a letter too.
func openDead(msg *jetstream.RawStreamMsg) DeadLetter {
	d, err := readDead(msg.Data)
	if err != nil {
		h := readDeadHead(stored{seq: msg.Sequence, subject: msg.Subject, header: nats.Header(msg.Header)})
		d = DeadLetter{ID: h.id, Stage: h.stage, Reason: err.Error(), At: change.At(msg.Time), FirstAt: change.At(msg.Time), Bytes: msg.Data}
	}
	d.Seq = msg.Sequence
	return d
}

// dropDead removes a letter as it was read; what is known of it since stays.
// One that cannot be removed is hidden by what came after it.
func (b *Bus) dropDead(ctx context.Context, d *DeadLetter) {
	if d == nil {
		return
	}
	if err := b.RemoveDead(ctx, *d); err != nil {
		b.log.Warn("a dead letter that is over is still there", "id", d.ID, "error", err)
	}
}

// RemoveDead takes a letter off as it was read: not one that has failed again
// since. Removing it twice is harmless.
func (b *Bus) RemoveDead(ctx context.Context, d DeadLetter) error {
	stream, err := b.js.Stream(ctx, Dead)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Dead, err)
	}
	if err := deleteMessage(ctx, stream, d.Seq); err != nil {
		return fmt.Errorf("remove dead letter %s: %w", d.ID, err)
	}
	return nil
}

// deleteMessage deletes a message that may be gone already. The client tells
// that from other refusals by its text alone, so the stream is asked.
func deleteMessage(ctx context.Context, stream jetstream.Stream, seq uint64) error {
	err := stream.DeleteMsg(ctx, seq)
	if err == nil {
		return nil
	}
	if _, gone := stream.GetMsg(ctx, seq); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

// DiscardDead gives a letter up: it leaves the list, and stays to be looked at
// as long as letters are kept, without its bytes.
func (b *Bus) DiscardDead(ctx context.Context, d DeadLetter, why Discard) error {
	after := d
	after.Discarded, after.Bytes, after.Task = &why, nil, nil
	if err := b.putDead(ctx, &after); err != nil {
		return err
	}
	b.dropDead(ctx, &d)
	return nil
}

// DeadLetter returns one letter of an org (NoOrg: of none), discarded or not.
func (b *Bus) DeadLetter(ctx context.Context, org, id string) (DeadLetter, error) {
	d, err := b.lastDead(ctx, org, id)
	if err != nil {
		return DeadLetter{}, err
	}
	if d == nil {
		return DeadLetter{}, problem.New(problem.NotFound, "dead_letter_not_found", "there is no such dead letter")
	}
	return *d, nil
}

// DeadQuery selects letters. Only Org is required.
type DeadQuery struct {
	Org        string // or NoOrg, AllOrgs
	Stage      string
	SourceID   string
	Provider   string
	DeliveryID change.DeliveryID
	Start, End time.Time // of when it last failed, half-open
	Discarded  bool      // those that were given up, and only those
	Limit      int       // 0 is 25
	Cursor     string
}

func (q *DeadQuery) wants(h deadHead) bool {
	return (q.SourceID == "" || q.SourceID == h.source) &&
		(q.Provider == "" || q.Provider == h.provider) &&
		(q.DeliveryID.IsZero() || q.DeliveryID.String() == h.delivery) &&
		(q.Start.IsZero() || h.at >= q.Start.UnixMilli()) &&
		(q.End.IsZero() || h.at < q.End.UnixMilli()) &&
		q.Discarded == h.discarded
}

// DeadPage is a page of letters.
type DeadPage struct {
	Letters []DeadLetter
	Total   int    // of all that match
	Next    string // cursor of the next page; empty on the last
}

// DeadLetters returns a page of letters, the last to fail first for the first
// time on top: a letter that fails again keeps its place, so that pages neither
// repeat nor skip. It reads the headers of all letters of the org: there are
// few, or it is not the list that is the trouble.
func (b *Bus) DeadLetters(ctx context.Context, q DeadQuery) (DeadPage, error) {
	if q.Org == "" {
		return DeadPage{}, errors.New("list dead letters: no org")
	}
	after, err := readDeadCursor(q.Cursor)
	if err != nil {
		return DeadPage{}, err
	}
	q.Limit = cmp.Or(q.Limit, 25)
	var page DeadPage
	heads := map[string]deadHead{} // by subject: of two about one thing the later counts
	err = b.deadHeads(ctx, q.Org, q.Stage, func(h deadHead) { heads[h.subject] = h })
	if err != nil {
		return page, fmt.Errorf("list dead letters: %w", err)
	}
	var found []deadHead
	for _, h := range heads {
		if !q.wants(h) {
			continue
		}
		page.Total++
		if after == nil || compareDead(h, *after) > 0 {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, compareDead)
	page.Letters, page.Next, err = b.cutDead(ctx, found, q.Limit)
	return page, err
}

// cutDead returns the first letters that were found, and the cursor for the
// others: there are some also when the last of these is over meanwhile.
func (b *Bus) cutDead(ctx context.Context, found []deadHead, limit int) (letters []DeadLetter, next string, err error) {
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].cursor()
	}
	letters, err = b.openHeads(ctx, found)
	return letters, next, err
}

// openHeads returns the letters that heads are of, less those that are over meanwhile.
func (b *Bus) openHeads(ctx context.Context, heads []deadHead) ([]DeadLetter, error) {
	stream, err := b.js.Stream(ctx, Dead)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", Dead, err)
	}
	var letters []DeadLetter
	for _, h := range heads {
		msg, err := stream.GetMsg(ctx, h.seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letter %s: %w", h.id, err)
		}
		letters = append(letters, openDead(msg))
	}
	return letters, nil
}

// DeadOf returns the letters of deliveries of an org that died at the stage
// normalize, those that were discarded too.
func (b *Bus) DeadOf(ctx context.Context, org string, deliveries map[change.DeliveryID]bool) ([]DeadLetter, error) {
	names := make(map[string]bool, len(deliveries))
	for id := range deliveries {
		names[id.String()] = true
	}
	heads := map[string]deadHead{}
	err := b.deadHeads(ctx, org, StageNormalize, func(h deadHead) {
		if names[h.delivery] {
			heads[h.subject] = h
		}
	})
	if err != nil {
		return nil, fmt.Errorf("look for dead letters of %d deliveries: %w", len(deliveries), err)
	}
	return b.openHeads(ctx, slices.Collect(maps.Values(heads)))
}

// deadHeads hands the heads of an org's letters to h, in the order they were written.
func (b *Bus) deadHeads(ctx context.Context, org, stage string, h func(deadHead)) error {
	words := orgToken(org)
	if org == AllOrgs {
		words = "*"
	}
	subject := "dead." + cmp.Or(stage, "*") + "." + words + ".*"
	return b.read(ctx, reading{stream: Dead, subject: subject, headers: true}, func(s stored) error {
		h(readDeadHead(s))
		return nil
	})
}

// compareDead orders letters: the latest first failure first.
func compareDead(a, b deadHead) int {
	return cmp.Or(cmp.Compare(b.order, a.order), cmp.Compare(a.id, b.id), cmp.Compare(a.stage, b.stage))
}

func (h deadHead) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(h.order, 10) + " " + h.id + " " + h.stage))
}

func readDeadCursor(text string) (*deadHead, error) {
	if text == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	words := strings.SplitN(string(b), " ", 3)
	if err == nil && len(words) == 3 {
		order, err := strconv.ParseInt(words[0], 10, 64)
		if err == nil {
			return &deadHead{order: order, id: words[1], stage: words[2]}, nil
		}
	}
	return nil, problem.Invalid("cursor", "cursor must be meta.next_cursor of the page before")
}

// measureDead counts the letters that wait for somebody.
func (b *Bus) measureDead(ctx context.Context) error {
	stream, err := b.js.Stream(ctx, Dead)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Dead, err)
	}
	info := stream.CachedInfo()
	if info.Config.MaxBytes > 0 {
		b.metrics.deadBytes.Set(float64(info.State.Bytes) / float64(info.Config.MaxBytes))
	}
	heads := map[string]deadHead{}
	err = b.read(ctx, reading{stream: Dead, headers: true}, func(s stored) error {
		heads[s.subject] = readDeadHead(s)
		return nil
	})
	if err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	depth, oldest := map[string]int{}, map[string]int64{}
	for _, h := range heads {
		if h.discarded {
			continue
		}
		depth[h.stage]++
		if first, ok := oldest[h.stage]; !ok || h.first < first {
			oldest[h.stage] = h.first
		}
	}
	for _, stage := range Stages() {
		b.metrics.deadDepth.WithLabelValues(stage).Set(float64(depth[stage]))
		age := 0.0
		if first, ok := oldest[stage]; ok {
			age = max(0, time.Since(time.UnixMilli(first)).Seconds())
		}
		b.metrics.deadOldest.WithLabelValues(stage).Set(age)
	}
	return nil
}
