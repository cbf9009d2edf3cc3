// Package receiver takes webhooks in: it looks the token up, checks what the
// source demands, and answers when the delivery is on disk. It does not look
// at what a delivery says; that is the normalizer's work, later.
package receiver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/time/rate"

	"whatchanged/normalizers"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/fair"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/tracing"
)

// The paths that the receiver serves; a source's token follows. What comes by
// IncidentsPrefix is read for what it says of incidents, too.
const (
	Prefix          = "/api/webhooks/incoming/changes/"
	IncidentsPrefix = "/api/webhooks/incoming/incidents/"
)

const (
	pattern          = Prefix + "{token}" // stands for the path in logs and metrics
	incidentsPattern = IncidentsPrefix + "{token}"
	maxPath          = 512 // bytes
)

// Committer makes a delivery durable: nil means that it is on disk. It keeps
// nothing of the delivery once it returned. The bus's Committer is one.
type Committer interface {
	Commit(ctx context.Context, d *change.Delivery) (bus.Position, error)
}

// Deps is what a receiver needs; all of it is required, but Orgs, Metrics and
// Client may be nil.
type Deps struct {
	Registry  *registry.Registry
	Committer Committer
	Sealer    *auth.Sealer
	Orgs      *fair.Orgs // the limits of orgs; nil: they have none
	Log       *slog.Logger
	Metrics   prometheus.Registerer
	Tracer    *tracing.Tracer // nil: no spans
	// Client fetches certificates and keys, and confirms subscriptions. Nil is
	// one that follows no redirect, uses no proxy and waits no longer than 3 s.
	Client *http.Client
}

// Receiver is the handler of its two paths. It does its own routing: a ServeMux
// would answer odd paths with a redirect, which no sender follows.
type Receiver struct {
	cfg       Config
	registry  *registry.Registry
	committer Committer
	orgs      *fair.Orgs
	log       *slog.Logger
	tracer    *tracing.Tracer
	warn      rate.Sometimes // errors that can repeat
	metrics   *metrics

	certificates *snsCertificates
	proxies      httpserver.Networks

	gates    *gates
	failures *failures
	recent   *recent
	memory   atomic.Int64 // bytes of bodies being held
	scratch  sync.Pool
}

// New returns a receiver.
func New(deps Deps, cfg Config) (*Receiver, error) {
	if deps.Registry == nil || deps.Committer == nil || deps.Sealer == nil || deps.Log == nil {
		return nil, errors.New("receiver: registry, committer, sealer and log are required")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	proxies, err := httpserver.ParseNetworks(cfg.TrustedProxies)
	if err != nil {
		return nil, err
	}
	o := newOutside(deps.Client)
	v := &verifiers{certificates: newSNSCertificates(o), issuers: newIssuers(o)}
	rc := &Receiver{
		cfg: cfg, registry: deps.Registry, committer: deps.Committer, orgs: deps.Orgs, log: deps.Log, tracer: deps.Tracer,
		warn:         rate.Sometimes{Interval: time.Second},
		certificates: v.certificates,
		proxies:      proxies,
		gates:        newGates(deps.Sealer, v, cfg),
		failures:     newFailures(cfg.FailureRate),
		recent:       newRecent(),
	}
	rc.metrics = newMetrics(deps.Metrics, &rc.memory)
	rc.scratch.New = func() any { return &scratch{header: make(http.Header)} }
	return rc, nil
}

// scratch is what a request needs and the next one can use again.
type scratch struct {
	body     []byte
	header   http.Header
	answer   []byte
	delivery change.Delivery

	// challenge is what the source demands, in the words of WWW-Authenticate.
	// SNS sends a password only when it was asked for one.
	challenge string
}

const keepScratch = 256 << 10 // a larger body is not kept for the next request

// ServeHTTP answers one delivery, exactly once.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	r.Pattern = pattern
	rc.metrics.inFlight.Inc()
	defer rc.metrics.inFlight.Dec()
	s := rc.scratch.Get().(*scratch)
	err := rc.receive(r, s, start)
	switch {
	case err != nil:
		rc.refuse(w, r, err, s.challenge)
	case r.Method == http.MethodOptions:
		rc.consent(w, r)
	default:
		h := w.Header()
		h["Content-Type"] = jsonType
		h["Cache-Control"] = noStore
		w.Write(s.answer) // an error means that the client left; the delivery stays
	}
	rc.metrics.duration.Observe(time.Since(start).Seconds())
	rc.memory.Add(-int64(cap(s.body)))
	if cap(s.body) > keepScratch {
		s.body = nil
	}
	clear(s.header)
	s.delivery = change.Delivery{}
	s.challenge = ""
	rc.scratch.Put(s)
}

