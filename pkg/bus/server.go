package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"whatchanged/pkg/durable"
)

// embedded is the nats-server in this process. It opens no port, and can be
// restarted while the connection to it stays: the client reconnects.
type embedded struct {
	opts *server.Options
	dir  string
	log  *slog.Logger

	lock     *os.File
	maxBytes int64 // of DELIVERIES

	mu     sync.Mutex
	srv    *server.Server       // nil while stopped
	blocks map[string]time.Time // of each stream's directory when its names were synced last
}

const serverStart = 30 * time.Second

func startEmbedded(cfg Config, log *slog.Logger) (*embedded, error) {
	if err := durable.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("make the bus directory: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	maxBytes, err := embeddedMaxBytes(cfg)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e := &embedded{
		dir: cfg.Dir, log: log, lock: lock, maxBytes: maxBytes, blocks: map[string]time.Time{},
		opts: &server.Options{
			ServerName: "whatchanged",
			DontListen: true, // the only client is in this process
			NoSigs:     true,
			JetStream:  true,
			StoreDir:   cfg.Dir,
			SyncAlways: true, // an acknowledgement means fsynced
			// Each stream has its limit. Under a limit of their sum, streams that were made
			// when there was more room on the volume could not be altered.
			JetStreamMaxStore:  1 << 60,
			JetStreamMaxMemory: 64 << 20,
			MaxPayload:         embeddedMaxPayload,
			MaxPending:         512 << 20, // our one connection carries all consumers' frames
		},
	}
	if err := e.start(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return e, nil
}

// lockDir keeps other processes away: nats-server does not, and two of them on
// one directory destroy it. The lock ends with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the bus directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process uses the bus in %s: %w", dir, err), f.Close())
	}
	return f, nil
}

