package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// dimensions are what StatsQuery.By may name, as expressions.
var dimensions = map[string]string{
	"source":      "source",
	"type":        "change_type",
	"service":     "if(service_name = '', service_id, service_name)",
	"environment": "environment",
	"actor":       "if(changed_by = '', actor_name, changed_by)",
}

// The most buckets and rows that one answer may have.
const (
	maxBuckets   = 2000
	maxStatsRows = 100_000
)

func (q *StatsQuery) validate() error {
	if q.Top == 0 {
		q.Top = 100
	}
	switch {
	case q.Start.IsZero() || q.End.IsZero():
		return problem.Invalid("start_date", "and end_date are required")
	case !q.Start.Before(q.End):
		return problem.Invalid("end_date", "must be after start_date")
	case q.Bucket != 0 && (q.Bucket < time.Minute || q.Bucket > 366*24*time.Hour || q.Bucket%time.Second != 0):
		return problem.Invalid("bucket", "must be whole seconds, from a minute to 366 days")
	case q.Bucket != 0 && q.End.Sub(q.Start)/q.Bucket > maxBuckets:
		return problem.Invalid("bucket", fmt.Sprintf("makes more than %d buckets: take a longer one or a shorter range", maxBuckets))
	case q.Top < 1 || q.Top > 1000:
		return problem.Invalid("top", "must be from 1 to 1000")
	}
	for i, by := range q.By {
		if dimensions[by] == "" || slices.Contains(q.By[:i], by) {
			return problem.Invalid("by", "must be different ones of "+strings.Join(Dimensions(), ", "))
		}
	}
	return nil
}

type statsRow struct {
	Start  int64    `ch:"start"` // milliseconds
	Groups []string `ch:"groups"`
	N      uint64   `ch:"n"`
}

// Stats counts the changes that match: one row for each bucket and group that
// has any, in order of time and then the largest first.
func (s *Store) Stats(ctx context.Context, q StatsQuery) ([]StatsRow, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	statement, args, err := q.statement()
	if err != nil {
		return nil, err
	}
	var rows []statsRow
	if err := s.query(ctx, "stats", &rows, statement, args...); err != nil {
		return nil, err
	}
	if len(rows) > maxStatsRows {
		return nil, problem.New(problem.Malformed, "query_too_large", "the answer has too many rows: take a longer bucket, fewer groups or a shorter range")
	}
	out := make([]StatsRow, len(rows))
	for i, r := range rows {
		out[i].Count = int64(r.N)
		if q.Bucket != 0 {
			out[i].Start = change.AtMilli(r.Start)
		}
		if len(q.By) > 0 {
			out[i].Group = make(map[string]string, len(q.By))
			for j, by := range q.By {
				out[i].Group[by] = r.Groups[j]
			}
		}
	}
	return out, nil
}

func (q *StatsQuery) statement() (string, []any, error) {
	w, err := q.where()
	if err != nil {
		return "", nil, err
	}
	w.between("occurred_at", q.Start, q.End)
	var by []string
	for _, name := range q.By {
		by = append(by, dimensions[name])
	}
	groups, keys := "emptyArrayString()", "start"
	if len(by) > 0 {
		list := strings.Join(by, ", ")
		groups, keys = "["+list+"]", "start, "+list
		w.add(fmt.Sprintf("(%s) IN (\n    SELECT %s FROM changes FINAL\n    WHERE %s\n    GROUP BY %s\n    ORDER BY count() DESC, %s\n    LIMIT {top:UInt32})",
			list, list, indent(w.String()), list, list), "top", q.Top)
	}
	bucket := q.Bucket.Milliseconds()
	w.args = append(w.args, clickhouse.Named("bucket", max(bucket, 1)), clickhouse.Named("shift", bucketShift(q.Bucket)))
	start := "intDiv(toUnixTimestamp64Milli(occurred_at) + {shift:Int64}, {bucket:Int64}) * {bucket:Int64} - {shift:Int64}"
	if bucket == 0 {
		start = "toInt64(0)"
		w.args = w.args[:len(w.args)-2]
	}
	return fmt.Sprintf("SELECT %s AS start, %s AS groups, count() AS n\nFROM changes FINAL\nWHERE %s\nGROUP BY %s\nORDER BY start, n DESC, groups\nLIMIT %d",
		start, groups, w, keys, maxStatsRows+1), w.args, nil
}

// bucketShift makes weeks begin on Monday: 1970 began on a Thursday.
func bucketShift(bucket time.Duration) int64 {
	const week = 7 * 24 * time.Hour
	if bucket == 0 || bucket%week != 0 {
		return 0
	}
	return (3 * 24 * time.Hour).Milliseconds()
}
