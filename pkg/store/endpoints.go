package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// connectTimeout is for one of several servers: one that is switched off
	// does not refuse, it says nothing.
	connectTimeout = 3 * time.Second

	// A server that could not be reached is left alone so long, and twice as
	// long each time it still cannot be.
	restFirst = time.Second
	restMost  = 30 * time.Second
)

// errSilent is why a question was given up that a server took and never answered.
var errSilent = errors.New("the server says nothing")

// health remembers which servers could not be reached, for all connections of a
// store.
type health struct {
	log      *slog.Logger
	failures *prometheus.CounterVec
	now      func() time.Time

	mu      sync.Mutex
	resting map[string]rest
}

type rest struct {
	until  time.Time
	length time.Duration
	trying bool // its time is over, and someone looks whether the server is back
}

func newHealth(log *slog.Logger, m *metrics) *health {
	return &health{log: log, failures: m.endpointFailures, now: time.Now, resting: map[string]rest{}}
}

// left notes that a server could not be reached: it is left alone for a while.
func (h *health) left(addr string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures.WithLabelValues(addr).Inc()
	r := h.resting[addr]
	if h.now().Before(r.until) && !r.trying {
		return // it was under way when another failed
	}
	r.length = min(max(2*r.length, restFirst), restMost)
	r.until, r.trying = h.now().Add(r.length), false
	h.resting[addr] = r
	h.log.Warn("a clickhouse server is left alone for a while", "endpoint", addr, "for", r.length, "error", err)
}

// well notes that a server answered.
func (h *health) well(addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.resting[addr]; ok {
		delete(h.resting, addr)
		h.log.Info("a clickhouse server answers again", "endpoint", addr)
	}
}

// failed reports whether a server could not be reached and has not answered since.
func (h *health) failed(addr string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.resting[addr]
	return ok
}

// mayTry reports whether a server that failed may be tried again. One who asks
// may, once its rest is over; the others wait for what comes of that.
func (h *health) mayTry(addr string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.resting[addr]
	if h.now().Before(r.until) {
		return false
	}
	r.until, r.trying = h.now().Add(connectTimeout), true
	h.resting[addr] = r
	return true
}

// endpoint is one server and the connections to it.
type endpoint struct {
	addr string
	conn driver.Conn
}

// endpoints is a driver.Conn over several servers that hold the same. The
// driver itself has several addresses too, but it tries one that is dead anew
// with every connection and keeps those it has to a server that is gone.
type endpoints struct {
	driver.Conn // the first, for what is not about any
	all         []endpoint
	strategy    clickhouse.ConnOpenStrategy
	turn        atomic.Uint64
	health      *health
}

// openConn opens connections to the servers of opts.
func openConn(opts clickhouse.Options, h *health) (driver.Conn, error) {
	if len(opts.Addr) < 2 {
		conn, err := clickhouse.Open(&opts)
		if err != nil {
			return nil, fmt.Errorf("connect to clickhouse: %w", err)
		}
		return conn, nil
	}
	e := &endpoints{strategy: opts.ConnOpenStrategy, health: h}
	for _, addr := range opts.Addr {
		one := opts
		one.Addr = []string{addr}
		one.DialContext = dialer(opts)
		conn, err := clickhouse.Open(&one)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connect to clickhouse: %w", err), e.Close())
		}
		e.all = append(e.all, endpoint{addr, conn})
	}
	e.Conn = e.all[0].conn
	return e, nil
}

// dialer connects within connectTimeout. DialTimeout would do, but it is how
// long one waits for a free connection too.
func dialer(opts clickhouse.Options) func(context.Context, string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: connectTimeout}
	if opts.Protocol == clickhouse.Native && opts.TLS != nil {
		return func(ctx context.Context, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			return (&tls.Dialer{NetDialer: plain, Config: opts.TLS}).DialContext(ctx, "tcp", addr)
		}
	}
	return func(ctx context.Context, addr string) (net.Conn, error) { return plain.DialContext(ctx, "tcp", addr) }
}

// order is whom to ask, one after the other: by the strategy, those that failed
// last. If all have, they are asked all the same.
func (e *endpoints) order() []endpoint {
	first := 0
	switch e.strategy {
	case clickhouse.ConnOpenRoundRobin:
		first = int(e.turn.Add(1) % uint64(len(e.all)))
	case clickhouse.ConnOpenRandom:
		first = rand.IntN(len(e.all)) //nolint:gosec // nobody gains by guessing it
	}
	var order, failed []endpoint
	for i := range e.all {
		one := e.all[(first+i)%len(e.all)]
		if !e.health.failed(one.addr) || len(order) == 0 && e.health.mayTry(one.addr) {
			order = append(order, one)
		} else {
			failed = append(failed, one)
		}
	}
	return append(order, failed...)
}

