package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
)

const (
	testSeed = 7
	began    = 1_770_000_000_000 // of the round
)

// whole is a journal, and an installation that holds just what it says: two
// chains, repeats, a request without an answer that is there and one that is
// not, and one that was refused.
func whole() ([]*request, snapshot) {
	var requests []*request
	var s snapshot
	frames := map[string]uint64{}
	add := func(state string, f fact, identity, chain string, outcome change.Outcome, frame uint64, place uint32) {
		n := int64(len(requests) + 1)
		body := fmt.Sprintf("%064x", f.number)
		q := &request{
			entry: entry{State: stateSent, ID: n, At: 100 * n, Fact: f.number, Kind: f.kind, Identity: identity, Hash: body},
			state: state, answer: 100*n + 50,
		}
		requests = append(requests, q)
		id := fmt.Sprintf("dlv_%d", n)
		if state == stateOK {
			q.status, q.dlv = 200, id
		}
		if chain == "" {
			return
		}
		frames[chain] = max(frames[chain], frame)
		s.Deliveries = append(s.Deliveries, deliveryRow{ID: id, Received: began + q.At/1000, Identity: identity, Outcome: string(outcome), Hash: body, Chain: chain, Frame: frame, Place: place})
		s.Payloads = append(s.Payloads, payloadRow{ID: id, Hash: body})
		if outcome == change.Stored {
			row := changeRow{ID: "chg_" + id, Delivery: id}
			if f.kind == kindPush {
				row.Commit = mark(testSeed, f.number, f.kind)
			} else {
				row.Summary = "Deploy " + mark(testSeed, f.number, f.kind)
			}
			s.Changes = append(s.Changes, row)
		}
	}
	add(stateOK, fact{1, kindPush}, "github:1", "a", change.Stored, 1, 0)
	add(stateOK, fact{2, kindKeyed}, "key:2", "a", change.Stored, 1, 1)
	add(stateOK, fact{1, kindPush}, "github:1", "a", change.Duplicate, 2, 0)
	add(stateUnknown, fact{4, kindPlain}, "", "a", change.Stored, 3, 0)
	add(stateUnknown, fact{5, kindPlain}, "", "", "", 0, 0)
	add(stateRefused, fact{6, kindPlain}, "", "", "", 0, 0)
	add(stateOK, fact{7, kindPlain}, "", "b", change.Stored, 1, 0)
	add(stateOK, fact{8, kindPush}, "github:8", "b", change.Stored, 2, 0)
	s.Bus.Heads = []bus.Head{
		{Seq: 1, Chain: "a", Number: 1, Deliveries: 2}, {Seq: 2, Chain: "a", Number: 2, Deliveries: 1}, {Seq: 3, Chain: "a", Number: 3, Deliveries: 1},
		{Seq: 4, Chain: "b", Number: 1, Deliveries: 1}, {Seq: 5, Chain: "b", Number: 2, Deliveries: 1},
	}
	s.Bus.Consumers = []bus.ConsumerStatus{{Stream: bus.Changes, Name: bus.Writer}}
	return requests, s
}

