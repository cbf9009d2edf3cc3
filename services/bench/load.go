package bench

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/sync/errgroup"
)

// load says what one run of the generator does.
type load struct {
	Address     string        `json:"address"` // host:port
	Path        string        `json:"path"`
	Secret      string        `json:"secret,omitempty"` // of the signature; empty: unsigned
	Connections int           `json:"connections"`
	Rate        float64       `json:"rate"`            // requests a second; 0: as fast as answers come
	Flood       bool          `json:"flood,omitempty"` // more than can be answered: what is late counts when it is answered, and from when it was sent
	Warmup      time.Duration `json:"warmup"`
	Duration    time.Duration `json:"duration"` // measured, after the warm-up
	Payloads    string        `json:"payloads,omitempty"`
	Bulk        int           `json:"bulk,omitempty"` // changes in a request to the API, at Path with Key; 0: a webhook
	Seed        uint64        `json:"seed"`

	// With Pollers, that many goroutines take accepted deliveries as samples
	// and ask the API at URL for their changes until it answers with one.
	Pollers int    `json:"pollers,omitempty"`
	URL     string `json:"url,omitempty"`
	Key     string `json:"key,omitempty"`
}

// loaded is what one run of the generator saw. Only what was sent after the
// warm-up counts, except in Total.
type loaded struct {
	Accepted  int            `json:"accepted"`
	Total     int            `json:"total"`   // accepted, warm-up included
	Refused   map[string]int `json:"refused"` // by status and reason, or "network"
	Seconds   float64        `json:"seconds"`
	Rate      float64        `json:"rate"`
	Latency   Latency        `json:"latency"`
	CPU       float64        `json:"cpu_seconds"`
	Queryable Latency        `json:"queryable"`
	Unseen    int            `json:"unseen"` // samples that never became queryable
	Error     string         `json:"error,omitempty"`
}

const (
	answerTimeout  = 10 * time.Second // for the last answers, after the end
	visibleTimeout = 10 * time.Second
	pollEvery      = 20 * time.Millisecond
	grid           = time.Millisecond
	progressEvery  = 250 * time.Millisecond
	redialPause    = 20 * time.Millisecond
)

// sample is an accepted delivery whose way to the API is watched.
type sample struct {
	id       string
	accepted time.Time
}

type generator struct {
	load
	requests []request
	start    time.Time // of what counts
	end      time.Time
	ticks    chan time.Time // intended times of sending; nil at full load
	samples  chan sample    // nil without pollers
	accepted atomic.Int64

	mu      sync.Mutex
	latency histogram
	refused map[string]int
	lastErr error
}

// payloads returns what is sent.
func (l load) payloads() ([]payload, error) {
	if l.Bulk > 0 {
		return logged(l.Key, l.Bulk), nil
	}
	payloads, _, err := payloadsFrom(l.Payloads)
	return payloads, err
}

// run sends the load. It returns when every answer is there or its time is
// over; progress, when not nil, is called four times a second with
// what was accepted.
func (l load) run(ctx context.Context, progress func(accepted int64)) (loaded, error) {
	payloads, err := l.payloads()
	if err != nil {
		return loaded{}, err
	}
	g := &generator{load: l, refused: map[string]int{}}
	for _, p := range payloads {
		r, err := newRequest(p, l.Address, l.Path, l.Secret != "")
		if err != nil {
			return loaded{}, err
		}
		g.requests = append(g.requests, r)
	}
	begin := time.Now()
	g.start = begin.Add(l.Warmup)
	g.end = g.start.Add(l.Duration)
	ctx, cancel := context.WithDeadline(ctx, g.end.Add(answerTimeout+visibleTimeout))
	defer cancel()

	work, workCtx := errgroup.WithContext(ctx)
	if l.Rate > 0 {
		// A server that falls behind must not slow the schedule down: there is
		// room for ten seconds of it.
		g.ticks = make(chan time.Time, int(l.Rate*10)+l.Connections)
		work.Go(func() error {
			ctx, cancel := context.WithDeadline(workCtx, g.end) // then nobody takes from it any more
			defer cancel()
			return g.schedule(ctx, begin)
		})
	}
	watch, watchCtx := errgroup.WithContext(ctx)
	var seen watched
	if l.Pollers > 0 {
		g.samples = make(chan sample)
		for range l.Pollers {
			watch.Go(func() error { return g.poll(watchCtx, &seen) })
		}
	}
	for i := range l.Connections {
		work.Go(func() error { return g.connection(workCtx, i) })
	}

	var cpuBefore, cpuAfter time.Duration
	work.Go(func() error { // the clock: processor time of the measured part, and progress
		if !sleepUntil(workCtx, g.start) {
			return nil
		}
		cpuBefore = processorTime()
		for next := g.start; next.Before(g.end); next = next.Add(progressEvery) {
			if !sleepUntil(workCtx, next) {
				return nil
			}
			if progress != nil {
				progress(g.accepted.Load())
			}
		}
		sleepUntil(workCtx, g.end)
		cpuAfter = processorTime()
		return nil
	})
	err = work.Wait()
	if g.samples != nil {
		close(g.samples) // the senders are gone
	}
	if watchErr := watch.Wait(); err == nil {
		err = watchErr
	}
	if err != nil {
		return loaded{}, err
	}
	return g.result(&seen, cpuAfter-cpuBefore), ctx.Err()
}

