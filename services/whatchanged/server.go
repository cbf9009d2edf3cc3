package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/normalizers/all"
	"whatchanged/pkg/app"
	"whatchanged/pkg/audit"
	"whatchanged/pkg/auth"
	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
	"whatchanged/pkg/damage"
	"whatchanged/pkg/dead"
	"whatchanged/pkg/durable"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/fair"
	"whatchanged/pkg/health"
	"whatchanged/pkg/httpserver"
	"whatchanged/pkg/registry"
	"whatchanged/pkg/repair"
	"whatchanged/pkg/replay"
	"whatchanged/pkg/signin"
	"whatchanged/pkg/store"
	"whatchanged/pkg/telemetry"
	"whatchanged/pkg/tracing"
	"whatchanged/services/api"
	"whatchanged/services/normalizer"
	"whatchanged/services/receiver"
	"whatchanged/services/writer"
)

// server is the parts of one process, wired.
type server struct {
	cfg      Config
	log      *slog.Logger
	metrics  *prometheus.Registry
	bus      *bus.Bus
	store    *store.Store // nil in a receiver that runs alone
	registry *registry.Registry
	settings *settings
	sealer   *auth.Sealer
	orgs     *fair.Orgs
	lanes    *fair.Lanes
	audit    *audit.Recorder
	first    *bootstrap // what the first start made, else nil
	health   *health.Health
	tracer   *tracing.Tracer // nil: no traces
	parts    *app.Group
}

// start opens what the services need and starts them. What it opened is closed
// again when it fails.
func start(ctx context.Context, cfg Config, services []string, whole bool, log *slog.Logger, getenv func(string) string) (*server, error) {
	s := &server{cfg: cfg, log: log, metrics: telemetry.NewRegistry(), parts: app.NewGroup(log)}
	s.metrics.MustRegister(running(services))
	s.health = health.New(log.With("part", "health"), s.metrics)
	name := "whatchanged"
	if !whole {
		name += "-" + strings.Join(services, "-")
	}
	var err error
	if s.tracer, err = tracing.Open(ctx, tracing.Settings{
		Service: name, Version: telemetry.Version(), Getenv: getenv, Log: log.With("part", "tracing"), Metrics: s.metrics,
	}); err != nil {
		return nil, &usageError{err}
	}
	if err := s.open(ctx, services, whole); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// running is what tells those who ask this process which services it is.
func running(services []string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: serviceRunning, Help: "Whether this process runs a service.",
	}, []string{"service"})
	for _, name := range allServices {
		g.WithLabelValues(name).Set(0)
	}
	for _, name := range services {
		g.WithLabelValues(name).Set(1)
	}
	return g
}

const serviceRunning = "whatchanged_service_running"

func (s *server) open(ctx context.Context, services []string, whole bool) (err error) {
	if s.cfg.AdminListen != "" {
		if err := s.openAdmin(ctx); err != nil {
			return err
		}
	}
	if whole {
		if err := durable.MkdirAll(s.cfg.DataDir); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
	}
	runs := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(services, n) })
	}
	if s.bus, err = bus.Connect(ctx, s.cfg.Bus, s.log.With("part", "bus"), s.metrics, bus.As(busUser(services, whole))); err != nil {
		return err
	}
	s.bus.Trace(s.tracer)
	s.health.Add("bus", func(context.Context) error { return s.bus.Healthy() })
	failpoint.Hit("recovery-bus")
	s.audit = audit.NewRecorder(s.bus, audit.DefaultLimits(), s.log.With("part", "audit"), s.metrics)
	s.parts.Start("audit", s.audit.Run)
	if runs(serviceNormalizer, serviceWriter, serviceAPI) {
		if err := s.openStore(ctx, whole); err != nil {
			return err
		}
	}
	if err := s.openRegistry(ctx, whole); err != nil {
		return err
	}
	if runs(serviceWriter) {
		if err := s.addWriter(); err != nil {
			return err
		}
	}
	if !runs(serviceWriter) && s.store != nil {
		s.parts.Start("damage", func(ctx context.Context) error { return damage.Tell(ctx, s.bus, s.store, s.log.With("part", "damage")) })
	}
	if runs(serviceNormalizer) {
		if err := s.addNormalizers(); err != nil {
			return err
		}
	}
	if runs(serviceReceiver, serviceNormalizer, serviceAPI) {
		if err := s.addLanes(); err != nil {
			return err
		}
	}
	if runs(serviceNormalizer) {
		if err := s.addFetcher(); err != nil {
			return err
		}
	}
	if whole && s.store != nil && s.store.Engine() != nil {
		if err := s.addControl(ctx); err != nil {
			return err
		}
	}
	return s.addHTTP(ctx, runs(serviceReceiver), runs(serviceAPI))
}

