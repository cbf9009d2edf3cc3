package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Expiry says before when what is stored of an org goes; zero for what stays.
type Expiry struct {
	Org                           string
	Changes, Deliveries, Payloads time.Time
}

// expiring is the tables from which something goes. All of their times must be
// before the limit, so that what was stored lately stays, however long ago it
// happened.
var expiring = []struct {
	table  string
	times  []string
	weekly bool // partitions are weeks, else months
	before func(Expiry) time.Time
}{
	{"payloads", []string{"received_at"}, true, func(e Expiry) time.Time { return e.Payloads }},
	{"changes", []string{"occurred_at", "created_at"}, false, func(e Expiry) time.Time { return e.Changes }},
	{"change_revisions", []string{"occurred_at", "created_at", "replaced_at"}, false, func(e Expiry) time.Time { return e.Changes }},
	{"deliveries", []string{"received_at"}, false, func(e Expiry) time.Time { return e.Deliveries }},
	// The account compares them with deliveries: both go, or it would not close.
	{"receipts", []string{"minute"}, false, func(e Expiry) time.Time { return e.Deliveries }},
}

// Expire removes what orgs do not keep any longer, and returns how many rows that
// were. A partition is written again once, when all of an org's time in it is over, for
// all orgs of which that is true: weeks and months go whole.
func (s *Store) Expire(ctx context.Context, all []Expiry) (removed int64, err error) {
	for _, e := range expiring {
		limits := map[string]time.Time{}
		for _, org := range all {
			if org.Org == "" {
				return removed, errors.New("expire: an org is required")
			}
			if at := e.before(org); !at.IsZero() {
				limits[org.Org] = at
			}
		}
		if len(limits) == 0 {
			continue
		}
		parts, err := s.partitions(ctx, e.table)
		if err != nil {
			return removed, err
		}
		for _, p := range parts {
			end, err := endOf(p.ID, e.weekly)
			if err != nil {
				return removed, fmt.Errorf("partition %s of %s: %w", p.ID, e.table, err)
			}
			over := maps.Clone(limits)
			maps.DeleteFunc(over, func(_ string, at time.Time) bool { return at.Before(end) })
			if len(over) == 0 {
				continue
			}
			n, err := s.expirePartition(ctx, e.table, e.times, p.ID, over)
			if err != nil {
				return removed, fmt.Errorf("remove from partition %s of %s: %w", p.ID, e.table, err)
			}
			removed += n
		}
	}
	return removed, nil
}

// expirePartition removes from one partition what is before its org's limit.
func (s *Store) expirePartition(ctx context.Context, table string, times []string, part string, limits map[string]time.Time) (int64, error) {
	orgs := slices.Sorted(maps.Keys(limits))
	befores := make([]int64, len(orgs))
	for i, org := range orgs {
		befores[i] = limits[org].UnixMilli()
	}
	conditions := []string{"org IN {orgs:Array(String)}"}
	for _, column := range times {
		conditions = append(conditions, "toUnixTimestamp64Milli(toDateTime64("+column+", 3, 'UTC')) < transform(toString(org), {orgs:Array(String)}, {befores:Array(Int64)}, toInt64(0))")
	}
	where := strings.Join(conditions, " AND ")
	args := []any{clickhouse.Named("orgs", orgs), clickhouse.Named("befores", befores), clickhouse.Named("part", part)}
	var found []struct {
		Rows uint64 `ch:"row_count"`
	}
	if err := s.unhurried(ctx, "expired", &found, "SELECT count() AS row_count FROM "+table+" WHERE _partition_id = {part:String} AND "+where, args...); err != nil {
		return 0, err
	}
	if len(found) == 0 || found[0].Rows == 0 {
		return 0, nil
	}
	t := templateData{s.cfg}
	settings := s.unhurriedSettings()
	settings["mutations_sync"] = 1 // one partition after the other
	ctx, cancel := context.WithTimeout(ctx, unhurriedFor)
	defer cancel()
	statement := "ALTER TABLE " + t.Local(table) + t.OnCluster() + " DELETE IN PARTITION ID '" + part + "' WHERE " + where
	if err := s.conn.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), statement, args[:2]...); err != nil {
		s.stumbled(err)
		return 0, err
	}
	return int64(found[0].Rows), nil
}

// endOf returns the end of the time that a partition is for, by its id: 202611 is
// a month, 20261116 the week that begins then.
func endOf(id string, weekly bool) (time.Time, error) {
	if weekly {
		monday, err := time.Parse("20060102", id)
		return monday.AddDate(0, 0, 7), err
	}
	month, err := time.Parse("200601", id)
	return month.AddDate(0, 1, 0), err
}
