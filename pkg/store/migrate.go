package store

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/ClickHouse/clickhouse-go/v2"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one numbered file: statements that are safe to run twice.
type migration struct {
	number     int
	name       string
	statements []string
}

// Migrate brings the tables up to date. What was applied is not applied again,
// and a migration that was cut off is run again from its beginning. Tables that
// are too new for this program stay as they are, and that is an error. Only one
// process may migrate at a time; it is for the caller to see to that.
func (s *Store) Migrate(ctx context.Context) error {
	schema, err := s.Schema(ctx)
	if err == nil {
		err = schema.tooNew()
	}
	if err != nil {
		return err
	}
	if err := s.makeSchemaTable(ctx); err != nil {
		return err
	}
	for _, m := range s.migrations {
		if !slices.ContainsFunc(schema.Pending, func(p Migration) bool { return p.Number == m.number }) {
			continue
		}
		for i, statement := range m.statements {
			if err := s.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("migration %s, statement %d: %w", m.name, i+1, err)
			}
		}
		if err := s.conn.Exec(ctx, "INSERT INTO schema_migrations (number, name, applied_at, oldest) SELECT {number:UInt32}, {name:String}, now64(3), {oldest:UInt32}",
			clickhouse.Named("number", m.number), clickhouse.Named("name", m.name), clickhouse.Named("oldest", min(runsWith, m.number))); err != nil {
			return fmt.Errorf("record migration %s: %w", m.name, err)
		}
		s.log.Info("migrated", "migration", m.name)
	}
	return s.setRetention(ctx)
}

// setRetention gives payloads the configured lifetime, if the table was made
// with another.
func (s *Store) setRetention(ctx context.Context) error {
	statement, err := s.retention(ctx)
	if err != nil || statement == "" {
		return err
	}
	if err := s.conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("set the lifetime of payloads: %w", err)
	}
	s.log.Info("payloads have a new lifetime", "days", s.cfg.PayloadDays)
	return nil
}

// retention returns the statement that gives payloads the configured lifetime,
// empty when they have it.
func (s *Store) retention(ctx context.Context) (string, error) {
	t := templateData{s.cfg}
	var engine string
	if err := s.conn.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {name:String}",
		clickhouse.Named("database", s.cfg.Database), clickhouse.Named("name", t.Local("payloads"))).Scan(&engine); err != nil {
		return "", fmt.Errorf("read the lifetime of payloads: %w", err)
	}
	if strings.Contains(engine, t.PayloadTTL()) {
		return "", nil
	}
	return "ALTER TABLE " + t.Local("payloads") + t.OnCluster() + " MODIFY TTL " + t.PayloadTTL(), nil
}

// schemaTable is the table of applied migrations. It is the same on every
// shard, so it is replicated once over the whole cluster.
func schemaTable(cfg Config) string {
	t := templateData{cfg}
	engine := "MergeTree"
	if cfg.Cluster != "" {
		engine = "ReplicatedMergeTree('/clickhouse/tables/all/{database}/schema_migrations', '{shard}-{replica}')"
	}
	return "CREATE TABLE IF NOT EXISTS schema_migrations" + t.OnCluster() +
		" (number UInt32, name String, applied_at DateTime64(3, 'UTC')) ENGINE = " + engine +
		" ORDER BY number SETTINGS " + t.Durable()
}

// migrations renders the files for one node or for a cluster, in order.
func migrations(cfg Config) ([]migration, error) {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, file := range files {
		base := strings.TrimSuffix(filepath.Base(file), ".sql")
		digits, _, _ := strings.Cut(base, "_")
		number, err := strconv.Atoi(digits)
		if err != nil {
			return nil, fmt.Errorf("migration %s: its name must begin with a number", base)
		}
		t, err := template.ParseFS(migrationFiles, file)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", base, err)
		}
		var text strings.Builder
		if err := t.Execute(&text, templateData{cfg}); err != nil {
			return nil, fmt.Errorf("migration %s: %w", base, err)
		}
		all = append(all, migration{number, base, statements(text.String())})
	}
	slices.SortFunc(all, func(a, b migration) int { return cmp.Compare(a.number, b.number) })
	return all, nil
}

// statements splits a file at the semicolons that end a line.
func statements(text string) []string {
	var all []string
	for statement := range strings.SplitSeq(text, ";\n") {
		if statement = strings.TrimSpace(statement); statement != "" {
			all = append(all, statement)
		}
	}
	return all
}

// templateData is what a migration file may say.
type templateData struct{ cfg Config }

// OnCluster is the clause that runs a statement on every node.
func (t templateData) OnCluster() string {
	if t.cfg.Cluster == "" {
		return ""
	}
	return " ON CLUSTER " + t.cfg.Cluster
}

// Local is the name of a node's own part of a table.
func (t templateData) Local(table string) string {
	if t.cfg.Cluster == "" {
		return table
	}
	return table + localSuffix
}

const localSuffix = "_local"

// Replacing is the engine ReplacingMergeTree with its arguments, replicated in
// a cluster.
func (t templateData) Replacing(table, args string) string {
	if t.cfg.Cluster == "" {
		return "ReplacingMergeTree(" + args + ")"
	}
	if args != "" {
		args = ", " + args
	}
	return "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/" + t.Local(table) + "', '{replica}'" + args + ")"
}

// Distributed is the statement for the table that spans the cluster: an org's
// rows are on one shard, so that FINAL sees them all.
func (t templateData) Distributed(table string) string {
	if t.cfg.Cluster == "" {
		return ""
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s%s AS %s\nENGINE = Distributed('%s', '%s', '%s', sipHash64(org));",
		table, t.OnCluster(), t.Local(table), t.cfg.Cluster, t.cfg.Database, t.Local(table))
}

// PayloadTTL is when a payload goes. TTL takes no DateTime64.
func (t templateData) PayloadTTL() string {
	return fmt.Sprintf("toDateTime(received_at) + toIntervalDay(%d)", t.cfg.PayloadDays)
}

// Durable is the settings without which a power cut takes what was
// acknowledged.
func (t templateData) Durable() string {
	var parts []string
	for _, s := range durableSettings {
		parts = append(parts, s.name+" = "+s.value)
	}
	return strings.Join(parts, ", ")
}

// Calm is the settings that make inserts and merges cheap.
func (t templateData) Calm() string {
	return "min_bytes_for_wide_part = 67108864, merge_selector_base = 16, auto_statistics_types = ''"
}