// addLanes starts a committer a lane, and what says which org is on which.
func (s *server) addLanes() (err error) {
	fresh, bulk := s.bus.NewCommitter(change.Fresh), s.bus.NewCommitter(change.Bulk)
	s.orgs, err = fair.New(fair.Deps{
		Registry: s.registry, Waiting: fresh.Waiting,
		Lag: func(ctx context.Context) (uint64, error) { return s.bus.Lag(ctx, change.Fresh) },
		Log: s.log.With("part", "fair"), Metrics: s.metrics,
	}, s.cfg.Fair)
	if err != nil {
		return err
	}
	s.lanes = &fair.Lanes{Orgs: s.orgs, Fresh: fresh, Bulk: bulk}
	s.parts.Start("committer", fresh.Run)
	s.parts.Start("committer-bulk", bulk.Run)
	s.parts.Start("fair", s.orgs.Run)
	return nil
}

func (s *server) openStore(ctx context.Context, migrate bool) (err error) {
	s.store, err = store.Open(ctx, s.cfg.Store, s.log.With("part", "store"), s.metrics)
	if err != nil {
		return err
	}
	s.health.Add("store", s.store.Ping)
	failpoint.Hit("recovery-store")
	if migrate {
		if err := migrateAlone(ctx, s.bus, s.store, migrateWait); err != nil {
			return err
		}
	}
	return errors.Join(s.store.CheckSchema(ctx), s.store.CheckDurability(ctx))
}

// openRegistry opens the control plane and, in a process that owns the
// installation, does the first start. With services that run apart, whichever
// was given the first key and token does it, with just these.
func (s *server) openRegistry(ctx context.Context, whole bool) (err error) {
	opts := []registry.Option{registry.WithAudit(s.audit)}
	mayWrite := s.bus.MayWrite(bus.BucketRegistry)
	if !mayWrite {
		opts = append(opts, registry.Following())
	}
	s.registry, err = registry.Open(ctx, s.bus.KV(bus.BucketRegistry), s.log.With("part", "registry"), s.metrics, opts...)
	if err != nil {
		return err
	}
	s.health.Add("registry", func(context.Context) error { return s.registry.Fresh() })
	failpoint.Hit("recovery-registry")
	s.parts.Start("registry", s.registry.Run)
	s.settings = &settings{registry: s.registry}
	s.sealer, err = auth.OpenSealer(filepath.Join(s.cfg.DataDir, "master.key"), s.cfg.MasterKey, !whole || s.registry.HasSecrets())
	if err != nil {
		return err
	}
	fixed := s.cfg.Bootstrap.APIKey != "" && s.cfg.Bootstrap.Token != ""
	if !whole && !fixed {
		return nil
	}
	if !mayWrite {
		s.log.Debug("the first start is left to a service that may write the registry")
		return nil
	}
	first := registry.BootstrapConfig{APIKey: s.cfg.Bootstrap.APIKey, Token: s.cfg.Bootstrap.Token}
	if whole {
		first.Keep = s.keepBootstrap
	}
	made, err := s.registry.Bootstrap(ctx, first)
	if err != nil {
		return err
	}
	if made.Org != "" {
		first := s.newBootstrap(made)
		s.first = &first
	}
	return nil
}

func (s *server) bootstrapPath() string { return filepath.Join(s.cfg.DataDir, bootstrapFile) }

func (s *server) newBootstrap(b registry.Bootstrap) bootstrap {
	return bootstrap{
		Org: b.Org, APIKey: b.APIKey.Reveal(), SourceToken: b.SourceToken.Reveal(),
		WebhookURL: s.cfg.API.PublicURL + receiver.Prefix + b.SourceToken.Reveal(),
	}
}

