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
	"repository":  "repository",
	"risk":        "risk_level",
	"status":      "status",
	"account":     "account",
	"region":      "region",
	"provider":    "provider",
	"action":      "action",
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
	Start    int64    `ch:"start"` // milliseconds
	Shown    bool     `ch:"shown"` // among the largest
	Groups   []string `ch:"groups"`
	N        uint64   `ch:"n"`
	Previous uint64   `ch:"previous"`
}

// Stats counts the changes that match: one row for each bucket and group that
// has any, in order of time and then the largest first, and last in each
// bucket what belongs to none of the largest groups.
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
	for i := range rows {
		out[i] = q.row(&rows[i])
	}
	return out, nil
}

func (q *StatsQuery) row(r *statsRow) StatsRow {
	out := StatsRow{Count: int64(r.N), Other: !r.Shown}
	if q.Bucket != 0 {
		out.Start = change.AtMilli(r.Start)
	}
	if len(q.By) > 0 && r.Shown {
		out.Group = make(map[string]string, len(q.By))
		for j, by := range q.By {
			out.Group[by] = r.Groups[j]
		}
	}
	if q.Compare {
		previous, delta := int64(r.Previous), int64(r.N)-int64(r.Previous)
		out.Previous, out.Delta = &previous, &delta
	}
	return out
}

// statement counts the rows of the range and, to compare, those of as long a
// time just before, which are moved forward by that time and so fall into the
// same buckets.
func (q *StatsQuery) statement() (string, []any, error) {
	w, err := q.where()
	if err != nil {
		return "", nil, err
	}
	from, length := q.Start, int64(0)
	if q.Compare {
		from = q.Start.Add(-q.End.Sub(q.Start))
		length = ceilMilli(q.End) - ceilMilli(q.Start)
	}
	w.between("occurred_at", from, q.End)
	current := "occurred_at >= " + atParam("begin")
	w.args = append(w.args, clickhouse.Named("begin", ceilMilli(q.Start)))

	shown, groups := "true", "emptyArrayString()"
	if len(q.By) > 0 {
		var by []string
		for _, name := range q.By {
			by = append(by, dimensions[name])
		}
		list := strings.Join(by, ", ")
		shown = fmt.Sprintf("(%s) IN (\n    SELECT %s FROM changes FINAL\n    WHERE %s\n    GROUP BY %s\n    ORDER BY countIf(%s) DESC, count() DESC, %s\n    LIMIT {top:UInt32})",
			list, list, indent(w.String()), list, current, list)
		groups = "if(shown, [" + list + "], [])"
		w.args = append(w.args, clickhouse.Named("top", q.Top))
	}
	start := "toInt64(0)"
	if bucket := q.Bucket.Milliseconds(); bucket != 0 {
		at := "toUnixTimestamp64Milli(occurred_at)"
		if q.Compare {
			at += " + if(" + current + ", 0, {length:Int64})"
			w.args = append(w.args, clickhouse.Named("length", length))
		}
		start = "intDiv(" + at + " + {shift:Int64}, {bucket:Int64}) * {bucket:Int64} - {shift:Int64}"
		w.args = append(w.args, clickhouse.Named("bucket", bucket), clickhouse.Named("shift", bucketShift(q.Bucket)))
	}
	return fmt.Sprintf("SELECT %s AS start, %s AS shown, %s AS groups,\n  countIf(%s) AS n, countIf(NOT %s) AS previous\nFROM changes FINAL\nWHERE %s\nGROUP BY start, shown, groups\nORDER BY start, shown DESC, n DESC, previous DESC, groups\nLIMIT %d",
		start, shown, groups, current, current, w, maxStatsRows+1), w.args, nil
}

// bucketShift makes weeks begin on Monday: 1970 began on a Thursday.
func bucketShift(bucket time.Duration) int64 {
	const week = 7 * 24 * time.Hour
	if bucket == 0 || bucket%week != 0 {
		return 0
	}
	return (3 * 24 * time.Hour).Milliseconds()
}
