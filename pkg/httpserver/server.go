package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"

	"whatchanged/pkg/problem"
)

// Server serves one handler on one address.
type Server struct {
	cfg     Config
	log     *slog.Logger
	http    *http.Server
	refused *prometheus.CounterVec
	panics  prometheus.Counter
	open    prometheus.Gauge
	warn    rate.Sometimes
	conns   *limitListener // nil until Listen
}

// New returns a server for handler. Listen or Run opens its socket.
func New(cfg Config, handler http.Handler, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("http server settings: %w", err)
	}
	if handler == nil {
		return nil, errors.New("http server: no handler")
	}
	f := promauto.With(reg)
	s := &Server{
		cfg:  cfg,
		log:  log,
		warn: rate.Sometimes{First: often, Interval: time.Second},
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "whatchanged_httpserver_refused_connections_total",
			Help: "Connections closed at once because too many were open, in total or from one address.",
		}, []string{"limit"}),
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "whatchanged_httpserver_panics_total",
			Help: "Requests that ended in a panic: each is a bug.",
		}),
		open: f.NewGauge(prometheus.GaugeOpts{
			Name: "whatchanged_httpserver_connections",
			Help: "Open connections.",
		}),
	}
	for _, limit := range []string{"total", "address"} {
		s.refused.WithLabelValues(limit)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // with TLS only; clear text stays HTTP/1
	s.http = &http.Server{
		Handler:           s.guard(handler),
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.WriteTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    cfg.MaxHeaderBytes,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: cfg.MaxStreams},
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// Go's own answer to "OPTIONS *" would bypass the handler.
		DisableGeneralOptionsHandler: true,
	}
	return s, nil
}

// Listen opens the socket, so that Addr is known before Run.
func (s *Server) Listen(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Listen, err)
	}
	s.conns = &limitListener{
		Listener: ln, total: s.cfg.MaxConnections, perAddress: s.cfg.MaxConnectionsPerAddress,
		refused: s.refused, gauge: s.open, peers: map[netip.Addr]int{},
	}
	return nil
}

// Addr returns the address that is listened on, or "" before Listen. It must
// not be called while Run is still to open the socket.
func (s *Server) Addr() string {
	if s.conns == nil {
		return ""
	}
	return s.conns.Addr().String()
}

// Run serves until ctx ends, then lets the requests in hand finish, for the
// time of grace.
func (s *Server) Run(ctx context.Context) error {
	if s.conns == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	served := make(chan error, 1)
	go func() {
		if s.cfg.CertFile != "" {
			served <- s.http.ServeTLS(s.conns, s.cfg.CertFile, s.cfg.KeyFile)
			return
		}
		served <- s.http.Serve(s.conns)
	}()
	s.log.Info("listening", "addr", s.Addr(), "tls", s.cfg.CertFile != "")
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Grace)
	defer cancel()
	err := s.http.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) { // clients that are slow, or have sent nothing yet, are no failure
		s.log.Warn("connections closed before they were done", "after", s.cfg.Grace)
		err = s.http.Close()
	}
	<-served
	return err
}

// guard wraps every handler in what no handler may forget.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A request with both Content-Length and chunked framing is how requests
		// are smuggled past a proxy. net/http takes the chunks and hides that
		// there was a length, so after any chunked request nothing more is read
		// from the connection.
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		defer s.recover(w)
		next.ServeHTTP(w, r)
	})
}

func (s *Server) recover(w http.ResponseWriter) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v) // a handler's way to break the connection
	}
	s.panics.Inc()
	s.warn.Do(func() {
		// The value of a panic may quote the request; its type and place do not.
		s.log.Error("request panicked", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	})
	w.Header().Set("Connection", "close")
	problem.Write(w, problem.New(problem.Internal, "internal", "something went wrong on our side; the server's log has the details"))
}