func (g *generator) result(seen *watched, cpu time.Duration) loaded {
	out := loaded{
		Accepted: int(g.latency.n), Total: int(g.accepted.Load()), Refused: maps.Clone(g.refused),
		Seconds: g.Duration.Seconds(), Rate: float64(g.latency.n) / g.Duration.Seconds(),
		Latency: g.latency.latency(), CPU: cpu.Seconds(),
		Queryable: seen.latency.latency(), Unseen: seen.missed,
	}
	if g.lastErr != nil {
		out.Error = g.lastErr.Error()
	}
	return out
}

// schedule hands out the times at which requests are due, on a grid of a
// millisecond: one waking serves all that is due by then.
func (g *generator) schedule(ctx context.Context, begin time.Time) error {
	defer close(g.ticks)
	ticker, err := newTicker(grid)
	if err != nil {
		return err
	}
	defer ticker.Close()
	var passed [8]byte
	sent := 0
	for due := begin; due.Before(g.end); due = due.Add(grid) {
		for time.Now().Before(due) {
			if _, err := ticker.Read(passed[:]); err != nil {
				return fmt.Errorf("wait for the timer: %w", err)
			}
		}
		for next := int(math.Round(g.Rate * (due.Sub(begin) + grid).Seconds())); sent < next; sent++ {
			select {
			case g.ticks <- due:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// connection sends requests one after the other until the end.
func (g *generator) connection(ctx context.Context, i int) error {
	w := newWire(g.Address, g.end.Add(answerTimeout))
	defer w.close()
	requests := newWriter(g.requests, g.Secret, g.Seed, i)
	var latency histogram
	refused := map[string]int{}
	var lastErr error
	for ctx.Err() == nil {
		intended := time.Now()
		if g.ticks != nil {
			due, ok := <-g.ticks
			if !ok || time.Now().After(g.end) {
				break // what was due and could not be sent by now is missing from the rate
			}
			if intended = due; g.Flood {
				intended = time.Now()
			}
		} else if !intended.Before(g.end) {
			break
		}
		status, body, err := w.roundTrip(ctx, requests.request(time.Now()))
		now := time.Now()
		counts := !intended.Before(g.start) && now.Before(g.end)
		if g.ticks != nil && !g.Flood {
			counts = !intended.Before(g.start) // all that was due, however late its answer
		}
		switch {
		case err != nil:
			lastErr = err
			refused["network"]++
			sleepUntil(ctx, now.Add(redialPause))
		case status != http.StatusOK && status != http.StatusCreated:
			lastErr = fmt.Errorf("status %d: %s", status, cut(body, 200))
			refused[strings.TrimSpace(strconv.Itoa(status)+" "+gjson.GetBytes(body, "reason").Str)]++
		default:
			g.accepted.Add(1)
			if counts {
				latency.add(now.Sub(intended))
				g.offer(body, now)
			}
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.latency.merge(&latency)
	for reason, n := range refused {
		g.refused[reason] += n
	}
	if lastErr != nil {
		g.lastErr = lastErr
	}
	return nil
}

var deliveryPrefix = []byte(`"dlv_`)

// offer hands an accepted delivery to a poller that is waiting for one.
func (g *generator) offer(answer []byte, at time.Time) {
	if g.samples == nil {
		return
	}
	from := bytes.Index(answer, deliveryPrefix)
	if from < 0 {
		return
	}
	to := bytes.IndexByte(answer[from+1:], '"')
	if to < 0 {
		return
	}
	select {
	case g.samples <- sample{id: string(answer[from+1 : from+1+to]), accepted: at}:
	default:
	}
}

func cut(b []byte, n int) string { return strings.ToValidUTF8(string(b[:min(n, len(b))]), "?") }

// processorTime is what this process has used, in user and system mode.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sleepUntil reports whether t came before ctx ended.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
