package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"whatchanged/pkg/auth"
	"whatchanged/pkg/problem"
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
			answerJSON(w, http.StatusOK, map[string]any{"status": "ok"})
		case own && r.URL.Path == "/readyz":
			s.ready(w, r)
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

// ready says which of the things that this process works with fail, and not
// why: that is in the log.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	failing := map[string]error{"bus": s.bus.Healthy(), "registry": s.registry.Fresh()}
	if s.store != nil {
		failing["store"] = s.store.Ping(ctx)
	}
	status, word, checks := http.StatusOK, "ready", map[string]string{}
	for name, err := range failing {
		checks[name] = "ok"
		if err != nil {
			checks[name] = "failing"
			status, word = http.StatusServiceUnavailable, "not ready"
			s.log.Debug("not ready", "check", name, "error", err)
		}
	}
	answerJSON(w, status, map[string]any{"status": word, "checks": checks})
}

// mayOperate lets callers on this machine through, and keys with the scope
// admin. A request that a proxy passed on comes from elsewhere.
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
	return nil
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails when the caller has gone
}