// keepBootstrap writes bootstrap.json whole or not at all, readable by the
// owner only.
func (s *server) keepBootstrap(b registry.Bootstrap) error {
	text, err := json.MarshalIndent(s.newBootstrap(b), "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(s.bootstrapPath(), append(text, '\n'))
}

// addWriter starts the writers, and what watches over the bus and its rows.
func (s *server) addWriter() error {
	log := s.log.With("part", "writer")
	w, err := writer.New(writer.Deps{Bus: s.bus, Store: s.store, Audit: s.store, Log: log, Metrics: s.metrics, Tracer: s.tracer})
	if err != nil {
		return err
	}
	again, err := s.newNormalizer("again")
	if err != nil {
		return err
	}
	r, err := writer.NewReconciler(writer.ReconcilerDeps{
		Bus: s.bus, Store: s.store, Normalize: again.Handle, Results: again.Results, Trail: w.HandleAudit,
		KeepPayloads: time.Duration(s.cfg.Store.PayloadDays) * 24 * time.Hour, Log: log, Metrics: s.metrics,
	})
	if err != nil {
		return err
	}
	a, err := writer.NewAccountant(writer.AccountantDeps{Bus: s.bus, Books: s.store, Missing: r.Recheck, Log: log, Metrics: s.metrics})
	if err != nil {
		return err
	}
	k, err := writer.NewKeeper(writer.KeeperDeps{
		Bus: s.bus, Store: s.store, Registry: s.registry, Quota: s.cfg.Fair.Quota, Log: log, Metrics: s.metrics,
	})
	if err != nil {
		return err
	}
	s.parts.StartBehind("keeper", k.Run)
	s.metrics.MustRegister(s.bus.NewDepths())
	s.parts.StartBehind("writer", w.RunChanges)
	s.parts.StartBehind("writer-bulk", w.RunBulkChanges)
	s.parts.StartBehind("raw-writer", w.RunRaw)
	s.parts.StartBehind("audit-writer", w.RunAudit)
	s.parts.StartBehind("reconciler", r.Run)
	s.parts.Start("damage", func(ctx context.Context) error { return damage.Hear(ctx, s.bus, s.store, log) })
	s.parts.StartBehind("accountant", a.Run)
	s.parts.Start("counter", s.bus.NewCounter(a.Enter).Run)
	s.parts.Start("auditor", s.bus.NewAuditor().Run)
	s.parts.Start("trimmer", s.bus.NewTrimmer(bus.KeepStored).Run)
	return nil
}

func (s *server) addNormalizers() error {
	deps := s.normalizerDeps()
	deps.Lately = normalizer.NewLately()
	for _, lane := range []string{change.Bulk, change.Fresh} {
		n, err := normalizer.New(lane, deps)
		if err != nil {
			return err
		}
		s.parts.StartBehind("normalizer-"+lane, n.Run)
	}
	r, err := normalizer.NewReplayer(normalizer.ReplayerDeps{
		Deps: s.normalizerDeps(), Store: s.store, Jobs: replay.NewJobs(s.bus.KV(bus.BucketState)), Pinned: s.settings.pinned,
	})
	if err != nil {
		return err
	}
	s.parts.StartBehind("replayer", r.Run)
	again, err := repair.New(repair.Deps{
		Registry: s.registry, Sealer: s.sealer, Store: s.store, Bus: s.bus, Log: s.log.With("part", "repairer"), Metrics: s.metrics,
	})
	if err != nil {
		return err
	}
	s.parts.Start("repairer", again.Run)
	return nil
}

// newNormalizer returns a normalizer that runs on no lane but is handed what to
// do again.
func (s *server) newNormalizer(lane string) (*normalizer.Service, error) {
	return normalizer.New(lane, s.normalizerDeps())
}

func (s *server) normalizerDeps() normalizer.Deps {
	return normalizer.Deps{
		Bus: s.bus, Known: s.store, Settings: s.settings.of, Fetches: s.fetches, Normalizers: all.Set(),
		Log: s.log.With("part", "normalizer"), Metrics: s.metrics, Tracer: s.tracer,
	}
}

// newDesk returns what re-drives and discards dead letters, with a normalizer
// of its own.
func (s *server) newDesk() (*dead.Desk, error) {
	again, err := s.newNormalizer("redrive")
	if err != nil {
		return nil, err
	}
	return dead.New(dead.Deps{
		Bus: s.bus, Store: s.store, Normalize: again.Again, Log: s.log.With("part", "dead"), Metrics: s.metrics,
		Provider: func(org, sourceID string) string {
			source, ok := s.registry.Source(org, sourceID)
			if !ok {
				return ""
			}
			return source.Provider
		},
	})
}

// addHTTP adds the listener, and what answers on it.
func (s *server) addHTTP(ctx context.Context, withReceiver, withAPI bool) error {
	var webhooks, rest http.Handler
	var a *api.API
	if withReceiver {
		// On a cluster the body's limit follows its max_payload.
		s.cfg.Receiver.MaxBody = min(s.cfg.Receiver.MaxBody, s.bus.MaxRecord()-s.cfg.Receiver.MaxKeptHeaders)
		r, err := receiver.New(receiver.Deps{
			Registry: s.registry, Committer: s.lanes, Orgs: s.orgs, Sealer: s.sealer, Log: s.log.With("part", "receiver"), Metrics: s.metrics, Tracer: s.tracer,
		}, s.cfg.Receiver)
		if err != nil {
			return err
		}
		webhooks = r
	}
	if withAPI {
		accounts, err := signin.New(s.cfg.OIDC, strings.TrimRight(s.cfg.API.PublicURL, "/")+api.CallbackPath)
		if err != nil {
			return err
		}
		proxies, err := httpserver.ParseNetworks(s.cfg.Receiver.TrustedProxies)
		if err != nil {
			return err
		}
		desk, err := s.newDesk()
		if err != nil {
			return err
		}
		a, err = api.New(api.Deps{
			Store: s.store, Registry: s.registry, Committer: s.lanes, Orgs: s.orgs, Bus: s.bus, Normalizers: all.Set(), Sealer: s.sealer, Audit: s.audit, Dead: desk,
			SignIn: accounts, Proxies: proxies, Health: s.health, Gatherer: s.metrics, Metrics: s.metrics, Tracer: s.tracer, Log: s.log.With("part", "api"),
		}, s.cfg.API)
		if err != nil {
			return err
		}
		s.parts.StartBehind("dead", desk.Run)
		rest = httpserver.Observe(a.Handler(), s.log.With("part", "http"), s.metrics)
	}
	handler := s.operated(webhooks)
	if withAPI {
		handler = route(webhooks, rest)
	}
	h, err := httpserver.New(s.cfg.HTTP, handler, s.log.With("part", "http"), s.metrics)
	if err != nil {
		return err
	}
	if err := h.Listen(ctx); err != nil { // now, so that a taken address is said before anything else
		return err
	}
	s.health.Up()
	s.parts.Start("http", h.Run)
	if withAPI {
		s.parts.Start("api", a.Run) // told first: live tails end, and http need not wait for them
	}
	return nil
}

// webhooksPath is where everything that senders post begins.
const webhooksPath = "/api/webhooks/"

// route sends webhooks to the receiver, if there is one, and everything else to
// the API. It does not clean paths: a webhook is never redirected.
func route(webhooks, rest http.Handler) http.Handler {
	if webhooks == nil {
		return rest
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, webhooksPath) {
			webhooks.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// traceGrace is how long the last spans may take to be sent.
const traceGrace = 5 * time.Second

// close stops the services and releases what start opened, the bus last: it
// keeps what the others could not finish.
func (s *server) close() error {
	errs := []error{s.parts.Stop(grace)}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.bus != nil {
		errs = append(errs, s.bus.Close())
	}
	last, cancel := context.WithTimeout(context.Background(), traceGrace) // what is left of traces is worth no more
	defer cancel()
	if err := s.tracer.Close(last); err != nil {
		s.log.Warn("the last traces are not sent", "error", err)
	}
	return errors.Join(errs...)
}
