package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"whatchanged/pkg/durable"
)

// BackupPlace is where backups are kept: ClickHouse itself writes and reads them.
type BackupPlace struct {
	// To is file:/dir, disk:name or disk:name/path, or s3:https://host/bucket/path.
	To string
	// AccessKeyID and SecretAccessKey are for S3; without them ClickHouse uses
	// those of its machine.
	AccessKeyID, SecretAccessKey string
}

// Dir is the directory of a place that is one of ClickHouse's own machine.
func (p BackupPlace) Dir() (string, bool) { return strings.CutPrefix(p.To, "file:") }

// S3 is the address of a place that is in S3.
func (p BackupPlace) S3() (string, bool) { return strings.CutPrefix(p.To, "s3:") }

// Validate reports what is wrong with a place.
func (p BackupPlace) Validate() error {
	kind, rest, _ := strings.Cut(p.To, ":")
	switch kind {
	case "file":
		if filepath.IsAbs(rest) && filepath.Clean(rest) == rest {
			return nil
		}
		return errors.New("backup to: file: wants the whole path of a directory, as file:/var/backups/whatchanged")
	case "disk":
		if disk, below, _ := strings.Cut(rest, "/"); name.MatchString(disk) && !strings.Contains(below, "..") {
			return nil
		}
		return errors.New("backup to: disk: wants the name of one of ClickHouse's disks, as disk:backups")
	case "s3":
		if u, err := url.Parse(rest); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && len(u.Path) > 1 {
			return nil
		}
		return errors.New("backup to: s3: wants the bucket's address, as s3:https://s3.eu-central-1.amazonaws.com/bucket/whatchanged")
	default:
		return errors.New("backup to: must begin with file:, disk: or s3:, and say where")
	}
}

// backupName is what a backup may be called: it becomes a part of paths.
var backupName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)

// clause is the place of one backup as BACKUP and RESTORE have it.
func (p BackupPlace) clause(backup string) (string, error) {
	if err := p.Validate(); err != nil {
		return "", err
	}
	if !backupName.MatchString(backup) {
		return "", errors.New("a backup's name has letters, digits, - and _, at most 100")
	}
	kind, rest, _ := strings.Cut(p.To, ":")
	switch kind {
	case "file":
		return "File(" + literal(filepath.Join(rest, backup)) + ")", nil
	case "disk":
		disk, below, _ := strings.Cut(rest, "/")
		return "Disk(" + literal(disk) + ", " + literal(path.Join(below, backup)) + ")", nil
	default:
		args := literal(strings.TrimRight(rest, "/") + "/" + backup)
		if p.AccessKeyID != "" {
			args += ", " + literal(p.AccessKeyID) + ", " + literal(p.SecretAccessKey)
		}
		return "S3(" + args + ")", nil
	}
}

// literal is a text in a statement that takes no parameters.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// without returns an error whose text has no secret of the place in it.
func (p BackupPlace) without(err error) error {
	if err == nil || p.SecretAccessKey == "" || !strings.Contains(err.Error(), p.SecretAccessKey) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), p.SecretAccessKey, "<redacted>"))
}

// Note is one thing that a backup holds besides rows: what of the installation
// is not in ClickHouse.
type Note struct {
	Kind  string `ch:"kind"`
	Key   string `ch:"key"`
	Value string `ch:"value"`
}

// notesTable exists while a backup is made, and in the backup: so whatever
// ClickHouse can write a backup to holds the notes too.
const notesTable = "backup_notes"

// BackUp writes all tables, and notes, to a place under a name. Rows that are
// inserted meanwhile may be in it or not.
func (s *Store) BackUp(ctx context.Context, to BackupPlace, backup string, notes []Note) (size uint64, err error) {
	clause, err := to.clause(backup)
	if err != nil {
		return 0, err
	}
	if dir, ok := to.Dir(); ok && s.engine != nil { // else the engine makes it, for all to read
		if err := durable.MkdirAll(dir); err != nil {
			return 0, fmt.Errorf("make the directory of backups: %w", err)
		}
	}
	conn, err := s.patient()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	drop := func(ctx context.Context) error {
		return conn.Exec(ctx, "DROP TABLE IF EXISTS "+s.notesTable()+templateData{s.cfg}.OnCluster()+" SYNC")
	}
	if err := drop(ctx); err != nil { // of one that was cut off
		return 0, fmt.Errorf("remove old notes: %w", err)
	}
	if err := conn.Exec(ctx, notesStatement(s.cfg)); err != nil {
		return 0, fmt.Errorf("make a table for notes: %w", err)
	}
	defer func() { // also when whoever asked has gone
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
		defer cancel()
		err = errors.Join(err, drop(within))
	}()
	if err := insertNotes(ctx, conn, s.notesTable(), notes); err != nil {
		return 0, fmt.Errorf("keep notes: %w", err)
	}
	size, err = runBackup(ctx, conn, backupStatement(s.cfg, clause))
	if err != nil {
		return 0, fmt.Errorf("back up %s: %w", s.cfg.Database, to.without(err))
	}
	return size, nil
}

