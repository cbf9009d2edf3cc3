package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
	"whatchanged/pkg/registry"
)

// operated adds /healthz, /readyz and /metrics to a process without the API,
// which has them itself. next gets every other path as it came; nil is a
// process that serves nothing else.
func (s *server) operated(next http.Handler) http.Handler {
	metrics := promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case own && r.URL.Path == "/healthz":
			s.health.ServeLive(w, r)
		case own && r.URL.Path == "/readyz":
			s.health.ServeReady(w, r)
		case own && r.URL.Path == "/metrics":
			if err := s.mayOperate(r); err != nil {
				problem.Write(w, err)
				return
			}
			metrics.ServeHTTP(w, r)
		case next != nil:
			next.ServeHTTP(w, r)
		default:
			problem.Write(w, problem.New(problem.NotFound, "not_found", "there is nothing here"))
		}
	})
}

// openAdmin opens the listener for those who run the product, apart from all
// that the outside can reach: it asks for no key. It comes first and goes last,
// so that it can say what a start waits for and that a stop has begun.
func (s *server) openAdmin(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.AdminListen)
	if err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health.ServeLive)
	mux.HandleFunc("GET /readyz", s.health.ServeReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: grace, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	s.log.Info("admin listening", "addr", ln.Addr().String())
	s.parts.Start("admin", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { srv.Close() })
		defer stop()
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("admin listener: %w", err)
		}
		return nil
	})
	return nil
}

// drain says that this process is about to stop and leaves those who send to it
// the time to notice, while it goes on serving. Whoever tells it to stop once
// more does not want to wait.
func (s *server) drain() {
	again, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s.health.Drain()
	if s.cfg.DrainDelay > 0 {
		s.log.Info("draining", "delay", s.cfg.DrainDelay)
		select {
		case <-time.After(s.cfg.DrainDelay):
		case <-again.Done():
		}
	}
}

// mayOperate lets callers on this machine through, and keys with the scope
// admin of the org that runs the installation. A request that a proxy passed on comes from elsewhere.
func (s *server) mayOperate(r *http.Request) error {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	here := err == nil && net.ParseIP(host).IsLoopback()
	for _, passedOn := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		here = here && r.Header.Get(passedOn) == ""
	}
	if here {
		return nil
	}
	if err := s.registry.Fresh(); err != nil {
		return err // the key might have ended, and we would not know
	}
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	caller, err := s.registry.CallerByKey(key)
	if err != nil {
		return err
	}
	if !caller.Allows(auth.Admin) {
		return problem.New(problem.Forbidden, "missing_scope", "the API key lacks the scope "+auth.Admin)
	}
	if caller.Org != registry.DefaultOrg { // they name all orgs
		return problem.New(problem.Forbidden, "not_the_operator",
			"this is for administrators of the organisation "+registry.DefaultOrg+", which runs the installation")
	}
	return nil
}
