// Package store keeps deliveries, their payloads and their changes in
// ClickHouse, and answers questions about them. It owns the tables, and every
// statement it sends names the org it is for. It does not decide what is
// stored, and it never acknowledges anything: an insert that returned nil is on
// disk, any other may or may not be, and is sent again.
package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"whatchanged/pkg/chdb"
	"whatchanged/pkg/failpoint"
	"whatchanged/pkg/problem"
)

// Config says which ClickHouse to use, and within which limits.
type Config struct {
	// DSN is where ClickHouse is: clickhouse://user:password@host:9000,
	// http(s)://host:8123, or embedded:DIR for the engine in this process. Several
	// servers that hold the same, host:9000,host:9000, are asked in turn; one that
	// is away is left out.
	DSN string
	// Database holds the tables; it is made when missing.
	Database string
	// Cluster is the ClickHouse cluster's name. When set, tables are replicated
	// and distributed over it.
	Cluster string
	// PayloadDays is how long raw payloads are kept.
	PayloadDays int
	// QueryTimeout is the longest a query of a person may take.
	QueryTimeout time.Duration
	// QueryMemory is the most memory a query of a person may take, in bytes.
	QueryMemory int64
	// QueryRows is the most rows a query of a person may read, an export excepted.
	QueryRows int64
	// ExportTimeout is the longest an export may take, its reader's time included.
	ExportTimeout time.Duration
	// MaxConns is how many statements may run on a server at the same time.
	MaxConns int
	// BackupDir is where the embedded engine may write backups; a server has its
	// own setting for that (backups.allowed_path).
	BackupDir string

	library string
}

// WithLibrary returns the settings with the embedded engine's library; without
// it, or with "", it is searched for.
func (c Config) WithLibrary(path string) Config {
	c.library = path
	return c
}

// DefaultConfig returns the settings of a single machine; the DSN is left to
// the caller.
func DefaultConfig() Config {
	return Config{
		Database:      "whatchanged",
		PayloadDays:   90,
		QueryTimeout:  20 * time.Second,
		QueryMemory:   1 << 30,
		QueryRows:     1_000_000_000,
		ExportTimeout: time.Hour,
		MaxConns:      16,
	}
}

// Names that go into statements as they are.
var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if scheme, _, ok := strings.Cut(c.DSN, ":"); !ok || !strings.Contains(" clickhouse http https embedded ", " "+scheme+" ") {
		errs = append(errs, errors.New("dsn: must begin with clickhouse://, http://, https:// or embedded:<dir>"))
	}
	if !name.MatchString(c.Database) {
		errs = append(errs, errors.New("database: must be letters, digits and underscores"))
	}
	if c.Cluster != "" && !name.MatchString(c.Cluster) {
		errs = append(errs, errors.New("cluster: must be letters, digits and underscores"))
	}
	if c.PayloadDays < 1 {
		errs = append(errs, errors.New("payload_days: must be at least 1"))
	}
	if c.QueryTimeout < time.Second {
		errs = append(errs, errors.New("query_timeout: must be at least 1s"))
	}
	if c.QueryMemory < 64<<20 {
		errs = append(errs, errors.New("query_memory: must be at least 64 MiB"))
	}
	if c.QueryRows < 1 {
		errs = append(errs, errors.New("query_rows: must be at least 1"))
	}
	if c.ExportTimeout < time.Second {
		errs = append(errs, errors.New("export_timeout: must be at least 1s"))
	}
	if c.MaxConns < 2 {
		errs = append(errs, errors.New("max_conns: must be at least 2"))
	}
	return errors.Join(errs...)
}

// Store is an open ClickHouse. It is safe for use by many goroutines.
type Store struct {
	cfg     Config
	conn    driver.Conn
	inserts map[string]driver.Conn // by table, see openInserts
	servers int                    // how many hold the same
	opts    *clickhouse.Options
	engine  *chdb.Engine // nil for a server
	owned   bool         // whether Close closes the engine
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time

	migrations []migration // that this program knows, in order

	damage damage

	types sync.Map // by table: the columns that inserts fill
	zeros func() []byte
}

