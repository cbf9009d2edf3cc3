package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
)

// verdict is what the oracle found. All of the counts below Unknown must be 0.
type verdict struct {
	Sent         int `json:"sent"`
	Acknowledged int `json:"acknowledged"`
	Refused      int `json:"refused"`
	Unknown      int `json:"unknown"`

	Lost       int `json:"lost"`                 // answered 2xx, and not there
	Duplicated int `json:"duplicated"`           // there more often than sent, or one fact shown twice
	Phantom    int `json:"phantom"`              // there, and never sent, or refused for good
	Altered    int `json:"altered"`              // not what was sent
	Unanswered int `json:"unanswered,omitempty"` // there, and its sender got no answer though no connection was cut
	Disordered int `json:"out_of_order"`         // behind what was sent after its answer
	Broken     int `json:"chains"`               // holes in chains of frames
	Dead       int `json:"dead_letters"`         // that nothing explains
	InFlight   int `json:"in_flight"`            // received, and never finished

	Stored     int      `json:"stored"`  // deliveries with any outcome
	Changes    int      `json:"changes"` // that a reader sees
	Poisoned   int      `json:"poisoned,omitempty"`
	Repeated   int      `json:"frames_repeated,omitempty"` // on the bus
	BusBytes   uint64   `json:"bus_bytes"`
	Violations []string `json:"violations,omitempty"` // the first of each kind, in words
}

func (v *verdict) bad() int {
	return v.Lost + v.Duplicated + v.Phantom + v.Altered + v.Unanswered + v.Disordered + v.Broken + v.Dead + v.InFlight
}

const violationsShown = 5 // of each kind

// count notes a violation.
func (v *verdict) count(n *int, format string, args ...any) {
	if *n++; *n <= violationsShown {
		v.Violations = append(v.Violations, fmt.Sprintf(format, args...))
	}
}

// oracle compares a journal with what is there.
type oracle struct {
	verdict
	seed uint64
	want Expected

	requests []*request
	byDLV    map[string]*request   // acknowledged, by the delivery's id
	byHash   map[string][]*request // all, by the body's hash
	of       map[string]*request   // delivery id: the request it belongs to
	bodies   map[string]string     // delivery id: hash of the kept body
	poisoned map[string]bool       // delivery ids
}

// judge compares. Everything that was acknowledged must be there as it was
// sent, once; what has no answer may be.
func judge(requests []*request, s snapshot, seed uint64, want Expected) verdict {
	o := &oracle{
		seed: seed, want: want, requests: requests,
		byDLV: map[string]*request{}, byHash: map[string][]*request{}, of: map[string]*request{},
		bodies: map[string]string{}, poisoned: map[string]bool{},
	}
	o.Stored, o.Changes, o.BusBytes = len(s.Deliveries), len(s.Changes), s.Bus.Bytes
	o.readRequests()
	o.matchDeliveries(s.Deliveries)
	o.matchPayloads(s.Payloads, s.Deliveries)
	o.matchChanges(s.Changes, s.Deliveries)
	o.checkOrder(s.Deliveries)
	o.checkChains(s.Deliveries, s.Bus.Heads)
	o.checkBus(s.Bus)
	return o.verdict
}

func (o *oracle) readRequests() {
	for _, q := range o.requests {
		o.Sent++
		switch q.state {
		case stateOK:
			o.Acknowledged++
			if other := o.byDLV[q.dlv]; other != nil || q.dlv == "" {
				o.count(&o.Lost, "request %d was answered with the delivery %q of another", q.ID, q.dlv)
				continue
			}
			o.byDLV[q.dlv] = q
		case stateRefused:
			o.Refused++
		default:
			o.Unknown++
		}
		o.byHash[q.Hash] = append(o.byHash[q.Hash], q)
	}
}

// possible reports whether a request that was not acknowledged may be there:
// there was no answer, or it was 503, whose frame may be stored later.
func possible(q *request) bool {
	return q.state == stateUnknown || q.state == stateRefused && q.status >= 500
}