func backupStatement(cfg Config, clause string) string {
	return "BACKUP DATABASE " + cfg.Database + templateData{cfg}.OnCluster() + " TO " + clause
}

// restoreStatement restores the database, under another name if one is given.
func restoreStatement(cfg Config, as, clause string) string {
	if as != "" {
		as = " AS " + as
	}
	return "RESTORE DATABASE " + cfg.Database + as + templateData{cfg}.OnCluster() + " FROM " + clause
}

// notesStatement makes the table of notes, which is the same on every node.
func notesStatement(cfg Config) string {
	t := templateData{cfg}
	engine := "MergeTree"
	if cfg.Cluster != "" {
		engine = "ReplicatedMergeTree('/clickhouse/tables/all/{database}/" + notesTable + "', '{shard}-{replica}')"
	}
	return "CREATE TABLE " + cfg.Database + "." + notesTable + t.OnCluster() +
		" (kind LowCardinality(String), key String, value String) ENGINE = " + engine + " ORDER BY (kind, key) SETTINGS " + t.Durable()
}

func (s *Store) notesTable() string { return s.cfg.Database + "." + notesTable }

func insertNotes(ctx context.Context, conn driver.Conn, table string, notes []Note) error {
	batch, err := conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0})), "INSERT INTO "+table+" (kind, key, value)")
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, n := range notes {
		if err := batch.Append(n.Kind, n.Key, n.Value); err != nil {
			return err
		}
	}
	return batch.Send()
}

// runBackup runs BACKUP or RESTORE and returns how many bytes it is.
func runBackup(ctx context.Context, conn driver.Conn, statement string) (size uint64, err error) {
	var id, status string
	if err := conn.QueryRow(ctx, statement).Scan(&id, &status); err != nil {
		return 0, err
	}
	if status != "BACKUP_CREATED" && status != "RESTORED" {
		return 0, fmt.Errorf("it ended as %s", status)
	}
	err = conn.QueryRow(ctx, "SELECT total_size FROM system.backups WHERE id = {id:String}", clickhouse.Named("id", id)).Scan(&size)
	return size, err
}

// backupTimeout is how long a backup may take: a connection of its own waits
// for it.
const backupTimeout = 24 * time.Hour

// patient opens a connection for what takes long, to no database: it may be
// the one that is restored.
func (s *Store) patient() (driver.Conn, error) {
	opts := *s.opts
	opts.Auth.Database = "default"
	opts.ReadTimeout = backupTimeout
	opts.ConnOpenStrategy = clickhouse.ConnOpenInOrder // what is asked of a backup is asked of the server that made it
	return openConn(opts, newHealth(s.log, s.metrics))
}

// Counts returns how many rows each table of a database has, every fact once,
// and those that hide one with them: a fact that is withdrawn or removed while a
// backup is made is still counted.
func (s *Store) Counts(ctx context.Context, database string) (map[string]uint64, error) {
	conn, err := s.patient()
	if err != nil {
		return nil, err
	}
	counts, err := s.counts(ctx, conn, database)
	return counts, errors.Join(err, conn.Close())
}

func (s *Store) counts(ctx context.Context, conn driver.Conn, database string) (map[string]uint64, error) {
	engine := "%MergeTree"
	if s.cfg.Cluster != "" {
		engine = "Distributed"
	}
	var tables, keys []string // a Distributed table has no key, the one below it has
	if err := conn.QueryRow(ctx, `SELECT groupArray(t.name), groupArray(below.sorting_key) FROM system.tables AS t
		INNER JOIN system.tables AS below ON below.database = t.database AND below.name = t.name || {local:String}
		WHERE t.database = {database:String} AND t.engine LIKE {engine:String} AND t.name NOT IN ('schema_migrations', {notes:String})`,
		clickhouse.Named("local", templateData{s.cfg}.Local("")),
		clickhouse.Named("database", database), clickhouse.Named("engine", engine), clickhouse.Named("notes", notesTable)).Scan(&tables, &keys); err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	counts := map[string]uint64{}
	for i, table := range tables {
		var n uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM (SELECT 1 FROM "+database+"."+table+" GROUP BY "+keys[i]+") SETTINGS optimize_aggregation_in_order = 1").Scan(&n); err != nil {
			return nil, fmt.Errorf("count %s: %w", table, err)
		}
		counts[table] = n
	}
	return counts, nil
}

// vanishing are the tables whose rows go by themselves: there may be fewer than
// there were.
var vanishing = []string{"payloads", "replay_differences"}

// ErrNotEmpty is Restore's when there is something already.
var ErrNotEmpty = errors.New("the database is not empty")

// ErrShort is Restore's when rows are missing from what was restored.
var ErrShort = errors.New("rows are missing")

// restoringSuffix ends the name of a database that is not whole yet.
const restoringSuffix = "_restoring"