// Header values that every answer shares; net/http only reads them.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}

	incidentsKind = []string{change.KindIncidents}
)

// receive does the work, in the order in which a stranger costs us least:
// what needs no look-up first, what needs no body before the body. The answer
// is in s then.
func (rc *Receiver) receive(r *http.Request, s *scratch, now time.Time) error {
	rc.memory.Add(int64(cap(s.body)))
	token, incidents, err := route(r)
	if err != nil {
		return err
	}
	if incidents {
		r.Pattern = incidentsPattern
	}
	if err := rc.registry.Fresh(); err != nil {
		return err
	}
	source, ok := rc.lookup(token)
	if !ok {
		return rc.failed(r, now, problem.New(problem.NotFound, "unknown_token", "no source has this URL"))
	}
	gate := rc.gates.of(source, now)
	if err := gate.admit(r, rc.proxies); err != nil {
		return err
	}
	if !gate.requests.AllowN(now, 1) {
		return tooMany(r, "rate_limited", "this source sends too many requests a second")
	}
	org := rc.orgs.Org(source.Org)
	if e := org.Admit(now); e != nil {
		return laterForSNS(r, e)
	}
	if r.Method == http.MethodOptions {
		return nil // the handshake of CloudEvents: all of it is in the headers
	}
	if err := rc.readBody(r, s); err != nil {
		return err
	}
	if !gate.bytes.AllowN(now, len(s.body)) {
		return tooMany(r, "bytes_limited", "this source sends too many bytes a second")
	}
	if e := org.AdmitBytes(now, len(s.body)); e != nil {
		return laterForSNS(r, e)
	}
	in := incoming{header: r.Header, body: s.body, now: failpoint.Wall(now)}
	if err := gate.check(r.Context(), in); err != nil {
		if problem.KindOf(err) != problem.Unauthenticated {
			return err
		}
		if source.Auth == registry.AuthBasic {
			s.challenge = `Basic realm="whatchanged", charset="UTF-8"`
		}
		if rc.validate(source, in, s) {
			return nil // answered, but not recorded: whoever asked has proved nothing
		}
		return rc.failed(r, now, err)
	}
	if err := checkContent(r.Header, s.body, rc.cfg.MaxBody); err != nil {
		return err
	}
	if !rc.tracer.On() {
		return rc.take(r, s, source, token, incidents, in)
	}
	// Here, and not before: what follows is proved to be the source's.
	ctx, span := rc.tracer.Request(r.Context(), "receive delivery", now, r.Header.Get(tracing.Header),
		attribute.String("http.route", r.Pattern), attribute.String("whatchanged.org", source.Org),
		attribute.String("whatchanged.source_id", source.ID), attribute.Int("http.request.body.size", len(s.body)))
	err = rc.take(r.WithContext(ctx), s, source, token, incidents, in)
	span.SetAttributes(attribute.String("whatchanged.delivery_id", s.delivery.ID.String()))
	tracing.End(span, err)
	return err
}

