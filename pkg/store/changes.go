package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// bookkeeping lists the columns of changes that no reader is shown.
var bookkeeping = []string{"version", "is_deleted", "run", "chain", "frame_no", "place"}

var changeList = list[changeRow]{
	table: "changes", at: "occurred_at",
	columns: strings.Join(slices.DeleteFunc(columns[changeRow](), func(c string) bool { return slices.Contains(bookkeeping, c) }), ", "),
}

// FindChanges returns a page of the changes that match.
func (s *Store) FindChanges(ctx context.Context, q ChangeQuery) (Page[change.Change], error) {
	p := paging{start: q.Start, end: q.End, limit: q.Limit, offset: q.Offset, cursor: q.Cursor, sort: q.Sort, total: q.Total}
	filter := q.ChangeFilter
	filter.AsOf = time.Time{} // the cursor brings its own
	if err := p.resolve("changes", filter); err != nil {
		return Page[change.Change]{}, err
	}
	if p.after != nil {
		if !q.AsOf.IsZero() && !change.At(q.AsOf).Equal(p.after.asOf) {
			return Page[change.Change]{}, problem.Invalid("as_of", "differs from that of the cursor: leave it out")
		}
		q.AsOf = p.after.asOf
	}
	w, err := q.where()
	if err != nil {
		return Page[change.Change]{}, err
	}
	if p.asOf = q.AsOf; p.asOf.IsZero() {
		p.asOf = s.now()
	}
	found, err := find(ctx, s, changeList, w, p)
	if err != nil {
		return Page[change.Change]{}, fmt.Errorf("find changes: %w", err)
	}
	out := Page[change.Change]{
		Data: make([]change.Change, len(found.rows)), Total: found.total,
		Limit: p.limit, Offset: p.offset, HasMore: found.more, NextCursor: found.next,
	}
	for i := range found.rows {
		out.Data[i] = found.rows[i].change()
	}
	return out, nil
}

// Change returns one change. One of another org is not found.
func (s *Store) Change(ctx context.Context, org string, id change.ID) (change.Change, error) {
	row, err := one(ctx, s, "change", changeList, org, id)
	if err != nil {
		return change.Change{}, err
	}
	return row.change(), nil
}
