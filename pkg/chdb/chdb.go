// Package chdb runs a ClickHouse engine inside this process: libchdb, loaded
// without cgo, spoken to as one speaks to a ClickHouse server over HTTP. The
// engine is offered as an http.RoundTripper, for clickhouse-go in the same
// process, and as an http.Handler, for everyone else.
//
// The package knows nothing of tables or of what is stored; it has no users,
// grants or query log, because the engine has none.
package chdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"whatchanged/pkg/durable"
)

// ErrLocked is returned by Open when the data directory is already open, in
// this process or another.
var ErrLocked = errors.New("data directory is locked")

// ErrNoLibrary is returned when libchdb is not installed, or this binary is
// built without the embedded engine.
var ErrNoLibrary = errors.New("no libchdb")

// ErrClosed is returned for requests that come after Close.
var ErrClosed = errors.New("embedded ClickHouse is closed")

var errNotBuilt = fmt.Errorf("%w: this binary is built without the embedded ClickHouse engine: use a ClickHouse server, or a build without -tags nochdb", ErrNoLibrary)

// Config says where the engine keeps its data and how much may run at once.
type Config struct {
	// Path is the data directory; it is created when missing. A process can
	// use one only.
	Path string
	// Library is libchdb's path; empty: search as FindLibrary does.
	Library string
	// Connections is how many statements run at the same time, the others
	// wait for their turn; 0: DefaultConnections. All are opened by Open.
	Connections int
	// Args are further arguments of the engine, such as
	// --backups.allowed_path=/var/backups.
	Args []string
	// ConfigFile is a configuration file of ClickHouse's own; empty: none.
	ConfigFile string
}

// DefaultConnections is enough that a few long statements leave room for short
// ones; an idle connection costs next to nothing.
const DefaultConnections = 16

// mostReserve is what inserts and merges leave free of a volume that is not small.
// The engine does not begin one that would go below it, instead of finding out in
// the middle.
const mostReserve = 256 << 20

// closeGrace is how long Close waits for running statements before it cancels
// them, and then again for them to end.
const closeGrace = time.Second

// Engine is a running ClickHouse engine. Its methods may be used by any number
// of goroutines.
type Engine struct {
	log     *slog.Logger
	path    string
	reserve int64 // bytes of its volume that inserts and merges leave free
	version string
	lock    *os.File
	pool    *pool
	control *control

	grace   time.Duration // how long Close waits, twice
	closing sync.Once
	closed  error
}

// Open starts the engine: it loads the library, locks the data directory and
// opens all connections.
func Open(cfg Config, log *slog.Logger) (*Engine, error) {
	if cfg.Path == "" {
		return nil, errors.New("open embedded ClickHouse: no data directory is given")
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open embedded ClickHouse: %w", err)
	}
	if cfg.Connections <= 0 {
		cfg.Connections = DefaultConnections
	}
	file, err := FindLibrary(cfg.Library)
	if err != nil {
		return nil, err
	}
	// Locked before the library is loaded: a second process learns in
	// milliseconds why it cannot start.
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open embedded ClickHouse: %w", err)
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, err
	}
	lib, err := load(file)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	v, err := durable.VolumeOf(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e := &Engine{log: log, path: path, reserve: min(mostReserve, v.Size/20), lock: lock, grace: closeGrace}
	if err := e.connect(lib, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open embedded ClickHouse in %s: %w", path, err), lock.Close())
	}
	e.yield()
	log.Info("embedded clickhouse started", "version", e.version, "path", path, "connections", cfg.Connections, "library", file)
	return e, nil
}

// connect opens every connection there will be: each one opened makes the
// library touch the process's signal handlers, so none is opened later.
func (e *Engine) connect(lib *library, cfg Config) (err error) {
	handlers, err := saveSignals()
	if err != nil {
		return fmt.Errorf("save signal handlers: %w", err)
	}
	defer func() {
		if rerr := handlers.restore(); rerr != nil {
			err = errors.Join(err, fmt.Errorf("restore signal handlers: %w", rerr))
		}
	}()
	lib.setSignalHandlersEnabled(0)

	args := []string{"whatchanged", "--path=" + e.path,
		// The library's default would read `SELEC 1` as a column named SELEC.
		"--implicit_select=0",
		"--storage_configuration.disks.default.keep_free_space_bytes=" + strconv.FormatInt(e.reserve, 10)}
	if cfg.ConfigFile != "" {
		args = append(args, "--config-file="+cfg.ConfigFile)
	}
	args = append(args, cfg.Args...)
	var conns []*conn
	for i := range cfg.Connections + 1 {
		c, err := openConn(lib, args, i)
		if err != nil {
			for _, c := range conns {
				c.close()
			}
			return err
		}
		conns = append(conns, c)
	}
	e.control = &control{conn: conns[0]}
	e.pool = newPool(conns[1:])
	if e.version, err = conns[0].text("SELECT version()"); err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	return nil
}

// yield lets the engine give way to the rest of the process. Without it answers
// are slower under load, nothing worse.
func (e *Engine) yield() {
	if err := yield(); err != nil {
		e.log.Debug("the engine keeps its priority", "error", err)
	}
}

// Version returns the engine's version, such as 26.7.2.1.
func (e *Engine) Version() string { return e.version }

// Close waits for running statements, cancelling those that take long, closes
// the connections and gives the data directory free. Requests that come later
// get ErrClosed. Closing twice is safe and returns the same.
//
// An answer whose body is not read and closed counts as running.
func (e *Engine) Close() error {
	e.closing.Do(func() { e.closed = e.close() })
	return e.closed
}

func (e *Engine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), e.grace)
	defer cancel()
	running := e.pool.close(ctx)
	if len(running) > 0 {
		e.log.Warn("cancelling statements that run", "count", len(running))
		for _, c := range running {
			e.control.kill(c)
		}
		ctx, cancel := context.WithTimeout(context.Background(), e.grace)
		defer cancel()
		running = e.pool.close(ctx)
	}
	if len(running) > 0 {
		// Closing a connection under a running statement would crash; the
		// lock stays too, because the engine still writes.
		return fmt.Errorf("close embedded ClickHouse: %d statements did not end", len(running))
	}
	for _, c := range e.pool.conns {
		c.close()
	}
	e.control.close()
	if err := e.lock.Close(); err != nil {
		return fmt.Errorf("close embedded ClickHouse: release the lock: %w", err)
	}
	e.log.Info("embedded clickhouse stopped", "path", e.path)
	return nil
}

// control is one more connection, which cancels what runs on the others.
type control struct {
	mu   sync.Mutex
	conn *conn
}

// kill asks the engine to stop what runs on a connection; nothing running is
// fine. It does not wait for the end: KILL QUERY ... SYNC would hang for ever.
func (k *control) kill(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	comment := c.comment.Load()
	if k.conn.handle == nil || comment == nil {
		return
	}
	// A statement that cannot be cancelled runs to its end: there is nothing
	// better to do with the error.
	_, _, _ = k.conn.query("KILL QUERY WHERE Settings['log_comment'] = {comment:String} ASYNC", "Null",
		[]param{{"comment", escapeParam(*comment)}})
}

func (k *control) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conn.close()
}