func TestOracle_AcceptsWhatIsWhole(t *testing.T) {
	requests, s := whole()
	got := judge(requests, s, testSeed, Expected{Began: began})
	want := verdict{Sent: 8, Acknowledged: 5, Refused: 1, Unknown: 2, Stored: 6, Changes: 5}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

// Each case does one harm to what is whole; the oracle must name it.
func TestOracle_SeesEachHarm(t *testing.T) {
	f := func(name string, harm func(s *snapshot, requests []*request), count func(verdict) int) {
		t.Helper()
		requests, s := whole()
		harm(&s, requests)
		got := judge(requests, s, testSeed, Expected{Answered: strings.HasPrefix(name, "term"), Began: began})
		if count(got) == 0 || got.bad() == 0 || len(got.Violations) == 0 {
			t.Errorf("%s: not seen: %+v", name, got)
		}
	}
	lost := func(v verdict) int { return v.Lost }
	duplicated := func(v verdict) int { return v.Duplicated }
	phantom := func(v verdict) int { return v.Phantom }
	altered := func(v verdict) int { return v.Altered }
	broken := func(v verdict) int { return v.Broken }
	inFlight := func(v verdict) int { return v.InFlight }

	f("a delivery is removed", func(s *snapshot, _ []*request) { s.Deliveries = s.Deliveries[1:] }, lost)
	f("a payload is removed", func(s *snapshot, _ []*request) { s.Payloads = s.Payloads[1:] }, lost)
	f("a change is removed", func(s *snapshot, _ []*request) { s.Changes = s.Changes[1:] }, lost)
	f("the change of a request without an answer is removed", func(s *snapshot, _ []*request) {
		s.Changes = slices.DeleteFunc(s.Changes, func(c changeRow) bool { return c.Delivery == "dlv_4" })
	}, lost)
	f("a delivery is ignored", func(s *snapshot, _ []*request) { s.Deliveries[1].Outcome = string(change.Ignored) }, lost)
	f("an answer names another's delivery", func(_ *snapshot, requests []*request) { requests[1].dlv = requests[0].dlv }, lost)
	f("a change is there under another id", func(s *snapshot, _ []*request) {
		c := s.Changes[0]
		c.ID = "chg_other"
		s.Changes = append(s.Changes, c)
	}, duplicated)
	f("a repeat makes a change of its own", func(s *snapshot, _ []*request) {
		c := s.Changes[0]
		c.ID, c.Delivery = "chg_other", "dlv_3"
		s.Changes = append(s.Changes, c)
	}, duplicated)
	f("a delivery is there twice", func(s *snapshot, _ []*request) { s.Deliveries = append(s.Deliveries, s.Deliveries[0]) }, duplicated)
	f("a delivery is there under another id", func(s *snapshot, _ []*request) {
		d := s.Deliveries[0]
		d.ID, d.Frame, d.Place = "dlv_other", 4, 0
		s.Deliveries = append(s.Deliveries, d)
	}, duplicated)
	f("a request without an answer is there twice", func(s *snapshot, _ []*request) {
		d := s.Deliveries[3]
		d.ID, d.Frame = "dlv_other", 4
		s.Deliveries = append(s.Deliveries, d)
	}, duplicated)
	f("a payload's body is altered", func(s *snapshot, _ []*request) { s.Payloads[2].Hash = "00" }, altered)
	f("a delivery's body is altered", func(s *snapshot, _ []*request) { s.Deliveries[0].Hash = "00" }, altered)
	f("a time is altered", func(s *snapshot, _ []*request) { s.Deliveries[0].Received -= 60_000 }, altered)
	f("an identity is altered", func(s *snapshot, _ []*request) { s.Deliveries[1].Identity = "key:3" }, altered)
	f("a commit is altered", func(s *snapshot, _ []*request) { s.Changes[0].Commit = "00" }, altered)
	f("a summary is altered", func(s *snapshot, _ []*request) { s.Changes[1].Summary = "Deploy" }, altered)
	f("a delivery is added", func(s *snapshot, _ []*request) {
		s.Deliveries = append(s.Deliveries, deliveryRow{ID: "dlv_x", Hash: "ff", Outcome: "stored", Chain: "b", Frame: 3})
	}, phantom)
	f("a payload is added", func(s *snapshot, _ []*request) { s.Payloads = append(s.Payloads, payloadRow{ID: "dlv_x", Hash: "ff"}) }, phantom)
	f("a change is added", func(s *snapshot, _ []*request) {
		s.Changes = append(s.Changes, changeRow{ID: "chg_x", Delivery: "dlv_x", Summary: "x"})
	}, phantom)
	f("what was refused with 401 is there", func(s *snapshot, requests []*request) {
		requests[5].status = 401
		s.Deliveries = append(s.Deliveries, deliveryRow{ID: "dlv_6", Hash: requests[5].Hash, Outcome: "stored", Chain: "b", Frame: 3})
	}, phantom)
	f("two are in the wrong order", func(s *snapshot, _ []*request) {
		s.Deliveries[0].Frame, s.Deliveries[2].Frame = 2, 1
		s.Deliveries[1].Frame = 2
	}, func(v verdict) int { return v.Disordered })
	f("a frame is missing", func(s *snapshot, _ []*request) { s.Deliveries[2].Frame = 9 }, broken)
	f("a place is missing", func(s *snapshot, _ []*request) { s.Deliveries[1].Place = 2 }, broken)
	f("the bus has a hole", func(s *snapshot, _ []*request) { s.Bus.Heads = slices.Delete(s.Bus.Heads, 1, 2) }, broken)
	f("a frame on the bus is not stored", func(s *snapshot, _ []*request) {
		s.Bus.Heads = append(s.Bus.Heads, bus.Head{Seq: 6, Chain: "b", Number: 3, Deliveries: 1})
	}, inFlight)
	f("an outcome is missing", func(s *snapshot, _ []*request) { s.Deliveries = slices.Delete(s.Deliveries, 3, 4) }, inFlight)
	f("a consumer has not finished", func(s *snapshot, _ []*request) { s.Bus.Consumers[0].AckPending = 1 }, inFlight)
	f("a dead letter is unexplained", func(s *snapshot, _ []*request) {
		s.Bus.Dead = append(s.Bus.Dead, bus.DeadLetter{ID: "ded_1", Stage: bus.StageFrame, Reason: "hole"})
	}, func(v verdict) int { return v.Dead })
	f("term: a request is there and was not answered", func(*snapshot, []*request) {}, func(v verdict) int { return v.Unanswered })
}

func TestOracle_TakesARepeatedFrame(t *testing.T) {
	requests, s := whole()
	s.Bus.Heads = slices.Insert(s.Bus.Heads, 2, s.Bus.Heads[1])
	if v := judge(requests, s, testSeed, Expected{}); v.bad() > 0 || v.Repeated != 1 {
		t.Errorf("a frame that is on the bus twice is no violation: %+v", v)
	}
}

func TestOracle_TakesDeadLettersOfWhatWasPoisonedOnly(t *testing.T) {
	requests, s := whole()
	requests[6].Kind = kindPoison
	s.Deliveries[4].Outcome = string(change.Dead)
	s.Changes = slices.DeleteFunc(s.Changes, func(c changeRow) bool { return c.Delivery == "dlv_7" })
	if v := judge(requests, s, testSeed, Expected{DeadLetters: true}); v.bad() > 0 || v.Poisoned != 1 {
		t.Errorf("a poisoned request that is dead is no violation: %+v", v)
	}
	s.Deliveries[4].Outcome = string(change.Stored)
	if v := judge(requests, s, testSeed, Expected{DeadLetters: true}); v.Dead != 1 {
		t.Errorf("a poisoned request that is stored was not poisoned: %+v", v)
	}
}