// Restore puts a backup in the place of the database, which must be empty, or
// with force is replaced. wanted is called with the backup's notes, and returns
// how many rows there must be, or why it does not go on. On one node nothing is
// touched before the backup is there whole.
func (s *Store) Restore(ctx context.Context, from BackupPlace, backup string, force bool, wanted func([]Note) (map[string]uint64, error)) (counts map[string]uint64, err error) {
	clause, err := from.clause(backup)
	if err != nil {
		return nil, err
	}
	conn, err := s.patient()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	before, err := s.counts(ctx, conn, s.cfg.Database)
	if err != nil {
		return nil, err
	}
	for _, table := range slices.Sorted(maps.Keys(before)) {
		if before[table] > 0 && !force {
			return nil, fmt.Errorf("%w: %s has %d rows", ErrNotEmpty, table, before[table])
		}
	}
	if s.cfg.Cluster != "" {
		if force {
			return nil, errors.New("in a cluster nothing is replaced, nor is the registry restored alone: DROP DATABASE " + s.cfg.Database + " ON CLUSTER " + s.cfg.Cluster + " SYNC first")
		}
		return s.restoreCluster(ctx, conn, from, clause, wanted)
	}
	// Beside the old one first: a backup that is not whole replaces nothing.
	beside := s.cfg.Database + restoringSuffix
	drop := func(ctx context.Context, database string) error {
		return conn.Exec(ctx, "DROP DATABASE IF EXISTS "+database+" SYNC")
	}
	if err := drop(ctx, beside); err != nil {
		return nil, fmt.Errorf("remove what an earlier try has left: %w", err)
	}
	if _, err := runBackup(ctx, conn, restoreStatement(s.cfg, beside, clause)); err != nil {
		return nil, errors.Join(fmt.Errorf("restore %s: %w", backup, from.without(err)), drop(context.WithoutCancel(ctx), beside))
	}
	counts, err = s.verify(ctx, conn, beside, wanted)
	if err != nil {
		return nil, errors.Join(err, drop(context.WithoutCancel(ctx), beside))
	}
	if err := drop(ctx, s.cfg.Database); err != nil {
		return nil, fmt.Errorf("remove the old database: %w", err)
	}
	if err := conn.Exec(ctx, "RENAME DATABASE "+beside+" TO "+s.cfg.Database); err != nil {
		return nil, fmt.Errorf("put what was restored, %s, in its place: %w", beside, err)
	}
	return counts, nil
}

// restoreCluster replaces empty tables, whose paths in Keeper have the
// database's name: there is no beside.
func (s *Store) restoreCluster(ctx context.Context, conn driver.Conn, from BackupPlace, clause string, wanted func([]Note) (map[string]uint64, error)) (map[string]uint64, error) {
	on := templateData{s.cfg}.OnCluster()
	if err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+s.cfg.Database+on+" SYNC"); err != nil {
		return nil, fmt.Errorf("remove the empty database: %w", err)
	}
	if _, err := runBackup(ctx, conn, restoreStatement(s.cfg, "", clause)); err != nil {
		return nil, fmt.Errorf("restore: %w", from.without(err))
	}
	return s.verify(ctx, conn, s.cfg.Database, wanted)
}

// verify compares what was restored with what the notes say, and removes them.
func (s *Store) verify(ctx context.Context, conn driver.Conn, database string, wanted func([]Note) (map[string]uint64, error)) (map[string]uint64, error) {
	var notes []Note
	if err := conn.Select(ctx, &notes, "SELECT toString(kind) AS kind, key, value FROM "+database+"."+notesTable+" ORDER BY kind, key"); err != nil {
		return nil, fmt.Errorf("read the notes of the backup, which has none if it is not one of `whatchanged backup create`: %w", err)
	}
	want, err := wanted(notes)
	if err != nil {
		return nil, err
	}
	counts, err := s.counts(ctx, conn, database)
	if err != nil {
		return nil, err
	}
	for _, table := range slices.Sorted(maps.Keys(want)) {
		if counts[table] < want[table] && !slices.Contains(vanishing, table) {
			return nil, fmt.Errorf("%w: %s has %d, and had %d", ErrShort, table, counts[table], want[table])
		}
	}
	if err := conn.Exec(ctx, "DROP TABLE "+database+"."+notesTable+templateData{s.cfg}.OnCluster()+" SYNC"); err != nil {
		return nil, fmt.Errorf("remove the notes: %w", err)
	}
	return counts, nil
}

// ServerBackups lists the backups that the server itself remembers: those made
// since it was started.
func (s *Store) ServerBackups(ctx context.Context) ([]ServerBackup, error) {
	var found []ServerBackup
	if err := s.conn.Select(ctx, &found, `SELECT name, start_time, total_size FROM system.backups
		WHERE status = 'BACKUP_CREATED' ORDER BY start_time`); err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	return found, nil
}

// ServerBackup is one of them; its name is the place as BACKUP has it.
type ServerBackup struct {
	Name  string    `ch:"name"`
	Began time.Time `ch:"start_time"`
	Size  uint64    `ch:"total_size"`
}
