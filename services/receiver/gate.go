package receiver

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/limit"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// maxGates bounds the gates that are kept; beyond it they are made anew.
const maxGates = 16_384

// networkNotAllowed is the reason of a refusal before the body was read.
const networkNotAllowed = "network_not_allowed"

// gate is what one source demands, made ready: secrets unsealed, keys
// expanded, limits counting. It is made when the source is first seen and
// again whenever the registry has a new version of it, or a secret ends.
type gate struct {
	requests *rate.Limiter
	bytes    *rate.Limiter
	networks networks  // empty: from anywhere
	verify   verifier  // nil: the token in the URL is all
	err      error     // why there is no telling who sent what
	until    time.Time // when the first of the secrets ends; zero for never
}

// admit returns nil when the request comes from where the source allows.
func (g *gate) admit(r *http.Request, proxies networks) error {
	if g.err != nil {
		// Ours to repair, and a sender must not give up over it.
		return problem.BusyFor(30*time.Second, "secret_unreadable", "the server cannot check signatures at the moment", g.err)
	}
	if len(g.networks) == 0 {
		return nil
	}
	if addr, ok := proxies.caller(r); !ok || !g.networks.contains(addr) {
		return problem.New(problem.Forbidden, networkNotAllowed, "this source takes deliveries from its networks only: add the sender's, and trust the proxy in front")
	}
	return nil
}

// check returns nil when the request proves what the source demands. Nothing
// in the request can lower that.
func (g *gate) check(ctx context.Context, in incoming) error {
	if g.verify == nil {
		return nil
	}
	return g.verify(ctx, in)
}

// gates keeps the gates by the version of their source. Looking one up takes
// no lock.
type gates struct {
	sealer    *auth.Sealer
	verifiers *verifiers
	cfg       Config

	ready sync.Map // *registry.Source to *gate
	size  atomic.Int64

	mu     sync.Mutex
	limits limit.Generations[place, limits] // outlive the versions of a source
}

type place struct{ org, id string }

type limits struct{ requests, bytes *rate.Limiter }

func newGates(sealer *auth.Sealer, v *verifiers, cfg Config) *gates {
	return &gates{sealer: sealer, verifiers: v, cfg: cfg, limits: limit.Generations[place, limits]{Max: maxGates}}
}

func (g *gates) of(source *registry.Source, now time.Time) *gate {
	if ready, ok := g.ready.Load(source); ok {
		if made := ready.(*gate); made.until.IsZero() || now.Before(made.until) {
			return made
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.size.Add(1) > maxGates { // versions that are gone, mostly
		g.ready.Clear()
		g.size.Store(1)
	}
	made := g.build(source, now)
	g.ready.Store(source, made)
	return made
}

func (g *gates) build(source *registry.Source, now time.Time) *gate {
	at := place{source.Org, source.ID}
	l, ok := g.limits.Get(at)
	if !ok {
		l = limits{
			requests: rate.NewLimiter(rate.Limit(g.cfg.SourceRate), 2*g.cfg.SourceRate),
			bytes:    rate.NewLimiter(rate.Limit(g.cfg.SourceBytes), 2*g.cfg.SourceBytes),
		}
		g.limits.Put(at, l)
	}
	made := &gate{requests: l.requests, bytes: l.bytes}
	for _, secret := range source.Secrets {
		if end := secret.Until.Time; end.After(now) && (made.until.IsZero() || end.Before(made.until)) {
			made.until = end
		}
	}
	secrets, err := source.OpenSecrets(g.sealer)
	if err == nil {
		made.verify, err = g.verifiers.of(source, secrets)
	}
	if err == nil {
		made.networks, err = parseNetworks(source.Networks)
	}
	if err != nil {
		made.err = fmt.Errorf("source %s: %w", source.ID, err)
	}
	return made
}
