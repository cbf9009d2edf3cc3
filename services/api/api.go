// Package api serves the REST API: it checks who calls, reads what they ask,
// lets pkg/store or pkg/registry answer, and takes in the changes that people
// and CI jobs log. Operations are declared once, with what the OpenAPI
// document says of them. Webhooks are not its business, and it keeps no state
// but the live tails.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"whatchanged/normalizers"
	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/dead"
	"whatchanged/pkg/fair"
	"whatchanged/pkg/health"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/limit"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/repair"
	"whatchanged/pkg/replay"
	"whatchanged/pkg/signin"
	"whatchanged/pkg/store"
	"whatchanged/pkg/tracing"
)

// maxSessionLife is how long anybody can stay signed in.
const maxSessionLife = 30 * 24 * time.Hour

// Config has the API's settings.
type Config struct {
	// PublicURL is how webhook senders reach the receiver, for the URLs that are shown.
	PublicURL string
	// BodyTimeout is how long a request's body may take to arrive.
	BodyTimeout time.Duration
	// MaxTails is how many live tails may be open at the same time.
	MaxTails int
	// MaxKeyTails is how many of them one key may have.
	MaxKeyTails int
	// MaxExports is how many exports may run at the same time: each keeps a
	// connection to the store.
	MaxExports int
	// MaxKeyExports is how many of them one key may have.
	MaxKeyExports int
	// Heartbeat is how often a silent tail shows that it is alive.
	Heartbeat time.Duration
	// KeyRate is how many requests a second one key may send on average; 0 sets no limit.
	KeyRate int
	// KeyBurst is how many of them it may send at once.
	KeyBurst int
	// FailureRate is how many requests a second that cannot be authenticated
	// one address may send before it is told to slow down; 0 sets no limit.
	FailureRate int
	// CORSOrigins are the origins, as https://tools.example.com, whose pages may
	// call the API with a key; none unless set.
	CORSOrigins []string
	// SessionLife is how long somebody who signs in stays signed in.
	SessionLife time.Duration
}

// DefaultConfig returns the settings of a single machine.
func DefaultConfig() Config {
	return Config{
		PublicURL: "http://127.0.0.1:8080", BodyTimeout: 5 * time.Second,
		MaxTails: 1000, MaxKeyTails: 10, MaxExports: 4, MaxKeyExports: 2, Heartbeat: 15 * time.Second,
		KeyRate: 100, KeyBurst: 200, FailureRate: 20, SessionLife: 12 * time.Hour,
	}
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if c.PublicURL == "" {
		errs = append(errs, errors.New("public_url: must be set"))
	}
	if c.BodyTimeout <= 0 {
		errs = append(errs, errors.New("body_timeout: must be more than 0"))
	}
	if c.MaxTails < 1 || c.MaxKeyTails < 1 {
		errs = append(errs, errors.New("max_tails and max_key_tails: must be at least 1"))
	}
	if c.MaxExports < 1 || c.MaxKeyExports < 1 {
		errs = append(errs, errors.New("max_exports and max_key_exports: must be at least 1"))
	}
	if c.Heartbeat < time.Second/100 {
		errs = append(errs, errors.New("heartbeat: must be at least 10ms"))
	}
	if c.KeyRate < 0 || c.FailureRate < 0 || c.KeyRate > 0 && c.KeyBurst < 1 {
		errs = append(errs, errors.New("key_rate, key_burst and failure_rate: rates must be at least 0, the burst at least 1"))
	}
	if c.SessionLife < time.Minute || c.SessionLife > maxSessionLife {
		errs = append(errs, fmt.Errorf("session_life: must be between 1m and %s", maxSessionLife))
	}
	errs = append(errs, checkOrigins(c.CORSOrigins))
	return errors.Join(errs...)
}

// Committer takes a delivery in: it returns nil once the delivery is on disk.
type Committer interface {
	Commit(ctx context.Context, d *change.Delivery) (bus.Position, error)
}

// Deps is what the API needs. Without a Gatherer there is no /metrics, without
// SignIn nobody signs in with an account, without Orgs they have no limits, and
// Metrics may be nil; the rest is
// required.
type Deps struct {
	Store       *store.Store
	Registry    *registry.Registry
	Bus         *bus.Bus
	Committer   Committer
	Normalizers normalizers.Set
	Sealer      *auth.Sealer
	SignIn      *signin.Provider
	Audit       *audit.Recorder // the registry's too
	Dead        *dead.Desk
	Orgs        *fair.Orgs
	Proxies     httpserver.Networks // in front, whose word about who called is believed
	Health      *health.Health
	Gatherer    prometheus.Gatherer
	Metrics     prometheus.Registerer
	Tracer      *tracing.Tracer // nil: no spans
	Log         *slog.Logger
}

