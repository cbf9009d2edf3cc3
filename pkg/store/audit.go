package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"whatchanged/pkg/audit"
	"whatchanged/pkg/change"
	"whatchanged/pkg/problem"
)

// MaxRecords is the most that Actions and Uses return.
const MaxRecords = 1000

// eventRow is a row of the table audit_events.
type eventRow struct {
	Org         string    `ch:"org"`
	CreatedAt   time.Time `ch:"created_at"`
	ID          string    `ch:"id"`
	RowVersion  uint64    `ch:"version"`
	IsDeleted   uint8     `ch:"is_deleted"`
	UserID      string    `ch:"user_id"`
	UserName    string    `ch:"user_name"`
	UserEmail   string    `ch:"user_email"`
	KeyID       string    `ch:"key_id"`
	Area        string    `ch:"area"`
	Operation   string    `ch:"operation"`
	TargetID    string    `ch:"target_id"`
	Action      string    `ch:"action"`
	ObjectType  string    `ch:"object_type"`
	ObjectID    string    `ch:"object_id"`
	ObjectName  string    `ch:"object_name"`
	ServiceID   string    `ch:"service_id"`
	PipelineID  string    `ch:"pipeline_id"`
	Description string    `ch:"description"`
	Outcome     string    `ch:"outcome"`
}

// useRow is a row of the table token_uses.
type useRow struct {
	Org       string    `ch:"org"`
	CreatedAt time.Time `ch:"created_at"`
	ID        string    `ch:"id"`
	KeyID     string    `ch:"key_id"`
	Scopes    []string  `ch:"scopes"`
	Method    string    `ch:"method"`
	Target    string    `ch:"target"`
	UserID    string    `ch:"user_id"`
}

var (
	eventsTable = table[eventRow]{"audit_events", func(r *eventRow) int { return month(r.CreatedAt) }}
	usesTable   = table[useRow]{"token_uses", func(r *useRow) int { return month(r.CreatedAt) }}

	eventList = list[eventRow]{
		table: "audit_events", at: "created_at",
		columns: strings.Join(columns[eventRow](), ", "),
	}
	useList = list[useRow]{
		table: "token_uses", at: "created_at",
		columns: strings.Join(columns[useRow](), ", "),
	}
)

func toEventRow(e *audit.Event) eventRow {
	row := eventRow{
		Org: e.Org, CreatedAt: e.At.Time, ID: string(e.ID[:]), RowVersion: e.Version,
		UserID: e.User.ID, UserName: e.User.Name, UserEmail: e.User.Email, KeyID: e.User.KeyID,
		Area: e.Area, Operation: e.Operation, TargetID: e.TargetID, Action: string(e.Action),
		ObjectType: e.Object.Kind, ObjectID: e.Object.ID, ObjectName: e.Object.Name,
		ServiceID: e.ServiceID, PipelineID: e.PipelineID, Description: e.Description, Outcome: string(e.Outcome),
	}
	if e.Outcome == audit.Withdrawn {
		row.IsDeleted = 1
	}
	return row
}

func (r *eventRow) event() audit.Event {
	return audit.Event{
		ID: change.AuditID([]byte(r.ID)), Version: r.RowVersion, Org: r.Org, At: change.At(r.CreatedAt),
		User: audit.User{ID: r.UserID, Name: r.UserName, Email: r.UserEmail, KeyID: r.KeyID},
		Area: r.Area, Operation: r.Operation, TargetID: r.TargetID, Action: audit.Action(r.Action),
		Object:    audit.Object{Kind: r.ObjectType, ID: r.ObjectID, Name: r.ObjectName},
		ServiceID: r.ServiceID, PipelineID: r.PipelineID, Description: r.Description, Outcome: audit.Outcome(r.Outcome),
	}
}

func toUseRow(u *audit.Use) useRow {
	return useRow{
		Org: u.Org, CreatedAt: u.At.Time, ID: string(u.ID[:]), KeyID: u.KeyID, Scopes: u.Scopes,
		Method: u.Method, Target: u.Target, UserID: u.UserID,
	}
}

func (r *useRow) use() audit.Use {
	return audit.Use{
		ID: change.AuditID([]byte(r.ID)), Org: r.Org, At: change.At(r.CreatedAt), KeyID: r.KeyID, Scopes: r.Scopes,
		Method: r.Method, Target: r.Target, UserID: r.UserID,
	}
}

// InsertAuditEvents stores events of the audit trail.
func (s *Store) InsertAuditEvents(ctx context.Context, events []audit.Event) error {
	rows := make([]eventRow, len(events))
	for i := range events {
		rows[i] = toEventRow(&events[i])
	}
	return insert(ctx, s, eventsTable, rows)
}

// InsertUses stores uses of keys.
func (s *Store) InsertUses(ctx context.Context, uses []audit.Use) error {
	rows := make([]useRow, len(uses))
	for i := range uses {
		rows[i] = toUseRow(&uses[i])
	}
	return insert(ctx, s, usesTable, rows)
}

// EventQuery selects events of the audit trail; empty fields select all.
type EventQuery struct {
	Org        string
	ObjectType string
	ObjectID   string
	Action     audit.Action
	User       string // id, name or address
	ServiceID  string
	PipelineID string
	Start, End time.Time // half-open
	Limit      int
	Offset     int
	Cursor     string
	Sort       string
	Total      bool
}

// beingDone is how long an action may take. Its event is shown when it is known
// what became of it, or when that will not be known any more.
const beingDone = 15 * time.Second

// settled begins the condition of every question for events.
func settled(org string, now time.Time) (*where, error) {
	w, err := forOrg(org)
	if err != nil {
		return nil, err
	}
	w.add("(outcome != 'unknown' OR created_at < "+atParam("settled")+")", "settled", now.Add(-beingDone).UnixMilli())
	return w, nil
}

