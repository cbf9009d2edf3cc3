package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"whatchanged/pkg/problem"
)

// list is how rows of type R are listed: by time, newest or oldest first. Their
// table's key is (org, at, id).
type list[R any] struct {
	table   string
	at      string // the column of the time
	columns string
}

// key is a row's place among those of its org.
type key struct {
	At    time.Time `ch:"at"`
	ID    string    `ch:"id"`
	Total uint64    `ch:"total"` // of the rows that match, where it was asked for
}

// paging is the part of a query that selects a page.
type paging struct {
	start, end    time.Time
	limit, offset int
	cursor        string
	sort          string
	total         bool
	asOf          time.Time // what the next cursor says
	fingerprint   []byte    // of the query: see resolve
	after         *cursor   // what cursor says
}

// resolve checks the paging, fills in what was left out and reads the cursor,
// which must come from a list of this name with this filter.
func (p *paging) resolve(name string, filter any) error {
	if p.limit == 0 {
		p.limit = 25
	}
	if p.sort == "" {
		p.sort = Desc
	}
	switch {
	case p.limit < 1 || p.limit > MaxLimit:
		return problem.Invalid("limit", fmt.Sprintf("must be from 1 to %d", MaxLimit))
	case p.offset < 0:
		return problem.Invalid("offset", "must not be negative")
	case p.offset > MaxOffset:
		return problem.Invalid("offset", fmt.Sprintf("must be at most %d: use cursor to go further", MaxOffset))
	case p.offset > 0 && p.cursor != "":
		return problem.Invalid("offset", "cannot be used with cursor")
	case p.sort != Asc && p.sort != Desc:
		return problem.Invalid("sort", "must be asc or desc")
	case !p.start.IsZero() && !p.end.IsZero() && p.end.Before(p.start):
		return problem.Invalid("end_date", "must not be before start_date")
	}
	p.fingerprint = fingerprint(name+" "+p.sort, filter)
	if p.cursor != "" {
		c, err := decodeCursor(p.cursor, p.fingerprint)
		if err != nil {
			return err
		}
		p.after = &c
	}
	return nil
}

// page is a page of rows, before they become what the caller knows.
type page[R any] struct {
	rows  []R
	total int64
	more  bool
	next  string
}

// find reads a page: first the keys, then the columns of the rows on it. With
// a total and a range that is read as a whole anyhow, the keys bring the total.
// Else they come from windows of time that grow until there are enough; when
// these held less than a page, the total is known; and if not, it is a
// statement of its own.
func find[R any](ctx context.Context, s *Store, l list[R], w *where, p paging) (page[R], error) {
	out := page[R]{total: -1}
	counted := p.total && p.after == nil && p.span().within(oneRead)
	keys, err := l.keys(ctx, s, w, p, counted)
	if err != nil {
		return out, err
	}
	out.more = len(keys) > p.offset+p.limit
	var both errgroup.Group
	switch {
	case !p.total:
	case counted && len(keys) > 0:
		out.total = int64(keys[0].Total)
	case !out.more && p.after == nil:
		out.total = int64(len(keys))
	default:
		both.Go(func() (err error) {
			out.total, err = l.count(ctx, s, w, p.start, p.end)
			return err
		})
	}
	keys = keys[min(p.offset, len(keys)):min(p.offset+p.limit, len(keys))]
	both.Go(func() (err error) {
		out.rows, err = l.read(ctx, s, w, p.sort, keys)
		return err
	})
	if err := both.Wait(); err != nil {
		return out, err
	}
	if out.more && len(keys) > 0 {
		last := keys[len(keys)-1]
		out.next = cursor{at: last.At, id: [16]byte([]byte(last.ID)), asOf: p.asOf}.encode(p.fingerprint)
	}
	return out, nil
}

// count counts all rows that match.
func (l list[R]) count(ctx context.Context, s *Store, w *where, start, end time.Time) (int64, error) {
	w = w.clone()
	w.between(l.at, start, end)
	var rows []struct {
		N uint64 `ch:"n"`
	}
	if err := s.ask(ctx, l.table+" total", &rows, "SELECT count() AS n FROM "+l.table+" FINAL\nWHERE "+w.String(), w.args...); err != nil {
		return 0, err
	}
	return int64(rows[0].N), nil
}

// days are the widths of the windows that are searched one after the other,
// until a page is full; then comes all the rest. Few: most lists are full
// after the first, and for the others each window is a statement more.
var days = []int{1, 30, 335} // to 1, 31 and 366 days

// oneRead is the longest range whose keys and total are read together: to count
// the rows costs all that finding their keys does, and this little more.
const oneRead = 31 * 24 * time.Hour

// keys returns the keys of the first offset+limit+1 rows that match, with the
// total if it is to be counted.
func (l list[R]) keys(ctx context.Context, s *Store, w *where, p paging, counted bool) ([]key, error) {
	windows := []span{p.span()}
	if !counted {
		var err error
		if windows, err = l.windows(ctx, s, w, p); err != nil {
			return nil, err
		}
	}
	need := p.offset + p.limit + 1
	var keys []key
	for _, window := range windows {
		statement, args := l.keysStatement(w, p.sort, window, p.after, need-len(keys), counted)
		var found []key
		if err := s.ask(ctx, l.table+" keys", &found, statement, args...); err != nil {
			return nil, err
		}
		if keys = append(keys, found...); len(keys) == need {
			break
		}
	}
	return keys, nil
}

