package fair

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// Reasons of refusals.
const (
	reasonRequests = "org_rate_limited"
	reasonBytes    = "org_bytes_limited"
	reasonQuota    = "quota"
)

// quotaRetry is when who met the quota shall ask again: it is measured seldom.
const quotaRetry = 15 * time.Minute

// Org is how one org stands at this door. Its methods take no lock that orgs share.
type Org struct {
	all  *Orgs
	id   string
	cost atomic.Int64 // since the last look
	bulk atomic.Bool
	gate atomic.Pointer[gate]

	// The rest is of who looks.
	rate  float64 // of cost a second, about
	seen  time.Time
	until time.Time // stays on the lane bulk until then
}

// gate is an org's limits, as its record and the configuration have them.
type gate struct {
	record   *registry.Org // that it was made of; nil: there is none
	usage    *registry.Usage
	requests *rate.Limiter // nil: no limit
	bytes    *rate.Limiter
	over     bool // the quota is used up
}

// Admit counts a request, and refuses it when the org sends too many a second or
// has stored all that it may. A nil Org lets everybody in.
func (o *Org) Admit(now time.Time) *problem.Error {
	if o == nil {
		return nil
	}
	g := o.gate.Load()
	switch {
	case g.over:
		return o.refused(reasonQuota, quotaRetry,
			"this organisation has stored as many bytes as it may: nothing that was accepted is lost, and nothing more is until its quota is raised or its retention shortened")
	case g.requests != nil && !g.requests.AllowN(now, 1):
		return o.refused(reasonRequests, wait(g.requests, now, 1), "this organisation sends too many requests a second")
	}
	return nil
}

// AdmitBytes counts the bytes of a body, and refuses it when the org sends too
// many a second.
func (o *Org) AdmitBytes(now time.Time, n int) *problem.Error {
	if o == nil {
		return nil
	}
	l := o.gate.Load().bytes
	if l == nil {
		return nil
	}
	n = min(n, l.Burst()) // or what is larger than the burst could never come in
	if !l.AllowN(now, n) {
		return o.refused(reasonBytes, wait(l, now, n), "this organisation sends too many bytes a second")
	}
	return nil
}

func (o *Org) refused(reason string, retry time.Duration, message string) *problem.Error {
	o.all.metrics.refused.WithLabelValues(reason).Inc()
	return &problem.Error{Kind: problem.RateLimited, Reason: reason, Message: message, RetryAfter: max(time.Second, retry)}
}

// wait returns how long it takes until so many are there.
func wait(l *rate.Limiter, now time.Time, n int) time.Duration {
	return time.Duration((float64(n) - l.TokensAt(now)) / float64(l.Limit()) * float64(time.Second))
}

// costly is how many bytes of a body cost as much as one delivery more.
const costly = 8 << 10

// take counts a delivery and reports whether it goes to the lane bulk.
func (o *Org) take(size int) (bulk bool) {
	o.cost.Add(1 + int64(size/costly))
	return o.bulk.Load()
}

// refresh makes the gate anew when the org's record or its usage changed. What
// was sent under the limits before counts on.
func (o *Org) refresh() {
	record, _ := o.all.registry.Org(o.id)
	usage, _ := o.all.registry.Usage(o.id)
	old := o.gate.Load()
	if old != nil && old.record == record && old.usage == usage {
		return
	}
	if old == nil {
		old = &gate{}
	}
	limits, quota := o.all.limitsOf(record), o.all.Quota(record)
	o.gate.Store(&gate{
		record: record, usage: usage,
		requests: limiter(old.requests, limits.Requests, limits.RequestBurst),
		bytes:    limiter(old.bytes, limits.Bytes, limits.ByteBurst),
		over:     quota > 0 && usage != nil && usage.Bytes >= quota,
	})
}

// limiter returns a limiter of so many a second, old with new limits if there is
// one; nil for no limit.
func limiter(old *rate.Limiter, perSecond, burst int64) *rate.Limiter {
	switch {
	case perSecond <= 0:
		return nil
	case burst <= 0:
		burst = 2 * perSecond
	}
	if old == nil {
		return rate.NewLimiter(rate.Limit(perSecond), int(burst))
	}
	old.SetLimit(rate.Limit(perSecond))
	old.SetBurst(int(burst))
	return old
}