func (q *EventQuery) where(now time.Time) (*where, error) {
	w, err := settled(q.Org, now)
	if err != nil {
		return nil, err
	}
	w.equal("object_type", q.ObjectType)
	w.equal("object_id", q.ObjectID)
	w.equal("action", string(q.Action))
	w.equal("service_id", q.ServiceID)
	w.equal("pipeline_id", q.PipelineID)
	if q.User != "" {
		w.add("(user_id = {user:String} OR user_name = {user:String} OR lower(user_email) = lower({user:String}))", "user", q.User)
	}
	return w, nil
}

// FindEvents returns a page of events. Objects have the names they have now:
// none when they are deleted.
func (s *Store) FindEvents(ctx context.Context, q EventQuery) (Page[audit.Event], error) {
	p := paging{start: q.Start, end: q.End, limit: q.Limit, offset: q.Offset, cursor: q.Cursor, sort: q.Sort, total: q.Total, asOf: s.now()}
	filter := q
	filter.Limit, filter.Offset, filter.Cursor, filter.Sort, filter.Total = 0, 0, "", "", false
	if err := p.resolve("audit_events", filter); err != nil {
		return Page[audit.Event]{}, err
	}
	w, err := q.where(s.now())
	if err != nil {
		return Page[audit.Event]{}, err
	}
	found, err := find(ctx, s, eventList, w, p)
	if err != nil {
		return Page[audit.Event]{}, fmt.Errorf("find audit events: %w", err)
	}
	out := Page[audit.Event]{
		Data: make([]audit.Event, len(found.rows)), Total: found.total,
		Limit: p.limit, Offset: p.offset, HasMore: found.more, NextCursor: found.next,
	}
	for i := range found.rows {
		out.Data[i] = found.rows[i].event()
	}
	return out, s.nameNow(ctx, q.Org, out.Data)
}

const namesStatement = `SELECT object_type, object_id,
  argMax(object_name, (created_at, id)) AS name,
  argMaxIf(action, (created_at, id), action != 'info') AS last
FROM audit_events FINAL
WHERE org = {org:String}
  AND object_id IN {ids:Array(String)}
  AND outcome = 'done'
GROUP BY object_type, object_id`

// nameNow gives the events' objects the names they have now. They are read from
// the trail itself: the last event about an object knows what it is called, and
// whether it is there, for kinds of every sort alike.
func (s *Store) nameNow(ctx context.Context, org string, events []audit.Event) error {
	if len(events) == 0 {
		return nil
	}
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].Object.ID
	}
	var rows []struct {
		Kind string `ch:"object_type"`
		ID   string `ch:"object_id"`
		Name string `ch:"name"`
		Last string `ch:"last"`
	}
	if err := s.query(ctx, "audit_events names", &rows, namesStatement, clickhouse.Named("org", org), clickhouse.Named("ids", ids)); err != nil {
		return err
	}
	type place struct{ kind, id string }
	names := map[place]string{}
	for _, r := range rows {
		if audit.Action(r.Last) == audit.Delete {
			r.Name = ""
		}
		names[place{r.Kind, r.ID}] = r.Name
	}
	for i := range events {
		o := &events[i].Object
		if name, ok := names[place{o.Kind, o.ID}]; ok {
			o.Name = name
		}
	}
	return nil
}

// RecordQuery selects what Actions and Uses return.
type RecordQuery struct {
	Org        string
	Area       string    // of Actions
	Scope      string    // of Uses: keys that have it
	Start, End time.Time // half-open
}

// Actions returns the newest events of a time, at most MaxRecords of them.
func (s *Store) Actions(ctx context.Context, q RecordQuery) ([]audit.Event, error) {
	w, err := settled(q.Org, s.now())
	if err != nil {
		return nil, err
	}
	w.equal("area", q.Area)
	rows, err := newest(ctx, s, eventList, w, q)
	if err != nil {
		return nil, fmt.Errorf("find user actions: %w", err)
	}
	events := make([]audit.Event, len(rows))
	for i := range rows {
		events[i] = rows[i].event()
	}
	return events, nil
}

// Uses returns the newest uses of keys of a time, at most MaxRecords of them.
func (s *Store) Uses(ctx context.Context, q RecordQuery) ([]audit.Use, error) {
	w, err := forOrg(q.Org)
	if err != nil {
		return nil, err
	}
	if q.Scope != "" {
		w.add("has(scopes, {scope:String})", "scope", q.Scope)
	}
	rows, err := newest(ctx, s, useList, w, q)
	if err != nil {
		return nil, fmt.Errorf("find uses of keys: %w", err)
	}
	uses := make([]audit.Use, len(rows))
	for i := range rows {
		uses[i] = rows[i].use()
	}
	return uses, nil
}

// newest reads the newest rows of a time, all their columns at once: they are
// narrow, and there are at most MaxRecords of them.
func newest[R any](ctx context.Context, s *Store, l list[R], w *where, q RecordQuery) ([]R, error) {
	if q.Start.IsZero() || q.End.IsZero() {
		return nil, problem.Invalid("date", "a range of time is required")
	}
	w.between(l.at, q.Start, q.End)
	var rows []R
	err := s.query(ctx, l.table+" newest", &rows, l.newestStatement(w), append(w.args, clickhouse.Named("limit", MaxRecords))...)
	return rows, err
}

func (l list[R]) newestStatement(w *where) string {
	return fmt.Sprintf("SELECT %s\nFROM %s FINAL\nWHERE %s\nORDER BY %s DESC, id DESC\nLIMIT {limit:UInt32}", l.columns, l.table, w, l.at)
}