// matchDeliveries finds the request of each delivery, and what is missing.
func (o *oracle) matchDeliveries(rows []deliveryRow) {
	seen := map[string]bool{}
	var others []*deliveryRow
	for i := range rows {
		d := &rows[i]
		if seen[d.ID] {
			o.count(&o.Duplicated, "delivery %s is there twice", d.ID)
			continue
		}
		seen[d.ID] = true
		q := o.byDLV[d.ID]
		if q == nil {
			others = append(others, d)
			continue
		}
		o.of[d.ID] = q
		if d.Hash != q.Hash {
			o.count(&o.Altered, "delivery %s has body %s, and %s was sent in request %d", d.ID, d.Hash, q.Hash, q.ID)
		}
		const slack = 1000 // ms, for a wall clock that is set a little
		if at := d.Received - o.want.Began; o.want.Began > 0 && !o.want.Wall && (at < q.At/1000-slack || at > q.answer/1000+slack) {
			o.count(&o.Altered, "delivery %s was received %d ms after the beginning, and request %d was sent at %d us and answered at %d us",
				d.ID, at, q.ID, q.At, q.answer)
		}
		if d.Identity != q.Identity {
			o.count(&o.Altered, "delivery %s has identity %q, and %q was sent in request %d", d.ID, d.Identity, q.Identity, q.ID)
		}
	}
	for _, q := range o.requests {
		if q.state == stateOK && !seen[q.dlv] {
			o.count(&o.Lost, "request %d was answered %d with %s, which is not there (sent at %d us, answered at %d us)",
				q.ID, q.status, q.dlv, q.At, q.answer)
		}
	}
	// What is left belongs to requests without an answer: each at most once.
	left := map[string][]*request{}
	for hash, requests := range o.byHash {
		for _, q := range requests {
			if possible(q) {
				left[hash] = append(left[hash], q)
			}
		}
	}
	for _, d := range others {
		free := left[d.Hash]
		switch {
		case len(free) > 0:
			o.of[d.ID], left[d.Hash] = free[0], free[1:]
			if o.want.Answered && free[0].state == stateUnknown {
				o.count(&o.Unanswered, "delivery %s of request %d is there, and was not answered", d.ID, free[0].ID)
			}
		case len(o.byHash[d.Hash]) > 0 && slices.ContainsFunc(o.byHash[d.Hash], func(q *request) bool { return q.state == stateOK || possible(q) }):
			o.count(&o.Duplicated, "delivery %s is there beside those of all requests with its body", d.ID)
		default:
			o.count(&o.Phantom, "delivery %s with body %s was never sent, or refused for good", d.ID, d.Hash)
		}
	}
}

// matchPayloads checks the raw bodies.
func (o *oracle) matchPayloads(rows []payloadRow, deliveries []deliveryRow) {
	for _, p := range rows {
		if _, ok := o.bodies[p.ID]; ok {
			o.count(&o.Duplicated, "payload %s is there twice", p.ID)
		}
		o.bodies[p.ID] = p.Hash
		q := o.of[p.ID]
		switch {
		case q == nil && o.byDLV[p.ID] == nil && len(o.byHash[p.Hash]) == 0:
			o.count(&o.Phantom, "payload %s was never sent", p.ID)
		case q != nil && q.Hash != p.Hash:
			o.count(&o.Altered, "payload %s has body %s, and %s was sent in request %d", p.ID, p.Hash, q.Hash, q.ID)
		}
	}
	known := make(map[string]bool, len(deliveries))
	for _, d := range deliveries {
		known[d.ID] = true
		if _, ok := o.bodies[d.ID]; !ok {
			o.count(&o.Lost, "delivery %s has no payload", d.ID)
		}
	}
	for _, p := range rows {
		if !known[p.ID] {
			o.count(&o.InFlight, "payload %s has no outcome", p.ID)
		}
	}
}

// matchChanges checks that every fact is shown once, as it was sent.
func (o *oracle) matchChanges(rows []changeRow, deliveries []deliveryRow) {
	marks := make(map[string]int, len(rows))
	for _, c := range rows {
		q := o.of[c.Delivery]
		if q == nil {
			o.count(&o.Phantom, "change %s names delivery %s, which is nobody's", c.ID, c.Delivery)
			continue
		}
		want := mark(o.seed, q.Fact, q.Kind)
		if q.Kind == kindPush && c.Commit != want || q.Kind != kindPush && !slices.Contains(strings.Fields(c.Summary), want) {
			o.count(&o.Altered, "change %s of request %d shows %q and %q, and not %s", c.ID, q.ID, c.Commit, c.Summary, want)
			continue
		}
		if marks[want]++; marks[want] == 2 {
			o.count(&o.Duplicated, "change %s shows fact %d again", c.ID, q.Fact)
		}
	}
	for _, d := range deliveries {
		q := o.of[d.ID]
		if q == nil {
			continue
		}
		switch shown := marks[mark(o.seed, q.Fact, q.Kind)]; {
		case q.Kind == kindPoison:
			o.Poisoned++
			o.poisoned[d.ID] = true
			if o.want.DeadLetters && d.Outcome != string(change.Dead) {
				o.count(&o.Dead, "poisoned delivery %s is %s", d.ID, d.Outcome)
			}
		case d.Outcome != string(change.Stored) && d.Outcome != string(change.Duplicate):
			o.count(&o.Lost, "delivery %s of request %d is %q", d.ID, q.ID, d.Outcome)
		case shown == 0:
			o.count(&o.Lost, "delivery %s of request %d is %s, and fact %d is not shown", d.ID, q.ID, d.Outcome, q.Fact)
		}
	}
}