// take makes a delivery durable that was proved to be the source's, and
// answers it as its sender expects.
func (rc *Receiver) take(r *http.Request, s *scratch, source *registry.Source, token string, incidents bool, in incoming) error {
	subscription, err := rc.subscription(r.Context(), source, in)
	if err != nil {
		return err
	}
	keepHeader(s.header, r.Header, source.SecretHeader, token, rc.cfg.MaxKeptHeaders)
	if source.Auth == registry.AuthSNS {
		onlySigned(s.header)
	}
	identity := normalizers.Identity(r.Header)
	if incidents {
		s.header[change.HeaderKind] = incidentsKind
		identity = change.IncidentIdentity(identity)
	}
	s.delivery = change.Delivery{
		ID: change.NewDeliveryID(in.now), Org: source.Org, SourceID: source.ID, ReceivedAt: change.At(in.now),
		Header: s.header, Body: s.body,
		Identity: identity, Provider: source.Provider,
	}
	if rc.tracer.On() {
		s.delivery.TraceParent = tracing.Parent(r.Context())
	}
	duplicate, err := rc.commit(r.Context(), &s.delivery)
	if err != nil {
		return err
	}
	rc.metrics.accepted(duplicate, len(s.body))
	if subscription != "" {
		if err := rc.certificates.confirm(r.Context(), subscription); err != nil {
			return err
		}
		rc.metrics.handshakes.WithLabelValues("sns").Inc()
	}
	switch id, ok := firehoseRequest(r.Header); {
	case ok:
		s.answer = appendFirehose(s.answer[:0], id, in.now, "")
	case rc.validate(source, in, s):
	default:
		s.answer = appendAccepted(s.answer[:0], s.delivery.ID, duplicate)
	}
	return nil
}

// commit makes the delivery durable, and says whether this process saw its
// identity lately. A duplicate is committed too: only the normalizer, which
// sees what is stored, may decide that it is one.
func (rc *Receiver) commit(ctx context.Context, d *change.Delivery) (duplicate bool, err error) {
	known := rc.recent.key(d)
	duplicate = rc.recent.has(known)
	if _, err := rc.committer.Commit(ctx, d); err != nil {
		return false, err
	}
	rc.recent.add(known)
	return duplicate, nil
}

// route returns what stands in the place of the token, and whether the path is
// that of incidents.
func route(r *http.Request) (token string, incidents bool, err error) {
	if len(r.URL.Path) > maxPath || len(r.URL.RawPath) > maxPath {
		return "", false, problem.New(problem.URITooLong, "path_too_long", "the path is longer than 512 bytes")
	}
	token, ok := strings.CutPrefix(r.URL.Path, Prefix)
	if !ok {
		token, incidents = strings.CutPrefix(r.URL.Path, IncidentsPrefix)
	}
	if !ok && !incidents {
		return "", false, problem.New(problem.NotFound, "unknown_path", "nothing is here")
	}
	if r.Method != http.MethodPost && !asksConsent(r) {
		return "", false, problem.New(problem.MethodNotAllowed, "method_not_allowed", "send a POST")
	}
	return token, incidents, nil
}

// lookup is the one way to a source: what is no token, unknown, revoked or
// disabled cannot be told apart by what follows.
func (rc *Receiver) lookup(token string) (*registry.Source, bool) {
	if !auth.ValidToken(token) {
		return nil, false
	}
	return rc.registry.SourceByToken(token)
}

// failed counts a failure against the client's address, and answers 429 in
// place of err once there were too many. Good requests from the same address
// are served all the while.
func (rc *Receiver) failed(r *http.Request, now time.Time, err error) error {
	addr, ok := rc.proxies.Caller(r)
	if !ok {
		addr, ok = httpserver.Networks(nil).Caller(r) // what the proxy says is no use: its own
	}
	if !ok || rc.failures.allow(addr, now) { // not ok: not TCP, nobody else can be there
		return err
	}
	return tooMany(r, "failures_limited", "too many requests with an unknown token or a wrong signature")
}

// tooMany is 429, but for SNS 503.
func tooMany(r *http.Request, reason, message string) error {
	return laterForSNS(r, &problem.Error{Kind: problem.RateLimited, Reason: reason, Message: message, RetryAfter: time.Second})
}

// laterForSNS is e, but for SNS, which gives up at any 4xx, it is 503.
func laterForSNS(r *http.Request, e *problem.Error) error {
	if r.Header.Get(snsTypeHeader) != "" {
		e.Kind = problem.Busy
	}
	return e
}

// appendAccepted writes the answer to a delivery that was accepted.
func appendAccepted(b []byte, id change.DeliveryID, duplicate bool) []byte {
	b = append(b, `{"data":{"delivery_id":"`...)
	b = append(b, id.String()...)
	b = append(b, `","status":"accepted","duplicate":`...)
	if duplicate {
		return append(b, "true}}\n"...)
	}
	return append(b, "false}}\n"...)
}