// Open connects to the ClickHouse that the DSN names, opening the embedded
// engine where it says so, and makes the database. The tables are Migrate's.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if dir, ok := strings.CutPrefix(cfg.DSN, "embedded:"); ok {
		var args []string
		if cfg.BackupDir != "" {
			args = append(args, "--backups.allowed_path="+cfg.BackupDir)
		}
		engine, err := chdb.Open(chdb.Config{Path: dir, Library: cfg.library, Args: args}, log)
		if err != nil {
			return nil, fmt.Errorf("open embedded clickhouse: %w", err)
		}
		s, err := OpenWith(ctx, cfg, engine, log, reg)
		if err != nil {
			return nil, errors.Join(err, engine.Close())
		}
		s.owned = true
		return s, nil
	}
	opts, err := clickhouse.ParseDSN(cfg.DSN)
	if err != nil {
		return nil, errors.New("store dsn: cannot be read") // the error's text would show the password
	}
	if strings.HasPrefix(cfg.DSN, "https:") && opts.TLS == nil {
		opts.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	opts.Auth.Database = cfg.Database
	if len(opts.Addr) > 1 && !strings.Contains(cfg.DSN, "connection_open_strategy=") {
		opts.ConnOpenStrategy = clickhouse.ConnOpenRoundRobin
	}
	if opts.Protocol == clickhouse.Native {
		opts.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	return open(ctx, cfg, opts, nil, log, reg)
}

// OpenWith is Open on an embedded engine that is open already and that the
// caller closes after the store.
func OpenWith(ctx context.Context, cfg Config, engine *chdb.Engine, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if cfg.DSN == "" {
		cfg.DSN = "embedded:"
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return open(ctx, cfg, chdb.Options(engine, cfg.Database), engine, log, reg)
}

func open(ctx context.Context, cfg Config, opts *clickhouse.Options, engine *chdb.Engine, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if engine == nil { // the embedded engine knows its own number
		opts.MaxOpenConns, opts.MaxIdleConns = cfg.MaxConns, cfg.MaxConns
	}
	opts.ClientInfo.Products = append(opts.ClientInfo.Products, struct{ Name, Version string }{"whatchanged", "1"})
	known, err := migrations(cfg)
	if err != nil {
		return nil, err
	}
	m := newMetrics(reg)
	reach := newHealth(log, m)
	if err := awaitDatabase(ctx, cfg, *opts, reach); err != nil {
		return nil, err
	}
	conn, err := openConn(*opts, reach)
	if err != nil {
		return nil, err
	}
	inserts, err := openInserts(*opts, reach)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Store{
		migrations: known,
		cfg:        cfg, conn: conn, inserts: inserts, servers: len(opts.Addr), opts: opts, engine: engine, log: log, metrics: m, damage: damage{wake: make(chan struct{}, 1)}, now: func() time.Time { return failpoint.Wall(time.Now()) },
		zeros: sync.OnceValue(func() []byte { return make([]byte, reserveMost) }),
	}, nil
}

// insertTimeout is how long an insert may take to be answered. A server that
// says nothing would otherwise hold the writer for minutes; the rows are
// inserted again, which is harmless.
const insertTimeout = time.Minute

// openInserts opens what each table's rows are inserted by. A connection keeps
// a buffer as large as its largest insert, so they are few, and the same one is
// taken again; those of queries are many, and taken in turn.
func openInserts(opts clickhouse.Options, reach *health) (map[string]driver.Conn, error) {
	opts.MaxOpenConns, opts.MaxIdleConns = 4, 1
	opts.ReadTimeout = insertTimeout
	inserts := map[string]driver.Conn{}
	for _, table := range []string{
		changesTable.name, deliveriesTable.name, payloadsTable.name, incidentsTable.name, eventsTable.name, usesTable.name, differencesTable.name,
		receiptsTable.name, usageTable.name,
	} {
		conn, err := openConn(opts, reach)
		if err != nil {
			for _, open := range inserts {
				err = errors.Join(err, open.Close())
			}
			return nil, err
		}
		inserts[table] = conn
	}
	return inserts, nil
}

const (
	startWait  = time.Minute // for a server that is started at the same moment as we are
	startPause = 500 * time.Millisecond
)

// awaitDatabase makes the database as soon as the server can be reached. What
// the server refuses is an error at once.
func awaitDatabase(ctx context.Context, cfg Config, opts clickhouse.Options, reach *health) error {
	for deadline := time.Now().Add(startWait); ; {
		err := createDatabase(ctx, cfg, opts, reach)
		var away *net.OpError
		if err == nil || !errors.As(err, &away) || time.Now().After(deadline) {
			return err
		}
		reach.log.Warn("clickhouse cannot be reached yet", "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(startPause):
		}
	}
}

// createDatabase uses a connection of its own: one cannot connect to a
// database that does not exist yet.
func createDatabase(ctx context.Context, cfg Config, opts clickhouse.Options, reach *health) error {
	opts.Auth.Database = "default"
	conn, err := openConn(opts, reach)
	if err != nil {
		return err
	}
	// Looked for first: a service's user may not make one.
	var exists uint64
	err = conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = {database:String}", clickhouse.Named("database", cfg.Database)).Scan(&exists)
	if err == nil && exists == 0 {
		err = conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+cfg.Database+templateData{cfg}.OnCluster())
	}
	if err != nil {
		err = fmt.Errorf("create database %s: %w", cfg.Database, err)
	}
	return errors.Join(err, conn.Close())
}

// Close ends all connections, and the embedded engine if Open opened it.
func (s *Store) Close() error {
	err := s.conn.Close()
	for _, conn := range s.inserts {
		err = errors.Join(err, conn.Close())
	}
	if s.owned {
		err = errors.Join(err, s.engine.Close())
	}
	return err
}

// Engine returns the embedded engine, for its HTTP interface; nil for a server.
func (s *Store) Engine() *chdb.Engine { return s.engine }

// Database returns the name of the database.
func (s *Store) Database() string { return s.cfg.Database }

// Ping reports whether ClickHouse answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.conn.Ping(ctx); err != nil {
		return problem.BusyFor(5*time.Second, "store_unreachable", "the store does not answer; try again soon", fmt.Errorf("ping clickhouse: %w", err))
	}
	return nil
}
