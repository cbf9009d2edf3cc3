package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/problem"
)

// errRefused means that a frame is certainly not on the stream.
var errRefused = errors.New("refused by the stream")

// pubAck is JetStream's answer to a publish.
type pubAck struct {
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"` // an earlier try was stored: as good
	Error     *struct {
		Code        int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// Answers that come before anything is written.
const (
	codeStoreFailed = 10077 // with the words below: full; else a fault of the disk
	codeNoResources = 10023 // the account's or the server's limit
	wordsFull       = "maximum bytes exceeded"
)

// publish sends a frame until its fate is known, and answers those in batch as
// soon as they can be answered: with success on the acknowledgement, with busy
// four seconds after the oldest of them asked. It publishes on even then, as
// the frame's number is used up; meanwhile nothing new is accepted.
func (c *Committer) publish(ctx context.Context, msg *nats.Msg, batch []*entry) (seq uint64, err error) {
	p := publishing{Committer: c, batch: batch, first: time.Now(), heard: time.Now(), deadline: batch[0].since.Add(giveUp)}
	defer func() {
		p.stuck.Store(false)
		p.silent.Store(nil)
	}()
	var stopBy <-chan time.Time
	stop := ctx.Done()
	for try := 1; ; try++ {
		if try > 1 {
			c.bus.metrics.retries.WithLabelValues(c.lane).Inc()
		}
		next := time.Now().Add(ackWait)
		if err := c.bus.nc.PublishMsg(msg); err != nil {
			next = time.Now().Add(retryPause) // not connected, most likely
		}
		for time.Now().Before(next) {
			select {
			case m := <-c.acks:
				if m.Subject != msg.Reply {
					continue // a late answer for a frame before
				}
				ack, err := readAck(m)
				if err == nil {
					err = c.bus.syncBlocks(Deliveries)
				}
				switch {
				case err == nil:
					p.stored()
					c.double(msg)
					return ack.Seq, nil
				case errors.Is(err, errRefused) && try == 1:
					p.giveUp(busy("bus_full", err))
					return 0, errRefused
				}
				p.heard = time.Now() // an answer, if a bad one
				p.silent.Store(nil)
				c.bus.log.Debug("publish answered with an error", "lane", c.lane, "error", err)
				next = earlier(next, time.Now().Add(retryPause))
			case <-time.After(p.patience(next)):
			case <-stop:
				stop, stopBy = nil, time.After(stopGrace)
			case <-stopBy:
				p.giveUp(busy("stopping", nil))
				return 0, fmt.Errorf("fate of frame %s/%d on lane %s is not known after %s",
					c.chain, c.number+1, c.lane, time.Since(p.first).Round(time.Millisecond))
			}
			p.look()
		}
	}
}

// double puts a frame on the stream once more where a failpoint says so, as a
// repeat does whose id the stream has forgotten.
func (c *Committer) double(msg *nats.Msg) {
	if failpoint.Fail("double-frame") == nil {
		return
	}
	again := *msg
	again.Header = maps.Clone(msg.Header)
	again.Header.Del(nats.MsgIdHdr)
	_ = c.bus.nc.PublishMsg(&again) // one that gets lost is no repeat
}

// publishing is one frame on its way.
type publishing struct {
	*Committer
	batch    []*entry // nil once answered
	first    time.Time
	heard    time.Time // when the stream last said anything
	deadline time.Time // for the oldest in batch
}

// patience is how long to wait for an answer before looking around.
func (p *publishing) patience(next time.Time) time.Duration {
	return max(0, min(time.Until(next), retryPause))
}

// look answers those whose time has come.
func (p *publishing) look() {
	now := time.Now()
	if now.Sub(p.first) < retryPause {
		return
	}
	if heard := p.heard; now.Sub(heard) >= retryPause {
		p.silent.CompareAndSwap(nil, &heard)
	}
	if p.batch != nil && now.After(p.deadline) {
		p.stuck.Store(true)
		p.giveUp(busy("bus_not_acknowledging", nil))
	}
	p.expire()
}

func (p *publishing) giveUp(err *problem.Error) {
	p.fail(p.batch, err)
	p.batch = nil
}

func (p *publishing) stored() {
	failpoint.Hit("after-frame")
	p.bus.metrics.publish.WithLabelValues(p.lane).Observe(time.Since(p.first).Seconds())
	p.acknowledge(p.batch, p.number+1)
	p.batch = nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func readAck(m *nats.Msg) (pubAck, error) {
	var ack pubAck
	if len(m.Data) == 0 { // "503": no stream listens, for now
		return ack, fmt.Errorf("no answer from a stream: status %s", m.Header.Get("Status"))
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return ack, fmt.Errorf("read acknowledgement: %w", err)
	}
	switch e := ack.Error; {
	case e == nil && ack.Seq > 0:
		return ack, nil
	case e == nil:
		return ack, errors.New("acknowledgement without a sequence")
	case e.Code == codeNoResources, e.Code == codeStoreFailed && strings.Contains(e.Description, wordsFull):
		return ack, fmt.Errorf("%w: %s", errRefused, e.Description)
	default:
		return ack, fmt.Errorf("stream: %s (%d)", e.Description, e.Code)
	}
}
