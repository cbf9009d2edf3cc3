package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// durableSettings are every table's. Without the first two an insert that was
// answered can go; without the others a merge replaces durable parts by parts
// that never were synced, and deletes the durable ones at once.
var durableSettings = []struct{ name, value string }{
	{"fsync_after_insert", "1"},
	{"fsync_part_directory", "1"},
	{"min_rows_to_fsync_after_merge", "1"},
	{"min_compressed_bytes_to_fsync_after_merge", "1"},
	{"old_parts_lifetime", "480"},
}

// oldest is the ClickHouse release that brings all we use: text indexes, and
// FINAL that reads skip indexes exactly.
const oldest = "26.5"

// CheckDurability reads back from ClickHouse what an acknowledgement rests on,
// and returns an error that names every table and setting that is not in force.
func (s *Store) CheckDurability(ctx context.Context) error {
	var version string
	var newEnough bool
	if err := s.conn.QueryRow(ctx, `SELECT version(),
		arrayMap(x -> toUInt32OrZero(x), arraySlice(splitByChar('.', version()), 1, 2)) >= arrayMap(x -> toUInt32(x), splitByChar('.', {oldest:String}))`,
		clickhouse.Named("oldest", oldest)).Scan(&version, &newEnough); err != nil {
		return fmt.Errorf("read clickhouse version: %w", err)
	}
	if !newEnough {
		return fmt.Errorf("clickhouse is version %s: at least %s is needed", version, oldest)
	}
	rows, err := s.conn.Query(ctx, `SELECT name, engine_full FROM system.tables
		WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name`, clickhouse.Named("database", s.cfg.Database))
	if err != nil {
		return fmt.Errorf("read the settings of tables: %w", err)
	}
	defer rows.Close()
	var errs []error
	tables := 0
	for rows.Next() {
		var table, engine string
		if err := rows.Scan(&table, &engine); err != nil {
			return fmt.Errorf("read the settings of tables: %w", err)
		}
		tables++
		errs = append(errs, checkSettings(table, engine))
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the settings of tables: %w", err)
	}
	if tables == 0 {
		return fmt.Errorf("database %s has no tables: run `whatchanged migrate`", s.cfg.Database)
	}
	return errors.Join(errs...)
}

// checkSettings looks for the settings in a table's full engine clause, which
// ends "... SETTINGS a = 1, b = 2".
func checkSettings(table, engine string) error {
	_, clause, _ := strings.Cut(engine, " SETTINGS ")
	in := map[string]string{}
	for setting := range strings.SplitSeq(clause, ", ") {
		name, value, _ := strings.Cut(setting, " = ")
		in[name] = value
	}
	var errs []error
	for _, s := range durableSettings {
		if in[s.name] != s.value {
			errs = append(errs, fmt.Errorf("table %s: setting %s is %q and must be %s: a power cut could lose what was acknowledged",
				table, s.name, in[s.name], s.value))
		}
	}
	return errors.Join(errs...)
}
