package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
)

// TableUsage is how much is stored of an org in one table: rows, and their bytes
// before compression.
type TableUsage struct {
	Table      string
	Rows       int64
	Bytes      int64
	MeasuredAt change.Time
}

// usageRow is a row of the table org_usage.
type usageRow struct {
	Org        string    `ch:"org"`
	Table      string    `ch:"of_table"`
	Part       string    `ch:"of_part"`
	MeasuredAt time.Time `ch:"measured_at"`
	Rows       uint64    `ch:"row_count"`
	Bytes      uint64    `ch:"bytes"`
}

var usageTable = table[usageRow]{"org_usage", func(*usageRow) int { return 0 }}

// measured is the tables that count, and the bytes of a row in each: what was sent
// for a payload, and for the others what a row of the partition has on average.
var measured = []struct{ table, bytes string }{
	{"payloads", "sum(length(body) + length(header))"},
	{"changes", "toUInt64(count() * {mean:Float64})"},
	{"deliveries", "toUInt64(count() * {mean:Float64})"},
}

// partition is one partition of a table, on all shards.
type partition struct {
	ID       string    `ch:"partition_id"`
	Rows     uint64    `ch:"row_count"`
	Bytes    uint64    `ch:"bytes"`
	Modified time.Time `ch:"modified"`
	Now      time.Time `ch:"now"` // by the server's clock
}

// partitions lists the partitions of a table. Of the replicas of a shard, which
// have the same, whichever answers is asked: one may be away.
func (s *Store) partitions(ctx context.Context, table string) ([]partition, error) {
	t := templateData{s.cfg}
	from := "system.parts"
	if s.cfg.Cluster != "" {
		from = "cluster('" + s.cfg.Cluster + "', system.parts)"
	}
	var all []partition
	err := s.query(ctx, "partitions", &all, `SELECT partition_id, sum(rows) AS row_count, sum(data_uncompressed_bytes) AS bytes,
    max(toDateTime64(modification_time, 3, 'UTC')) AS modified, now64(3, 'UTC') AS now
FROM `+from+`
WHERE active AND database = {database:String} AND table = {table:String}
GROUP BY partition_id ORDER BY partition_id`,
		clickhouse.Named("database", s.cfg.Database), clickhouse.Named("table", t.Local(table)))
	return all, err
}

// MeasureUsage measures how much is stored of every org, where something was
// written since the last time, and returns the bytes of each.
func (s *Store) MeasureUsage(ctx context.Context) (map[string]int64, error) {
	for _, m := range measured {
		if err := s.measure(ctx, m.table, m.bytes); err != nil {
			return nil, fmt.Errorf("measure %s: %w", m.table, err)
		}
	}
	var rows []struct {
		Org   string `ch:"org"`
		Bytes uint64 `ch:"total"`
	}
	if err := s.query(ctx, "usage of all", &rows, "SELECT org, sum(bytes) AS total FROM org_usage FINAL GROUP BY org"); err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(rows))
	for _, r := range rows {
		out[r.Org] = int64(r.Bytes)
	}
	return out, nil
}

func (s *Store) measure(ctx context.Context, table, bytes string) error {
	parts, err := s.partitions(ctx, table)
	if err != nil {
		return err
	}
	var known []struct {
		Part       string    `ch:"of_part"`
		MeasuredAt time.Time `ch:"at"`
		Orgs       []string  `ch:"orgs"`
	}
	if err := s.query(ctx, "usage by partition", &known,
		"SELECT of_part, max(measured_at) AS at, groupArrayIf(toString(org), row_count > 0) AS orgs FROM org_usage FINAL WHERE of_table = {table:String} GROUP BY of_part",
		clickhouse.Named("table", table)); err != nil {
		return err
	}
	before := map[string]int{}
	for i, k := range known {
		before[k.Part] = i
	}
	var now []usageRow
	for _, p := range parts {
		i, ok := before[p.ID]
		delete(before, p.ID)
		// A modification has the time in seconds, and may have come while it was measured.
		if ok && known[i].MeasuredAt.After(p.Modified.Add(2*time.Second)) {
			continue
		}
		rows, err := s.measurePartition(ctx, table, bytes, p)
		if err != nil {
			return err
		}
		if ok {
			rows = append(rows, gone(rows, known[i].Orgs, table, p.ID, p.Now)...)
		}
		now = append(now, rows...)
	}
	for part, i := range before { // partitions that are not there any more
		now = append(now, gone(nil, known[i].Orgs, table, part, known[i].MeasuredAt.Add(time.Millisecond))...)
	}
	return insert(ctx, s, usageTable, now)
}

func (s *Store) measurePartition(ctx context.Context, table, bytes string, p partition) ([]usageRow, error) {
	var rows []usageRow
	err := s.unhurried(ctx, "measure", &rows,
		"SELECT org, count() AS row_count, "+bytes+" AS bytes FROM "+table+" WHERE _partition_id = {part:String} GROUP BY org",
		clickhouse.Named("part", p.ID), clickhouse.Named("mean", float64(p.Bytes)/float64(max(1, p.Rows))))
	for i := range rows {
		rows[i].Table, rows[i].Part, rows[i].MeasuredAt = table, p.ID, p.Now
	}
	return rows, err
}

// unhurriedFor is how long what nobody waits for may take.
const unhurriedFor = 4 * time.Hour

// unhurried is query for what nobody waits for: it may take its time, and takes
// one thread.
func (s *Store) unhurried(ctx context.Context, name string, dest any, statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, unhurriedFor)
	defer cancel()
	start := time.Now()
	err := s.conn.Select(clickhouse.Context(ctx, clickhouse.WithSettings(s.unhurriedSettings())), dest, statement, args...)
	s.metrics.queried(name, start, err)
	if err != nil {
		s.stumbled(err)
		return fmt.Errorf("query %s: %w", name, queryError(ctx, err))
	}
	return nil
}

func (s *Store) unhurriedSettings() clickhouse.Settings {
	settings := s.settings()
	settings["max_threads"] = 1
	settings["max_execution_time"] = int(unhurriedFor / time.Second)
	return settings
}

// gone says that of orgs that are not among rows nothing is there any more.
func gone(rows []usageRow, orgs []string, table, part string, at time.Time) (out []usageRow) {
	for _, org := range orgs {
		if !slices.ContainsFunc(rows, func(r usageRow) bool { return r.Org == org }) {
			out = append(out, usageRow{Org: org, Table: table, Part: part, MeasuredAt: at})
		}
	}
	return out
}

// Usage returns how much is stored of an org, as it was measured last.
func (s *Store) Usage(ctx context.Context, org string) ([]TableUsage, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Table string    `ch:"of_table"`
		Rows  uint64    `ch:"total_rows"`
		Bytes uint64    `ch:"total_bytes"`
		At    time.Time `ch:"at"`
	}
	if err := s.ask(ctx, "usage", &rows,
		"SELECT of_table, sum(row_count) AS total_rows, sum(bytes) AS total_bytes, max(measured_at) AS at\nFROM org_usage FINAL\nWHERE "+
			w.String()+"\nGROUP BY of_table ORDER BY of_table", w.args...); err != nil {
		return nil, err
	}
	out := make([]TableUsage, len(rows))
	for i, r := range rows {
		out[i] = TableUsage{r.Table, int64(r.Rows), int64(r.Bytes), change.At(r.At)}
	}
	return out, nil
}