func (e *embedded) start() error {
	if err := e.rewriteEnds(); err != nil {
		return fmt.Errorf("make what the bus has durable: %w", err)
	}
	srv, err := server.NewServer(e.opts.Clone())
	if err != nil {
		return fmt.Errorf("make the embedded nats-server: %w", err)
	}
	fatal := make(chan string, 1)
	srv.SetLoggerV2(serverLog{e.log, fatal}, false, false, false)
	srv.Start()
	if err := ready(srv, fatal); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return fmt.Errorf("start the embedded nats-server in %s: %w", e.dir, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.srv = srv
	return nil
}

// rewriteEnds puts the end of every stream on disk anew. The server before this
// one may have failed to sync it: what it wrote last can still be read, would be
// taken for stored (a repeat of it is a duplicate), and would be gone after a
// power cut, with all that comes after it in the same file.
func (e *embedded) rewriteEnds() error {
	streams, err := filepath.Glob(filepath.Join(e.dir, "jetstream", "$G", "streams", "*", "msgs"))
	if err != nil {
		return err
	}
	for _, dir := range streams {
		blocks, err := filepath.Glob(filepath.Join(dir, "*.blk"))
		if err != nil {
			return err
		}
		slices.SortFunc(blocks, func(a, b string) int { // 9.blk is before 10.blk
			return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
		})
		for _, path := range blocks[max(0, len(blocks)-2):] { // a sync that fails may be one of two files
			if err := durable.Rewrite(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// ready waits until a server that was started can work. One that has said why it
// cannot is not waited for: the next try may find space on the disk.
func ready(srv *server.Server, fatal <-chan string) error {
	for deadline := time.Now().Add(serverStart); time.Now().Before(deadline); {
		if srv.ReadyForConnections(retryPause) && srv.JetStreamEnabled() {
			return nil
		}
		select {
		case why := <-fatal:
			return errors.New(why)
		default:
		}
	}
	return fmt.Errorf("it was not ready within %s; its log lines say why", serverStart)
}

// close stops the server for good.
func (e *embedded) close() error {
	e.stop()
	return e.lock.Close()
}

func (e *embedded) stop() {
	e.mu.Lock()
	srv := e.srv
	e.srv = nil
	e.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// InProcessConn is what the client calls to connect, and to reconnect.
func (e *embedded) InProcessConn() (net.Conn, error) {
	srv := e.server()
	if srv == nil {
		return nil, errors.New("the embedded nats-server is not running")
	}
	return srv.InProcessConn()
}

func (e *embedded) server() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.srv
}

// healthTries is how often the server must call itself ill to be believed.
const healthTries = 5

// health returns what the server itself thinks is wrong. It is asked again
// before it is believed: where the processors are busy it also calls itself not
// ready, when more than a millisecond passes between two steps of its answer.
func (e *embedded) health() (err error) {
	for range healthTries {
		srv := e.server()
		if srv == nil {
			return errors.New("the embedded nats-server is not running")
		}
		h := srv.Healthz(&server.HealthzOptions{})
		if h.Error == "" {
			return nil
		}
		err = errors.New(h.Error)
	}
	return err
}

// syncAlways is read from the running server, not from what we asked for.
func (e *embedded) syncAlways() bool {
	js := e.server().JetStreamConfig()
	return js != nil && js.SyncAlways
}

// readSyncAlways finds out whether the servers fsync before they acknowledge.
// Servers elsewhere tell only those who may use the system account; nil then.
func (b *Bus) readSyncAlways(ctx context.Context) (*bool, error) {
	if b.embedded != nil {
		on := b.embedded.syncAlways()
		if !on {
			return nil, errors.New("the embedded nats-server does not fsync before it acknowledges")
		}
		return &on, nil
	}
	servers, err := b.servers(ctx)
	if err != nil {
		return nil, err
	}
	var on *bool
	for _, s := range servers {
		if s.SyncAlways == nil {
			continue
		}
		if on = s.SyncAlways; !*on {
			return nil, fmt.Errorf("server %s acknowledges before it has fsynced: set jetstream { sync_interval: always } on each", s.Name)
		}
	}
	if on == nil && (b.user == "" || b.user == UserServe || b.user == UserAdmin) {
		b.log.Warn("servers do not say whether they fsync before they acknowledge; set sync_interval: always on each")
	}
	return on, nil
}

// syncDirs fsyncs every directory below dir, and dir itself.
func syncDirs(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil // the server removes files while we walk
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		}
		if err := durable.SyncDir(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	})
}

// syncBlocks puts the names of the files on disk that hold a stream, if one of
// them is new. The server syncs what it writes to a new file, and leaves its
// name to the file system: journals take it along, and nobody promises that.
// An error means that the newest message may not be there after a power cut.
func (b *Bus) syncBlocks(stream string) error {
	if b.embedded == nil {
		return nil
	}
	e := b.embedded
	dir := filepath.Join(e.dir, "jetstream", "$G", "streams", stream, "msgs")
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look for new files of %s: %w", stream, err)
	}
	e.mu.Lock()
	known := e.blocks[stream].Equal(info.ModTime())
	e.mu.Unlock()
	if known {
		return nil
	}
	if err := durable.SyncDir(dir); err != nil {
		return fmt.Errorf("sync the names of %s: %w", stream, err)
	}
	e.mu.Lock()
	e.blocks[stream] = info.ModTime()
	e.mu.Unlock()
	return nil
}

// serverLog passes the server's messages on. Its notices are for its own
// operators, not for ours.
type serverLog struct {
	log   *slog.Logger
	fatal chan<- string // gets the first reason for which a server cannot run
}

func (l serverLog) Noticef(format string, v ...any) { l.debug(format, v) }
func (l serverLog) Debugf(format string, v ...any)  { l.debug(format, v) }
func (l serverLog) Tracef(format string, v ...any)  { l.debug(format, v) }

func (l serverLog) debug(format string, v []any) {
	l.log.Debug("nats-server", "message", fmt.Sprintf(format, v...))
}

func (l serverLog) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Maximum payloads over") {
		return // decided: one body of 25 MiB is one message
	}
	l.log.Warn("nats-server", "message", fmt.Sprintf(format, v...))
}

func (l serverLog) Errorf(format string, v ...any) {
	l.log.Error("nats-server", "message", fmt.Sprintf(format, v...))
}

func (l serverLog) Fatalf(format string, v ...any) {
	l.Errorf(format, v...)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