// checkOrder: what is sent after another's answer is behind it in their chain.
func (o *oracle) checkOrder(rows []deliveryRow) {
	sorted := slices.Clone(rows)
	slices.SortFunc(sorted, func(a, b deliveryRow) int {
		return cmp.Or(strings.Compare(a.Chain, b.Chain), cmp.Compare(a.Frame, b.Frame), cmp.Compare(a.Place, b.Place))
	})
	var chain string
	var latest *request // sent last of those before in the chain
	for i := range sorted {
		d := &sorted[i]
		if d.Chain != chain {
			chain, latest = d.Chain, nil
		}
		q := o.byDLV[d.ID]
		if q == nil {
			continue
		}
		if latest != nil && q.answer < latest.At {
			o.count(&o.Disordered, "request %d, answered at %d us, is behind request %d, sent at %d us", q.ID, q.answer, latest.ID, latest.At)
		}
		if latest == nil || q.At > latest.At {
			latest = q
		}
	}
}

// checkChains: frames and places are without holes in the store, and every
// frame on the bus is wholly there.
func (o *oracle) checkChains(rows []deliveryRow, heads []bus.Head) {
	type frame struct {
		chain  string
		number uint64
	}
	places := map[frame]map[uint32]bool{}
	last := map[string]uint64{}
	for _, d := range rows {
		f := frame{d.Chain, d.Frame}
		if places[f] == nil {
			places[f] = map[uint32]bool{}
		}
		if places[f][d.Place] {
			o.count(&o.Broken, "frame %s/%d has place %d twice", d.Chain, d.Frame, d.Place)
		}
		places[f][d.Place] = true
		last[d.Chain] = max(last[d.Chain], d.Frame)
	}
	for chain, end := range last {
		for n := uint64(1); n <= end; n++ {
			at := places[frame{chain, n}]
			if len(at) == 0 {
				o.count(&o.Broken, "frame %s/%d of %d is missing", chain, n, end)
				continue
			}
			for i := range uint32(len(at)) {
				if !at[i] {
					o.count(&o.Broken, "frame %s/%d has no place %d", chain, n, i)
				}
			}
		}
	}
	before := map[string]uint64{}
	for _, h := range heads {
		if had := before[h.Chain]; had != 0 && h.Number != had && h.Number != had+1 { // the same again is a repeat
			o.count(&o.Broken, "on the bus, frame %s/%d is followed by %d", h.Chain, had, h.Number)
		}
		if before[h.Chain] == h.Number {
			o.Repeated++
		}
		before[h.Chain] = h.Number
		if got := len(places[frame{h.Chain, h.Number}]); got != h.Deliveries {
			o.count(&o.InFlight, "frame %s/%d has %d deliveries on the bus and %d in the store", h.Chain, h.Number, h.Deliveries, got)
		}
	}
}

// checkBus: nothing waits, and no dead letter is unexplained.
func (o *oracle) checkBus(b busState) {
	for _, c := range b.Consumers {
		if c.Stream == bus.Audit {
			continue // our own questions are audited until the very end
		}
		if c.Pending > 0 || c.AckPending > 0 {
			o.count(&o.InFlight, "consumer %s of %s has %d messages before it and %d in hand", c.Name, c.Stream, c.Pending, c.AckPending)
		}
	}
	for _, d := range b.Dead {
		if o.want.DeadLetters && o.poisoned[d.DeliveryID.String()] {
			continue
		}
		o.count(&o.Dead, "dead letter %s of stage %s: %s", d.ID, d.Stage, d.Reason)
	}
}
