package bench

import (
	"context"
	"errors"
	"path/filepath"
	"time"
)

// overloadTimes is how many times its peak the server is sent, on more
// connections than one address may have: what finds none is turned away, and
// comes again on a new one.
const (
	overloadTimes       = 5
	overloadConnections = 3000
	overloadWarmup      = 2 * time.Second // until all of them are there
)

// overload sends the whole product what it can take, and then many times that
// on a schedule that does not wait for it, by turns. A server that spends
// itself on what it cannot take answers fewer than at its peak.
func (r *run) overload(ctx context.Context) (err error) {
	r.say("starting whatchanged, for more than it can take")
	in := newInstallation(filepath.Join(r.base, "overload"))
	s, err := in.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.createSource(ctx); err != nil {
		return err
	}
	out := &Overload{Times: overloadTimes, Connections: overloadConnections}
	d := r.short(roundTime)
	var peaks, overs []round
	var sent, seconds float64
	for i := range rounds {
		r.say("at its peak and at %d times that, round %d of %d", overloadTimes, i+1, rounds)
		peak, err := r.round(ctx, s, r.load(s.addr, s.path, s.secret, d))
		if err == nil {
			err = s.drain(ctx)
		}
		if err != nil {
			return err
		}
		l := r.load(s.addr, s.path, s.secret, d)
		l.Rate, l.Connections, l.Flood = overloadTimes*peak.Rate, out.Connections, true
		l.Warmup = overloadWarmup
		over, err := r.round(ctx, s, l)
		if err == nil {
			err = s.drain(ctx)
		}
		if err != nil {
			return err
		}
		sent += float64(over.Total)
		for _, n := range over.Refused {
			sent += float64(n)
		}
		seconds += over.Seconds + overloadWarmup.Seconds()
		peaks, overs = append(peaks, peak), append(overs, over)
	}
	out.Peak, out.Goodput, out.Sent = *doorOf(peaks), *doorOf(overs), sent/seconds
	out.Ratio = ratio(out.Goodput.Rate, out.Peak.Rate)
	used, err := readUsage(s.pid())
	if err != nil {
		return err
	}
	out.Memory = Memory{Resident: used.resident, Peak: used.peak}
	r.report.Overload = out
	return nil
}