func (l list[R]) keysStatement(w *where, sort string, window span, after *cursor, limit int, counted bool) (string, []any) {
	w = w.clone()
	w.between(l.at, window.start, window.end)
	order, before := "DESC", "<"
	if sort == Asc {
		order, before = "ASC", ">"
	}
	if after != nil {
		w.add(fmt.Sprintf("(%s, id) %s (%s, %s)", l.at, before, atParam("after"), idParam("after_id")), "after", after.at.UnixMilli())
		w.args = append(w.args, clickhouse.Named("after_id", hex.EncodeToString(after.id[:])))
	}
	total := ""
	if counted {
		total = ", count() OVER () AS total"
	}
	return fmt.Sprintf("SELECT %s AS at, id%s FROM %s FINAL\nWHERE %s\nORDER BY %s %s, id %s\nLIMIT {limit:UInt32}",
		l.at, total, l.table, w, l.at, order, order), append(w.args, clickhouse.Named("limit", limit))
}

// span is a half-open range of time; zero is no bound.
type span struct{ start, end time.Time }

func (p *paging) span() span { return span{p.start, p.end} }

// within reports whether the range has both bounds and is no longer than that.
func (r span) within(longest time.Duration) bool {
	return !r.start.IsZero() && !r.end.IsZero() && r.end.Sub(r.start) <= longest
}

// windows cuts the range into windows that grow away from where the list begins.
func (l list[R]) windows(ctx context.Context, s *Store, w *where, p paging) ([]span, error) {
	r := p.span()
	if p.after != nil {
		if p.sort == Asc {
			r.start = p.after.at
		} else {
			r.end = p.after.at.Add(time.Millisecond)
		}
	}
	if p.sort == Desc && r.end.IsZero() || p.sort == Asc && r.start.IsZero() {
		edge, ok, err := l.edge(ctx, s, w, p.sort)
		if err != nil || !ok {
			return nil, err
		}
		if p.sort == Asc {
			r.start = edge
		} else {
			r.end = edge.Add(time.Millisecond)
		}
	}
	return r.cut(p.sort), nil
}

func (r span) cut(sort string) []span {
	var windows []span
	for _, n := range days {
		if !r.start.IsZero() && !r.end.IsZero() && !r.start.Before(r.end) {
			return windows
		}
		width := time.Duration(n) * 24 * time.Hour
		if sort == Asc {
			middle := r.start.Add(width)
			if !r.end.IsZero() && !middle.Before(r.end) {
				return append(windows, r)
			}
			windows = append(windows, span{r.start, middle})
			r.start = middle
		} else {
			middle := r.end.Add(-width)
			if !r.start.IsZero() && !middle.After(r.start) {
				return append(windows, r)
			}
			windows = append(windows, span{middle, r.end})
			r.end = middle
		}
	}
	return append(windows, r)
}

// edge is the time of the org's first or last row, whether it matches or not:
// it is read from the end of the key.
func (l list[R]) edge(ctx context.Context, s *Store, w *where, sort string) (time.Time, bool, error) {
	var rows []key
	err := s.query(ctx, l.table+" edge", &rows,
		fmt.Sprintf("SELECT %s AS at, id FROM %s\nWHERE %s\nORDER BY org %s, %s %s\nLIMIT 1", l.at, l.table, w.clauses[0], sort, l.at, sort), w.args[0])
	if err != nil || len(rows) == 0 {
		return time.Time{}, false, err
	}
	return rows[0].At, true, nil
}

// read returns the rows with these keys, in order. The filter is not asked
// again: a row that a later version replaced meanwhile is shown as it is now.
// The keys come from a subquery because only a set is looked up in the index:
// an array of expressions would be compared with every row of the org. It may
// stand in PREWHERE, before FINAL, because it asks for nothing but the key.
func (l list[R]) read(ctx context.Context, s *Store, w *where, sort string, keys []key) ([]R, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	times, ids := make([]int64, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		times[i], ids[i] = k.At.UnixMilli(), hex.EncodeToString([]byte(k.ID))
	}
	settings := s.settings()
	// The rows are few and lie far apart: without these one thread reads them all.
	settings["merge_tree_min_rows_for_concurrent_read"] = 1
	settings["merge_tree_min_bytes_for_concurrent_read"] = 1
	var rows []R
	err := s.queryWith(ctx, settings, l.table+" rows", &rows, l.readStatement(w, sort), w.args[0], clickhouse.Named("times", times), clickhouse.Named("ids", ids))
	return rows, err
}

func (l list[R]) readStatement(w *where, sort string) string {
	order := strings.ToUpper(sort)
	return fmt.Sprintf(`SELECT %s
FROM %s FINAL
PREWHERE %s
  AND (%s, id) IN (
    SELECT fromUnixTimestamp64Milli(key.1, 'UTC'), toFixedString(unhex(key.2), 16)
    FROM (SELECT arrayJoin(arrayZip({times:Array(Int64)}, {ids:Array(String)})) AS key))
ORDER BY %s %s, id %s`, l.columns, l.table, w.clauses[0], l.at, l.at, order, order)
}
