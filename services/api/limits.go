package api

import (
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/limit"
	"whatchanged/pkg/problem"
)

// How many callers are remembered at least; those of whom nothing was heard
// for longest are forgotten, and start anew.
const (
	rememberedKeys      = 16_384
	rememberedAddresses = 16_384
)

// caller is who a rate counts for.
type caller struct{ org, id string }

// limits is how often callers may ask. A nil rate lets everybody.
type limits struct {
	keys      *limit.Rates[caller]
	policy    string // the RateLimit-Policy of keys
	addresses *limit.Rates[netip.Addr]
	proxies   httpserver.Networks // whose word about who called is believed
}

func newLimits(cfg Config, proxies httpserver.Networks) *limits {
	l := &limits{proxies: proxies}
	if cfg.KeyRate > 0 {
		l.keys = limit.NewRates[caller](cfg.KeyRate, cfg.KeyBurst, rememberedKeys)
		window := (cfg.KeyBurst + cfg.KeyRate - 1) / cfg.KeyRate
		l.policy = `"key";q=` + strconv.Itoa(cfg.KeyBurst) + `;w=` + strconv.Itoa(window)
	}
	if cfg.FailureRate > 0 {
		l.addresses = limit.NewRates[netip.Addr](cfg.FailureRate, 2*cfg.FailureRate, rememberedAddresses)
	}
	return l
}

// key counts a request of p, and tells in the answer's headers how p stands:
// RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers-10,
// of which q is what can be asked at once, w how many seconds it takes until
// that is there again, r what is left, and t in how many seconds all is.
func (l *limits) key(h http.Header, p auth.Principal) error {
	if l.keys == nil {
		return nil
	}
	s := l.keys.Take(caller{p.Org, p.KeyID}, time.Now())
	h.Set("RateLimit-Policy", l.policy)
	h.Set("RateLimit", `"key";r=`+strconv.Itoa(s.Remaining)+`;t=`+strconv.Itoa(seconds(s.Full)))
	if s.OK {
		return nil
	}
	return &problem.Error{
		Kind: problem.RateLimited, Reason: "rate_limited", RetryAfter: s.RetryAfter,
		Message: "this key asks more often than it may; the RateLimit headers of every answer say how it stands",
	}
}

// stranger counts a request from r's address that could not be authenticated.
// Requests that can be are never counted, so that nobody is kept out by what
// others behind the same address do.
func (l *limits) stranger(r *http.Request) error {
	return l.address(r, (*limit.Rates[netip.Addr]).Take)
}

// noisy refuses what stranger would, and counts nothing. It is for what costs
// others: whether the request can be authenticated is known only after it.
func (l *limits) noisy(r *http.Request) error { return l.address(r, (*limit.Rates[netip.Addr]).Look) }

func (l *limits) address(r *http.Request, ask func(*limit.Rates[netip.Addr], netip.Addr, time.Time) limit.Standing) error {
	at, ok := l.proxies.Caller(r)
	if !ok {
		at, ok = httpserver.Networks(nil).Caller(r) // what the proxy says is no use: its own
	}
	if l.addresses == nil || !ok { // not TCP: nobody else can be there
		return nil
	}
	if s := ask(l.addresses, httpserver.Network(at), time.Now()); !s.OK {
		return &problem.Error{
			Kind: problem.RateLimited, Reason: "too_many_failures", RetryAfter: s.RetryAfter,
			Message: "too many requests from this address could not be authenticated; check the key, and try later",
		}
	}
	return nil
}

// seconds rounds up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
