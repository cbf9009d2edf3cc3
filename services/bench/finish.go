package bench

import "strings"

// finish works out what follows from the rest: ratios and targets.
func (r *Report) finish() {
	if d := r.Receiver; d != nil {
		d.Ratios = r.ratios(d.Rate, d.Latency, d.ServerCPU)
	}
	if a := r.Acknowledged; a != nil {
		a.Ratios = r.ratios(a.Rate, a.Latency, 0)
	}
	if p := r.Pipeline; p != nil {
		p.Ratios = r.ratios(p.Rate, p.Latency, p.ServerCPU)
	}
	if m := r.Maximum; m != nil {
		m.Ratios = r.ratios(m.Rate, m.FullLoad.Latency, m.FullLoad.ServerCPU)
		m.FullLoad.Ratios = r.ratios(m.FullLoad.Rate, m.FullLoad.Latency, m.FullLoad.ServerCPU)
	}
	r.Targets = r.targets()
}

// ratios compares with the limits; what was not measured stays zero.
func (r *Report) ratios(rate float64, latency Latency, cpu float64) *Ratios {
	var out Ratios
	if n := r.Noop; n != nil {
		out.RateToNoop = ratio(rate, n.Rate)
		out.P50ToNoop = ratio(latency.P50, n.Latency.P50)
		out.P99ToNoop = ratio(latency.P99, n.Latency.P99)
		out.CPUToNoop = ratio(cpu, n.ServerCPU)
	}
	if p := r.Publish; p != nil {
		out.RateToPublish = ratio(rate, p.Single.Rate)
		out.RateToFrames = ratio(rate, p.Frames.Rate)
	}
	return &out
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

const (
	wantReceiver  = 0.5        // of the no-op handler's rate
	wantPipeline  = 5000       // deliveries a second
	wantAnswer    = 10         // ms, p99
	wantQueryable = 1000       // ms, p99
	wantStart     = 2          // s
	wantMemory    = 1.5 * 1024 // MiB
	wantGoodput   = 0.9        // of the peak, at many times its load
	wantFair      = 2          // times the p99 alone
	wantSingle    = 0.5        // of webhooks a second
	wantBulk      = 20_000     // changes a second
	wantList      = 100        // ms, p99, ranges up to 31 days
	wantLongList  = 300        // ms, p99, others
)

// targets compares what was measured with what must be reached.
func (r *Report) targets() []Target {
	targets := []Target{}
	atLeast := func(name string, want, got float64) {
		targets = append(targets, Target{Name: name, Want: want, Got: got, Met: got >= want})
	}
	atMost := func(name string, want, got float64) {
		targets = append(targets, Target{Name: name, Want: want, Got: got, Most: true, Met: got <= want})
	}
	if r.Receiver != nil && r.Noop != nil {
		atLeast("receiver's rate to the no-op handler's", wantReceiver, r.Receiver.Ratios.RateToNoop)
	}
	if a := r.Acknowledged; a != nil {
		atMost("answer p99 at 2,000/s, ms", wantAnswer, a.Latency.P99)
	}
	if q := r.Queryable; q != nil {
		atMost("queryable p99 at 1,000/s, ms", wantQueryable, q.Latency.P99)
	}
	if p := r.Pipeline; p != nil {
		// A client that falls a little behind its schedule is not the server's fault.
		atLeast("deliveries/s accepted at the wanted rate", min(wantPipeline, p.Target)*0.995, p.Rate)
		atMost("backlog growth at that rate, deliveries/s", growingLong*p.Target, p.Backlog.Growth)
		atMost("resident memory, MiB", wantMemory, mib(p.Memory.Peak))
	}
	if m := r.Maximum; m != nil {
		atMost("resident memory at full load, MiB", wantMemory, mib(m.Memory.Peak))
	}
	if s := r.Restart; s != nil {
		atMost("start to first accepted webhook, s", wantStart, s.Seconds)
	}
	if o := r.Overload; o != nil {
		atLeast("accepted when overloaded, to the peak", wantGoodput, o.Ratio)
		atMost("resident memory when overloaded, MiB", wantMemory, mib(o.Memory.Peak))
	}
	if f := r.Fairness; f != nil {
		atMost("answer p99 beside a flood, to alone", wantFair, f.Acknowledged)
		atMost("queryable p99 beside a flood, to alone", wantFair, f.Queryable)
	}
	if a := r.API; a != nil {
		atLeast("changes logged one by one, to webhooks", wantSingle, ratio(a.Single.Rate, a.Webhooks.Rate))
		atLeast("changes/s logged in bulk", wantBulk, a.BulkChanges)
	}
	if l := r.Lists; l != nil {
		var short, long float64
		for _, q := range l.Queries {
			if strings.HasPrefix(q.Range, "90") || q.Range == "none" {
				long = max(long, q.Latency.P99)
			} else {
				short = max(short, q.Latency.P99)
			}
		}
		atMost("lists up to 31 days, slowest p99, ms", wantList, short)
		atMost("other lists, slowest p99, ms", wantLongList, long)
	}
	return targets
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