// try asks one server after the other until one answers, be it with an error.
// What may have been done is done again only if that is harmless.
func (e *endpoints) try(ctx context.Context, harmless bool, ask func(driver.Conn) error) (err error) {
	for _, one := range e.order() {
		err = ask(one.conn)
		if e.noted(ctx, one.addr, err) || !harmless && !unsent(err) {
			return err
		}
	}
	return err
}

// noted notes how a server does and reports whether it answered, or nobody
// waits any more.
func (e *endpoints) noted(ctx context.Context, addr string, err error) bool {
	switch {
	case away(ctx, err):
		e.health.left(addr, err)
		return ctx.Err() != nil
	case ctx.Err() == nil:
		e.health.well(addr)
	}
	return true
}

// away reports whether an error says that a server cannot be reached, or is a
// replica that takes no inserts. What it answered otherwise is an answer, and a
// caller who has gone says nothing of the server.
func away(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil {
		return err != nil && errors.Is(context.Cause(ctx), errSilent)
	}
	if refused, ok := errors.AsType[*clickhouse.Exception](err); ok {
		return slices.Contains(replicaCodes, refused.Code)
	}
	if answer, ok := errors.AsType[*clickhouse.HTTPError](err); ok { // a proxy's
		return slices.Contains([]int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, answer.StatusCode)
	}
	var broken net.Error
	return errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// replicaCodes are ClickHouse's exceptions of a replica that has lost Keeper.
var replicaCodes = []int32{
	242, // TABLE_IS_READ_ONLY
	999, // KEEPER_EXCEPTION
}

// unsent reports whether a statement cannot have reached the server.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// Select implements driver.Conn. A question is asked again elsewhere; what was
// read of the first answer is forgotten.
func (e *endpoints) Select(ctx context.Context, dest any, query string, args ...any) error {
	return e.try(ctx, true, func(c driver.Conn) error { return c.Select(ctx, dest, query, args...) })
}

// Query implements driver.Conn. An answer that ends too soon is an error for
// its reader, who has had a part of it.
func (e *endpoints) Query(ctx context.Context, query string, args ...any) (rows driver.Rows, err error) {
	err = e.try(ctx, true, func(c driver.Conn) error {
		rows, err = c.Query(ctx, query, args...)
		return err
	})
	return rows, err
}

// QueryRow implements driver.Conn.
func (e *endpoints) QueryRow(ctx context.Context, query string, args ...any) (row driver.Row) {
	_ = e.try(ctx, strings.HasPrefix(query, "SELECT"), func(c driver.Conn) error { // the row has the error
		row = c.QueryRow(ctx, query, args...)
		return row.Err()
	})
	return row
}

// Exec implements driver.Conn.
func (e *endpoints) Exec(ctx context.Context, query string, args ...any) error {
	return e.try(ctx, false, func(c driver.Conn) error { return c.Exec(ctx, query, args...) })
}

// Ping implements driver.Conn: one that answers is enough.
func (e *endpoints) Ping(ctx context.Context) error {
	return e.try(ctx, true, func(c driver.Conn) error { return c.Ping(ctx) })
}

// PrepareBatch implements driver.Conn. The batch goes to one server; sending it
// anew to another is its owner's affair.
func (e *endpoints) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	var errs error
	for _, one := range e.order() {
		batch, err := one.conn.PrepareBatch(ctx, query, opts...)
		if err == nil { // which may have asked the server nothing yet
			return endpointBatch{batch, func(err error) { e.noted(ctx, one.addr, err) }}, nil
		}
		if errs = err; e.noted(ctx, one.addr, err) {
			break
		}
	}
	return nil, errs
}

// endpointBatch notes what comes of sending it.
type endpointBatch struct {
	driver.Batch
	sent func(error)
}

// Send implements driver.Batch.
func (b endpointBatch) Send() error {
	err := b.Batch.Send()
	b.sent(err)
	return err
}

// Close implements driver.Conn.
func (e *endpoints) Close() error {
	var errs []error
	for _, one := range e.all {
		errs = append(errs, one.conn.Close())
	}
	return errors.Join(errs...)
}