// API serves the REST API. Run keeps its live tails going.
type API struct {
	Deps
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	huma    huma.API
	mux     *http.ServeMux
	recent  *recent
	items   *recent // of bulk requests, by their own keys
	hub     *hub
	exports *slots
	limits  *limits
	logins  *logins
	faults  rate.Sometimes // what goes to the log of those of ours
	replays *replay.Jobs
	repairs *repair.Repairer

	crossOrigin *http.CrossOriginProtection
}

// New returns an API that is ready to serve.
func New(deps Deps, cfg Config) (*API, error) {
	err := cfg.Validate()
	if deps.Store == nil || deps.Registry == nil || deps.Bus == nil || deps.Committer == nil ||
		deps.Normalizers == nil || deps.Sealer == nil || deps.Audit == nil || deps.Dead == nil || deps.Health == nil || deps.Log == nil {
		err = errors.Join(err, errors.New("api: a dependency is missing"))
	} else if !deps.Registry.Audited() {
		err = errors.Join(err, errors.New("api: the registry does not record what is done to its objects"))
	}
	if err != nil {
		return nil, err
	}
	a := &API{
		Deps:    deps,
		cfg:     cfg,
		log:     deps.Log,
		metrics: newMetrics(deps.Metrics),
		mux:     http.NewServeMux(),
		recent:  newRecent(),
		items:   newRecent(),
		replays: replay.NewJobs(deps.Bus.KV(bus.BucketState)),
		exports: newSlots(cfg.MaxExports, cfg.MaxKeyExports),
		limits:  newLimits(cfg, deps.Proxies),
		logins:  &logins{finished: limit.Generations[string, struct{}]{Max: rememberedLogins}},
		faults:  rate.Sometimes{First: 20, Interval: time.Second},
	}
	if a.crossOrigin, err = newCrossOrigin(cfg.PublicURL); err != nil {
		return nil, fmt.Errorf("public_url: %w", err)
	}
	if a.repairs, err = repair.New(repair.Deps{
		Registry: deps.Registry, Sealer: deps.Sealer, Store: deps.Store, Bus: deps.Bus, Log: deps.Log,
	}); err != nil {
		return nil, err
	}
	a.hub = newHub(deps.Bus.Tail, cfg, deps.Log, a.metrics)
	a.huma = humago.New(a.mux, document(a.cookieName("session")))
	a.huma.UseMiddleware(
		func(ctx huma.Context, next func(huma.Context)) {
			body := new(arriving)
			next(huma.WithValue(malformedStatus{ctx, body}, bodyKey{}, body))
		},
		a.authenticate,
		a.trace,
	)
	a.registerChanges()
	a.registerFaces()
	a.registerBulk()
	a.registerStream()
	a.registerExport()
	a.registerIncidents()
	a.registerServices()
	a.registerWhatChanged()
	a.registerDeliveries()
	a.registerReplays()
	a.registerDead()
	a.registerStats()
	a.registerSources()
	a.registerRepair()
	a.registerKeys()
	a.registerOrgs()
	a.registerSession()
	a.registerLogin()
	a.registerAudit()
	return a, a.registerOperation()
}

// Run keeps the live tails going until ctx ends; then they end too.
func (a *API) Run(ctx context.Context) error { return a.hub.run(ctx) }

// Handler serves /api/v1, /openapi.json, /healthz, /readyz and /metrics.
func (a *API) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		if len(r.URL.Path) > maxPath || len(r.URL.RawPath) > maxPath {
			h.Set("Connection", "close")
			problem.Write(w, problem.New(problem.URITooLong, "path_too_long", "the path is longer than 512 bytes"))
			return
		}
		if a.shareWith(w, r) {
			return
		}
		if !clean(r.URL.Path) {
			problem.Write(w, noSuchPath())
			return
		}
		if handler, pattern := a.mux.Handler(r); pattern == "" {
			refuse(w, r, handler)
			return
		}
		a.mux.ServeHTTP(w, r)
	})
}

const maxPath = 512 // bytes

// clean reports whether a path is as the router would have it. Others it
// redirects, and a client that follows sends its key along.
func clean(p string) bool {
	cleaned := path.Clean(p)
	return p == cleaned || p == cleaned+"/"
}

func noSuchPath() error {
	return problem.New(problem.NotFound, "no_such_path", "there is nothing at this path; /openapi.json lists what there is")
}

// refuse answers what no operation serves. The router knows whether another
// method would do, and only says so in plain text.
func refuse(w http.ResponseWriter, r *http.Request, router http.Handler) {
	said := probe{header: http.Header{}}
	router.ServeHTTP(&said, r)
	if said.status == http.StatusMethodNotAllowed {
		allow := said.header.Get("Allow")
		w.Header().Set("Allow", allow)
		problem.Write(w, problem.New(problem.MethodNotAllowed, "method_not_allowed", "this path takes "+allow))
		return
	}
	problem.Write(w, noSuchPath())
}

// probe takes an answer's status and headers, and nothing else.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
